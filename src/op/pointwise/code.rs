//! What the interpreter runs: a program's nodes with places for their values.
//!
//! A select whose condition is the same for all elements chooses code, not values: there is a list
//! of instructions for each outcome, in which the select is gone and what only the other branch
//! needs too. An optimizer's step that is not accepted so costs nothing.

use super::joined::{Joined, join};
use crate::op::expression::{Binary, Node, Program, Unary};

/// Most operands of an instruction.
pub(super) const OPERANDS: usize = 6;

/// Most conditions that choose the code; further ones choose values.
const CONDITIONS: usize = 3;

/// Where an instruction finds a value, and where it leaves one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// What an earlier instruction computed.
    Register(usize),
    /// Operand `k` of the program, an input of the step.
    Operand(usize),
    /// What an output holds: its old content, or its result once that is there.
    Output(usize),
    /// The same for all elements.
    Scalar(usize),
}

/// What a loop over a chunk computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Work {
    Copy,
    Unary(Unary),
    Binary(Binary),
    /// The second function of the first one's value and another.
    Pair(Binary, Binary),
    /// The target's own content plus a value.
    AddTo,
    /// The target's own content less a value.
    SubtractFrom,
    Select,
    Uniform(u32),
    /// Several of the above.
    Joined(Joined),
}

/// One loop over a chunk. The target is none of the operands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instruction<P> {
    pub(super) work: Work,
    /// As many as the work needs; the rest are of no meaning.
    pub(super) operands: [P; OPERANDS],
    pub(super) target: P,
}

impl<P: Copy> Instruction<P> {
    /// The same with other places.
    pub(super) fn map<Q>(&self, f: impl Fn(P) -> Q) -> Instruction<Q> {
        let target = f(self.target);
        Instruction { work: self.work, operands: self.operands.map(f), target }
    }
}

/// The instructions for one outcome of the conditions.
#[derive(Debug)]
pub(super) struct Code<P> {
    pub(super) instructions: Vec<Instruction<P>>,
    /// Operands that are read, each once.
    pub(super) operands: Vec<usize>,
    pub(super) registers: usize,
}

impl Code<Place> {
    fn push(&mut self, work: Work, [x, y, z]: [Place; 3], target: Place) {
        let operands = [x, y, z, x, x, x];
        self.instructions.push(Instruction { work, operands, target });
    }
}

/// A program's nodes by kind.
#[derive(Debug)]
pub(super) struct Parts {
    /// Nodes that are the same for all elements, in order.
    pub(super) scalars: Vec<usize>,
    /// Those that choose the code.
    pub(super) conditions: Vec<usize>,
    /// By the conditions' outcomes, the first in the lowest bit.
    pub(super) codes: Vec<Code<Place>>,
}

/// Sorts a program's nodes. `single` tells which operands have one element, `old` which one is the
/// old content of which output.
pub(super) fn parts(
    program: &Program,
    single: impl Fn(usize) -> bool,
    old: impl Fn(usize) -> Option<usize>,
) -> Parts {
    let nodes = program.nodes();
    let mut slots: Vec<Option<usize>> = Vec::new();
    let mut scalars = Vec::new();
    for (i, node) in nodes.iter().enumerate() {
        let scalar = match node {
            Node::Constant(_) => true,
            Node::Input(k) => single(*k),
            Node::Uniform(_) => false,
            other => other.operands().all(|o| slots[o].is_some()),
        };
        slots.push(scalar.then_some(scalars.len()));
        if scalar {
            scalars.push(i);
        }
    }
    let mut conditions = Vec::new();
    for (i, node) in nodes.iter().enumerate() {
        if let (Node::Select(c, ..), None) = (node, slots[i])
            && slots[*c].is_some()
            && !conditions.contains(c)
            && conditions.len() < CONDITIONS
        {
            conditions.push(*c);
        }
    }
    let writer = Writer { program, slots: &slots, conditions: &conditions, old };
    let codes = (0..1 << conditions.len()).map(|outcome| writer.code(outcome)).collect();
    Parts { scalars, conditions, codes }
}

struct Writer<'a, Old> {
    program: &'a Program,
    /// Place among the scalars of each node that is one.
    slots: &'a [Option<usize>],
    conditions: &'a [usize],
    old: Old,
}

