//! Consumers in groups on the embedded broker: both protocols, every assignor, commits, and members that come, go, are
//! thrown out or lose their coordinator.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests say what is wrong by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hop::broker::{Broker, Fault};
use hop::kafka::{
    Assignor, Client, CommittedOffset, ConsumedRecord, Consumer, ConsumerEvent, Error, Group, GroupProtocol,
    Record, StartOffset, TopicPartition,
};
use hop::wire::error_code::ErrorCode;
use hop::wire::messages::{ConsumerGroupHeartbeatRequest, JoinGroupRequest, OffsetCommitRequest};

const PARTITIONS: i32 = 6;
/// Nine of them without an answer, and a member under KIP-848 takes itself for lost: also on a busy machine there are none.
const HEARTBEAT: Duration = Duration::from_millis(150);

async fn start() -> (Broker, Client) {
    let broker =
        Broker::builder().heartbeat_interval(HEARTBEAT).topic("t", PARTITIONS).start().await.unwrap();
    let client = Client::builder().bootstrap(&broker.bootstrap()).connect().await.unwrap();
    (broker, client)
}

/// Writes these numbers, spread over the partitions.
async fn write(client: &Client, numbers: std::ops::Range<u32>) {
    let producer = client.producer().build().unwrap();
    let mut deliveries = Vec::new();
    for number in numbers {
        let partition = i32::try_from(number).unwrap() % PARTITIONS;
        let record = Record::new("t").partition(partition).value(number.to_string());
        deliveries.push(producer.send(record).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
}

fn quick(protocol: GroupProtocol, assignors: &[Assignor]) -> Group {
    let group = Group::new("g").protocol(protocol).heartbeat_interval(HEARTBEAT);
    if assignors.is_empty() { group } else { group.assignors(assignors.iter().copied()) }
}

async fn member(client: &Client, group: Group) -> Consumer {
    client.consumer().topics(["t"]).group(group).start_at(StartOffset::Earliest).build().await.unwrap()
}

async fn numbers(consumer: &mut Consumer, count: usize) -> Vec<u32> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        numbers.push(number_of(&consumer.next().await.unwrap().expect("more")));
    }
    numbers
}

fn number_of(record: &ConsumedRecord) -> u32 {
    std::str::from_utf8(record.value.as_ref().unwrap()).unwrap().parse().unwrap()
}

/// Runs members until each has as many partitions as it should, together all of them; what they were told of meanwhile.
async fn settle(members: &mut [&mut Consumer], shares: &[usize]) -> Vec<Vec<ConsumerEvent>> {
    let mut events: Vec<Vec<ConsumerEvent>> = members.iter().map(|_| Vec::new()).collect();
    loop {
        let now: Vec<usize> = members.iter().map(|member| member.assignment().len()).collect();
        let all: BTreeSet<_> = members.iter().flat_map(|member| member.assignment()).collect();
        if now == shares && all.len() == now.iter().sum::<usize>() {
            return events;
        }
        for (member, events) in members.iter_mut().zip(&mut events) {
            if let Ok(event) = tokio::time::timeout(Duration::from_millis(20), member.next_event()).await {
                events.push(event.unwrap().expect("no end"));
            }
        }
    }
}

fn protocols() -> Vec<(GroupProtocol, Vec<Assignor>)> {
    vec![
        (GroupProtocol::Classic, vec![Assignor::Range]),
        (GroupProtocol::Classic, vec![Assignor::RoundRobin]),
        (GroupProtocol::Classic, vec![Assignor::Sticky]),
        (GroupProtocol::Classic, vec![Assignor::CooperativeSticky]),
        (GroupProtocol::Classic, vec![]),
        (GroupProtocol::Consumer, vec![]),
        (GroupProtocol::Automatic, vec![]),
    ]
}

#[tokio::test]
async fn a_group_goes_on_where_it_left_off() {
    for (protocol, assignors) in protocols() {
        let (_broker, client) = start().await;
        write(&client, 0..60).await;
        let mut first = member(&client, quick(protocol, &assignors)).await;
        let mut read = numbers(&mut first, 25).await;
        first.close().await.unwrap();
        write(&client, 60..90).await;
        let mut second = member(&client, quick(protocol, &assignors)).await;
        read.extend(numbers(&mut second, 65).await);
        read.sort_unstable();
        assert_eq!(read, (0..90).collect::<Vec<_>>(), "{protocol:?} {assignors:?}");
        second.close().await.unwrap();
    }
}

