//! Log-mel spectrograms and cepstral coefficients are librosa's; `tests/fixtures/log_mel/make.py` made those.
#![cfg(feature = "audio")]

mod common;

use common::bounds;
use ironwarp::data::LogMel;
use safetensors::SafeTensors;

/// The samples of `make.py`, exact in f32.
fn samples(count: u64) -> Vec<f32> {
    (0..count).map(|i| ((i * i * 31 + i * 7919) % 1021) as f32 / 1024.0 - 510.0 / 1024.0).collect()
}

#[test]
fn spectrograms_are_those_of_librosa() {
    let bytes = include_bytes!("fixtures/log_mel/log_mel.safetensors");
    let file = SafeTensors::deserialize(bytes).unwrap();
    let cases = [
        ("defaults", 9000, 22050, LogMel::new(128)),
        ("speech", 8000, 8000, LogMel::new(40).fft(512).hop(160)),
        ("range", 3001, 16000, LogMel::new(23).fft(400).hop(100).range(80.0, 7600.0)),
        ("short", 100, 8000, LogMel::new(10).fft(256).hop(64).range(0.0, 1200.0)),
    ];
    let cepstra = [("speech", 13), ("range", 23), ("short", 1)].map(|(name, coefficients)| {
        let (_, count, rate, log_mel) = cases.iter().find(|case| case.0 == name).unwrap();
        (format!("{name}_mfcc"), *count, *rate, log_mel.clone().mfcc(coefficients))
    });
    let all = cases.map(|(name, count, rate, log_mel)| (name.to_string(), count, rate, log_mel));
    let all: Vec<_> = all.into_iter().chain(cepstra).collect();
    assert_eq!(file.len(), all.len());
    for (name, count, rate, log_mel) in &all {
        let (count, rate) = (*count, *rate);
        let expected = file.tensor(name).unwrap();
        assert_eq!(expected.shape(), [log_mel.lines(), log_mel.frames(count as usize)], "{name}");
        let found = log_mel.transform(&samples(count), rate).unwrap();
        let expected = expected.data().as_chunks::<8>().0;
        assert_eq!(found.len(), expected.len(), "{name}");
        for (at, (&found, &expected)) in found.iter().zip(expected).enumerate() {
            let expected = f64::from_le_bytes(expected);
            let bound = match name.ends_with("_mfcc") {
                true => bounds::mfcc(expected, log_mel.bands()),
                false => bounds::log_mel(expected),
            };
            let error = (f64::from(found) - expected).abs();
            assert!(error <= bound, "{name}, element {at}: {found} for {expected}");
        }
    }
}
