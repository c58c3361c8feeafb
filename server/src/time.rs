//! Times on the wire: microseconds since 1970, or RFC 3339 (section 5.6) with an offset.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds in an hour.
pub(crate) const HOUR_US: u64 = 3_600_000_000;

/// Reads digits as microseconds since 1970, anything else as RFC 3339. `None`: neither, or before 1970.
#[must_use]
pub fn parse_time_us(text: &str) -> Option<u64> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    rfc3339_us(text)
}

/// Reads RFC 3339. `None`: something else, or before 1970.
pub(crate) fn rfc3339_us(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        if digits.bytes().all(|b| b.is_ascii_digit()) {
            digits.parse().ok()
        } else {
            None
        }
    };
    let is = |at: usize, allowed: &str| text.get(at..at + 1).is_some_and(|c| allowed.contains(c));
    if !(is(4, "-") && is(7, "-") && is(10, "Tt ") && is(13, ":") && is(16, ":")) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    // A leap second is read as the first moment of the next minute.
    if !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut fraction_us = 0;
    if let Some(tail) = rest.strip_prefix('.') {
        let length = tail.bytes().take_while(u8::is_ascii_digit).count();
        if length == 0 {
            return None;
        }
        // Finer than a microsecond is cut.
        let kept = tail.get(..length.min(6))?;
        fraction_us = kept.parse::<i64>().ok()? * 10_i64.pow(6 - kept.len() as u32);
        rest = tail.get(length..)?;
    }
    let offset_minutes = match rest {
        "Z" | "z" => 0,
        _ => {
            let sign = match rest.get(..1)? {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let digits = |range: std::ops::Range<usize>, max: i64| -> Option<i64> {
                let digits = rest.get(range)?;
                let all = digits.bytes().all(|b| b.is_ascii_digit());
                digits.parse().ok().filter(|n| all && *n <= max)
            };
            if rest.len() != 6 || rest.get(3..4) != Some(":") {
                return None;
            }
            sign * (digits(1..3, 23)? * 60 + digits(4..6, 59)?)
        }
    };
    // Days since 1970 by counting years from March, so that the leap day comes last (Hinnant, "chrono-compatible
    // low-level date algorithms").
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = 365 * shifted_year + shifted_year.div_euclid(4) - shifted_year.div_euclid(100)
        + shifted_year.div_euclid(400)
        + day_of_year
        - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second;
    u64::try_from(seconds * 1_000_000 + fraction_us).ok()
}

/// Microseconds since 1970, by the clock of the machine.
pub(crate) fn now_us() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH);
    passed.map_or(0, |passed| {
        u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
    })
}

/// Hours since 1970 as RFC 3339 in UTC, to the second.
pub(crate) fn format_hour(hour: u32) -> String {
    let mut text = format_time(u64::from(hour) * HOUR_US);
    text.truncate(text.len() - ".000Z".len());
    text.push('Z');
    text
}

/// Microseconds since 1970 as RFC 3339 in UTC, to the millisecond.
#[must_use]
pub fn format_time(time_us: u64) -> String {
    let seconds = (time_us / 1_000_000) as i64;
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let of_day = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        time_us / 1000 % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_time_are_read() {
        for (text, us) in [
            ("0", 0),
            ("1733000000000000", 1_733_000_000_000_000),
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T01:00:00.000001+01:00", 1),
            ("2025-01-28T17:00:00Z", 1_738_083_600_000_000),
            ("2024-02-29t23:59:60.5z", 1_709_251_200_500_000),
            ("2000-03-01T00:00:00-00:30", 951_870_600_000_000),
            ("2031-12-31T23:59:59.1234567Z", 1_956_527_999_123_456),
        ] {
            assert_eq!(parse_time_us(text), Some(us), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "-1",
            "1.5",
            "x",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "1960-01-01T00:00:00Z",
            "2024-01-01T00:00:00+0100",
            "2024-01-01T00:00:00Zx",
            "+024-01-01T00:00:00Z",
            "99999999999999999999999",
            "é024-01-01T00:00:00Z",
            "2024-01-01T00:00:00+é:0",
        ] {
            assert_eq!(parse_time_us(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_printed_as_they_are_read() {
        let mut time_us = 0;
        while time_us < 8_000_000_000_000_000 {
            assert_eq!(parse_time_us(&format_time(time_us)), Some(time_us));
            time_us += 7_777_777_777_000;
        }
        assert_eq!(
            format_time(1_709_251_199_999_999),
            "2024-02-29T23:59:59.999Z"
        );
    }
}
