//! A group whose partitions the broker shares out (KIP-848): one heartbeat carries it all.
//!
//! A member says what it reads and what it has; it is told what it may have. A partition goes to its next owner only
//! once its last one has said that it let go. No I/O and no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use tokio::time::Instant;
use uuid::Uuid;

use super::assignor::{Assignor, Owned};
use crate::wire::error_code::ErrorCode;

/// How often a member is to be heard of, and when it is taken as gone: Kafka's defaults.
const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
const MOST_MEMBERS: usize = 1000;
/// What a pattern may take when it is made ready, and how long it may be.
const PATTERN_BYTES: usize = 64 * 1024;
const LONGEST_PATTERN: usize = 1024;
/// Epochs with which a member leaves: for good, or, static, for a while.
const LEAVES: i32 = -1;
const LEAVES_FOR_A_WHILE: i32 = -2;

/// The topics that there are, by name: their ids and numbers of partitions.
pub(in crate::broker) type Topics = BTreeMap<String, (Uuid, i32)>;

/// What a heartbeat says; what is `None` is as before.
#[derive(Debug, Clone, Default)]
pub(in crate::broker) struct Heartbeat {
    pub(in crate::broker) member_id: String,
    pub(in crate::broker) epoch: i32,
    pub(in crate::broker) instance: Option<String>,
    pub(in crate::broker) rack: Option<String>,
    pub(in crate::broker) client_id: String,
    pub(in crate::broker) client_host: String,
    pub(in crate::broker) rebalance_timeout: Option<Duration>,
    pub(in crate::broker) topics: Option<BTreeSet<String>>,
    pub(in crate::broker) pattern: Option<String>,
    pub(in crate::broker) assignor: Option<String>,
    pub(in crate::broker) owned: Option<Owned>,
}

impl Heartbeat {
    /// About how much memory is taken by what is remembered of it.
    pub(in crate::broker) fn held_bytes(&self) -> usize {
        let names = [&self.member_id, &self.client_id, &self.client_host].into_iter();
        let names = names.chain(&self.instance).chain(&self.rack).map(|name| name.len().saturating_mul(4));
        let topics = self.topics.iter().flatten().map(|name| name.len().saturating_add(64));
        let pattern = self.pattern.as_ref().map(|_| PATTERN_BYTES);
        names.chain(topics).chain(pattern).fold(0, usize::saturating_add)
    }
}

/// What a member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Told {
    pub(in crate::broker) member_id: String,
    pub(in crate::broker) epoch: i32,
    /// What it may have, where that is news.
    pub(in crate::broker) assignment: Option<Owned>,
}

#[derive(Debug, Default)]
pub(in crate::broker) struct Member {
    pub(in crate::broker) said: Heartbeat,
    pub(in crate::broker) epoch: i32,
    previous_epoch: i32,
    pub(in crate::broker) assigned: Owned,
    /// What it had and is to let go.
    revoking: Owned,
    pattern: Option<regex_lite::Regex>,
    session: Option<Instant>,
    /// When it must have let go.
    revocation: Option<Instant>,
    told: Option<Owned>,
    away: bool,
}

#[derive(Debug, Default)]
pub(in crate::broker) struct Consumer {
    pub(in crate::broker) epoch: i32,
    pub(in crate::broker) assignment_epoch: i32,
    pub(in crate::broker) members: IndexMap<String, Member>,
    pub(in crate::broker) target: BTreeMap<String, Owned>,
    /// What was there when the last assignment was made.
    seen: BTreeMap<Uuid, i32>,
}

impl Consumer {
    /// A group without members, as it was left.
    pub(in crate::broker) fn new(epoch: i32) -> Self {
        Self { epoch, assignment_epoch: epoch, ..Self::default() }
    }

    /// The state of the group, in Kafka's words.
    pub(in crate::broker) fn state(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self
            .members
            .values()
            .any(|member| member.epoch != self.assignment_epoch || !member.revoking.is_empty())
        {
            "Reconciling"
        } else {
            "Stable"
        }
    }

