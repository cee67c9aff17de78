//! The safetensors header: reading with every size checked, and writing.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{ALIGNMENT, LENGTH_BYTES, elements, json, record};
use crate::tensor::{DType, HostTensor};

/// Longest header, in bytes.
pub const MAX_HEADER_BYTES: usize = 16 << 20;
/// Most tensors in one file.
pub const MAX_TENSORS: usize = 100_000;
/// Longest name of a tensor, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 512;
/// Most dimensions of a tensor.
pub const MAX_DIMENSIONS: usize = 64;

const METADATA: &str = "__metadata__";

/// A header as it stands in the file: well-formed and within the limits, but not yet checked
/// against the data.
pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, RawEntry>,
}

#[derive(serde::Deserialize)]
struct RawEntry {
    dtype: String,
    shape: Sizes,
    data_offsets: (usize, usize),
}

/// Where a tensor lies in the data, of exactly the size that its type and shape need.
pub(super) struct Entry {
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    pub(super) range: Range<usize>,
}

/// The header's length in bytes, from the file's first eight, if the file can hold it.
pub(super) fn length(start: &[u8], file_bytes: u64) -> Result<usize, String> {
    let Some(length) = start.first_chunk::<LENGTH_BYTES>().copied().map(u64::from_le_bytes) else {
        return Err(format!("truncated: {file_bytes} bytes are too few for a header's length"));
    };
    if length > MAX_HEADER_BYTES as u64 {
        return Err(format!(
            "it announces a header of {length} bytes, the limit is {MAX_HEADER_BYTES}; it is \
             damaged, or not a safetensors file"
        ));
    }
    let need = LENGTH_BYTES as u64 + length;
    match need > file_bytes {
        true => Err(format!("truncated: the header ends at byte {need}, the file at {file_bytes}")),
        false => Ok(length as usize),
    }
}

impl Header {
    /// Reads the JSON text, white space after it included.
    pub(super) fn parse(text: &[u8]) -> Result<Header, String> {
        if text.first() != Some(&b'{') {
            return Err("its header does not start with `{`; it is not a safetensors file".into());
        }
        serde_json::from_slice(text).map_err(|e| format!("header: {}", shortened(&e.to_string())))
    }

    /// Checks that the tensors cover `data_bytes` bytes of data exactly, without hole or overlap.
    pub(super) fn layout(&self, data_bytes: usize) -> Result<BTreeMap<String, Entry>, String> {
        let mut layout = BTreeMap::new();
        let mut order: Vec<_> = self.tensors.iter().collect();
        order.sort_by_key(|(_, raw)| raw.data_offsets);
        let mut position = 0;
        for (name, raw) in order {
            let entry = raw.check(position).map_err(|e| format!("tensor {name:?}: {e}"))?;
            position = entry.range.end;
            layout.insert(name.clone(), entry);
        }
        match position {
            end if end > data_bytes => Err(format!(
                "truncated: the tensors take {end} bytes, {data_bytes} follow the header"
            )),
            end if end < data_bytes => Err(format!(
                "{} bytes follow the last tensor; nothing may stand there",
                data_bytes - end
            )),
            _ => Ok(layout),
        }
    }
}

impl RawEntry {
    /// Checks the entry, which must start where the one before it ended.
    fn check(&self, position: usize) -> Result<Entry, String> {
        let known = elements::NAMES.iter().find(|(name, _)| *name == self.dtype);
        let Some(&(_, dtype)) = known else {
            let found = shortened(&format!("{:?}", self.dtype));
            let names = elements::NAMES.map(|(name, _)| name).join(", ");
            return Err(format!("its type {found} is not one of {names}; convert it first"));
        };
        let (start, end) = self.data_offsets;
        if end < start {
            return Err(format!("its data ends at offset {end}, before its start {start}"));
        }
        if start != position {
            let what = if start < position { "overlaps" } else { "leaves a hole after" };
            return Err(format!(
                "its data at offset {start} {what} the tensor before it, which ends at {position}"
            ));
        }
        let shape = &self.shape.0;
        let found = end - start;
        match byte_count(dtype, shape) {
            Some(need) if need == found => {
                Ok(Entry { dtype, shape: shape.clone(), range: start..end })
            }
            Some(need) => Err(format!("{dtype}{shape:?} takes {need} bytes, its data has {found}")),
            None => Err(format!("{dtype}{shape:?} is larger than any memory")),
        }
    }
}

/// Bytes of a tensor, or `None` if it can't exist. Sizes beside a zero must make sense too, since
/// whoever reads them multiplies them in another order.
fn byte_count(dtype: DType, shape: &[usize]) -> Option<usize> {
    let bytes = shape.iter().try_fold(dtype.size(), |n, &size| n.checked_mul(size.max(1)))?;
    let exists = isize::try_from(bytes).is_ok();
    exists.then_some(if shape.contains(&0) { 0 } else { bytes })
}