#[tokio::test]
async fn members_share_the_partitions_and_get_those_of_who_leaves() {
    for (protocol, assignors) in protocols() {
        let (_broker, client) = start().await;
        let mut one = member(&client, quick(protocol, &assignors)).await;
        settle(&mut [&mut one], &[6]).await;
        let mut two = member(&client, quick(protocol, &assignors)).await;
        settle(&mut [&mut one, &mut two], &[3, 3]).await;
        let mut three = member(&client, quick(protocol, &assignors)).await;
        settle(&mut [&mut one, &mut two, &mut three], &[2, 2, 2]).await;
        one.close().await.unwrap();
        settle(&mut [&mut two, &mut three], &[3, 3]).await;
        two.close().await.unwrap();
        settle(&mut [&mut three], &[6]).await;
    }
}

#[tokio::test]
async fn cooperative_members_keep_what_they_do_not_lose() {
    for (protocol, assignors) in
        [(GroupProtocol::Classic, vec![Assignor::CooperativeSticky]), (GroupProtocol::Consumer, vec![])]
    {
        let (_broker, client) = start().await;
        let mut one = member(&client, quick(protocol, &assignors)).await;
        settle(&mut [&mut one], &[6]).await;
        let before: BTreeSet<_> = one.assignment().into_iter().collect();
        let mut two = member(&client, quick(protocol, &assignors)).await;
        let events = settle(&mut [&mut one, &mut two], &[3, 3]).await;
        let revoked: Vec<_> = events[0]
            .iter()
            .filter_map(|event| match event {
                ConsumerEvent::Revoking(partitions) => Some(partitions.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        assert_eq!(revoked.len(), 3, "{protocol:?}");
        let kept: BTreeSet<_> = one.assignment().into_iter().collect();
        assert!(kept.iter().all(|kept| before.contains(kept) && !revoked.contains(kept)));
    }
}

#[tokio::test]
async fn what_is_marked_before_partitions_go_is_where_the_next_reader_begins() {
    for (protocol, assignors) in protocols() {
        let (_broker, client) = start().await;
        write(&client, 0..600).await;
        let mut one = member(&client, quick(protocol, &assignors)).await;
        let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
        for number in numbers(&mut one, 200).await {
            *seen.entry(number).or_default() += 1;
        }
        let two = member(&client, quick(protocol, &assignors)).await;
        let mut members = [one, two];
        let mut total = 200;
        while total < 600 {
            for member in &mut members {
                let next = tokio::time::timeout(Duration::from_millis(20), member.next()).await;
                if let Ok(record) = next {
                    *seen.entry(number_of(&record.unwrap().unwrap())).or_default() += 1;
                    total += 1;
                }
            }
        }
        assert!(seen.len() == 600 && seen.values().all(|&times| times == 1), "{protocol:?} {assignors:?}");
    }
}

#[tokio::test]
async fn a_member_that_was_thrown_out_loses_its_partitions_and_comes_back() {
    for (protocol, assignors) in protocols() {
        let (broker, client) = start().await;
        write(&client, 0..60).await;
        let mut one = member(&client, quick(protocol, &assignors)).await;
        numbers(&mut one, 60).await;
        assert_eq!(broker.expire_members("g"), 1);
        let mut lost = false;
        loop {
            match one.next_event().await.unwrap().unwrap() {
                ConsumerEvent::Lost(partitions) => lost = partitions.len() == 6,
                ConsumerEvent::Assigned(partitions) if lost => {
                    assert_eq!(partitions.len(), 6);
                    break;
                }
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn a_group_follows_its_coordinator() {
    for (protocol, assignors) in protocols() {
        let broker = Broker::builder()
            .brokers(2)
            .heartbeat_interval(HEARTBEAT)
            .topic("t", PARTITIONS)
            .start()
            .await
            .unwrap();
        let client = Client::builder().bootstrap(&broker.bootstrap()).connect().await.unwrap();
        write(&client, 0..60).await;
        let mut one = member(&client, quick(protocol, &assignors)).await;
        numbers(&mut one, 60).await;
        let next = 1 - broker.coordinator("g");
        broker.move_coordinator("g", next).unwrap();
        one.mark(&TopicPartition::new("t", 0), 7);
        one.commit().await.unwrap();
        let committed = one.committed(&[TopicPartition::new("t", 0)]).await.unwrap();
        assert_eq!(committed[0].1.as_ref().unwrap().offset, 7);
        write(&client, 60..66).await;
        numbers(&mut one, 6).await;
        one.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_coordinator_that_is_out_of_reach_is_one_interruption_whoever_else_answers() {
    for (protocol, fault) in [
        (GroupProtocol::Classic, Fault::on::<JoinGroupRequest>()),
        (GroupProtocol::Consumer, Fault::on::<ConsumerGroupHeartbeatRequest>()),
    ] {
        let (broker, client) = start().await;
        broker.misbehave(fault.hang_up_before().times(4));
        let mut one = member(&client, quick(protocol, &[])).await;
        let mut interruptions = Vec::new();
        while one.assignment().is_empty() {
            if let Ok(event) = tokio::time::timeout(Duration::from_millis(5), one.next_event()).await {
                event.unwrap().expect("no end");
            }
            interruptions.push(one.interruption().is_some());
        }
        interruptions.dedup();
        assert_eq!(interruptions.iter().filter(|&&is_on| is_on).count(), 1, "{protocol:?} {interruptions:?}");
        assert!(one.interruption().is_none(), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_static_member_that_comes_back_disturbs_nobody() {
    let (_broker, client) = start().await;
    let group = |name| quick(GroupProtocol::Classic, &[Assignor::CooperativeSticky]).instance_id(name);
    let mut one = member(&client, group("one")).await;
    let two = member(&client, group("two")).await;
    let mut two = two;
    settle(&mut [&mut one, &mut two], &[3, 3]).await;
    let had = two.assignment();
    two.close().await.unwrap();
    let mut two = member(&client, group("two")).await;
    let events = settle(&mut [&mut one, &mut two], &[3, 3]).await;
    assert_eq!(two.assignment(), had);
    assert!(events[0].is_empty(), "{:?}", events[0]);
}

#[tokio::test]
async fn two_of_one_static_name_are_one_too_many() {
    let (_broker, client) = start().await;
    let group = || quick(GroupProtocol::Classic, &[]).instance_id("one");
    let mut first = member(&client, group()).await;
    settle(&mut [&mut first], &[6]).await;
    let mut second = member(&client, group()).await;
    settle(&mut [&mut second], &[6]).await;
    let error = loop {
        match first.next_event().await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, Error::Broker { code: ErrorCode::FENCED_INSTANCE_ID, .. }), "{error}");
    assert!(first.next_event().await.is_err(), "there is no way back");
}

#[tokio::test]
async fn who_is_busy_for_too_long_leaves_the_group_until_they_come_back() {
    for (protocol, assignors) in protocols() {
        let (_broker, client) = start().await;
        let busy = quick(protocol, &assignors).max_poll_interval(Duration::from_millis(300));
        let mut one = member(&client, busy).await;
        settle(&mut [&mut one], &[6]).await;
        // Nobody asks `one` for anything: the other gets everything.
        let mut two = member(&client, quick(protocol, &assignors)).await;
        settle(&mut [&mut two], &[6]).await;
        // Now it is back, and has lost what it had.
        while !matches!(one.next_event().await.unwrap().unwrap(), ConsumerEvent::Lost(_)) {}
        settle(&mut [&mut one, &mut two], &[3, 3]).await;
    }
}

#[tokio::test]
async fn a_commit_of_partitions_that_are_anothers_is_refused() {
    let (broker, client) = start().await;
    let mut one = member(&client, quick(GroupProtocol::Classic, &[])).await;
    settle(&mut [&mut one], &[6]).await;
    broker.expire_members("g");
    let offsets = vec![(TopicPartition::new("t", 0), CommittedOffset::new(5))];
    let error = one.commit_offsets(offsets).await.unwrap_err();
    assert!(matches!(error, Error::Broker { code: ErrorCode::UNKNOWN_MEMBER_ID, .. }), "{error}");
}

#[tokio::test]
async fn commits_are_carried_out_in_their_order() {
    let (_broker, client) = start().await;
    let mut one = member(&client, quick(GroupProtocol::Classic, &[])).await;
    settle(&mut [&mut one], &[6]).await;
    let partition = TopicPartition::new("t", 0);
    for offset in 1..200 {
        one.mark(&partition, offset);
        one.commit_soon().unwrap();
    }
    one.mark(&partition, 200);
    one.commit().await.unwrap();
    let committed = one.committed(std::slice::from_ref(&partition)).await.unwrap();
    assert_eq!(committed, [(partition, Some(CommittedOffset::new(200)))]);
}

#[tokio::test]
async fn what_is_committed_in_the_background_is_kept_before_partitions_go() {
    for (protocol, assignors) in protocols() {
        let (broker, client) = start().await;
        write(&client, 0..60).await;
        let by_hand = client.consumer().topics(["t"]).group(quick(protocol, &assignors)).auto_commit(None);
        let mut one = by_hand.start_at(StartOffset::Earliest).build().await.unwrap();
        numbers(&mut one, 60).await;
        let mut two = member(&client, quick(protocol, &assignors)).await;
        while !matches!(one.next_event().await.unwrap().unwrap(), ConsumerEvent::Revoking(_)) {}
        let loading = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
        broker.misbehave(Fault::on::<OffsetCommitRequest>().answer(loading).times(3));
        for number in 0..PARTITIONS {
            one.mark(&TopicPartition::new("t", number), 10);
        }
        one.commit_soon().unwrap();
        settle(&mut [&mut one, &mut two], &[3, 3]).await;
        let committed = two.committed(&two.assignment()).await.unwrap();
        let offsets: Vec<_> =
            committed.iter().map(|(_, offset)| offset.as_ref().map(|offset| offset.offset)).collect();
        assert_eq!(offsets, [Some(10); 3], "{protocol:?} {assignors:?}");
    }
}

/// What the group has committed, while a member goes on.
async fn committed(client: &Client, member: &mut Consumer, group: &str) -> Vec<(i32, i64)> {
    let admin = client.admin();
    let asked = admin.committed_offsets(group);
    tokio::pin!(asked);
    loop {
        tokio::select! {
            offsets = &mut asked => {
                let offsets = offsets.unwrap().into_iter();
                return offsets.map(|(partition, offset)| (partition.partition, offset.offset)).collect();
            }
            event = member.next_event() => drop(event.unwrap().expect("no end")),
        }
    }
}

#[tokio::test]
async fn a_group_that_begins_at_the_end_keeps_that_end() {
    for (protocol, assignors) in protocols() {
        let (_broker, client) = start().await;
        write(&client, 0..6).await;
        let latest = || client.consumer().topics(["t"]).group(quick(protocol, &assignors)).build();
        let mut first = latest().await.unwrap();
        let ends: Vec<_> = (0..PARTITIONS).map(|partition| (partition, 1)).collect();
        while committed(&client, &mut first, "g").await != ends {}
        drop(first);
        // The next to read would begin behind these, if it looked for the end itself.
        write(&client, 6..18).await;
        let mut second = latest().await.unwrap();
        let mut read = numbers(&mut second, 12).await;
        read.sort_unstable();
        assert_eq!(read, (6..18).collect::<Vec<_>>(), "{protocol:?} {assignors:?}");
    }
}

#[tokio::test]
async fn who_commits_by_hand_has_nothing_committed_for_them() {
    let (_broker, client) = start().await;
    write(&client, 0..6).await;
    let consumer =
        client.consumer().topics(["t"]).group(quick(GroupProtocol::Classic, &[])).auto_commit(None);
    let mut first = consumer.build().await.unwrap();
    settle(&mut [&mut first], &[6]).await;
    while (0..PARTITIONS).any(|number| first.position(&TopicPartition::new("t", number)).is_none()) {
        committed(&client, &mut first, "g").await;
    }
    first.close().await.unwrap();
    assert_eq!(client.admin().committed_offsets("g").await.unwrap(), []);
}

#[tokio::test]
async fn what_was_handed_over_is_committed_while_nothing_comes() {
    let (_broker, client) = start().await;
    write(&client, 0..30).await;
    let consumer = client.consumer().topics(["t"]).group("g").start_at(StartOffset::Earliest);
    let mut reader = consumer.auto_commit(Some(Duration::from_millis(100))).build().await.unwrap();
    numbers(&mut reader, 30).await;
    let waiting = tokio::spawn(async move { reader.next().await });
    let onlooker = client.consumer().whole_topics(["t"]).group("g").build().await.unwrap();
    loop {
        let committed = onlooker.committed(&onlooker.assignment()).await.unwrap();
        if committed.iter().filter_map(|(_, offset)| offset.as_ref()).map(|of| of.offset).sum::<i64>() == 30 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    waiting.abort();
}

#[tokio::test]
async fn a_group_may_keep_offsets_of_partitions_that_were_named() {
    let (_broker, client) = start().await;
    write(&client, 0..60).await;
    let all = || (0..PARTITIONS).map(|number| TopicPartition::new("t", number));
    let reader = || client.consumer().partitions(all()).group("g").start_at(StartOffset::Earliest).build();
    // Both read everything: nothing is shared.
    let (mut one, mut two) = (reader().await.unwrap(), reader().await.unwrap());
    numbers(&mut one, 60).await;
    numbers(&mut two, 60).await;
    one.close().await.unwrap();
    write(&client, 60..66).await;
    let mut three = reader().await.unwrap();
    let mut rest = numbers(&mut three, 6).await;
    rest.sort_unstable();
    assert_eq!(rest, (60..66).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_a_group_there_is_nothing_to_commit() {
    let (_broker, client) = start().await;
    let mut consumer = client.consumer().topics(["t"]).build().await.unwrap();
    assert!(matches!(consumer.commit().await, Err(Error::Setting { setting: "group", .. })));
}

#[tokio::test]
async fn a_group_that_stops_at_the_end_stops_there_and_next_time_at_once() {
    for (protocol, assignors) in protocols() {
        let (_broker, client) = start().await;
        write(&client, 0..30).await;
        for expected in [30, 0] {
            let group = quick(protocol, &assignors);
            let consumer = client.consumer().topics(["t"]).group(group).start_at(StartOffset::Earliest);
            let mut consumer = consumer.stop_at_end(true).build().await.unwrap();
            let mut count = 0;
            while consumer.next().await.unwrap().is_some() {
                count += 1;
            }
            assert_eq!(count, expected, "{protocol:?} {assignors:?}");
            consumer.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_rebalance_is_not_the_end() {
    for (protocol, assignors) in protocols() {
        let (_broker, client) = start().await;
        write(&client, 0..600).await;
        let consumer = client.consumer().topics(["t"]).group(quick(protocol, &assignors));
        let consumer = consumer.start_at(StartOffset::Earliest).stop_at_end(true).build();
        let mut one = consumer.await.unwrap();
        let mut read: BTreeSet<_> = numbers(&mut one, 10).await.into_iter().collect();
        one.pause(&one.assignment()).unwrap();
        let mut two = member(&client, quick(protocol, &assignors)).await;
        let two = tokio::spawn(async move {
            while !matches!(two.next_event().await.unwrap(), Some(ConsumerEvent::Assigned(_))) {}
            two
        });
        loop {
            match one.next_event().await.unwrap().expect("paused is not read") {
                ConsumerEvent::Revoking(_) => break,
                ConsumerEvent::Records(_) => panic!("it is paused"),
                _ => {}
            }
        }
        // Those that it keeps are still paused, those that it gets again are not.
        let all: Vec<_> = (0..PARTITIONS).map(|number| TopicPartition::new("t", number)).collect();
        for partition in &all {
            let _ = one.resume(std::slice::from_ref(partition));
        }
        while let Some(record) = one.next().await.unwrap() {
            read.insert(number_of(&record));
        }
        let whole =
            |number: &i32| (0..600).filter(|n| n % 6 == *number).all(|n| read.contains(&n.unsigned_abs()));
        let whole = (0..PARTITIONS).filter(whole).count();
        assert!(whole >= 3, "{protocol:?} {assignors:?}: {} records, {whole} partitions", read.len());
        drop(two.await.unwrap());
    }
}

#[tokio::test]
async fn a_member_for_whom_nothing_is_left_ends_all_the_same() {
    for (protocol, assignors) in protocols() {
        let session = Duration::from_millis(500);
        let broker = Broker::builder()
            .heartbeat_interval(HEARTBEAT)
            .session_timeouts(session..=session)
            .topic("t", 1)
            .start();
        let broker = broker.await.unwrap();
        let client = Client::builder().bootstrap(&broker.bootstrap()).connect().await.unwrap();
        let group = || quick(protocol, &assignors).session_timeout(session);
        let mut one = member(&client, group()).await;
        settle(&mut [&mut one], &[1]).await;
        let two = client.consumer().topics(["t"]).group(group()).stop_at_end(true).build().await.unwrap();
        let mut two = two;
        let both = async {
            loop {
                one.next_event().await.unwrap();
            }
        };
        // Which of the two has the partition is the assignor's business.
        tokio::select! {
            end = two.next() => assert!(end.unwrap().is_none()),
            () = both => unreachable!(),
        }
    }
}

#[tokio::test]
async fn what_is_paused_or_taken_away_comes_no_more_though_its_batch_was_begun() {
    let (_broker, client) = start().await;
    write(&client, 0..60).await;
    let first = TopicPartition::new("t", 0);
    let only = std::slice::from_ref(&first);
    let consumer = client.consumer().partitions([first.clone()]).group("g");
    let mut consumer = consumer.start_at(StartOffset::Earliest).build().await.unwrap();
    assert_eq!(numbers(&mut consumer, 2).await, [0, 6]);
    assert_eq!(consumer.position(&first), Some(2));
    consumer.pause(only).unwrap();
    let more = tokio::time::timeout(Duration::from_millis(700), consumer.next()).await;
    assert!(more.is_err(), "{more:?}");
    assert_eq!(consumer.position(&first), Some(2));
    consumer.resume(only).unwrap();
    assert_eq!(numbers(&mut consumer, 8).await, [12, 18, 24, 30, 36, 42, 48, 54]);
}

#[tokio::test]
async fn who_lost_partitions_and_has_not_heard_commits_nothing_for_them() {
    for (protocol, assignors) in protocols() {
        let (broker, client) = start().await;
        write(&client, 0..60).await;
        let mut one = member(&client, quick(protocol, &assignors)).await;
        numbers(&mut one, 60).await;
        let first = TopicPartition::new("t", 0);
        one.mark(&first, 3);
        one.commit().await.unwrap();
        let id = |client: Client| async move {
            let groups = client.admin().describe_groups(&["g"]).await.unwrap();
            let group = groups.into_iter().next().unwrap().1.unwrap();
            group.members.into_iter().find(|member| member.assigned.len() == 6).map(|member| member.id)
        };
        assert!(id(client.clone()).await.is_some());
        assert_eq!(broker.expire_members("g"), 1);
        // It comes back by itself, though its user does not ask for anything.
        while id(client.clone()).await.is_none() {
            tokio::task::yield_now().await;
        }
        one.mark(&first, 5);
        let error = one.commit().await.unwrap_err();
        assert!(matches!(error, Error::Broker { code: ErrorCode::UNKNOWN_MEMBER_ID, .. }), "{error}");
        let committed = one.committed(std::slice::from_ref(&first)).await.unwrap();
        let kept = CommittedOffset { leader_epoch: 0, ..CommittedOffset::new(3) };
        assert_eq!(committed[0].1, Some(kept), "{protocol:?} {assignors:?}");
    }
}

#[tokio::test]
async fn times_without_end_are_taken() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let (_broker, client) = start().await;
        write(&client, 0..6).await;
        let group = Group::new("g").protocol(protocol).max_poll_interval(Duration::MAX);
        let consumer = client.consumer().topics(["t"]).group(group).max_wait(Duration::MAX);
        let consumer = consumer.auto_commit(Some(Duration::MAX)).start_at(StartOffset::Earliest).build();
        let mut consumer = consumer.await.unwrap();
        assert!(consumer.next().await.unwrap().is_some());
        assert!(consumer.next().await.unwrap().is_some());
        consumer.commit().await.unwrap();
        let offsets =
            (0..PARTITIONS).map(|number| (TopicPartition::new("t", number), CommittedOffset::new(0)));
        consumer.commit_offsets(offsets.collect()).await.unwrap();
        consumer.close().await.unwrap();
    }
}
