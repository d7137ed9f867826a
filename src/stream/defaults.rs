//! What a [`Stream`] says once for every topic that is opened from it.

use super::{StartPosition, Stream};
use crate::models::WireForm;

/// What builders begin with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Defaults {
    pub(super) start: StartPosition,
    pub(super) persist: bool,
    pub(super) form: WireForm,
}

/// Defaults for every open; what is set on a builder replaces them.
///
/// ```
/// use hop::Stream;
/// use hop::stream::StartPosition;
///
/// let stream = Stream::anonymous().start_at(StartPosition::Earliest).persist(true);
/// let service = stream.reader("kafka://localhost/alerts"); // from the oldest on, for ever
/// let catch_up = stream.reader("kafka://localhost/alerts").persist(false); // up to the newest
/// # let _ = (service, catch_up);
/// ```
impl Stream {
    /// Where readers begin in each topic, unless [told otherwise](super::ReaderBuilder::start_at).
    #[must_use]
    pub fn start_at(mut self, start: StartPosition) -> Self {
        self.defaults.start = start;
        self
    }

    /// Whether readers wait for new messages at the end of the topics, unless
    /// [told otherwise](super::ReaderBuilder::persist).
    #[must_use]
    pub fn persist(mut self, persist: bool) -> Self {
        self.defaults.persist = persist;
        self
    }

    /// In which form models are written, unless [told otherwise](super::WriterBuilder::wire_form).
    #[must_use]
    pub fn wire_form(mut self, form: WireForm) -> Self {
        self.defaults.form = form;
        self
    }
}
