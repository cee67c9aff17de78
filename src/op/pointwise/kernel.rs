//! The fast CPU form: ranges of elements, each through the [`Interpreter`].

use super::Pointwise;
use super::interpreter::{Area, Interpreter, MAX_OUTPUTS, Source};
use crate::cpu::tile::TileMut;
use crate::op::{CallTypes, CpuKernel, Live, Operand, Split, TaskIo};
use crate::tensor::Shape;

/// Elements of a task: some microseconds of work. Fewer would not be worth a meeting of threads.
const ELEMENTS: usize = 1 << 14;

#[derive(Debug)]
pub(super) struct PointwiseKernel {
    shape: Shape,
    pub(super) outputs: usize,
    pub(super) interpreter: Interpreter,
    /// The first input of the outputs' shape.
    follows: Option<usize>,
}

impl PointwiseKernel {
    pub(super) fn new(op: &Pointwise, types: &CallTypes) -> Self {
        let shape = types.outputs[0].shape.clone();
        let inputs = types.inputs.iter().enumerate();
        let mut sources: Vec<_> = inputs.map(|(i, ty)| Source::Input(i, ty.clone())).collect();
        sources.extend((0..op.updates()).map(Source::Old));
        let interpreter = Interpreter::new(op.program(), &sources, &shape);
        let follows = types.inputs.iter().position(|ty| ty.shape == shape);
        PointwiseKernel { shape, outputs: op.program().outputs().len(), interpreter, follows }
    }
}

impl CpuKernel for PointwiseKernel {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        self.shape.elements(live.rows).div_ceil(ELEMENTS)
    }

    fn follows(&self) -> Option<usize> {
        self.follows
    }

    fn split(&self, _phase: usize, _operand: Operand, _live: &Live) -> Split {
        Split::Chunks(ELEMENTS)
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
        let area = Area { first: task * ELEMENTS, stride: 0 };
        self.interpreter.run(area, live, io, scratch, &mut tiles[..self.outputs]);
    }
}
