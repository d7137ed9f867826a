//! What members of a classic group tell each other through the coordinator, which does not read it: each member's
//! subscription, and what the leader assigned to it.
//!
//! The formats are those of Kafka's `ConsumerProtocolSubscription` (versions 0 to 3: KIP-429 adds the partitions owned,
//! KIP-792 the generation, KIP-881 the rack) and `ConsumerProtocolAssignment`, and of what its sticky assignors put
//! beside them. Newer versions only append, so they are read as far as they are known. What is read was written by any
//! client that may join the group: every length is checked against what is left.

use std::sync::Arc;

use crate::kafka::topic_partition::{TopicPartition, by_topic};

/// Read by every client since cooperative rebalancing; what versions 2 and 3 add is ignored by those older.
const SUBSCRIPTION_VERSION: i16 = 3;
const ASSIGNMENT_VERSION: i16 = 1;

/// What a member wants, and has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) topics: Vec<Arc<str>>,
    /// What it owns, from the last assignment it took.
    pub(crate) owned: Vec<TopicPartition>,
    /// The generation of that assignment; -1 where it is not known.
    pub(crate) generation: i32,
    pub(crate) rack: Option<String>,
}

/// How a sticky assignor's memory is written beside a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserData {
    /// None.
    Nothing,
    /// The partitions of the last assignment, and its generation: eager members no longer own them when they join.
    Assignment,
    /// The generation alone.
    Generation,
}

impl Subscription {
    /// The subscription as a member sends it. With [`UserData::Assignment`], `owned` goes there, since who rebalances
    /// eagerly owns nothing when it joins.
    pub(crate) fn encode(&self, user_data: UserData) -> Vec<u8> {
        let mut out = Vec::new();
        put_i16(&mut out, SUBSCRIPTION_VERSION);
        put_length(&mut out, self.topics.len());
        for topic in &self.topics {
            put_string(&mut out, topic);
        }
        let user = match user_data {
            UserData::Nothing => None,
            UserData::Assignment => {
                let mut user = Vec::new();
                put_partitions(&mut user, &self.owned);
                put_i32(&mut user, self.generation);
                Some(user)
            }
            UserData::Generation => Some(self.generation.to_be_bytes().to_vec()),
        };
        put_bytes(&mut out, user.as_deref());
        match user_data {
            UserData::Assignment => put_partitions(&mut out, &[]),
            UserData::Nothing | UserData::Generation => put_partitions(&mut out, &self.owned),
        }
        put_i32(&mut out, self.generation);
        match &self.rack {
            Some(rack) => put_string(&mut out, rack),
            None => put_i16(&mut out, -1),
        }
        out
    }

    /// Reads a member's subscription; `None` where the bytes are not one. What a sticky assignor remembers stands in
    /// for what is owned where the member owns nothing.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let version = reader.i16()?;
        if version < 0 {
            return None;
        }
        let topics = reader.list(Reader::string)?;
        let user = reader.bytes()?;
        let mut subscription = Self { topics, generation: -1, ..Self::default() };
        if version >= 1 {
            subscription.owned = reader.partitions()?;
        }
        if version >= 2 {
            subscription.generation = reader.i32()?;
        }
        if version >= 3 {
            subscription.rack = reader.nullable_string()?.map(str::to_owned);
        }
        if subscription.owned.is_empty() {
            subscription.recall(user);
        } else if subscription.generation < 0
            && let Some(&generation) = user.and_then(|user| user.first_chunk())
        {
            subscription.generation = i32::from_be_bytes(generation);
        }
        Some(subscription)
    }

    /// Takes what an eager sticky assignor remembers. Other assignors may have put anything there.
    fn recall(&mut self, user: Option<&[u8]>) {
        let mut reader = Reader(user.unwrap_or_default());
        let Some(owned) = reader.partitions() else { return };
        // Before Kafka 2.3 the generation was not written.
        let generation = if reader.0.is_empty() { Some(-1) } else { reader.i32() };
        if let Some(generation) = generation.filter(|_| reader.0.is_empty() && !owned.is_empty()) {
            (self.owned, self.generation) = (owned, generation);
        }
    }
}

/// An assignment as the leader sends it.
pub(crate) fn encode_assignment(partitions: &[TopicPartition]) -> Vec<u8> {
    let mut out = Vec::new();
    put_i16(&mut out, ASSIGNMENT_VERSION);
    put_partitions(&mut out, partitions);
    put_bytes(&mut out, None);
    out
}

/// Reads an assignment; `None` where the bytes are not one. No bytes at all are an empty one.
pub(crate) fn decode_assignment(bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut reader = Reader(bytes);
    let version = reader.i16()?;
    let partitions = reader.partitions()?;
    (version >= 0).then_some(partitions)
}

