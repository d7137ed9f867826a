//! What the user of this client may do to topics (KIP-430): Metadata, which has a bit for each operation.

use std::sync::Arc;

use super::Admin;
use super::access_rules::AclOperation;
use super::answer::{Deed, Subject};
use crate::kafka::error::Error;

/// What a broker says that does not say what is allowed.
const UNTOLD: i32 = i32::MIN;
/// Whoever sees a topic may at least do that: this is from a broker that knows nothing of the field.
const NOTHING: i32 = 0;

impl Admin {
    /// What this client's user may do to each of these topics, by the rules of the cluster. Nothing is created.
    ///
    /// # Errors
    ///
    /// For each: [`Error::UnknownTopic`], also where the user may not see it; [`Error::NotAuthorized`];
    /// [`Error::Unanswered`] where the broker does not say. As a whole: [`Error::TooOld`] from a broker before Kafka
    /// 2.3, and those of reaching the cluster.
    pub async fn authorized_operations(
        &self,
        topics: &[&str],
    ) -> Result<Vec<(String, Result<Vec<AclOperation>, Error>)>, Error> {
        let names: Vec<Arc<str>> = topics.iter().map(|&name| Arc::from(name)).collect();
        let told = self.cluster.describe_operations(&names).await?;
        let of = |name: &str| {
            let deed = Deed { action: "describe", subject: Subject::Topic(name) };
            let topic =
                told.topics.iter().find(|topic| topic.name.as_ref().is_some_and(|known| ***known == *name));
            let topic = topic.ok_or_else(|| deed.unanswered())?;
            deed.outcome(topic.error_code, None)?;
            match topic.topic_authorized_operations {
                UNTOLD | NOTHING => Err(deed.unanswered()),
                bits => Ok(operations(bits)),
            }
        };
        Ok(topics.iter().map(|&name| (name.to_owned(), of(name))).collect())
    }
}

/// The bit that an operation has is the number that it has in rules.
fn operations(bits: i32) -> Vec<AclOperation> {
    (0_i8..32).filter(|&number| bits >> number & 1 == 1).map(AclOperation::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_is_an_operation() {
        assert_eq!(operations(0), []);
        let some = [AclOperation::Read, AclOperation::Write, AclOperation::Describe, AclOperation::Other(30)];
        assert_eq!(operations(1 << 3 | 1 << 4 | 1 << 8 | 1 << 30), some);
    }
}
