//! Any bytes are refused, or read as something that is written and read again alike.
#![no_main]

use ironwarp::file::TensorFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = TensorFile::parse("fuzz", bytes) else { return };
    // Metadata read just below the parser's depth may be too deep to write.
    let Ok(written) = file.to_bytes() else { return };
    let again = TensorFile::parse("written", &written).expect("what was written can be read");
    assert_eq!(again.tensors.len(), file.tensors.len());
    assert_eq!(again.to_bytes().expect("it was written before"), written);
});
