//! Asking for access rules, making and deleting them: DescribeAcls, CreateAcls, DeleteAcls.

use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
    DescribeAclsResponse,
};

use super::Admin;
use super::access_rules::{ANY, Acl, AclFilter, AclOperation, AclPattern, AclPermission, AclResource};
use super::answer::{Deed, Subject, text};
use super::errand::{Asked, Place};
use crate::kafka::error::Error;

impl Admin {
    /// The rules that a filter takes.
    ///
    /// # Errors
    ///
    /// [`Error::NotAuthorized`]; [`Error::Refused`] with `SECURITY_DISABLED` from a cluster without rules;
    /// [`Error::Unsupported`]; those of reaching the cluster.
    pub async fn describe_acls(&self, filter: &AclFilter) -> Result<Vec<Acl>, Error> {
        let request = |_: Asked<'_>| {
            Ok(DescribeAclsRequest::default()
                .with_resource_type_filter(filter.resource.map_or(ANY, AclResource::number))
                .with_resource_name_filter(filter.name.as_deref().map(text))
                .with_pattern_type_filter(filter.pattern.number())
                .with_principal_filter(filter.principal.as_deref().map(text))
                .with_host_filter(filter.host.as_deref().map(text))
                .with_operation(filter.operation.map_or(ANY, AclOperation::number))
                .with_permission_type(filter.permission.map_or(ANY, AclPermission::number)))
        };
        let answer = |response: &DescribeAclsResponse| {
            Deed { action: "describe the access rules of", subject: Subject::Cluster }
                .outcome(response.error_code, response.error_message.as_ref())?;
            let rules = response.resources.iter().flat_map(|on| {
                on.acls.iter().map(|acl| Acl {
                    resource: AclResource::of(on.resource_type),
                    name: on.resource_name.to_string(),
                    pattern: AclPattern::of(on.pattern_type),
                    principal: acl.principal.to_string(),
                    host: acl.host.to_string(),
                    operation: AclOperation::of(acl.operation),
                    permission: AclPermission::of(acl.permission_type),
                })
            });
            Ok(rules.collect())
        };
        self.one(Place::Anywhere, request, answer).await
    }

    /// Makes rules; one that is there stays. Brokers may take a moment to go by them.
    ///
    /// # Errors
    ///
    /// For each: [`Error::NotAuthorized`], or the broker's code and words, such as `SECURITY_DISABLED` or
    /// `INVALID_REQUEST`. As a whole: [`Error::Unsupported`], and those of reaching the cluster.
    pub async fn create_acls(&self, acls: &[Acl]) -> Result<Vec<(Acl, Result<(), Error>)>, Error> {
        let request = |acls: &[&Acl], _: Asked<'_>| {
            Ok(CreateAclsRequest::default().with_creations(acls.iter().map(|acl| acl.to_request()).collect()))
        };
        // The answer has no names: its results come in the order of the rules.
        let answer = |acl: &Acl, position: usize, response: &CreateAclsResponse| {
            let deed = Deed { action: "make the rule that", subject: Subject::Other(acl) };
            let result = response.results.get(position).ok_or_else(|| deed.unanswered())?;
            deed.outcome(result.error_code, result.error_message.as_ref())
        };
        let results = self.each(acls, |_| Place::Anywhere, request, answer).await?;
        Ok(acls.iter().cloned().zip(results).collect())
    }

    /// Deletes the rules that a filter takes, and gives them back, each with whether it went.
    ///
    /// # Errors
    ///
    /// For each rule: the broker's code and words. As a whole: as for [`describe_acls`](Self::describe_acls).
    pub async fn delete_acls(&self, filter: &AclFilter) -> Result<Vec<(Acl, Result<(), Error>)>, Error> {
        let request = |_: Asked<'_>| {
            let filter = DeleteAclsFilter::default()
                .with_resource_type_filter(filter.resource.map_or(ANY, AclResource::number))
                .with_resource_name_filter(filter.name.as_deref().map(text))
                .with_pattern_type_filter(filter.pattern.number())
                .with_principal_filter(filter.principal.as_deref().map(text))
                .with_host_filter(filter.host.as_deref().map(text))
                .with_operation(filter.operation.map_or(ANY, AclOperation::number))
                .with_permission_type(filter.permission.map_or(ANY, AclPermission::number));
            Ok(DeleteAclsRequest::default().with_filters(vec![filter]))
        };
        let answer = |response: &DeleteAclsResponse| {
            let deed = Deed { action: "delete access rules of", subject: Subject::Cluster };
            let result = response.filter_results.first().ok_or_else(|| deed.unanswered())?;
            deed.outcome(result.error_code, result.error_message.as_ref())?;
            let rules = result.matching_acls.iter().map(|matching| {
                let acl = Acl {
                    resource: AclResource::of(matching.resource_type),
                    name: matching.resource_name.to_string(),
                    pattern: AclPattern::of(matching.pattern_type),
                    principal: matching.principal.to_string(),
                    host: matching.host.to_string(),
                    operation: AclOperation::of(matching.operation),
                    permission: AclPermission::of(matching.permission_type),
                };
                let deed = Deed { action: "delete the rule that", subject: Subject::Other(&acl) };
                let gone = deed.outcome(matching.error_code, matching.error_message.as_ref());
                (acl, gone)
            });
            Ok(rules.collect())
        };
        self.one(Place::Anywhere, request, answer).await
    }
}
