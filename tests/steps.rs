//! Single steps against hand-made numbers: clipping, penalties, tied and useless parameters, least
//! squares.

#[path = "common/training.rs"]
mod training;

use ironwarp::data::{Column, Dataset};
use ironwarp::prelude::*;
use training::bounds::{least_squares, roundings};
use training::{Descent, cpu, parameters, quiet, regression, trainer, two_classes};

/// One step of plain descent at rate 1 from parameters that are all 0: they are the negative
/// gradient afterwards, without a rounding.
fn gradient(build: impl FnOnce(Trainer) -> Trainer) -> Vec<f64> {
    let mut trainer = build(trainer(&Model::input(3).dense(1), Descent(1.0)));
    trainer.set_parameter("dense_1.weight", &[0.0; 3]).expect("its name");
    trainer.set_parameter("dense_1.bias", &[0.0]).expect("its name");
    trainer.fit(&regression(16, 3), quiet(1, 16)).expect("training");
    parameters(&trainer).into_iter().flat_map(|(_, p)| p).map(|p| -f64::from(p)).collect()
}

fn clipped(clip: impl FnOnce(ironwarp::train::TrainerBuilder<'_>) -> Trainer) -> Vec<f64> {
    let model = Model::input(3).dense(1);
    let trainer = clip(Trainer::new(&model, Descent(1.0)).device(cpu(1)).seed(4));
    gradient(|_| trainer)
}

#[test]
fn clipping_limits_the_update() {
    let free = gradient(|trainer| trainer);
    let norm = |g: &[f64]| g.iter().map(|g| g * g).sum::<f64>().sqrt();
    let full = norm(&free);
    assert!(full > 0.5, "the gradient is to be worth clipping: {full}");
    let limit = 0.125;
    let scale = limit / (full + 1e-6);
    let by_norm = clipped(|b| b.clip_norm(limit).build().expect("a trainer"));
    assert!(norm(&by_norm) <= limit);
    for (clipped, free) in by_norm.iter().zip(&free) {
        // The norm of 4 elements rounds 4 squares, 3 sums and a root, the rest 4 times.
        assert!((clipped - free * scale).abs() <= roundings(12, free.abs() * scale));
    }
    let by_value = clipped(|b| b.clip_value(limit).build().expect("a trainer"));
    let expected: Vec<_> = free.iter().map(|g| g.clamp(-limit, limit)).collect();
    assert_eq!(by_value, expected);
    let wide = clipped(|b| b.clip_norm(2.0 * full).build().expect("a trainer"));
    assert_eq!(wide, free, "a limit that is not reached changes nothing");
}

#[test]
fn penalties_have_their_gradients() {
    // Rows of zeros leave the weights without a gradient but that of the penalties.
    let x = Column::numbers("x", &[3], vec![0.0; 24]);
    let data = Dataset::new(vec![x], vec![Column::numbers("y", &[1], vec![0.0; 8])]).expect("data");
    let model = Model::input(3).layer(Dense::new(1).bias(false).l1(0.125).l2(0.25));
    for (batch, accumulate) in [(8, 1), (3, 3)] {
        let mut trainer = trainer(&model, Descent(1.0));
        let start = [0.5f32, -2.0, 0.0];
        trainer.set_parameter("dense_1.weight", &start).expect("its name");
        let loss = 0.125 * 2.5 + 0.25 * 4.25;
        assert_eq!(trainer.evaluate(&data).expect("a loss").loss, loss);
        let history = trainer.fit(&data, quiet(1, batch).accumulate(accumulate)).expect("training");
        // w − 0.125 sign(w) − 2 · 0.25 w.
        let expected =
            start.map(|w| w - 0.125 * w.partial_cmp(&0.0).map_or(0, |o| o as i32) as f32 - 0.5 * w);
        let got = trainer.parameter("dense_1.weight").expect("its name");
        for ((got, expected), start) in got.iter().zip(expected).zip(start) {
            let bound = roundings(8, f64::from(start.abs()) + 0.125);
            let error = f64::from((got - expected).abs());
            assert!(error <= bound, "{accumulate} batches: {got} and {expected}");
        }
        assert!((history.epochs[0].loss - loss).abs() <= roundings(8, loss));
    }
}

#[test]
fn a_parameter_without_influence_is_refused() {
    let idle = |x: &Value| {
        x.parameter("unused", &[3], Init::ZEROS);
        x.clone()
    };
    let model = Model::input(3).dense(1).named("idle", idle);
    let mut trainer = trainer(&model, Descent(0.1));
    let error = trainer.fit(&regression(8, 3), quiet(1, 8)).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "cannot plan the model: parameter `idle.unused` has no influence on any loss; use it, \
         freeze it or remove it"
    );
    let model = Model::input(3).dense(1);
    let all_frozen = Trainer::new(&model, Descent(0.1)).freeze("*").build();
    let result = all_frozen.expect("a trainer").fit(&regression(8, 3), quiet(1, 8));
    assert!(result.is_ok(), "nothing to train is no error: {result:?}");
}

