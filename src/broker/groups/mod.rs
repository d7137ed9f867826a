//! Consumer groups: who is in them, which partitions they read, and the offsets that they committed.

mod assignor;
pub(super) mod classic;
pub(super) mod consumer;

use std::collections::BTreeMap;

use indexmap::IndexMap;
use tokio::time::Instant;

use self::classic::{Claim, Classic};
use self::consumer::{Consumer, Topics};
use super::journal::{Entry, Saved, SavedGroup, SavedOffset};
use crate::wire::error_code::ErrorCode;

const MOST_GROUPS: usize = 10_000;
/// Committed offsets of all groups.
const MOST_OFFSETS: usize = 200_000;
/// What all groups and what their members say of themselves take.
const MOST_MEMBER_BYTES: usize = 64 * 1024 * 1024;
/// What stands beside all committed offsets.
const MOST_METADATA_BYTES: usize = 64 * 1024 * 1024;

/// Every group.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) all: IndexMap<String, Group>,
    /// What stands beside committed offsets takes no more than this: counted up, and anew when it seems too much.
    metadata_bytes: usize,
}

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) kind: Kind,
    /// By topic and partition.
    pub(super) offsets: BTreeMap<(String, i32), SavedOffset>,
}

/// By which protocol its members share the partitions.
#[derive(Debug)]
pub(super) enum Kind {
    Classic(Box<Classic>),
    Consumer(Box<Consumer>),
}

impl Group {
    fn new() -> Self {
        Self { kind: Kind::Classic(Box::new(Classic::new(0, String::new()))), offsets: BTreeMap::new() }
    }

    /// The state of the group, in Kafka's words.
    pub(super) fn state(&self) -> &'static str {
        match &self.kind {
            Kind::Classic(classic) => classic.state.name(),
            Kind::Consumer(consumer) => consumer.state(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Classic(classic) => classic.is_empty(),
            Kind::Consumer(consumer) => consumer.members.is_empty(),
        }
    }

    /// Whether a member reads a topic. What members of a classic group read is in words of their strategy, which for
    /// consumers begins with a version and the names of topics.
    pub(super) fn reads(&self, topic: &str, topics: &Topics) -> bool {
        match &self.kind {
            Kind::Consumer(consumer) => consumer.reads(topic, topics),
            Kind::Classic(classic) => {
                let mut members = classic.members.values();
                members.any(|member| {
                    subscription(&member.metadata(&classic.protocol)).any(|name| name == topic.as_bytes())
                })
            }
        }
    }

    pub(super) fn check_commit(&mut self, claim: &Claim<'_>, now: Instant) -> Result<(), ErrorCode> {
        match &mut self.kind {
            Kind::Classic(classic) => classic.check_commit(claim, now),
            Kind::Consumer(consumer) => consumer.check_commit(claim.member_id, claim.generation),
        }
    }

    /// What outlives its members.
    pub(super) fn saved(&self) -> SavedGroup {
        match &self.kind {
            Kind::Classic(classic) => SavedGroup {
                consumer: false,
                generation: classic.generation,
                protocol_type: classic.protocol_type.clone(),
            },
            Kind::Consumer(consumer) => {
                SavedGroup { consumer: true, generation: consumer.epoch, protocol_type: String::new() }
            }
        }
    }
}

impl Groups {
    pub(super) fn restore(&mut self, saved: &Saved) {
        for (name, saved) in &saved.groups {
            let kind = if saved.consumer {
                Kind::Consumer(Box::new(Consumer::new(saved.generation)))
            } else {
                Kind::Classic(Box::new(Classic::new(saved.generation, saved.protocol_type.clone())))
            };
            self.all.insert(name.clone(), Group { kind, offsets: BTreeMap::new() });
        }
        for ((group, topic, partition), offset) in &saved.offsets {
            let group = self.all.entry(group.clone()).or_insert_with(Group::new);
            group.offsets.insert((topic.clone(), *partition), offset.clone());
        }
    }

    /// The group of this name, which is made if there is none.
    pub(super) fn get_or_new(&mut self, name: &str) -> Result<&mut Group, ErrorCode> {
        if !self.all.contains_key(name) {
            if name.is_empty() {
                return Err(ErrorCode::INVALID_GROUP_ID);
            }
            if self.all.len() >= MOST_GROUPS || !self.has_room(name.len()) {
                return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
            }
        }
        Ok(self.all.entry(name.to_owned()).or_insert_with(Group::new))
    }

