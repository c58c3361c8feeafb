//! Sizes, durations and rates as people write them: `2GiB`, `48h`, `10/50`. And back again.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

/// Reads a size in bytes: `4096`, `512KiB`, `2GiB`, `1.5GB`. Units of 1,000 and of 1,024 are told apart; `m` and `g`
/// alone are of 1,024.
///
/// # Errors
///
/// A text that says what would be right.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 12] = [
        ("", 1.0),
        ("b", 1.0),
        ("kb", 1e3),
        ("mb", 1e6),
        ("gb", 1e9),
        ("tb", 1e12),
        ("kib", 1024.0),
        ("mib", 1_048_576.0),
        ("gib", 1_073_741_824.0),
        ("tib", 1_099_511_627_776.0),
        ("m", 1_048_576.0),
        ("g", 1_073_741_824.0),
    ];
    let problem = || format!("{text:?} is no size; write it like 4096, 512KiB or 2GiB");
    let (number, unit) = split(text).ok_or_else(problem)?;
    let unit = unit.to_ascii_lowercase();
    let factor = UNITS.iter().find(|(name, _)| *name == unit);
    let bytes = number * factor.ok_or_else(problem)?.1;
    // Above 2^53 a float cannot tell neighbouring integers apart, and no disk is that large.
    if bytes > 9e15 {
        return Err(problem());
    }
    Ok(bytes as u64)
}

/// The least size of a log window: less is a forgotten unit.
const LOG_BYTES_MIN: u64 = 1 << 20;

/// Reads the size of a log window.
///
/// # Errors
///
/// A text that says what would be right.
pub(crate) fn parse_log_size(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text)?;
    if bytes < LOG_BYTES_MIN {
        return Err(format!(
            "{text:?} is {bytes} bytes, too little for a log window; the least is 1MiB"
        ));
    }
    Ok(bytes)
}

/// Reads a duration: `500ms`, `30s`, `5m`, `48h`, `2d`, `1w`, or several after each other, as in `1h30m`. Each has a
/// unit.
///
/// # Errors
///
/// A text that says what would be right.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let problem =
        || format!("{text:?} is no duration; write it like 500ms, 30s, 5m, 1h30m, 48h, 2d or 1w");
    let (mut rest, mut total) = (text, Duration::ZERO);
    loop {
        let (number, behind) = split(rest).ok_or_else(problem)?;
        let end = behind
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(behind.len());
        let (unit, next) = behind.split_at_checked(end).ok_or_else(problem)?;
        let seconds = match unit.trim_end() {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            _ => return Err(problem()),
        };
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| problem())?;
        total = total.checked_add(part).ok_or_else(problem)?;
        if next.is_empty() {
            return Ok(total);
        }
        rest = next;
    }
}

/// A share above 0 and up to 1.
///
/// # Errors
///
/// A text that says what would be right.
pub(crate) fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.trim().parse().ok();
    share
        .filter(|share| *share > 0.0 && *share <= 1.0)
        .ok_or_else(|| format!("{text:?} is no share; write it like 0.5, above 0 and up to 1"))
}

/// Events per second of a synthetic stream.
///
/// # Errors
///
/// A text that says what would be right.
pub(crate) fn parse_event_rate(text: &str) -> Result<f64, String> {
    let rate = text.trim().parse().ok();
    rate.filter(|rate| (0.001..=10_000_000.0).contains(rate))
        .ok_or_else(|| format!("{text:?} is no rate; write events per second, 0.001 to 10000000"))
}

/// A share of 0 to 1.
///
/// # Errors
///
/// A text that says what would be right.
pub(crate) fn parse_part(text: &str) -> Result<f64, String> {
    let share = text.trim().parse().ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| format!("{text:?} is no share; write it like 0.02, from 0 to 1"))
}

/// An address and port; a name is looked up.
///
/// # Errors
///
/// A text that says what would be right.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let problem = |why: String| {
        format!("{why}; write an address and a port, like 127.0.0.1:6789 or [::1]:6789")
    };
    if let Ok(address) = text.trim().parse() {
        return Ok(address);
    }
    let mut found = text
        .trim()
        .to_socket_addrs()
        .map_err(|error| problem(error.to_string()))?;
    found
        .next()
        .ok_or_else(|| problem("the name has no address".to_owned()))
}

/// A domain name, without scheme, port or path.
pub(crate) fn parse_domain(text: &str) -> Result<String, String> {
    orrery_links::syntax::Handle::parse(text)
        .map(|domain| domain.as_str().to_owned())
        .map_err(|error| format!("not a domain name such as links.example.org: {error}"))
}

/// Room for fetched values on disk: none, or enough for some files.
pub(crate) fn parse_edge_disk(text: &str) -> Result<u64, String> {
    let least = orrery_engine::CacheOptions::LEAST;
    match parse_bytes(text)? {
        bytes if bytes == 0 || bytes >= least => Ok(bytes),
        _ => Err("give at least 4MiB, or 0 to keep nothing on disk".to_owned()),
    }
}

