//! The bodies of an origin's answers.
//!
//! Owns their reading. Members that are not known are of no interest; those that are must be right.

use orrery_links::syntax::{AtIdentifier, AtUri, Cid};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{OriginError, OriginPage, OriginRecord};

/// Longest error name that is given on; longer ones are none.
const NAME_BYTES_MAX: usize = 128;
/// Longest explanation that is given on; longer ones are cut.
const MESSAGE_BYTES_MAX: usize = 1024;

#[derive(Deserialize)]
struct RecordBody {
    uri: String,
    cid: Option<String>,
    value: Box<RawValue>,
}

#[derive(Deserialize)]
struct PageBody {
    records: Vec<RecordBody>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: String,
    message: Option<String>,
}

/// The answer of `getRecord`. Its uri is as the origin gave it.
pub(super) fn record(body: &[u8]) -> Result<OriginRecord, OriginError> {
    checked(read(body)?)
}

/// The answer of `listRecords`. Its uris are as the origin gave them.
pub(super) fn page(body: &[u8]) -> Result<OriginPage, OriginError> {
    let page: PageBody = read(body)?;
    Ok(OriginPage {
        records: page
            .records
            .into_iter()
            .map(checked)
            .collect::<Result<_, _>>()?,
        // An empty cursor asks for the first page again.
        cursor: page.cursor.filter(|cursor| !cursor.is_empty()),
    })
}

fn checked(body: RecordBody) -> Result<OriginRecord, OriginError> {
    if let Some(cid) = &body.cid
        && let Err(error) = Cid::parse(cid)
    {
        return Err(OriginError::garbage(format!("its cid: {error}")));
    }
    if !body.value.get().starts_with('{') {
        return Err(OriginError::garbage("the record is not an object"));
    }
    Ok(OriginRecord {
        uri: body.uri,
        cid: body.cid,
        value: body.value,
    })
}

/// That the uri is of this record, or of some record of the collection; gives the record key. A handle in place of the
/// DID is let pass: the origin was asked by DID, and some answer with the handle.
pub(super) fn is_of<'a>(
    uri: &'a str,
    did: &str,
    collection: &str,
    rkey: Option<&str>,
) -> Result<&'a str, OriginError> {
    let right = AtUri::parse(uri).ok().and_then(|parsed| {
        let authority = match parsed.authority() {
            AtIdentifier::Did(authority) => authority.as_str() == did,
            AtIdentifier::Handle(_) => true,
        };
        let in_collection = parsed
            .collection()
            .is_some_and(|nsid| nsid.as_str() == collection);
        let key = parsed.record_key()?.as_str();
        let is_key = rkey.is_none_or(|rkey| rkey == key);
        (authority && in_collection && is_key).then_some(key)
    });
    right.ok_or_else(|| OriginError::WrongUri {
        asked: format!("at://{did}/{collection}/{}", rkey.unwrap_or("...")),
        got: cut(uri, MESSAGE_BYTES_MAX),
    })
}

/// What an answer of another status than 200 means.
pub(super) fn error(status: u16, body: &[u8]) -> OriginError {
    if status == 429 {
        return OriginError::RetryLater { after: None };
    }
    let Ok(body) = read::<ErrorBody>(body) else {
        return OriginError::Status { status };
    };
    if body.error.is_empty()
        || body.error.len() > NAME_BYTES_MAX
        || !body
            .error
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    {
        return OriginError::Status { status };
    }
    let message = cut(&body.message.unwrap_or_default(), MESSAGE_BYTES_MAX);
    let is_absence = match body.error.as_str() {
        "RecordNotFound" | "NotFound" => true,
        // What servers said before the error had a name.
        "InvalidRequest" => message.starts_with("Could not locate record"),
        _ => false,
    };
    if matches!(status, 400 | 404) && is_absence {
        OriginError::NoRecord {
            error: body.error,
            message,
        }
    } else {
        OriginError::Answered {
            status,
            error: body.error,
            message,
        }
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, OriginError> {
    // A derived struct can be read from an array too; all bodies are objects.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(OriginError::garbage("not a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| OriginError::garbage(error.to_string()))
}

fn cut(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
