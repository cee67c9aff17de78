//! Any bytes are refused, or read as an array whose sizes are those of its elements.
#![no_main]

use ironwarp::data::idx;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(array) = idx::parse(bytes) {
        assert_eq!(array.elements.len(), array.sizes.iter().product::<usize>());
    }
});
