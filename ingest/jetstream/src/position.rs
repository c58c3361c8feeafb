//! Finding a frame's position without reading its event.
//!
//! The connection must know where to resume after every frame it hands over, while the frame itself is parsed later
//! and elsewhere. This walks the top level of the object once, jumping over strings and nested values, and reads only
//! `time_us` and `cursor`. It accepts any member order and stops as soon as it has both. It judges nothing: for text
//! that is not an event it finds no position or a meaningless one, so the caller bounds what it believes.

use memchr::memchr2;

/// The two position members of a frame, as far as they were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// `time_us`, microseconds since 1970.
    pub time_us: Option<u64>,
    /// `cursor`, the server's sequence number.
    pub seq: Option<u64>,
}

impl Position {
    /// Reads the position members of a frame's text, in one pass without allocation.
    ///
    /// ```
    /// use orrery_jetstream::Position;
    ///
    /// let position = Position::of(r#"{"kind":"commit","cursor":7,"commit":{"cursor":1},"time_us":1786000000000000}"#);
    /// assert_eq!(position, Position { time_us: Some(1_786_000_000_000_000), seq: Some(7) });
    /// ```
    pub fn of(text: &str) -> Self {
        let mut scan = Scan {
            rest: text.as_bytes(),
        };
        let mut found = Self::default();
        scan.members(&mut found);
        found
    }
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    /// Walks the members of the object at the start; gives up silently where the text is not JSON.
    fn members(&mut self, found: &mut Position) -> Option<()> {
        self.byte(b'{')?;
        loop {
            let name = self.string()?;
            self.byte(b':')?;
            self.space();
            match name {
                b"time_us" => found.time_us = self.integer(),
                b"cursor" => found.seq = self.integer(),
                _ => {}
            }
            if found.time_us.is_some() && found.seq.is_some() {
                return Some(());
            }
            self.skip_value()?;
            self.byte(b',')?;
        }
    }

    fn space(&mut self) {
        while let Some((b' ' | b'\t' | b'\n' | b'\r', rest)) = self.rest.split_first() {
            self.rest = rest;
        }
    }

    fn byte(&mut self, wanted: u8) -> Option<()> {
        self.space();
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        (first == wanted).then_some(())
    }

    /// The raw text between the quotes of the string that comes next; escapes stay as they are.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.byte(b'"')?;
        let start = self.rest;
        let mut length = 0;
        loop {
            let at = memchr2(b'"', b'\\', self.rest)?;
            let is_quote = self.rest.get(at) == Some(&b'"');
            length += at;
            self.rest = self.rest.get(at + 1..)?;
            if is_quote {
                return start.get(..length);
            }
            // The escaped byte is neither a quote nor the start of an escape.
            self.rest = self.rest.get(1..)?;
            length += 2;
        }
    }

    /// The digits that come next, left in place for [`skip_value`](Self::skip_value).
    fn integer(&self) -> Option<u64> {
        let digits = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits == 0 || matches!(self.rest.get(digits), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        std::str::from_utf8(self.rest.get(..digits)?)
            .ok()?
            .parse()
            .ok()
    }

    /// Passes over one value, whatever its type, up to the comma or brace that follows it.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.rest.first()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    if depth == 0 {
                        return Some(());
                    }
                    depth -= 1;
                }
                b',' if depth == 0 => return Some(()),
                _ => {}
            }
            self.rest = self.rest.get(1..)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> (Option<u64>, Option<u64>) {
        let position = Position::of(text);
        (position.time_us, position.seq)
    }

    #[test]
    fn members_are_found_in_any_order() {
        assert_eq!(
            of(r#"{"did":"x","time_us":5,"cursor":6}"#),
            (Some(5), Some(6))
        );
        assert_eq!(
            of(r#" { "cursor" : 6 , "a" : [1,{"time_us":9}] , "time_us" : 5 } "#),
            (Some(5), Some(6))
        );
        assert_eq!(of(r#"{"time_us":5,"kind":"commit"}"#), (Some(5), None));
    }

    #[test]
    fn nested_and_quoted_lookalikes_are_ignored() {
        let text = r#"{"commit":{"time_us":1,"record":{"cursor":2,"t":"\",\"time_us\":3,\\"}},"time_us":4}"#;
        assert_eq!(of(text), (Some(4), None));
    }

    #[test]
    fn other_types_are_no_position() {
        assert_eq!(of(r#"{"time_us":"5","cursor":null}"#), (None, None));
        assert_eq!(of(r#"{"time_us":-5,"cursor":1.5}"#), (None, None));
        assert_eq!(
            of(r#"{"time_us":99999999999999999999,"cursor":1e3}"#),
            (None, None)
        );
    }

    #[test]
    fn text_that_is_not_an_object_gives_nothing() {
        for text in [
            "",
            "[",
            "{",
            "{\"",
            "{\"time_us",
            "{\"time_us\":",
            "null",
            "{\"a\":\"\\",
            "}{",
        ] {
            assert_eq!(of(text), (None, None), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[ -~]{0,80}") {
            let _ = Position::of(&text);
        }

        #[test]
        fn agrees_with_a_full_parse(time_us: u64, seq: Option<u64>, text: String, last: bool) {
            let inner = serde_json::json!({ "time_us": 1, "cursor": [2], "text": text });
            let mut members = vec![format!("\"x\":{inner}"), format!("\"time_us\":{time_us}")];
            if let Some(seq) = seq {
                members.push(format!("\"cursor\":{seq}"));
            }
            if last {
                members.reverse();
            }
            let whole = format!("{{{}}}", members.join(","));
            prop_assert_eq!(of(&whole), (Some(time_us), seq));
        }
    }
}
