//! `ironwarp train` and `predict` on folders of images and sounds, as a user runs them.
#![cfg(all(feature = "images", feature = "audio"))]

use std::fs;
use std::path::Path;

use ironwarp::random;
use serde_json::Value;
use tempfile::TempDir;

#[path = "common/program.rs"]
mod program;
use program::{each_makes_its_own, failed, json, said};

/// Trains, with the arguments that are usual here, and returns what is told as JSON.
fn trained(folder: &Path, arguments: &[&str]) -> Value {
    let usual = ["--epochs", "40", "--hidden", "16", "--device", "cpu", "--json"];
    json(folder, &[&["train"], arguments, &usual].concat())
}

/// How many of a CSV's files are told to be of the class that their name begins with.
fn right(csv: &str) -> (usize, usize) {
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("file,label,probability"));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let probable = |row: &&Vec<&str>| (0.5..=1.0).contains(&row[2].parse::<f32>().unwrap());
    assert_eq!(rows.iter().filter(probable).count(), rows.len(), "{csv}");
    (rows.iter().filter(|row| row[0].starts_with(row[1])).count(), rows.len())
}

/// Upright bars in the left or the right half, before some noise.
fn bars(folder: &Path) {
    for (class, first) in [("left", 0), ("right", 4)] {
        let path = folder.join("bars").join(class);
        fs::create_dir_all(&path).unwrap();
        for index in 0..60u64 {
            let word = |stream, i| random::word(first, stream, index, i);
            let at = first as u32 + word(0, 0) % 4;
            let image = image::RgbImage::from_fn(8, 8, |x, y| {
                let noise = (word(1, u64::from(8 * y + x)) % 60) as u8;
                let level = if at == x { 180 + noise } else { noise };
                image::Rgb([level, level / 2, 255 - level])
            });
            image.save(path.join(format!("{class}-{index}.png"))).unwrap();
        }
    }
}

#[test]
fn a_folder_of_images() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    bars(folder);
    let result = trained(folder, &["bars/"]);
    assert_eq!((&result["features"], &result["task"]), (&192.into(), &"classification".into()));
    assert!(result["test_accuracy"].as_f64().unwrap() > 0.9, "{result:#}");
    let told = said(folder, &["predict", "bars.safetensors", "bars", "--device", "cpu"]);
    assert!(told.contains("\nright/right-7.png,"), "{told}");
    let (correct, all) = right(&told);
    assert!(all == 120 && correct > 110, "{correct} of {all}");

    // One file, of another size, is predicted as the resized one; its row is not that of a CSV.
    let large = image::RgbImage::from_fn(16, 16, |x, _| match x / 2 {
        6 => image::Rgb([200, 100, 50]),
        _ => image::Rgb([20, 10, 230]),
    });
    large.save(folder.join("new.png")).unwrap();
    let told = said(folder, &["predict", "bars.safetensors", "new.png", "--probabilities"]);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "file,label,label=left,label=right");
    assert!(lines.len() == 2 && lines[1].starts_with("new.png,right,0."), "{told}");

    let text = said(folder, &["inspect", "bars.safetensors"]);
    assert!(text.contains("Images, 8 x 8, red, green, blue, normalised"), "{text}");
    assert!(text.contains("one of 2: left, right"), "{text}");
    // The settings that were written make the same model again, and others another.
    let model = fs::read(folder.join("bars.safetensors")).unwrap();
    said(folder, &["train", "--config", "bars.toml", "--out", "again.safetensors"]);
    assert_eq!(fs::read(folder.join("again.safetensors")).unwrap(), model);
    let small = ["bars", "--size", "4,6", "--grayscale", "--out", "small.safetensors"];
    assert_eq!(trained(folder, &small)["features"], 24);

    fs::write(folder.join("text.png"), "no image").unwrap();
    let (code, text) = failed(folder, &["predict", "bars.safetensors", "text.png"]);
    assert!(code == Some(3) && text.contains("text.png`, the image"), "{text}");
    let (code, text) = failed(folder, &["train", "bars", "--target", "x"]);
    assert!(code == Some(2) && text.contains("a folder takes no --target"), "{text}");
}

/// A tone of this frequency with some noise, as a WAV file.
fn tone(path: &Path, rate: u32, hertz: f32, seed: u64) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for i in 0..1600 {
        let noise = random::uniform(seed, 0, 0, i) - 0.5;
        let sample = (i as f32 * hertz * std::f32::consts::TAU / rate as f32).sin() * 0.5;
        writer.write_sample(((sample + 0.2 * noise) * 16000.0) as i16).unwrap();
    }
    writer.finalize().unwrap();
}

/// Low and high ones, 40 each.
fn tones(folder: &Path) {
    fs::create_dir(folder.join("tones")).unwrap();
    for index in 0..40u64 {
        for (class, hertz) in [("low", 300.0), ("high", 1500.0)] {
            let path = folder.join("tones").join(format!("{class}_{index}.wav"));
            tone(&path, 8000, hertz + 5.0 * index as f32, index);
        }
    }
}

