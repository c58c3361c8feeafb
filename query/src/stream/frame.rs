//! Changes as the text of frames. Members come in a fixed order, and frames of the plain form hold exactly
//! what clients of today's streams know.

use std::fmt::Write as _;

use super::types::{Change, Info, Step};

/// Appends the frame of a change for clients that use no new parameter.
pub fn write_plain(out: &mut String, change: &Change) {
    write_link(out, change, false);
    out.push('}');
}

/// Appends the frame of a change of `step` with all that is known of it.
pub fn write_extended(out: &mut String, step: &Step, change: &Change) {
    write_link(out, change, true);
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        ",\"time_us\":{},\"cursor\":\"{}.{}\"}}",
        step.time_us, step.seq, change.index
    );
}

/// Appends the frame of something about the stream.
pub fn write_info(out: &mut String, info: &Info) {
    let (name, first_seq, last_seq) = match info {
        Info::OutdatedCursor { time_us } => {
            let _ = write!(
                out,
                "{{\"kind\":\"info\",\"info\":{{\"name\":\"OutdatedCursor\",\"time_us\":{time_us}}}}}"
            );
            return;
        }
        Info::EventsLost {
            first_seq,
            last_seq,
        } => ("EventsLost", first_seq, last_seq),
        Info::LinksMissing {
            first_seq,
            last_seq,
        } => ("LinksMissing", first_seq, last_seq),
    };
    let _ = write!(
        out,
        "{{\"kind\":\"info\",\"info\":{{\"name\":\"{name}\",\"first_seq\":{first_seq},\"last_seq\":{last_seq}}}}}"
    );
}

fn write_link(out: &mut String, change: &Change, with_cause: bool) {
    out.reserve(192 + change.source_record.len() + change.subject.len());
    out.push_str("{\"kind\":\"link\",\"origin\":\"");
    out.push_str(change.origin.as_str());
    out.push_str("\",\"link\":{\"operation\":\"");
    out.push_str(change.operation.as_str());
    out.push('"');
    let mut member = |name: &str, value: &str| {
        out.push_str(name);
        write_escaped(out, value);
        out.push('"');
    };
    member(",\"source\":\"", &change.source);
    member(",\"source_record\":\"", &change.source_record);
    if let Some(rev) = &change.source_rev {
        member(",\"source_rev\":\"", rev);
    }
    member(",\"subject\":\"", &change.subject);
    if let Some(cause) = change.cause.filter(|_| with_cause) {
        member(",\"cause\":\"", cause.as_str());
    }
    out.push('}');
}

/// Appends `text` as it stands within the quotes of a JSON string.
fn write_escaped(out: &mut String, text: &str) {
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..=0x1f => "",
            _ => continue,
        };
        // These bytes are never part of a longer character.
        out.push_str(text.get(start..at).unwrap_or_default());
        start = at + 1;
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(text.get(start..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::types::{Cause, Operation, Origin};
    use super::*;

    fn create() -> Change {
        Change {
            index: 3,
            position: 3,
            operation: Operation::Create,
            origin: Origin::Live,
            source: "com.ex.like:subject.uri".into(),
            source_record: "at://did:plc:a/com.ex.like/3k".into(),
            source_rev: Some("3rev".into()),
            subject: "at://did:plc:b/com.ex.post/3j".into(),
            cause: None,
        }
    }

    #[test]
    fn a_plain_frame_is_byte_for_byte_what_clients_know() {
        let mut out = String::new();
        write_plain(&mut out, &create());
        assert_eq!(
            out,
            r#"{"kind":"link","origin":"live","link":{"operation":"create","source":"com.ex.like:subject.uri","source_record":"at://did:plc:a/com.ex.like/3k","source_rev":"3rev","subject":"at://did:plc:b/com.ex.post/3j"}}"#
        );
    }

    #[test]
    fn an_extended_frame_adds_time_cursor_and_cause() {
        let step = Step::empty(17, 1_793_491_200_000_000);
        let mut out = String::new();
        write_extended(&mut out, &step, &create());
        assert_eq!(
            out,
            r#"{"kind":"link","origin":"live","link":{"operation":"create","source":"com.ex.like:subject.uri","source_record":"at://did:plc:a/com.ex.like/3k","source_rev":"3rev","subject":"at://did:plc:b/com.ex.post/3j"},"time_us":1793491200000000,"cursor":"17.3"}"#
        );
        let gone = Change {
            operation: Operation::Delete,
            origin: Origin::Replay,
            source_rev: None,
            cause: Some(Cause::Account),
            ..create()
        };
        out.clear();
        write_extended(&mut out, &step, &gone);
        assert_eq!(
            out,
            r#"{"kind":"link","origin":"replay","link":{"operation":"delete","source":"com.ex.like:subject.uri","source_record":"at://did:plc:a/com.ex.like/3k","subject":"at://did:plc:b/com.ex.post/3j","cause":"account"},"time_us":1793491200000000,"cursor":"17.3"}"#
        );
    }

    #[test]
    fn infos_are_frames_of_their_own_kind() {
        let mut out = String::new();
        write_info(&mut out, &Info::OutdatedCursor { time_us: 7 });
        assert_eq!(
            out,
            r#"{"kind":"info","info":{"name":"OutdatedCursor","time_us":7}}"#
        );
        out.clear();
        let lost = Info::EventsLost {
            first_seq: 1,
            last_seq: 2,
        };
        write_info(&mut out, &lost);
        assert_eq!(
            out,
            r#"{"kind":"info","info":{"name":"EventsLost","first_seq":1,"last_seq":2}}"#
        );
        out.clear();
        let missing = Info::LinksMissing {
            first_seq: 3,
            last_seq: 3,
        };
        write_info(&mut out, &missing);
        assert_eq!(
            out,
            r#"{"kind":"info","info":{"name":"LinksMissing","first_seq":3,"last_seq":3}}"#
        );
    }

    proptest! {
        #[test]
        fn any_text_is_escaped_as_json_demands(text in "[\\x00-\\x7f\u{80}-\u{10ffff}\"\\\\]{0,20}") {
            let mut out = String::from("\"");
            write_escaped(&mut out, &text);
            out.push('"');
            prop_assert_eq!(out, serde_json::to_string(&text).unwrap());
        }
    }
}
