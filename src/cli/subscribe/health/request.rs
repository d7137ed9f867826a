//! What is asked over HTTP: the head of a request (RFC 9112), as far as three questions need it.
//!
//! Pure. Strict where a sloppy reading could be taken for another request, since proxies may stand in between.

/// A request that can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) question: Question,
    /// HEAD: everything but the body is sent.
    pub(super) head_only: bool,
}

/// What somebody who watches over a service wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// `/live`: whether the program does anything at all.
    Live,
    /// `/ready`: whether reading goes on.
    Ready,
    /// `/metrics`: the numbers.
    Metrics,
}

/// Why a request cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is not HTTP/1, or comes with a body.
    Malformed,
    /// There is nothing by this path.
    NotFound,
    /// It wants something else than to read.
    Method,
}

/// The request that these bytes begin with; `None` where its head has not come to an end.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Request>, Refusal> {
    // Whoever speaks something else need not be waited for.
    if bytes.first().is_some_and(|&first| !is_token(first)) {
        return Err(Refusal::Malformed);
    }
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = bytes.get(..end).and_then(|head| std::str::from_utf8(head).ok()).ok_or(Refusal::Malformed)?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refusal::Malformed);
    };
    let needs_host = match version {
        "HTTP/1.0" => false,
        "HTTP/1.1" => true,
        _ => return Err(Refusal::Malformed),
    };
    if method.is_empty() || !method.bytes().all(is_token) || !is_path(target) {
        return Err(Refusal::Malformed);
    }
    let hosts = check_fields(lines)?;
    if hosts > 1 || (needs_host && hosts == 0) {
        return Err(Refusal::Malformed);
    }
    let head_only = match method {
        "GET" => false,
        "HEAD" => true,
        _ => return Err(Refusal::Method),
    };
    let path = target.split('?').next().unwrap_or_default();
    let question = match path {
        "/live" => Question::Live,
        "/ready" => Question::Ready,
        "/metrics" => Question::Metrics,
        _ => return Err(Refusal::NotFound),
    };
    Ok(Some(Request { question, head_only }))
}

/// How many of the fields are `Host`, where all of them are well-formed and none announces a body.
fn check_fields<'a>(lines: impl Iterator<Item = &'a str>) -> Result<usize, Refusal> {
    let mut hosts = 0_usize;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(Refusal::Malformed)?;
        let is_text = |byte: u8| byte == b'\t' || !byte.is_ascii_control();
        if name.is_empty() || !name.bytes().all(is_token) || !value.bytes().all(is_text) {
            return Err(Refusal::Malformed);
        }
        let is = |known| name.eq_ignore_ascii_case(known);
        if is("Transfer-Encoding") || (is("Content-Length") && value.trim() != "0") {
            return Err(Refusal::Malformed);
        }
        hosts = hosts.saturating_add(usize::from(is("Host")));
    }
    Ok(hosts)
}

fn is_path(target: &str) -> bool {
    target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic())
}

/// RFC 9110, `tchar`.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// For fuzzing: whether what is understood does not depend on what comes behind it, nor on how it was written.
pub(in crate::cli) fn holds_together(bytes: &[u8]) -> bool {
    let understood = parse(bytes);
    let Ok(Some(request)) = understood else { return true };
    let path = match request.question {
        Question::Live => "/live",
        Question::Ready => "/ready",
        Question::Metrics => "/metrics",
    };
    let method = if request.head_only { "HEAD" } else { "GET" };
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_default();
    parse(format!("{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()) == understood
        && parse(bytes.get(..end.saturating_add(4)).unwrap_or_default()) == understood
        && parse(bytes.get(..end.saturating_add(3)).unwrap_or_default()) == Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: Request = Request { question: Question::Ready, head_only: false };

    #[test]
    fn what_is_asked_is_understood() {
        assert_eq!(parse(b"GET /ready HTTP/1.1\r\nHost: h:1\r\n\r\n"), Ok(Some(READY)));
        assert_eq!(parse(b"GET /ready?verbose=1 HTTP/1.0\r\n\r\nmore"), Ok(Some(READY)));
        let head = Request { question: Question::Live, head_only: true };
        assert_eq!(parse(b"HEAD /live HTTP/1.1\r\nhost:\r\nContent-Length: 0\r\n\r\n"), Ok(Some(head)));
        let metrics = Request { question: Question::Metrics, head_only: false };
        assert_eq!(parse(b"GET /metrics HTTP/1.1\r\nHost: h\r\nX: \xc3\xa9\t\r\n\r\n"), Ok(Some(metrics)));
    }

    #[test]
    fn the_rest_of_a_head_is_waited_for() {
        let whole = b"GET /ready HTTP/1.1\r\nHost: h\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), Ok(None), "{length}");
        }
    }

    #[test]
    fn what_is_odd_is_refused() {
        let refusal = |head: &str| parse(format!("{head}\r\n\r\n").as_bytes());
        for head in [
            "",
            "GET /live",
            "GET  /live HTTP/1.0",
            "GET /live HTTP/1.0 ",
            "GET /live HTTP/2.0",
            "GET /live HTTP/1.1",
            "GET live HTTP/1.0",
            "GET http://h/live HTTP/1.0",
            "GET /li\tve HTTP/1.0",
            "G(T /live HTTP/1.0",
            "GET /live HTTP/1.0\r\nno colon",
            "GET /live HTTP/1.0\r\n folded: x",
            "GET /live HTTP/1.0\r\nspaced : x",
            "GET /live HTTP/1.0\r\nx: a\nb",
            "GET /live HTTP/1.0\r\nContent-Length: 5",
            "GET /live HTTP/1.0\r\nTransfer-Encoding: chunked",
            "GET /live HTTP/1.1\r\nHost: a\r\nHost: b",
        ] {
            assert_eq!(refusal(head), Err(Refusal::Malformed), "{head}");
        }
        assert_eq!(parse(b"GET /live HTTP/1.0\r\nx: \xff\r\n\r\n"), Err(Refusal::Malformed));
        // A client that begins with TLS waits for an answer to it.
        assert_eq!(parse(b"\x16\x03\x01"), Err(Refusal::Malformed));
        assert_eq!(refusal("POST /live HTTP/1.0"), Err(Refusal::Method));
        assert_eq!(refusal("get /live HTTP/1.0"), Err(Refusal::Method));
        for path in ["/", "/live/", "/lives", "//live", "/%6cive"] {
            assert_eq!(refusal(&format!("GET {path} HTTP/1.0")), Err(Refusal::NotFound), "{path}");
        }
    }
}
