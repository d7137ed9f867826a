//! The cluster that tests of the client use, and what all of them want of it.

use std::time::Duration;

use hop::broker::Broker;
use hop::kafka::admin::{Admin, NewTopic};
use hop::kafka::{Client, Error, Record};
use hop::wire::error_code::ErrorCode;

/// A client of Kafka, or of a broker of ours, which ends with it.
#[derive(Debug)]
pub struct Target {
    /// A client of it.
    pub client: Client,
    /// What administers it.
    pub admin: Admin,
    /// Where members of groups connect.
    pub address: String,
    _ours: Option<Broker>,
}

/// Where the real Kafka is, if there is one.
pub fn kafka() -> Option<String> {
    std::env::var("CONFORMANCE_BROKER").ok()
}

impl Target {
    /// The Kafka that `CONFORMANCE_BROKER` names, or a broker of ours.
    pub async fn new() -> Self {
        let (address, ours) = match kafka() {
            Some(address) => (address, None),
            None => {
                let broker = Broker::builder().default_partitions(2).start().await.unwrap();
                (broker.bootstrap(), Some(broker))
            }
        };
        Self::at(address, ours).await
    }

    /// What is reached at an address.
    pub async fn at(address: String, ours: Option<Broker>) -> Self {
        let client = Client::builder().bootstrap(&address).connect().await.unwrap();
        Self { admin: client.admin(), client, address, _ours: ours }
    }

    /// A topic that no other test has, with leaders for its partitions.
    pub async fn topic(&self, partitions: i32) -> String {
        let name = unique("admin");
        let topic = NewTopic::new(&name).partitions(partitions).replication_factor(1);
        let created = self.admin.create_topics(&[topic]).await.unwrap();
        let (named, created) = created.into_iter().next().unwrap();
        assert_eq!(named, name);
        created.unwrap();
        eventually("the topic has leaders", async || {
            let described = self.client.describe_topics(&[&name]).await.unwrap();
            let leaders = described[0].partitions.iter().filter(|partition| partition.leader.is_some());
            leaders.count() == usize::try_from(partitions).unwrap()
        })
        .await;
        name
    }

    /// Writes records with these timestamps to a partition, one batch each.
    pub async fn write(&self, topic: &str, partition: i32, timestamps: &[i64]) {
        let producer = self.client.producer().build().unwrap();
        for &timestamp in timestamps {
            let record = Record::new(topic).value("v").partition(partition).timestamp(timestamp);
            producer.send(record).await.unwrap().await.unwrap();
        }
    }
}

/// A name that no other test has.
pub fn unique(what: &str) -> String {
    format!("{what}-{}", uuid::Uuid::new_v4().simple())
}

/// Waits until it is so: a Kafka makes things known to its brokers a little later.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it does not come to pass: {what}");
}

/// What came of the one thing that was asked about.
pub fn only<K, T>(results: Vec<(K, T)>) -> T {
    assert_eq!(results.len(), 1);
    results.into_iter().next().unwrap().1
}

/// The code that something ended with.
pub fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
    let error = result.unwrap_err();
    error.code().unwrap_or_else(|| panic!("without a code: {error}"))
}