/// Memory for records and identities.
pub(crate) fn parse_edge_memory(text: &str) -> Result<u64, String> {
    match parse_bytes(text)? {
        bytes if bytes >= 1 << 20 => Ok(bytes),
        _ => Err(
            "give at least 1MiB: with less, others are asked the same again and again".to_owned(),
        ),
    }
}

/// How a server's operator can be reached: one line of plain characters, for a header.
pub(crate) fn parse_contact(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'\\');
    if text.is_empty() || text.len() > 200 || !text.bytes().all(is_plain) {
        return Err(
            "no contact; give a URL or a mail address of up to 200 plain characters, such as https://example.org/about"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// Reads a rate limit, `PER_SECOND` or `PER_SECOND/BURST`; without a burst it is twice the rate.
///
/// # Errors
///
/// A text that says what would be right.
pub(crate) fn parse_rate_limit(text: &str) -> Result<(f64, u32), String> {
    let problem = || format!("{text:?} is no rate; write it like 10 or 10/50 (per second, burst)");
    let (rate, burst) = match text.split_once('/') {
        Some((rate, burst)) => (rate, Some(burst)),
        None => (text, None),
    };
    let rate: f64 = rate.trim().parse().map_err(|_| problem())?;
    if !(rate > 0.0 && rate <= 1e6) {
        return Err(problem());
    }
    let burst = match burst {
        Some(burst) => burst.trim().parse().map_err(|_| problem())?,
        None => (rate * 2.0).ceil() as u32,
    };
    if burst == 0 {
        return Err(problem());
    }
    Ok((rate, burst))
}

/// A number that is not negative, and what follows it.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

/// A size for people: `317 B`, `12.3 MiB`.
pub(crate) fn bytes_text(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// A count for people: `1,234,567`.
pub(crate) fn count_text(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of what is called `one`, as people write it.
pub(crate) fn counted_text(count: u64, one: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{} {one}{end}", count_text(count))
}

/// So many files, as people write it.
pub(crate) fn files_text(files: u64) -> String {
    counted_text(files, "file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_thing_is_named_in_the_singular() {
        for (count, text) in [(0, "0 segments"), (1, "1 segment"), (2, "2 segments")] {
            assert_eq!(counted_text(count, "segment"), text);
        }
        assert_eq!(files_text(1), "1 file");
    }

    #[test]
    fn shares_are_read_within_their_bounds() {
        assert_eq!(parse_share("0.5"), Ok(0.5));
        assert_eq!(parse_share("1"), Ok(1.0));
        for text in ["0", "1.1", "-0.5", "half", "NaN", ""] {
            assert!(parse_share(text).unwrap_err().contains("0.5"), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("512KiB", 524_288),
            ("2GiB", 2_147_483_648),
            ("2 gib", 2_147_483_648),
            ("1.5kB", 1500),
            ("1TB", 1_000_000_000_000),
            ("2G", 2_147_483_648),
            ("2GB", 2_000_000_000),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "-1", "1.2.3", "5 parsecs", "1e9", "99999999TiB"] {
            assert!(parse_bytes(text).unwrap_err().contains("2GiB"), "{text}");
        }
    }

    #[test]
    fn a_log_window_of_a_few_bytes_is_refused() {
        assert!(parse_log_size("3").unwrap_err().contains("1MiB"));
        assert_eq!(parse_log_size("1MiB"), Ok(1 << 20));
    }

    #[test]
    fn durations_need_a_unit() {
        for (text, millis) in [
            ("500ms", 500),
            ("0s", 0),
            ("1.5s", 1500),
            ("5m", 300_000),
            ("48h", 172_800_000),
            ("2d", 172_800_000),
            ("1w", 604_800_000),
            ("1h30m", 5_400_000),
            ("1m 500ms", 60_500),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
        }
        for text in [
            "",
            "5",
            "h",
            "-1s",
            "1y",
            "1h30",
            "1hm",
            "999999999999999999999d",
        ] {
            assert!(parse_duration(text).unwrap_err().contains("48h"), "{text}");
        }
    }

    #[test]
    fn rate_limits_have_a_burst() {
        assert_eq!(parse_rate_limit("10"), Ok((10.0, 20)));
        assert_eq!(parse_rate_limit("0.5/3"), Ok((0.5, 3)));
        for text in ["", "0", "-1", "x", "1/0", "1/x", "NaN", "inf"] {
            assert!(parse_rate_limit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(bytes_text(1023), "1023 B");
        assert_eq!(bytes_text(1_536), "1.5 KiB");
        assert_eq!(bytes_text(5 << 40), "5.0 TiB");
        assert_eq!(count_text(7), "7");
        assert_eq!(count_text(1_234_567), "1,234,567");
        assert_eq!(count_text(123_456), "123,456");
    }

    #[test]
    fn one_file_is_not_many() {
        let told = [0, 1, 2, 1_000].map(files_text);
        assert_eq!(told, ["0 files", "1 file", "2 files", "1,000 files"]);
    }
}
