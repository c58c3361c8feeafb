use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn what_is_put_is_read(a in any::<u16>(), b in any::<u32>(), c in any::<u64>(), d in any::<i64>(), shift in 0_u32..64, text in ".*") {
        let mut bytes = Vec::new();
        put_u16(&mut bytes, a);
        put_u32(&mut bytes, b);
        put_u64(&mut bytes, c);
        put_i64(&mut bytes, d);
        put_varint(&mut bytes, c >> shift);
        put_varint(&mut bytes, b.into());
        put_str(&mut bytes, &text);
        let mut reader = Reader::new("test", &bytes);
        prop_assert_eq!(reader.u16().unwrap(), a);
        prop_assert_eq!(reader.u32().unwrap(), b);
        prop_assert_eq!(reader.u64().unwrap(), c);
        prop_assert_eq!(reader.i64().unwrap(), d);
        prop_assert_eq!(reader.varint().unwrap(), c >> shift);
        prop_assert_eq!(reader.varint_u32().unwrap(), b);
        prop_assert_eq!(reader.str().unwrap(), &text);
        prop_assert_eq!(reader.position(), bytes.len() as u64);
        reader.finish().unwrap();
    }

    #[test]
    fn a_varint_has_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
        let mut reader = Reader::new("test", &bytes);
        if let Ok(value) = reader.varint() {
            let mut again = Vec::new();
            put_varint(&mut again, value);
            prop_assert_eq!(&again[..], &bytes[..bytes.len() - reader.remaining()]);
        } else {
            prop_assert_eq!(reader.remaining(), bytes.len());
        }
    }
}

#[test]
fn a_read_that_fails_says_where_and_moves_nowhere() {
    let mut reader = Reader::at("table", &[1, 0x80], 100);
    reader.u8().unwrap();
    let expected = |expected: &str, found: &str| Err(Error::corrupt("table", 101, expected, found));
    assert_eq!(reader.u16().map(|_| ()), expected("2 bytes", "1 bytes"));
    assert_eq!(reader.bytes(7).map(|_| ()), expected("7 bytes", "1 bytes"));
    assert!(reader.varint().is_err());
    assert!(reader.zeros(1).is_err());
    assert_eq!(reader.clone().finish(), expected("the end", "1 more bytes"));
    assert_eq!(reader.u8().unwrap(), 0x80);
}

#[test]
fn a_string_must_be_whole_and_utf8() {
    for bytes in [&[3, b'a', b'b'][..], &[2, 0xc3, 0x28], &[0xff; 10], &[]] {
        let mut reader = Reader::new("test", bytes);
        assert!(reader.str().is_err(), "{bytes:?}");
        assert_eq!(reader.remaining(), bytes.len());
    }
}

#[test]
fn integers_beyond_their_width_are_refused() {
    let mut bytes = Vec::new();
    put_varint(&mut bytes, 1 << 32);
    assert!(Reader::new("test", &bytes).varint_u32().is_err());
    // 2^64: the tenth group has a second bit.
    let mut bytes = [0x80; 10];
    bytes[9] = 2;
    assert!(Reader::new("test", &bytes).varint().is_err());
}

#[test]
fn padding_ends_at_a_multiple_of_eight() {
    for len in 0..20 {
        let mut bytes = vec![1; len];
        pad_to_8(&mut bytes);
        assert_eq!(bytes.len(), len.div_ceil(8) * 8);
        assert!(bytes[len..].iter().all(|byte| *byte == 0));
    }
}
