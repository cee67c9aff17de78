//! Augmentation in training: what is drawn depends on seed, epoch and row alone.

use std::num::NonZeroUsize;

use ironwarp::data::{Column, Dataset};
use ironwarp::exec::Device;
use ironwarp::op::expression::Expr;
use ironwarp::prelude::*;
use ironwarp::random;
use ironwarp::train::StepReport;

const ROWS: usize = 37;
const SIZE: usize = 6;

/// Bars, upright or lying, on a background of noise.
fn bars() -> Dataset {
    let mut pixels = vec![0.0; ROWS * SIZE * SIZE];
    random::fill_uniform(3, 0, 0, 0, &mut pixels);
    let labels: Vec<u32> = (0..ROWS as u64).map(|i| random::word(3, 1, 0, i) % 2).collect();
    for (image, (row, label)) in pixels.chunks_mut(SIZE * SIZE).zip((0..).zip(&labels)) {
        let at = 1 + (random::word(3, 2, 0, row) % 4) as usize;
        for k in 0..SIZE {
            image[if *label == 0 { k * SIZE + at } else { at * SIZE + k }] += 2.0;
        }
    }
    let classes = ["upright", "lying"].map(String::from).to_vec();
    let image = Column::numbers("image", &[SIZE, SIZE], pixels);
    Dataset::new(vec![image], vec![Column::labels("bar", labels, classes)]).unwrap()
}

fn everything() -> Augment {
    Augment::new()
        .flip_horizontal(0.5)
        .flip_vertical(0.3)
        .crop(1)
        .rotate(15.0)
        .scale(0.9, 1.1)
        .shear(5.0)
        .fill(0.25)
        .color_jitter(0.2, 0.3, 0.0, 0.0)
        .gain(1.0)
        .offset(0.1)
        .noise(0.05)
        .cutout(2)
        .time_masks(1, 2)
        .frequency_masks(2, 1)
        .mixup(0.4)
        .cutmix(1.0)
}

fn trainer(device: &Device) -> Trainer {
    let model = Model::input(&[SIZE, SIZE]).flatten().dense(16).relu().dense(2);
    Trainer::new(&model, Adam::new(0.01)).device(device.clone()).seed(5).build().unwrap()
}

fn fit<'a>(augment: Option<Augment>) -> Fit<'a> {
    let fit = Fit::epochs(6).batch(8).progress(Progress::Silent);
    match augment {
        Some(augment) => fit.augment(augment),
        None => fit,
    }
}

fn bits(trainer: &Trainer) -> Vec<u32> {
    let names: Vec<_> = trainer.network().parameters().iter().map(|p| p.name.clone()).collect();
    let all = names.iter().flat_map(|name| trainer.parameter(name).unwrap());
    all.map(f32::to_bits).collect()
}

fn trained_by(fit: Fit<'_>, threads: usize) -> Vec<u32> {
    let mut trainer = trainer(&Device::cpu().threads(NonZeroUsize::new(threads).unwrap()));
    trainer.fit(&bars(), fit).unwrap();
    bits(&trainer)
}

fn trained(augment: Option<Augment>, threads: usize) -> Vec<u32> {
    trained_by(fit(augment), threads)
}

#[test]
fn threads_change_no_bit_and_augmentation_does() {
    let all = trained(Some(everything()), 1);
    assert_eq!(all, trained(Some(everything()), 3));
    assert_ne!(all, trained(None, 1));
    assert_eq!(trained(Some(Augment::new()), 1), trained(None, 1));
}

