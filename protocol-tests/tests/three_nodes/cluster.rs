//! The three nodes, one test at a time.

use std::path::{Path, PathBuf};
use std::process::Command;

use hop::kafka::admin::NewTopic;
use hop::kafka::{Client, PartitionDescription};
use protocol_tests::target::{Target, eventually, only, unique};
use tokio::sync::{Mutex, MutexGuard};

/// Whoever holds it may stop nodes.
static TURN: Mutex<()> = Mutex::const_new(());

pub(crate) struct Cluster {
    pub(crate) target: Target,
    directory: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Waits until no other test uses it, and until all nodes run.
    pub(crate) async fn take() -> Self {
        let turn = TURN.lock().await;
        let directory =
            std::env::var("KAFKA_CLUSTER_DIR").expect("KAFKA_CLUSTER_DIR is what scripts/kafka made");
        let directory = PathBuf::from(directory);
        operate(&directory, &["start"]).await;
        let target = Target::at(addresses(&directory).join(","), None).await;
        Self { target, directory, _turn: turn }
    }

    /// Does something with the nodes: `kill-node 1`.
    pub(crate) async fn operate(&self, arguments: &[&str]) {
        operate(&self.directory, arguments).await;
    }

    /// Where each node listens, the first first.
    pub(crate) fn addresses(&self) -> Vec<String> {
        addresses(&self.directory)
    }

    /// A topic of one partition on these nodes, with a leader.
    pub(crate) async fn topic(&self, replicas: &[i32], configs: &[(&str, &str)]) -> String {
        let name = unique("nodes");
        let topic = NewTopic::new(&name).replica_assignment([replicas.iter().copied()]);
        let topic = configs.iter().fold(topic, |topic, (name, value)| topic.config(*name, *value));
        only(self.target.admin.create_topics(&[topic]).await.unwrap()).unwrap();
        self.until("all replicas are in sync", &name, |partition| {
            partition.leader == Some(replicas[0]) && partition.in_sync_replicas.len() == replicas.len()
        })
        .await;
        name
    }

    /// Waits until the partition of a topic is so.
    pub(crate) async fn until(&self, what: &str, topic: &str, is_so: impl Fn(&PartitionDescription) -> bool) {
        eventually(what, async || {
            let described = self.target.client.describe_topics(&[topic]).await.unwrap();
            described[0].partitions.first().is_some_and(&is_so)
        })
        .await;
    }

    pub(crate) async fn client(&self) -> Client {
        self.target.another_client().await
    }
}

fn addresses(directory: &Path) -> Vec<String> {
    let settings = std::fs::read_to_string(directory.join("env")).expect("a Kafka runs there");
    let brokers = settings.lines().find_map(|line| line.strip_prefix("KAFKA_PLAINTEXT=")).unwrap();
    brokers.split(',').map(str::to_owned).collect()
}

async fn operate(directory: &Path, arguments: &[&str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/kafka");
    let mut command = Command::new(script);
    command.args(arguments).arg("--dir").arg(directory).stdout(std::process::Stdio::null());
    let status = tokio::task::spawn_blocking(move || command.status()).await.unwrap().unwrap();
    assert!(status.success(), "{arguments:?}");
}
