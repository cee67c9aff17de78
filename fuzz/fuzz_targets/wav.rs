//! Any bytes are refused with the file's name, or read as a sound and its spectrogram.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use ironwarp::data::{LogMel, WavFolder};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// Files here reach no disk.
const MEMORY: &str = "/dev/shm";

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir_in(MEMORY).expect("a folder"));

fuzz_target!(|bytes: &[u8]| {
    fs::write(FOLDER.path().join("class_1.wav"), bytes).expect("a file");
    let sounds = WavFolder::new(FOLDER.path(), "{class}_{index}.wav").length(100);
    match sounds.read() {
        Ok(data) => {
            assert_eq!((data.len(), data.features()), (1, 100));
            sounds.log_mel(LogMel::new(4).fft(64).hop(32)).read().ok();
        }
        Err(error) => assert!(error.to_string().contains("class_1.wav")),
    }
});
