//! Being let in: which versions are spoken, SaslHandshake, SaslAuthenticate, and tokens without the head of a request.

use bytes::{BufMut, Bytes};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::{
    Connection, Ended, LEAST_READ, PATIENCE, UNKNOWN_REQUEST_BYTES, decode, encode, milliseconds, misbehaved,
};
use crate::broker::faults::What;
use crate::broker::requests::ANSWERED;
use crate::broker::requests::cluster::api_versions;
use crate::broker::sasl::{Exchange, MECHANISMS, Step};
use crate::broker::shared::Shared;
use crate::wire::error_code::ErrorCode;
use crate::wire::frame::frame_length;
use crate::wire::message::RequestHead;
use crate::wire::spoken;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn answer_versions(
        &mut self,
        head: RequestHead,
        frame: &Bytes,
        what: What,
    ) -> Result<(), Ended> {
        let versions = spoken::<ApiVersionsRequest>();
        // The one question that is answered in a version that is not known: in the oldest, so that the client learns.
        let (version, mut response) = if versions.contains(head.api_version) {
            decode::<ApiVersionsRequest>(frame.clone(), head.api_version)?;
            (head.api_version, api_versions(ANSWERED, head.api_version))
        } else {
            let response = api_versions(&[ApiVersionsRequest::KEY], 0);
            (0, response.with_error_code(ErrorCode::UNSUPPORTED_VERSION.0))
        };
        if let Some(code) = what.answer {
            response = ApiVersionsResponse::default().with_error_code(code.0);
        }
        if let Some(delay) = what.throttle {
            response.throttle_time_ms = milliseconds(delay);
        }
        encode::<ApiVersionsRequest>(&mut self.output, &response, version, head.correlation_id)
    }

    pub(super) fn answer_handshake(
        &mut self,
        head: RequestHead,
        frame: Bytes,
        what: What,
    ) -> Result<(), Ended> {
        // Version 0 looks like 1; what follows it does not.
        let version = if head.api_version == 0 { 1 } else { head.api_version };
        let request = decode::<SaslHandshakeRequest>(frame, version)?.request;
        let exchange = Exchange::new(&request.mechanism);
        let code = match what.answer {
            Some(code) => code,
            None if !asks_for_users(&self.shared, self.listener) => ErrorCode::ILLEGAL_SASL_STATE,
            None if exchange.is_none() => ErrorCode::UNSUPPORTED_SASL_MECHANISM,
            None => ErrorCode::NONE,
        };
        let response = SaslHandshakeResponse::default()
            .with_error_code(code.0)
            .with_mechanisms(MECHANISMS.map(StrBytes::from_static_str).to_vec());
        if code == ErrorCode::NONE {
            self.exchange = exchange;
            self.bare_tokens = head.api_version == 0;
        }
        encode::<SaslHandshakeRequest>(&mut self.output, &response, version, head.correlation_id)
    }

    pub(super) fn answer_authenticate(
        &mut self,
        head: RequestHead,
        frame: Bytes,
        what: What,
    ) -> Result<(), Ended> {
        let request = decode::<SaslAuthenticateRequest>(frame, head.api_version)?.request;
        let exchange = self.exchange.take();
        let step = match (what.answer, exchange) {
            (Some(code), _) => Err(code),
            (None, None) => Err(ErrorCode::ILLEGAL_SASL_STATE),
            (None, Some(exchange)) => exchange
                .step(&request.auth_bytes, &self.shared.settings.users)
                .map_err(|_| ErrorCode::SASL_AUTHENTICATION_FAILED),
        };
        let response = SaslAuthenticateResponse::default();
        let (response, refused) = match step {
            Ok(Step::Continue(token, exchange)) => {
                self.exchange = Some(exchange);
                (response.with_auth_bytes(token.into()), false)
            }
            Ok(Step::Done(token, user)) => {
                if self.let_in(&user) {
                    // Version 0 has no room for it.
                    let lifetime = self.shared.settings.session_lifetime.filter(|_| head.api_version > 0);
                    let told = milliseconds(lifetime.unwrap_or_default()).into();
                    (response.with_auth_bytes(token.into()).with_session_lifetime_ms(told), false)
                } else {
                    (refused(ErrorCode::SASL_AUTHENTICATION_FAILED), true)
                }
            }
            Err(code) => (refused(code), true),
        };
        encode::<SaslAuthenticateRequest>(
            &mut self.output,
            &response,
            head.api_version,
            head.correlation_id,
        )?;
        if refused { Err(misbehaved("it was not let in")) } else { Ok(()) }
    }

    /// Lets a user in for as long as a login lasts; `false` where somebody else is in already.
    fn let_in(&mut self, user: &str) -> bool {
        if self.user.as_deref().is_some_and(|known| known != user) {
            return false;
        }
        self.user = Some(user.into());
        self.expires = self.shared.settings.session_lifetime.map(|lifetime| Instant::now() + lifetime);
        true
    }

    /// A token with nothing but its length, answered by another.
    pub(super) async fn answer_bare_token(&mut self) -> Result<(), Ended> {
        while self.input.len() < 4 {
            self.fill(LEAST_READ).await?;
        }
        let prefix = self.input.first_chunk().copied().unwrap_or_default();
        let length = frame_length(prefix, UNKNOWN_REQUEST_BYTES)
            .map_err(|error| Ended::Misbehaved(error.to_string()))?;
        let token = timeout(PATIENCE, self.next_frame(length)).await.map_err(|_| Ended::Idle)??;
        let exchange = self.exchange.take().ok_or_else(|| misbehaved("a token behind the last"))?;
        let step = exchange.step(&token, &self.shared.settings.users);
        let answer = match step.map_err(|_| misbehaved("it was not let in"))? {
            Step::Continue(token, exchange) => {
                self.exchange = Some(exchange);
                token
            }
            Step::Done(token, user) if self.let_in(&user) => {
                self.bare_tokens = false;
                token
            }
            Step::Done(..) => return Err(misbehaved("it came back as somebody else")),
        };
        self.output.put_u32(u32::try_from(answer.len()).unwrap_or_default());
        self.output.put_slice(&answer);
        self.flush().await
    }
}

/// Whether clients of this listener must show who they are: those of the first, where there are users.
pub(super) fn asks_for_users(shared: &Shared, listener: usize) -> bool {
    listener == 0 && !shared.settings.users.is_empty()
}

fn refused(code: ErrorCode) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse::default()
        .with_error_code(code.0)
        .with_error_message(Some(StrBytes::from_static_str(code.description())))
}
