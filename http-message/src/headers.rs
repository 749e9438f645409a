//! The header fields of a message, in their order.

use std::fmt;

/// One header field. It may hold a credential, so its `Debug` shows no value.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// A token (RFC 9110, 5.6.2), in the case in which it was written.
    pub name: String,
    /// Without white space around it. No control character but tabs.
    pub value: Vec<u8>,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ..", self.name)
    }
}

/// The header fields of a message, in their order. Names are compared without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

impl Headers {
    /// Adds a field at the end.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.0.push(Header { name: name.into(), value: value.into() });
    }

    /// The values of all fields of this name.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| &*header.value)
    }

    /// The value of the only field of this name; `None` if there is none, or more than one.
    pub fn only(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.all(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Keeps the fields for which `keep` is true.
    pub fn retain(&mut self, keep: impl FnMut(&Header) -> bool) {
        self.0.retain(keep);
    }

    /// Removes all fields of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|header| !header.name.eq_ignore_ascii_case(name));
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.0.iter()
    }

    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Header> {
        self.0.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_values() {
        let mut headers = Headers::default();
        headers.push("Authorization", "hunter2");
        assert_eq!(format!("{headers:?}"), "Headers([Authorization: ..])");
    }

    #[test]
    fn names_are_compared_without_regard_to_case() {
        let mut headers = Headers::default();
        headers.push("Host", "a");
        headers.push("accept", "1");
        headers.push("ACCEPT", "2");
        assert_eq!(headers.only("host"), Some(&b"a"[..]));
        assert_eq!(headers.only("Accept"), None);
        assert_eq!(headers.all("Accept").collect::<Vec<_>>(), [b"1", b"2"]);
        headers.remove("aCCept");
        assert!(!headers.contains("accept") && headers.contains("HOST"));
    }
}