    /// The group of this name, whose members speak the classic protocol; an empty one may change its ways.
    pub(super) fn classic(&mut self, name: &str) -> Result<&mut Classic, ErrorCode> {
        let group = self.get_or_new(name)?;
        if let Kind::Consumer(consumer) = &group.kind
            && consumer.members.is_empty()
        {
            group.kind = Kind::Classic(Box::new(Classic::new(consumer.epoch, String::new())));
        }
        match &mut group.kind {
            Kind::Classic(classic) => Ok(classic),
            Kind::Consumer(_) => Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL),
        }
    }

    /// The same for KIP-848.
    pub(super) fn consumer(&mut self, name: &str) -> Result<&mut Consumer, ErrorCode> {
        let group = self.get_or_new(name)?;
        if let Kind::Classic(classic) = &group.kind
            && classic.is_empty()
        {
            group.kind = Kind::Consumer(Box::new(Consumer::new(classic.generation)));
        }
        match &mut group.kind {
            Kind::Consumer(consumer) => Ok(consumer),
            Kind::Classic(_) => Err(ErrorCode::GROUP_ID_NOT_FOUND),
        }
    }

    /// Whether so much more finds room, of what members say of themselves.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let held = self.all.iter().map(|(name, group)| {
            let members = match &group.kind {
                Kind::Classic(classic) => classic.held_bytes(),
                Kind::Consumer(consumer) => consumer.held_bytes(),
            };
            members.saturating_add(name.len())
        });
        held.fold(bytes, usize::saturating_add) <= MOST_MEMBER_BYTES
    }

    /// Whether so many more offsets, with so many bytes beside them, find room.
    pub(super) fn has_room_for_offsets(&mut self, count: usize, metadata_bytes: usize) -> bool {
        let held = self.all.values().map(|group| group.offsets.len());
        if held.fold(count, usize::saturating_add) > MOST_OFFSETS {
            return false;
        }
        self.metadata_bytes = self.metadata_bytes.saturating_add(metadata_bytes);
        if self.metadata_bytes > MOST_METADATA_BYTES {
            // Most of it may have been overwritten.
            let offsets = self.all.values().flat_map(|group| group.offsets.values());
            let held = offsets.map(|offset| offset.metadata.len()).fold(0, usize::saturating_add);
            self.metadata_bytes = held.saturating_add(metadata_bytes);
        }
        self.metadata_bytes <= MOST_METADATA_BYTES
    }

    /// Notes an offset, and gives back what is to be remembered of it.
    pub(super) fn commit(&mut self, group: &str, topic: &str, partition: i32, offset: SavedOffset) -> Entry {
        let known = self.all.entry(group.to_owned()).or_insert_with(Group::new);
        known.offsets.insert((topic.to_owned(), partition), offset.clone());
        Entry::Offset { group: group.to_owned(), topic: topic.to_owned(), partition, offset }
    }

    pub(super) fn forget_topic(&mut self, topic: &str) {
        for group in self.all.values_mut() {
            group.offsets.retain(|(name, _), _| name != topic);
        }
    }

    /// Does what is due, and says when to come back.
    pub(super) fn tick(&mut self, topics: &Topics, now: Instant) -> Option<Instant> {
        let due = self.all.values_mut().filter_map(|group| match &mut group.kind {
            Kind::Classic(classic) => classic.tick(now),
            Kind::Consumer(consumer) => consumer.tick(topics, now),
        });
        let next = due.min();
        // A group that has come to nothing, and was never committed to, was a passer-by.
        self.all.retain(|_, group| {
            !group.is_empty()
                || !group.offsets.is_empty()
                || match &group.kind {
                    Kind::Classic(classic) => classic.generation > 0,
                    Kind::Consumer(consumer) => consumer.epoch > 0,
                }
        });
        next
    }
}

/// The names of topics in the metadata of a consumer: behind the version an array of strings.
fn subscription(metadata: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = metadata.get(6..).unwrap_or_default();
    let count =
        metadata.get(2..).and_then(|rest| rest.first_chunk()).map_or(0, |count| i32::from_be_bytes(*count));
    (0..count).map_while(move |_| {
        let (length, behind) = rest.split_first_chunk()?;
        let (name, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
        rest = behind;
        Some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(bytes: usize) -> SavedOffset {
        SavedOffset { offset: 1, leader_epoch: 0, metadata: "x".repeat(bytes) }
    }

    #[test]
    fn what_stands_beside_offsets_is_bounded_and_may_be_overwritten_for_ever() {
        let mut groups = Groups::default();
        let each = MOST_METADATA_BYTES / 10;
        for number in 0..1000 {
            assert!(groups.has_room_for_offsets(1, each), "{number}");
            groups.commit("g", "t", number % 9, offset(each));
        }
        assert!(groups.has_room_for_offsets(1, each));
        groups.commit("g", "t", 9, offset(each));
        assert!(!groups.has_room_for_offsets(1, each));
    }

    #[test]
    fn names_of_groups_are_bounded_together() {
        let mut groups = Groups::default();
        let long = "g".repeat(MOST_MEMBER_BYTES / 3);
        for number in 0..2 {
            assert!(groups.get_or_new(&format!("{long}{number}")).is_ok());
        }
        assert!(groups.get_or_new("small").is_ok());
        assert!(groups.get_or_new(&format!("{long}3")).is_err());
        assert!(groups.get_or_new("small").is_ok(), "one that is there");
    }
}
