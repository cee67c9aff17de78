//! The fast CPU form of ops that move whole bands: the rows of the output, taken as a matrix, are
//! made of bands of the inputs' rows, and of zeros.

use crate::cpu::simd;
use crate::op::{CpuKernel, Live, OpError, Operand, Split, TaskIo};
use crate::tensor::{DType, Dim, Shape, TensorType};

/// Elements per task.
const CHUNK: usize = 1 << 14;

/// What fills a band.
pub(super) enum Source {
    /// Zeros.
    Zeros,
    /// Input `input`, whose rows have `width` elements, from element `first` of its row on.
    Input { input: usize, width: usize, first: usize },
}

/// Copies bands.
pub(super) struct Bands {
    /// The output's type.
    pub(super) output: TensorType,
    /// Elements of each band, from left to right, and what fills it; their sum is the width.
    pub(super) bands: Vec<(usize, Source)>,
}

/// The checks of ops along an axis: f32 or u32, an axis that exists and does not count rows.
pub(super) fn check_axis(name: &str, ty: &TensorType, axis: usize) -> Result<usize, OpError> {
    if !matches!(ty.dtype, DType::F32 | DType::U32) {
        return Err(OpError(format!("{name} takes f32 or u32, got {ty}")));
    }
    match ty.shape.dims().get(axis) {
        Some(Dim::Fixed(size)) => Ok(*size),
        Some(Dim::Rows(_)) => {
            Err(OpError(format!("{name} along axis 0 of {ty} would mix rows of the batch")))
        }
        None => Err(OpError(format!("{name} along axis {axis} of {ty}, which has no such axis"))),
    }
}

/// The same shape with another size of one axis.
pub(super) fn resized(shape: &Shape, axis: usize, size: usize) -> Shape {
    let mut dims = shape.dims().to_vec();
    dims[axis] = Dim::Fixed(size);
    Shape(dims)
}

/// Elements per index of an axis.
pub(super) fn stride(shape: &Shape, axis: usize) -> usize {
    shape.dims()[axis + 1..].iter().map(|d| d.size(1)).product()
}

impl CpuKernel for Bands {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        self.output.shape.elements(live.rows).div_ceil(CHUNK)
    }

    fn split(&self, _phase: usize, _operand: Operand, _live: &Live) -> Split {
        Split::Chunks(CHUNK)
    }

    fn run(&self, _phase: usize, task: usize, _live: &Live, io: &mut TaskIo<'_>) {
        let first = task * CHUNK;
        match self.output.dtype {
            DType::U32 => {
                let (target, input) = (io.output_u32(0), |i| io.input_u32(i));
                simd::dispatch(Move { bands: &self.bands, first, target, input });
            }
            _ => {
                let (target, input) = (io.output(0), |i| io.input(i));
                simd::dispatch(Move { bands: &self.bands, first, target, input });
            }
        }
    }
}

/// Fills `target`, which begins at element `first` of the output.
struct Move<'a, T, F> {
    bands: &'a [(usize, Source)],
    first: usize,
    target: &'a mut [T],
    input: F,
}

impl<'a, T: Copy + Default + 'a, F: Fn(usize) -> &'a [T]> simd::Vectorised for Move<'a, T, F> {
    #[inline(always)]
    fn run(self) {
        let Move { bands, first, mut target, input } = self;
        let width: usize = bands.iter().map(|(length, _)| length).sum();
        let (mut row, mut skip) = (first / width, first % width);
        while !target.is_empty() {
            for (length, source) in bands {
                let begin = skip.min(*length);
                skip -= begin;
                let count = (length - begin).min(target.len());
                let (band, rest) = target.split_at_mut(count);
                match *source {
                    Source::Zeros => band.fill(T::default()),
                    Source::Input { input: i, width, first } => {
                        band.copy_from_slice(&input(i)[row * width + first + begin..][..count]);
                    }
                }
                target = rest;
            }
            row += 1;
        }
    }
}
