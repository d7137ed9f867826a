//! The cluster that tests of the client use, and what all of them want of it.

use std::time::Duration;

use hop::broker::Broker;
use hop::kafka::admin::{Admin, NewTopic, OffsetSpec};
use hop::kafka::{Client, Error, Record, TopicPartition};
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

    /// The Kafka that `CONFORMANCE_BROKER` names; without one there is nothing to test.
    pub async fn real() -> Self {
        Self::at(kafka().expect("CONFORMANCE_BROKER=host:port names a Kafka"), None).await
    }

    /// What is reached at an address.
    pub async fn at(address: String, ours: Option<Broker>) -> Self {
        let client = Client::builder().bootstrap(&address).connect().await.unwrap();
        Self { admin: client.admin(), client, address, _ours: ours }
    }

    /// A topic that no other test has, with leaders for its partitions.
    pub async fn topic(&self, partitions: i32) -> String {
        self.topic_with(partitions, &[]).await
    }

    /// The same, with settings.
    pub async fn topic_with(&self, partitions: i32, configs: &[(&str, &str)]) -> String {
        let name = unique("topic");
        let topic = NewTopic::new(&name).partitions(partitions).replication_factor(1);
        let topic = configs.iter().fold(topic, |topic, (name, value)| topic.config(*name, *value));
        self.create(topic).await.unwrap();
        self.wait_for_leaders(&name, partitions).await;
        name
    }

    /// Deletes a topic, and makes another of its name.
    pub async fn make_anew(&self, name: &str, partitions: i32) {
        only(self.admin.delete_topics(&[name]).await.unwrap()).unwrap();
        self.make_again(name, partitions).await;
    }

    /// Makes a topic of a name whose last topic is being deleted.
    pub async fn make_again(&self, name: &str, partitions: i32) {
        eventually("the name is free again", async || {
            let topic = NewTopic::new(name).partitions(partitions).replication_factor(1);
            match self.create(topic).await {
                Ok(()) => true,
                Err(Error::Refused { code: ErrorCode::TOPIC_ALREADY_EXISTS, .. }) => false,
                Err(error) => panic!("{error}"),
            }
        })
        .await;
        self.wait_for_leaders(name, partitions).await;
    }

    async fn create(&self, topic: NewTopic) -> Result<(), Error> {
        only(self.admin.create_topics(&[topic]).await.unwrap()).map(drop)
    }

    /// Makes a topic grow, and waits until it has.
    pub async fn grow(&self, name: &str, partitions: i32) {
        self.admin.create_partitions(name, partitions).await.unwrap();
        self.wait_for_leaders(name, partitions).await;
    }

    /// That the cluster names a leader does not mean that it leads yet: it is asked.
    async fn wait_for_leaders(&self, name: &str, partitions: i32) {
        let ends = (0..partitions).map(|number| (TopicPartition::new(name, number), OffsetSpec::Latest));
        let ends: Vec<_> = ends.collect();
        eventually("the topic has leaders", async || {
            self.admin.offsets(&ends).await.is_ok_and(|ends| ends.iter().all(|(_, end)| end.is_ok()))
        })
        .await;
    }

    /// A client that learns nothing from what is asked of the other.
    pub async fn another_client(&self) -> Client {
        Client::builder().bootstrap(&self.address).connect().await.unwrap()
    }

    /// Writes records with these timestamps to a partition, one batch each.
    pub async fn write(&self, topic: &str, partition: i32, timestamps: &[i64]) {
        let producer = self.client.producer().build().unwrap();
        for &timestamp in timestamps {
            let record = Record::new(topic).value("v").partition(partition).timestamp(timestamp);
            producer.send(record).await.unwrap().await.unwrap();
        }
    }

    /// Writes these values to a partition, one batch each, with a client that looks at the topic anew.
    pub async fn write_values(&self, topic: &str, partition: i32, values: impl IntoIterator<Item = String>) {
        let producer = self.another_client().await.producer().build().unwrap();
        for value in values {
            let record = Record::new(topic).value(value).partition(partition);
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
