//! The record of this crate in a file's header: format version, payload, hash.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use xxhash_rust::xxh3::Xxh3;

use super::{LENGTH_BYTES, header, json, malformed};
use crate::error::FileError;

/// Newest version of the format that this build reads, and the one it writes.
pub const FORMAT_VERSION: u64 = 1;

/// The record's key in `__metadata__`.
pub(super) const KEY: &str = "ironwarp";
/// How every record starts, and nothing else: a record under another key is a damaged one.
const START: &str = r#"{"format":"ironwarp","hash":""#;
/// How every file with a record starts after the header's length; the hash's digits follow.
pub(super) const HEADER_START: &str =
    r#"{"__metadata__":{"ironwarp":"{\"format\":\"ironwarp\",\"hash\":\""#;
const NO_HASH: &str = "00000000000000000000000000000000";
const HASH_AT: usize = LENGTH_BYTES + HEADER_START.len();
const HASH_END: usize = HASH_AT + NO_HASH.len();

/// The record's text, its hash still zero.
pub(super) fn unsealed(payload: Option<&Value>) -> Result<String, String> {
    let mut record = format!("{START}{NO_HASH}\"");
    if let Some(payload) = payload {
        record.push_str(",\"payload\":");
        json::write_canonical(payload, &mut record)?;
    }
    record.push_str(&format!(",\"version\":{FORMAT_VERSION}}}"));
    Ok(record)
}

/// Enters the hash into the bytes of a whole file that has a record.
pub(super) fn seal(bytes: &mut [u8]) {
    let hash = hash(bytes);
    bytes[HASH_AT..HASH_END].copy_from_slice(hash.as_bytes());
}

/// The payload of a file's record, if it has one and its version and hash are right.
pub(super) fn open(
    file: &str,
    bytes: &[u8],
    metadata: &BTreeMap<String, String>,
) -> Result<Option<Value>, FileError> {
    let Some(record) = metadata.get(KEY) else {
        return match metadata.values().any(|value| value.starts_with(START)) {
            true => Err(damaged(file)),
            false => Ok(None),
        };
    };
    let mut record: Map<String, Value> = serde_json::from_str(record).map_err(|e| {
        let reason = header::shortened(&e.to_string());
        malformed(file, format!("its `{KEY}` metadata is not a JSON object: {reason}"))
    })?;
    // A newer format is named as such before anything that it may define otherwise is judged.
    match record.get("version").and_then(Value::as_u64) {
        Some(found) if found > FORMAT_VERSION => {
            let max = FORMAT_VERSION;
            return Err(FileError::TooNew { file: file.into(), found, max });
        }
        Some(found) if found >= 1 => {}
        _ => return Err(malformed(file, format!("its `{KEY}` metadata has no format version"))),
    }
    let starts_right = bytes[LENGTH_BYTES..].starts_with(HEADER_START.as_bytes());
    let digits = bytes.get(HASH_AT..HASH_END);
    match starts_right && digits.is_some_and(|digits| digits == hash(bytes).as_bytes()) {
        true => Ok(record.remove("payload")),
        false => Err(damaged(file)),
    }
}

/// xxh3-128 of a file, in which the digits of the hash count as zeros.
fn hash(bytes: &[u8]) -> String {
    let mut hasher = Xxh3::new();
    hasher.update(&bytes[..HASH_AT]);
    hasher.update(NO_HASH.as_bytes());
    hasher.update(&bytes[HASH_END..]);
    format!("{:032x}", hasher.digest128())
}

fn damaged(file: &str) -> FileError {
    let message = format!(
        "its hash does not match its content: it was damaged, or changed by another program; use a \
         backup, or remove the `{KEY}` metadata to load the weights unchecked"
    );
    malformed(file, message)
}
