//! Brightness, contrast and saturation.

use super::{COLOR, Draws};
use crate::layer::Value;
use crate::op::expression::Expr;
use crate::op::pointwise::Pointwise;
use crate::op::slice::Slice;

/// How far each factor may be from 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Color {
    pub(super) brightness: f64,
    pub(super) contrast: f64,
    pub(super) saturation: f64,
}

/// Shares of red, green and blue in a pixel's grey (ITU-R 601).
const GREY: [f64; 3] = [0.299, 0.587, 0.114];

/// A factor within 1 ± `most`, not below 0, of a uniform number.
fn factor(u: &Expr, most: f64) -> Expr {
    let low = (1.0 - most).max(0.0);
    u * (1.0 + most - low) + low
}

impl Color {
    pub(super) fn problems(&self) -> Vec<String> {
        let all = [
            ("brightness", self.brightness),
            ("contrast", self.contrast),
            ("saturation", self.saturation),
        ];
        let wrong = all.into_iter().filter(|(_, x)| !(*x >= 0.0 && x.is_finite()));
        wrong.map(|(what, x)| format!("augmentation: `{what}` is {x}, not 0 or more")).collect()
    }

    /// Images `[B, C, H, W]` in other colours.
    pub(super) fn forward(&self, x: &Value, draws: &Draws) -> Value {
        let mut x = x.clone();
        if *self == Color::default() {
            return x;
        }
        let drawn = draws.uniform(COLOR, 3, &[1; 3]);
        if self.contrast > 0.0 {
            let mean = x.mean(&[1, 2, 3], true);
            let expr = (Expr::input(0) - Expr::input(1)) * factor(&Expr::input(2), self.contrast)
                + Expr::input(1);
            x = x.one(Pointwise::new(3, &expr), &[&mean, &drawn[0]]);
        }
        if self.brightness > 0.0 {
            x = x.map2(&drawn[1], |x, u| x * factor(u, self.brightness));
        }
        if self.saturation > 0.0 {
            let channels = x.shape().dims()[1].size(1);
            if channels != 3 {
                return x.fail(format!("saturation asks for three channels, got {channels}"));
            }
            let channel = |i: usize| x.one(Slice { axis: 1, range: i..i + 1 }, &[]);
            let grey = (0..3).map(|i| Expr::input(1 + i) * GREY[i]);
            let grey = grey.reduce(|a, b| a + b).expect("invariant: three channels");
            let expr = (Expr::input(0) - &grey) * factor(&Expr::input(4), self.saturation) + &grey;
            let others = [channel(0), channel(1), channel(2), drawn[2].clone()];
            x = x.one(Pointwise::new(5, &expr), &others.each_ref());
        }
        x
    }
}
