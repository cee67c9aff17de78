//! Elements to and from little-endian bytes.

use half::{bf16, f16};

use crate::tensor::{DType, Elements};

/// The types that files hold, by their names in safetensors.
pub(super) const NAMES: [(&str, DType); 5] = [
    ("F32", DType::F32),
    ("F16", DType::F16),
    ("BF16", DType::BF16),
    ("U32", DType::U32),
    ("U8", DType::U8),
];

/// Name of a type in safetensors.
pub(super) fn name_of(dtype: DType) -> &'static str {
    let entry = NAMES.iter().find(|(_, known)| *known == dtype);
    entry.expect("invariant: every element type has a name").0
}

/// Bytes that the elements take in a file.
pub(super) fn byte_count(elements: &Elements) -> usize {
    elements.len() * elements.dtype().size()
}

/// Elements from their bytes, whose number is a multiple of the type's size.
pub(super) fn decode(dtype: DType, bytes: &[u8]) -> Elements {
    match dtype {
        DType::F32 => Elements::F32(from_chunks(bytes, f32::from_le_bytes)),
        DType::F16 => Elements::F16(from_chunks(bytes, f16::from_le_bytes)),
        DType::BF16 => Elements::BF16(from_chunks(bytes, bf16::from_le_bytes)),
        DType::U32 => Elements::U32(from_chunks(bytes, u32::from_le_bytes)),
        DType::U8 => Elements::U8(bytes.to_vec()),
    }
}

/// Appends the elements' bytes.
pub(super) fn encode(elements: &Elements, out: &mut Vec<u8>) {
    match elements {
        Elements::F32(values) => append(values, out, f32::to_le_bytes),
        Elements::F16(values) => append(values, out, f16::to_le_bytes),
        Elements::BF16(values) => append(values, out, bf16::to_le_bytes),
        Elements::U32(values) => append(values, out, u32::to_le_bytes),
        Elements::U8(values) => out.extend_from_slice(values),
    }
}

fn from_chunks<T, const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect()
}

fn append<T: Copy, const N: usize>(values: &[T], out: &mut Vec<u8>, write: impl Fn(T) -> [u8; N]) {
    let start = out.len();
    out.resize(start + values.len() * N, 0);
    for (chunk, value) in out[start..].as_chunks_mut::<N>().0.iter_mut().zip(values) {
        *chunk = write(*value);
    }
}
