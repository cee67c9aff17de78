//! What the tests of training share: small data, plain gradient descent, and exact comparisons.
#![allow(dead_code)] // each test binary uses a part

#[path = "training_bounds.rs"]
pub(crate) mod bounds;

use std::num::NonZeroUsize;

use ironwarp::data::{Column, Dataset};
use ironwarp::optim::OptimizerStep;
use ironwarp::plan::UpdateRule;
use ironwarp::prelude::*;
use ironwarp::random;

/// Gradient descent, `p ← p − rate · g`: an optimizer of a user's own.
pub(crate) struct Descent(pub(crate) f64);

impl Optimizer for Descent {
    fn name(&self) -> &str {
        "descent"
    }

    fn learning_rate(&self) -> f64 {
        self.0
    }

    fn rule(&self) -> UpdateRule {
        UpdateRule::new(&[], &["rate"], |g, s, p, _| (p - g * &s[0], vec![]))
    }

    fn scalars(&self, step: &OptimizerStep, _memory: &mut Vec<f64>, scalars: &mut Vec<f64>) {
        scalars.push(step.learning_rate);
    }

    fn hyper_parameters(&self) -> serde_json::Value {
        serde_json::json!({ "learning_rate": self.0 })
    }
}

/// The CPU with so many threads.
pub(crate) fn cpu(threads: usize) -> Device {
    Device::cpu().threads(NonZeroUsize::new(threads).expect("not zero"))
}

/// Reproducible numbers in ±1.
pub(crate) fn numbers(count: usize, stream: u32) -> Vec<f32> {
    (0..count).map(|i| 2.0 * random::uniform(3, stream, 0, i as u64) - 1.0).collect()
}

/// Rows of `features` numbers, of two classes that a line does not part.
pub(crate) fn two_classes(rows: usize, features: usize) -> Dataset {
    let x = numbers(rows * features, 1);
    let labels = x.chunks(features).map(|r| u32::from(r[0] * r[1] > 0.1)).collect();
    Dataset::new(
        vec![Column::numbers("x", &[features], x)],
        vec![Column::indices("y", &[], labels)],
    )
    .expect("valid data")
}

/// Rows of `features` numbers and a target between −4 and 4.
pub(crate) fn regression(rows: usize, features: usize) -> Dataset {
    let x = numbers(rows * features, 2);
    let noise = numbers(rows, 3);
    let y =
        x.chunks(features).zip(noise).map(|(r, e)| 2.0 * r[0] - r[1] + 0.5 + 0.25 * e).collect();
    Dataset::new(vec![Column::numbers("x", &[features], x)], vec![Column::numbers("y", &[1], y)])
        .expect("valid data")
}

/// Silent training.
pub(crate) fn quiet<'a>(epochs: usize, batch: usize) -> Fit<'a> {
    Fit::epochs(epochs).batch(batch).progress(Progress::Silent)
}

/// A trainer on one thread.
pub(crate) fn trainer(model: &Model, optimizer: impl Optimizer + 'static) -> Trainer {
    Trainer::new(model, optimizer).device(cpu(1)).seed(4).build().expect("a trainer")
}

/// All parameters by name, in the model's order.
pub(crate) fn parameters(trainer: &Trainer) -> Vec<(String, Vec<f32>)> {
    let all = trainer.network().parameters().iter();
    all.map(|p| (p.name.clone(), trainer.parameter(&p.name).expect("its name"))).collect()
}

/// The parameters' bits: equal only if nothing at all differs.
pub(crate) fn bits(trainer: &Trainer) -> Vec<(String, Vec<u32>)> {
    let bits = |x: Vec<f32>| x.into_iter().map(f32::to_bits).collect();
    parameters(trainer).into_iter().map(|(name, x)| (name, bits(x))).collect()
}

/// The bytes of a checkpoint and of a model file.
pub(crate) fn files(trainer: &Trainer, folder: &std::path::Path) -> (Vec<u8>, Vec<u8>) {
    let (checkpoint, model) = (folder.join("compared"), folder.join("compared_model"));
    trainer.save_checkpoint(&checkpoint).expect("a checkpoint");
    trainer.save(&model).expect("a model file");
    (std::fs::read(checkpoint).expect("its bytes"), std::fs::read(model).expect("its bytes"))
}
