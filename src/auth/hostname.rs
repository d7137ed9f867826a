//! Host names as credentials and URLs spell them, taken apart just far enough to compare them.

/// The port that a broker name without one means.
const DEFAULT_PORT: &str = "9092";

/// Whether a credential for `bound` may be used with the broker that a URL calls `wanted`. Both are `host` or
/// `host:port`, and compared without regard to case; a missing port is the same as 9092.
///
/// Names in no such shape match only what is spelt alike.
pub(super) fn same_broker(bound: &str, wanted: &str) -> bool {
    let ((bound_host, bound_port), (wanted_host, wanted_port)) = (split(bound), split(wanted));
    match (bound_port, wanted_port) {
        (None, None) | (Some(_), Some(_)) => bound.eq_ignore_ascii_case(wanted),
        (Some(port), None) | (None, Some(port)) => {
            port == DEFAULT_PORT && bound_host.eq_ignore_ascii_case(wanted_host)
        }
    }
}

/// Splits `name`, `name:digits`, `[v6]` or `[v6]:digits`. Anything else has no host (an empty one) and no port.
pub(super) fn split(text: &str) -> (&str, Option<&str>) {
    const OTHER: (&str, Option<&str>) = ("", None);

    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else { return OTHER };
        if address.is_empty() {
            return OTHER;
        }
        return match after.strip_prefix(':') {
            None if after.is_empty() => (text, None),
            Some(port) if is_digits(port) => (text.strip_suffix(after).unwrap_or(text), Some(port)),
            _ => OTHER,
        };
    }
    match text.split_once(':') {
        None => (text, None),
        Some((host, port)) if !host.is_empty() && is_digits(port) => (host, Some(port)),
        Some(_) => OTHER,
    }
}

pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_shapes_are_split() {
        assert_eq!(split("h"), ("h", None));
        assert_eq!(split("h:90"), ("h", Some("90")));
        assert_eq!(split("[::1]"), ("[::1]", None));
        assert_eq!(split("[::1]:90"), ("[::1]", Some("90")));
        for other in ["", "h:", "::1", "h:x", ":90", "[]", "[::1", "[::1]x", "[::1]:", "[::1]:x"] {
            assert_eq!(split(other), ("", None), "{other}");
        }
    }

    #[test]
    fn a_missing_port_is_9092() {
        assert!(same_broker("h:9092", "h"));
        assert!(same_broker("h", "h:9092"));
        assert!(same_broker("[::1]", "[::1]:9092"));
        assert!(!same_broker("h:9093", "h"));
        assert!(!same_broker("h:09092", "h"));
        assert!(!same_broker("h:9092", "g"));
    }

    #[test]
    fn case_does_not_matter() {
        assert!(same_broker("Kafka.SCiMMA.org", "kafka.scimma.org:9092"));
        assert!(same_broker("H:1", "h:1"));
    }

    #[test]
    fn odd_names_match_themselves_only() {
        assert!(same_broker("h:x", "h:x"));
        assert!(!same_broker("h:x", "h:y"));
        assert!(!same_broker(":::", "h:9092"));
        assert!(!same_broker("h:", "h"));
        assert!(!same_broker("::1", "[::1]"));
    }
}
