//! The cluster that shares records, and what all tests want of it.

use std::time::Duration;

use hop::broker::Broker;
use hop::kafka::admin::{Admin, ConfigChange, ConfigResource, NewTopic};
use hop::kafka::{Client, Error, Record, ShareConsumer, ShareConsumerBuilder, SharedRecord};

/// A client of a Kafka that offers share groups, and a topic and a group that no other test has.
pub(crate) struct Target {
    pub(crate) client: Client,
    pub(crate) admin: Admin,
    pub(crate) address: String,
    pub(crate) topic: String,
    pub(crate) group: String,
}

impl Target {
    /// A topic of so many partitions, and a group that reads it from its beginning. `None` where share groups are not
    /// offered, once it has been seen that the consumer says so.
    pub(crate) async fn new(partitions: i32) -> Option<Self> {
        let Some(address) = kafka() else {
            assert_too_old().await;
            return None;
        };
        let client = Client::builder().bootstrap(&address).connect().await.unwrap();
        let admin = client.admin();
        let (topic, group) = (unique("shared"), unique("share"));
        let target = Self { client, admin, address, topic, group };
        let new = NewTopic::new(&target.topic).partitions(partitions).replication_factor(1);
        target.admin.create_topics(&[new]).await.unwrap().pop().unwrap().1.unwrap();
        target.set("share.auto.offset.reset", "earliest").await;
        Some(target)
    }

    /// The same, of which nothing is known yet.
    pub(crate) async fn anew(&self) -> Self {
        let client = Client::builder().bootstrap(&self.address).connect().await.unwrap();
        let (address, topic, group) = (self.address.clone(), self.topic.clone(), self.group.clone());
        Self { admin: client.admin(), client, address, topic, group }
    }

    /// Sets something for the group, and waits until it holds.
    pub(crate) async fn set(&self, name: &str, value: &str) {
        let resource = ConfigResource::group(&self.group);
        let change = [ConfigChange::set(name, value)];
        let altered = self.admin.alter_configs(&[(resource.clone(), &change)]).await.unwrap();
        altered.into_iter().next().unwrap().1.unwrap();
        eventually("the group's setting holds", async || {
            let described = self.admin.describe_configs(std::slice::from_ref(&resource)).await.unwrap();
            let entries = described.into_iter().next().unwrap().1.unwrap();
            entries.iter().any(|entry| entry.name == name && entry.value.as_deref() == Some(value))
        })
        .await;
    }

    pub(crate) fn builder(&self) -> ShareConsumerBuilder {
        self.client.share_consumer().topics([self.topic.as_str()]).group(&self.group)
    }

    /// A member of the group that says itself what becomes of records.
    pub(crate) async fn explicit(&self) -> ShareConsumer {
        self.builder().acknowledge_explicitly(true).build().await.unwrap()
    }

    /// Writes these numbers to a partition.
    pub(crate) async fn write(&self, partition: i32, numbers: std::ops::Range<u32>) {
        let producer = self.client.producer().build().unwrap();
        let mut deliveries = Vec::new();
        for number in numbers {
            let record = Record::new(self.topic.as_str()).value(number.to_string()).partition(partition);
            deliveries.push(producer.send(record).await.unwrap());
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
    }
}

/// Where a Kafka is that offers share groups.
fn kafka() -> Option<String> {
    let address = std::env::var("CONFORMANCE_BROKER").ok()?;
    let is_old = std::env::var("KAFKA_VERSION").is_ok_and(|version| version.starts_with('3'));
    (!is_old).then_some(address)
}

/// A broker that does not offer share groups is named, and what would be needed.
async fn assert_too_old() {
    let (address, _ours) = match std::env::var("CONFORMANCE_BROKER") {
        Ok(address) => (address, None),
        Err(_) => {
            let broker = Broker::builder().topic("t", 1).start().await.unwrap();
            (broker.bootstrap(), Some(broker))
        }
    };
    let client = Client::builder().bootstrap(&address).connect().await.unwrap();
    let error = client.share_consumer().topics(["t"]).group("g").build().await.unwrap_err();
    assert!(matches!(error, Error::TooOld { .. }), "{error}");
    let words = error.to_string();
    assert!(words.contains("share groups") && words.contains("4.2"), "{words}");
}

/// A name that no other test has.
pub(crate) fn unique(what: &str) -> String {
    format!("{what}-{}", uuid::Uuid::new_v4().simple())
}

/// Waits until it is so: a Kafka makes things known to its brokers a little later.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it does not come to pass: {what}");
}

/// The number that was written.
pub(crate) fn number(shared: &SharedRecord) -> u32 {
    std::str::from_utf8(shared.record.value.as_ref().unwrap()).unwrap().parse().unwrap()
}

/// The numbers and delivery counts of the next records.
pub(crate) async fn numbers(consumer: &mut ShareConsumer, count: usize) -> Vec<(u32, u16)> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let shared = consumer.next().await.unwrap().unwrap();
        numbers.push((number(&shared), shared.delivery_count));
    }
    numbers
}
