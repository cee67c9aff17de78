//! Brightness, contrast, saturation and hue.

use super::{COLOR, Draws};
use crate::layer::Value;
use crate::op::concatenate::Concatenate;
use crate::op::expression::{Expr, Program};
use crate::op::pointwise::Pointwise;
use crate::op::slice::Slice;

/// How far each factor may be from 1, and hue from where it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Color {
    pub(super) brightness: f64,
    pub(super) contrast: f64,
    pub(super) saturation: f64,
    /// In turns of the colour circle.
    pub(super) hue: f64,
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
        let wrong = wrong.map(|(what, x)| format!("augmentation: `{what}` is {x}, not 0 or more"));
        let hue = self.hue;
        let turned = (!(0.0..=0.5).contains(&hue))
            .then(|| format!("augmentation: `hue` is {hue}, not 0..=0.5"));
        wrong.chain(turned).collect()
    }

    /// Images `[B, C, H, W]` in other colours.
    pub(super) fn forward(&self, x: &Value, draws: &Draws) -> Value {
        let mut x = x.clone();
        if *self == Color::default() {
            return x;
        }
        let drawn = draws.uniform(COLOR, 4, &[1; 3]);
        if self.contrast > 0.0 {
            let mean = x.mean(&[1, 2, 3], true);
            let expr = (Expr::input(0) - Expr::input(1)) * factor(&Expr::input(2), self.contrast)
                + Expr::input(1);
            x = x.one(Pointwise::new(3, &expr), &[&mean, &drawn[0]]);
        }
        if self.brightness > 0.0 {
            x = x.map2(&drawn[1], |x, u| x * factor(u, self.brightness));
        }
        let (channels, wanted) = (x.shape().dims()[1].size(1), [self.saturation, self.hue]);
        if channels != 3 && wanted.iter().any(|x| *x > 0.0) {
            return x.fail(format!("saturation and hue ask for three channels, got {channels}"));
        }
        let channel = |x: &Value, i: usize| x.one(Slice { axis: 1, range: i..i + 1 }, &[]);
        if self.saturation > 0.0 {
            let grey = (0..3).map(|i| Expr::input(1 + i) * GREY[i]);
            let grey = grey.reduce(|a, b| a + b).expect("invariant: three channels");
            let expr = (Expr::input(0) - &grey) * factor(&Expr::input(4), self.saturation) + &grey;
            let others = [channel(&x, 0), channel(&x, 1), channel(&x, 2), drawn[2].clone()];
            x = x.one(Pointwise::new(5, &expr), &others.each_ref());
        }
        if self.hue > 0.0 {
            let op = Pointwise::from_program(turned(self.hue));
            let turned = channel(&x, 0).call(op, &[&channel(&x, 1), &channel(&x, 2), &drawn[3]]);
            x = turned[0].one(Concatenate { axis: 1 }, &[&turned[1], &turned[2]]);
        }
        x
    }
}

/// Red, green and blue of another hue, of those and a uniform number: up to `most` turns of the colour
/// circle either way.
///
/// With the largest channel V, the smallest V − C and the hue h in sixths of a turn (Smith 1978), a
/// channel is V − C max(0, min(k, 4 − k, 1)) for k = (n + h) mod 6, n being 5, 3 and 1. So a channel
/// that is added to all three, or multiplies them, changes no hue.
fn turned(most: f64) -> Program {
    let [r, g, b, u] = [0, 1, 2, 3].map(Expr::input);
    let largest = r.max(&g).max(&b);
    let chroma = &largest - r.min(&g).min(&b);
    // Grey has no hue; any will do.
    let divisor = chroma.equal(0.0).select(1.0, &chroma);
    let of_green_or_blue =
        largest.equal(&g).select((&b - &r) / &divisor + 2.0, (&r - &g) / &divisor + 4.0);
    let hue = largest.equal(&r).select((&g - &b) / &divisor, of_green_or_blue);
    let hue = hue + (u * 2.0 - 1.0) * (6.0 * most);
    let channel = |n: f64| {
        let k = &hue + n;
        let k = &k - (&k * (1.0 / 6.0)).floor() * 6.0;
        &largest - &chroma * k.min(4.0 - &k).min(1.0).max(0.0)
    };
    Program::new(4, &[5.0, 3.0, 1.0].map(channel))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thousandths of red, green and blue, turned by so many hundredths of a turn.
    fn turn(color: [f64; 3], hundredths: f64) -> [i32; 3] {
        let inputs = [color[0], color[1], color[2], 0.5 + hundredths / 100.0];
        let result = turned(0.5).evaluate(&inputs, |_| 0.0);
        [0, 1, 2].map(|i| (result[i] * 1000.0).round() as i32)
    }

    #[test]
    fn hues_are_those_of_the_colour_circle() {
        // A third of a turn moves the channels on, half a turn gives the complement.
        assert_eq!(turn([0.9, 0.2, 0.4], 100.0 / 3.0), [400, 900, 200]);
        assert_eq!(turn([0.9, 0.2, 0.4], -100.0 / 3.0), [200, 400, 900]);
        assert_eq!(turn([1.0, 0.0, 0.0], 50.0), [0, 1000, 1000]);
        assert_eq!(turn([0.3, 0.3, 0.3], 17.0), [300, 300, 300]);
        // By Python's colorsys.
        assert_eq!(turn([0.8, 0.5, 0.1], 10.0), [680, 800, 100]);
        assert_eq!(turn([0.1, 0.6, 0.35], -25.0), [600, 600, 100]);
        assert_eq!(turn([0.2, 0.3, 0.95], 40.0), [950, 400, 200]);
        assert_eq!(turn([0.7, 0.7, 0.2], 5.0), [550, 700, 200]);
    }

    #[test]
    fn normalised_colours_turn_as_they_do() {
        let [r, g, b] = turn([0.5, 0.25, 0.125], 20.0);
        let shifted = turn([1.5 - 2.0, 1.25 - 2.0, 1.125 - 2.0], 20.0);
        assert_eq!(shifted, [r - 1000, g - 1000, b - 1000]);
    }
}
