//! Makes programs: shares equal nodes, drops neutral elements, leaves out what nothing reads.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Binary, Expr, Node, Program, Tree, Unary};

/// Appends nodes, sharing equal ones.
pub struct Builder {
    inputs: usize,
    nodes: Vec<Node>,
    index: HashMap<[u64; 4], usize>,
    lowered: HashMap<*const Tree, usize>,
}

impl Builder {
    /// A builder of programs over `inputs` operands.
    pub fn new(inputs: usize) -> Self {
        Builder { inputs, nodes: vec![], index: HashMap::new(), lowered: HashMap::new() }
    }

    /// Appends a node, or finds its equal.
    ///
    /// # Panics
    /// If it reads an operand beyond `inputs`.
    pub fn push(&mut self, node: Node) -> usize {
        if let Node::Input(i) = node {
            assert!(i < self.inputs, "operand {i} of an expression over {} operands", self.inputs);
        }
        let node = self.simplify(node);
        let node = match node {
            Ok(node) => node,
            Err(existing) => return existing,
        };
        let next = self.nodes.len();
        let index = *self.index.entry(key(&node)).or_insert(next);
        if index == next {
            self.nodes.push(node);
        }
        index
    }

    /// Drops the neutral elements that derivatives produce; all are exact for every input.
    fn simplify(&self, node: Node) -> Result<Node, usize> {
        let is = |i: usize, c: f64| self.nodes[i] == Node::Constant(c);
        match node {
            Node::Binary(Binary::Mul, a, b) if is(b, 1.0) => Err(a),
            Node::Binary(Binary::Mul, a, b) if is(a, 1.0) => Err(b),
            Node::Binary(Binary::Div, a, b) if is(b, 1.0) => Err(a),
            Node::Select(_, a, b) if a == b => Err(a),
            Node::Unary(Unary::Neg, a) => match self.nodes[a] {
                Node::Unary(Unary::Neg, b) => Err(b),
                Node::Constant(c) => Ok(Node::Constant(-c)),
                _ => Ok(node),
            },
            _ => Ok(node),
        }
    }

    /// Appends the nodes of another program, its operands replaced by these nodes.
    pub fn inline(&mut self, program: &Program, operands: &[usize]) -> Vec<usize> {
        let mut map = Vec::with_capacity(program.nodes.len());
        for node in &program.nodes {
            let index = match node {
                Node::Input(i) => operands[*i],
                other => self.push(other.map(|i| map[i])),
            };
            map.push(index);
        }
        program.outputs.iter().map(|&i| map[i]).collect()
    }

    /// Appends the nodes of an expression.
    pub fn lower(&mut self, expr: &Expr) -> usize {
        let pointer = Arc::as_ptr(&expr.0);
        if let Some(&index) = self.lowered.get(&pointer) {
            return index;
        }
        let index = match &*expr.0 {
            Tree::Leaf(node) => self.push(*node),
            Tree::Unary(op, a) => {
                let a = self.lower(a);
                self.push(Node::Unary(*op, a))
            }
            Tree::Binary(op, a, b) => {
                let (a, b) = (self.lower(a), self.lower(b));
                self.push(Node::Binary(*op, a, b))
            }
            Tree::Select(c, a, b) => {
                let (c, a, b) = (self.lower(c), self.lower(a), self.lower(b));
                self.push(Node::Select(c, a, b))
            }
        };
        self.lowered.insert(pointer, index);
        index
    }

    /// The program with these results, nodes that nothing reads left out.
    pub fn finish(self, outputs: Vec<usize>) -> Program {
        let mut used = vec![false; self.nodes.len()];
        for &output in &outputs {
            used[output] = true;
        }
        for i in (0..self.nodes.len()).rev() {
            if used[i] {
                self.nodes[i].operands().for_each(|j| used[j] = true);
            }
        }
        let mut place = vec![0; self.nodes.len()];
        let mut nodes = Vec::new();
        for (i, node) in self.nodes.iter().enumerate().filter(|(i, _)| used[*i]) {
            place[i] = nodes.len();
            nodes.push(node.map(|j| place[j]));
        }
        let outputs = outputs.into_iter().map(|i| place[i]).collect();
        Program { inputs: self.inputs, nodes, outputs }
    }
}

/// A node as a hash key; constants by their bits.
fn key(node: &Node) -> [u64; 4] {
    let three = |kind: u64, op: u64, a: usize, b: usize| [kind * 256 + op, a as u64, b as u64, 0];
    match *node {
        Node::Input(i) => three(0, 0, i, 0),
        Node::Constant(c) => [256, c.to_bits(), 0, 0],
        Node::Unary(op, a) => three(2, op as u64, a, 0),
        Node::Binary(op, a, b) => three(3, op as u64, a, b),
        Node::Select(c, a, b) => [4 * 256, c as u64, a as u64, b as u64],
        Node::Uniform(stream) => three(5, 0, stream as usize, 0),
    }
}