    /// About how much memory members take.
    pub(in crate::broker) fn held_bytes(&self) -> usize {
        self.members.values().map(|member| member.said.held_bytes()).fold(0, usize::saturating_add)
    }

    pub(in crate::broker) fn assignor(&self) -> Assignor {
        let named = self.members.values().find_map(|member| member.said.assignor.as_deref());
        named.and_then(Assignor::find).unwrap_or_default()
    }

    /// Takes a heartbeat.
    pub(in crate::broker) fn heartbeat(
        &mut self,
        said: Heartbeat,
        topics: &Topics,
        now: Instant,
    ) -> Result<Told, (ErrorCode, String)> {
        if said.epoch == LEAVES || said.epoch == LEAVES_FOR_A_WHILE {
            return self.leave(&said, topics, now);
        }
        // Before anybody is let in: what cannot be understood leaves no member behind.
        let pattern = understand(&said)?;
        let joins = said.epoch == 0;
        let id = if joins { self.enter(&said)? } else { said.member_id.clone() };
        self.check_member(&id, &said)?;
        // Whoever joins has nothing; others have what they say, or may have all that they were told of.
        let owned = if joins { Some(Owned::new()) } else { said.owned.clone() };
        let changed = self.take_in(&id, said, pattern, now)?;
        let present = self.partitions_read(topics);
        if changed || present != self.seen {
            self.epoch = self.epoch.saturating_add(1);
            self.seen = present;
        }
        self.assign(topics);
        self.reconcile(&id, owned.as_ref(), now);
        let member = self.members.get_mut(&id).ok_or_else(unknown)?;
        let news = owned.is_some() || member.told.as_ref() != Some(&member.assigned);
        member.told = Some(member.assigned.clone());
        Ok(Told { member_id: id, epoch: member.epoch, assignment: news.then(|| member.assigned.clone()) })
    }

    /// Makes or finds the member that joins.
    fn enter(&mut self, said: &Heartbeat) -> Result<String, (ErrorCode, String)> {
        let id = if said.member_id.is_empty() { Uuid::new_v4().to_string() } else { said.member_id.clone() };
        if let Some(instance) = &said.instance {
            let holder =
                self.members.iter().find(|(_, member)| member.said.instance.as_ref() == Some(instance));
            if let Some((holder, member)) = holder.map(|(id, member)| (id.clone(), member))
                && holder != id
            {
                if !member.away {
                    return Err((
                        ErrorCode::UNRELEASED_INSTANCE_ID,
                        format!("Static member {holder} with instance id {instance} is still in the group."),
                    ));
                }
                // It takes over what its predecessor had.
                if let Some((at, _, mut member)) = self.members.shift_remove_full(&holder) {
                    let target = self.target.remove(&holder).unwrap_or_default();
                    self.target.insert(id.clone(), target);
                    member.away = false;
                    member.epoch = 0;
                    member.said.member_id.clone_from(&id);
                    self.members.shift_insert(at, id.clone(), member);
                }
                return Ok(id);
            }
        }
        if !self.members.contains_key(&id) {
            if self.members.len() >= MOST_MEMBERS {
                return Err((ErrorCode::GROUP_MAX_SIZE_REACHED, "The group is full.".to_owned()));
            }
            let said =
                Heartbeat { member_id: id.clone(), instance: said.instance.clone(), ..Heartbeat::default() };
            self.members.insert(id.clone(), Member { said, ..Member::default() });
        }
        Ok(id)
    }

