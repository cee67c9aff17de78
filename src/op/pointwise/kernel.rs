//! The fast CPU form: a program becomes a list of instructions over cache-sized chunks.
//!
//! Each instruction is one loop over a chunk of `CHUNK` elements, which the compiler vectorises for
//! the instruction set found at run time. Values that are the same for all elements (constants,
//! single-element operands and what is made of them alone) are computed once per task. Operands of
//! the output's shape are read in place; other operands are spread into a register first.

use super::Pointwise;
use super::loops::{Value, binary, select, unary};
use crate::cpu::simd;
use crate::op::expression::{Node, Program};
use crate::op::kernel::Shared;
use crate::op::{CallTypes, CpuKernel, Live, Operand, Split, TaskIo};
use crate::random;
use crate::tensor::{DType, Dim, Shape, TensorType};

/// Elements per register: registers of a usual program stay in the first-level cache.
const CHUNK: usize = 512;
/// Elements per task: some ten microseconds of work.
const TASK: usize = 32 * CHUNK;
/// Results of one program; fusion stops there.
pub(crate) const MAX_OUTPUTS: usize = 16;

/// Where an instruction finds a value.
#[derive(Clone, Copy, Debug)]
enum Place {
    Register(usize),
    Direct(usize),
    Scalar(usize),
}

#[derive(Clone, Copy, Debug)]
enum Instruction {
    Node(Node),
    Spread(usize),
}

#[derive(Debug)]
pub(super) struct PointwiseKernel {
    shape: Shape,
    inputs: Vec<Layout>,
    outputs: usize,
    program: Program,
    /// Where each node's value is.
    places: Vec<Place>,
    /// Nodes to compute once per task, in order.
    scalars: Vec<usize>,
    /// Instructions of a chunk, each with its register.
    code: Vec<(Instruction, usize)>,
    registers: usize,
}

impl PointwiseKernel {
    pub(super) fn new(op: &Pointwise, types: &CallTypes) -> Self {
        let shape = types.outputs[0].shape.clone();
        let mut kernel = PointwiseKernel {
            inputs: types.inputs.iter().map(|t| Layout::new(&t.shape, &shape)).collect(),
            outputs: op.program().outputs().len(),
            program: op.program().clone(),
            places: Vec::new(),
            scalars: Vec::new(),
            code: Vec::new(),
            registers: 0,
            shape,
        };
        kernel.assign(&types.inputs);
        kernel
    }

    /// Gives every node a place; registers are used again after a value's last reader.
    fn assign(&mut self, inputs: &[TensorType]) {
        let single = |t: &TensorType| t.shape.dims().iter().all(|d| *d == Dim::Fixed(1));
        let direct = |t: &TensorType| t.shape == self.shape && t.dtype == DType::F32;
        let nodes = self.program.nodes();
        let mut last_use = vec![0; nodes.len()];
        for (i, node) in nodes.iter().enumerate() {
            node.operands().for_each(|operand| last_use[operand] = i);
        }
        self.program.outputs().iter().for_each(|&output| last_use[output] = usize::MAX);
        let mut free: Vec<usize> = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            let scalar = match node {
                Node::Constant(_) => true,
                Node::Input(k) => inputs.get(*k).is_some_and(single),
                Node::Uniform(_) => false,
                other => other.operands().all(|o| matches!(self.places[o], Place::Scalar(_))),
            };
            if scalar {
                self.places.push(Place::Scalar(self.scalars.len()));
                self.scalars.push(i);
                continue;
            }
            // Updated outputs come after the inputs and are copied in, since they are overwritten.
            let instruction = match node {
                Node::Input(k) if inputs.get(*k).is_some_and(direct) => {
                    self.places.push(Place::Direct(*k));
                    continue;
                }
                Node::Input(k) => Instruction::Spread(*k),
                other => Instruction::Node(*other),
            };
            let register = free.pop().unwrap_or_else(|| {
                self.registers += 1;
                self.registers - 1
            });
            self.places.push(Place::Register(register));
            self.code.push((instruction, register));
            for operand in node.operands() {
                if let (Place::Register(r), true) = (self.places[operand], last_use[operand] == i)
                    && !free.contains(&r)
                {
                    free.push(r);
                }
            }
        }
    }

    fn elements(&self, live: &Live) -> usize {
        self.shape.elements(live.rows)
    }
}

