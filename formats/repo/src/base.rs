//! Bytes as text: base32 of CIDs, base58 of keys, base64 of `$bytes`. Each text that is taken is the only
//! one for its bytes, save that base64 is taken with its padding or without.

use crate::error::{Form, Found, RepoError};

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Longest base58 text that is decoded: decoding takes quadratic time, and no key is longer.
pub(crate) const BASE58_MOST: usize = 128;

/// Appends the digits of `bytes` in an alphabet of `1 << bits` characters, without padding.
fn encode(alphabet: &[u8], bits: u32, bytes: &[u8], out: &mut String) {
    let mask = (1u32 << bits) - 1;
    let mut put = |value: u32| {
        if let Some(c) = alphabet.get((value & mask) as usize) {
            out.push(char::from(*c));
        }
    };
    let (mut held, mut count) = (0u32, 0u32);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        count += 8;
        while count >= bits {
            count -= bits;
            put(held >> count);
        }
        held &= (1 << count) - 1;
    }
    if count > 0 {
        put(held << (bits - count));
    }
}

/// Reads what [`encode`] writes; the offset of what does not fit otherwise.
fn decode(
    bits: u32,
    text: &[u8],
    out: &mut Vec<u8>,
    digit: impl Fn(u8) -> Option<u8>,
) -> Result<(), usize> {
    let (mut held, mut count) = (0u32, 0u32);
    for (at, character) in text.iter().enumerate() {
        held = held << bits | u32::from(digit(*character).ok_or(at)?);
        count += bits;
        if count >= 8 {
            count -= 8;
            out.push((held >> count & 0xff) as u8);
        }
        held &= (1 << count) - 1;
    }
    // What is left over is less than one digit, and zero.
    if count >= bits || held != 0 {
        return Err(text.len().saturating_sub(1));
    }
    Ok(())
}

/// Appends lower-case base32 without padding.
pub(crate) fn put_base32(bytes: &[u8], out: &mut String) {
    encode(BASE32, 5, bytes, out);
}

/// Reads lower-case base32 without padding.
pub(crate) fn base32(text: &[u8]) -> Result<Vec<u8>, usize> {
    let mut out = Vec::with_capacity(text.len() * 5 / 8);
    decode(5, text, &mut out, |c| match c {
        b'a'..=b'z' => Some(c - b'a'),
        b'2'..=b'7' => Some(c - b'2' + 26),
        _ => None,
    })?;
    Ok(out)
}

/// Appends base64 without padding, as `$bytes` has it.
pub(crate) fn put_base64(bytes: &[u8], out: &mut String) {
    encode(BASE64, 6, bytes, out);
}

/// Appends to `out` what base64 text stands for, with or without padding.
pub(crate) fn base64(text: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
    let digits = if text.len().is_multiple_of(4) {
        let padded = text.strip_suffix(b"=").unwrap_or(text);
        padded.strip_suffix(b"=").unwrap_or(padded)
    } else {
        text
    };
    decode(6, digits, out, |c| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    })
}

/// Reads base58 with the alphabet of Bitcoin.
pub(crate) fn base58(text: &str) -> Result<Vec<u8>, RepoError> {
    if text.len() > BASE58_MOST {
        return Err(RepoError::TooLarge {
            what: "base58 text in bytes",
            found: text.len() as u64,
            most: BASE58_MOST as u64,
        });
    }
    // The number, least byte first.
    let mut number: Vec<u8> = Vec::with_capacity(text.len());
    for (offset, character) in text.char_indices() {
        let mut carry = u8::try_from(character)
            .ok()
            .and_then(|byte| BASE58.iter().position(|digit| *digit == byte))
            .and_then(|digit| u32::try_from(digit).ok())
            .ok_or(RepoError::Malformed {
                form: Form::Base58,
                offset,
                expected: "a base58 digit",
                found: Found::Character(character),
            })?;
        for byte in &mut number {
            carry += u32::from(*byte) * 58;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        while carry > 0 {
            number.push((carry & 0xff) as u8);
            carry >>= 8;
        }
    }
    // Each leading 1 is a zero byte.
    let zeros = text.bytes().take_while(|byte| *byte == b'1').count();
    number.resize(number.len() + zeros, 0);
    number.reverse();
    Ok(number)
}

/// Writes base58 with the alphabet of Bitcoin.
pub(crate) fn put_base58(bytes: &[u8], out: &mut String) {
    // The digits, least first.
    let mut digits: Vec<u32> = Vec::with_capacity(bytes.len() * 7 / 5 + 1);
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += *digit << 8;
            *digit = carry % 58;
            carry /= 58;
        }
        while carry > 0 {
            digits.push(carry % 58);
            carry /= 58;
        }
    }
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    digits.resize(digits.len() + zeros, 0);
    let digits = digits.iter().rev();
    out.extend(
        digits.filter_map(|digit| BASE58.get(*digit as usize).map(|byte| char::from(*byte))),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text32(bytes: &[u8]) -> String {
        let mut out = String::new();
        put_base32(bytes, &mut out);
        out
    }

    fn text64(bytes: &[u8]) -> String {
        let mut out = String::new();
        put_base64(bytes, &mut out);
        out
    }

    #[test]
    fn base32_is_that_of_rfc_4648_in_lower_case_without_padding() {
        for (bytes, text) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(text32(bytes.as_bytes()), text);
            assert_eq!(base32(text.as_bytes()).unwrap(), bytes.as_bytes());
        }
    }

    #[test]
    fn base64_is_that_of_rfc_4648_and_padding_is_optional() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            let bare = text.trim_end_matches('=');
            assert_eq!(text64(bytes.as_bytes()), bare);
            for text in [text, bare] {
                let mut out = Vec::new();
                base64(text.as_bytes(), &mut out).unwrap();
                assert_eq!(out, bytes.as_bytes());
            }
        }
    }

    #[test]
    fn text_with_stray_bits_digits_or_padding_is_refused_at_its_place() {
        assert_eq!(base32(b"mz"), Err(1), "bits that are left over");
        assert_eq!(base32(b"mzxw6y"), Err(5), "a digit too many");
        assert_eq!(base32(b"MY"), Err(0));
        assert_eq!(base32(b"m1"), Err(1));
        let mut out = Vec::new();
        assert_eq!(base64(b"Zh", &mut out), Err(1));
        assert_eq!(base64(b"Z", &mut out), Err(0));
        assert_eq!(base64(b"Zg=", &mut out), Err(2));
        assert_eq!(base64(b"Zg===", &mut out), Err(2));
        assert_eq!(base64(b"Z-", &mut out), Err(1));
        assert_eq!(base64(b"Z===", &mut out), Err(1));
    }

    #[test]
    fn base58_is_read_as_it_is_written() {
        for bytes in [
            &b""[..],
            b"\0",
            b"\0\0a",
            b"hello",
            &[0xff; 35],
            &[0xe7, 0x01, 0, 0],
        ] {
            let mut text = String::new();
            put_base58(bytes, &mut text);
            assert_eq!(base58(&text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn base58_keeps_leading_zeros_and_is_bounded() {
        assert_eq!(base58("").unwrap(), b"");
        assert_eq!(base58("2NEpo7TZRRrLZSi2U").unwrap(), b"Hello World!");
        assert_eq!(base58("112").unwrap(), [0, 0, 1]);
        assert_eq!(base58("11").unwrap(), [0, 0]);
        assert!(matches!(
            base58("2N0"),
            Err(RepoError::Malformed { offset: 2, .. })
        ));
        assert!(matches!(
            base58(&"z".repeat(129)),
            Err(RepoError::TooLarge { found: 129, .. })
        ));
    }
}