    fn check_member(&self, id: &str, said: &Heartbeat) -> Result<(), (ErrorCode, String)> {
        let member = match &said.instance {
            Some(instance) => {
                let holder =
                    self.members.values().find(|member| member.said.instance.as_ref() == Some(instance));
                let holder = holder.ok_or_else(unknown)?;
                if holder.said.member_id != id {
                    return Err((
                        ErrorCode::FENCED_INSTANCE_ID,
                        format!(
                            "Static member {id} with instance id {instance} was fenced by {}.",
                            holder.said.member_id
                        ),
                    ));
                }
                holder
            }
            None => self.members.get(id).ok_or_else(unknown)?,
        };
        let fenced = |words: &str| {
            Err((
                ErrorCode::FENCED_MEMBER_EPOCH,
                format!(
                    "The consumer group member has a {words} member epoch ({}) than the one known by the group coordinator ({}). The member must abandon all its partitions and rejoin.",
                    said.epoch, member.epoch
                ),
            ))
        };
        if said.epoch > member.epoch {
            return fenced("greater");
        }
        // The answer that told it of its epoch may have been lost; what it has must then be what it may have.
        let may_lag = said.epoch == 0
            || said.epoch == member.epoch
            || (said.epoch == member.previous_epoch
                && said.owned.as_ref().is_some_and(|owned| owned.is_subset(&member.assigned)));
        if may_lag { Ok(()) } else { fenced("smaller") }
    }

    /// Notes what a member says; `true` where partitions may have to be shared out anew.
    fn take_in(
        &mut self,
        id: &str,
        said: Heartbeat,
        pattern: Option<regex_lite::Regex>,
        now: Instant,
    ) -> Result<bool, (ErrorCode, String)> {
        let member = self.members.get_mut(id).ok_or_else(unknown)?;
        let mut changed = said.epoch == 0 && member.epoch == 0;
        let known = &mut member.said;
        if said.topics.is_some() && said.topics != known.topics {
            known.topics = said.topics;
            changed = true;
        }
        if said.pattern.is_some() && said.pattern != known.pattern {
            known.pattern = said.pattern;
            member.pattern = pattern;
            changed = true;
        }
        if said.assignor.is_some() && said.assignor != known.assignor {
            known.assignor = said.assignor;
            changed = true;
        }
        if said.rebalance_timeout.is_some() {
            known.rebalance_timeout = said.rebalance_timeout;
        }
        if said.rack.is_some() {
            known.rack = said.rack;
        }
        known.client_id = said.client_id;
        known.client_host = said.client_host;
        if let Some(owned) = said.owned {
            // What it no longer has, it has let go.
            member.revoking.retain(|partition| owned.contains(partition));
        }
        if said.epoch == 0 {
            member.revoking.clear();
            member.told = None;
            member.away = false;
        }
        member.session = Some(now + SESSION_TIMEOUT);
        Ok(changed)
    }

    /// The topics that a member reads.
    fn read_by(member: &Member, topics: &Topics) -> BTreeSet<Uuid> {
        let named = |name: &String| member.said.topics.as_ref().is_some_and(|topics| topics.contains(name));
        let matched = |name: &String| member.pattern.as_ref().is_some_and(|pattern| pattern.is_match(name));
        topics.iter().filter(|(name, _)| named(name) || matched(name)).map(|(_, (id, _))| *id).collect()
    }

    fn partitions_read(&self, topics: &Topics) -> BTreeMap<Uuid, i32> {
        let read: BTreeSet<Uuid> =
            self.members.values().flat_map(|member| Self::read_by(member, topics)).collect();
        topics.values().filter(|(id, _)| read.contains(id)).copied().collect()
    }

    /// Shares out the partitions, where that is due.
    fn assign(&mut self, topics: &Topics) {
        if self.assignment_epoch == self.epoch {
            return;
        }
        let members = self.members.iter().map(|(id, member)| {
            let has = self.target.get(id).cloned().unwrap_or_default();
            (id.clone(), (Self::read_by(member, topics), has))
        });
        self.target = self.assignor().assign(&members.collect(), &self.seen);
        self.assignment_epoch = self.epoch;
    }