#[test]
fn a_resumed_run_has_the_same_bits() {
    let whole = trained(Some(everything()), 2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    let mut first = trainer(&Device::cpu());
    first.fit(&bars(), fit(Some(everything())).step_limit(13)).unwrap();
    first.save_checkpoint(&path).unwrap();
    let mut second = trainer(&Device::cpu());
    second.resume(&path).unwrap();
    let other = second.fit(&bars(), fit(None)).unwrap_err().to_string();
    assert!(other.contains("augment was"), "{other}");
    second.fit(&bars(), fit(Some(everything()))).unwrap();
    assert_eq!(bits(&second), whole);
}

/// Rows that are drawn are augmented by their places, which threads and interruptions leave alone.
#[test]
fn drawn_rows_have_the_same_bits_when_resumed() {
    let fit = || fit(Some(everything())).sample_balanced();
    let whole = trained_by(fit(), 1);
    assert_eq!(whole, trained_by(fit(), 3));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    for steps in [1, 13] {
        let mut first = trainer(&Device::cpu());
        first.fit(&bars(), fit().step_limit(steps)).unwrap();
        first.save_checkpoint(&path).unwrap();
        let mut second = trainer(&Device::cpu());
        second.resume(&path).unwrap();
        second.fit(&bars(), fit()).unwrap();
        assert_eq!(bits(&second), whole, "interrupted after {steps}");
    }
}

/// Epochs' losses over signals that are shifted at random, times the rows: sums of few whole numbers,
/// which are exact, and every place of a signal weighs otherwise in them.
fn shifted(fit: Fit<'_>) -> Vec<f64> {
    let pixels: Vec<f32> =
        (0..ROWS * SIZE).map(|i| (random::word(9, 0, 0, i as u64) % 7) as f32).collect();
    let data = Dataset::new(
        vec![Column::numbers("signal", &[SIZE], pixels)],
        vec![Column::numbers("zero", &[1], vec![0.0; ROWS])],
    )
    .unwrap();
    let model = Model::input(SIZE).dense(1);
    let mut trainer = Trainer::new(&model, GradientDescent::new(1e-30))
        .device(Device::cpu())
        .loss(MeanSquaredError)
        .build()
        .unwrap();
    let weights: Vec<f32> = (0..SIZE).map(|i| i as f32).collect();
    trainer.set_parameter("dense_1.weight", &weights).unwrap();
    trainer.set_parameter("dense_1.bias", &[0.0]).unwrap();
    let history = trainer.fit(&data, fit.augment(Augment::new().time_shift(2))).unwrap();
    history.epochs.iter().map(|e| (e.loss * ROWS as f64).round()).collect()
}

fn quiet<'a>(epochs: usize, batch: usize) -> Fit<'a> {
    Fit::epochs(epochs).batch(batch).progress(Progress::Silent)
}

#[test]
fn a_row_is_changed_alike_wherever_it_stands() {
    let losses = shifted(quiet(3, ROWS).shuffle(false));
    assert_eq!(losses, [48698.0, 55526.0, 47297.0], "what has been drawn ever since");
    assert_eq!(shifted(quiet(3, ROWS)), losses);
    assert_eq!(shifted(quiet(3, 5)), losses);
}

#[test]
fn a_row_that_is_drawn_again_is_changed_anew() {
    // All draws are of one row, and a shift of up to two steps has five outcomes.
    let mut weights = [0.0; ROWS];
    weights[3] = 1.0;
    let fit = |batch| quiet(2, batch).sample_weighted(&weights);
    let losses = shifted(fit(ROWS));
    assert_eq!(shifted(fit(5)), losses, "a place is the same in all batches");
    struct Losses<'a>(&'a mut Vec<f64>);
    impl Callback for Losses<'_> {
        fn on_step(&mut self, step: &StepReport) -> anyhow::Result<Flow> {
            self.0.push(step.loss);
            Ok(Flow::Continue)
        }
    }
    let mut each = vec![];
    let mut listener = Losses(&mut each);
    let again = shifted(fit(1).callback(&mut listener));
    assert_eq!(again, losses);
    each.truncate(ROWS);
    each.sort_unstable_by(f64::total_cmp);
    each.dedup();
    assert_eq!(each.len(), 5, "{each:?}");
}

/// Mean losses of some epochs over pairs of rows, with weights that stay as they are: the output is
/// the first pixel of an image of one colour, or the bias where `weight` is 0.
fn losses(
    loss: impl Loss + 'static,
    target: Column,
    weight: f32,
    bias: &[f32],
    augment: Augment,
) -> Vec<f64> {
    let colour = |row: usize| (random::word(4, 0, 0, row as u64) % 9) as f32;
    let pixels = (0..20).flat_map(|row| [colour(row); 12]).collect();
    let image = Column::numbers("image", &[3, 4], pixels);
    let data = Dataset::new(vec![image], vec![target]).unwrap();
    let model = Model::input(&[3, 4]).flatten().dense(bias.len());
    let mut trainer = Trainer::new(&model, GradientDescent::new(1e-30))
        .device(Device::cpu())
        .loss(loss)
        .build()
        .unwrap();
    let weights = vec![weight / 12.0; 12 * bias.len()];
    trainer.set_parameter("dense_1.weight", &weights).unwrap();
    trainer.set_parameter("dense_1.bias", bias).unwrap();
    let fit = Fit::epochs(3).batch(4).progress(Progress::Silent);
    let history = trainer.fit(&data, fit.augment(augment)).unwrap();
    history.epochs.iter().map(|e| e.loss).collect()
}

fn colours() -> Column {
    let colour = |row: u64| (random::word(4, 0, 0, row) % 9) as f32;
    Column::numbers("colour", &[1], (0..20).map(colour).collect())
}

/// In ten-thousandths: far above the few roundings of these sums.
fn rounded(losses: Vec<f64>) -> Vec<f64> {
    losses.into_iter().map(|loss| (loss * 1e4).round()).collect()
}

