//! What to say before alerts are read.

use std::time::Duration;

use super::consumer::Consumer;
use super::position::{StartPosition, StopPosition};
use super::{HopUrl, OpenError, Stream, TopicName, UrlError};
use crate::kafka::Group;

/// For how long brokers may be out of reach before reading up to the end is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to read; made by [`Stream::reader`].
///
/// # Defaults
///
/// From [`StartPosition::Latest`] on, up to the end of the topics, unless the [`Stream`] has other defaults; without test
/// messages.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `open` is awaited"]
pub struct ReaderBuilder {
    stream: Stream,
    url: String,
    pattern: Option<String>,
    start: StartPosition,
    stop: Option<StopPosition>,
    persist: bool,
    include_tests: bool,
    give_up_after: Option<Option<Duration>>,
    group: Option<(Group, GroupMode)>,
    auto_commit: bool,
}

/// What the readers of one group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum GroupMode {
    /// The members share the partitions: each message goes to one of them.
    #[default]
    Share,
    /// Every reader gets all partitions, as with hop-client; only the offsets are kept in the group's name.
    Assign,
}

impl ReaderBuilder {
    pub(super) fn new(stream: Stream, url: &str) -> Self {
        Self {
            start: stream.defaults.start,
            persist: stream.defaults.persist,
            stream,
            url: url.to_owned(),
            pattern: None,
            stop: None,
            include_tests: false,
            give_up_after: None,
            group: None,
            auto_commit: true,
        }
    }

    /// A pattern for topics to read beside those of the URL, which then need not name any: a regular expression of the
    /// syntax of `regex-lite`. Topics that come into being are found when metadata is renewed, within 5 min, and read from
    /// their beginning; Kafka's own are not among them.
    pub fn topics_matching(mut self, pattern: impl Into<String>) -> Self {
        self.pattern = Some(pattern.into());
        self
    }

    /// Where to begin in each topic.
    pub fn start_at(mut self, start: StartPosition) -> Self {
        self.start = start;
        self
    }

    /// Where to stop in each partition, if not only at its end; when persisting, also if that is not there yet.
    pub fn stop_before(mut self, stop: impl Into<Option<StopPosition>>) -> Self {
        self.stop = stop.into();
        self
    }

    /// Whether to wait for new messages at the end of the topics, for ever, instead of stopping there.
    pub fn persist(mut self, persist: bool) -> Self {
        self.persist = persist;
        self
    }

    /// Whether messages that are marked as tests are handed over, too.
    pub fn include_tests(mut self, include: bool) -> Self {
        self.include_tests = include;
        self
    }

    /// For how long brokers may be out of reach, in a row, before [`Consumer::next`] says so. `None` is for ever.
    ///
    /// Not set, it is for ever when persisting, and else 30 s.
    pub fn give_up_after(mut self, patience: Option<Duration>) -> Self {
        self.give_up_after = Some(patience);
        self
    }

    /// The group to read in: it remembers how far its readers have come, and whoever reads in it next goes on there.
    pub fn group(mut self, group: impl Into<Group>) -> Self {
        self.group = Some((group.into(), GroupMode::default()));
        self
    }

    /// The same, with what its readers have in common.
    pub fn group_in(mut self, group: impl Into<Group>, mode: GroupMode) -> Self {
        self.group = Some((group.into(), mode));
        self
    }

    /// In a group: whether a message counts as dealt with when the next is asked for. Without it,
    /// [`Consumer::mark_done`] says so. What is done is committed every 5 s, when other members get the partition, and
    /// when the consumer is closed.
    pub fn auto_commit(mut self, commit: bool) -> Self {
        self.auto_commit = commit;
        self
    }

    /// Connects, and looks the topics up.
    ///
    /// Dropping the future closes what it opened.
    ///
    /// # Errors
    ///
    /// Those of [`OpenError`]; a topic that does not exist is one.
    pub async fn open(self) -> Result<Consumer, OpenError> {
        let url: HopUrl = self.url.parse()?;
        let named = match url.topics_to_read() {
            Err(UrlError::NoTopic { .. }) if self.pattern.is_some() => Vec::new(),
            named => named?,
        };
        let (client, _, keeping) = self.stream.connect_with_store(&url).await?;
        let mut builder = client.consumer().auto_mark(false);
        if let Some(pattern) = &self.pattern {
            builder = builder.topics_matching(pattern);
        }
        let in_group = self.group.is_some();
        builder = match self.group {
            Some((group, GroupMode::Assign)) => {
                builder.group(group).whole_topics(named.iter().map(TopicName::shared))
            }
            Some((group, GroupMode::Share)) => {
                builder.group(group).topics(named.iter().map(TopicName::shared))
            }
            None => builder.topics(named.iter().map(TopicName::shared)),
        };
        let inner = builder
            .start_at(self.start.into())
            .stop_at_end(!self.persist)
            .give_up_after(self.give_up_after.unwrap_or((!self.persist).then_some(PATIENCE)))
            .build()
            .await?;
        let marks = in_group && self.auto_commit;
        Ok(Consumer::new(inner, self.stream.formats(), self.stop, self.include_tests, marks, keeping))
    }
}
