//! The cluster itself: DescribeCluster (KIP-700), or Metadata where brokers do not have that.

use kafka_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse, MetadataResponse};
use kafka_protocol::protocol::StrBytes;

use super::Admin;
use super::answer::{Deed, Subject, known};
use super::errand::{Asked, Place};
use crate::kafka::error::Error;

/// A cluster as a broker describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterDescription {
    /// Its identifier, which stays as long as the cluster does.
    pub id: Option<String>,
    /// The broker that stands for the controller: with KRaft any that is up, since clients do not reach the controller
    /// itself.
    pub controller: Option<i32>,
    /// Its brokers that are up, by number.
    pub brokers: Vec<BrokerDescription>,
}

/// A broker as another describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerDescription {
    /// Its number.
    pub id: i32,
    /// The host where it listens for such clients.
    pub host: String,
    /// The port.
    pub port: i32,
    /// Where it stands, as its operators say.
    pub rack: Option<String>,
}

impl BrokerDescription {
    fn new(id: i32, host: &StrBytes, port: i32, rack: Option<&StrBytes>) -> Self {
        Self { id, host: host.to_string(), port, rack: rack.map(ToString::to_string) }
    }
}

impl Admin {
    /// The cluster's identifier, its controller and its brokers.
    ///
    /// # Errors
    ///
    /// Those of reaching a broker and asking it.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, Error> {
        let request = |_: Asked<'_>| Ok(DescribeClusterRequest::default());
        let mut described = match self.one(Place::Anywhere, request, of_cluster).await {
            // Before Kafka 2.8.
            Err(Error::Unsupported { .. }) => of_metadata(&self.cluster.describe(Some(&[])).await?),
            described => described?,
        };
        described.brokers.sort_unstable_by_key(|broker| broker.id);
        Ok(described)
    }
}

fn of_cluster(response: &DescribeClusterResponse) -> Result<ClusterDescription, Error> {
    let deed = Deed { action: "describe", subject: Subject::Cluster };
    deed.outcome(response.error_code, response.error_message.as_ref())?;
    let brokers = response.brokers.iter().map(|broker| {
        BrokerDescription::new(broker.broker_id.0, &broker.host, broker.port, broker.rack.as_ref())
    });
    Ok(ClusterDescription {
        id: Some(response.cluster_id.to_string()),
        controller: known(response.controller_id.0),
        brokers: brokers.collect(),
    })
}

fn of_metadata(response: &MetadataResponse) -> ClusterDescription {
    let brokers = response.brokers.iter().map(|broker| {
        BrokerDescription::new(broker.node_id.0, &broker.host, broker.port, broker.rack.as_ref())
    });
    ClusterDescription {
        id: response.cluster_id.as_ref().map(ToString::to_string),
        controller: known(response.controller_id.0),
        brokers: brokers.collect(),
    }
}