impl<Old: Fn(usize) -> Option<usize>> Writer<'_, Old> {
    /// The node that stands for each one, selects with a known outcome being their branch.
    fn stand(&self, outcome: usize) -> Vec<usize> {
        let mut stand: Vec<usize> = Vec::new();
        for (i, node) in self.program.nodes().iter().enumerate() {
            stand.push(match *node {
                Node::Select(c, a, b) if self.slots[i].is_none() => {
                    match self.conditions.iter().position(|known| *known == c) {
                        Some(bit) => stand[if outcome >> bit & 1 == 1 { a } else { b }],
                        None => i,
                    }
                }
                _ => i,
            });
        }
        stand
    }

    fn code(&self, outcome: usize) -> Code<Place> {
        let nodes = self.program.nodes();
        let stand = self.stand(outcome);
        let results: Vec<usize> = self.program.outputs().iter().map(|&o| stand[o]).collect();
        // The last reader of each node, if there is one; results are read at the end.
        let mut last = vec![None; nodes.len()];
        results.iter().for_each(|&r| last[r] = Some(usize::MAX));
        for i in (0..nodes.len()).rev().filter(|&i| self.slots[i].is_none()) {
            if last[i].is_some() {
                nodes[i].operands().for_each(|o| last[stand[o]] = last[stand[o]].or(Some(i)));
            }
        }
        let code = Code { instructions: vec![], operands: vec![], registers: 0 };
        let mut draft = Draft { writer: self, stand, results, last, inner: vec![], code };
        draft.join();
        draft.write();
        draft.code.instructions = join(draft.code.instructions);
        draft.code
    }

    /// The output whose old content a node is.
    fn old(&self, node: usize) -> Option<usize> {
        match self.program.nodes()[node] {
            Node::Input(k) => (self.old)(k),
            _ => None,
        }
    }
}

struct Draft<'a, Old> {
    writer: &'a Writer<'a, Old>,
    stand: Vec<usize>,
    results: Vec<usize>,
    last: Vec<Option<usize>>,
    /// The node that each one computes on the way, so that it has no instruction of its own.
    inner: Vec<Option<usize>>,
    code: Code<Place>,
}

