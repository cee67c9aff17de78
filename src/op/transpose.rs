//! Axes in another order: dimension `i` of the output is dimension `axes[i]` of the input. The rows
//! of the batch stay first. The gradient is the inverse permutation.

use serde::{Deserialize, Serialize};

use super::launch::{Argument, Kernel as CudaKernel, Launch, Launches, Target, is_wide};
use super::{
    CallTypes, Case, CpuKernel, Family, Gradient, Live, Op, OpError, Operand, ReferenceCall, Split,
    TaskIo,
};
use crate::cpu::simd;
use crate::tensor::{DType, Dim, Shape, TensorType};

/// Permutes axes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transpose {
    /// Every axis of the input once, in the output's order.
    pub axes: Vec<usize>,
}

impl Transpose {
    /// Element strides of the input, in the output's order of axes.
    fn strides(&self, input: &[usize]) -> Vec<usize> {
        self.axes.iter().map(|&axis| input[axis + 1..].iter().product()).collect()
    }
}

impl Op for Transpose {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let [input] = inputs else {
            return Err(OpError(format!("transpose takes one input, got {}", inputs.len())));
        };
        if !matches!(input.dtype, DType::F32 | DType::U32) {
            return Err(OpError(format!("transpose takes f32 or u32, got {input}")));
        }
        let mut sorted = self.axes.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..input.shape.rank()) {
            return Err(OpError(format!(
                "transpose of {input} needs each of its {} axes once, got {:?}",
                input.shape.rank(),
                self.axes
            )));
        }
        if input.shape.has_rows() && self.axes[0] != 0 {
            return Err(OpError(format!(
                "transpose of {input}: the rows of the batch must stay first, got axes {:?}",
                self.axes
            )));
        }
        let shape = Shape(self.axes.iter().map(|&axis| input.shape.dims()[axis]).collect());
        Ok(vec![TensorType::new(input.dtype, shape)])
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        if let (Some(upstream), true) = (gradient.upstream(0), gradient.needs(0)) {
            let mut inverse = vec![0; self.axes.len()];
            self.axes.iter().enumerate().for_each(|(i, &axis)| inverse[axis] = i);
            let result = gradient.one(Transpose { axes: inverse }, &[upstream])?;
            gradient.set(0, result);
        }
        Ok(())
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let (sizes, strides) = (call.output_sizes(0), self.strides(&call.input_sizes(0)));
        let count: usize = sizes.iter().product();
        let element = |element: usize| {
            let (mut rest, mut at) = (element, 0);
            for (size, stride) in sizes.iter().zip(&strides).rev() {
                at += rest % size * stride;
                rest /= size;
            }
            call.inputs[0][at]
        };
        vec![(0..count).map(element).collect()]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        let (input, output) = (&types.inputs[0], &types.outputs[0].shape);
        // Only the first dimension may count rows, so no stride depends on them.
        let strides = self.strides(&input.shape.sizes(1));
        let axes = output.dims().iter().copied().zip(strides).collect();
        Box::new(Kernel { dtype: input.dtype, output: output.clone(), axes })
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        let (input, output) = (&types.inputs[0].shape, &types.outputs[0].shape);
        let count = output.elements(capacity);
        if count == 0 {
            return Some(Launches::default());
        }
        let strides = self.strides(&input.sizes(1));
        let axes = joined(&output.dims().iter().copied().zip(strides).collect::<Vec<_>>());
        let wide = CudaKernel::new("transpose")
            .constant("WIDE", u32::from(is_wide([input, output], capacity)));
        let (kernel, entry, blocks) = match tiles(&axes) {
            Some((p, q)) => {
                let (outer, kernel) = tiled(wide, &axes, p, q);
                let tiles = axes[p].0.size(1).div_ceil(32) * axes[q].0.size(1).div_ceil(32);
                let most = target.multiprocessors() * 8;
                (kernel, "tiled", (outer.size(capacity) * tiles).min(most) as u32)
            }
            None => {
                let (unit, kernel) = mapped(wide, axes);
                (kernel, "mapped", target.blocks(count / unit, THREADS))
            }
        };
        Some(Launches::one(Launch {
            kernel,
            entry,
            grid: [blocks, 1, 1],
            threads: THREADS,
            shared: 0,
            arguments: vec![Argument::Live, Argument::Input(0), Argument::Output(0)],
        }))
    }

    fn label(&self) -> String {
        format!("transpose {:?}", self.axes)
    }

    fn flops(&self, _types: &CallTypes, _rows: usize) -> u64 {
        0
    }
}

