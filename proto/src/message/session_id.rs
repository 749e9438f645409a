use std::fmt;

/// Identifies one session over redials. The client chooses it, 16 random bytes for each session, so that a first hello
/// whose answer was lost can be repeated. Of no use without the client key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// In the place of an id where there is no session. No session has it.
    pub const NONE: Self = Self([0; 16]);

    /// Parses 32 hexadecimal digits in lower case, as they are displayed. `None` for anything else, and for [`Self::NONE`].
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = Self::NONE;
        if text.len() != 2 * id.0.len() {
            return None;
        }
        for (byte, digits) in id.0.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] = digits else { return None };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        (id != Self::NONE).then_some(id)
    }
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_displayed_is_parsed() {
        let id = SessionId(std::array::from_fn(|index| 0xf0 - index as u8));
        let shown = id.to_string();
        assert_eq!(SessionId::parse(&shown), Some(id));
        for bad in [
            "",
            &shown[1..],
            &shown.to_uppercase(),
            &format!("{shown}0"),
            &format!("{}+f", &shown[2..]),
            &format!("{}é", &shown[2..]),
            &"0".repeat(32),
        ] {
            assert_eq!(SessionId::parse(bad), None, "{bad}");
        }
    }
}