/// `x W₁ᵀ W₂ᵀ` summed to one number, with one weight for both or two of the same elements.
fn square_layers(tied: bool) -> Trainer {
    let layers = move |x: &Value| {
        let first = x.parameter("first", &[3, 3], Init::DenseDefault);
        let second = match tied {
            true => x.tied("layers.first"),
            false => x.parameter("second", &[3, 3], Init::DenseDefault),
        };
        x.matmul_transposed(&first).matmul_transposed(&second).sum(&[1], true)
    };
    let model = Model::input(3).named("layers", layers);
    let mut trainer = trainer(&model, Descent(0.5));
    let start = training::numbers(9, 8);
    trainer.set_parameter("layers.first", &start).expect("its name");
    if !tied {
        trainer.set_parameter("layers.second", &start).expect("its name");
    }
    trainer
}

#[test]
fn tied_weights_get_the_sum_of_their_gradients() {
    let data = regression(16, 3);
    let (mut tied, mut apart) = (square_layers(true), square_layers(false));
    let start = training::numbers(9, 8);
    for accumulate in [1, 2] {
        let fit = || quiet(1, 16 / accumulate).accumulate(accumulate);
        for trainer in [&mut tied, &mut apart] {
            for (name, _) in parameters(trainer) {
                trainer.set_parameter(&name, &start).expect("its name");
            }
            trainer.fit(&data, fit()).expect("training");
        }
        let got = tied.parameter("layers.first").expect("its name");
        let first = apart.parameter("layers.first").expect("its name");
        let second = apart.parameter("layers.second").expect("its name");
        for i in 0..9 {
            let [w, a, b] = [start[i], first[i], second[i]].map(f64::from);
            let expected = w + (a - w) + (b - w);
            let largest = w.abs() + (a - w).abs() + (b - w).abs();
            let error = (f64::from(got[i]) - expected).abs();
            assert!(error <= roundings(8, largest), "element {i}: {} and {expected}", got[i]);
            assert!(a != w && b != w);
        }
    }
}

#[test]
fn parameters_that_are_added_share_a_gradient() {
    let shared = |x: &Value| {
        let product = x.layer(Dense::new(2).bias(false));
        let one = x.parameter("one", &[2], Init::ZEROS);
        let other = x.parameter("other", &[2], Init::ZEROS);
        product + (&one + &other)
    };
    let model = Model::input(4).named("shared", shared);
    let data = two_classes(16, 4);
    for accumulate in [1, 2] {
        let mut trainer = trainer(&model, Adam::new(0.1));
        let fit = quiet(3, 8).accumulate(accumulate);
        trainer.fit(&data, fit).expect("training");
        let value = |name| trainer.parameter(name).expect("its name");
        assert_eq!(value("shared.one"), value("shared.other"));
        assert_ne!(value("shared.one"), [0.0; 2]);
    }
}

/// Solves `a x = b` by elimination with pivots.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        let pivot = (i..n).max_by(|&p, &q| a[p][i].abs().total_cmp(&a[q][i].abs())).expect("rows");
        a.swap(i, pivot);
        b.swap(i, pivot);
        let pivoted = a[i].clone();
        for row in i + 1..n {
            let factor = a[row][i] / pivoted[i];
            for (x, above) in a[row].iter_mut().zip(&pivoted) {
                *x -= factor * above;
            }
            b[row] -= factor * b[i];
        }
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| a[i][j] * b[j]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    b
}

#[test]
fn linear_regression_finds_the_least_squares() {
    // Signs by the bits of the row, so that columns are orthogonal; half of the first is added to
    // the last. Then XᵀX / n has the smallest eigenvalue (2.25 − √1.0625) / 2 > 0.6, and the Hessian
    // of the mean squared error twice that.
    let row = |i: usize| {
        let mut x = [0, 1, 2].map(|bit| if i >> bit & 1 == 1 { 1.0f64 } else { -1.0 });
        x[2] += 0.5 * x[0];
        x
    };
    let rows = 32;
    let noise = training::numbers(rows, 6);
    let y: Vec<f32> =
        (0..rows).map(|i| (row(i)[0] - 2.0 * row(i)[2] + 0.25) as f32 + noise[i]).collect();
    let x: Vec<f32> = (0..rows).flat_map(row).map(|x| x as f32).collect();
    let data = Dataset::new(
        vec![Column::numbers("x", &[3], x)],
        vec![Column::numbers("y", &[1], y.clone())],
    )
    .expect("data");

    let with_one = |i: usize| row(i).into_iter().chain([1.0]).collect::<Vec<_>>();
    let sum = |f: &dyn Fn(usize) -> f64| (0..rows).map(f).sum::<f64>();
    let gram = (0..4).map(|j| (0..4).map(|k| sum(&|i| with_one(i)[j] * with_one(i)[k])).collect());
    let right = (0..4).map(|j| sum(&|i| with_one(i)[j] * f64::from(y[i]))).collect();
    let expected = solve(gram.collect(), right);

    let mut trainer = trainer(&Model::input(3).dense(1), Descent(0.25));
    trainer.fit(&data, quiet(200, rows)).expect("training");
    let got: Vec<f32> = parameters(&trainer).into_iter().flat_map(|(_, p)| p).collect();
    for (got, expected) in got.iter().zip(&expected) {
        // Residuals and features are at most 2 and 1.5, so are 2 · residual · feature below 6; the
        // features mix parameters of up to 2, hence their own rounding.
        let bound = least_squares(rows, 6.0, 0.25, 2.0, 1.2);
        let error = (f64::from(*got) - expected).abs();
        assert!(error <= bound, "{got} and {expected} differ by {error:e} > {bound:e}");
    }
}