impl<Old: Fn(usize) -> Option<usize>> Draft<'_, Old> {
    /// Joins sums and products with the function that is their only reader.
    fn join(&mut self) {
        let nodes = self.writer.program.nodes();
        let live = |i: &usize| self.last[*i].is_some() && self.writer.slots[*i].is_none();
        let mut uses = vec![0; nodes.len()];
        let operands = (0..nodes.len()).filter(live).flat_map(|i| nodes[i].operands());
        operands.for_each(|o| uses[self.stand[o]] += 1);
        self.inner = vec![None; nodes.len()];
        for i in 0..nodes.len() {
            let joins = uses[i] == 1 && self.writer.slots[i].is_none() && self.inner[i].is_none();
            let (true, Some(reader)) = (joins, self.last[i].filter(|r| *r != usize::MAX)) else {
                continue;
            };
            let (Node::Binary(first, ..), Node::Binary(second, a, _)) = (nodes[i], nodes[reader])
            else {
                continue;
            };
            use Binary::{Add, Div, Mul, Sub};
            let fits = match second {
                Add | Mul => true,
                Sub | Div => self.stand[a] == i,
                _ => false,
            };
            if fits
                && matches!(first, Add | Sub | Mul)
                && self.inner[reader].is_none()
                && !self.in_place(i, reader)
            {
                self.inner[reader] = Some(i);
                for operand in nodes[i].operands().map(|o| self.stand[o]) {
                    self.last[operand] = self.last[operand].max(Some(reader));
                }
            }
        }
    }

    /// Whether the result of `reader` replaces what it or node `i` reads, which a single function
    /// may do in place.
    fn in_place(&self, i: usize, reader: usize) -> bool {
        let nodes = self.writer.program.nodes();
        let mut read = nodes[i].operands().chain(nodes[reader].operands());
        read.any(|o| {
            let old = self.writer.old(self.stand[o]);
            old.is_some_and(|j| self.results.get(j) == Some(&reader))
        })
    }

    fn write(&mut self) {
        let mut joined = vec![false; self.inner.len()];
        self.inner.iter().flatten().for_each(|&i| joined[i] = true);
        let mut places: Vec<Place> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        let nodes = self.writer.program.nodes();
        for (i, node) in nodes.iter().enumerate() {
            if let Some(slot) = self.writer.slots[i] {
                places.push(Place::Scalar(slot));
                continue;
            }
            if self.last[i].is_none() || joined[i] {
                // Nobody reads it, or its reader computes it.
                places.push(Place::Register(usize::MAX));
                continue;
            }
            if let (Node::Input(k), None) = (node, self.writer.old(i)) {
                self.code.operands.push(*k);
            }
            let (mut work, mut operands) = match self.work(i, &places) {
                Ok(work) => work,
                Err(place) => {
                    places.push(place);
                    continue;
                }
            };
            let target = match self.direct(i, &mut work, &mut operands) {
                Some(j) => Place::Output(j),
                None => Place::Register(free.pop().unwrap_or_else(|| {
                    self.code.registers += 1;
                    self.code.registers - 1
                })),
            };
            places.push(target);
            if let Work::Uniform(_) = work {
                operands = [target; 3];
            }
            self.code.push(work, operands, target);
            let inner = self.inner[i].into_iter().flat_map(|inner| nodes[inner].operands());
            let read = node.operands().chain(inner).map(|o| self.stand[o]);
            for operand in read.filter(|o| !joined[*o]) {
                if let (Place::Register(r), true) = (places[operand], self.last[operand] == Some(i))
                    && !free.contains(&r)
                {
                    free.push(r);
                }
            }
        }
        // Results that are elsewhere.
        for (j, &r) in self.results.iter().enumerate() {
            let (operands, target) = ([places[r]; 3], Place::Output(j));
            if places[r] != target {
                self.code.push(Work::Copy, operands, target);
            }
        }
    }

    /// What computes a node, earlier ones being in these places; or its place, if it is there.
    fn work(&self, i: usize, places: &[Place]) -> Result<(Work, [Place; 3]), Place> {
        let nodes = self.writer.program.nodes();
        let at = |o: usize| places[self.stand[o]];
        Ok(match nodes[i] {
            Node::Input(k) => {
                let place = self.writer.old(i).map_or(Place::Operand(k), Place::Output);
                if !self.moves(i) {
                    return Err(place);
                }
                (Work::Copy, [place; 3])
            }
            Node::Unary(op, a) => (Work::Unary(op), [at(a); 3]),
            Node::Binary(op, a, b) => match self.inner[i].map(|inner| (inner, nodes[inner])) {
                Some((inner, Node::Binary(first, x, y))) => {
                    let other = if self.stand[a] == inner { b } else { a };
                    (Work::Pair(first, op), [at(x), at(y), at(other)])
                }
                _ => (Work::Binary(op), [at(a), at(b), at(b)]),
            },
            Node::Select(c, a, b) => (Work::Select, [at(c), at(a), at(b)]),
            // It reads nothing.
            Node::Uniform(stream) => (Work::Uniform(stream), [Place::Register(0); 3]),
            Node::Constant(_) => unreachable!("invariant: constants are scalars"),
        })
    }

    /// Whether an input node is a result, of another output than the one that it is the old content
    /// of: then it is copied before that changes.
    fn moves(&self, i: usize) -> bool {
        let old = self.writer.old(i);
        self.results.iter().enumerate().any(|(j, &r)| r == i && old != Some(j))
    }

    /// The output that node `i` can be left in: it is the result of that one alone, and nobody reads
    /// the old content later. If it reads that itself, the work is done in place.
    fn direct(&self, i: usize, work: &mut Work, operands: &mut [Place; 3]) -> Option<usize> {
        let mut outputs = self.results.iter().enumerate().filter(|(_, r)| **r == i);
        let (j, _) = outputs.next()?;
        if outputs.next().is_some() {
            return None;
        }
        let reads = (0..self.last.len()).filter(|&o| self.writer.old(o) == Some(j));
        let read = reads.filter_map(|o| if self.moves(o) { Some(o) } else { self.last[o] }).max();
        if read > Some(i) {
            return None;
        }
        if read == Some(i) {
            let own = Place::Output(j);
            let [x, y, _] = *operands;
            *work = match *work {
                Work::Binary(Binary::Add) if x == own && y != own => Work::AddTo,
                Work::Binary(Binary::Sub) if x == own && y != own => Work::SubtractFrom,
                _ => return None,
            };
            *operands = [y; 3];
        }
        Some(j)
    }
}