fn put_i16(out: &mut Vec<u8>, value: i16) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// No list or string of ours is longer than that: names of topics have 249 bytes at most.
fn put_length(out: &mut Vec<u8>, length: usize) {
    put_i32(out, i32::try_from(length).unwrap_or(i32::MAX));
}

fn put_string(out: &mut Vec<u8>, value: &str) {
    put_i16(out, i16::try_from(value.len()).unwrap_or(i16::MAX));
    out.extend(value.bytes().take(i16::MAX.unsigned_abs().into()));
}

fn put_bytes(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            put_length(out, value.len());
            out.extend_from_slice(value);
        }
        None => put_i32(out, -1),
    }
}

fn put_partitions(out: &mut Vec<u8>, partitions: &[TopicPartition]) {
    let topics = by_topic(partitions.iter().map(|partition| (partition.clone(), ())));
    put_length(out, topics.len());
    for (topic, partitions) in topics {
        put_string(out, &topic);
        put_length(out, partitions.len());
        for (partition, ()) in partitions {
            put_i32(out, partition);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(*self.take(2)?.first_chunk()?))
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(*self.take(4)?.first_chunk()?))
    }

    fn nullable_string(&mut self) -> Option<Option<&'a str>> {
        match self.i16()? {
            -1 => Some(None),
            length => {
                let bytes = self.take(usize::try_from(length).ok()?)?;
                Some(Some(std::str::from_utf8(bytes).ok()?))
            }
        }
    }

    fn string(&mut self) -> Option<Arc<str>> {
        self.nullable_string()?.map(Arc::from)
    }

    fn bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match self.i32()? {
            -1 => Some(None),
            length => self.take(usize::try_from(length).ok()?).map(Some),
        }
    }

    /// A list grows as its items are read: the length stated reserves nothing.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = usize::try_from(self.i32()?).ok()?;
        (0..length).map(|_| item(self)).collect()
    }

    fn partitions(&mut self) -> Option<Vec<TopicPartition>> {
        let topics = self.list(|reader| {
            let topic = reader.string()?;
            Some((topic, reader.list(Self::i32)?))
        })?;
        let of = |(topic, numbers): (Arc<str>, Vec<i32>)| {
            numbers
                .into_iter()
                .filter(|&number| number >= 0)
                .map(move |number| TopicPartition::new(Arc::clone(&topic), number))
        };
        Some(topics.into_iter().flat_map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subscription() -> impl Strategy<Value = Subscription> {
        let topic = prop::sample::select(vec!["a", "b", "a.long-name_1"]);
        let owned = prop::collection::btree_set((topic.clone(), 0..100), 0..6);
        (prop::collection::vec(topic, 0..4), owned, -1..100, prop::option::of("[a-z]{0,3}")).prop_map(
            |(topics, owned, generation, rack)| Subscription {
                topics: topics.into_iter().map(Arc::from).collect(),
                owned: owned.into_iter().map(|(topic, number)| TopicPartition::new(topic, number)).collect(),
                generation,
                rack,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(subscription in subscription()) {
            for user_data in [UserData::Nothing, UserData::Assignment, UserData::Generation] {
                let bytes = subscription.encode(user_data);
                prop_assert_eq!(Subscription::decode(&bytes), Some(subscription.clone()));
            }
            let assignment = encode_assignment(&subscription.owned);
            prop_assert_eq!(decode_assignment(&assignment), Some(subscription.owned));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = (Subscription::decode(&bytes), decode_assignment(&bytes));
        }

        #[test]
        fn no_part_of_a_subscription_is_taken_for_one(
            subscription in subscription(),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = subscription.encode(UserData::Nothing);
            prop_assert_eq!(Subscription::decode(&bytes[..cut.index(bytes.len())]), None);
        }
    }

    #[test]
    fn older_versions_lack_what_came_later() {
        // Version 0, of topic `t`, with user data of another assignor.
        let bytes = b"\0\0\0\0\0\x01\0\x01t\0\0\0\x02hi";
        let expected =
            Subscription { topics: vec![Arc::from("t")], generation: -1, ..Subscription::default() };
        assert_eq!(Subscription::decode(bytes), Some(expected));
    }

    #[test]
    fn a_stated_length_reserves_nothing() {
        assert_eq!(Subscription::decode(b"\0\x01\x7f\xff\xff\xff"), None);
        assert_eq!(decode_assignment(b"\0\0\x7f\xff\xff\xff\0\x01a\x7f\xff\xff\xff"), None);
    }
}
