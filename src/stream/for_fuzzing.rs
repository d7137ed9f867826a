//! What a fuzz target drives that is nobody else's business. No part of the API.

/// Reads the bytes of a journal; whether what it comes to holds together: see the code.
pub fn replay_journal(bytes: &[u8]) -> bool {
    super::journal::holds_together(bytes)
}

/// Reads a message that was kept elsewhere; whether the same bytes are the same message again.
#[cfg(feature = "http")]
pub fn large_message(bytes: &[u8]) -> bool {
    super::large::reads_alike(bytes)
}
