//! Predictions: any number of rows, all ways of asking, from memory and from a file.

#[path = "common/training.rs"]
mod training;

use ironwarp::data::{Column, Dataset};
use ironwarp::prelude::*;
use training::{cpu, numbers, quiet, regression, trainer, two_classes};

fn rows_of(count: usize) -> (Vec<f32>, Dataset) {
    let x = numbers(count * 5, 7);
    let data = Dataset::new(vec![Column::numbers("x", &[5], x.clone())], vec![]).expect("data");
    (x, data)
}

fn trained() -> Trainer {
    let model = Model::input(5).dense(33).gelu().dense(2);
    let mut trainer = trainer(&model, Adam::new(0.01));
    trainer.fit(&two_classes(64, 5), quiet(2, 16)).expect("training");
    trainer
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn any_number_of_rows_is_predicted_as_row_by_row() {
    let model = trained().trained().expect("a model");
    let (x, _) = rows_of(1025);
    let mut one_by_one = vec![0.0; 2 * 1025];
    for (x, y) in x.chunks(5).zip(one_by_one.chunks_mut(2)) {
        model.predict_into(x, 1, y).expect("a prediction");
    }
    for count in [1, 31, 33, 1025] {
        let (x, data) = rows_of(count);
        let expected = bits(&one_by_one[..2 * count]);
        let mut y = vec![0.0; 2 * count];
        model.predict_into(&x, count, &mut y).expect("a prediction");
        assert_eq!(bits(&y), expected, "{count} rows into a buffer");
        let predicted = model.predict(&data).expect("a prediction");
        assert_eq!(predicted.dim(), (count, 2));
        let predicted = predicted.into_raw_vec_and_offset().0;
        assert_eq!(bits(&predicted), expected, "{count} rows of a dataset");
        let classes = model.predict_classes(&data).expect("a prediction");
        let larger: Vec<_> = y.chunks(2).map(|y| u32::from(y[1] > y[0])).collect();
        assert_eq!(classes, larger);
    }
}

#[test]
fn a_file_predicts_the_same_bits() {
    let folder = tempfile::tempdir().expect("a folder");
    let trainer = trained();
    let (_, data) = rows_of(40);
    let predict = |model: &Trained| {
        let predicted = model.predict(&data).expect("a prediction");
        bits(&predicted.into_raw_vec_and_offset().0)
    };
    let expected = predict(&trainer.trained().expect("a model"));
    let (model, checkpoint) = (folder.path().join("model"), folder.path().join("checkpoint"));
    trainer.save(&model).expect("a file");
    trainer.save_checkpoint(&checkpoint).expect("a file");
    for (path, threads) in [(&model, 1), (&model, 3), (&checkpoint, 1)] {
        let loaded = Trained::load(path, cpu(threads)).expect("a model");
        assert_eq!(predict(&loaded), expected);
    }
}

#[test]
fn threads_share_a_model() {
    let model = trained().trained().expect("a model");
    let (_, data) = rows_of(50);
    let expected = model.predict(&data).expect("a prediction");
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| model.predict(&data).expect("a prediction"))).collect();
        for thread in threads {
            assert_eq!(thread.join().expect("no panic"), expected);
        }
    });
}

#[test]
fn averages_and_parameters_change_places() {
    let model = Model::input(3).dense(1);
    let builder = Trainer::new(&model, Adam::new(0.1)).device(cpu(1));
    let mut averaging = builder.average(0.5).build().expect("a trainer");
    let early = averaging.use_averages().expect_err("no averages yet");
    assert_eq!(early.to_string(), "there are no averages before the first step; call `fit` first");
    let data = regression(16, 3);
    averaging.fit(&data, quiet(2, 16).step_limit(1)).expect("a step");
    let first = training::parameters(&averaging);
    averaging.use_averages().expect("averages");
    assert_eq!(training::parameters(&averaging), first, "averages begin at the first parameters");
    averaging.use_averages().expect("averages");
    averaging.fit(&data, quiet(2, 16)).expect("a step");
    let second = training::parameters(&averaging);
    averaging.use_averages().expect("averages");
    for (((_, average), (_, a)), (_, b)) in
        training::parameters(&averaging).iter().zip(&first).zip(&second)
    {
        for ((average, a), b) in average.iter().zip(a).zip(b) {
            let exact = 0.5 * (f64::from(*a) + f64::from(*b));
            let largest = f64::from(a.abs().max(b.abs()));
            let error = (f64::from(*average) - exact).abs();
            assert!(error <= training::bounds::roundings(3, largest), "{average} and {exact}");
        }
    }
    averaging.use_averages().expect("averages");
    assert_eq!(training::parameters(&averaging), second);

    let plain = trainer(&model, Adam::new(0.1)).use_averages().expect_err("no averages");
    assert_eq!(plain.to_string(), "the trainer keeps no averages; build it with `average(decay)`");
}
