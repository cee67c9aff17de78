//! Runs a program over elements of an output: a list of instructions over chunks in the first-level
//! cache.
//!
//! Each instruction is one loop over a chunk, vectorised for the instruction set found at run time;
//! meanwhile the next chunk's elements come from memory. Values that are the same for all elements
//! (constants, single-element operands and what is made of them alone) are computed once per task. Operands are read in place where a chunk's elements lie together, else they are
//! copied first; outputs are read and written in place.

#![allow(unsafe_code)]

use super::code::{Code, Instruction, Parts, Place, Work, parts};
use super::formula::{self, RESULTS};
use super::layout::Layout;
use super::loops::{LANES, Operand, binary, copy, pair, select, unary};
use crate::cpu::simd;
use crate::cpu::tile::TileMut;
use crate::op::expression::{Node, Program};
use crate::op::kernel::Shared;
use crate::op::{Live, TaskIo};
use crate::random;
use crate::tensor::{Dim, Shape, TensorType};

/// Elements per register.
const CHUNK: usize = 256;
/// Results of one program; fusion stops there.
pub(crate) const MAX_OUTPUTS: usize = 16;
/// Operands that are read in place; any further ones are copied.
const IN_PLACE: usize = 16;
/// Elements of an output from which on it may still be in memory, and is asked for ahead.
const FAR: usize = 1 << 16;

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

/// A place as the memory that it begins in, an index into a chunk's [`Bases`], how far from there,
/// and how far its groups of elements are from each other.
#[derive(Clone, Copy, Debug)]
struct At {
    base: usize,
    offset: usize,
    step: usize,
}

/// Where the scratch begins, the row's elements of each operand that is read in place, and those
/// of each output.
type Bases = [*mut f32; 1 + IN_PLACE + MAX_OUTPUTS];

