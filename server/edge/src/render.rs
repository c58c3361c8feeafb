//! The answer about one record, made once and kept as bytes.

use bytes::Bytes;
use orrery_server::EdgeRecord;

/// Makes `{"cid","uri","value"}`, members in that order, `cid` left out where there is none. `json` is a JSON object, and
/// stands in the answer as it is.
pub(crate) fn record(uri: String, cid: Option<String>, json: &[u8]) -> EdgeRecord {
    let mut answer = Vec::with_capacity(json.len() + uri.len() + 96);
    answer.push(b'{');
    if let Some(cid) = &cid {
        member(&mut answer, b"\"cid\":", cid);
        answer.push(b',');
    }
    member(&mut answer, b"\"uri\":", &uri);
    answer.extend_from_slice(b",\"value\":");
    let start = answer.len();
    answer.extend_from_slice(json);
    let value = start..answer.len();
    answer.push(b'}');
    EdgeRecord {
        uri,
        cid,
        answer: Bytes::from(answer),
        value,
    }
}

/// Identifiers that passed their syntax need no escapes, but that is not for this function to know.
fn member(answer: &mut Vec<u8>, name: &[u8], value: &str) {
    answer.extend_from_slice(name);
    let quoted = serde_json::Value::from(value).to_string();
    answer.extend_from_slice(quoted.as_bytes());
}

/// The at-uri of a record.
pub(crate) fn uri(did: &str, collection: &str, rkey: &str) -> String {
    format!("at://{did}/{collection}/{rkey}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_its_members_in_order_and_the_record_as_it_came() {
        let json = br#"{"b":1.0, "a":"x"}"#;
        let with = record(uri("did:web:x", "a.b.c", "self"), Some("bafy".into()), json);
        assert_eq!(
            &with.answer[..],
            br#"{"cid":"bafy","uri":"at://did:web:x/a.b.c/self","value":{"b":1.0, "a":"x"}}"#
        );
        assert_eq!(with.value_json(), json);
        let without = record(uri("did:web:x", "a.b.c", "self"), None, json);
        assert_eq!(
            &without.answer[..],
            br#"{"uri":"at://did:web:x/a.b.c/self","value":{"b":1.0, "a":"x"}}"#
        );
    }
}
