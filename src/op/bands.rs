//! The fast forms of ops that move whole bands: the rows of the output, taken as a matrix, are made
//! of bands of the inputs' rows, and of zeros.

use std::fmt::Write;

use super::launch::{Argument, Kernel, Launch, Launches, Target, is_wide};
use super::{CpuKernel, Live, OpError, Operand, Split, TaskIo};
use crate::cpu::simd;
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

/// Bands of one launch at most: their addresses stay in registers.
const BANDS_PER_LAUNCH: usize = 16;
/// Threads of a block.
const THREADS: u32 = 256;

impl Bands {
    /// The CUDA form: `kernels/bands.cu`, one launch for every 16 bands.
    pub(super) fn launches(&self, capacity: usize, target: &Target) -> Launches {
        let bands: Vec<_> = self.bands.iter().filter(|(length, _)| *length > 0).collect();
        let width: usize = bands.iter().map(|(length, _)| length).sum();
        if self.output.shape.elements(capacity) == 0 {
            return Launches::default();
        }
        let outer = self.output.shape.elements(1) / width;
        let outer = if self.output.shape.has_rows() { Dim::Rows(outer) } else { Dim::Fixed(outer) };
        let aligned = bands.iter().all(|(length, source)| match source {
            Source::Zeros => length % 4 == 0,
            Source::Input { width, first, .. } => (length | width | first) % 4 == 0,
        });
        let unit = if aligned { 4 } else { 1 };
        let mut begin = 0;
        let mut launch = |bands: &[&(usize, Source)]| {
            let (parameters, body, inputs) = printed(bands, begin, unit);
            let span = bands.iter().map(|(length, _)| length / unit).sum::<usize>();
            let kernel = Kernel::new("bands")
                .constant("WIDE", u32::from(self.is_wide(outer, capacity)))
                .constant("VECTOR", u32::from(aligned))
                .dimension("OUTER", outer)
                .constant("WIDTH", width / unit)
                .constant("FIRST", begin)
                .constant("SPAN", span)
                .printed("parameters", parameters)
                .printed("body", body);
            begin += span;
            let grid = [target.blocks(outer.size(capacity) * span, THREADS), 1, 1];
            let arguments = std::iter::once(Argument::Live)
                .chain(inputs.into_iter().map(Argument::Input))
                .chain([Argument::Output(0)])
                .collect();
            Launch { kernel, entry: "bands", grid, threads: THREADS, shared: 0, arguments }
        };
        let list = bands.chunks(BANDS_PER_LAUNCH).map(&mut launch).collect();
        Launches { list, ..Launches::default() }
    }

    /// Whether an input or the output needs wide indices.
    fn is_wide(&self, outer: Dim, capacity: usize) -> bool {
        let inputs = self.bands.iter().filter_map(|(_, source)| match source {
            Source::Input { width, .. } => Some(Shape(vec![outer, Dim::Fixed(*width)])),
            Source::Zeros => None,
        });
        is_wide(inputs.chain([self.output.shape.clone()]).collect::<Vec<_>>().iter(), capacity)
    }
}

/// The parameters for the bands' inputs, the text that loads the piece of a `column`, and which
/// inputs these are. The bands begin at column `begin`; all is in pieces of `unit` elements.
fn printed(
    bands: &[&(usize, Source)],
    mut begin: usize,
    unit: usize,
) -> (String, String, Vec<usize>) {
    let (mut parameters, mut body, mut inputs) = (Vec::new(), String::new(), Vec::new());
    for (place, (length, source)) in bands.iter().enumerate() {
        let end = begin + length / unit;
        let condition = match place + 1 == bands.len() {
            true => String::new(),
            false => format!("if (column < {end}) "),
        };
        let separator = if place == 0 { "        " } else { "        else " };
        let _ = match source {
            Source::Zeros => writeln!(body, "{separator}{condition}{{}}"),
            Source::Input { width, first, .. } => writeln!(
                body,
                "{separator}{condition}piece = x{place}[row * {} + {} + (column - {begin})];",
                width / unit,
                first / unit,
            ),
        };
        if let Source::Input { input, .. } = source {
            parameters.push(format!("const Piece* __restrict__ x{place}"));
            inputs.push(*input);
        }
        begin = end;
    }
    (parameters.join(", "), body, inputs)
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
