//! Tokens from an OpenID Connect provider, by client credentials (RFC 6749, section 4.4; KIP-768).

use std::fmt::{self, Write as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use zeroize::Zeroizing;

use super::tokens::{Token, TokenError, TokenFuture, TokenSource};
use crate::kafka::http::{
    HttpConnection, HttpError, HttpUrl, HttpUrlError, Method, Request, Response, header,
};
use crate::kafka::tls::Tls;

/// Tokens are a few kilobytes, and so is what comes with them.
const MOST_ANSWER_BYTES: usize = 256 * 1024;

/// A client of an OpenID Connect provider, whose token endpoint gives tokens for its name and secret.
///
/// Kafka's `sasl.oauthbearer.token.endpoint.url` with `client.id`, `client.secret` and `scope`. As Java's and librdkafka
/// do it, name and secret are sent as they are in the `Authorization` header.
///
/// ```
/// use hop::kafka::{Oidc, Sasl};
///
/// let gcn = Oidc::new("https://auth.gcn.nasa.gov/oauth2/token", "client-id", "client-secret".into())?;
/// let sasl = Sasl::oauth_bearer_from("client-id", gcn);
/// # let _ = sasl;
/// # Ok::<(), hop::kafka::HttpUrlError>(())
/// ```
#[derive(Clone)]
pub struct Oidc {
    endpoint: HttpUrl,
    client_id: String,
    client_secret: SecretString,
    scope: Option<String>,
    tls: Tls,
}

impl Oidc {
    /// A client of the provider whose token endpoint is at this URL.
    ///
    /// # Errors
    ///
    /// When it is none that HTTP can use. One without TLS is taken, and warned about in the log when it is used: the
    /// secret can be read on the way there.
    pub fn new(
        endpoint: &str,
        client_id: impl Into<String>,
        client_secret: SecretString,
    ) -> Result<Self, HttpUrlError> {
        let endpoint = endpoint.parse()?;
        Ok(Self { endpoint, client_id: client_id.into(), client_secret, scope: None, tls: Tls::default() })
    }

    /// What the token is to be good for, in the provider's words. Not set, the provider decides.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// How TLS is spoken with the provider. Not set, as everywhere on the web.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    async fn fetch(&self) -> Result<Token, TokenError> {
        let failed = |error: HttpError| {
            if error.is_retriable() { TokenError::retriable(error) } else { TokenError::fatal(error) }
        };
        if !self.endpoint.is_encrypted() {
            tracing::warn!(
                endpoint = %self.endpoint,
                "the client secret goes to the token endpoint without encryption"
            );
        }
        let mut form = "grant_type=client_credentials".to_owned();
        if let Some(scope) = &self.scope {
            form.push_str("&scope=");
            push_encoded(&mut form, scope);
        }
        let pair = Zeroizing::new(format!("{}:{}", self.client_id, self.client_secret.expose_secret()));
        let mut authorization =
            header::HeaderValue::try_from(format!("Basic {}", BASE64.encode(pair.as_bytes())))
                .map_err(TokenError::fatal)?;
        authorization.set_sensitive(true);
        let request = Request::builder()
            .method(Method::POST)
            .header(header::AUTHORIZATION, authorization)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        let mut connection = HttpConnection::open(&self.endpoint, &self.tls).await.map_err(failed)?;
        let answer = connection.ask(request, Bytes::from(form), MOST_ANSWER_BYTES).await.map_err(failed)?;
        self.token(&answer).map_err(failed)
    }

    /// The token in an answer (RFC 6749, section 5.1), or why there is none (5.2).
    fn token(&self, answer: &Response<Bytes>) -> Result<Token, HttpError> {
        let refused = |reason: &str| HttpError::answer(&self.endpoint, reason);
        if !answer.status().is_success() {
            return Err(HttpError::status(&self.endpoint, answer));
        }
        let said: Value =
            serde_json::from_slice(answer.body()).map_err(|_| refused("its answer is not JSON"))?;
        let text = said.get("access_token").and_then(Value::as_str);
        let text = text.ok_or_else(|| refused("its answer has no access_token"))?;
        let kind = said.get("token_type").and_then(Value::as_str).unwrap_or("Bearer");
        if !kind.eq_ignore_ascii_case("bearer") {
            return Err(refused("its token is not of the type Bearer"));
        }
        let token = Token::new(text);
        // Some providers write the number as text.
        let stated = said.get("expires_in").and_then(|value| match value {
            Value::String(text) => text.parse().ok(),
            value => value.as_f64(),
        });
        Ok(match stated.and_then(seconds).or_else(|| life_of_jwt(text)) {
            Some(lifetime) => token.lasting(lifetime),
            None => token,
        })
    }
}

