//! Any bytes are refused with the file's name, or read as an image that is made small.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use ironwarp::data::ImageFolder;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// Files here reach no disk.
const MEMORY: &str = "/dev/shm";

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir_in(MEMORY).expect("a folder");
    fs::create_dir(folder.path().join("class")).expect("a folder in it");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    fs::write(FOLDER.path().join("class/1.png"), bytes).expect("a file");
    match ImageFolder::new(FOLDER.path()).size(5, 3).read() {
        Ok(data) => assert_eq!((data.len(), data.features()), (1, 45)),
        Err(error) => assert!(error.to_string().contains("class/1.png")),
    }
});