#[test]
fn numbers_are_mixed_as_their_images_are() {
    for augment in [
        Augment::new().mixup(0.5),
        Augment::new().cutmix(1.0),
        Augment::new().mixup(2.0).cutmix(0.3),
    ] {
        let mean = |target| losses(MeanSquaredError, target, 1.0, &[0.0], augment.clone());
        let zeros = Column::numbers("zero", &[1], vec![0.0; 20]);
        assert_eq!(rounded(mean(colours())), [0.0; 3], "{augment:?}");
        let plain = losses(MeanSquaredError, zeros.clone(), 1.0, &[0.0], Augment::new());
        let mixed = mean(zeros);
        // A mean of two is nearer to zero than they are, on average.
        assert!(mixed.iter().zip(&plain).all(|(mixed, plain)| mixed < plain), "{mixed:?}");
    }
}

#[test]
fn the_loss_of_mixed_classes_is_that_for_their_probabilities() {
    let bits: Vec<u32> = (0..20).map(|row| random::word(6, 0, 0, row) % 2).collect();
    let [no, yes] = [0.3f32, 1.7];
    let of_class =
        [no, yes].map(|x| (f64::from(no).exp() + f64::from(yes).exp()).ln() - f64::from(x));
    for augment in [Augment::new().mixup(0.4), Augment::new().cutmix(1.0)] {
        let numbers = Column::numbers("bit", &[1], bits.iter().map(|&bit| bit as f32).collect());
        let expected = losses(
            move |output: &Value, share: &Value| {
                let loss = |y: &Expr, t: &Expr| y * 0.0 + t * of_class[1] + (1.0 - t) * of_class[0];
                output.map2(share, loss).mean_per_row()
            },
            numbers,
            0.0,
            &[0.0],
            augment.clone(),
        );
        let classes = ["no", "yes"].map(String::from).to_vec();
        let labels = Column::labels("bit", bits.clone(), classes);
        let got = losses(CrossEntropy::default(), labels, 0.0, &[no, yes], augment.clone());
        assert_eq!(rounded(got), rounded(expected), "{augment:?}");
    }
}

#[test]
fn what_augmentation_does_not_fit_is_refused() {
    let refused = |model: &Model, augment: Augment| {
        let device = Device::cpu();
        let mut trainer = Trainer::new(model, Adam::new(0.01)).device(device).build().unwrap();
        trainer.fit(&bars(), fit(Some(augment))).unwrap_err().to_string()
    };
    let model = Model::input(&[SIZE, SIZE]).flatten().dense(2);
    for (augment, expected) in [
        (Augment::new().flip_horizontal(1.5), "the probability of a flip is 1.5, not 0..=1"),
        (Augment::new().rotate(f64::NAN), "`rotate` is NaN degrees"),
        (Augment::new().scale(2.0, 1.0), "`scale` is 2 to 1"),
        (Augment::new().noise(-1.0), "`noise` is -1, not 0 or more"),
        (
            Augment::new().color_jitter(0.0, 0.0, 0.5, 0.0),
            "saturation and hue ask for three channels, got 1",
        ),
        (Augment::new().color_jitter(0.0, 0.0, 0.0, 0.6), "`hue` is 0.6, not 0..=0.5"),
        (Augment::new().time_masks(7, 1).cutout(1).frequency_masks(1, 1), "9 masks of a row"),
        (Augment::new().image(1, 5, 7).crop(1), "no images [1, 5, 7]"),
        (Augment::new().mixup(0.0), "the alpha of `mixup` is 0, not above 0"),
        (Augment::new().cutmix(f64::NAN), "the alpha of `cutmix` is NaN"),
        (Augment::new().input("photo").crop(1), "there is `input`"),
    ] {
        let error = refused(&model, augment);
        assert!(error.contains(expected), "{error}");
    }
    let x = ndarray::Array2::from_shape_fn((8, 9), |(i, j)| (i + j) as f32 / 9.0);
    let signals = Dataset::from_arrays(x, ndarray::arr1(&[0u32, 1, 0, 1, 1, 0, 1, 0])).unwrap();
    let train = |augment: Augment| {
        let model = Model::input(9).dense(2);
        let mut trainer = Trainer::new(&model, Adam::new(0.01)).device(Device::cpu()).build()?;
        trainer.fit(&signals, fit(Some(augment)))
    };
    for augment in [Augment::new().crop(1), Augment::new().rotate(5.0), Augment::new().cutmix(1.0)]
    {
        let error = train(augment.clone()).unwrap_err().to_string();
        assert!(error.contains("rows of 9 numbers are signals"), "{error}");
        train(augment.image(1, 3, 3)).expect("images in a row");
    }
    train(Augment::new().time_shift(2).flip_horizontal(0.5).mixup(0.2)).expect("signals");
}
