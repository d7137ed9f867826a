//! What members of a classic group say of themselves and are assigned, as the group's coordinator hands it on.
//!
//! The coordinator does not read it, so it may be anything. Groups of consumers write Kafka's
//! `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment`, whose versions only append: what is wanted here
//! stands at the beginning of each. No length is believed: lists grow as their items are read.

use std::sync::Arc;

use crate::kafka::topic_partition::TopicPartition;

/// The topics that a member subscribes to; `None` where the bytes are no subscription.
pub(super) fn subscribed(mut bytes: &[u8]) -> Option<Vec<String>> {
    version(&mut bytes)?;
    let count = i32::from_be_bytes(take(&mut bytes)?);
    let mut topics = Vec::new();
    for _ in 0..usize::try_from(count).ok()? {
        topics.push(string(&mut bytes)?.to_owned());
    }
    Some(topics)
}

/// The partitions that a member is assigned; `None` where the bytes are no assignment.
pub(super) fn assigned(mut bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    version(&mut bytes)?;
    let count = i32::from_be_bytes(take(&mut bytes)?);
    let mut partitions = Vec::new();
    for _ in 0..usize::try_from(count).ok()? {
        let topic: Arc<str> = Arc::from(string(&mut bytes)?);
        let count = i32::from_be_bytes(take(&mut bytes)?);
        for _ in 0..usize::try_from(count).ok()? {
            let partition = i32::from_be_bytes(take(&mut bytes)?);
            partitions.push(TopicPartition { topic: Arc::clone(&topic), partition });
        }
    }
    Some(partitions)
}

fn version(bytes: &mut &[u8]) -> Option<i16> {
    Some(i16::from_be_bytes(take(bytes)?)).filter(|&version| version >= 0)
}

fn string<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(i16::from_be_bytes(take(bytes)?)).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition as Assigned;
    use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition as Owned;
    use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
    use kafka_protocol::protocol::{Encodable, StrBytes};
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> StrBytes {
        StrBytes::from_string(text.to_owned())
    }

    fn encoded(message: &impl Encodable, version: i16) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        bytes.put_i16(version);
        message.encode(&mut bytes, version).unwrap();
        bytes.to_vec()
    }

    proptest! {
        #[test]
        fn subscriptions_of_all_versions_are_read(topics in prop::collection::vec("[a-z]{1,9}", 0..4), version in 0_i16..=3) {
            let owned = Owned::default().with_topic(text("o").into()).with_partitions(vec![1, 2]);
            let subscription = ConsumerProtocolSubscription::default()
                .with_topics(topics.iter().map(|topic| text(topic)).collect())
                .with_user_data(Some(bytes::Bytes::from_static(b"user")))
                .with_owned_partitions(if version >= 1 { vec![owned] } else { Vec::new() })
                .with_rack_id((version >= 3).then(|| text("rack")));
            let bytes = encoded(&subscription, version);
            prop_assert_eq!(subscribed(&bytes), Some(topics));
        }

        #[test]
        fn assignments_of_all_versions_are_read(
            topics in prop::collection::vec(("[a-z]{1,9}", prop::collection::vec(0_i32..50, 0..4)), 0..4),
            version in 0_i16..=3,
        ) {
            let assignment = topics.iter().map(|(topic, partitions)| {
                Assigned::default().with_topic(text(topic).into()).with_partitions(partitions.clone())
            });
            let assignment =
                ConsumerProtocolAssignment::default().with_assigned_partitions(assignment.collect());
            let expected: Vec<_> = topics
                .iter()
                .flat_map(|(topic, partitions)| {
                    partitions.iter().map(|&partition| TopicPartition::new(topic.as_str(), partition))
                })
                .collect();
            prop_assert_eq!(assigned(&encoded(&assignment, version)), Some(expected));
        }

        #[test]
        fn no_bytes_panic_or_bring_more_than_they_hold(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(subscribed(&bytes).unwrap_or_default().len() <= bytes.len());
            prop_assert!(assigned(&bytes).unwrap_or_default().len() <= bytes.len());
        }

        #[test]
        fn what_is_cut_short_is_refused(topics in prop::collection::vec("[a-z]{1,9}", 1..4)) {
            let topics = topics.iter().map(|topic| {
                Assigned::default().with_topic(text(topic).into()).with_partitions(vec![7])
            });
            let assignment = ConsumerProtocolAssignment::default().with_assigned_partitions(topics.collect());
            // Behind the partitions there is an empty byte string, which is not looked at.
            let bytes = encoded(&assignment, 0);
            for end in 0..bytes.len() - 4 {
                prop_assert_eq!(assigned(&bytes[..end]), None);
            }
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for hostile in [
            &[0, 0, 0x7f, 0xff, 0xff, 0xff][..],
            &[0, 0, 0xff, 0xff, 0xff, 0xff],
            &[0, 0, 0, 0, 0, 1, 0x7f, 0xff, b'a'],
            &[0, 0, 0, 0, 0, 1, 0xff, 0xff],
            &[0xff, 0xff, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 1, 0, 1, b'a', 0x7f, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(assigned(hostile), None);
        }
        assert_eq!(subscribed(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None);
        assert_eq!(subscribed(&[0, 0, 0, 0, 0, 1, 0, 1, 0xff]), None);
    }
}
