//! Canonical JSON: the same value gives the same text, whatever the order its maps keep.

use serde_json::Value;

/// Deepest nesting of arrays and objects in a file's metadata.
pub const MAX_DEPTH: usize = 100;

/// Appends the text of `value`: keys sorted by their bytes, no white space.
pub(super) fn write_canonical(value: &Value, out: &mut String) -> Result<(), String> {
    write(value, MAX_DEPTH, out)
}

/// A string with quotes and escapes.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn write(value: &Value, depth: usize, out: &mut String) -> Result<(), String> {
    let inner = || {
        let message =
            || format!("the metadata nests deeper than {MAX_DEPTH} arrays and objects; flatten it");
        depth.checked_sub(1).ok_or_else(message)
    };
    match value {
        Value::Object(map) => {
            let inner = inner()?;
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                out.push_str(&quoted(key));
                out.push(':');
                write(item, inner, out)?;
            }
            out.push('}');
        }
        Value::Array(items) => {
            let inner = inner()?;
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                write(item, inner, out)?;
            }
            out.push(']');
        }
        leaf => out.push_str(&leaf.to_string()),
    }
    Ok(())
}
