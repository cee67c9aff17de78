//! Any bytes are refused, or read as an archive whose arrays are refused or read.
#![no_main]

use ironwarp::data::npy::Npz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut archive) = Npz::parse(bytes.to_vec()) else { return };
    for name in archive.names() {
        if let Ok(array) = archive.read(&name) {
            array.numbers("x").ok();
        }
    }
});
