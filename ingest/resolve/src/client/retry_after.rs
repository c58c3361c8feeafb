//! The `Retry-After` header.

use std::time::{Duration, SystemTime};

/// Both forms of RFC 9110, section 10.2.3: seconds, or a date. A date in the past asks for no delay.
pub(crate) fn parse(value: &str) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than a u64 holds mean the same as that many.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_nothing_else() {
        assert_eq!(parse(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(parse("0"), Some(Duration::ZERO));
        assert_eq!(
            parse("99999999999999999999999"),
            Some(Duration::from_secs(u64::MAX))
        );
        assert_eq!(parse("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let later = SystemTime::now() + Duration::from_secs(100);
        let delay = parse(&httpdate::fmt_http_date(later)).unwrap();
        assert!((95..=100).contains(&delay.as_secs()), "{delay:?}");
        for text in ["", "soon", "-1", "+1", "1.5", "1 s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