    /// Brings what a member may have one step closer to what it is to have. `owned` is what it says that it has; where it
    /// does not say, it may have begun with all that it was told of.
    fn reconcile(&mut self, id: &str, owned: Option<&Owned>, now: Instant) {
        let taken: Owned = self
            .members
            .iter()
            .filter(|(other, _)| *other != id)
            .flat_map(|(_, member)| member.assigned.union(&member.revoking))
            .copied()
            .collect();
        let target = self.target.get(id).cloned().unwrap_or_default();
        let epoch = self.assignment_epoch;
        let Some(member) = self.members.get_mut(id) else { return };
        if !member.revoking.is_empty() {
            return;
        }
        member.revocation = None;
        let dropped: Owned = member.assigned.difference(&target).copied().collect();
        member.assigned.retain(|partition| target.contains(partition));
        member.revoking = match owned {
            Some(owned) => dropped.intersection(owned).copied().collect(),
            None => dropped,
        };
        if !member.revoking.is_empty() {
            let patience = member.said.rebalance_timeout.unwrap_or(SESSION_TIMEOUT);
            member.revocation = Some(now + patience);
            return;
        }
        member.assigned.extend(target.difference(&taken));
        if member.epoch != epoch {
            member.previous_epoch = member.epoch;
            member.epoch = epoch;
        }
    }

    fn leave(
        &mut self,
        said: &Heartbeat,
        topics: &Topics,
        now: Instant,
    ) -> Result<Told, (ErrorCode, String)> {
        let id = match &said.instance {
            Some(instance) => {
                let holder =
                    self.members.iter().find(|(_, member)| member.said.instance.as_ref() == Some(instance));
                let (holder, _) = holder.ok_or_else(unknown)?;
                if *holder != said.member_id {
                    return Err((
                        ErrorCode::FENCED_INSTANCE_ID,
                        "Another member has this instance id.".to_owned(),
                    ));
                }
                holder.clone()
            }
            None => said.member_id.clone(),
        };
        let member = self.members.get_mut(&id).ok_or_else(unknown)?;
        if said.epoch == LEAVES_FOR_A_WHILE && said.instance.is_some() {
            member.away = true;
            member.session = Some(now + SESSION_TIMEOUT);
            member.epoch = LEAVES_FOR_A_WHILE;
            member.revoking.clear();
        } else {
            self.remove(&id, topics);
        }
        Ok(Told { member_id: id, epoch: said.epoch, assignment: None })
    }

    fn remove(&mut self, id: &str, topics: &Topics) {
        if self.members.shift_remove(id).is_none() {
            return;
        }
        self.target.remove(id);
        self.epoch = self.epoch.saturating_add(1);
        self.seen = self.partitions_read(topics);
        self.assign(topics);
    }

    /// Whether a member of this epoch may commit; below 0 without an id is a client without membership.
    pub(in crate::broker) fn check_commit(&self, member_id: &str, epoch: i32) -> Result<(), ErrorCode> {
        if epoch < 0 && member_id.is_empty() {
            return if self.members.is_empty() { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) };
        }
        let member = self.members.get(member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if epoch == member.epoch { Ok(()) } else { Err(ErrorCode::STALE_MEMBER_EPOCH) }
    }

    /// Removes those who have not been heard of, or have not let go, and says when to come back.
    pub(in crate::broker) fn tick(&mut self, topics: &Topics, now: Instant) -> Option<Instant> {
        let due = |member: &Member| [member.session, member.revocation].into_iter().flatten().min();
        let gone: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| due(member).is_some_and(|due| due <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.remove(&id, topics);
        }
        self.members.values().filter_map(due).min()
    }

    /// Ends the session of a member, as if it had not been heard of for too long.
    pub(in crate::broker) fn expire(&mut self, id: &str, topics: &Topics) -> bool {
        let there = self.members.contains_key(id);
        self.remove(id, topics);
        there
    }

    /// Whether a member reads a topic.
    pub(in crate::broker) fn reads(&self, name: &str, topics: &Topics) -> bool {
        let Some((id, _)) = topics.get(name) else { return false };
        self.members.values().any(|member| Self::read_by(member, topics).contains(id))
    }
}

