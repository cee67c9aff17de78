//! Runs a program over elements of an output: a list of instructions over chunks in the first-level
//! cache.
//!
//! Each instruction is one loop over a chunk, which the compiler vectorises for the instruction set
//! found at run time. Chunks are short, so that the processor works on several instructions at a
//! time, and streams from memory flow evenly. Values that are the same for all elements (constants,
//! single-element operands and what is made of them alone) are computed once per task. Operands are
//! read in place where a chunk's elements lie together, old contents of outputs too, since results
//! are stored last; others are spread into a register first.

use super::code::{Code, Parts, Place, Target, Work, parts};
use super::layout::Layout;
use super::loops::{Value, add_to, binary, copy, select, subtract_from, unary};
use crate::cpu::simd;
use crate::cpu::tile::TileMut;
use crate::op::expression::{Node, Program};
use crate::op::kernel::Shared;
use crate::op::{Live, TaskIo};
use crate::random;
use crate::tensor::{Dim, Shape, TensorType};

/// Elements per register.
const CHUNK: usize = 128;
/// Results of one program; fusion stops there.
pub(crate) const MAX_OUTPUTS: usize = 16;
/// Operands that are read in place; any further ones are copied.
const IN_PLACE: usize = 16;

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

#[derive(Debug)]
pub(crate) struct Interpreter {
    sources: Vec<(Source, Layout)>,
    nodes: Vec<Node>,
    parts: Parts,
    registers: usize,
}

impl Interpreter {
    /// Prepares a program whose results have this shape.
    pub(crate) fn new(program: &Program, sources: &[Source], shape: &Shape) -> Self {
        let layout = |source: &Source| match source {
            Source::Input(_, ty) => Layout::new(&ty.shape, shape),
            Source::Old(_) => Layout::new(shape, shape),
        };
        let single = |k: usize| match &sources[k] {
            Source::Input(_, ty) => ty.shape.dims().iter().all(|d| *d == Dim::Fixed(1)),
            Source::Old(_) => false,
        };
        let old = |k: usize| match sources[k] {
            Source::Input(..) => None,
            Source::Old(j) => Some(j),
        };
        let parts = parts(program, single, old);
        Interpreter {
            sources: sources.iter().map(|s| (s.clone(), layout(s))).collect(),
            nodes: program.nodes().to_vec(),
            registers: parts.codes.iter().map(|code| code.registers).max().unwrap_or(0),
            parts,
        }
    }

    /// Floats of scratch that [`Interpreter::prepare`] and [`Interpreter::run`] share.
    pub(crate) fn scratch(&self) -> usize {
        (self.registers + self.sources.len()) * CHUNK + self.parts.scalars.len()
    }

    /// Scratch for registers, for operands, for scalars.
    fn divide<'a>(&self, scratch: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32], &'a mut [f32]) {
        let (registers, rest) = scratch.split_at_mut(self.registers * CHUNK);
        let (operands, scalars) = rest.split_at_mut(self.sources.len() * CHUNK);
        (registers, operands, scalars)
    }

    /// Computes the values that are the same for all elements, once per task.
    pub(crate) fn prepare(&self, io: &TaskIo<'_>, scratch: &mut [f32]) {
        let (_, _, scalars) = self.divide(scratch);
        for (slot, &i) in self.parts.scalars.iter().enumerate() {
            let (known, rest) = scalars.split_at_mut(slot);
            let value = |node: usize| Value::Scalar(known[self.slot(node)]);
            let result = &mut rest[..1];
            match self.nodes[i] {
                Node::Constant(c) => result[0] = c as f32,
                Node::Input(k) => {
                    if let Source::Input(i, _) = self.sources[k].0 {
                        result[0] = match io.input_any(i) {
                            Shared::F32(x) => x[0],
                            Shared::U32(x) => x[0] as f32,
                        }
                    }
                }
                Node::Unary(op, a) => unary(op, value(a), result),
                Node::Binary(op, a, b) => binary(op, value(a), value(b), result),
                Node::Select(c, a, b) => select(value(c), value(a), value(b), result),
                Node::Uniform(_) => {}
            }
        }
    }

    /// A node's place among the scalars.
    fn slot(&self, node: usize) -> usize {
        self.parts.scalars.binary_search(&node).expect("invariant: scalars are made of scalars")
    }

    /// The code for the conditions' outcomes in this task.
    fn code(&self, scalars: &[f32]) -> &Code {
        let conditions = self.parts.conditions.iter().enumerate();
        let bits = conditions.map(|(i, c)| usize::from(scalars[self.slot(*c)] != 0.0) << i);
        &self.parts.codes[bits.sum::<usize>()]
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

    /// The whole of an input of the step.
    fn input<'a>(&self, k: usize, io: &TaskIo<'a>) -> Shared<'a> {
        match &self.sources[k].0 {
            Source::Input(i, _) => io.input_any(*i),
            Source::Old(_) => Shared::F32(&[]),
        }
    }

    /// Finds the operands whose elements of a row lie together.
    #[inline(always)]
    fn find<'a>(
        &self,
        code: &Code,
        (first, columns): (usize, usize),
        rows: usize,
        inputs: &[Shared<'a>; IN_PLACE],
        in_place: &mut [&'a [f32]; IN_PLACE],
    ) {
        for &k in code.operands.iter().filter(|k| **k < IN_PLACE) {
            let layout = &self.sources[k].1;
            let (offset, run) = layout.run(first, rows);
            in_place[k] = match inputs[k] {
                Shared::F32(x) if layout.contiguous && run >= columns => &x[offset..][..columns],
                _ => &[],
            };
        }
    }

    /// Copies the elements of a chunk of all other operands.
    #[inline(always)]
    fn copy(
        &self,
        code: &Code,
        chunk: &Chunk<'_, '_>,
        io: &TaskIo<'_>,
        inputs: &[Shared<'_>; IN_PLACE],
        copies: &mut [f32],
    ) {
        for &k in &code.operands {
            if chunk.in_place.get(k).is_none_or(|x| x.is_empty()) {
                let input = if k < IN_PLACE { inputs[k] } else { self.input(k, io) };
                let copy = &mut copies[k * CHUNK..][..chunk.n];
                spread(&self.sources[k].1, input, chunk.live.rows, chunk.first, copy);
            }
        }
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
        let (registers, copies, scalars) = interpreter.divide(scratch);
        let code = interpreter.code(scalars);
        let mut inputs = [Shared::F32(&[]); IN_PLACE];
        for &k in code.operands.iter().filter(|k| **k < IN_PLACE) {
            inputs[k] = interpreter.input(k, io);
        }
        let mut in_place: [&[f32]; IN_PLACE] = [&[]; IN_PLACE];
        let (rows, columns) = (tiles[0].rows(), tiles[0].columns());
        for row in 0..rows {
            let first = area.first + row * area.stride;
            interpreter.find(code, (first, columns), live.rows, &inputs, &mut in_place);
            for start in (0..columns).step_by(CHUNK) {
                let n = CHUNK.min(columns - start);
                let in_place = &in_place;
                let chunk = Chunk { first: first + start, row, start, n, live, in_place, scalars };
                interpreter.copy(code, &chunk, io, &inputs, copies);
                chunk.compute(code, copies, registers, tiles);
                chunk.store(code, registers, tiles);
            }
        }
    }
}

/// Elements `first .. first + n` of the output; in a row of the tiles they begin at `start`.
struct Chunk<'a, 'b> {
    first: usize,
    row: usize,
    start: usize,
    n: usize,
    live: &'a Live,
    /// Rows of operands; empty where they are copied.
    in_place: &'a [&'b [f32]; IN_PLACE],
    scalars: &'a [f32],
}

