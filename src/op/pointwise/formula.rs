//! Formulas that models are full of, each as one loop: what lies between its operations stays in
//! registers of the processor. Every operation rounds for itself, in the same order, so the bits are
//! the same.
//!
//! A formula is written once. As an expression it is a pattern, whose operands stand for any nodes of
//! a program; as arithmetic it is the body of a loop.

#![allow(unsafe_code)]

use std::sync::LazyLock;

use super::code::Work;
use super::loops::{Operand, each};
use crate::cpu::math;
use crate::op::expression::{Binary, Expr, Program};

/// Most operands of a loop.
pub(super) const OPERANDS: usize = 11;
/// Most results of a loop.
pub(super) const RESULTS: usize = 3;

macro_rules! formulas {
    ($($(#[$doc:meta])* $name:ident($($x:ident)*) { $(let $inner:ident = $value:expr;)* [$($result:expr),*] })*) => {
        /// A formula with a loop of its own.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(super) enum Formula {
            $($(#[$doc])* $name,)*
        }

        /// What each one computes, its last node first among the results.
        fn programs() -> Vec<(Formula, Program)> {
            vec![$({
                let mut count = 0;
                $(let $x = &Expr::input(count); count += 1;)*
                $(let $inner = &($value);)*
                (Formula::$name, Program::new(count, &[$(Expr::from($result)),*]))
            }),*]
        }

        /// Runs the loop of a formula over `n` elements of the operands that `read` finds.
        ///
        /// # Safety
        /// As [`each`].
        pub(super) unsafe fn run(
            formula: Formula,
            read: impl Fn(usize) -> Operand,
            targets: &[*mut f32; RESULTS],
            n: usize,
        ) {
            match formula {
                $(Formula::$name => {
                    let operands = std::array::from_fn(read);
                    let formula = |[$($x),*]: [f32; _]| { $(let $inner = $value;)* [$($result),*] };
                    // SAFETY: passed on from the caller.
                    unsafe { each(n, operands, targets, formula) }
                })*
            }
        }
    };
}

formulas! {
    /// A step of Adam with decoupled decay of weights: parameter, average, average of the squares.
    AdamW(p m v g c b d u s e w) {
        let mean = m + (g - m) * c;
        let square = v * b + (g * g) * d;
        [(p - p * w) - (mean * u) / (square.sqrt() * s + e), mean, square]
    }
    /// The same without.
    Adam(p m v g c b d u s e) {
        let mean = m + (g - m) * c;
        let square = v * b + (g * g) * d;
        [p - (mean * u) / (square.sqrt() * s + e), mean, square]
    }
    /// GELU by the error function.
    Gelu(x h k o) { [(x * h) * ((x * k).error_function() + o)] }
    /// Its derivative times upstream.
    GeluSlope(g x k o h n d) {
        let density = ((x * x) * n).exponential() * d;
        [g * (((x * k).error_function() + o) * h + x * density)]
    }
    /// GELU by the hyperbolic tangent.
    GeluTanh(x h c s o) {
        let inner = (x + ((x * x) * x) * c) * s;
        [(x * h) * (inner.hyperbolic_tangent() + o)]
    }
    /// Its derivative times upstream.
    GeluTanhSlope(g x c s o h t) {
        let square = x * x;
        let tanh = ((x + (square * x) * c) * s).hyperbolic_tangent();
        [g * ((tanh + o) * h + (x * h) * ((o - tanh * tanh) * (square * t + s)))]
    }
    /// A moving average.
    Average(o x y) { [o + (x - o) * y] }
    /// That of the squares.
    AverageOfSquares(o x y z) { [o * y + (x * x) * z] }
    /// A bias and ReLU.
    BiasRelu(o x y z) {
        let sum = o + x;
        [sum.less_equal(y).select(z, sum)]
    }
    /// ReLU, or its derivative.
    Relu(o x y z) { [x.less_equal(y).select(z, o)] }
}

/// The methods of expressions that numbers do not have.
trait Compare {
    fn less_equal(self, other: f32) -> bool;
}

impl Compare for f32 {
    #[inline(always)]
    fn less_equal(self, other: f32) -> bool {
        self <= other
    }
}

trait Choose {
    fn select(self, yes: f32, no: f32) -> f32;
}

impl Choose for bool {
    #[inline(always)]
    fn select(self, yes: f32, no: f32) -> f32 {
        if self { yes } else { no }
    }
}

/// Elementary functions, by names that numbers have not given to others.
trait Elementary {
    type Result;
    fn error_function(&self) -> Self::Result;
    fn exponential(&self) -> Self::Result;
    fn hyperbolic_tangent(&self) -> Self::Result;
}

impl Elementary for f32 {
    type Result = f32;
    #[inline(always)]
    fn error_function(&self) -> f32 {
        math::erf(*self)
    }
    #[inline(always)]
    fn exponential(&self) -> f32 {
        math::exp(*self)
    }
    #[inline(always)]
    fn hyperbolic_tangent(&self) -> f32 {
        math::tanh(*self)
    }
}

impl Elementary for Expr {
    type Result = Expr;
    fn error_function(&self) -> Expr {
        self.erf()
    }
    fn exponential(&self) -> Expr {
        self.exp()
    }
    fn hyperbolic_tangent(&self) -> Expr {
        self.tanh()
    }
}

/// What loops there are for more than one node, the longest first.
pub(super) fn patterns() -> &'static [(Work, Program)] {
    static PATTERNS: LazyLock<Vec<(Work, Program)>> = LazyLock::new(|| {
        let formulas = programs().into_iter();
        let mut all: Vec<_> = formulas.map(|(f, program)| (Work::Formula(f), program)).collect();
        let [x, y, z] = [0, 1, 2].map(Expr::input);
        use Binary::{Add, Div, Mul, Sub};
        for first in [Add, Sub, Mul] {
            let inner = x.binary(first, &y);
            for second in [Add, Sub, Mul, Div] {
                let before = Program::new(3, &[inner.binary(second, &z)]);
                let after = Program::new(3, &[z.binary(second, &inner)]);
                all.push((Work::Pair(first, second, false), before));
                all.push((Work::Pair(first, second, true), after));
            }
        }
        all
    });
    &PATTERNS
}

#[cfg(test)]
mod tests {
    use super::super::code::parts;
    use super::*;
    use crate::plan::UpdateRule;

    /// The loops of a program whose operands from `given` on are old contents, and those before, but
    /// the first, scalars.
    fn loops(program: &Program, given: usize, scalars: bool) -> Vec<Work> {
        let single = |k: usize| scalars && k > 0 && k < given;
        let parts = parts(program, single, |k| k.checked_sub(given));
        parts.codes[0].instructions.iter().map(|i| i.work).collect()
    }

    fn of_rule(rule: &UpdateRule) -> Vec<Work> {
        loops(&rule.program, 1 + rule.scalars.len(), true)
    }

    #[test]
    fn what_trains_most_models_is_one_loop() {
        use crate::optim::{Adam, AdamW, Optimizer, Sgd};
        let one = |formula| vec![Work::Formula(formula)];
        assert_eq!(of_rule(&Adam::new(1e-3).rule()), one(Formula::Adam));
        assert_eq!(of_rule(&AdamW::new(1e-3).rule()), one(Formula::AdamW));
        let descent = Work::Pair(Binary::Mul, Binary::Sub, true);
        assert_eq!(of_rule(&Sgd::new(0.1).rule()), [descent]);
        let momentum = of_rule(&Sgd::new(0.1).momentum(0.9).rule());
        assert_eq!(momentum, [Work::Pair(Binary::Mul, Binary::Add, false), descent]);

        let [x, y] = [0, 1].map(Expr::input);
        let sum = &y + &x;
        let relu = sum.less_equal(0.0).select(0.0, &sum);
        assert_eq!(loops(&Program::new(2, &[relu]), 1, false), one(Formula::BiasRelu));
        let slope = x.less_equal(0.0).select(0.0, &y);
        assert_eq!(loops(&Program::new(2, &[slope]), 1, false), one(Formula::Relu));
    }

    #[test]
    fn activations_and_their_derivatives_are_one_loop() {
        use crate::layer::activation::{gelu, gelu_slope, gelu_tanh, gelu_tanh_slope};
        let [x, g] = [0, 1].map(Expr::input);
        for (expression, formula) in [
            (gelu(&x), Formula::Gelu),
            (gelu_slope(&x, &g), Formula::GeluSlope),
            (gelu_tanh(&x), Formula::GeluTanh),
            (gelu_tanh_slope(&x, &g), Formula::GeluTanhSlope),
        ] {
            let program = Program::new(2, &[expression]);
            assert_eq!(loops(&program, 1, false), [Work::Formula(formula)], "{program:?}");
        }
    }

    #[test]
    fn what_is_read_elsewhere_is_computed_for_itself() {
        let [x, y] = [0, 1].map(Expr::input);
        let sum = &y + &x;
        let both = [sum.less_equal(0.0).select(0.0, &sum), sum.sqrt()];
        let works = loops(&Program::new(2, &both), 1, false);
        assert!(!works.contains(&Work::Formula(Formula::BiasRelu)), "{works:?}");
    }
}