impl CpuKernel for PointwiseKernel {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        self.elements(live).div_ceil(TASK)
    }

    fn split(&self, _phase: usize, _operand: Operand, _live: &Live) -> Split {
        Split::Chunks(TASK)
    }

    fn thread_scratch(&self) -> usize {
        self.registers * CHUNK + self.scalars.len()
    }

    fn run(&self, _phase: usize, task: usize, live: &Live, io: &mut TaskIo<'_>) {
        simd::dispatch(Task { kernel: self, task, live, io });
    }
}

struct Task<'a, 'b> {
    kernel: &'a PointwiseKernel,
    task: usize,
    live: &'a Live,
    io: &'a mut TaskIo<'b>,
}

impl simd::Vectorised for Task<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let Task { kernel, task, live, io } = self;
        let scratch = io.thread_scratch();
        let (registers, rest) = scratch.split_at_mut(kernel.registers * CHUNK);
        kernel.compute_scalars(io, rest);
        let mut pieces: [&mut [f32]; MAX_OUTPUTS] = std::array::from_fn(|_| &mut [][..]);
        for (j, piece) in pieces.iter_mut().enumerate().take(kernel.outputs) {
            *piece = io.output(j);
        }
        let length = pieces[0].len();
        for start in (0..length).step_by(CHUNK) {
            let chunk = Chunk { first: task * TASK + start, start, n: CHUNK.min(length - start) };
            kernel.compute(&chunk, live, io, registers, rest, &mut pieces);
        }
    }
}

/// Elements `first .. first + n` of the output; in the task's piece they begin at `start`.
struct Chunk {
    first: usize,
    start: usize,
    n: usize,
}

impl PointwiseKernel {
    #[inline(always)]
    fn compute_scalars(&self, io: &TaskIo<'_>, scalars: &mut [f32]) {
        let get = |scalars: &[f32], node: usize| match self.places[node] {
            Place::Scalar(s) => scalars[s],
            _ => f32::NAN,
        };
        for (slot, &i) in self.scalars.iter().enumerate() {
            let mut result = [0.0];
            match self.program.nodes()[i] {
                Node::Constant(c) => result[0] = c as f32,
                Node::Input(k) => {
                    result[0] = match io.input_any(k) {
                        Shared::F32(x) => x[0],
                        Shared::U32(x) => x[0] as f32,
                    }
                }
                Node::Unary(op, a) => unary(op, &[get(scalars, a)], &mut result),
                Node::Binary(op, a, b) => {
                    let [a, b] = [a, b].map(|o| Value::Scalar(get(scalars, o)));
                    binary(op, a, b, &mut result);
                }
                Node::Select(c, a, b) => {
                    let chosen = if get(scalars, c) != 0.0 { a } else { b };
                    result[0] = get(scalars, chosen);
                }
                Node::Uniform(_) => {}
            }
            scalars[slot] = result[0];
        }
    }