/// Threads of a block of the CUDA form.
const THREADS: u32 = 256;
/// Shortest axis that is worth tiles of 32.
const SHORTEST: usize = 16;

/// Size and element stride in the input of an axis of the output.
type Axis = (Dim, usize);

/// Axes of one element dropped, and axes that are neighbours in both orders joined; at least one.
fn joined(axes: &[Axis]) -> Vec<Axis> {
    let mut joined: Vec<Axis> = Vec::new();
    for &(dim, stride) in axes.iter().filter(|(dim, _)| *dim != Dim::Fixed(1)) {
        match (joined.last_mut(), dim) {
            (Some((last, outer)), Dim::Fixed(size)) if *outer == size * stride => {
                *last = times(*last, size);
                *outer = stride;
            }
            _ => joined.push((dim, stride)),
        }
    }
    if joined.is_empty() { vec![(Dim::Fixed(1), 1)] } else { joined }
}

fn times(dim: Dim, size: usize) -> Dim {
    match dim {
        Dim::Fixed(n) => Dim::Fixed(n * size),
        Dim::Rows(k) => Dim::Rows(k * size),
    }
}

/// The axes that are innermost in the input and in the output, if they differ and are long enough
/// for tiles. Neither counts rows: those are outermost in both.
fn tiles(axes: &[Axis]) -> Option<(usize, usize)> {
    let (p, q) = (axes.iter().position(|(_, stride)| *stride == 1)?, axes.len() - 1);
    let long = |i: usize| axes[i].0.fixed().is_some_and(|size| size >= SHORTEST);
    (p != q && long(p) && long(q)).then_some((p, q))
}

/// The number of outer positions and the kernel `tiled`.
fn tiled(kernel: CudaKernel, axes: &[Axis], p: usize, q: usize) -> (Dim, CudaKernel) {
    let target = |i: usize| axes[i + 1..].iter().map(|(dim, _)| dim.size(1)).product::<usize>();
    let mut rest: Vec<_> = (0..axes.len()).filter(|&i| i != p && i != q).collect();
    rest.sort_unstable();
    let outer = rest.iter().fold(Dim::Fixed(1), |outer, &i| match (outer, axes[i].0) {
        (outer, Dim::Fixed(size)) => times(outer, size),
        (outer, Dim::Rows(k)) => Dim::Rows(k * outer.size(1)),
    });
    let list = |value: &dyn Fn(usize) -> usize, none| match rest.is_empty() {
        true => String::from(none),
        false => list(rest.iter().map(|&i| value(i))),
    };
    let kernel = kernel
        .constant("TILED", 1)
        .constant("VECTOR", 0)
        .dimension("OUTER", outer)
        .constant("RANK", rest.len().max(1))
        .constant("SIZES", list(&|i| axes[i].0.size(1), "1"))
        .constant("STRIDES", list(&|i| axes[i].1, "0"))
        .constant("TARGETS", list(&target, "0"))
        .constant("P", axes[p].0.size(1))
        .constant("Q", axes[q].0.size(1))
        .constant("STRIDE_Q", axes[q].1)
        .constant("TARGET_P", target(p));
    (outer, kernel)
}

/// Elements of a piece and the kernel `mapped`.
fn mapped(kernel: CudaKernel, mut axes: Vec<Axis>) -> (usize, CudaKernel) {
    let mut unit = 1;
    if let Some((Dim::Fixed(size), 1)) = axes.last().copied()
        && size % 4 == 0
    {
        unit = 4;
        let last = axes.len() - 1;
        axes[..last].iter_mut().for_each(|(_, stride)| *stride /= 4);
        axes[last].0 = Dim::Fixed(size / 4);
    }
    let count = axes.iter().map(|(dim, _)| dim.size(1)).product();
    let count =
        if matches!(axes[0].0, Dim::Rows(_)) { Dim::Rows(count) } else { Dim::Fixed(count) };
    let kernel = kernel
        .constant("TILED", 0)
        .constant("VECTOR", u32::from(unit == 4))
        .dimension("COUNT", count)
        .constant("RANK", axes.len())
        .constant("SIZES", list(axes.iter().map(|(dim, _)| dim.size(1))))
        .constant("STRIDES", list(axes.iter().map(|(_, stride)| *stride)));
    (unit, kernel)
}

