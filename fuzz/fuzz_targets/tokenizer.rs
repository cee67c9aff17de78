//! Any bytes are refused with their place, or read as a tokenizer; a text is encoded by it into tokens
//! of its own, or refused.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use ironwarp::data::Tokenizer;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// Files here reach no disk.
const MEMORY: &str = "/dev/shm";

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir_in(MEMORY).expect("a folder"));

fuzz_target!(|bytes: &[u8]| {
    // What stands after a zero is the text.
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let path = FOLDER.path().join("tokenizer.json");
    fs::write(&path, parts.next().unwrap_or_default()).expect("a file");
    let Ok(tokenizer) = Tokenizer::read(&path) else { return };
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let Ok(tokens) = tokenizer.encode(&text) else { return };
    tokenizer.decode(&tokens).expect("its own tokens");
});