#[test]
fn a_folder_of_sounds() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    tones(folder);
    let pattern = ["tones", "--pattern", "{class}_{index}.wav", "--fft", "256", "--hop", "128"];
    let result = trained(folder, &[&pattern[..], &["--bands", "20", "--mfcc", "8"]].concat());
    assert_eq!(result["features"], 8 * 13, "{result:#}");
    assert_eq!(result["test_accuracy"], 1.0, "{result:#}");
    let told = said(folder, &["predict", "tones.safetensors", "tones"]);
    assert_eq!(right(&told), (80, 80), "{told}");
    let text = said(folder, &["inspect", "tones.safetensors"]);
    assert!(
        text.contains("Sounds, 1600 samples at 8000 Hz, as 8 x 13 values, normalised"),
        "{text}"
    );

    tone(&folder.join("other.wav"), 16000, 300.0, 1);
    let (code, text) = failed(folder, &["predict", "tones.safetensors", "other.wav"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("16000 samples a second, expected 8000; resample it"), "{text}");
    let samples = [&pattern[..3], &["--bands", "0", "--out", "samples.safetensors"]].concat();
    assert_eq!(trained(folder, &samples)["features"], 1600);
}

const SHORTLY: [&str; 4] = ["--epochs", "2", "--hidden", "8"];

#[test]
fn images_are_augmented() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    bars(folder);
    let flags: [(&[&str], &str); 13] = [
        (&["--flip-horizontal", "0.5"], "flip-horizontal = 0.5"),
        (&["--flip-vertical", "0.5"], "flip-vertical = 0.5"),
        (&["--crop", "1"], "crop = 1"),
        (&["--rotate", "10"], "rotate = 10.0"),
        (&["--zoom", "0.9,1.2"], "zoom = [0.9, 1.2]"),
        (&["--shear", "10"], "shear = 10.0"),
        (&["--color-jitter", "0.2,0.2,0.2,0.1"], "color-jitter = [0.2, 0.2, 0.2, 0.1]"),
        (&["--cutout", "3"], "cutout = 3"),
        (&["--noise", "0.1"], "noise = 0.1"),
        (&["--mixup", "0.2"], "mixup = 0.2"),
        (&["--cutmix", "1"], "cutmix = 1.0"),
        (&["--crop", "2", "--fill", "-0.5"], "fill = -0.5"),
        (&["--balanced-sampling"], "balanced-sampling = true"),
    ];
    let some = ["--flip-vertical", "0.5", "--color-jitter", "0.2,0.2,0,0", "--mixup", "0.1"];
    each_makes_its_own(folder, &[&["bars"], &SHORTLY[..]].concat(), "bars", &flags);
    let result = trained(folder, &[&["bars"], &some[..]].concat());
    let accuracy = result["test_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "{accuracy}");
}

#[test]
fn sounds_are_augmented() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    tones(folder);
    let flags: [(&[&str], &str); 6] = [
        (&["--time-shift", "2"], "time-shift = 2"),
        (&["--gain", "6"], "gain = 6.0"),
        (&["--offset", "0.3"], "offset = 0.3"),
        (&["--noise", "0.1"], "noise = 0.1"),
        (&["--time-masks", "2,3"], "time-masks = [2, 3]"),
        (&["--frequency-masks", "1,4"], "frequency-masks = [1, 4]"),
    ];
    let some = ["--time-shift", "2", "--time-masks", "1,2", "--frequency-masks", "1,3"];
    let data = [
        "tones",
        "--pattern",
        "{class}_{index}.wav",
        "--fft",
        "256",
        "--hop",
        "128",
        "--bands",
        "20",
    ];
    each_makes_its_own(folder, &[&data, &SHORTLY[..]].concat(), "tones", &flags);
    let result = trained(folder, &[&data, &some[..]].concat());
    let accuracy = result["test_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "{accuracy}");
}

#[test]
fn wrong_augmentation_is_refused() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    bars(folder);
    fs::write(folder.join("typo.toml"), "data = \"bars\"\nflip-sideways = 0.5\n").unwrap();
    for (arguments, why) in [
        (&["bars", "--zoom", "1.1"][..], "--zoom has 1 numbers, it takes 2"),
        (&["bars", "--color-jitter", "0.1,0.1"], "--color-jitter has 2 numbers, it takes 4"),
        (&["bars", "--crop", "1", "--time-shift", "1"], "cannot be used with"),
        (&["bars", "--flip-horizontal", "1.5"], "flip"),
        (&["bars", "--cutout", "none"], "invalid value 'none'"),
        (&["--config", "typo.toml"], "line 2: unknown field `flip-sideways`"),
        (&["--config", "typo.toml"], "`flip-horizontal`, `flip-vertical`, `crop`"),
    ] {
        let (code, text) = failed(folder, &[&["train"], arguments].concat());
        assert!(code == Some(2) && text.contains(why), "{arguments:?}: {code:?} {text}");
    }
}
