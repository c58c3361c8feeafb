//! Text made safe for a page: literals as they are, everything else escaped, and links only to places that
//! are safe to go to.

use crate::params::encode;

/// A page in the making.
#[derive(Default)]
pub(super) struct Markup(String);

impl Markup {
    /// Markup of this crate.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text from anywhere, for an element's content or a quoted attribute.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // Marks that reorder text would let a target pose as another.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                c if c.is_control() && c != '\n' => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        self
    }

    pub(super) fn link(&mut self, href: &Href, text: &str) -> &mut Self {
        self.raw("<a href=\"").text(&href.0);
        self.raw(if href.0.starts_with('/') {
            "\">"
        } else {
            "\" rel=\"nofollow noreferrer\">"
        });
        self.text(text).raw("</a>")
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Where a link goes.
pub(super) struct Href(String);

impl Href {
    /// A page of this server.
    pub(super) fn local(path: &'static str, query: &[(&str, &str)]) -> Self {
        let mut url = String::from(path);
        for (i, (name, value)) in query.iter().enumerate() {
            url.push(if i == 0 { '?' } else { '&' });
            encode(name, &mut url);
            url.push('=');
            encode(value, &mut url);
        }
        Self(url)
    }

    /// Where a target can be looked at: a page for http and https, a record browser for DIDs and at-uris, and
    /// nowhere for any other scheme.
    pub(super) fn browse(target: &str) -> Option<Self> {
        let begins = |scheme: &str| {
            target
                .get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        if begins("https://") || begins("http://") {
            return Some(Self(target.to_owned()));
        }
        let mut url = String::from("https://pdsls.dev/");
        if target.starts_with("at://") {
            encode(target, &mut url);
        } else if target.starts_with("did:") {
            url.push_str("at://");
            encode(target, &mut url);
        } else {
            return None;
        }
        Some(Self(url))
    }
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(build: impl FnOnce(&mut Markup)) -> String {
        let mut m = Markup::default();
        build(&mut m);
        m.finish()
    }

    #[test]
    fn text_cannot_leave_its_place() {
        let hostile = "<script>\"'&\u{202e}\u{0}</script>";
        assert_eq!(
            shown(|m| {
                m.text(hostile);
            }),
            "&lt;script&gt;&quot;&#39;&amp;\u{fffd}\u{fffd}&lt;/script&gt;"
        );
    }

    #[test]
    fn only_safe_schemes_become_links() {
        for target in [
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://x.example",
            "x",
            "",
            "http:/x",
        ] {
            assert!(Href::browse(target).is_none(), "{target}");
        }
        for (target, url) in [
            ("HTTPS://x.example/a", "HTTPS://x.example/a"),
            ("did:plc:a", "https://pdsls.dev/at://did:plc:a"),
            (
                "at://did:plc:a/c.d.e/k#\"",
                "https://pdsls.dev/at://did:plc:a/c.d.e/k%23%22",
            ),
        ] {
            assert_eq!(Href::browse(target).unwrap().0, url);
        }
    }

    #[test]
    fn links_escape_both_their_parts() {
        let href = Href::local("/links/all", &[("target", "a&b=\"<x>\""), ("n", "1")]);
        assert_eq!(
            shown(|m| {
                m.link(&href, "<b>");
            }),
            "<a href=\"/links/all?target=a%26b%3D%22%3Cx%3E%22&amp;n=1\">&lt;b&gt;</a>"
        );
    }

    #[test]
    fn thousands_stand_apart() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(n), text);
        }
    }
}
