//! Chores of the workshop: `cargo run -q -p xtask -- size` prints the figures of the house.
//!
//! The text is read with the same eyes as in the architecture test, whose files it shares.

use std::path::Path;
use std::process::ExitCode;

#[path = "../../tests/tidy/facts.rs"]
mod facts;
mod measure;
#[path = "../../tests/tidy/modules.rs"]
mod modules;
mod size;
#[path = "../../tests/tidy/source.rs"]
mod source;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["size"] => size::print(&root),
        _ => Err("usage: cargo run -q -p xtask -- size".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
