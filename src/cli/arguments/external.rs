//! What is fetched of messages that are kept elsewhere, as it is typed.

use clap::Args;

use crate::stream::LargeMessages;

#[derive(Debug, Args)]
pub(in crate::cli) struct ExternalMessages {
    /// Fetch messages that are too large for Kafka from this host, too, and not only from the service that the broker names.
    /// May be given more than once
    #[arg(long = "external-host", value_name = "HOST")]
    hosts: Vec<String>,

    /// Fetch no message that is larger than this
    #[arg(long = "external-limit", value_name = "BYTES", default_value_t = 128 * 1024 * 1024)]
    most_bytes: usize,
}

impl ExternalMessages {
    pub(in crate::cli) fn large_messages(&self) -> LargeMessages {
        let large = LargeMessages::default().most_bytes(self.most_bytes);
        self.hosts.iter().fold(large, |large, host| large.trust_host(host))
    }
}
