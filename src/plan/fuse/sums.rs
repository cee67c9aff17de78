//! Lets the product that is the gradient of a weight give the gradient of the bias too: both read the
//! gradient of a layer's output, which is then read once.

use std::ops::Range;
use std::sync::Arc;

use crate::op::matmul::Matmul;
use crate::op::reduce::Reduce;
use crate::op::{BufferId, Graph, Step};

/// Joins each sum over the rows of a matrix with a later product that has the matrix, transposed, on
/// its left, if nobody reads the sum in between. Returns how many steps of the range are left.
pub(in crate::plan) fn join_row_sums(graph: &mut Graph, range: Range<usize>) -> usize {
    let mut end = range.end;
    let mut i = range.start;
    while i < end {
        match partner(graph, i, end) {
            Some((product, joint)) => {
                graph.steps[product] = joint;
                graph.steps.remove(i);
                end -= 1;
            }
            None => i += 1,
        }
    }
    end - range.start
}

/// The product that can take the sum at `i` along, and what it becomes.
fn partner(graph: &Graph, i: usize, end: usize) -> Option<(usize, Step)> {
    let sum = &graph.steps[i];
    if !sums_columns(graph, sum) {
        return None;
    }
    let matrix = sum.inputs[0];
    let reads_sum = |step: &Step| step.inputs.contains(&sum.outputs[0]);
    let later = &graph.steps[i + 1..end];
    let fits = |step: &&Step| product_of(step, matrix).is_some();
    let product = later.iter().position(|step| fits(&step))?;
    if later[..=product].iter().any(reads_sum) {
        return None;
    }
    let step = &later[product];
    let op = product_of(step, matrix)?.with_row_sums();
    let outputs = step.outputs.iter().chain(&sum.outputs).copied().collect();
    let joint = Step { op: Arc::new(op), outputs, ..step.clone() };
    Some((i + 1 + product, joint))
}

/// Whether a step is `[rows, columns] -> [columns]`.
fn sums_columns(graph: &Graph, step: &Step) -> bool {
    let sum = step.op.as_reduce().is_some_and(Reduce::sums_rows);
    sum && graph.ty(step.inputs[0]).shape.rank() == 2 && graph.ty(step.outputs[0]).shape.rank() == 1
}

fn product_of(step: &Step, matrix: BufferId) -> Option<&Matmul> {
    let fits = |op: &&Matmul| op.transpose_a && !op.row_sums && step.inputs[0] == matrix;
    step.op.as_matmul().filter(fits)
}
