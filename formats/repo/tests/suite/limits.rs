//! Bytes that claim much or nest deeply, and what rules allow in records.

use crate::support::{Blocks, add, car, put_section};
use orrery_repo::cbor::Reader;
use orrery_repo::{
    Car, CarLimits, Cid, Codec, Form, PublicKey, RepoError, Rules, cbor_to_json, json_to_cbor,
    record_cid,
};

fn nested_json(depth: usize, open: &str, close: &str) -> String {
    format!("{{\"a\":{}0{}}}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn nesting_beyond_the_limit_is_refused_in_both_forms() {
    let rules = Rules {
        most_depth: 10,
        ..Rules::STORED
    };
    for (open, close, head) in [
        ("[", "]", &[0x81][..]),
        ("{\"b\":", "}", &[0xa1, 0x61, b'b']),
    ] {
        let fits = nested_json(9, open, close);
        let cbor = json_to_cbor(fits.as_bytes(), &rules).unwrap();
        assert_eq!(cbor_to_json(&cbor, &rules).as_deref(), Ok(fits.as_str()));
        let deep = nested_json(10, open, close);
        let read = json_to_cbor(deep.as_bytes(), &rules);
        let at = 5 + open.len() * 9;
        assert_eq!(
            read,
            Err(RepoError::TooDeep {
                form: Form::Json,
                offset: at,
                most: 10
            })
        );
        let deep = [&[0xa1, 0x61, b'a'], &head.repeat(10)[..], &[0]].concat();
        assert_eq!(
            cbor_to_json(&deep, &rules),
            Err(RepoError::TooDeep {
                form: Form::Cbor,
                offset: 3 + head.len() * 9,
                most: 10
            })
        );
    }
}

#[test]
fn nesting_without_end_overflows_no_stack() {
    let rules = Rules {
        most_bytes: usize::MAX,
        most_depth: usize::MAX,
        ..Rules::STORED
    };
    let many = 1_000_000;
    for open in ["[", "{\"a\":"] {
        let json = nested_json(many, open, "");
        assert!(matches!(
            json_to_cbor(json.as_bytes(), &rules),
            Err(RepoError::TooDeep { most: 128, .. })
        ));
    }
    for head in [&[0x81][..], &[0xa1, 0x61, b'a'], &[0xd8, 0x2a]] {
        let cbor = [&[0xa1, 0x61, b'a'], &head.repeat(many)[..]].concat();
        assert!(cbor_to_json(&cbor, &rules).is_err());
        assert!(Reader::new(&cbor).value(usize::MAX).is_err());
    }
}

#[test]
fn lengths_that_are_not_there_are_refused() {
    for head in [0x5b, 0x7b, 0x9b, 0xbb] {
        for len in [u64::MAX, u64::MAX >> 1, 1 << 40, 1 << 32] {
            let mut bytes = vec![0xa1, 0x61, b'a', head];
            bytes.extend(len.to_be_bytes());
            bytes.extend([0; 20]);
            let read = cbor_to_json(&bytes, &Rules::STORED);
            assert!(
                matches!(read, Err(RepoError::Malformed { offset: 3, .. })),
                "{read:?}"
            );
        }
    }
}

#[test]
fn records_beyond_the_limit_are_refused_by_their_size() {
    let rules = Rules {
        most_bytes: 7,
        ..Rules::STORED
    };
    assert!(json_to_cbor(b"{\"a\":1}", &rules).is_ok());
    assert_eq!(
        json_to_cbor(b"{\"a\":12}", &rules),
        Err(RepoError::TooLarge {
            what: "record in bytes",
            found: 8,
            most: 7
        })
    );
    assert!(matches!(
        cbor_to_json(&[0; 8], &rules),
        Err(RepoError::TooLarge { .. })
    ));
}

fn cbor_of(json: &str) -> Result<Vec<u8>, RepoError> {
    json_to_cbor(json.as_bytes(), &Rules::STORED)
}

#[test]
fn whole_numbers_are_integers_however_they_are_written() {
    for (text, encoded) in [
        ("0", &[0x00][..]),
        ("-0", &[0x00]),
        ("-0.0", &[0x00]),
        ("23", &[0x17]),
        ("24", &[0x18, 24]),
        ("24.0", &[0x18, 24]),
        ("2.4e1", &[0x18, 24]),
        ("-1", &[0x20]),
        ("-25", &[0x38, 24]),
        ("256", &[0x19, 1, 0]),
        ("65536", &[0x1a, 0, 1, 0, 0]),
        ("9007199254740992.0", &[0x1b, 0, 0x20, 0, 0, 0, 0, 0, 0]),
        (
            "9223372036854775807",
            &[0x1b, 0x7f, 255, 255, 255, 255, 255, 255, 255],
        ),
        (
            "-9223372036854775808",
            &[0x3b, 0x7f, 255, 255, 255, 255, 255, 255, 255],
        ),
        ("1.5", &[0xfb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]),
        ("1e16", &[0xfb, 0x43, 0x41, 0xc3, 0x79, 0x37, 0xe0, 0x80, 0]),
    ] {
        let expected = [&[0xa1, 0x61, b'a'], encoded].concat();
        assert_eq!(
            cbor_of(&format!("{{\"a\":{text}}}")),
            Ok(expected),
            "{text}"
        );
    }
    for text in [
        "9223372036854775808",
        "-9223372036854775809",
        "1e400",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "0x1",
        "NaN",
        "Infinity",
        "--1",
        "1e+",
    ] {
        let read = cbor_of(&format!("{{\"a\":{text}}}"));
        assert!(
            matches!(read, Err(RepoError::Malformed { .. })),
            "{text}: {read:?}"
        );
    }
}

#[test]
fn floats_are_refused_by_the_data_model_and_kept_where_they_are_stored() {
    let json = "{\"a\":1.5}";
    assert_eq!(
        json_to_cbor(json.as_bytes(), &Rules::DATA_MODEL),
        Err(RepoError::Float {
            form: Form::Json,
            offset: 5
        })
    );
    let cbor = cbor_of(json).unwrap();
    assert!(record_cid(json.as_bytes()).unwrap().is_of(&cbor));
    assert_eq!(cbor_to_json(&cbor, &Rules::STORED).as_deref(), Ok(json));
    assert_eq!(
        cbor_to_json(&cbor, &Rules::DATA_MODEL),
        Err(RepoError::Float {
            form: Form::Cbor,
            offset: 3
        })
    );
}

#[test]
fn text_has_its_escapes_and_only_whole_characters() {
    let json = r#"{"a":"\u0041\n\u00e9\ud83d\ude00\/\"\\\b\f\r\t\u0001"}"#;
    let cbor = cbor_of(json).unwrap();
    let text = "A\n\u{e9}\u{1f600}/\"\\\u{8}\u{c}\r\t\u{1}";
    let mut expected = vec![0xa1, 0x61, b'a', 0x60 | text.len() as u8];
    expected.extend(text.as_bytes());
    assert_eq!(cbor, expected);
    assert_eq!(
        cbor_to_json(&cbor, &Rules::STORED).unwrap(),
        "{\"a\":\"A\\n\u{e9}\u{1f600}/\\\"\\\\\\b\\f\\r\\t\\u0001\"}"
    );
    for text in [
        r"\ud83d",
        r"\ud83dx",
        r"\ud83d\n",
        r"\ud83d\u0041",
        r"\ud83d\ue000",
        r"\ud83d\ud83d",
        r"\ude00",
        r"\u12",
        r"\u12g4",
        r"\x",
        "\n",
        "\0",
        r"\",
    ] {
        let read = cbor_of(&format!("{{\"a\":\"{text}\"}}"));
        assert!(
            matches!(read, Err(RepoError::Malformed { .. })),
            "{text}: {read:?}"
        );
    }
    let read = json_to_cbor(b"{\"a\":\"\xff\"}", &Rules::STORED);
    assert!(matches!(read, Err(RepoError::Malformed { offset: 6, .. })));
}

#[test]
fn a_key_that_stands_twice_is_refused_where_it_stands_again() {
    for (json, at) in [
        (r#"{"a":1,"a":1}"#, 7),
        (r#"{"a":1,"b":2,"\u0061":3}"#, 13),
        (r#"{"x":{"bb":1,"a":2,"bb":3}}"#, 19),
    ] {
        let read = cbor_of(json);
        assert!(
            matches!(read, Err(RepoError::Malformed { offset, expected: "each key once", .. }) if offset == at),
            "{json}: {read:?}"
        );
    }
}

#[test]
fn keys_are_ordered_by_their_length_first() {
    let cbor = cbor_of(r#"{"bb":1,"a":2,"c":{"z":1,"yy":2,"y":3}}"#).unwrap();
    assert_eq!(
        cbor_to_json(&cbor, &Rules::STORED).unwrap(),
        r#"{"a":2,"c":{"y":3,"z":1,"yy":2},"bb":1}"#
    );
    // Keys of 23 and 24 bytes, whose heads differ in length.
    let (short, long) = ("z".repeat(23), "a".repeat(24));
    let json = format!(r#"{{"{long}":1,"{short}":2}}"#);
    let ordered = format!(r#"{{"{short}":2,"{long}":1}}"#);
    let cbor = cbor_of(&json).unwrap();
    assert_eq!(cbor_to_json(&cbor, &Rules::STORED), Ok(ordered));
}

#[test]
fn text_that_is_no_record_is_refused() {
    for json in [
        "",
        " ",
        "1",
        "[]",
        "\"a\"",
        "null",
        "{",
        "}",
        "{}x",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{\"a\":[1,]}",
        "{\"a\":[1 2]}",
        "{\"a\":tru}",
        "{\"a\":nul}",
        "{\"a\":1}}",
        "{'a':1}",
        "{\"a\":1}\u{feff}",
        "\u{feff}{}",
        "{\"$bytes\":\"AA\"}",
        "{\"$link\":\"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku\"}",
    ] {
        assert!(cbor_of(json).is_err(), "{json}");
    }
    assert_eq!(cbor_of(" {\t}\r\n"), Ok(vec![0xa0]));
    assert_eq!(cbor_of("{\"a\":[ ]}"), Ok(vec![0xa1, 0x61, b'a', 0x80]));
}

#[test]
fn a_stored_map_that_looks_like_a_link_is_shown_but_no_data_model() {
    // {a: {$link: "x"}}
    let mut cbor = vec![0xa1, 0x61, b'a', 0xa1, 0x65];
    cbor.extend(b"$link\x61x");
    assert_eq!(
        cbor_to_json(&cbor, &Rules::STORED).unwrap(),
        r#"{"a":{"$link":"x"}}"#
    );
    assert!(cbor_to_json(&cbor, &Rules::DATA_MODEL).is_err());
}

#[test]
fn a_car_beyond_a_limit_is_refused_by_what_is_too_much() {
    let mut blocks = Blocks::new();
    for n in 0..5u8 {
        add(&mut blocks, vec![n; 100]);
    }
    let bytes = car(&[], &blocks);
    let limits = CarLimits {
        most_bytes: bytes.len() as u64,
        most_block_bytes: 100,
        most_blocks: 5,
    };
    assert_eq!(Car::read(&bytes, &limits).unwrap().len(), 5);
    for (what, limits) in [
        (
            "CAR in bytes",
            CarLimits {
                most_bytes: limits.most_bytes - 1,
                ..limits
            },
        ),
        (
            "block with its CID in bytes",
            CarLimits {
                most_block_bytes: 99,
                ..limits
            },
        ),
        (
            "number of blocks",
            CarLimits {
                most_blocks: 4,
                ..limits
            },
        ),
    ] {
        let read = Car::read(&bytes, &limits);
        assert!(
            matches!(&read, Err(RepoError::TooLarge { what: it, .. }) if *it == what),
            "{read:?}"
        );
    }
}

#[test]
fn cars_of_another_version_or_with_other_blocks_are_refused() {
    let header = |bytes: &[u8]| {
        let mut out = Vec::new();
        put_section(&mut out, &[bytes]);
        out
    };
    let good = b"\xa2\x65roots\x80\x67version\x01";
    assert!(Car::read(&header(good), &CarLimits::PROOF).is_ok());
    for bad in [
        &b"\xa2\x65roots\x80\x67version\x02"[..],
        b"\xa1\x67version\x01",
        b"\xa1\x65roots\x80",
        b"\xa2\x65roots\xf6\x67version\x01",
        b"\xa2\x65roots\x81\x43abc\x67version\x01",
        b"\xa2\x65roots\x80\x67version\x01\x00",
        b"\xa2\x65toors\x80\x67version\x01",
        b"",
    ] {
        let bytes = header(bad);
        let read = Car::read(&bytes, &CarLimits::PROOF);
        assert!(
            matches!(
                read,
                Err(RepoError::Malformed {
                    form: Form::Car,
                    ..
                })
            ),
            "{read:?}"
        );
    }
    let long = [&[0xff, 0xff, 0x7f], &good[..]].concat();
    assert!(matches!(
        Car::read(&long, &CarLimits::PROOF),
        Err(RepoError::TooLarge { .. })
    ));
    // A block of dag-pb, one of a CID and no more, and no block at all.
    let mut pb = Cid::of(Codec::DagCbor, b"x").to_bytes();
    pb[1] = 0x70;
    for (section, at) in [
        (&[&pb[..], b"x"].concat(), 1),
        (&pb[..20].to_vec(), 1),
        (&vec![], 0),
    ] {
        let mut bytes = header(good);
        let start = bytes.len() + 1;
        put_section(&mut bytes, &[section]);
        let read = Car::read(&bytes, &CarLimits::PROOF);
        assert!(
            matches!(read, Err(RepoError::Malformed { form: Form::Car, offset, .. }) if offset == start + at),
            "{read:?}"
        );
    }
}

#[test]
fn keys_of_other_kinds_and_forms_are_refused() {
    // The P-256 and K-256 keys of the specification's examples.
    let p256 = "zDnaembgSGUhZULN2Caob4HLJPaxBh92N7rtH21TErzqf8HQo";
    let k256 = "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc";
    for key in [p256, k256] {
        let read = PublicKey::from_multikey(key).unwrap();
        assert_eq!(PublicKey::from_did_key(&format!("did:key:{key}")), Ok(read));
        assert!(PublicKey::from_did_key(key).is_err());
        assert!(PublicKey::from_multikey(&key[1..]).is_err());
        assert!(PublicKey::from_multikey(&key[..key.len() - 1]).is_err());
        assert!(PublicKey::from_multikey(&format!("{key}1")).is_err());
    }
    // Ed25519.
    let ed = "z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
    for kind in [
        "Multikey",
        "Ed25519VerificationKey2020",
        "JsonWebKey2020",
        "",
    ] {
        let read = PublicKey::from_verification_method(kind, ed);
        assert!(matches!(read, Err(RepoError::PublicKey { .. })), "{read:?}");
    }
    // Points that are not on their curve, in the wrong form, or of another length.
    for point in [
        &[&[2], &[0xff; 32][..]].concat(),
        &[&[4], &[1; 64][..]].concat(),
        &[&[5], &[1; 32][..]].concat(),
        &vec![0; 33],
        &vec![0],
        &vec![],
        &vec![4; 64],
    ] {
        for kind in [
            "EcdsaSecp256k1VerificationKey2019",
            "EcdsaSecp256r1VerificationKey2019",
        ] {
            let text = format!("z{}", crate::support::base58(point));
            let read = PublicKey::from_verification_method(kind, &text);
            assert!(matches!(read, Err(RepoError::PublicKey { .. })), "{read:?}");
        }
    }
}
