//! Runs a program over elements of an output: a list of instructions over cache-sized chunks.
//!
//! Each instruction is one loop over a chunk of `CHUNK` elements, which the compiler vectorises for
//! the instruction set found at run time. Values that are the same for all elements (constants,
//! single-element operands and what is made of them alone) are computed once per task. Operands of
//! the output's shape are read in place; other operands are spread into a register first.

use super::layout::Layout;
use super::loops::{Value, binary, select, unary};
use crate::cpu::simd;
use crate::cpu::tile::TileMut;
use crate::op::expression::{Node, Program};
use crate::op::kernel::Shared;
use crate::op::{Live, TaskIo};
use crate::random;
use crate::tensor::{DType, Dim, Shape, TensorType};

/// Elements per register: registers of a usual program stay in the first-level cache.
const CHUNK: usize = 512;
/// Results of one program; fusion stops there.
pub(crate) const MAX_OUTPUTS: usize = 16;

/// Where an operand of the program comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// An input of the step, broadcast to the output.
    Input(usize, TensorType),
    /// What an output holds before it is written.
    Old(usize),
}

/// Which elements of the output the rows of some tiles are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    /// The first element.
    pub(crate) first: usize,
    /// Elements from the start of a row to the start of the next.
    pub(crate) stride: usize,
}

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
    /// Operand `i` of the program into a register.
    Load(usize),
}

#[derive(Debug)]
pub(crate) struct Interpreter {
    sources: Vec<(Source, Layout)>,
    program: Program,
    /// Where each node's value is.
    places: Vec<Place>,
    /// Nodes to compute once per task, in order.
    scalars: Vec<usize>,
    /// Instructions of a chunk, each with its register.
    code: Vec<(Instruction, usize)>,
    registers: usize,
}

impl Interpreter {
    /// Prepares a program whose results have this shape.
    pub(crate) fn new(program: &Program, sources: &[Source], shape: &Shape) -> Self {
        let layout = |source: &Source| match source {
            Source::Input(_, ty) => Layout::new(&ty.shape, shape),
            Source::Old(_) => Layout::new(shape, shape),
        };
        let mut interpreter = Interpreter {
            sources: sources.iter().map(|s| (s.clone(), layout(s))).collect(),
            program: program.clone(),
            places: Vec::new(),
            scalars: Vec::new(),
            code: Vec::new(),
            registers: 0,
        };
        interpreter.assign(shape);
        interpreter
    }

    /// Floats of scratch that [`Interpreter::prepare`] and [`Interpreter::run`] share.
    pub(crate) fn scratch(&self) -> usize {
        self.registers * CHUNK + self.scalars.len()
    }

