//! The printed training plans of the examples' models and of one with everything, as a reviewer
//! reads them.

#[path = "common/training.rs"]
mod training;

use ironwarp::data::{Column, Dataset};
use ironwarp::op::{Step, Target};
use ironwarp::optim::OptimizerStep;
use ironwarp::plan::UpdateRule;
use ironwarp::prelude::*;
use ironwarp::train::TrainerBuilder;
use training::{numbers, quiet, regression, two_classes};

/// Rows of these sizes with one of ten labels.
fn ten_classes(rows: usize, sizes: &[usize]) -> Dataset {
    let labels = (0..rows as u32).map(|i| i % 10).collect();
    let count = rows * sizes.iter().product::<usize>();
    let x = Column::numbers("x", sizes, numbers(count, 1));
    Dataset::new(vec![x], vec![Column::indices("y", &[], labels)]).expect("data")
}

fn plan(builder: TrainerBuilder<'_>, data: &Dataset, fit: &Fit<'_>) -> String {
    let mut trainer = builder.device(training::cpu(1)).build().expect("a trainer");
    trainer.describe_plan(data, fit).expect("a plan")
}

#[test]
fn digits() {
    let model = Model::input(64).dense(128).relu().dense(10);
    let builder = Trainer::new(&model, Adam::new(2e-3));
    let plan = plan(builder, &ten_classes(64, &[64]), &quiet(40, 32));
    insta::assert_snapshot!("digits", plan);
}

#[test]
fn linear_regression() {
    let model = Model::input(1).dense(1);
    let builder = Trainer::new(&model, GradientDescent::new(0.5));
    let x = Column::numbers("x", &[1], numbers(100, 1));
    let y = Column::numbers("y", &[1], numbers(100, 2));
    let data = Dataset::new(vec![x], vec![y]).expect("data");
    let plan = plan(builder, &data, &quiet(400, 100));
    insta::assert_snapshot!("linear_regression", plan);
}

#[test]
fn mnist() {
    let flatten = |image: &Value| image.flatten();
    let model = Model::input(&[28, 28]).named("flatten", flatten).dense(512).relu();
    let model = model.dense(512).relu().dense(10);
    let builder = Trainer::new(&model, Adam::new(1e-3));
    let data = ten_classes(128, &[28, 28]);
    let plan = plan(builder, &data, &quiet(10, 128));
    insta::assert_snapshot!("mnist", plan);
}

/// Launches of a step of the MNIST model in a burst, one between two steps with them.
fn launches(groups: &[ParameterGroup], clip: bool, capability: (u32, u32)) -> usize {
    let model = Model::input(784).dense(512).relu().dense(512).relu().dense(10);
    let builder = Trainer::new(&model, AdamW::new(1e-3)).device(training::cpu(1));
    let builder = groups.iter().cloned().fold(builder, TrainerBuilder::group);
    let builder = if clip { builder.clip_norm(1.0) } else { builder };
    let mut trainer = builder.build().expect("a trainer");
    let plan = trainer.training_plan(&ten_classes(128, &[784]), &quiet(10, 128)).expect("a plan");
    let of_step = |step: &Step| {
        let types = plan.graph.call_types(step);
        let launches = step.op.launches(&types, plan.capacity, &Target { capability });
        launches.expect("it has a CUDA form").list.len()
    };
    1 + plan.graph.steps.iter().map(of_step).sum::<usize>()
}

/// One between two steps, three products forward, the loss with its gradient, five products backward,
/// whether to go on, the update.
#[test]
fn a_step_has_twelve_launches() {
    for capability in [(7, 5), (8, 0), (9, 0), (12, 0)] {
        assert_eq!(launches(&[], false, capability), 12, "{capability:?}");
    }
}

/// Groups share the update, and the reduction that is the norm of their gradients.
#[test]
fn groups_add_no_launch_and_a_norm_adds_one() {
    let groups = [
        ParameterGroup::vectors().weight_decay_factor(0.0),
        ParameterGroup::matching("dense_1.*").learning_rate_factor(0.1),
    ];
    for capability in [(7, 5), (8, 0), (9, 0), (12, 0)] {
        for count in 0..=groups.len() {
            let all = [false, true].map(|clip| launches(&groups[..count], clip, capability));
            assert_eq!(all, [12, 13], "{} groups, {capability:?}", 1 + count);
        }
    }
}

#[test]
fn housing() {
    let model = Model::input(13).dense(64).relu().dense(64).relu().dense(1);
    let builder = Trainer::new(&model, Adam::new(3e-3));
    let plan = plan(builder, &regression(64, 13), &quiet(60, 64));
    insta::assert_snapshot!("housing", plan);
}

/// As in `examples/custom.rs`.
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

#[test]
fn custom() {
    let snake = |x: &Value| x.map(|x| x + x.sin().square());
    let gated = move |x: &Value| {
        let scale = x.parameter("scale", &[x.last()], Init::ZEROS);
        x + &(snake(&x.layer(Dense::new(x.last()))) * &scale)
    };
    let charbonnier = |output: &Value, target: &Value| {
        output.map2(target, |y, t| ((y - t).square() + 1.0).sqrt() - 1.0).mean_per_row()
    };
    let model = Model::input(2).dense(32).layer(snake).layer(gated).dense(1);
    let builder = Trainer::new(&model, SignDescent(3e-3)).loss(charbonnier);
    let plan = plan(builder, &regression(64, 2), &quiet(100, 32));
    insta::assert_snapshot!("custom", plan);
}

#[test]
fn clipped_accumulated_and_averaged() {
    let model = Model::input(6).layer(Dense::new(8).l2(1e-3)).gelu().dense(2);
    let builder = Trainer::new(&model, Adam::new(1e-3)).clip_norm(1.0).average(0.99);
    let builder = builder.group(ParameterGroup::vectors().weight_decay_factor(0.0));
    let data = two_classes(64, 6).with_weights(vec![0.5; 64]).expect("weights");
    let plan = plan(builder, &data, &quiet(1, 16).accumulate(2));
    insta::assert_snapshot!("clipped_accumulated_averaged", plan);
}
