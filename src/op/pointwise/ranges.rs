//! Outputs cut into ranges, with operands that have one element for each: one step updates several
//! groups of parameters, each by scalars of its own.

use super::interpreter::{Area, MAX_OUTPUTS};
use super::kernel::PointwiseKernel;
use super::{Expr, Pointwise};
use crate::cpu::tile::TileMut;
use crate::op::kernel::{Buffers, Piece, Shared};
use crate::op::{CallTypes, Case, CpuKernel, Live, OpError, Operand, ReferenceCall, Split, TaskIo};
use crate::tensor::{Shape, TensorType};

/// Where ranges may end: vector loads of any device lie within one.
const UNIT: usize = 64;

impl Pointwise {
    /// Cuts the outputs, which are vectors, into ranges that end at these elements, multiples of 64,
    /// the last at their end. An operand with as many elements as there are ranges has one for each.
    /// Such a step has no derivative.
    pub fn in_ranges(self, ends: &[usize]) -> Self {
        // A single range has what all elements have.
        let ranges = if ends.len() > 1 { ends.to_vec() } else { vec![] };
        Pointwise { ranges, ..self }
    }

    /// Where the ranges end; none where all elements have the same operands.
    pub fn ranges(&self) -> &[usize] {
        &self.ranges
    }

    /// Whether outputs are made of inputs alone, the same everywhere.
    pub(crate) fn is_pure(&self) -> bool {
        self.updates == 0 && self.ranges.is_empty()
    }

    /// Whether an operand has one element for each range.
    pub(super) fn is_by_range(&self, ty: &TensorType) -> bool {
        !self.ranges.is_empty() && ty.shape == Shape::fixed(&[self.ranges.len()])
    }

    /// The types of inputs as a single range sees them.
    pub(super) fn within_range(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        let seen = |ty: &TensorType| match self.is_by_range(ty) {
            true => TensorType { shape: Shape::fixed(&[1]), ..ty.clone() },
            false => ty.clone(),
        };
        inputs.iter().map(seen).collect()
    }

    pub(super) fn check_ranges(&self, shape: &Shape) -> Result<(), OpError> {
        let Some((last, ends)) = self.ranges.split_last() else { return Ok(()) };
        let rising = self.ranges.is_sorted_by(|a, b| a < b);
        let aligned = ends.iter().all(|end| *end > 0 && end.is_multiple_of(UNIT));
        match rising && aligned && *shape == Shape::fixed(&[*last]) {
            true => Ok(()),
            false => Err(OpError(format!(
                "ranges end at {:?}; they must rise by multiples of {UNIT} to the end of {shape}, \
                 a vector of known length",
                self.ranges
            ))),
        }
    }

    /// Operands that have one element for each range, with that of its range at each element.
    pub(super) fn spread(&self, call: &ReferenceCall<'_>) -> Vec<Option<Vec<f64>>> {
        let elements: usize = call.output_sizes(0).iter().product();
        let range = |element| self.ranges.iter().filter(|end| **end <= element).count();
        let spread = |x: &[f64]| (0..elements).map(|element| x[range(element)]).collect();
        let operands = call.types.inputs.iter().zip(&call.inputs);
        operands.map(|(ty, x)| self.is_by_range(ty).then(|| spread(x))).collect()
    }
}

/// The fast CPU form: the tasks are those of a step without ranges; each goes through the ranges that
/// it has elements of.
#[derive(Debug)]
pub(super) struct RangesKernel {
    /// The step as a single range sees it.
    step: PointwiseKernel,
    ends: Vec<usize>,
    /// The inputs that have one element for each range.
    by_range: Vec<bool>,
}

impl RangesKernel {
    pub(super) fn new(op: &Pointwise, types: &CallTypes) -> Self {
        let (inputs, outputs) = (op.within_range(&types.inputs), types.outputs.clone());
        RangesKernel {
            step: PointwiseKernel::new(op, &CallTypes { inputs, outputs }),
            ends: op.ranges.clone(),
            by_range: types.inputs.iter().map(|ty| op.is_by_range(ty)).collect(),
        }
    }
}

impl CpuKernel for RangesKernel {
    fn tasks(&self, phase: usize, live: &Live) -> usize {
        self.step.tasks(phase, live)
    }

    fn split(&self, phase: usize, operand: Operand, live: &Live) -> Split {
        self.step.split(phase, operand, live)
    }

    fn follows(&self) -> Option<usize> {
        self.step.follows()
    }

    fn thread_scratch(&self) -> usize {
        self.step.thread_scratch()
    }

    fn run(&self, phase: usize, task: usize, live: &Live, io: &mut TaskIo<'_>) {
        let Split::Chunks(chunk) = self.split(phase, Operand::Output(0), live) else {
            unreachable!("invariant: a pointwise step is split into chunks")
        };
        let PointwiseKernel { outputs, interpreter, .. } = &self.step;
        let scratch = io.thread_scratch();
        let mut left: [&mut [f32]; MAX_OUTPUTS] = std::array::from_fn(|_| &mut [][..]);
        for (j, piece) in left.iter_mut().enumerate().take(*outputs) {
            *piece = io.output(j);
        }
        let mut first = task * chunk;
        for (range, end) in self.ends.iter().enumerate().filter(|(_, end)| **end > task * chunk) {
            let length = left[0].len().min(end - first);
            if length == 0 {
                break;
            }
            let inputs = InRange { io, by_range: &self.by_range, range };
            let io = TaskIo::new(&inputs, &mut []);
            interpreter.prepare(&io, scratch);
            let mut tiles: [_; MAX_OUTPUTS] = std::array::from_fn(|_| TileMut::empty());
            for (tile, piece) in tiles.iter_mut().zip(&mut left).take(*outputs) {
                let (part, rest) = std::mem::take(piece).split_at_mut(length);
                (*tile, *piece) = (TileMut::new(part, 1, length, length), rest);
            }
            let area = Area { first, stride: 0 };
            interpreter.run(area, live, &io, scratch, &mut tiles[..*outputs]);
            first += length;
        }
    }
}

/// Inputs as a single range sees them.
struct InRange<'a, 'b> {
    io: &'a TaskIo<'b>,
    by_range: &'a [bool],
    range: usize,
}

impl Buffers for InRange<'_, '_> {
    fn input(&self, i: usize) -> Shared<'_> {
        let one = self.range..self.range + 1;
        match self.io.input_any(i) {
            Shared::F32(x) if self.by_range[i] => Shared::F32(&x[one]),
            Shared::U32(x) if self.by_range[i] => Shared::U32(&x[one]),
            all => all,
        }
    }

    fn piece(&self, operand: Operand) -> Piece<'_> {
        unreachable!("invariant: the task has {operand:?} already")
    }
}

/// Three ranges, of which the second begins and ends in the middle of a task.
pub(super) fn case() -> Case {
    let (x, y, z) = (Expr::input(0), Expr::input(1), Expr::input(2));
    let op = Pointwise::new(3, &(x * y + z)).with_shape(Shape::fixed(&[8419]));
    let inputs = [8419, 3, 1].map(|n| TensorType::f32(Shape::fixed(&[n])));
    Case::new(op.in_ranges(&[64, 8256, 8419]), inputs.to_vec(), 1).gradients(&[], &[])
}
