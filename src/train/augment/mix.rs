//! Mixup and cutmix: a row and the one before it in the batch become one, and so do their targets.

use std::collections::HashMap;
use std::f64::consts::TAU;

use super::{Draws, MIX};
use crate::layer::Value;
use crate::layer::value::lock;
use crate::op::expression::{Expr, Program};
use crate::op::pointwise::Pointwise;
use crate::op::rectangles::Rectangles;
use crate::op::roll::Roll;
use crate::op::{BufferId, Role, Step};
use crate::plan::RowLoss;
use crate::tensor::{DType, Dim, Shape};

/// The α of the beta distributions that shares are drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Mix {
    pub(super) mixup: Option<f64>,
    pub(super) cutmix: Option<f64>,
}

/// What a batch looks like after mixing.
pub(super) struct Mixed {
    pub(super) x: Value,
    /// The row's own share of its target, `[B]`.
    share: Value,
}

/// A number of the beta distribution with both parameters α, of two uniform ones (Devroye 1996,
/// "Random variate generation in one line of code", from Bailey's t distribution).
fn beta(alpha: f64, u: &Expr, v: &Expr) -> Expr {
    let power = u.pow(1.0 / alpha);
    let (rest, cosine) = (1.0 - &power, (v * TAU).cos());
    let far = rest.sqrt() * &cosine / (power + rest * cosine.square()).sqrt();
    // Rounding may lead outside by an ulp.
    ((far + 1.0) * 0.5).max(0.0).min(1.0)
}

/// The row before each in the batch; before the first, the last.
fn before(x: &Value) -> Value {
    x.one(Roll { shift: 1 }, &[])
}

impl Mix {
    pub(super) fn problems(&self) -> Vec<String> {
        let all = [("mixup", self.mixup), ("cutmix", self.cutmix)];
        let wrong = all.into_iter().filter_map(|(name, alpha)| Some((name, alpha?)));
        let wrong = wrong.filter(|(_, alpha)| !(*alpha > 0.0 && alpha.is_finite()));
        wrong
            .map(|(name, alpha)| {
                format!("augmentation: the alpha of `{name}` is {alpha}, not above 0")
            })
            .collect()
    }

    /// How much of a row mixup keeps, the edges of the rectangle that cutmix takes from the other
    /// (top, bottom, left, right), and the row's share of its target, of five uniform numbers. Where
    /// both are asked for, each row is mixed by one of them; the other then keeps all.
    fn program(&self, height: usize, width: usize) -> Program {
        let [u, v, choice, line, column] = [0, 1, 2, 3, 4].map(Expr::input);
        let only = |chosen: Expr, yes: Expr, no: f64| match self.mixup.and(self.cutmix) {
            Some(_) => chosen.select(yes, no),
            None => yes,
        };
        let kept = match self.mixup {
            Some(alpha) => only(choice.less(0.5), beta(alpha, &u, &v), 1.0),
            None => Expr::constant(1.0),
        };
        let edges = self.cutmix.map_or([0.0; 4].map(Expr::constant), |alpha| {
            let half = (1.0 - beta(alpha, &u, &v)).sqrt() * 0.5;
            let pair = |place: &Expr, size: usize| {
                let (size, centre) = (size as f64, (place * size as f64).floor());
                let half = (&half * size).floor();
                [(&centre - &half).max(0.0), (centre + half).min(size)]
            };
            let [[top, bottom], [left, right]] = [pair(&line, height), pair(&column, width)];
            [top, bottom, left, right].map(|edge| only(choice.less(0.5).equal(0.0), edge, 0.0))
        });
        let [top, bottom, left, right] = edges;
        let area = (&bottom - &top) * (&right - &left) * (1.0 / (height * width) as f64);
        let share = &kept - area;
        Program::new(5, &[kept, top, bottom, left, right, share])
    }

    /// Images `[B, C, H, W]`, mixed; none where nothing is asked for.
    pub(super) fn forward(&self, x: &Value, draws: &Draws) -> Option<Mixed> {
        self.mixup.or(self.cutmix)?;
        let shape = x.shape();
        let (height, width) = (shape.dims()[2].size(1), shape.dims()[3].size(1));
        let drawn = draws.uniform(MIX, 5, &[]);
        let op = Pointwise::from_program(self.program(height, width));
        let mut all = drawn[0].call(op, &drawn[1..].iter().collect::<Vec<_>>());
        let (other, share) = (before(x), all.pop()?);
        let mut x = x.clone();
        if self.mixup.is_some() {
            x = blend(&x, &other, &all[0]);
        }
        if self.cutmix.is_some() {
            let edges: Vec<_> = all[2..].iter().collect();
            let mask = all[1].one(Rectangles { height, width }, &edges);
            let expr = Expr::input(2).select(Expr::input(1), Expr::input(0));
            x = x.one(Pointwise::new(3, &expr), &[&other, &mask]);
        }
        Some(Mixed { x, share })
    }
}

/// `share x + (1 − share) other`, row by row.
fn blend(x: &Value, other: &Value, share: &Value) -> Value {
    let ones = vec![Dim::Fixed(1); x.shape().rank() - 1];
    let share = share.reshape(Shape([&[Dim::Rows(1)], &ones[..]].concat()));
    let [a, b, s] = [0, 1, 2].map(Expr::input);
    x.one(Pointwise::new(3, &(&s * a + (1.0 - s) * b)), &[other, &share])
}

