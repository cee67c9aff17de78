//! The printed training plans of three models, as a reviewer reads them.

#[path = "common/training.rs"]
mod training;

use ironwarp::data::{Column, Dataset};
use ironwarp::prelude::*;
use training::{numbers, quiet, regression, trainer, two_classes};

#[test]
fn digits() {
    let labels = (0..64).map(|i| i % 10).collect();
    let x = Column::numbers("pixels", &[64], numbers(64 * 64, 1));
    let data = Dataset::new(vec![x], vec![Column::indices("digit", &[], labels)]).expect("data");
    let model = Model::input(64).dense(128).relu().dense(10);
    let plan =
        trainer(&model, Adam::new(2e-3)).describe_plan(&data, &quiet(1, 32)).expect("a plan");
    insta::assert_snapshot!("digits", plan);
}

#[test]
fn linear_regression() {
    let plan = trainer(&Model::input(4).dense(1), training::Descent(0.1))
        .describe_plan(&regression(64, 4), &quiet(1, 64))
        .expect("a plan");
    insta::assert_snapshot!("linear_regression", plan);
}

#[test]
fn clipped_accumulated_and_averaged() {
    let model = Model::input(6).layer(Dense::new(8).l2(1e-3)).gelu().dense(2);
    let builder = Trainer::new(&model, Adam::new(1e-3)).device(training::cpu(1));
    let mut trainer = builder.clip_norm(1.0).average(0.99).build().expect("a trainer");
    let data = two_classes(64, 6).with_weights(vec![0.5; 64]).expect("weights");
    let plan = trainer.describe_plan(&data, &quiet(1, 16).accumulate(2)).expect("a plan");
    insta::assert_snapshot!("clipped_accumulated_averaged", plan);
}
