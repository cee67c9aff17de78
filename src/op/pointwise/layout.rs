//! How operands lie inside an output that they are broadcast to.

use crate::tensor::{Dim, Shape};

/// How an operand lies inside the output: sizes and strides of the output's dimensions, last first.
#[derive(Debug)]
pub(super) struct Layout {
    dims: Vec<(Dim, Dim)>,
    /// Whether the elements of a run differ.
    pub(super) contiguous: bool,
}

impl Layout {
    pub(super) fn new(operand: &Shape, output: &Shape) -> Self {
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
    pub(super) fn run(&self, at: usize, rows: usize) -> (usize, usize) {
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
