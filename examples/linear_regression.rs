//! Fits a line to 100 points of `y = 3x + 2 + U(0, 1)` in three ways, beside the closed form.

mod common;

use ironwarp::optim::{GradientDescent, Sgd};
use ironwarp::prelude::*;
use ironwarp::random::uniform;
use ironwarp::train::TrainerBuilder;
use ndarray::{Array1, Array2};
use serde_json::json;

/// Streams of random numbers.
const X: u32 = 1;
const NOISE: u32 = 2;

/// Slope and intercept of the least-squares line, by the normal equations.
fn least_squares(x: &[f32], y: &[f32]) -> (f64, f64) {
    let points = x.iter().zip(y).map(|(&x, &y)| (f64::from(x), f64::from(y)));
    let [n, sx, sy, sxx, sxy] = points.fold([0.0; 5], |[n, sx, sy, sxx, sxy], (x, y)| {
        [n + 1.0, sx + x, sy + y, sxx + x * x, sxy + x * y]
    });
    let slope = (n * sxy - sx * sy) / (n * sxx - sx * sx);
    (slope, (sy - slope * sx) / n)
}

fn main() -> anyhow::Result<()> {
    let mut arguments = common::arguments();
    let (seed, device) = (arguments.seed, arguments.device()?);
    let x = Array2::from_shape_fn((100, 1), |(i, _)| uniform(seed, X, 0, i as u64));
    let y =
        Array1::from_shape_fn(100, |i| 3.0 * x[[i, 0]] + 2.0 + uniform(seed, NOISE, 0, i as u64));
    let closed = least_squares(&x.iter().copied().collect::<Vec<_>>(), &y.to_vec());
    let data = Dataset::from_arrays(x, y)?;
    let model = Model::input(1).dense(1);

    let decay = |factor| Schedule::Exponential { every: 1000, factor };
    let runs: [(&str, TrainerBuilder<'_>, Fit<'_>); 3] = [
        (
            "gradient_descent",
            Trainer::new(&model, GradientDescent::new(0.5)),
            Fit::epochs(400).batch(100),
        ),
        (
            "stochastic_gradient_descent",
            Trainer::new(&model, Sgd::new(0.2)),
            Fit::epochs(500).batch(10).schedule(decay(0.2)),
        ),
        (
            "adam",
            Trainer::new(&model, Adam::new(0.1)),
            Fit::epochs(500).batch(10).schedule(decay(0.2)),
        ),
    ];
    let (mut worst, mut farthest, mut speed) = (closed, 0.0, 0.0_f64);
    for (name, trainer, fit) in runs {
        let mut trainer = trainer.device(device.clone()).seed(seed).build()?;
        let history = trainer.fit(&data, fit.progress(Progress::Silent))?;
        speed = speed.max(common::rows_per_second(&history));
        let one = |name: &str| trainer.parameter(name).map(|elements| f64::from(elements[0]));
        let (slope, intercept) = (one("dense_1.weight")?, one("dense_1.bias")?);
        let mut at_half = [0.0];
        trainer.trained()?.predict_into(&[0.5], 1, &mut at_half)?;
        arguments.report(
            name,
            json!({"slope": slope, "intercept": intercept, "prediction_at_half": at_half[0]}),
        );
        let distance = (slope - closed.0).abs().max((intercept - closed.1).abs());
        if distance >= farthest {
            (worst, farthest) = ((slope, intercept), distance);
        }
    }
    arguments.report("closed_form_slope", closed.0);
    arguments.report("closed_form_intercept", closed.1);
    arguments.report("slope", worst.0);
    arguments.report("intercept", worst.1);
    arguments.report("rows_per_second", speed);
    arguments.finish()
}