    /// Runs the instructions on one chunk and stores the results.
    #[inline(always)]
    fn compute(
        &self,
        chunk: &Chunk,
        live: &Live,
        io: &TaskIo<'_>,
        registers: &mut [f32],
        scalars: &[f32],
        pieces: &mut [&mut [f32]; MAX_OUTPUTS],
    ) {
        let n = chunk.n;
        for &(instruction, register) in &self.code {
            let (low, rest) = registers.split_at_mut(register * CHUNK);
            let (target, high) = rest.split_at_mut(CHUNK);
            let (target, low, high) = (&mut target[..n], &*low, &*high);
            let value = |node: usize| match self.places[node] {
                Place::Register(r) if r < register => Value::Slice(&low[r * CHUNK..][..n]),
                Place::Register(r) => Value::Slice(&high[(r - register - 1) * CHUNK..][..n]),
                place => self.outside(place, chunk, io, scalars),
            };
            match instruction {
                Instruction::Spread(k) if k < self.inputs.len() => {
                    self.spread(k, io, live, chunk.first, target);
                }
                Instruction::Spread(k) => {
                    let old = &pieces[k - self.inputs.len()][chunk.start..][..n];
                    target.copy_from_slice(old);
                }
                Instruction::Node(Node::Unary(op, a)) => {
                    if let Value::Slice(x) = value(a) {
                        unary(op, x, target);
                    }
                }
                Instruction::Node(Node::Binary(op, a, b)) => {
                    binary(op, value(a), value(b), target);
                }
                Instruction::Node(Node::Select(c, a, b)) => {
                    select(value(c), value(a), value(b), target);
                }
                Instruction::Node(Node::Uniform(stream)) => {
                    let first = chunk.first as u64;
                    random::fill_uniform(live.seed, stream, live.step, first, target);
                }
                Instruction::Node(Node::Input(_) | Node::Constant(_)) => {}
            }
        }
        for (j, &output) in self.program.outputs().iter().enumerate() {
            let target = &mut pieces[j][chunk.start..][..n];
            match self.places[output] {
                Place::Register(r) => target.copy_from_slice(&registers[r * CHUNK..][..n]),
                place => match self.outside(place, chunk, io, scalars) {
                    Value::Slice(x) => target.copy_from_slice(x),
                    Value::Scalar(x) => target.fill(x),
                },
            }
        }
    }

    /// A value that is not in a register.
    #[inline(always)]
    fn outside<'a>(
        &self,
        place: Place,
        chunk: &Chunk,
        io: &TaskIo<'a>,
        scalars: &[f32],
    ) -> Value<'a> {
        match place {
            Place::Direct(k) => Value::Slice(&io.input(k)[chunk.first..][..chunk.n]),
            Place::Scalar(s) => Value::Scalar(scalars[s]),
            Place::Register(_) => Value::Scalar(f32::NAN),
        }
    }

    /// Fills `target` with the elements of operand `k` that belong to the outputs' elements from
    /// `first` on, run by run along the last dimension.
    #[inline(always)]
    fn spread(&self, k: usize, io: &TaskIo<'_>, live: &Live, first: usize, target: &mut [f32]) {
        let layout = &self.inputs[k];
        let source = io.input_any(k);
        let mut at = first;
        let end = first + target.len();
        while at < end {
            let (offset, run) = layout.run(at, live.rows);
            let run = run.min(end - at);
            let piece = &mut target[at - first..][..run];
            match (source, layout.contiguous) {
                (Shared::F32(x), true) => piece.copy_from_slice(&x[offset..][..run]),
                (Shared::F32(x), false) => piece.fill(x[offset]),
                (Shared::U32(x), true) => {
                    for (o, &x) in piece.iter_mut().zip(&x[offset..]) {
                        *o = x as f32;
                    }
                }
                (Shared::U32(x), false) => piece.fill(x[offset] as f32),
            }
            at += run;
        }
    }
}

/// How an operand lies inside the output: sizes and strides of the output's dimensions, last first.
#[derive(Debug)]
struct Layout {
    dims: Vec<(Dim, Dim)>,
    contiguous: bool,
}

impl Layout {
    fn new(operand: &Shape, output: &Shape) -> Self {
        let missing = output.rank() - operand.rank();
        let dims: Vec<(Dim, Dim)> = (0..output.rank())
            .rev()
            .map(|i| {
                let own = if i < missing { Dim::Fixed(1) } else { operand.dims()[i - missing] };
                (output.dims()[i], own)
            })
            .collect();
        let contiguous = dims.first().is_none_or(|(all, own)| all == own);
        Layout { dims, contiguous }
    }

    /// Offset in the operand of the output's element `at`, and how many elements follow in the
    /// same run.
    #[inline(always)]
    fn run(&self, at: usize, rows: usize) -> (usize, usize) {
        let (mut rest, mut offset, mut stride, mut run) = (at, 0, 1, 1);
        for (i, (all, own)) in self.dims.iter().enumerate() {
            let (all, own) = (all.size(rows), own.size(rows));
            let index = rest % all;
            rest /= all;
            if own != 1 {
                offset += index * stride;
            }
            if i == 0 {
                run = all - index;
            }
            stride *= own;
        }
        (offset, run)
    }
}
