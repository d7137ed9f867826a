//! The headers of a message, and the names that hop gives a meaning.

use std::fmt;

use bytes::Bytes;

/// 16 bytes that no other message has.
pub(super) const ID: &str = "_id";
/// The user who sent the message.
pub(super) const SENDER: &str = "_sender";
/// Whatever its value, the message is a test.
pub(super) const TEST: &str = "_test";
/// How to read the payload.
pub(super) const FORMAT: &str = "_format";

/// One header: a name, which is a text by custom only, and a value, which may be null.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Header {
    name: Bytes,
    value: Option<Bytes>,
}

impl Header {
    /// A header.
    pub fn new(name: impl Into<Bytes>, value: Option<Bytes>) -> Self {
        Self { name: name.into(), value }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Bytes {
        &self.name
    }

    /// The value; `None` if it is null.
    #[must_use]
    pub fn value(&self) -> Option<&Bytes> {
        self.value.as_ref()
    }

    pub(super) fn into_parts(self) -> (Bytes, Option<Bytes>) {
        (self.name, self.value)
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?}", self.name, self.value)
    }
}

/// The headers of a message, in the order in which they were sent. Names may repeat.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Headers(Box<[Header]>);

impl Headers {
    /// The first header of this name.
    // Mostly it is looked for by a name that the program knows: comparing takes no call then.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Header> {
        self.0.iter().find(|header| header.name == name)
    }

    /// All headers, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Header> for Headers {
    fn from_iter<I: IntoIterator<Item = Header>>(headers: I) -> Self {
        Self(headers.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Header;
    type IntoIter = std::slice::Iter<'a, Header>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_is_found_and_all_are_kept() {
        let header =
            |name: &'static str, value: Option<&'static str>| Header::new(name, value.map(Bytes::from));
        let headers: Headers =
            [header("a", Some("1")), header("b", None), header("a", Some("2"))].into_iter().collect();
        assert_eq!(headers.get("a").unwrap().value().unwrap(), "1");
        assert_eq!(headers.get("b").unwrap().value(), None);
        assert!(headers.get("A").is_none());
        assert_eq!((headers.len(), headers.iter().count()), (3, 3));
        assert_eq!(format!("{headers:?}"), r#"[b"a": Some(b"1"), b"b": None, b"a": Some(b"2")]"#);
    }
}
