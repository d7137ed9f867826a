//! Taking up a request: decoded, done or refused as a fault has it, and its answer made ready to be written.

use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{Ended, decode, encode, milliseconds};
use crate::broker::faults::What;
use crate::broker::requests::{Call, ForHandled, Handle, Reply};

/// Writes an answer under this number.
pub(super) type Encode = Box<dyn FnOnce(&mut BytesMut, i32) -> Result<(), Ended> + Send>;

/// A request that was taken up.
pub(super) enum Begun {
    Ready(Encode),
    Later(Pin<Box<dyn Future<Output = Encode> + Send>>),
    Silence,
    HangUp,
}

/// Decodes a request and does it.
pub(super) struct Begin {
    pub(super) frame: Bytes,
    pub(super) call: Call,
    pub(super) what: What,
}

impl ForHandled for Begin {
    type Output = Result<Begun, Ended>;

    fn run<R: Handle<Response: Send + 'static>>(self) -> Self::Output {
        let Self { frame, mut call, what } = self;
        let version = call.version;
        let received = decode::<R>(frame, version)?;
        call.client_id = received.client_id.unwrap_or_default();
        let reply = match what.answer {
            Some(code) => Reply::Now(received.request.refuse(code)),
            None => {
                let shared = Arc::clone(&call.shared);
                received.request.handle(&mut shared.cluster(), &call)
            }
        };
        let encode = move |response: R::Response| -> Encode {
            let response = match what.throttle {
                Some(delay) => R::throttle(response, milliseconds(delay)),
                None => response,
            };
            Box::new(move |output, number| encode::<R>(output, &response, version, number))
        };
        Ok(match reply {
            Reply::Now(response) => Begun::Ready(encode(response)),
            Reply::Later(wait) => Begun::Later(Box::pin(async move { encode(wait.await) })),
            Reply::Silence => Begun::Silence,
            Reply::HangUp => Begun::HangUp,
        })
    }
}