#[derive(Debug)]
pub(crate) struct Interpreter {
    sources: Vec<(Source, Layout)>,
    nodes: Vec<Node>,
    /// Nodes that are the same for all elements, in order.
    scalars: Vec<usize>,
    /// Those that choose the code.
    conditions: Vec<usize>,
    codes: Vec<Code<At>>,
    registers: usize,
    outputs: usize,
    shape: Shape,
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
        assert!(program.outputs().len() <= MAX_OUTPUTS, "invariant: fusion keeps to the limit");
        let Parts { scalars, conditions, codes } = parts(program, single, old);
        let registers = codes.iter().map(|code| code.registers).max().unwrap_or(0);
        let (operands, outputs, slots) = (sources.len(), program.outputs().len(), scalars.len());
        // `execute` goes by these places unchecked.
        let at = |base, offset| At { base, offset, step: LANES };
        let place = |place: Place| match place {
            Place::Register(r) if r < registers => at(0, r * CHUNK),
            Place::Operand(k) if k < IN_PLACE.min(operands) => at(1 + k, 0),
            Place::Operand(k) if k < operands => at(0, (registers + k) * CHUNK),
            Place::Output(j) if j < outputs => at(1 + IN_PLACE + j, 0),
            Place::Scalar(s) if s < slots => {
                At { step: 0, ..at(0, (registers + operands) * CHUNK + s * LANES) }
            }
            other => unreachable!("invariant: a program has no {other:?}"),
        };
        let resolve = |code: Code<Place>| Code {
            instructions: code.instructions.iter().map(|i| i.map(place)).collect(),
            operands: code.operands,
            registers: code.registers,
        };
        Interpreter {
            sources: sources.iter().map(|s| (s.clone(), layout(s))).collect(),
            nodes: program.nodes().to_vec(),
            scalars,
            conditions,
            codes: codes.into_iter().map(resolve).collect(),
            registers,
            outputs,
            shape: shape.clone(),
        }
    }

    /// Floats of scratch that [`Interpreter::prepare`] and [`Interpreter::run`] share: a chunk for
    /// each register and copied operand, a group for each scalar.
    pub(crate) fn scratch(&self) -> usize {
        (self.registers + self.sources.len()) * CHUNK + self.scalars.len() * LANES
    }

    /// Computes the values that are the same for all elements, once per task.
    pub(crate) fn prepare(&self, io: &TaskIo<'_>, scratch: &mut [f32]) {
        let scalars = self.scalars_mut(scratch);
        for (slot, &i) in self.scalars.iter().enumerate() {
            let (known, rest) = scalars.split_at_mut(slot * LANES);
            let value = |node: usize| Operand {
                start: known[self.slot(node) * LANES..][..LANES].as_ptr(),
                step: 0,
            };
            let result = &mut rest[..LANES];
            let targets = &[result.as_mut_ptr(); RESULTS];
            // SAFETY: all are groups, and the result is behind those that are read.
            unsafe {
                match self.nodes[i] {
                    Node::Constant(c) => result.fill(c as f32),
                    Node::Input(k) => result.fill(match self.input(k, io) {
                        Shared::F32(x) => x[0],
                        Shared::U32(x) => x[0] as f32,
                    }),
                    Node::Unary(op, a) => unary(op, value(a), targets, LANES),
                    Node::Binary(op, a, b) => binary(op, [value(a), value(b)], targets, LANES),
                    Node::Select(c, a, b) => {
                        select([value(c), value(a), value(b)], targets, LANES);
                    }
                    Node::Uniform(_) => {}
                }
            }
        }
    }

    /// Where a chunk of operand `k` is copied to in the scratch.
    fn copied(&self, k: usize) -> usize {
        (self.registers + k) * CHUNK
    }

    fn scalars_mut<'a>(&self, scratch: &'a mut [f32]) -> &'a mut [f32] {
        &mut scratch[(self.registers + self.sources.len()) * CHUNK..]
    }

    /// A node's place among the scalars.
    fn slot(&self, node: usize) -> usize {
        self.scalars.binary_search(&node).expect("invariant: scalars are made of scalars")
    }

    /// The code for the conditions' outcomes in this task.
    fn code(&self, scratch: &mut [f32]) -> &Code<At> {
        let scalars = self.scalars_mut(scratch);
        let is_set = |node: usize| scalars[self.slot(node) * LANES] != 0.0;
        let bits = self.conditions.iter().enumerate().map(|(i, c)| usize::from(is_set(*c)) << i);
        &self.codes[bits.sum::<usize>()]
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
        let (rows, columns) = (tiles[0].rows(), tiles[0].columns());
        assert!(tiles.iter().all(|t| (t.rows(), t.columns()) == (rows, columns)));
        assert!(tiles.len() == self.outputs && scratch.len() >= self.scratch());
        let code = self.code(scratch);
        if rows * columns == 0 {
            return;
        }
        let layout = |k: usize| &self.sources[k].1;
        let near = || code.operands.iter().copied().filter(|k| *k < IN_PLACE);
        let mut inputs = [Rows::Scattered(Shared::F32(&[])); IN_PLACE];
        for k in near() {
            let size = (rows, columns);
            inputs[k] = Rows::new(self.input(k, io), layout(k), area, size, live.rows);
        }
        let far = self.shape.elements(live.rows) >= FAR;
        let mut found: [Option<&[f32]>; IN_PLACE] = [None; IN_PLACE];
        let mut bases: Bases = [std::ptr::null_mut(); _];
        for row in 0..rows {
            let first = area.first + row * area.stride;
            for k in near() {
                found[k] = inputs[k].of(layout(k), (row, first, columns), live.rows);
            }
            // One loop that finds and leaves everything in place has no use for chunks.
            let in_place =
                || code.operands.iter().all(|k| found.get(*k).is_some_and(|x| x.is_some()));
            let whole = code.instructions.len() == 1 && code.registers == 0 && in_place();
            let chunk = if whole { columns } else { CHUNK };
            for start in (0..columns).step_by(chunk) {
                let n = chunk.min(columns - start);
                let end = if far { columns.min(start + 2 * n) } else { start + n };
                let next = start + n..end;
                for &k in &code.operands {
                    if let Some(x) = found.get(k).copied().flatten() {
                        simd::prefetch(&x[next.clone()]);
                        bases[1 + k] = x[start..][..n].as_ptr().cast_mut();
                        continue;
                    }
                    let copy = &mut scratch[self.copied(k)..][..n];
                    spread(layout(k), self.input(k, io), live.rows, first + start, copy);
                    if k < IN_PLACE {
                        bases[1 + k] = copy.as_mut_ptr();
                    }
                }
                for (base, tile) in bases[1 + IN_PLACE..].iter_mut().zip(&mut *tiles) {
                    let row = tile.row_mut(row);
                    simd::prefetch(&row[next.clone()]);
                    *base = row[start..][..n].as_mut_ptr();
                }
                bases[0] = scratch.as_mut_ptr();
                // SAFETY: the scratch has its size; of operands and outputs there are `n` elements,
                // as the slices above have checked, and outputs are exclusive tiles.
                unsafe { execute(code, &bases, n, live, (first + start) as u64) };
            }
        }
    }

    /// The whole of an input of the step.
    fn input<'a>(&self, k: usize, io: &TaskIo<'a>) -> Shared<'a> {
        match &self.sources[k].0 {
            Source::Input(i, _) => io.input_any(*i),
            Source::Old(_) => Shared::F32(&[]),
        }
    }
}

