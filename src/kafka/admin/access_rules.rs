//! Rules of who may do what, with patterns (KIP-290), and filters of them.

use std::fmt;

use kafka_protocol::messages::create_acls_request::AclCreation;

use super::answer::text;

/// What a filter's field has in it when it is for all.
pub(super) const ANY: i8 = 1;
/// From everywhere.
const ANY_HOST: &str = "*";
/// The name of the one cluster there is.
const CLUSTER_NAME: &str = "kafka-cluster";

macro_rules! numbered {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $number:literal $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            /// One that this client does not know, by its number in the protocol.
            Other(i8),
        }

        impl $name {
            pub(super) fn of(number: i8) -> Self {
                match number {
                    $($number => Self::$variant,)+
                    other => Self::Other(other),
                }
            }

            pub(super) fn number(self) -> i8 {
                match self {
                    $(Self::$variant => $number,)+
                    Self::Other(number) => number,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($word),)+
                    Self::Other(number) => write!(f, "number {number}"),
                }
            }
        }
    };
}

numbered! {
    /// What kind of thing a rule is about.
    AclResource {
        /// A topic.
        Topic 2 "topic",
        /// A group.
        Group 3 "group",
        /// The cluster.
        Cluster 4 "cluster",
        /// A transactional id.
        TransactionalId 5 "transactional id",
        /// A delegation token.
        DelegationToken 6 "delegation token",
        /// A user (KIP-373).
        User 7 "user",
    }
}

numbered! {
    /// How the name in a rule is meant.
    AclPattern {
        /// As it is; `*` is every name.
        Literal 3 "named",
        /// As the beginning of names.
        Prefixed 4 "whose name begins with",
    }
}

numbered! {
    /// What a rule is about doing.
    AclOperation {
        /// Everything.
        All 2 "do anything with",
        /// Reading.
        Read 3 "read",
        /// Writing.
        Write 4 "write",
        /// Making.
        Create 5 "create",
        /// Deleting.
        Delete 6 "delete",
        /// Changing.
        Alter 7 "alter",
        /// Seeing that it is there.
        Describe 8 "describe",
        /// What brokers ask of each other.
        ClusterAction 9 "act as a broker on",
        /// Seeing settings.
        DescribeConfigs 10 "describe the settings of",
        /// Changing settings.
        AlterConfigs 11 "alter the settings of",
        /// Writing with sequence numbers, without transactions.
        IdempotentWrite 12 "write idempotently to",
        /// Making delegation tokens for others.
        CreateTokens 13 "create tokens of",
        /// Seeing the delegation tokens of others.
        DescribeTokens 14 "describe tokens of",
        /// Preparing transactions that others decide (KIP-939).
        TwoPhaseCommit 15 "prepare transactions of",
    }
}

numbered! {
    /// Whether a rule forbids or allows. What is forbidden stays so, whatever else allows it.
    AclPermission {
        /// It forbids.
        Deny 2 "may not",
        /// It allows.
        Allow 3 "may",
    }
}

/// A rule: who may, or may not, do what, from where.
///
/// ```
/// use hop::kafka::admin::{Acl, AclOperation};
/// let acl = Acl::allow("User:alice", AclOperation::Read).topic("alerts");
/// assert_eq!(acl.to_string(), "User:alice may read the topic named 'alerts' from *");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Acl {
    /// What kind of thing it is about.
    pub resource: AclResource,
    /// The name of that, or the beginning of it.
    pub name: String,
    /// How the name is meant.
    pub pattern: AclPattern,
    /// Who: `User:` and a name, or `User:*` for everybody.
    pub principal: String,
    /// From which address; `*` for all.
    pub host: String,
    /// What is done.
    pub operation: AclOperation,
    /// Whether it is allowed.
    pub permission: AclPermission,
}

impl Acl {
    /// Allows a principal, such as `User:alice`, to do this to the cluster from everywhere; [`topic`](Self::topic) and
    /// others say to what else.
    #[must_use = "a rule is made by `Admin::create_acls`"]
    pub fn allow(principal: impl Into<String>, operation: AclOperation) -> Self {
        Self::new(principal.into(), operation, AclPermission::Allow)
    }

