//! Classifies real handwritten digits: trains, saves, loads and compares.

mod common;

use ironwarp::prelude::*;

fn main() -> anyhow::Result<()> {
    let mut arguments = common::arguments();
    let recipe = Dataset::csv(common::shipped("digits.csv.gz"))?
        .no_header()
        .target("64")?
        .classification()
        .min_max();
    let (train, test) = recipe.split_stratified(0.8, 42)?;

    let model = Model::input(train.features()).dense(128).relu().dense(train.classes());
    arguments.say(&model);
    let device = arguments.device()?;
    let mut trainer = Trainer::new(&model, Adam::new(2e-3))
        .device(device.clone())
        .seed(arguments.seed)
        .build()?;
    let epochs = arguments.amount(40, 5);
    let fit = Fit::epochs(epochs).batch(32).validate(&test).stop_on_interrupt();
    let history = trainer.fit(&train, fit)?;
    arguments.say(&history);

    let evaluation = trainer.evaluate(&test)?;
    arguments.report("test_accuracy", evaluation.metric("accuracy"));
    arguments.report("test_loss", evaluation.loss);
    arguments.report("rows_per_second", common::rows_per_second(&history));

    let file = tempfile::Builder::new().suffix(".safetensors").tempfile()?;
    trainer.save(file.path())?;
    let loaded = Trained::load(file.path(), device)?;
    let bits = |predictions: ndarray::Array2<f32>| predictions.mapv(f32::to_bits);
    let same = bits(loaded.predict(&test)?) == bits(trainer.trained()?.predict(&test)?);
    anyhow::ensure!(same, "the loaded model predicts other bits");
    arguments.report("loaded_model_predicts_the_same_bits", same);
    arguments.finish()
}
