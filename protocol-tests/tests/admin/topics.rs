//! Topics, their settings, and the cluster.

use hop::kafka::admin::{AclOperation, ConfigChange, ConfigEntry, ConfigResource, ConfigSource, NewTopic};
use hop::kafka::{Address, Error};
use hop::wire::error_code::ErrorCode;
use protocol_tests::target::{Target, code, eventually, kafka, only, unique};

#[tokio::test]
async fn topics_are_made_grow_and_go() {
    let target = Target::new().await;
    topics_come_and_go(&target).await;
    // Partitions and replicas as the broker likes, where it is new enough to be asked so.
    let name = unique("own");
    let created = target.admin.create_topics(&[NewTopic::new(&name)]).await.unwrap();
    let created = only(created).unwrap();
    assert_eq!(created.partitions, Some(if kafka().is_some() { 1 } else { 2 }));
    assert_eq!(created.replication_factor, Some(1));
}

/// What brokers of every age do.
pub(crate) async fn topics_come_and_go(target: &Target) {
    let admin = &target.admin;
    let name = target.topic(3).await;
    // One of several fails, and the others do not.
    let another = unique("another");
    let topics =
        [&name, &another, "no/name"].map(|name| NewTopic::new(name).partitions(1).replication_factor(1));
    let created = admin.create_topics(&topics).await.unwrap();
    let names: Vec<&str> = created.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [&name, &another, "no/name"]);
    let [exists, made, misnamed] =
        created.into_iter().map(|(_, result)| result).collect::<Vec<_>>().try_into().unwrap();
    let exists = exists.unwrap_err();
    assert!(
        matches!(&exists, Error::Refused { code: ErrorCode::TOPIC_ALREADY_EXISTS, message, .. } if message.contains(&name)),
        "{exists}"
    );
    made.unwrap();
    assert_eq!(code(misnamed), ErrorCode::INVALID_TOPIC_EXCEPTION);

    // Only to see whether it could be made.
    let dry = unique("dry");
    let topic = NewTopic::new(&dry).partitions(1).replication_factor(1);
    only(admin.validate_new_topics(&[topic]).await.unwrap()).unwrap();
    let described = target.client.describe_topics(&[&dry]).await.unwrap();
    assert_eq!(described[0].error, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    let topic = NewTopic::new(&dry).partitions(1).replication_factor(1).config("retention.ms", "soon");
    assert_eq!(code(only(admin.validate_new_topics(&[topic]).await.unwrap())), ErrorCode::INVALID_CONFIG);

    admin.create_partitions(&name, 5).await.unwrap();
    eventually("the topic has grown", async || {
        target.client.describe_topics(&[&name]).await.unwrap()[0].partitions.len() == 5
    })
    .await;
    assert_eq!(code(admin.create_partitions(&name, 4).await), ErrorCode::INVALID_PARTITIONS);
    let unknown = admin.create_partitions(&dry, 4).await;
    assert!(matches!(unknown, Err(Error::UnknownTopic { topic }) if topic == dry));

    let deleted = admin.delete_topics(&[&name, &dry, &another]).await.unwrap();
    let [first, unknown, last] = deleted.try_into().unwrap();
    assert_eq!((first.0, unknown.0), (name.clone(), dry));
    first.1.unwrap();
    last.1.unwrap();
    assert!(matches!(unknown.1, Err(Error::UnknownTopic { .. })));
    eventually("the topic has gone", async || {
        target.client.describe_topics(&[&name]).await.unwrap()[0].error.is_some()
    })
    .await;
    assert!(admin.create_topics(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn replicas_go_where_they_are_told() {
    let target = Target::new().await;
    let broker = target.admin.describe_cluster().await.unwrap().brokers[0].id;
    let name = unique("assigned");
    let topic = NewTopic::new(&name).replica_assignment([[broker], [broker]]);
    only(target.admin.create_topics(&[topic]).await.unwrap()).unwrap();
    eventually("both partitions are there", async || {
        let described = target.client.describe_topics(&[&name]).await.unwrap();
        described[0].partitions.iter().filter(|partition| partition.replicas == [broker]).count() == 2
    })
    .await;
    // Nobody has this number.
    let topic = NewTopic::new(unique("nowhere")).replica_assignment([[broker + 4711]]);
    let refused = code(only(target.admin.create_topics(&[topic]).await.unwrap()));
    assert_eq!(refused, ErrorCode::INVALID_REPLICA_ASSIGNMENT);
}

#[tokio::test]
async fn it_is_known_what_may_be_done_to_topics() {
    let target = Target::new().await;
    let name = target.topic(1).await;
    let unknown = unique("never-made");
    let told = target.admin.authorized_operations(&[&name, &unknown]).await.unwrap();
    let [(first, allowed), (second, refused)] = told.try_into().unwrap();
    assert_eq!((first, second), (name, unknown.clone()));
    let allowed = allowed.unwrap();
    for operation in [AclOperation::Read, AclOperation::Write, AclOperation::Describe] {
        assert!(allowed.contains(&operation), "{allowed:?}");
    }
    assert!(matches!(refused, Err(Error::UnknownTopic { topic }) if topic == unknown));
}

#[tokio::test]
async fn the_cluster_is_described() {
    let target = Target::new().await;
    describes_the_cluster(&target).await;
}

pub(crate) async fn describes_the_cluster(target: &Target) {
    let cluster = target.admin.describe_cluster().await.unwrap();
    assert!(cluster.id.is_some_and(|id| !id.is_empty()));
    let ids: Vec<i32> = cluster.brokers.iter().map(|broker| broker.id).collect();
    assert!(cluster.controller.is_some_and(|controller| ids.contains(&controller)));
    let known: Address = target.address.parse().unwrap();
    let [broker] = &cluster.brokers[..] else { panic!("{:?}", cluster.brokers) };
    assert_eq!((broker.host.as_str(), broker.port), (known.host(), i32::from(known.port())));
    assert_eq!(broker.rack, None);
}

fn value<'a>(entries: &'a [ConfigEntry], name: &str) -> (Option<&'a str>, ConfigSource) {
    let entry = entries.iter().find(|entry| entry.name == name).expect("the setting is there");
    (entry.value.as_deref(), entry.source)
}

#[tokio::test]
async fn settings_are_described_and_changed_one_by_one() {
    let target = Target::new().await;
    let admin = &target.admin;
    let name = target.topic(1).await;
    let topic = ConfigResource::topic(&name);
    let described =
        |topic: ConfigResource| async move { only(admin.describe_configs(&[topic]).await.unwrap()).unwrap() };
    eventually("its settings are known", async || {
        only(admin.describe_configs(std::slice::from_ref(&topic)).await.unwrap()).is_ok()
    })
    .await;
    let before = described(topic.clone()).await;
    assert_eq!(value(&before, "cleanup.policy"), (Some("delete"), ConfigSource::Default));

    let changes = [
        ConfigChange::set("retention.ms", "5000"),
        ConfigChange::append("cleanup.policy", "compact"),
        ConfigChange::set("max.message.bytes", "2000000"),
    ];
    only(admin.alter_configs(&[(topic.clone(), &changes)]).await.unwrap()).unwrap();
    eventually("the first changes hold", async || {
        let now = described(topic.clone()).await;
        value(&now, "retention.ms") == (Some("5000"), ConfigSource::Topic)
            && value(&now, "cleanup.policy").0 == Some("delete,compact")
            && value(&now, "max.message.bytes").0 == Some("2000000")
    })
    .await;
    let changes = [ConfigChange::delete("retention.ms"), ConfigChange::subtract("cleanup.policy", "delete")];
    only(admin.validate_configs(&[(topic.clone(), &changes)]).await.unwrap()).unwrap();
    assert_eq!(value(&described(topic.clone()).await, "retention.ms").0, Some("5000"));
    only(admin.alter_configs(&[(topic.clone(), &changes)]).await.unwrap()).unwrap();
    eventually("the other changes hold, and what was not named stays", async || {
        let now = described(topic.clone()).await;
        value(&now, "retention.ms") == (Some("604800000"), ConfigSource::Default)
            && value(&now, "cleanup.policy").0 == Some("compact")
            && value(&now, "max.message.bytes").0 == Some("2000000")
    })
    .await;

    // Each for itself.
    let nowhere = ConfigResource::topic(unique("nowhere"));
    let wrong = [ConfigChange::set("retention.ms", "never")];
    let right = [ConfigChange::set("retention.ms", "1")];
    let altered = admin.alter_configs(&[(topic.clone(), &wrong), (nowhere.clone(), &right)]).await.unwrap();
    let [refused, unknown] = altered.try_into().unwrap();
    assert_eq!((&refused.0, &unknown.0), (&topic, &nowhere));
    assert!(matches!(refused.1, Err(Error::Refused { code: ErrorCode::INVALID_CONFIG, .. })));
    assert!(matches!(unknown.1, Err(Error::UnknownTopic { .. })));
}

#[tokio::test]
async fn the_settings_of_a_broker_are_its_own() {
    let target = Target::new().await;
    let broker = target.admin.describe_cluster().await.unwrap().brokers[0].id;
    let name = target.topic(1).await;
    let resources =
        [ConfigResource::Broker(broker), ConfigResource::topic(&name), ConfigResource::Broker(broker + 4711)];
    // Who is not there is looked for until the time is over.
    let patient = hop::kafka::Client::builder()
        .bootstrap(&target.address)
        .request_timeout(std::time::Duration::from_secs(2))
        .connect()
        .await
        .unwrap();
    let described = patient.admin().describe_configs(&resources).await.unwrap();
    let [own, topic, nobody] = described.try_into().unwrap();
    let partitions = value(own.1.as_ref().unwrap(), "num.partitions").0.map(str::to_owned);
    assert_eq!(partitions.as_deref(), Some(if kafka().is_some() { "1" } else { "2" }));
    assert!(!topic.1.unwrap().is_empty());
    assert!(matches!(nobody.1, Err(Error::UnknownBroker { .. })), "{:?}", nobody.1);
    // A Kafka shows no secrets.
    if kafka().is_some() {
        let secrets = own.1.unwrap().into_iter().filter(|entry| entry.sensitive);
        assert!(secrets.inspect(|entry| assert_eq!(entry.value, None)).count() > 0);
    }
}

#[tokio::test]
async fn the_settings_of_brokers_are_changed_while_they_run() {
    let target = Target::new().await;
    let admin = &target.admin;
    let broker = admin.describe_cluster().await.unwrap().brokers[0].id;
    let (own, all) = (ConfigResource::Broker(broker), ConfigResource::AllBrokers);
    // More than the default, so that no other test notices.
    let more = [ConfigChange::set("message.max.bytes", "2000001")];
    let altered = admin.alter_configs(&[(own.clone(), &more), (all.clone(), &more)]).await.unwrap();
    if kafka().is_none() {
        for (_, result) in altered {
            assert_eq!(code(result), ErrorCode::INVALID_REQUEST);
        }
        return;
    }
    assert!(altered.iter().all(|(_, result)| result.is_ok()), "{altered:?}");
    let now = async |resource: &ConfigResource| {
        let described = only(admin.describe_configs(std::slice::from_ref(resource)).await.unwrap()).unwrap();
        let entry = described.into_iter().find(|entry| entry.name == "message.max.bytes");
        entry.map(|entry| (entry.value, entry.source))
    };
    let changed = Some("2000001".to_owned());
    eventually("both changes hold", async || {
        now(&own).await == Some((changed.clone(), ConfigSource::Broker))
            && now(&all).await == Some((changed.clone(), ConfigSource::AllBrokers))
    })
    .await;
    let back = [ConfigChange::delete("message.max.bytes")];
    only(admin.alter_configs(&[(own.clone(), &back)]).await.unwrap()).unwrap();
    eventually("what all have in common holds", async || {
        now(&own).await == Some((changed.clone(), ConfigSource::AllBrokers))
    })
    .await;
    only(admin.alter_configs(&[(all.clone(), &back)]).await.unwrap()).unwrap();
    eventually("it is as it was", async || now(&all).await.is_none_or(|(value, _)| value.is_none())).await;
}
