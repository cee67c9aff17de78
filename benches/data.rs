//! How fast files become arrays: a table, images, sounds.
//!
//! `cargo bench --features images,audio --bench data -- csv FILE`, `images FOLDER`, `augmented FOLDER`
//! or `mel FOLDER`; prints the median seconds of a reading. `benches/peers/data.py` makes the files and
//! runs other libraries beside it.

use std::time::Instant;

use ironwarp::data::{Csv, ImageFolder, LogMel, WavFolder};
use ironwarp::prelude::*;

/// Images are so many lines of so many pixels.
const SIDE: u32 = 224;
/// Images that are augmented at once.
const BATCH: usize = 50;

/// Reads images and changes each once at random, as `Fit` does: by an epoch of training on the CPU. The
/// model is one layer of two outputs, and its steps are counted too.
fn augmented(path: &str) -> anyhow::Result<impl FnMut() -> anyhow::Result<usize>> {
    let folder = ImageFolder::new(path).size(SIDE, SIDE).normalize(&[0.5; 3], &[0.5; 3]);
    let model = Model::input(&[3, SIDE as usize, SIDE as usize]).flatten().dense(2);
    let trainer = Trainer::new(&model, GradientDescent::new(1e-6)).device(Device::cpu());
    let mut trainer = trainer.build()?;
    let augment = Augment::new().flip_horizontal(0.5).rotate(15.0);
    let augment = augment.color_jitter(0.2, 0.2, 0.2, 0.05);
    Ok(move || {
        let images = folder.read()?;
        let fit = Fit::epochs(1).batch(BATCH).progress(Progress::Silent);
        trainer.fit(&images, fit.augment(augment.clone()))?;
        Ok(images.len())
    })
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|text| text != "--bench").collect();
    let [job, path] = arguments.as_slice() else {
        println!("name a job (csv, images, augmented or mel) and its file or folder");
        return Ok(());
    };
    let mut work: Box<dyn FnMut() -> anyhow::Result<usize>> = match job.as_str() {
        "csv" => Box::new(|| Ok(Csv::open(path)?.read()?.len())),
        "images" => {
            let (mean, deviation) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
            let images = ImageFolder::new(path).size(SIDE, SIDE).normalize(&mean, &deviation);
            Box::new(move || Ok(images.read()?.len()))
        }
        "augmented" => Box::new(augmented(path)?),
        "mel" => {
            let sounds = WavFolder::new(path, "{class}_{index}.wav").length(16_000);
            let sounds = sounds.log_mel(LogMel::new(64).fft(512).hop(160));
            Box::new(move || Ok(sounds.read()?.len()))
        }
        _ => anyhow::bail!("no job `{job}`; there are csv, images, augmented and mel"),
    };
    let rows = work()?;
    let mut seconds = Vec::new();
    while seconds.len() < 3 || seconds.iter().sum::<f64>() < 2.0 {
        let started = Instant::now();
        anyhow::ensure!(work()? == rows, "a reading gave other rows");
        seconds.push(started.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    println!(
        "{{\"version\": \"{}\", \"rows\": {rows}, \"seconds\": {median}}}",
        env!("CARGO_PKG_VERSION")
    );
    Ok(())
}
