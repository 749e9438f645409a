//! The code that a person types to allow something at the terminal.

use aws_lc_rs::rand;

/// What a code is made of: no two that look alike. Sixteen, so that a random byte picks each of them equally often.
const ALPHABET: &[u8; 16] = b"3479ACEFHKMNPRTX";

/// Four characters, fresh for each question. Nothing that was typed or printed before the question was shown can have
/// them in it, and for a guess there is one try in 65536.
pub(super) struct Code([u8; 4]);

impl Code {
    /// `None` if the system gives no random bytes.
    pub(super) fn fresh() -> Option<Self> {
        let mut code = [0; 4];
        rand::fill(&mut code).ok()?;
        for byte in &mut code {
            *byte = *ALPHABET.get(usize::from(*byte % 16))?;
        }
        Some(Self(code))
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether the line `typed` is the code. Capitals or not is the same.
    #[cfg_attr(all(windows, not(test)), expect(dead_code, reason = "no console asks while a bridge serves"))]
    pub(super) fn is(&self, typed: &[u8]) -> bool {
        typed.trim_ascii().eq_ignore_ascii_case(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_code_itself_is_the_code() {
        let code = Code(*b"3AXT");
        assert_eq!(code.as_str(), "3AXT");
        for typed in [&b"3AXT"[..], b" 3axt\r"] {
            assert!(code.is(typed));
        }
        for typed in [&b""[..], b"y", b"yes", b"3AX", b"3AXTT", b"3A XT", b"3AXN"] {
            assert!(!code.is(typed));
        }
    }

    #[test]
    fn codes_differ() {
        let codes: std::collections::HashSet<_> =
            (0..100).map(|_| Code::fresh().unwrap().as_str().to_owned()).collect();
        assert!(codes.len() > 90);
        assert!(codes.iter().all(|code| code.len() == 4));
    }
}
