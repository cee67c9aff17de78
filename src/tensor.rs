//! Element types, shapes with a symbolic row count, and tensors in host memory.

use std::fmt;

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// Type of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DType {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// bfloat16: the upper half of an `F32`.
    BF16,
    /// Unsigned 32-bit integer: class labels and row indices.
    U32,
    /// Unsigned byte: raw pixels.
    U8,
}

impl DType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::U8 => 1,
        }
    }

    /// Whether this is a floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::U32 => "u32",
            DType::U8 => "u8",
        })
    }
}

/// One dimension of a [`Shape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dim {
    /// A known size.
    Fixed(usize),
    /// A multiple of the number of rows in the batch. Stands only in first place, so that the rows
    /// in use are always a prefix of the buffer.
    Rows(usize),
}

impl Dim {
    /// Size for a given number of rows.
    pub fn size(self, rows: usize) -> usize {
        match self {
            Dim::Fixed(n) => n,
            Dim::Rows(k) => k * rows,
        }
    }

    /// The known size, or `None` for a multiple of the rows.
    pub fn fixed(self) -> Option<usize> {
        match self {
            Dim::Fixed(n) => Some(n),
            Dim::Rows(_) => None,
        }
    }
}

impl From<usize> for Dim {
    fn from(n: usize) -> Self {
        Dim::Fixed(n)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(n) => write!(f, "{n}"),
            Dim::Rows(1) => f.write_str("B"),
            Dim::Rows(k) => write!(f, "{k}B"),
        }
    }
}

/// Sizes of a tensor's dimensions, the last one contiguous.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    /// A shape of known sizes.
    pub fn fixed(dims: &[usize]) -> Self {
        Shape(dims.iter().map(|&n| Dim::Fixed(n)).collect())
    }

    /// One row per row of the batch, each of the given sizes.
    pub fn rows(dims: &[usize]) -> Self {
        let mut shape = vec![Dim::Rows(1)];
        shape.extend(dims.iter().map(|&n| Dim::Fixed(n)));
        Shape(shape)
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The dimensions.
    pub fn dims(&self) -> &[Dim] {
        &self.0
    }

    /// The last dimension, if there is one and its size is known.
    pub fn last(&self) -> Option<usize> {
        self.0.last().and_then(|d| d.fixed())
    }

    /// Whether the first dimension is a multiple of the rows.
    pub fn has_rows(&self) -> bool {
        matches!(self.0.first(), Some(Dim::Rows(_)))
    }

    /// The sizes for a given number of rows.
    pub fn sizes(&self, rows: usize) -> Vec<usize> {
        self.0.iter().map(|d| d.size(rows)).collect()
    }

    /// Number of elements for a given number of rows, or `None` on overflow.
    pub fn checked_elements(&self, rows: usize) -> Option<usize> {
        self.0.iter().try_fold(1usize, |n, d| {
            let size = match *d {
                Dim::Fixed(n) => n,
                Dim::Rows(k) => k.checked_mul(rows)?,
            };
            n.checked_mul(size)
        })
    }

    /// Number of elements for a given number of rows.
    ///
    /// # Panics
    /// On overflow; shapes are checked against it when a model is traced.
    pub fn elements(&self, rows: usize) -> usize {
        self.checked_elements(rows).expect("invariant: shapes are checked for overflow when traced")
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, dim) in self.0.iter().enumerate() {
            write!(f, "{}{dim}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Element type and shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Sizes.
    pub shape: Shape,
}

impl TensorType {
    /// A type from its parts.
    pub fn new(dtype: DType, shape: Shape) -> Self {
        TensorType { dtype, shape }
    }

    /// Single-precision floats of this shape.
    pub fn f32(shape: Shape) -> Self {
        TensorType { dtype: DType::F32, shape }
    }

    /// Bytes for a given number of rows.
    pub fn bytes(&self, rows: usize) -> usize {
        self.shape.elements(rows) * self.dtype.size()
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// The elements of a [`HostTensor`], in row-major order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Elements {
    /// Single precision.
    F32(Vec<f32>),
    /// Half precision.
    F16(Vec<f16>),
    /// bfloat16.
    BF16(Vec<bf16>),
    /// Unsigned 32-bit integers.
    U32(Vec<u32>),
    /// Bytes.
    U8(Vec<u8>),
}

impl Elements {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Elements::F32(v) => v.len(),
            Elements::F16(v) => v.len(),
            Elements::BF16(v) => v.len(),
            Elements::U32(v) => v.len(),
            Elements::U8(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        match self {
            Elements::F32(_) => DType::F32,
            Elements::F16(_) => DType::F16,
            Elements::BF16(_) => DType::BF16,
            Elements::U32(_) => DType::U32,
            Elements::U8(_) => DType::U8,
        }
    }
}

/// A tensor in host memory: sizes and elements in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    shape: Vec<usize>,
    elements: Elements,
}

impl HostTensor {
    /// A tensor from its parts, or `None` if the sizes' product is not the number of elements.
    pub fn new(shape: Vec<usize>, elements: Elements) -> Option<Self> {
        let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        (count == elements.len()).then_some(HostTensor { shape, elements })
    }

    /// A single-precision tensor, or `None` if the sizes' product is not the number of elements.
    pub fn f32(shape: Vec<usize>, elements: Vec<f32>) -> Option<Self> {
        Self::new(shape, Elements::F32(elements))
    }

    /// Sizes of the dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements.
    pub fn elements(&self) -> &Elements {
        &self.elements
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.elements.dtype()
    }

    /// The elements, if they are single-precision.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.elements {
            Elements::F32(v) => Some(v),
            _ => None,
        }
    }

    /// The elements, if they are `u32`.
    pub fn as_u32(&self) -> Option<&[u32]> {
        match &self.elements {
            Elements::U32(v) => Some(v),
            _ => None,
        }
    }
}
