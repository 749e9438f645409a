//! The code that a person types at the terminal to confirm.

use aws_lc_rs::rand;

use super::answer::Answer;

/// Characters that do not look alike. Sixteen of them, so that a random byte selects each with the same probability.
const ALPHABET: &[u8; 16] = b"3479ACEFHKMNPRTX";

/// Four random characters for each question. Nothing that was typed or printed before the question can contain them, and
/// a guess succeeds once in 65536.
pub(super) struct ConfirmationCode([u8; 4]);

/// One code for each way to allow the use. They differ.
pub(super) struct Codes {
    pub(super) once: ConfirmationCode,
    pub(super) until_end: ConfirmationCode,
}

impl Codes {
    /// `None` if the system's random number generator fails.
    pub(super) fn random() -> Option<Self> {
        let once = ConfirmationCode::random()?;
        loop {
            let until_end = ConfirmationCode::random()?;
            if until_end.0 != once.0 {
                return Some(Self { once, until_end });
            }
        }
    }

    /// What the line `typed` means.
    #[cfg_attr(all(windows, not(test)), expect(dead_code, reason = "consoles do not ask for confirmations"))]
    pub(super) fn answer(&self, typed: &[u8]) -> Answer {
        if self.once.matches(typed) {
            Answer::Once
        } else if self.until_end.matches(typed) {
            Answer::UntilEnd
        } else {
            Answer::No
        }
    }
}

impl ConfirmationCode {
    /// `None` if the system's random number generator fails.
    pub(super) fn random() -> Option<Self> {
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

    /// Whether the line `typed` is the code, in upper or lower case.
    pub(super) fn matches(&self, typed: &[u8]) -> bool {
        typed.trim_ascii().eq_ignore_ascii_case(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_code_matches() {
        let code = ConfirmationCode(*b"3AXT");
        assert_eq!(code.as_str(), "3AXT");
        for typed in [&b"3AXT"[..], b" 3axt\r"] {
            assert!(code.matches(typed));
        }
        for typed in [&b""[..], b"y", b"yes", b"3AX", b"3AXTT", b"3A XT", b"3AXN"] {
            assert!(!code.matches(typed));
        }
    }

    #[test]
    fn codes_differ() {
        let codes: std::collections::HashSet<_> =
            (0..100).map(|_| ConfirmationCode::random().unwrap().as_str().to_owned()).collect();
        assert!(codes.len() > 90);
        assert!(codes.iter().all(|code| code.len() == 4));
    }
}