/// Where the rows of an area lie in an operand.
#[derive(Clone, Copy)]
enum Rows<'a> {
    /// The first one's elements are these, the next ones' `step` further each.
    Regular(&'a [f32], usize),
    /// Each has to be looked for.
    Scattered(Shared<'a>),
}

impl<'a> Rows<'a> {
    fn new(
        input: Shared<'a>,
        layout: &Layout,
        area: Area,
        size: (usize, usize),
        rows: usize,
    ) -> Self {
        let (height, columns) = size;
        let (offset, run) = layout.run(area.first, rows);
        match (input, layout.step(area.stride)) {
            (Shared::F32(x), Some(step)) if layout.contiguous && run >= columns => {
                Rows::Regular(&x[offset..][..(height - 1) * step + columns], step)
            }
            _ => Rows::Scattered(input),
        }
    }

    /// The elements of a row, if they lie together; a chunk's are copied otherwise.
    fn of(
        self,
        layout: &Layout,
        (row, first, columns): (usize, usize, usize),
        rows: usize,
    ) -> Option<&'a [f32]> {
        match self {
            Rows::Regular(x, step) => Some(&x[row * step..][..columns]),
            Rows::Scattered(Shared::F32(x)) if layout.contiguous => {
                let (offset, run) = layout.run(first, rows);
                (run >= columns).then(|| &x[offset..][..columns])
            }
            Rows::Scattered(_) => None,
        }
    }
}

/// Runs the instructions on a chunk of `n` elements, the first of which is the output's element
/// `first`.
///
/// # Safety
/// The bases of the operands that are read have `n` elements, those of the outputs are nobody
/// else's, and the scratch is as large as the interpreter says.
unsafe fn execute(code: &Code<At>, bases: &Bases, n: usize, live: &Live, first: u64) {
    for Instruction { work, operands, targets } in &code.instructions {
        // SAFETY: `n` elements are there, or a group that all are like, as the caller promises.
        let start = |at: &At| unsafe { bases[at.base].add(at.offset) };
        let read = |i: usize| Operand { start: start(&operands[i]), step: operands[i].step };
        let to = &std::array::from_fn(|i| start(&targets[i]));
        // SAFETY: as above. Operands and targets are whole chunks, or the same one.
        unsafe {
            match *work {
                Work::Copy => copy(read(0), to, n),
                Work::Unary(op) => unary(op, read(0), to, n),
                Work::Binary(op) => binary(op, [read(0), read(1)], to, n),
                Work::Pair(first, second, swapped) => {
                    pair((first, second, swapped), [read(0), read(1), read(2)], to, n);
                }
                Work::Select => select([read(0), read(1), read(2)], to, n),
                Work::Formula(formula) => {
                    formula::run(formula, read, to, n);
                }
                Work::Uniform(stream) => {
                    let out = std::slice::from_raw_parts_mut(to[0], n);
                    random::fill_uniform(live.seed, stream, live.step, first, out);
                }
            }
        }
    }
}

/// Fills `target` with an operand's elements that belong to the output's elements from `first`
/// on, run by run.
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
