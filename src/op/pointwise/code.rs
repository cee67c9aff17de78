//! What the interpreter runs: a program's nodes with places for their values.
//!
//! A select whose condition is the same for all elements chooses code, not values: there is a list
//! of instructions for each outcome, in which the select is gone and what only the other branch
//! needs too. An optimizer's step that is not accepted so costs nothing.

use crate::op::expression::{Binary, Node, Program, Unary};

/// Most conditions that choose the code; further ones choose values.
const CONDITIONS: usize = 3;

/// Where an instruction finds a value.
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

/// Where an instruction leaves its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    Register(usize),
    Output(usize),
}

/// One loop over a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Copy(Place),
    Unary(Unary, Place),
    Binary(Binary, Place, Place),
    /// The target's own content plus a value.
    AddTo(Place),
    /// The target's own content less a value.
    SubtractFrom(Place),
    Select(Place, Place, Place),
    Uniform(u32),
}

/// The instructions for one outcome of the conditions.
#[derive(Debug, Default)]
pub(super) struct Code {
    pub(super) instructions: Vec<(Work, Target)>,
    /// Results that the instructions leave elsewhere, by output.
    pub(super) results: Vec<(usize, Place)>,
    /// Operands that are read, each once.
    pub(super) operands: Vec<usize>,
    pub(super) registers: usize,
}

/// A program's nodes by kind.
#[derive(Debug)]
pub(super) struct Parts {
    /// Nodes that are the same for all elements, in order.
    pub(super) scalars: Vec<usize>,
    /// Those that choose the code.
    pub(super) conditions: Vec<usize>,
    /// By the conditions' outcomes, the first in the lowest bit.
    pub(super) codes: Vec<Code>,
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

    fn code(&self, outcome: usize) -> Code {
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
        let mut draft = Draft { writer: self, stand, results, last, code: Code::default() };
        draft.write();
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
    code: Code,
}

impl<Old: Fn(usize) -> Option<usize>> Draft<'_, Old> {
    fn write(&mut self) {
        let mut places: Vec<Place> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        for (i, node) in self.writer.program.nodes().iter().enumerate() {
            if let Some(slot) = self.writer.slots[i] {
                places.push(Place::Scalar(slot));
                continue;
            }
            if self.last[i].is_none() {
                // Nobody reads it.
                places.push(Place::Register(usize::MAX));
                continue;
            }
            let at = |o: usize| places[self.stand[o]];
            let mut work = match *node {
                Node::Input(k) => {
                    let place = match self.writer.old(i) {
                        Some(j) => Place::Output(j),
                        None => Place::Operand(k),
                    };
                    if place == Place::Operand(k) {
                        self.code.operands.push(k);
                    }
                    if !self.moves(i) {
                        places.push(place);
                        continue;
                    }
                    Work::Copy(place)
                }
                Node::Unary(op, a) => Work::Unary(op, at(a)),
                Node::Binary(op, a, b) => Work::Binary(op, at(a), at(b)),
                Node::Select(c, a, b) => Work::Select(at(c), at(a), at(b)),
                Node::Uniform(stream) => Work::Uniform(stream),
                Node::Constant(_) => unreachable!("invariant: constants are scalars"),
            };
            let target = match self.direct(i, &mut work) {
                Some(j) => Target::Output(j),
                None => Target::Register(free.pop().unwrap_or_else(|| {
                    self.code.registers += 1;
                    self.code.registers - 1
                })),
            };
            places.push(match target {
                Target::Register(r) => Place::Register(r),
                Target::Output(j) => Place::Output(j),
            });
            self.code.instructions.push((work, target));
            for operand in node.operands().map(|o| self.stand[o]) {
                if let (Place::Register(r), true) = (places[operand], self.last[operand] == Some(i))
                    && !free.contains(&r)
                {
                    free.push(r);
                }
            }
        }
        let results = self.results.iter().enumerate().map(|(j, &r)| (j, places[r]));
        self.code.results = results.filter(|(j, place)| *place != Place::Output(*j)).collect();
    }

    /// Whether an input node is a result, of another output than the one that it is the old content
    /// of: then it is copied before that changes.
    fn moves(&self, i: usize) -> bool {
        let old = self.writer.old(i);
        self.results.iter().enumerate().any(|(j, &r)| r == i && old != Some(j))
    }

    /// The output that node `i` can be left in: it is the result of that one alone, and nobody reads
    /// the old content later. If it reads that itself, the work is done in place.
    fn direct(&self, i: usize, work: &mut Work) -> Option<usize> {
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
            *work = match *work {
                Work::Binary(Binary::Add, x, y) if x == own && y != own => Work::AddTo(y),
                Work::Binary(Binary::Sub, x, y) if x == own && y != own => Work::SubtractFrom(y),
                _ => return None,
            };
        }
        Some(j)
    }
}
