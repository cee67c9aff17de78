//! Parts of a row that are blotted out.

use super::{Draws, MASKS};
use crate::layer::Value;
use crate::op::expression::{Expr, Program};
use crate::op::pointwise::Pointwise;
use crate::op::rectangles::Rectangles;

/// What is blotted out of a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Masks {
    /// Side of a square.
    pub(super) cutout: usize,
    /// How many ranges of columns, and the most columns of one.
    pub(super) time: (usize, usize),
    /// How many ranges of lines, and the most lines of one.
    pub(super) frequency: (usize, usize),
}

/// Masks of a row at most, those of [`Rectangles`].
const MOST: usize = 8;
/// Numbers that are drawn for a mask.
const DRAWN: u32 = 2;

impl Masks {
    pub(super) fn problems(&self) -> Vec<String> {
        let count = self.time.0.saturating_add(self.frequency.0);
        let count = count.saturating_add(usize::from(self.cutout > 0));
        let text = format!("augmentation: {count} masks of a row are more than {MOST}");
        if count > MOST { vec![text] } else { vec![] }
    }

    /// Images `[B, C, H, W]`, `fill` where they are blotted out.
    pub(super) fn forward(&self, x: &Value, draws: &Draws, fill: f64) -> Value {
        let shape = x.shape();
        let (height, width) = (shape.dims()[2].size(1), shape.dims()[3].size(1));
        let mut edges: Vec<Value> = Vec::new();
        let mut mask = |stream: u32, program: [Expr; 4]| {
            let drawn = draws.uniform(MASKS + DRAWN * stream, 2, &[]);
            let op = Pointwise::from_program(Program::new(2, &program));
            edges.extend(drawn[0].call(op, &[&drawn[1]]));
        };
        if self.cutout > 0 {
            let (top, bottom) = square(0, self.cutout, height);
            let (left, right) = square(1, self.cutout, width);
            mask(0, [top, bottom, left, right]);
        }
        let all = |size: usize| (Expr::constant(0.0), Expr::constant(size as f64));
        for i in 0..self.time.0 {
            let ((top, bottom), (left, right)) = (all(height), range(self.time.1, width));
            mask(1 + i as u32, [top, bottom, left, right]);
        }
        for i in 0..self.frequency.0 {
            let ((top, bottom), (left, right)) = (range(self.frequency.1, height), all(width));
            mask((1 + MOST + i) as u32, [top, bottom, left, right]);
        }
        let Some((first, others)) = edges.split_first() else { return x.clone() };
        let others: Vec<_> = others.iter().collect();
        let mask = first.one(Rectangles { height, width }, &others);
        x.map2(&mask, |x, mask| mask.select(fill, x))
    }
}

/// Where a square of this side begins and ends whose centre is any of `size` places.
fn square(operand: usize, side: usize, size: usize) -> (Expr, Expr) {
    let centre = (Expr::input(operand) * size as f64).floor();
    let begin = centre - (side / 2) as f64;
    (begin.clone(), begin + side as f64)
}

/// Where a range of 0 to `most` of `size` places begins and ends.
fn range(most: usize, size: usize) -> (Expr, Expr) {
    let length = (Expr::input(0) * (most.min(size) as f64 + 1.0)).floor();
    let begin = (Expr::input(1) * ((size as f64 + 1.0) - &length)).floor();
    (begin.clone(), begin + length)
}