/// Numbers as the elements of an array in C.
fn list(numbers: impl Iterator<Item = usize>) -> String {
    numbers.map(|n| n.to_string()).collect::<Vec<_>>().join(",")
}

/// Elements per task: enough output rows that neighbours find each other's cache lines.
const CHUNK: usize = 1 << 16;

struct Kernel {
    dtype: DType,
    output: Shape,
    /// Size and element stride in the input of each axis of the output.
    axes: Vec<(Dim, usize)>,
}

impl CpuKernel for Kernel {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        self.output.elements(live.rows).div_ceil(CHUNK)
    }

    fn split(&self, _phase: usize, _operand: Operand, _live: &Live) -> Split {
        Split::Chunks(CHUNK)
    }

    fn run(&self, _phase: usize, task: usize, live: &Live, io: &mut TaskIo<'_>) {
        let first = task * CHUNK;
        match self.dtype {
            DType::U32 => {
                let (input, target) = (io.input_u32(0), io.output_u32(0));
                simd::dispatch(Move { axes: &self.axes, rows: live.rows, first, input, target });
            }
            _ => {
                let (input, target) = (io.input(0), io.output(0));
                simd::dispatch(Move { axes: &self.axes, rows: live.rows, first, input, target });
            }
        }
    }
}

/// Fills `target`, which begins at element `first` of the output, run by run along the last axis.
struct Move<'a, T> {
    axes: &'a [(Dim, usize)],
    rows: usize,
    first: usize,
    input: &'a [T],
    target: &'a mut [T],
}

impl<T: Copy> simd::Vectorised for Move<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Move { axes, rows, first, input, mut target } = self;
        let Some((&(last, stride), outer)) = axes.split_last() else {
            return target.copy_from_slice(input);
        };
        let size = last.size(rows);
        let (mut run, mut skip) = (first / size, first % size);
        while !target.is_empty() {
            let (mut rest, mut at) = (run, skip * stride);
            for &(dim, stride) in outer.iter().rev() {
                let size = dim.size(rows);
                at += rest % size * stride;
                rest /= size;
            }
            let (piece, after) = target.split_at_mut((size - skip).min(target.len()));
            match stride {
                1 => piece.copy_from_slice(&input[at..][..piece.len()]),
                _ => {
                    for (y, &x) in piece.iter_mut().zip(input[at..].iter().step_by(stride)) {
                        *y = x;
                    }
                }
            }
            (target, run, skip) = (after, run + 1, 0);
        }
    }
}

impl Family for Transpose {
    const NAME: &'static str = "transpose";

    fn cases() -> Vec<Case> {
        let case = |axes: &[usize], shape, rows| {
            Case::new(Transpose { axes: axes.to_vec() }, vec![TensorType::f32(shape)], rows)
        };
        vec![
            case(&[0, 2, 1], Shape::rows(&[3, 5]), 2),
            case(&[0, 2, 1, 3], Shape::rows(&[3, 5, 7]), 2),
            case(&[0, 3, 2, 1], Shape::rows(&[2, 1, 3]), 3),
            case(&[0, 2, 1], Shape(vec![Dim::Rows(2), Dim::Fixed(131), Dim::Fixed(67)]), 5),
            case(&[2, 0, 1], Shape::fixed(&[2, 3, 5]), 1),
            case(&[0, 2, 1, 3], Shape::rows(&[3, 5, 8]), 2),
            case(&[0, 3, 2, 1], Shape::rows(&[17, 3, 33]), 2),
            case(&[1, 0], Shape::fixed(&[40, 33]), 1),
            case(&[0], Shape::rows(&[]), 3),
            case(&[], Shape::fixed(&[]), 1),
        ]
    }
}
