//! What the interpreter runs: a program's nodes with places for their values.
//!
//! A select whose condition is the same for all elements chooses code, not values: there is a list
//! of instructions for each outcome, in which the select is gone and what only the other branch
//! needs too. An optimizer's step that is not accepted so costs nothing.

use super::fit::{Fit, fit};
use super::formula::{Formula, OPERANDS, RESULTS, patterns};
use crate::op::expression::{Binary, Node, Program, Unary};

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
    /// The second function of the first one's value and another, or of another and that.
    Pair(Binary, Binary, bool),
    Select,
    Uniform(u32),
    /// Several nodes.
    Formula(Formula),
}

/// One loop over a chunk. A target may be an operand too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instruction<P> {
    pub(super) work: Work,
    /// As many as the work needs; the rest are of no meaning.
    pub(super) operands: [P; OPERANDS],
    /// The same.
    pub(super) targets: [P; RESULTS],
}

impl<P: Copy> Instruction<P> {
    /// The same with other places.
    pub(super) fn map<Q>(&self, f: impl Fn(P) -> Q) -> Instruction<Q> {
        let Instruction { work, operands, targets } = *self;
        Instruction { work, operands: operands.map(&f), targets: targets.map(f) }
    }
}

impl Instruction<Place> {
    /// With the first place for what is of no meaning.
    fn new(work: Work, operands: &[Place], targets: &[Place]) -> Self {
        let (operand, target) = (operands.first().unwrap_or(&targets[0]), targets[0]);
        Instruction {
            work,
            operands: std::array::from_fn(|i| *operands.get(i).unwrap_or(operand)),
            targets: std::array::from_fn(|i| *targets.get(i).unwrap_or(&target)),
        }
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
        let nodes = nodes.len();
        let (fits, inner) = ((0..nodes).map(|_| None).collect(), vec![false; nodes]);
        let mut draft = Draft { writer: self, stand, results, last, fits, inner, code };
        draft.fit();
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
    /// How each node is computed together with others before it.
    fits: Vec<Option<Fit>>,
    /// Those others.
    inner: Vec<bool>,
    code: Code<Place>,
}

impl<Old: Fn(usize) -> Option<usize>> Draft<'_, Old> {
    /// What node `i` reads, in the terms of this code.
    fn read(&self, i: usize) -> impl Iterator<Item = usize> {
        self.writer.program.nodes()[i].operands().map(|o| self.stand[o])
    }

    /// Whether node `i` is computed for each element.
    fn is_live(&self, i: usize) -> bool {
        self.last[i].is_some() && self.writer.slots[i].is_none()
    }

    /// Looks for nodes that one loop can compute, from the last on.
    fn fit(&mut self) {
        let nodes = self.writer.program.nodes();
        let stood = |node: &Node| node.map(|o| self.stand[o]);
        let stood: Vec<Node> = nodes.iter().map(stood).collect();
        for root in (0..nodes.len()).rev() {
            if !self.is_live(root) || self.inner[root] {
                continue;
            }
            let mut fits = patterns().iter().filter_map(|(w, p)| fit(*w, p, &stood, root));
            let Some(fit) = fits.find(|fit| self.allows(fit, root)) else { continue };
            fit.inner.iter().for_each(|&i| self.inner[i] = true);
            for &operand in &fit.operands {
                self.last[operand] = self.last[operand].max(Some(root));
            }
            self.fits[root] = Some(fit);
        }
    }

    /// Whether what is computed on the way is nobody's but this loop's, or is one of its results,
    /// and nobody needs it before.
    fn allows(&self, fit: &Fit, root: usize) -> bool {
        let own = |i: usize| i == root || fit.inner.contains(&i);
        let free = |i: &usize| self.is_live(*i) && !self.inner[*i];
        let readers = |i: usize| {
            let all = (0..self.stand.len()).filter(move |&r| self.is_live(r) && !own(r));
            all.filter(move |&r| self.read(r).any(|o| o == i))
        };
        fit.inner.iter().all(|i| {
            free(i)
                && match fit.results.contains(i) {
                    true => readers(*i).all(|r| r > root),
                    false => !self.results.contains(i) && readers(*i).next().is_none(),
                }
        })
    }

