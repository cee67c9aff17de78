//! How operands lie inside an output that they are broadcast to.

use crate::tensor::{Dim, Shape};

/// Sizes of the output and of the operand by dimension, last first. Neighbours that are both whole
/// in the operand, or both broadcast, are one; dimensions of size 1 are left out.
#[derive(Debug)]
pub(super) struct Layout {
    dims: Vec<(Dim, Dim)>,
    /// Whether the elements of a run lie together, and are not one element.
    pub(super) contiguous: bool,
}

impl Layout {
    pub(super) fn new(operand: &Shape, output: &Shape) -> Self {
        let missing = output.rank() - operand.rank();
        let mut dims: Vec<(Dim, Dim)> = Vec::new();
        for i in (0..output.rank()).rev().filter(|&i| output.dims()[i] != Dim::Fixed(1)) {
            let all = output.dims()[i];
            let own = if i < missing { Dim::Fixed(1) } else { operand.dims()[i - missing] };
            match dims.last_mut() {
                Some((last, last_own)) if (last == last_own) == (all == own) => {
                    *last = product(*last, all);
                    *last_own = product(*last_own, own);
                }
                _ => dims.push((all, own)),
            }
        }
        let contiguous = dims.first().is_none_or(|(all, own)| all == own);
        Layout { dims, contiguous }
    }

    /// How far the offset moves where `at` moves by `stride`, if it moves alike everywhere.
    pub(super) fn step(&self, stride: usize) -> Option<usize> {
        match self.dims[..] {
            [] => Some(0),
            [(all, own)] if all == own => Some(stride),
            [(Dim::Fixed(all), own), (_, Dim::Fixed(1))] if own == Dim::Fixed(all) => {
                stride.is_multiple_of(all).then_some(0)
            }
            _ => None,
        }
    }

    /// Offset in the operand of the output's element `at`, and how many elements follow in the
    /// same run.
    #[inline(always)]
    pub(super) fn run(&self, at: usize, rows: usize) -> (usize, usize) {
        let (mut rest, mut offset, mut stride, mut run) = (at, 0, 1, 1);
        for (i, (all, own)) in self.dims.iter().enumerate() {
            let (all, own) = (all.size(rows), own.size(rows));
            let last = i + 1 == self.dims.len();
            let index = if last { rest } else { rest % all };
            if !last {
                rest /= all;
            }
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

/// The size of two dimensions joined; rows stand in one of them at most.
fn product(a: Dim, b: Dim) -> Dim {
    match (a, b) {
        (Dim::Fixed(a), Dim::Fixed(b)) => Dim::Fixed(a * b),
        (Dim::Rows(a), Dim::Fixed(b))
        | (Dim::Fixed(a), Dim::Rows(b))
        | (Dim::Rows(a), Dim::Rows(b)) => Dim::Rows(a * b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every element's place by the runs, against the strides of the naive definition.
    #[test]
    fn runs_lead_to_the_elements_of_the_definition() {
        let shapes: [(&[usize], &[usize]); 7] = [
            (&[2, 3, 4], &[2, 3, 4]),
            (&[4], &[2, 3, 4]),
            (&[3, 1], &[2, 3, 4]),
            (&[2, 1, 4], &[2, 3, 4]),
            (&[2, 1, 1], &[2, 3, 4]),
            (&[1, 3, 1, 5], &[2, 3, 1, 5]),
            (&[1], &[1, 1]),
        ];
        for (own, all) in shapes {
            let layout = Layout::new(&Shape::fixed(own), &Shape::fixed(all));
            let strides = super::super::broadcast_strides(own, all);
            let count: usize = all.iter().product();
            let mut at = 0;
            while at < count {
                let (offset, run) = layout.run(at, 1);
                for i in 0..run {
                    let (mut rest, mut expected) = (at + i, 0);
                    for (size, stride) in all.iter().zip(&strides).rev() {
                        expected += rest % size * stride;
                        rest /= size;
                    }
                    let got = offset + if layout.contiguous { i } else { 0 };
                    assert_eq!(got, expected, "element {} of {own:?} in {all:?}", at + i);
                }
                at += run;
            }
            for stride in 1..count {
                let Some(step) = layout.step(stride) else { continue };
                for at in 0..count - stride {
                    let moved = layout.run(at + stride, 1).0;
                    assert_eq!(moved, layout.run(at, 1).0 + step, "{own:?} in {all:?} by {stride}");
                }
            }
        }
    }
}