    /// The same to forbid it.
    #[must_use = "a rule is made by `Admin::create_acls`"]
    pub fn deny(principal: impl Into<String>, operation: AclOperation) -> Self {
        Self::new(principal.into(), operation, AclPermission::Deny)
    }

    fn new(principal: String, operation: AclOperation, permission: AclPermission) -> Self {
        Self {
            resource: AclResource::Cluster,
            name: CLUSTER_NAME.to_owned(),
            pattern: AclPattern::Literal,
            principal,
            host: ANY_HOST.to_owned(),
            operation,
            permission,
        }
    }

    /// It is about this topic; `*` is every topic.
    #[must_use]
    pub fn topic(self, name: impl Into<String>) -> Self {
        self.on(AclResource::Topic, name)
    }

    /// It is about this group; `*` is every group.
    #[must_use]
    pub fn group(self, name: impl Into<String>) -> Self {
        self.on(AclResource::Group, name)
    }

    /// It is about this thing; `*` is every one of its kind.
    #[must_use]
    pub fn on(self, resource: AclResource, name: impl Into<String>) -> Self {
        Self { resource, name: name.into(), ..self }
    }

    /// The name is the beginning of names (KIP-290).
    #[must_use]
    pub fn prefixed(self) -> Self {
        Self { pattern: AclPattern::Prefixed, ..self }
    }

    /// It holds for this address only.
    #[must_use]
    pub fn from_host(self, host: impl Into<String>) -> Self {
        Self { host: host.into(), ..self }
    }

    pub(super) fn to_request(&self) -> AclCreation {
        AclCreation::default()
            .with_resource_type(self.resource.number())
            .with_resource_name(text(&self.name))
            .with_resource_pattern_type(self.pattern.number())
            .with_principal(text(&self.principal))
            .with_host(text(&self.host))
            .with_operation(self.operation.number())
            .with_permission_type(self.permission.number())
    }
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, name, pattern, principal, host, operation, permission } = self;
        write!(f, "{principal} {permission} {operation} the {resource} {pattern} '{name}' from {host}")
    }
}

/// Which names of rules a filter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum AclPatternFilter {
    /// Those with the filter's name, however it is meant.
    #[default]
    Any,
    /// Those that hold for the thing of the filter's name: its own, `*`, and the beginnings of its name.
    Match,
    /// Those with the filter's name, as it is.
    Literal,
    /// Those with the filter's name, as the beginning of names.
    Prefixed,
}

impl AclPatternFilter {
    pub(super) fn number(self) -> i8 {
        match self {
            Self::Any => ANY,
            Self::Match => 2,
            Self::Literal => AclPattern::Literal.number(),
            Self::Prefixed => AclPattern::Prefixed.number(),
        }
    }
}

/// Which rules are meant: those that have all that is set here. By default all rules.
///
/// ```
/// use hop::kafka::admin::{AclFilter, AclResource};
/// let mut filter = AclFilter::default();
/// filter.resource = Some(AclResource::Topic);
/// filter.name = Some("alerts".to_owned());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AclFilter {
    /// What kind of thing they are about.
    pub resource: Option<AclResource>,
    /// The name of that.
    pub name: Option<String>,
    /// How the names of the rules and this one go together.
    pub pattern: AclPatternFilter,
    /// Who.
    pub principal: Option<String>,
    /// From which address.
    pub host: Option<String>,
    /// What is done.
    pub operation: Option<AclOperation>,
    /// Whether it is allowed.
    pub permission: Option<AclPermission>,
}

impl From<&Acl> for AclFilter {
    /// The rule itself and no other.
    fn from(acl: &Acl) -> Self {
        Self {
            resource: Some(acl.resource),
            name: Some(acl.name.clone()),
            pattern: match acl.pattern {
                AclPattern::Literal => AclPatternFilter::Literal,
                AclPattern::Prefixed => AclPatternFilter::Prefixed,
                AclPattern::Other(_) => AclPatternFilter::Any,
            },
            principal: Some(acl.principal.clone()),
            host: Some(acl.host.clone()),
            operation: Some(acl.operation),
            permission: Some(acl.permission),
        }
    }
}
