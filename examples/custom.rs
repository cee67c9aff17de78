//! A layer, an activation, a loss and an optimizer of one's own, a few lines each. The file holds
//! what they compute, so the model loads without their code.

mod common;

use ironwarp::optim::OptimizerStep;
use ironwarp::plan::UpdateRule;
use ironwarp::prelude::*;
use ironwarp::random::uniform;
use ndarray::{Array1, Array2};

/// A layer: `x + scale · snake(dense(x))`, the scale a parameter per feature that begins at 0.
fn gated(x: &Value) -> Value {
    let scale = x.parameter("scale", &[x.last()], Init::ZEROS);
    x + &(snake(&x.layer(Dense::new(x.last()))) * &scale)
}

/// An activation: `x + sin²(x)`. Its derivative follows, and it fuses with its neighbours.
fn snake(x: &Value) -> Value {
    x.map(|x| x + x.sin().square())
}

/// A loss: Charbonnier's `√(1 + (output − target)²) − 1`, one number per row.
fn charbonnier(output: &Value, target: &Value) -> Value {
    output.map2(target, |y, t| ((y - t).square() + 1.0).sqrt() - 1.0).mean_per_row()
}

/// An optimizer: steps of one length, in the direction of the averaged gradient's sign.
struct SignDescent(f64);

impl Optimizer for SignDescent {
    fn name(&self) -> &str {
        "sign_descent"
    }

    fn learning_rate(&self) -> f64 {
        self.0
    }

    fn rule(&self) -> UpdateRule {
        UpdateRule::new(&[("momentum", 0.0)], &["rate"], |gradient, scalars, parameter, states| {
            let momentum = &states[0] * 0.9 + gradient * 0.1;
            (parameter - momentum.sign() * &scalars[0], vec![momentum])
        })
    }

    fn scalars(&self, step: &OptimizerStep, _memory: &mut Vec<f64>, scalars: &mut Vec<f64>) {
        scalars.push(step.learning_rate);
    }

    fn hyper_parameters(&self) -> serde_json::Value {
        serde_json::json!({ "learning_rate": self.0 })
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = common::arguments();
    let (seed, device) = (arguments.seed, arguments.device()?);
    let x = Array2::from_shape_fn((1024, 2), |(i, j)| uniform(seed, 1, j as u64, i as u64) * 4.0);
    let y: Array1<f32> = x.rows().into_iter().map(|x| x[0].sin() * x[1].cos()).collect();
    let (train, test) = Dataset::from_arrays(x, y)?.split(0.8, seed)?;

    let model = Model::input(2).dense(32).layer(snake).layer(gated).dense(1);
    arguments.say(&model);
    let builder = Trainer::new(&model, SignDescent(3e-3)).loss(charbonnier).seed(seed);
    let mut trainer = builder.device(device.clone()).build()?;
    let fit = Fit::epochs(arguments.amount(100, 10)).schedule(Schedule::Cosine { minimum: 0.0 });
    let history = trainer.fit(&train, fit.validate(&test).stop_on_interrupt())?;
    arguments.say(&history);
    arguments.report("test_rmse", trainer.evaluate(&test)?.metric("root_mean_squared_error"));
    arguments.report("rows_per_second", common::rows_per_second(&history));
    let file = tempfile::Builder::new().suffix(".safetensors").tempfile()?;
    trainer.save(file.path())?;
    let loaded = Trained::load(file.path(), device)?.predict(&test)?;
    let same = loaded.mapv(f32::to_bits) == trainer.trained()?.predict(&test)?.mapv(f32::to_bits);
    anyhow::ensure!(same, "the loaded model predicts other bits");
    arguments.report("loaded_model_predicts_the_same_bits", same);
    arguments.finish()
}
