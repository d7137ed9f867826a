//! What a fuzz target drives that is nobody else's business. No part of the API.

/// Reads what may have been sent to `--health`; whether what is understood of it holds together: see the code.
pub fn health_request(bytes: &[u8]) -> bool {
    super::subscribe::holds_together(bytes)
}
