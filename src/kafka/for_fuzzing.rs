//! What a fuzz target drives that is nobody else's business. No part of the API.

use bytes::Bytes;

use super::address::Address;
use super::handshake::{Handshake, Order};
use super::sasl::Sasl;

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
