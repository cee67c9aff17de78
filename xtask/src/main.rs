//! Chores of the workshop: `cargo run -q -p xtask -- COMMAND`. `size` prints the figures of the house;
//! it reads text with the same eyes as the architecture test, whose files it shares. `gpu-bundle`
//! collects what a machine with a card needs, and `gpu-run` is what runs there.

use std::path::Path;
use std::process::ExitCode;

mod bundle;
#[path = "../../tests/tidy/facts.rs"]
mod facts;
mod items;
mod measure;
#[path = "../../tests/tidy/modules.rs"]
mod modules;
mod report;
mod run;
mod size;
#[path = "../../tests/tidy/source.rs"]
mod source;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["size"] => size::print(&root),
        ["gpu-bundle"] => bundle::make(&root, None),
        ["gpu-bundle", data] => bundle::make(&root, Some(Path::new(data))),
        ["gpu-run", ref groups @ ..] => run::all(groups),
        _ => {
            Err("usage: cargo run -q -p xtask -- size | gpu-bundle [DATA] | gpu-run [GROUP...]"
                .into())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
