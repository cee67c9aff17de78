//! One training step on the CPU and on another device, compared: the last word of `ironwarp doctor`.

use serde::Serialize;

use super::{Fit, Progress, Trainer};
use crate::data::{Column, Dataset};
use crate::error::Result;
use crate::exec::Device;
use crate::model::Model;
use crate::optim::GradientDescent;
use crate::random;

const INPUTS: usize = 16;
const HIDDEN: usize = 32;
const CLASSES: usize = 8;
const ROWS: usize = 64;

/// How far a device's first step is from the CPU's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// The device.
    pub device: String,
    /// The largest difference of an updated parameter, relative to the largest element of the same
    /// tensor; infinite where something is not finite.
    pub difference: f64,
    /// What roundings may make of it.
    pub allowed: f64,
}

impl Trial {
    /// Trains 16-32-8 with tanh and cross-entropy by one step of gradient descent at rate 1, on 64
    /// rows, on the CPU and on `device`.
    ///
    /// # Errors
    /// If the device can't be used.
    pub fn of(device: &Device) -> Result<Trial> {
        let ours = step(device)?;
        let theirs = step(&Device::cpu())?;
        let scale = |tensor: &[f32]| tensor.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let scales: Vec<f64> = theirs.iter().map(|tensor| f64::from(scale(tensor))).collect();
        let differences = ours.iter().zip(&theirs).zip(&scales).flat_map(|((a, b), scale)| {
            a.iter().zip(b).map(move |(a, b)| (f64::from(*a) - f64::from(*b)).abs() / scale)
        });
        let difference = differences.map(|d| if d.is_finite() { d } else { f64::INFINITY });
        Ok(Trial {
            device: device.to_string(),
            difference: difference.fold(0.0, f64::max),
            allowed: absolute_bound() / scales.into_iter().fold(f64::INFINITY, f64::min),
        })
    }

    /// Whether roundings explain the difference.
    pub fn is_within(&self) -> bool {
        self.difference <= self.allowed
    }
}

/// The parameters after one step.
fn step(device: &Device) -> Result<Vec<Vec<f32>>> {
    let mut x = vec![0.0; ROWS * INPUTS];
    random::fill_uniform(1, 1, 0, 0, &mut x);
    x.iter_mut().for_each(|x| *x = 2.0 * *x - 1.0);
    let labels = (0..ROWS as u64).map(|i| random::word(1, 2, 0, i) % CLASSES as u32).collect();
    let data = Dataset::new(
        vec![Column::numbers("x", &[INPUTS], x)],
        vec![Column::indices("y", &[], labels)],
    )?;
    let model = Model::input(INPUTS).dense(HIDDEN).tanh().dense(CLASSES);
    let trainer = Trainer::new(&model, GradientDescent::new(1.0)).device(device.clone());
    let mut trainer = trainer.build()?;
    trainer.fit(&data, Fit::epochs(1).batch(ROWS).progress(Progress::Silent))?;
    let names: Vec<String> =
        trainer.network().parameters().iter().map(|p| p.name.clone()).collect();
    names.iter().map(|name| trainer.parameter(name)).collect()
}

/// How far two devices may be apart: twice the forward error of one, for any order of additions (a
/// sum of `n` terms errs by `n u Σ|terms|`). Inputs are in ±1, weights and biases in ±1/√fan-in, and
/// an elementary function errs by less than two units in the last place, `4 u`.
fn absolute_bound() -> f64 {
    let u = f64::from(f32::EPSILON) / 2.0;
    let [inputs, hidden, classes, rows] = [INPUTS, HIDDEN, CLASSES, ROWS].map(|n| n as f64);
    // h = tanh(W x + b), whose slope is at most 1.
    let h = (inputs + 1.0) * u * (inputs + 1.0) / inputs.sqrt() + 4.0 * u;
    // z = V h + c, of size `largest` at most.
    let largest = (hidden + 1.0) / hidden.sqrt();
    let z = (hidden + 1.0) * u * largest + hidden.sqrt() * h;
    // p = softmax(z), relative: exponentials of rounded differences, their sum, its logarithm or
    // the division by it.
    let exponential = 2.0 * z + (2.0 * largest + 4.0) * u;
    let p = 2.0 * exponential + (classes + largest + classes.ln() + 8.0) * u;
    // d = (p - y) / rows; its absolute values over the classes sum to 2 / rows at most. All below
    // is `rows` times the error of one row, since a gradient sums over them.
    let d = p + 4.0 * u;
    let second = d + h + (rows + 1.0) * u;
    let back = (d + 2.0 * classes * u) / hidden.sqrt();
    let size = 2.0 / hidden.sqrt();
    let first = back + size * (2.0 * h + 3.0 * u) + (rows + 1.0) * u * size;
    // The update rounds rate · gradient, below 1, and its result, below 2.
    2.0 * (first.max(second) + 3.0 * u)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_agrees_with_itself_and_a_wrong_step_does_not_pass() {
        let trial = Trial::of(&Device::cpu()).expect("the CPU trains");
        assert_eq!(trial.difference, 0.0);
        // Small beside the step itself, which is at least some 1e-2 of a parameter.
        assert!(trial.is_within() && trial.allowed < 5e-3, "{trial:?}");
        for difference in [2.0 * trial.allowed, f64::INFINITY, f64::NAN] {
            assert!(!Trial { difference, ..trial.clone() }.is_within());
        }
    }
}
