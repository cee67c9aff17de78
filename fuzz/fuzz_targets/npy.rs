//! Any bytes are refused, or read as an array that can become columns.
#![no_main]

use ironwarp::data::npy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(array) = npy::parse(bytes) else { return };
    if let Ok(column) = array.numbers("x") {
        assert_eq!(column.values.len(), array.sizes().iter().product::<usize>());
        array.input("x").ok();
        array.target("y").ok();
    }
});