    /// Gives every node a place; registers are used again after a value's last reader.
    fn assign(&mut self, shape: &Shape) {
        let single = |t: &TensorType| t.shape.dims().iter().all(|d| *d == Dim::Fixed(1));
        let direct = |t: &TensorType| t.shape == *shape && t.dtype == DType::F32;
        let nodes = self.program.nodes();
        let mut last_use = vec![0; nodes.len()];
        for (i, node) in nodes.iter().enumerate() {
            node.operands().for_each(|operand| last_use[operand] = i);
        }
        self.program.outputs().iter().for_each(|&output| last_use[output] = usize::MAX);
        let mut free: Vec<usize> = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            let input = |k: usize| match &self.sources[k].0 {
                Source::Input(i, ty) => Some((*i, ty)),
                Source::Old(_) => None,
            };
            let scalar = match node {
                Node::Constant(_) => true,
                Node::Input(k) => input(*k).is_some_and(|(_, ty)| single(ty)),
                Node::Uniform(_) => false,
                other => other.operands().all(|o| matches!(self.places[o], Place::Scalar(_))),
            };
            if scalar {
                self.places.push(Place::Scalar(self.scalars.len()));
                self.scalars.push(i);
                continue;
            }
            // Old elements of outputs are copied in, since they are overwritten.
            let instruction = match node {
                Node::Input(k) => match input(*k) {
                    Some((i, ty)) if direct(ty) => {
                        self.places.push(Place::Direct(i));
                        continue;
                    }
                    _ => Instruction::Load(*k),
                },
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

    /// Computes the values that are the same for all elements, once per task.
    pub(crate) fn prepare(&self, io: &TaskIo<'_>, scratch: &mut [f32]) {
        let scalars = &mut scratch[self.registers * CHUNK..];
        let get = |scalars: &[f32], node: usize| match self.places[node] {
            Place::Scalar(s) => scalars[s],
            _ => f32::NAN,
        };
        for (slot, &i) in self.scalars.iter().enumerate() {
            let mut result = [0.0];
            match self.program.nodes()[i] {
                Node::Constant(c) => result[0] = c as f32,
                Node::Input(k) => {
                    if let Source::Input(i, _) = self.sources[k].0 {
                        result[0] = match io.input_any(i) {
                            Shared::F32(x) => x[0],
                            Shared::U32(x) => x[0] as f32,
                        }
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

    /// Computes all elements of an area, one tile for each result.
    pub(crate) fn run(
        &self,
        area: Area,
        live: &Live,
        io: &TaskIo<'_>,
        scratch: &mut [f32],
        tiles: &mut [TileMut<'_>],
    ) {
        simd::dispatch(Run { interpreter: self, area, live, io, scratch, tiles });
    }
}

struct Run<'a, 'b, 'c> {
    interpreter: &'a Interpreter,
    area: Area,
    live: &'a Live,
    io: &'a TaskIo<'b>,
    scratch: &'a mut [f32],
    tiles: &'a mut [TileMut<'c>],
}

impl simd::Vectorised for Run<'_, '_, '_> {
    #[inline(always)]
    fn run(self) {
        let Run { interpreter, area, live, io, scratch, tiles } = self;
        let (registers, scalars) = scratch.split_at_mut(interpreter.registers * CHUNK);
        let (rows, columns) = (tiles[0].rows(), tiles[0].columns());
        for row in 0..rows {
            for start in (0..columns).step_by(CHUNK) {
                let n = CHUNK.min(columns - start);
                let chunk = Chunk { first: area.first + row * area.stride + start, row, start, n };
                interpreter.compute(&chunk, live, io, registers, scalars, tiles);
            }
        }
    }
}

/// Elements `first .. first + n` of the output; in a row of the tiles they begin at `start`.
struct Chunk {
    first: usize,
    row: usize,
    start: usize,
    n: usize,
}

impl Interpreter {
    /// Runs the instructions on one chunk and stores the results.
    #[inline(always)]
    fn compute(
        &self,
        chunk: &Chunk,
        live: &Live,
        io: &TaskIo<'_>,
        registers: &mut [f32],
        scalars: &[f32],
        tiles: &mut [TileMut<'_>],
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
                Instruction::Load(k) => match &self.sources[k] {
                    (Source::Input(i, _), layout) => {
                        spread(layout, io.input_any(*i), live.rows, chunk.first, target);
                    }
                    (Source::Old(j), _) => {
                        target.copy_from_slice(&tiles[*j].row(chunk.row)[chunk.start..][..n]);
                    }
                },
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
        for (tile, &output) in tiles.iter_mut().zip(self.program.outputs()) {
            let target = &mut tile.row_mut(chunk.row)[chunk.start..][..n];
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
            Place::Direct(i) => Value::Slice(&io.input(i)[chunk.first..][..chunk.n]),
            Place::Scalar(s) => Value::Scalar(scalars[s]),
            Place::Register(_) => Value::Scalar(f32::NAN),
        }
    }
}

/// Fills `target` with an operand's elements that belong to the output's elements from `first`
/// on, run by run along the last dimension.
#[inline(always)]
fn spread(layout: &Layout, source: Shared<'_>, rows: usize, first: usize, target: &mut [f32]) {
    let mut at = first;
    let end = first + target.len();
    while at < end {
        let (offset, run) = layout.run(at, rows);
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
