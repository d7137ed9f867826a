//! Requests that say who asks: by SCRAM (RFC 7804), or with a bearer token (RFC 6750).
//!
//! SCRAM begins with the first request, without waiting to be asked: what is sent with it is empty, and the request goes
//! again with its body once the service has given its challenge. That the service knows the password too is checked
//! before its answer is believed; one that does not ask is believed for its certificate alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use secrecy::ExposeSecret as _;

use super::{HttpConnection, HttpError, HttpUrl, Method, Request, Response, StatusCode, header};
use crate::kafka::sasl::{Exchange, Sasl, SaslError, Step};
use crate::kafka::tls::Tls;

/// A challenge has no body to speak of.
const MOST_CHALLENGE_BYTES: usize = 64 * 1024;
/// The header in which the service proves itself.
const AUTHENTICATION_INFO: &str = "authentication-info";

/// Sends one request as the user of this login, or as nobody, and gives the answer if it is a good one.
///
/// A user of PLAIN counts as nobody: no service wants that over HTTP. Dropping the future gives the request up.
pub(crate) async fn ask_as(
    url: &HttpUrl,
    tls: &Tls,
    login: Option<&Sasl>,
    method: &Method,
    body: Bytes,
    most: usize,
) -> Result<Response<Bytes>, HttpError> {
    let refused = |error: SaslError| HttpError::answer(url, error.to_string());
    let mut connection = HttpConnection::open(url, tls).await?;
    let request = || Request::builder().method(method.clone());
    let answer = match login {
        Some(login) if login.is_token() => {
            if !url.is_encrypted() {
                return Err(HttpError::answer(url, "a token is not sent to it without TLS"));
            }
            login.prepare().await.map_err(|error| HttpError::token(url, error))?;
            let token = login.token().ok_or_else(|| refused(SaslError::NoToken))?;
            let authorization = sensitive(url, format!("Bearer {}", token.expose_secret()))?;
            connection.ask(request().header(header::AUTHORIZATION, authorization), body, most).await?
        }
        Some(login) if login.is_scram() => {
            let mut exchange = login.start(url.is_encrypted()).map_err(refused)?;
            let mechanism = login.mechanism_name();
            let first = format!("{mechanism} data={}", BASE64.encode(exchange.initial()));
            let authorized = request().header(header::AUTHORIZATION, sensitive(url, first)?);
            let asked = connection.ask(authorized, Bytes::new(), MOST_CHALLENGE_BYTES.max(most)).await?;
            if asked.status() != StatusCode::UNAUTHORIZED {
                return unasked(url, method, asked, most);
            }
            let (session, proof) = prove(url, mechanism, &mut exchange, &asked)?;
            if !connection.ready().await {
                connection = HttpConnection::open(url, tls).await?;
            }
            let last = format!("{mechanism} sid={session},data={}", BASE64.encode(proof));
            let authorized = request().header(header::AUTHORIZATION, sensitive(url, last)?);
            let answer = connection.ask(authorized, body, most).await?;
            if answer.status().is_success() {
                check_proof(url, &session, &mut exchange, &answer)?;
            }
            answer
        }
        _ => connection.ask(request(), body, most).await?,
    };
    if answer.status().is_success() { Ok(answer) } else { Err(HttpError::status(url, &answer)) }
}

/// The service did not want to know who asks. What was asked with an empty body was asked in vain; and without TLS
/// anybody on the way may have answered.
fn unasked(
    url: &HttpUrl,
    method: &Method,
    answer: Response<Bytes>,
    most: usize,
) -> Result<Response<Bytes>, HttpError> {
    if !answer.status().is_success() {
        Err(HttpError::status(url, &answer))
    } else if *method == Method::GET {
        if !url.is_encrypted() {
            Err(HttpError::answer(url, "it does not prove that it knows the password"))
        } else if answer.body().len() > most {
            Err(HttpError::answer(url, format!("its answer is larger than {most} bytes")))
        } else {
            Ok(answer)
        }
    } else {
        Err(HttpError::answer(url, "it did not ask who writes, and took nothing"))
    }
}

/// The session, and our proof, from the challenge in an answer.
fn prove(
    url: &HttpUrl,
    mechanism: &str,
    exchange: &mut Exchange,
    asked: &Response<Bytes>,
) -> Result<(String, Vec<u8>), HttpError> {
    let challenges = asked.headers().get_all(header::WWW_AUTHENTICATE);
    let challenge = challenges.iter().filter_map(|value| value.to_str().ok()).find_map(|value| {
        let (scheme, parameters) = value.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case(mechanism).then_some(parameters)
    });
    let Some(challenge) = challenge else { return Err(HttpError::status(url, asked)) };
    let (session, data) = parameters(challenge)
        .ok_or_else(|| HttpError::answer(url, "its challenge has no `sid` or no `data` that can be read"))?;
    match exchange.step(&data) {
        Ok(Step::Send(proof)) => Ok((session, proof)),
        Ok(Step::Done) => Err(HttpError::answer(url, "its challenge ends the exchange")),
        Err(error) => Err(HttpError::answer(url, error.to_string())),
    }
}

/// Whether the service has proved that it knows the password, in the same session.
fn check_proof(
    url: &HttpUrl,
    session: &str,
    exchange: &mut Exchange,
    answer: &Response<Bytes>,
) -> Result<(), HttpError> {
    let proof = answer.headers().get(AUTHENTICATION_INFO).and_then(|value| value.to_str().ok());
    let Some((theirs, data)) = proof.and_then(parameters) else {
        return Err(HttpError::answer(url, "it does not prove that it knows the password"));
    };
    if theirs != session {
        return Err(HttpError::answer(url, "it proves itself in another session"));
    }
    match exchange.step(&data) {
        Ok(Step::Done) => Ok(()),
        Ok(Step::Send(_)) => Err(HttpError::answer(url, "it goes on where the exchange should end")),
        Err(error) => Err(HttpError::answer(url, error.to_string())),
    }
}

/// `sid` and `data` of a list such as `sid=abc, data="ZGF0YQ=="`.
fn parameters(list: &str) -> Option<(String, Vec<u8>)> {
    let (mut session, mut data) = (None, None);
    for parameter in list.split(',') {
        let (name, value) = parameter.trim().split_once('=')?;
        let value = value.trim().trim_matches('"');
        match name.trim() {
            "sid" => session = Some(value.to_owned()),
            "data" => data = Some(BASE64.decode(value).ok()?),
            _ => {}
        }
    }
    // It is sent back as it is.
    let session = session.filter(|session| session.bytes().all(|byte| byte.is_ascii_graphic()))?;
    Some((session, data?))
}

/// A header that no log shows.
fn sensitive(url: &HttpUrl, text: String) -> Result<header::HeaderValue, HttpError> {
    let mut value = header::HeaderValue::try_from(text)
        .map_err(|_| HttpError::answer(url, "who asks cannot be said in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_in_any_order_quoted_or_not() {
        let found = Some(("abc".to_owned(), b"data".to_vec()));
        for list in ["sid=abc,data=ZGF0YQ==", r#"realm="x", data="ZGF0YQ==", sid="abc""#] {
            assert_eq!(parameters(list), found, "{list}");
        }
        for list in ["", "sid=abc", "data=ZGF0YQ==", "sid=abc,data=!", "sid=a b,data=ZGF0YQ==", "sid"] {
            assert_eq!(parameters(list), None, "{list}");
        }
    }
}
