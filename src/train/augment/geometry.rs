//! Flips, shifts, rotation, scale and shear: one affine map for each row.

use super::{Draws, GEOMETRY};
use crate::layer::Value;
use crate::op::expression::{Expr, Program};
use crate::op::pointwise::Pointwise;
use crate::op::warp::Warp;

/// What maps are drawn from; horizontal first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Geometry {
    /// Probabilities of a flip.
    pub(super) flips: [f64; 2],
    /// Most whole pixels of a shift.
    pub(super) shifts: [usize; 2],
    /// Most degrees of a rotation.
    pub(super) degrees: f64,
    /// Least and largest factor.
    pub(super) scales: Option<(f64, f64)>,
    /// Most degrees of a slant.
    pub(super) shear: f64,
}

/// The largest shift: whole numbers and their sums with positions are exact in f32.
const MAX_SHIFT: usize = 1 << 20;

impl Geometry {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut refuse = |wrong: bool, text: String| {
            if wrong {
                problems.push(format!("augmentation: {text}"));
            }
        };
        for p in self.flips {
            refuse(
                !(0.0..=1.0).contains(&p),
                format!("the probability of a flip is {p}, not 0..=1"),
            );
        }
        for n in self.shifts {
            refuse(n > MAX_SHIFT, format!("a shift of {n} steps is more than {MAX_SHIFT}"));
        }
        let (degrees, shear) = (self.degrees, self.shear);
        refuse(
            !(0.0..=180.0).contains(&degrees),
            format!("`rotate` is {degrees} degrees, not 0..=180"),
        );
        refuse(!(0.0..=80.0).contains(&shear), format!("`shear` is {shear} degrees, not 0..=80"));
        if let Some((low, high)) = self.scales {
            let fits = 0.01 <= low && low <= high && high <= 100.0;
            refuse(!fits, format!("`scale` is {low} to {high}, not rising from 0.01 to 100"));
        }
        problems
    }

    /// Whether a row's numbers keep their line.
    pub(super) fn keeps_lines(&self) -> bool {
        let [_, flip] = self.flips;
        let [_, shift] = self.shifts;
        flip == 0.0 && shift == 0 && self.degrees == 0.0 && self.shear == 0.0
    }

    /// Images `[B, C, H, W]` under their maps.
    pub(super) fn forward(&self, x: &Value, draws: &Draws, fill: f64) -> Value {
        if *self == Geometry::default() {
            return x.clone();
        }
        let drawn = draws.uniform(GEOMETRY, 7, &[]);
        let map = Pointwise::from_program(Program::new(7, &self.map()));
        let map = drawn[0].call(map, &drawn[1..].iter().collect::<Vec<_>>());
        x.one(Warp { fill: fill as f32 }, &map.iter().collect::<Vec<_>>())
    }

    /// The map from places of the output to those of the input, of seven uniform numbers.
    ///
    /// An image is mirrored (F), slanted (S), enlarged by z and turned by R, then shifted by t, so the
    /// input is read at `F S⁻¹ R⁻¹ (p − t) / z`. Without rotation, scale and shear all is exact.
    fn map(&self) -> [Expr; 6] {
        let within = |i: usize, most: f64| (Expr::input(i) * 2.0 - 1.0) * most;
        let radians = |degrees: f64| degrees.to_radians();
        let flip = |i: usize| {
            // The probability that a device compares with, so that the choice is the same in f64.
            let probability = f64::from(self.flips[i] as f32);
            Expr::input(i).less(probability).select(-1.0, 1.0)
        };
        let shift = |i: usize| {
            let most = self.shifts[i] as f64;
            (Expr::input(2 + i) * (2.0 * most + 1.0)).floor() - most
        };
        let (sine, cosine) = match self.degrees > 0.0 {
            true => {
                let angle = within(4, radians(self.degrees));
                (angle.sin(), angle.cos())
            }
            false => (Expr::constant(0.0), Expr::constant(1.0)),
        };
        let inverse = match self.scales {
            Some((low, high)) => 1.0 / (Expr::input(5) * (high - low) + low),
            None => Expr::constant(1.0),
        };
        let slant = match self.shear > 0.0 {
            true => {
                let angle = within(6, radians(self.shear));
                angle.sin() / angle.cos()
            }
            false => Expr::constant(0.0),
        };
        let (fx, fy) = (&flip(0) * &inverse, &flip(1) * &inverse);
        let (a, b) = (&fx * (&cosine + &slant * &sine), &fx * (&sine - &slant * &cosine));
        let (d, e) = (-(&fy * &sine), &fy * &cosine);
        let (right, down) = (shift(0), shift(1));
        let c = -(&a * &right + &b * &down);
        let f = -(&d * &right + &e * &down);
        [a, b, c, d, e, f]
    }
}