/// The pattern of what a heartbeat says, if all of that can be understood.
fn understand(said: &Heartbeat) -> Result<Option<regex_lite::Regex>, (ErrorCode, String)> {
    if let Some(assignor) = &said.assignor
        && Assignor::find(assignor).is_none()
    {
        return Err((
            ErrorCode::UNSUPPORTED_ASSIGNOR,
            format!("ServerAssignor {assignor} is not supported. Supported assignors: uniform, range."),
        ));
    }
    let refused = |reason: &str| {
        let pattern = said.pattern.as_deref().unwrap_or_default();
        let shown: String = pattern.chars().take(100).collect();
        (
            ErrorCode::INVALID_REGULAR_EXPRESSION,
            format!("SubscribedTopicRegex `{shown}` is not a valid regular expression: {reason}."),
        )
    };
    match said.pattern.as_deref() {
        None | Some("") => Ok(None),
        Some(pattern) if pattern.len() > LONGEST_PATTERN => Err(refused("it is too long")),
        Some(pattern) => regex_lite::RegexBuilder::new(&format!("^(?:{pattern})$"))
            .size_limit(PATTERN_BYTES)
            .build()
            .map(Some)
            .map_err(|error| refused(&error.to_string())),
    }
}

fn unknown() -> (ErrorCode, String) {
    (ErrorCode::UNKNOWN_MEMBER_ID, "The member is not a member of the group.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        [("t".to_owned(), (Uuid::from_u128(7), 4))].into()
    }

    fn partitions(numbers: impl IntoIterator<Item = i32>) -> Owned {
        numbers.into_iter().map(|number| (Uuid::from_u128(7), number)).collect()
    }

    fn beat(id: &str, epoch: i32, owned: Option<Owned>) -> Heartbeat {
        let joins = epoch == 0;
        Heartbeat {
            member_id: id.to_owned(),
            epoch,
            topics: joins.then(|| ["t".to_owned()].into()),
            rebalance_timeout: Some(Duration::from_secs(60)),
            owned: if joins { Some(Owned::new()) } else { owned },
            ..Heartbeat::default()
        }
    }

    #[test]
    fn a_partition_has_its_next_owner_only_when_the_last_let_go() {
        let now = Instant::now();
        let (mut group, topics) = (Consumer::default(), topics());
        let first = group.heartbeat(beat("a", 0, None), &topics, now).unwrap();
        assert_eq!((first.epoch, first.assignment), (1, Some(partitions(0..4))));
        group.heartbeat(beat("a", 1, Some(partitions(0..4))), &topics, now).unwrap();

        let second = group.heartbeat(beat("b", 0, None), &topics, now).unwrap();
        assert_eq!((second.epoch, second.assignment), (2, Some(Owned::new())));
        // The first is told to let go, and is not in the new epoch before it has.
        let told = group.heartbeat(beat("a", 1, None), &topics, now).unwrap();
        assert_eq!((told.epoch, told.assignment), (1, Some(partitions(0..2))));
        assert_eq!(group.heartbeat(beat("b", 2, None), &topics, now).unwrap().assignment, None);
        assert_eq!(group.state(), "Reconciling");
        let told = group.heartbeat(beat("a", 1, Some(partitions(0..2))), &topics, now).unwrap();
        assert_eq!(told.epoch, 2);
        let told = group.heartbeat(beat("b", 2, None), &topics, now).unwrap();
        assert_eq!(told.assignment, Some(partitions(2..4)));
        assert_eq!(group.state(), "Stable");
    }

    #[test]
    fn members_that_are_silent_or_do_not_let_go_are_removed() {
        let now = Instant::now();
        let (mut group, topics) = (Consumer::default(), topics());
        group.heartbeat(beat("a", 0, None), &topics, now).unwrap();
        group.heartbeat(beat("a", 1, Some(partitions(0..4))), &topics, now).unwrap();
        group.heartbeat(beat("b", 0, None), &topics, now).unwrap();
        let due = group.tick(&topics, now).unwrap();
        assert_eq!(due, now + SESSION_TIMEOUT);
        group.heartbeat(beat("b", 2, None), &topics, now + SESSION_TIMEOUT / 2).unwrap();
        group.tick(&topics, due);
        assert_eq!(group.members.keys().collect::<Vec<_>>(), ["b"]);
        let told = group.heartbeat(beat("b", 2, None), &topics, due).unwrap();
        assert_eq!(told.assignment, Some(partitions(0..4)));
    }

    #[test]
    fn epochs_out_of_step_are_fenced_but_for_a_lost_answer() {
        let now = Instant::now();
        let (mut group, topics) = (Consumer::default(), topics());
        group.heartbeat(beat("a", 0, None), &topics, now).unwrap();
        group.heartbeat(beat("b", 0, None), &topics, now).unwrap();
        let code = |result: Result<Told, (ErrorCode, String)>| result.unwrap_err().0;
        assert_eq!(code(group.heartbeat(beat("b", 9, None), &topics, now)), ErrorCode::FENCED_MEMBER_EPOCH);
        assert_eq!(code(group.heartbeat(beat("c", 1, None), &topics, now)), ErrorCode::UNKNOWN_MEMBER_ID);
        group.heartbeat(beat("a", 1, Some(Owned::new())), &topics, now).unwrap();
        // Its epoch went on to 2, and it says 1 once more.
        assert!(group.heartbeat(beat("a", 1, Some(Owned::new())), &topics, now).is_ok());
        assert_eq!(code(group.heartbeat(beat("a", 1, None), &topics, now)), ErrorCode::FENCED_MEMBER_EPOCH);
    }

    #[test]
    fn patterns_follow_topics_that_come() {
        let now = Instant::now();
        let (mut group, mut topics) = (Consumer::default(), topics());
        let join = Heartbeat {
            topics: Some(BTreeSet::new()),
            pattern: Some("t.*".to_owned()),
            ..beat("a", 0, None)
        };
        assert_eq!(group.heartbeat(join, &topics, now).unwrap().assignment, Some(partitions(0..4)));
        topics.insert("tt".to_owned(), (Uuid::from_u128(8), 1));
        topics.insert("other".to_owned(), (Uuid::from_u128(9), 1));
        let told = group.heartbeat(beat("a", 1, None), &topics, now).unwrap();
        assert_eq!(told.assignment.unwrap().len(), 5);
        // What cannot be understood leaves no member behind.
        let wrong = Heartbeat { pattern: Some("(".to_owned()), ..beat("b", 0, None) };
        assert_eq!(
            group.heartbeat(wrong, &topics, now).unwrap_err().0,
            ErrorCode::INVALID_REGULAR_EXPRESSION
        );
        for pattern in ["a".repeat(LONGEST_PATTERN + 1), "(a{1000}){1000}".to_owned()] {
            let large = Heartbeat { pattern: Some(pattern), ..beat("b", 0, None) };
            assert_eq!(
                group.heartbeat(large, &topics, now).unwrap_err().0,
                ErrorCode::INVALID_REGULAR_EXPRESSION
            );
        }
        let wrong = Heartbeat { assignor: Some("magic".to_owned()), ..beat("b", 0, None) };
        assert_eq!(group.heartbeat(wrong, &topics, now).unwrap_err().0, ErrorCode::UNSUPPORTED_ASSIGNOR);
        assert_eq!(group.members.keys().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn what_a_member_was_told_of_is_its_own_until_it_says_otherwise() {
        let now = Instant::now();
        let (mut group, topics) = (Consumer::default(), topics());
        // Told of all four, and not heard of since: it may be reading them.
        group.heartbeat(beat("a", 0, None), &topics, now).unwrap();
        group.heartbeat(beat("b", 0, None), &topics, now).unwrap();
        let told = group.heartbeat(beat("a", 1, None), &topics, now).unwrap();
        assert_eq!((told.epoch, told.assignment), (1, Some(partitions(0..2))));
        let other = group.heartbeat(beat("b", 2, None), &topics, now).unwrap();
        assert_eq!(other.assignment, None, "two would read the same");
        group.heartbeat(beat("a", 1, Some(partitions(0..2))), &topics, now).unwrap();
        let other = group.heartbeat(beat("b", 2, None), &topics, now).unwrap();
        assert_eq!(other.assignment, Some(partitions(2..4)));
    }
}
