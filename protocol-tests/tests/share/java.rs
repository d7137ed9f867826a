//! In one share group with Java's consumer: Kafka's own verifiable one.

use std::collections::BTreeMap;
use std::process::Stdio;

use hop::kafka::Acknowledgement;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::target::{Target, number};

const RECORDS: u32 = 2000;
const PARTITIONS: i32 = 2;

#[tokio::test]
async fn every_record_is_accepted_once_by_us_or_by_java() {
    let Some(target) = Target::new(PARTITIONS).await else { return };
    let mut java = Verifiable::start(&target).await;
    let mut ours = target.explicit().await;
    // Both are members before there is anything to share.
    while ours.assignment().is_empty() {
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), ours.next()).await.is_err());
    }
    let mut accepted: BTreeMap<(i32, i64), &str> = BTreeMap::new();
    let mut of_ours = 0;
    let writes = async {
        for first in (0..RECORDS).step_by(100) {
            let partition = i32::try_from(first / 100).unwrap() % PARTITIONS;
            target.write(partition, first..first + 100).await;
        }
    };
    let reads = async {
        let mut released = 0;
        while accepted.len() < RECORDS as usize {
            tokio::select! {
                shared = ours.next() => {
                    let shared = shared.unwrap().unwrap();
                    // Every fiftieth is left to whoever comes next.
                    if shared.delivery_count == 1 && number(&shared).is_multiple_of(50) {
                        ours.acknowledge(&shared, Acknowledgement::Release).unwrap();
                        released += 1;
                        continue;
                    }
                    ours.acknowledge(&shared, Acknowledgement::Accept).unwrap();
                    let before = accepted.insert((shared.record.partition, shared.record.offset), "us");
                    assert_eq!(before, None, "{shared:?}");
                    of_ours += 1;
                }
                acknowledged = java.acknowledged() => {
                    for offset in acknowledged {
                        assert_eq!(accepted.insert(offset, "Java"), None, "{offset:?}");
                    }
                }
            }
        }
        released
    };
    let ((), released) = tokio::join!(writes, reads);
    let outcomes = ours.commit().await;
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_ok()), "{outcomes:?}");
    assert!(released > 0, "nothing was released");
    assert!(of_ours > 0 && of_ours < accepted.len(), "{of_ours} of {} are ours", accepted.len());
    java.stop().await;
    ours.close().await.unwrap();
}

/// Kafka's verifiable share consumer, which says what it has acknowledged.
struct Verifiable {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Verifiable {
    async fn start(target: &Target) -> Self {
        // Java itself, and not the script that runs Kafka's tools: it is to end when it is killed.
        let kafka = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/kafka");
        let fetched = Command::new(kafka).args(["--version", "4", "fetch"]).output().await.unwrap();
        assert!(fetched.status.success(), "{fetched:?}");
        let libraries = String::from_utf8(fetched.stdout).unwrap();
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.args(["-cp", &format!("{}/*", libraries.trim())]);
        command.arg("org.apache.kafka.tools.VerifiableShareConsumer");
        command.args(["--bootstrap-server", &target.address, "--topic", &target.topic]);
        command.args(["--group-id", &target.group, "--acknowledgement-mode", "sync"]);
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut started = Self { process, lines };
        while !started.line().await.contains("\"startup_complete\"") {}
        // It says so before it has joined.
        crate::target::eventually("Java is a member", async || {
            let described = target.admin.list_groups().await.unwrap();
            described.iter().any(|listed| listed.name == target.group)
        })
        .await;
        started
    }

    async fn line(&mut self) -> String {
        self.lines.next_line().await.unwrap().expect("it runs until it is stopped")
    }

    /// Partitions and offsets that it has acknowledged; empty where it says something else. Nothing is lost when the
    /// future is dropped.
    async fn acknowledged(&mut self) -> Vec<(i32, i64)> {
        let line = self.line().await;
        if !line.contains("\"offsets_acknowledged\"") {
            return Vec::new();
        }
        assert!(line.contains("\"success\":true"), "{line}");
        let mut offsets = Vec::new();
        for partition in line.split("\"partition\":").skip(1) {
            let number = partition.split(',').next().unwrap().parse().unwrap();
            let listed = partition.split("\"offsets\":[").nth(1).unwrap().split(']').next().unwrap();
            offsets.extend(listed.split(',').map(|offset| (number, offset.parse().unwrap())));
        }
        offsets
    }

    async fn stop(mut self) {
        self.process.kill().await.unwrap();
    }
}
