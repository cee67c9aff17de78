use std::path::Path;

use super::{features, message, targets};
use crate::data::{Dataset, LogMel, WavFolder};

/// A WAV file of samples that are written as they are.
fn wav(path: &Path, channels: u16, rate: u32, bits: u16, samples: &[i32]) {
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: bits,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    samples.iter().for_each(|&sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
}

fn float_wav(path: &Path, rate: u32, samples: &[f32]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    samples.iter().for_each(|&sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
}

#[test]
fn sounds_of_any_depth_are_padded_and_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    wav(&path("yes_a_0.wav"), 1, 8000, 8, &[-128, 64]);
    wav(&path("no_a_0.wav"), 1, 8000, 16, &[-32768, 16384, 1, 2]);
    wav(&path("no_b_0.wav"), 2, 8000, 24, &[1 << 22, 0, 1 << 22, 1 << 22]);
    wav(&path("yes_b_1.WAV"), 1, 8000, 32, &[i32::MIN]);
    float_wav(&path("yes_b_0.wav"), 8000, &[0.1, -0.2, 0.3]);
    std::fs::write(path("README.txt"), "passed over").unwrap();
    std::fs::write(path(".hidden.wav"), "passed over").unwrap();
    let read = |length: Option<usize>| -> Dataset {
        let sounds = WavFolder::new(folder.path(), "{class}_{speaker}_{rest}");
        length.map_or(sounds.clone(), |length| sounds.length(length)).read().unwrap()
    };
    let data = read(Some(3));
    assert_eq!((data.inputs()[0].row_shape.clone(), data.len()), (vec![3], 5));
    assert_eq!(data.class_names(), ["no", "yes"]);
    assert_eq!(targets(&data), [0.0, 0.0, 1.0, 1.0, 1.0]);
    let third = 1.0 / 32768.0;
    let rows = [
        [-1.0, 0.5, third],
        [0.25, 0.5, 0.0],
        [-1.0, 0.5, 0.0],
        [0.1, -0.2, 0.3],
        [-1.0, 0.0, 0.0],
    ];
    assert_eq!(features(&data), rows.concat());
    assert_eq!(read(None).inputs()[0].row_shape, [4]);
}

#[test]
fn classes_are_where_the_pattern_says() {
    let folder = tempfile::tempdir().unwrap();
    wav(&folder.path().join("take-é_3.x.wav"), 1, 8000, 16, &[1]);
    let class = |pattern: &str| {
        let data = WavFolder::new(folder.path(), pattern).read();
        data.map(|data| data.class_names()[0].clone()).map_err(|error| error.to_string())
    };
    assert_eq!(class("take-{class}_{n}.wav").as_deref(), Ok("é"));
    assert_eq!(class("{a}_{class}.wav").as_deref(), Ok("3.x"));
    assert_eq!(class("{a}-{b}_{class}.{c}.wav").as_deref(), Ok("3"));
    assert_eq!(class("{class}").as_deref(), Ok("take-é_3.x.wav"));
    let misfit = |pattern: &str| {
        let path = folder.path().join("take-é_3.x.wav");
        Err(format!("`{}`, the name: it does not fit `{pattern}`", path.display()))
    };
    for pattern in ["take-é{class}_3.x.wav", "x{class}", "{class}+{n}.wav", "{class}.x.wavx"] {
        assert_eq!(class(pattern), misfit(pattern));
    }
    let invalid = |pattern: &str, what: &str| Err(format!("pattern `{pattern}`: {what}"));
    for pattern in ["{n}.wav", "{class}_{class}.wav"] {
        assert_eq!(class(pattern), invalid(pattern, "it needs the part `{class}`, once"));
    }
    assert_eq!(class("{class"), invalid("{class", "a `{` is not closed"));
    let touching = "two parts need a text between them";
    assert_eq!(class("{class}{n}"), invalid("{class}{n}", touching));
}

#[test]
fn spectrograms_have_one_channel() {
    let folder = tempfile::tempdir().unwrap();
    for (name, length) in [("a0.wav", 700), ("b0.wav", 1000), ("b1.wav", 20)] {
        let samples: Vec<i32> = (0..length).map(|i| (i * i * 37) % 20_011 - 10_000).collect();
        wav(&folder.path().join(name), 1, 8000, 16, &samples);
    }
    let log_mel = LogMel::new(20).fft(256).hop(100);
    let sounds = WavFolder::new(folder.path(), "{class}0.wav").length(800);
    assert!(
        message(sounds.clone().read())
            .ends_with("b1.wav`, the name: it does not fit `{class}0.wav`")
    );
    let sounds = WavFolder::new(folder.path(), "{class}.wav").length(800);
    let (plain, data) = (sounds.read().unwrap(), sounds.log_mel(log_mel.clone()).read().unwrap());
    assert_eq!(data.inputs()[0].row_shape, [1, 20, 9]);
    let rows: Vec<f32> = features(&plain)
        .chunks(800)
        .flat_map(|samples| log_mel.transform(samples, 8000).unwrap())
        .collect();
    assert_eq!(features(&data), rows);
}

#[test]
fn a_tone_is_loudest_in_its_band() {
    let tone = |hertz: f32| -> Vec<f32> {
        (0..4000).map(|i| (std::f32::consts::TAU * hertz * i as f32 / 8000.0).sin()).collect()
    };
    let log_mel = LogMel::new(30).fft(512).hop(200);
    let loudest = |hertz: f32| {
        let spectrogram = log_mel.transform(&tone(hertz), 8000).unwrap();
        let middle: Vec<f32> = spectrogram.chunks(21).map(|band| band[10]).collect();
        (0..30).max_by(|&a, &b| middle[a].total_cmp(&middle[b])).unwrap()
    };
    // Half the rate is 15 + 27 ln(4) / ln(6.4) = 35.16 mel, in 31 steps of 1.134 mel.
    assert_eq!((loudest(400.0), loudest(1000.0), loudest(2000.0)), (4, 12, 21));
}

#[test]
fn spectrograms_that_make_no_sense_are_refused() {
    let text = |log_mel: LogMel| message(log_mel.transform(&[0.0; 10], 8000));
    assert_eq!(
        text(LogMel::new(40).fft(511)),
        "log-mel spectrogram: fft is 511, expected an even number up to 1048576"
    );
    assert_eq!(
        text(LogMel::new(40).hop(0)),
        "log-mel spectrogram: hop is 0 and there are 40 bands, both must be > 0"
    );
    assert_eq!(
        text(LogMel::new(40).range(100.0, 4001.0)),
        "log-mel spectrogram: range is 100 to 4001 Hz, expected rising frequencies from 0 to 4000 \
         Hz, half the sample rate"
    );
    assert_eq!(
        text(LogMel::new(20).fft(256).range(0.0, 200.0)),
        "log-mel spectrogram: band 0 of 20 holds no frequency of a frame of 256 samples at 8000 \
         Hz; use fewer bands or a longer `fft`"
    );
    assert!(text(LogMel::new(usize::MAX)).contains("are more than the 1024 frequencies"));
}