/// Length and JSON of a header, padded, and the tensors in the order of their data.
pub(super) fn encode<'a>(
    record: &str,
    tensors: &'a BTreeMap<String, HostTensor>,
) -> Result<(Vec<u8>, Vec<&'a HostTensor>), String> {
    check_count(tensors.len())?;
    let mut order: Vec<_> = tensors.iter().collect();
    // The sort is stable, so tensors of one width stay in the order of their names.
    order.sort_by_key(|(_, tensor)| Reverse(tensor.dtype().size()));
    let mut head = vec![0; LENGTH_BYTES];
    head.extend_from_slice(
        format!("{{\"{METADATA}\":{{\"{}\":{}}}", record::KEY, json::quoted(record)).as_bytes(),
    );
    let mut start = 0;
    for (name, tensor) in &order {
        check_name(name)?;
        check_rank(tensor.shape().len()).map_err(|e| format!("tensor {name:?}: {e}"))?;
        let end = start + elements::byte_count(tensor.elements());
        let dtype = elements::name_of(tensor.dtype());
        let shape = tensor.shape().iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let name = json::quoted(name);
        let entry = format!(
            ",{name}:{{\"data_offsets\":[{start},{end}],\"dtype\":\"{dtype}\",\"shape\":[{shape}]}}"
        );
        head.extend_from_slice(entry.as_bytes());
        start = end;
    }
    head.push(b'}');
    head.resize(head.len().next_multiple_of(ALIGNMENT), b' ');
    let length = head.len() - LENGTH_BYTES;
    if length > MAX_HEADER_BYTES {
        return Err(format!("its header takes {length} bytes, the limit is {MAX_HEADER_BYTES}"));
    }
    head[..LENGTH_BYTES].copy_from_slice(&(length as u64).to_le_bytes());
    Ok((head, order.into_iter().map(|(_, tensor)| tensor).collect()))
}

fn check_count(tensors: usize) -> Result<(), String> {
    match tensors > MAX_TENSORS {
        true => Err(format!("it has more than {MAX_TENSORS} tensors; join small ones")),
        false => Ok(()),
    }
}

fn check_rank(dimensions: usize) -> Result<(), String> {
    match dimensions > MAX_DIMENSIONS {
        true => Err(format!("it has more than {MAX_DIMENSIONS} dimensions")),
        false => Ok(()),
    }
}

/// Names go into messages and tables, so nothing in them may move the cursor or turn the text.
fn check_name(name: &str) -> Result<(), String> {
    let bytes = name.len();
    if bytes == 0 || bytes > MAX_NAME_BYTES {
        let shown = shortened(&format!("{name:?}"));
        return Err(format!("tensor {shown}: names have 1 to {MAX_NAME_BYTES} bytes, not {bytes}"));
    }
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2066}'..='\u{2069}')
    };
    if let Some(c) = name.chars().find(|&c| hidden(c)) {
        let code = u32::from(c);
        return Err(format!(
            "tensor {name:?}: the control or direction character U+{code:04X} may not be in a name"
        ));
    }
    match name == METADATA {
        true => Err(format!("no tensor may be called `{METADATA}`")),
        false => Ok(()),
    }
}

/// The start of a text that may be long, without what could confuse a terminal.
pub(super) fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(160).filter(|c| !c.is_control()).collect();
    shown.push_str(if text.chars().nth(160).is_some() { "..." } else { "" });
    shown
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut metadata = None;
        let mut tensors = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let twice = if name == METADATA {
                metadata.replace(map.next_value::<Texts>()?.0).is_some()
            } else {
                check_name(&name).map_err(A::Error::custom)?;
                tensors.insert(name.clone(), map.next_value()?).is_some()
            };
            if twice {
                return Err(A::Error::custom(format!("{name:?} stands there twice")));
            }
            check_count(tensors.len()).map_err(A::Error::custom)?;
        }
        Ok(Header { metadata: metadata.unwrap_or_default(), tensors })
    }
}

/// A map of strings without duplicate keys.
struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of strings under `{METADATA}`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
        let mut texts = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if texts.contains_key(&key) {
                return Err(A::Error::custom(format!("{key:?} stands twice in `{METADATA}`")));
            }
            texts.insert(key, value);
        }
        Ok(Texts(texts))
    }
}

/// A shape, refused before it grows beyond the limit.
struct Sizes(Vec<usize>);

impl<'de> Deserialize<'de> for Sizes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(SizesVisitor)
    }
}

struct SizesVisitor;

impl<'de> Visitor<'de> for SizesVisitor {
    type Value = Sizes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a shape: an array of sizes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Sizes, A::Error> {
        let mut sizes = Vec::new();
        while let Some(size) = sequence.next_element()? {
            sizes.push(size);
            check_rank(sizes.len()).map_err(A::Error::custom)?;
        }
        Ok(Sizes(sizes))
    }
}
