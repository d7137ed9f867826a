//! What a fuzz target drives that is nobody else's business. No part of the API.

use bytes::Bytes;

use super::address::Address;
use super::group::subscription::{Subscription, UserData, decode_assignment, encode_assignment};
use super::handshake::{Handshake, Order};
use super::sasl::Sasl;

/// Reads what another member of a group may have said of itself, and what its leader may have assigned; whether what is
/// understood of each reads back from what this client would write of it.
pub fn group_metadata(bytes: &[u8]) -> bool {
    let subscription = Subscription::decode(bytes).is_none_or(|mut subscription| {
        let Some(mut again) = Subscription::decode(&subscription.encode(UserData::Nothing)) else {
            return false;
        };
        // Partitions are written topic by topic.
        subscription.owned.sort_unstable();
        again.owned.sort_unstable();
        again == subscription
    });
    let assignment = decode_assignment(bytes).is_none_or(|mut assignment| {
        let mut again = decode_assignment(&encode_assignment(&assignment)).unwrap_or_default();
        assignment.sort_unstable();
        again.sort_unstable();
        again == assignment
    });
    subscription && assignment
}

/// Whether a client would take itself for let in after these answers of a broker.
pub fn shake_hands(sasl: Option<&Sasl>, fastest: bool, answers: impl IntoIterator<Item = Bytes>) -> bool {
    let broker = Address::new("broker", 9092);
    let order = if fastest { Order::Fastest } else { Order::VersionsFirst };
    let Ok(mut handshake) = Handshake::new(&broker, "client", true, sasl, None, order) else { return false };
    if handshake.start().is_err() {
        return false;
    }
    for answer in answers {
        match handshake.on_frame(answer) {
            Ok(progress) if progress.done.is_some() => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    false
}
