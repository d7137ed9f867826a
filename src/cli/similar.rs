//! What somebody may have meant who named a topic that is not there.

use super::arguments::Connection;
use super::interrupt::Interrupt;
use super::publish::PublishFailure;
use super::{Failure, Outcome, connect};
use crate::kafka::{self, ProduceError};
use crate::stream::{NextError, OpenError, WriteError};

/// From 0 for names that have nothing in common to 1 for the same: below this, nobody would see a likeness.
const LIKE: f64 = 0.85;

/// The same outcome; where it is for want of a topic, with the name of one that is there and much like it.
pub(super) async fn with_suggestion(
    outcome: Outcome,
    connection: Connection,
    url: &str,
    interrupt: &Interrupt,
) -> Outcome {
    let Err(failure) = outcome else { return Ok(()) };
    let Some(missing) = unknown_topic(&failure) else { return Err(failure) };
    let found = tokio::select! {
        topic = similar_topic(connection, url, missing) => topic,
        () = interrupt.heard() => None,
    };
    match found {
        Some(topic) => Err(Failure::Suggestion { failure: Box::new(failure), topic }),
        None => Err(failure),
    }
}

/// The topic that a command failed for want of.
fn unknown_topic(failure: &Failure) -> Option<&str> {
    match failure {
        Failure::Open(OpenError::Kafka(kafka::Error::UnknownTopic { topic }))
        | Failure::Next(NextError::Kafka(kafka::Error::UnknownTopic { topic })) => Some(topic),
        Failure::Publish(failure) => unwritten_topic(failure),
        _ => None,
    }
}

fn unwritten_topic(failure: &PublishFailure) -> Option<&str> {
    match failure {
        PublishFailure::Partly { reason, .. } | PublishFailure::Unsent { reason, .. } => {
            unwritten_topic(reason)
        }
        PublishFailure::Write(WriteError::Produce(error))
        | PublishFailure::Send { source: WriteError::Produce(error), .. } => match &**error {
            ProduceError::Refused { topic, source }
                if matches!(**source, kafka::Error::UnknownTopic { .. }) =>
            {
                Some(topic)
            }
            _ => None,
        },
        _ => None,
    }
}

/// The topic with the name that is most like this one, if that is like it at all. That none can be found out is no news
/// to somebody who was just told of a failure.
async fn similar_topic(connection: Connection, url: &str, missing: &str) -> Option<String> {
    let client = connect(&connection).ok()?.client(url).await.ok()?;
    let topics = client.list_topics().await.ok()?;
    // One that has come into being meanwhile is no suggestion.
    let others = topics.iter().map(|topic| &*topic.name).filter(|topic| *topic != missing);
    most_similar(missing, others).map(str::to_owned)
}

fn most_similar<'a>(missing: &str, topics: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let missing = missing.to_lowercase();
    let likeness = |topic: &str| strsim::jaro_winkler(&missing, &topic.to_lowercase());
    let ranked = topics.map(|topic| (likeness(topic), topic)).filter(|(likeness, _)| *likeness >= LIKE);
    ranked.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, topic)| topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_is_most_like_it_is_meant() {
        let topics = ["gcn.circular", "gcn.classic.voevent.FERMI_GBM_ALERT", "igwn.gwalert", "GCN.Notices"];
        let meant = |missing| most_similar(missing, topics.into_iter());
        assert_eq!(meant("gcn.circulars"), Some("gcn.circular"));
        assert_eq!(meant("gcn-notices"), Some("GCN.Notices"));
        assert_eq!(meant("igwn.gwalerts"), Some("igwn.gwalert"));
        assert_eq!(meant("ztf"), None);
    }
}
