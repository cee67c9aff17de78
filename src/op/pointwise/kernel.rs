//! The fast CPU form: ranges of elements, each through the [`Interpreter`].

use super::Pointwise;
use super::interpreter::{Area, Interpreter, MAX_OUTPUTS, Source};
use crate::cpu::tile::TileMut;
use crate::op::{CallTypes, CpuKernel, Live, Operand, Split, TaskIo};
use crate::tensor::Shape;

/// Most and fewest elements of a task: from one to some ten microseconds of work.
const MOST: usize = 16 * 1024;
const FEWEST: usize = 1024;
/// Enough tasks for eight threads to end at about the same time.
const TASKS: usize = 16;

#[derive(Debug)]
pub(super) struct PointwiseKernel {
    shape: Shape,
    pub(super) outputs: usize,
    pub(super) interpreter: Interpreter,
}

impl PointwiseKernel {
    pub(super) fn new(op: &Pointwise, types: &CallTypes) -> Self {
        let shape = types.outputs[0].shape.clone();
        let inputs = types.inputs.iter().enumerate();
        let mut sources: Vec<_> = inputs.map(|(i, ty)| Source::Input(i, ty.clone())).collect();
        sources.extend((0..op.updates()).map(Source::Old));
        let interpreter = Interpreter::new(op.program(), &sources, &shape);
        PointwiseKernel { shape, outputs: op.program().outputs().len(), interpreter }
    }
}

impl PointwiseKernel {
    /// Elements per task.
    fn task(&self, live: &Live) -> usize {
        let share = self.shape.elements(live.rows).div_ceil(TASKS);
        share.next_multiple_of(FEWEST).clamp(FEWEST, MOST)
    }
}

impl CpuKernel for PointwiseKernel {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        self.shape.elements(live.rows).div_ceil(self.task(live))
    }

    fn split(&self, _phase: usize, _operand: Operand, live: &Live) -> Split {
        Split::Chunks(self.task(live))
    }

    fn thread_scratch(&self) -> usize {
        self.interpreter.scratch()
    }

    fn run(&self, _phase: usize, task: usize, live: &Live, io: &mut TaskIo<'_>) {
        let scratch = io.thread_scratch();
        self.interpreter.prepare(io, scratch);
        let mut tiles: [_; MAX_OUTPUTS] = std::array::from_fn(|_| TileMut::empty());
        for (j, tile) in tiles.iter_mut().enumerate().take(self.outputs) {
            let piece = io.output(j);
            let length = piece.len();
            *tile = TileMut::new(piece, 1, length, length);
        }
        let area = Area { first: task * self.task(live), stride: 0 };
        self.interpreter.run(area, live, io, scratch, &mut tiles[..self.outputs]);
    }
}