/// All that an instruction may read, in two parts around the one that it writes.
struct Around<'a, 'b> {
    registers: [&'a [f32]; 2],
    tiles: [&'a [TileMut<'b>]; 2],
    copies: &'a [f32],
}

impl Chunk<'_, '_> {
    /// Runs the instructions.
    #[inline(always)]
    fn compute(
        &self,
        code: &Code,
        copies: &[f32],
        registers: &mut [f32],
        tiles: &mut [TileMut<'_>],
    ) {
        for &(work, target) in &code.instructions {
            let (target, around) = match target {
                Target::Register(r) => {
                    let (low, rest) = registers.split_at_mut(r * CHUNK);
                    let (target, high) = rest.split_at_mut(CHUNK);
                    let registers = [&*low, &*high];
                    (&mut target[..self.n], Around { registers, tiles: [&*tiles, &[]], copies })
                }
                Target::Output(j) => {
                    let (low, rest) = tiles.split_at_mut(j);
                    let (tile, high) = rest.split_at_mut(1);
                    let target = &mut tile[0].row_mut(self.row)[self.start..][..self.n];
                    (target, Around { registers: [&*registers, &[]], tiles: [low, high], copies })
                }
            };
            match work {
                Work::Copy(x) => copy(self.value(x, &around), target),
                Work::Unary(op, x) => unary(op, self.value(x, &around), target),
                Work::Binary(op, x, y) => {
                    binary(op, self.value(x, &around), self.value(y, &around), target);
                }
                Work::AddTo(x) => add_to(self.value(x, &around), target),
                Work::SubtractFrom(x) => subtract_from(self.value(x, &around), target),
                Work::Select(c, x, y) => {
                    let [c, x, y] = [c, x, y].map(|place| self.value(place, &around));
                    select(c, x, y, target);
                }
                Work::Uniform(stream) => {
                    let Live { seed, step, .. } = *self.live;
                    random::fill_uniform(seed, stream, step, self.first as u64, target);
                }
            }
        }
    }

    #[inline(always)]
    fn value<'a>(&'a self, place: Place, around: &Around<'a, '_>) -> Value<'a> {
        let Around { registers: [low, high], tiles: [before, after], copies } = around;
        Value::Slice(match place {
            Place::Scalar(s) => return Value::Scalar(self.scalars[s]),
            Place::Register(r) => {
                let at = r * CHUNK;
                let part =
                    if at < low.len() { &low[at..] } else { &high[at - low.len() - CHUNK..] };
                &part[..self.n]
            }
            Place::Operand(k) => match self.in_place.get(k) {
                Some(x) if !x.is_empty() => &x[self.start..][..self.n],
                _ => &copies[k * CHUNK..][..self.n],
            },
            Place::Output(j) => {
                let j = if j < before.len() { &before[j] } else { &after[j - before.len() - 1] };
                &j.row(self.row)[self.start..][..self.n]
            }
        })
    }

    /// Stores the results that the instructions left elsewhere.
    #[inline(always)]
    fn store(&self, code: &Code, registers: &[f32], tiles: &mut [TileMut<'_>]) {
        for &(j, place) in &code.results {
            let (before, rest) = tiles.split_at_mut(j);
            let (tile, after) = rest.split_at_mut(1);
            let around =
                Around { registers: [registers, &[]], tiles: [before, after], copies: &[] };
            let target = &mut tile[0].row_mut(self.row)[self.start..][..self.n];
            copy(self.value(place, &around), target);
        }
    }
}

/// Fills `target` with an operand's elements that belong to the output's elements from `first`
/// on, run by run.
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
