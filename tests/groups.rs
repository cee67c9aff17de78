//! Groups of parameters: rates, weight decay and freezing by name, in checkpoints too.

#[path = "common/training.rs"]
mod training;

use ironwarp::data::Dataset;
use ironwarp::optim::NAdam;
use ironwarp::prelude::*;
use ironwarp::train::TrainerBuilder;
use training::{Descent, bits, cpu, files, quiet, two_classes};

const ENCODER: &str = "encoder.*";

fn model() -> Model {
    Model::input(4).named("encoder", Dense::new(6)).tanh().dense(2)
}

fn built(
    optimizer: impl Optimizer + 'static,
    options: impl FnOnce(TrainerBuilder<'_>) -> TrainerBuilder<'_>,
) -> Trainer {
    let model = model();
    let builder = options(Trainer::new(&model, optimizer).device(cpu(1)).seed(4));
    builder.build().expect("a trainer")
}

/// Parameters after one step, by whether they are the encoder's.
fn one_step(mut trainer: Trainer, data: &Dataset) -> [Vec<(String, Vec<u32>)>; 2] {
    trainer.fit(data, quiet(1, 32)).expect("a step");
    let (encoder, others) = bits(&trainer).into_iter().partition(|(n, _)| n.starts_with("encoder"));
    [encoder, others]
}

#[test]
fn a_group_learns_at_its_share_of_the_rate() {
    let data = two_classes(32, 4);
    let slow = ParameterGroup::matching(ENCODER).learning_rate_factor(0.25);
    let [encoder, others] = one_step(built(Descent(0.5), |b| b.group(slow)), &data);
    let [quarter, _] = one_step(built(Descent(0.125), |b| b), &data);
    let [full, whole] = one_step(built(Descent(0.5), |b| b), &data);
    assert_eq!((&encoder, &others), (&quarter, &whole));
    assert_ne!(encoder, full);
}

#[test]
fn a_group_decays_at_its_share() {
    let data = two_classes(32, 4);
    let decayed = |decay| AdamW::new(0.1).weight_decay(decay);
    let group = |factor| ParameterGroup::matching(ENCODER).weight_decay_factor(factor);
    let [encoder, others] = one_step(built(decayed(0.5), |b| b.group(group(0.5))), &data);
    let [half, _] = one_step(built(decayed(0.25), |b| b), &data);
    let [full, whole] = one_step(built(decayed(0.5), |b| b), &data);
    assert_eq!((&encoder, &others), (&half, &whole));
    assert_ne!(encoder, full);
}

fn idle(builder: TrainerBuilder<'_>) -> TrainerBuilder<'_> {
    builder.weighted_loss(CrossEntropy::default(), 0.0)
}

#[test]
fn weight_decay_spares_vectors_on_wish() {
    // The loss counts nothing, so weight decay alone moves parameters.
    let data = two_classes(32, 4);
    let decaying = || Sgd::new(0.1).weight_decay(0.5);
    let vectors = ParameterGroup::vectors().weight_decay_factor(0.0);
    let before = bits(&built(decaying(), idle));
    for spared in [false, true] {
        let mut trainer = built(decaying(), |b| match spared {
            true => idle(b).group(vectors.clone()),
            false => idle(b),
        });
        trainer.fit(&data, quiet(1, 32)).expect("a step");
        for ((name, new), (_, old)) in bits(&trainer).iter().zip(&before) {
            assert_eq!(new == old, spared && name.ends_with("bias"), "`{name}`, spared: {spared}");
        }
    }
}

#[test]
fn frozen_parameters_stay_and_are_no_part_of_the_plan() {
    let data = two_classes(32, 4);
    let mut trainer = built(Adam::new(0.1).weight_decay(0.1), |b| b.freeze(ENCODER));
    let before = bits(&trainer);
    trainer.fit(&data, quiet(2, 8)).expect("training");
    for ((name, new), (_, old)) in bits(&trainer).iter().zip(&before) {
        assert_eq!(name.starts_with("encoder"), new == old, "`{name}`");
    }
    let plan = trainer.describe_plan(&data, &quiet(1, 8)).expect("a plan");
    assert!(!plan.contains("encoder.weight.gradient"), "{plan}");
    assert!(plan.contains("update/parameters: group/parameters[128]"), "{plan}");
}

#[test]
fn the_first_group_that_fits_has_the_parameter() {
    let data = two_classes(32, 4);
    let trainer = |first: ParameterGroup, second: ParameterGroup| {
        built(Descent(0.5), |b| b.group(first).group(second))
    };
    let (slow, biases) = (
        ParameterGroup::matching("encoder*").learning_rate_factor(0.5),
        ParameterGroup::matching("*.bias").frozen(),
    );
    let start = bits(&built(Descent(0.5), |b| b));
    let [moved, _] = one_step(trainer(slow.clone(), biases.clone()), &data);
    assert_ne!(moved[1], start[1], "`encoder.bias` is of the first group");
    let [kept, _] = one_step(trainer(biases, slow), &data);
    assert_eq!(kept[1], start[1], "`encoder.bias` is of the first group");
}

#[test]
fn groups_survive_an_interruption() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = two_classes(40, 4);
    let begin = || {
        built(NAdam::new(0.02).weight_decay(0.1), |b| {
            b.group(ParameterGroup::matching(ENCODER).learning_rate_factor(0.1))
                .group(ParameterGroup::vectors().weight_decay_factor(0.0))
                .average(0.9)
        })
    };
    let mut straight = begin();
    straight.fit(&data, quiet(3, 16)).expect("training");
    let expected = files(&straight, folder.path());
    let path = folder.path().join("interrupted");
    for step in 1..straight.steps() {
        let mut interrupted = begin();
        interrupted.fit(&data, quiet(3, 16).step_limit(step)).expect("training");
        interrupted.save_checkpoint(&path).expect("a checkpoint");
        let mut resumed = begin();
        resumed.resume(&path).expect("the checkpoint fits");
        resumed.fit(&data, quiet(3, 16)).expect("training");
        assert!(files(&resumed, folder.path()) == expected, "interrupted after step {step}");
    }
    let error = built(NAdam::new(0.02).weight_decay(0.1), |b| b.average(0.9));
    let error = { error }.resume(&path).expect_err("refused").to_string();
    assert!(error.contains("its optimizer.groups is [{"), "{error}");
    let factor = built(NAdam::new(0.02).weight_decay(0.1), |b| {
        b.group(ParameterGroup::matching(ENCODER).learning_rate_factor(0.2))
            .group(ParameterGroup::vectors().weight_decay_factor(0.0))
            .average(0.9)
    });
    let error = { factor }.resume(&path).expect_err("refused").to_string();
    assert!(error.contains("\"learning_rate_factor\":0.2"), "{error}");
}

#[test]
fn groups_that_cannot_be_are_refused() {
    let model = model();
    let builder = Trainer::new(&model, Adam::new(0.1)).freeze("conv.*");
    let builder = builder.group(ParameterGroup::vectors().learning_rate_factor(-1.0));
    let error = builder.build().err().expect("refused").to_string();
    assert_eq!(
        error,
        "training options: group `vectors`: `learning_rate_factor` is -1, not 0 or more; no \
         parameter is left for group `conv.*`; there are `encoder.weight`, `encoder.bias`, \
         `dense_1.weight`, `dense_1.bias`"
    );
}