impl Mixed {
    /// Appends the model's steps, which read a mixed target where it is a number. Of a class, the loss
    /// is that for both rows' classes, each by its share: for cross-entropy that is the loss for a
    /// target of these probabilities.
    pub(super) fn targets(&self, mut steps: Vec<Step>, losses: &mut [RowLoss]) {
        let trace = self.x.trace();
        let value = |id| Value::new(trace.clone(), id);
        let targets: Vec<BufferId> = {
            let graph = &lock(trace).graph;
            let ids = (0..graph.buffers.len() as u32).map(BufferId);
            ids.filter(|id| graph.buffer(*id).role == Role::Target).collect()
        };
        let mut others = HashMap::new();
        for target in targets.into_iter().map(value) {
            let other = before(&target);
            match target.ty().dtype {
                DType::F32 => {
                    let mixed = blend(&target, &other, &self.share).id();
                    let read = steps.iter_mut().flat_map(|step| &mut step.inputs);
                    read.filter(|id| **id == target.id()).for_each(|id| *id = mixed);
                }
                _ => drop(others.insert(target.id(), other.id())),
            }
        }
        {
            let graph = &mut lock(trace).graph;
            for step in steps {
                // What follows from a class is computed for the other row's class too.
                let again = step.inputs.iter().any(|id| others.contains_key(id)).then(|| {
                    let other = |id: &BufferId| others.get(id).copied().unwrap_or(*id);
                    let inputs = step.inputs.iter().map(other).collect();
                    let twin = |id: &BufferId| {
                        let ty = graph.ty(*id).clone();
                        graph.add(format!("%{}", graph.buffers.len()), ty, Role::Activation)
                    };
                    let outputs: Vec<_> = step.outputs.iter().map(twin).collect();
                    Step { inputs, outputs, ..step.clone() }
                });
                if let Some(again) = &again {
                    let pairs = step.outputs.iter().copied().zip(again.outputs.iter().copied());
                    others.extend(pairs);
                }
                graph.steps.push(step);
                graph.steps.extend(again);
            }
        }
        for loss in losses {
            if let Some(&other) = others.get(&loss.value) {
                loss.value = blend(&value(loss.value), &value(other), &self.share).id();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    /// How many of 10,000 results of a program are below each limit.
    fn below(program: &Program, output: usize, limits: &[f64]) -> Vec<usize> {
        let mut counts = vec![0; limits.len()];
        for i in 0..10_000 {
            let drawn: Vec<f64> =
                (0..5).map(|stream| random::uniform(1, stream, 0, i).into()).collect();
            let x = program.evaluate(&drawn, |_| 0.0)[output];
            assert!((0.0..=1.0).contains(&x), "{x}");
            limits.iter().zip(&mut counts).for_each(|(limit, n)| *n += usize::from(x < *limit));
        }
        counts
    }

    #[test]
    fn shares_are_of_the_beta_distribution() {
        // Its distribution function, by numerical integration; five standard deviations of a count
        // are at most 250.
        for (alpha, expected) in [
            (0.2, [3367, 4332, 5000, 7090]),
            (1.0, [1000, 3000, 5000, 9500]),
            (4.0, [27, 1260, 5000, 9998]),
        ] {
            let mix = Mix { mixup: Some(alpha), cutmix: None };
            let counts = below(&mix.program(8, 8), 0, &[0.1, 0.3, 0.5, 0.95]);
            let near =
                counts.iter().zip(expected).all(|(n, e): (&usize, usize)| n.abs_diff(e) < 250);
            assert!(near, "{alpha}: {counts:?}, expected about {expected:?}");
        }
        let edge = beta(0.1, &Expr::input(0), &Expr::input(1));
        for (u, v) in [(0.0, 0.0), (0.0, 0.25), (0.0, 0.5), (0.999, 0.75)] {
            let x = Program::new(2, std::slice::from_ref(&edge)).evaluate(&[u, v], |_| 0.0)[0];
            assert!((0.0..=1.0).contains(&x), "{x}");
        }
    }

    #[test]
    fn a_row_is_mixed_in_one_way_and_its_share_is_what_is_left_of_it() {
        let mix = Mix { mixup: Some(1.0), cutmix: Some(1.0) };
        let program = mix.program(5, 7);
        let (mut faded, mut cut) = (0, 0);
        for i in 0..1000 {
            let drawn: Vec<f64> =
                (0..5).map(|stream| random::uniform(2, stream, 0, i).into()).collect();
            let [kept, top, bottom, left, right, share] =
                program.evaluate(&drawn, |_| 0.0).try_into().expect("six results");
            let taken = (bottom - top) * (right - left);
            assert!(top <= bottom && bottom <= 5.0 && left <= right && right <= 7.0);
            assert!(kept == 1.0 || taken == 0.0);
            assert_eq!((share * 35.0).round(), (kept * 35.0 - taken).round());
            (faded, cut) = (faded + u32::from(kept < 1.0), cut + u32::from(taken > 0.0));
        }
        assert!((400..600).contains(&faded) && (250..600).contains(&cut), "{faded} and {cut}");
    }
}