    fn write(&mut self) {
        let nodes = self.writer.program.nodes();
        let mut places = vec![Place::Register(usize::MAX); nodes.len()];
        let mut free: Vec<usize> = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            if let Some(slot) = self.writer.slots[i] {
                places[i] = Place::Scalar(slot);
            }
            if !self.is_live(i) || self.inner[i] {
                // The same for all, or nobody reads it, or its reader computes it.
                continue;
            }
            if let (Node::Input(k), None) = (node, self.writer.old(i)) {
                self.code.operands.push(*k);
            }
            let (work, operands, results) = match self.fits[i].take() {
                Some(Fit { work, operands, results, .. }) => (work, operands, results),
                None => match self.work(i) {
                    Ok(work) => (work, self.read(i).collect(), vec![i]),
                    Err(place) => {
                        places[i] = place;
                        continue;
                    }
                },
            };
            let mut read: Vec<Place> = operands.iter().map(|o| places[*o]).collect();
            if let Work::Copy = work {
                read.push(self.input(i));
            }
            for &result in &results {
                places[result] = match self.direct(result, i) {
                    Some(j) => Place::Output(j),
                    None => Place::Register(free.pop().unwrap_or_else(|| {
                        self.code.registers += 1;
                        self.code.registers - 1
                    })),
                };
            }
            let targets: Vec<Place> = results.iter().map(|r| places[*r]).collect();
            self.code.instructions.push(Instruction::new(work, &read, &targets));
            for operand in operands {
                if let (Place::Register(r), true) = (places[operand], self.last[operand] == Some(i))
                    && !free.contains(&r)
                {
                    free.push(r);
                }
            }
        }
        // Results that are elsewhere.
        for (j, &r) in self.results.iter().enumerate() {
            let target = Place::Output(j);
            if places[r] != target {
                self.code.instructions.push(Instruction::new(Work::Copy, &[places[r]], &[target]));
            }
        }
    }

    /// The place of an input node, before it is copied.
    fn input(&self, i: usize) -> Place {
        match (self.writer.old(i), self.writer.program.nodes()[i]) {
            (Some(j), _) => Place::Output(j),
            (None, Node::Input(k)) => Place::Operand(k),
            (None, other) => unreachable!("invariant: {other:?} is no input"),
        }
    }

    /// What computes a node by itself; or its place, if it is there.
    fn work(&self, i: usize) -> Result<Work, Place> {
        Ok(match self.writer.program.nodes()[i] {
            Node::Input(_) if !self.moves(i) => return Err(self.input(i)),
            Node::Input(_) => Work::Copy,
            Node::Unary(op, _) => Work::Unary(op),
            Node::Binary(op, ..) => Work::Binary(op),
            Node::Select(..) => Work::Select,
            Node::Uniform(stream) => Work::Uniform(stream),
            Node::Constant(_) => unreachable!("invariant: constants are scalars"),
        })
    }

    /// Whether an input node is a result, of another output than the one that it is the old content
    /// of: then it is copied before that changes.
    fn moves(&self, i: usize) -> bool {
        let old = self.writer.old(i);
        self.results.iter().enumerate().any(|(j, &r)| r == i && old != Some(j))
    }

    /// The output that a node can be left in, which is computed with node `i`: it is the result of
    /// that one alone, and nobody reads the old content later.
    fn direct(&self, node: usize, i: usize) -> Option<usize> {
        let mut outputs = self.results.iter().enumerate().filter(|(_, r)| **r == node);
        let (j, _) = outputs.next()?;
        if outputs.next().is_some() {
            return None;
        }
        let reads = (0..self.last.len()).filter(|&o| self.writer.old(o) == Some(j));
        let read = reads.filter_map(|o| if self.moves(o) { Some(o) } else { self.last[o] }).max();
        (read <= Some(i)).then_some(j)
    }
}
