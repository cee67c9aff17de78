//! Any bytes are refused with their place, or read as a text whose windows give it back.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use ironwarp::data::{Vocabulary, read_text};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// Files here reach no disk.
const MEMORY: &str = "/dev/shm";

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir_in(MEMORY).expect("a folder"));

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.path().join("text");
    fs::write(&path, bytes).expect("a file");
    let Ok(text) = read_text(&path) else { return };
    let Ok(vocabulary) = Vocabulary::of_characters(&text) else { return };
    let tokens = vocabulary.encode(&text).expect("its own characters");
    assert_eq!(vocabulary.decode(&tokens).expect("its own tokens"), text);
    if let Ok(data) = vocabulary.windows(&text, 3, 2) {
        assert_eq!(data.len(), (tokens.len() - 4) / 2 + 1);
    }
});
