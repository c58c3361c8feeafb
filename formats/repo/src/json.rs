//! Records in the two forms they have: the JSON of the API, and the DAG-CBOR of repositories.
//!
//! | JSON | DAG-CBOR |
//! | --- | --- |
//! | `{"$link": "bafy…"}` | a link |
//! | `{"$bytes": "base64"}` | bytes |
//! | `12`, `12.0`, `1.2e1` | the integer 12, up to 2^53 where it is written as a float |
//! | `1.5`, `1e300` | a float of 64 bits, by [`Rules::floats`]; an error otherwise |
//! | others | as they are |

mod print;
mod read;

use crate::cid::{Cid, Codec};
use crate::error::{Form, Found, RepoError};
use crate::rules::Rules;

/// The CID of a record that is given as JSON: what a repository has it under.
///
/// Read by [`Rules::STORED`]: a whole number that is written as a float is an integer, and any other is
/// encoded as a float of 64 bits, which the data model does not have, but which is what a server stores that
/// let one pass. A whole number that is stored as a float becomes an integer in JSON; such a record has
/// another CID here.
///
/// # Errors
/// The bytes are no JSON object, too large, nested too deeply, or have no one meaning as a record.
pub fn record_cid(json: &[u8]) -> Result<Cid, RepoError> {
    let cbor = json_to_cbor(json, &Rules::STORED)?;
    Ok(Cid::of(Codec::DagCbor, &cbor))
}

/// Encodes a record that is given as JSON as canonical DAG-CBOR.
///
/// # Errors
/// The bytes are no JSON object, or break a limit or rule. A key that stands twice in an object is an error.
pub fn json_to_cbor(json: &[u8], rules: &Rules) -> Result<Vec<u8>, RepoError> {
    limit(json.len(), rules)?;
    read::encode(json, rules)
}

/// Writes a DAG-CBOR record as JSON, with the keys in the order in which they stand.
///
/// # Errors
/// The bytes are no canonical DAG-CBOR map and nothing else, or break a limit or rule.
pub fn cbor_to_json(cbor: &[u8], rules: &Rules) -> Result<String, RepoError> {
    limit(cbor.len(), rules)?;
    print::print(cbor, rules)
}

fn limit(len: usize, rules: &Rules) -> Result<(), RepoError> {
    if len > rules.most_bytes {
        return Err(RepoError::TooLarge {
            what: "record in bytes",
            found: len as u64,
            most: rules.most_bytes as u64,
        });
    }
    Ok(())
}

const fn malformed(offset: usize, expected: &'static str, found: Found) -> RepoError {
    RepoError::Malformed {
        form: Form::Json,
        offset,
        expected,
        found,
    }
}
