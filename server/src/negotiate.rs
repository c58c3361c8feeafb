//! Which of the two forms of an answer a client prefers, by its `Accept` header (RFC 9110, section 12.5.1).
//!
//! The offers are `application/json` and `text/html`. A range with parameters other than `q` names a form that is
//! not offered. Where nothing offered is acceptable the answer is JSON all the same.

use axum::http::{HeaderMap, header};

use crate::problem::Problem;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Json,
    Html,
}

/// What an offer gets: how specific the best range is, its quality, and its place in the header.
type Match = Option<(u8, f32, usize)>;

/// Chooses by quality, then by the client's order.
pub(crate) fn negotiate(headers: &HeaderMap) -> Result<View, Problem> {
    let mut json: Match = None;
    let mut html: Match = None;
    let mut place = 0;
    for value in headers.get_all(header::ACCEPT) {
        let text = value
            .to_str()
            .map_err(|_| Problem::invalid("header Accept: not printable ASCII"))?;
        for range in text
            .split(',')
            .map(str::trim)
            .filter(|range| !range.is_empty())
        {
            let range = Range::parse(range)
                .ok_or_else(|| Problem::invalid("header Accept: not a list of media ranges"))?;
            for (offer, kind, subtype) in [
                (&mut json, "application", "json"),
                (&mut html, "text", "html"),
            ] {
                if let Some(specific) = range.specific(kind, subtype)
                    && offer.is_none_or(|(best, _, _)| specific > best)
                {
                    *offer = Some((specific, range.quality, place));
                }
            }
            place += 1;
        }
    }
    let acceptable = |offer: Match| offer.filter(|(_, quality, _)| *quality > 0.0);
    Ok(match (acceptable(json), acceptable(html)) {
        (None, Some(_)) => View::Html,
        (Some((_, json, json_place)), Some((_, html, html_place)))
            if html > json || (html == json && html_place < json_place) =>
        {
            View::Html
        }
        _ => View::Json,
    })
}

struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
    has_parameters: bool,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut pieces = text.split(';').map(str::trim);
        // A lone `*` is not in the grammar, but a widespread client library sends it.
        let (kind, subtype) = match pieces.next()? {
            "*" => ("*", "*"),
            range => range.split_once('/')?,
        };
        if !is_token(kind) || !is_token(subtype) || (kind == "*" && subtype != "*") {
            return None;
        }
        let mut range = Self {
            kind,
            subtype,
            quality: 1.0,
            has_parameters: false,
        };
        for piece in pieces {
            let (name, value) = piece.split_once('=')?;
            if !is_token(name) {
                return None;
            }
            if name.eq_ignore_ascii_case("q") {
                let digits = value.bytes().all(|b| b.is_ascii_digit() || b == b'.');
                range.quality = value.parse().ok()?;
                if !digits || range.quality > 1.0 {
                    return None;
                }
            } else if is_token(value)
                || (value.len() >= 2 && value.starts_with('"') && value.ends_with('"'))
            {
                range.has_parameters = true;
            } else {
                return None;
            }
        }
        Some(range)
    }

    /// How specifically the range names this form: none if it does not.
    fn specific(&self, kind: &str, subtype: &str) -> Option<u8> {
        if self.has_parameters {
            None
        } else if self.kind == "*" {
            Some(0)
        } else if !self.kind.eq_ignore_ascii_case(kind) {
            None
        } else if self.subtype == "*" {
            Some(1)
        } else {
            self.subtype.eq_ignore_ascii_case(subtype).then_some(2)
        }
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn chosen(accept: &[&str]) -> Option<View> {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, HeaderValue::from_str(value).unwrap());
        }
        negotiate(&headers).ok()
    }

    #[test]
    fn quality_decides_then_the_clients_order() {
        let json = [
            &[][..],
            &[""],
            &["*/*"],
            &["image/png"],
            &["application/json"],
            &["application/*"],
            &["application/json, text/html"],
            &["text/html;charset=utf-8"],
            &["*"],
            &["text/html;q=0"],
            &["*/*, text/html"],
            &["text/html;q=0.5, application/json"],
            &["APPLICATION/JSON"],
            &[
                "text/html;q=0.4, image/gif, *; q=.2",
                "application/json;q=1.0",
            ],
            &["text/plain"],
            &[", ,"],
            &["text/html;level=1, */*;q=0.1"],
        ];
        for accept in json {
            assert_eq!(chosen(accept), Some(View::Json), "{accept:?}");
        }
        let html = [
            &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"][..],
            &["text/*"],
            &["text/html"],
            &["text/html, application/json"],
            &["Text/HTML"],
            &["application/json;q=0.9, text/html"],
            &["application/json;q=0, */*"],
            &["application/json;q=0.5", "text/html;q=0.6"],
            &["text/html, image/gif, *; q=.2"],
        ];
        for accept in html {
            assert_eq!(chosen(accept), Some(View::Html), "{accept:?}");
        }
    }

    #[test]
    fn malformed_headers_are_refused() {
        for accept in [
            "text",
            "/",
            "text/",
            "/html",
            "*/html",
            "text/html;q=2",
            "text/html;q=x",
            "text/html;q",
            "a b/c",
            "text/html;q=-1",
            "text/html;q=nan",
            "text/html;=x",
            "text/html/x",
            ";",
            "é/x",
        ] {
            assert_eq!(chosen(&[accept]), None, "{accept}");
        }
    }
}
