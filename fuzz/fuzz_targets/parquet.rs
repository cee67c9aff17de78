//! Any bytes are refused, or read as a table.
#![no_main]

use ironwarp::data::Parquet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    Parquet::new(bytes.to_vec()).read().ok();
});
