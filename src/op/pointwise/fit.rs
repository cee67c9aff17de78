//! Finds the nodes of a program that a pattern describes.

use super::code::Work;
use crate::op::expression::{Node, Program};

/// Nodes that one loop computes.
#[derive(Debug)]
pub(super) struct Fit {
    pub(super) work: Work,
    /// What it reads.
    pub(super) operands: Vec<usize>,
    /// What it leaves, the last node first.
    pub(super) results: Vec<usize>,
    /// What it computes on the way to that.
    pub(super) inner: Vec<usize>,
}

/// The nodes that a pattern stands for, its first result being node `root`.
pub(super) fn fit(work: Work, pattern: &Program, nodes: &[Node], root: usize) -> Option<Fit> {
    let mut bound = vec![None; pattern.nodes().len()];
    if !bind(pattern.outputs()[0], root, pattern.nodes(), nodes, &mut bound) {
        return None;
    }
    let mut operands = vec![root; pattern.inputs()];
    let mut inner = vec![];
    for (node, bound) in pattern.nodes().iter().zip(&bound) {
        match (*node, (*bound)?) {
            (Node::Input(k), node) => operands[k] = node,
            (_, node) if node != root => inner.push(node),
            _ => {}
        }
    }
    if inner.iter().any(|node| operands.contains(node)) {
        return None;
    }
    let results = pattern.outputs().iter().map(|&p| bound[p]).collect::<Option<_>>()?;
    Some(Fit { work, operands, results, inner })
}

/// Lets a node of the pattern stand for `node`, and what it reads for what that reads.
fn bind(
    at: usize,
    node: usize,
    pattern: &[Node],
    nodes: &[Node],
    bound: &mut [Option<usize>],
) -> bool {
    if let Some(known) = bound[at] {
        return known == node;
    }
    bound[at] = Some(node);
    let same = match (pattern[at], nodes[node]) {
        (Node::Input(_), _) => return true,
        (Node::Unary(a, _), Node::Unary(b, _)) => a == b,
        (Node::Binary(a, ..), Node::Binary(b, ..)) => a == b,
        (Node::Select(..), Node::Select(..)) => true,
        _ => false,
    };
    let mut read = pattern[at].operands().zip(nodes[node].operands());
    same && read.all(|(at, node)| bind(at, node, pattern, nodes, bound))
}