impl TokenSource for Oidc {
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(self.fetch())
    }
}

impl fmt::Debug for Oidc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oidc")
            .field("endpoint", &self.endpoint)
            .field("client_id", &self.client_id)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// For how long a token is still good that says so itself (RFC 7519); nobody but its reader checks more of it.
fn life_of_jwt(token: &str) -> Option<Duration> {
    let expires = claims(token)?.get("exp")?.as_f64()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    seconds(expires - now.as_secs_f64())
}

/// What a JSON web token says, unchecked.
pub(crate) fn claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_header, claims, _signature, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next())
    else {
        return None;
    };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?).ok()
}

/// A stated time, where it is one.
pub(crate) fn seconds(stated: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(stated).ok()
}

/// As forms on the web are encoded.
fn push_encoded(form: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => form.push(byte.into()),
            b' ' => form.push('+'),
            // A String takes all that is written to it.
            _ => drop(write!(form, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::http::StatusCode;

    fn answered(status: u16, body: &str) -> Result<Token, HttpError> {
        let oidc = Oidc::new("https://auth.test/token", "me", "hidden-words".into()).unwrap();
        let mut answer = Response::new(Bytes::copy_from_slice(body.as_bytes()));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        oidc.token(&answer)
    }

    #[test]
    fn a_token_and_its_life_are_taken_from_the_answer() {
        let token = answered(200, r#"{"access_token": "a.b.c", "token_type": "bearer", "expires_in": 300}"#);
        let token = token.unwrap();
        assert_eq!(token.text().expose_secret(), "a.b.c");
        assert_eq!(token.lifetime(), Some(Duration::from_secs(300)));
        let as_text = answered(200, r#"{"access_token": "a", "expires_in": "60"}"#).unwrap();
        assert_eq!(as_text.lifetime(), Some(Duration::from_secs(60)));
        for life in ["-1", "1e300", "null"] {
            let body = format!(r#"{{"access_token": "a", "expires_in": {life}}}"#);
            assert_eq!(answered(200, &body).unwrap().lifetime(), None, "{life}");
        }
    }

    #[test]
    fn a_life_that_is_not_stated_is_read_from_the_token() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let claims = format!(r#"{{"sub": "me", "exp": {}}}"#, now.as_secs() + 1_000);
        let token = format!("e30.{}.", URL_SAFE_NO_PAD.encode(claims));
        let lifetime = answered(200, &format!(r#"{{"access_token": "{token}"}}"#)).unwrap().lifetime();
        assert!(lifetime.is_some_and(|life| (998..=1_000).contains(&life.as_secs())), "{lifetime:?}");
    }

    #[test]
    fn what_is_no_token_says_so() {
        let cases = [
            (200, "<html>", "its answer is not JSON", false),
            (200, "{}", "its answer has no access_token", false),
            (200, r#"{"access_token": "a", "token_type": "mac"}"#, "not of the type Bearer", false),
            (401, r#"{"error": "invalid_client"}"#, r#"it answers 401 Unauthorized: {"error": "inv"#, false),
            (503, "", "it answers 503 Service Unavailable", true),
            (302, "", "it answers 302 Found", false),
        ];
        for (status, body, words, retriable) in cases {
            let error = answered(status, body).unwrap_err();
            let shown = error.to_string();
            assert!(shown.starts_with("https://auth.test/token: ") && shown.contains(words), "{shown}");
            assert_eq!(error.is_retriable(), retriable, "{shown}");
        }
    }

    #[test]
    fn scopes_are_encoded_and_secrets_not_shown() {
        let mut form = String::new();
        push_encoded(&mut form, "api://x/.default a&b=é");
        assert_eq!(form, "api%3A%2F%2Fx%2F.default+a%26b%3D%C3%A9");
        let oidc = Oidc::new("https://auth.test/token", "me", "hidden-words".into()).unwrap();
        assert!(!format!("{oidc:?}").contains("hidden"));
    }
}
