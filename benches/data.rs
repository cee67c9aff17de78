//! How fast files become arrays: a table, images, sounds.
//!
//! `cargo bench --features images,audio --bench data -- csv FILE`, `images FOLDER` or `mel FOLDER`;
//! prints the median seconds of a reading. `benches/peers/data.py` makes the files and runs other
//! libraries beside it.

use std::time::Instant;

use ironwarp::data::{Csv, ImageFolder, LogMel, WavFolder};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|text| text != "--bench").collect();
    let [job, path] = arguments.as_slice() else {
        println!("name a job (csv, images or mel) and its file or folder");
        return Ok(());
    };
    let work: Box<dyn Fn() -> anyhow::Result<usize>> = match job.as_str() {
        "csv" => Box::new(|| Ok(Csv::open(path)?.read()?.len())),
        "images" => {
            let (mean, deviation) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
            let images = ImageFolder::new(path).size(224, 224).normalize(&mean, &deviation);
            Box::new(move || Ok(images.read()?.len()))
        }
        "mel" => {
            let sounds = WavFolder::new(path, "{class}_{index}.wav").length(16_000);
            let sounds = sounds.log_mel(LogMel::new(64).fft(512).hop(160));
            Box::new(move || Ok(sounds.read()?.len()))
        }
        _ => anyhow::bail!("no job `{job}`; there are csv, images and mel"),
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
