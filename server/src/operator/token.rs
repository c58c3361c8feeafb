//! The operator's token.

use std::fmt;
use std::hint::black_box;

/// The least characters of a token: fewer can be found by asking.
const LEAST: usize = 16;

/// What whoever asks the operator's routes proves it by. It is in no debug text.
#[derive(Clone, PartialEq, Eq)]
pub struct OperatorToken(Box<[u8]>);

impl OperatorToken {
    /// The token in the text of a file, less white space around it.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it, and not what it is.
    pub fn parse(text: &str) -> Result<Self, String> {
        let token = text.trim();
        if token.len() < LEAST {
            return Err(format!("the token has fewer than {LEAST} characters"));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the token has other characters than visible ones of ASCII".to_owned());
        }
        Ok(Self(token.as_bytes().into()))
    }

    /// Whether these are its bytes. Takes as long whichever of them differ.
    #[must_use]
    pub fn is(&self, given: &[u8]) -> bool {
        let mut differences = usize::from(self.0.len() != given.len());
        for (place, byte) in self.0.iter().enumerate() {
            let other = given.get(place).copied().unwrap_or_default();
            differences |= usize::from(black_box(byte ^ other));
        }
        black_box(differences) == 0
    }

    /// The token, for who proves itself by it.
    #[must_use]
    pub fn secret(&self) -> &str {
        // It is ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_and_nothing_else_and_in_no_debug_text() {
        let token = OperatorToken::parse(" 0123456789abcdef\n").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for other in [
            &b""[..],
            b"0123456789abcde",
            b"0123456789abcdefg",
            b"0123456789abcdeF",
        ] {
            assert!(!token.is(other));
        }
        assert!(!format!("{token:?}").contains("0123"));
    }

    #[test]
    fn a_token_that_could_be_guessed_or_sent_wrongly_is_refused() {
        for text in ["", "short", "0123456789 abcdef", "0123456789abcdef\u{e9}"] {
            let error = OperatorToken::parse(text).unwrap_err();
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }
}
