//! The architecture as a test: the tables below are the rules of ARCHITECTURE.md that text can
//! show, and `cargo test --test tidy` keeps them. Exceptions stand here with their reasons.

use std::path::Path;
use std::sync::LazyLock;

#[path = "tidy/checks.rs"]
mod checks;
#[path = "tidy/facts.rs"]
mod facts;
#[path = "tidy/modules.rs"]
mod modules;
#[path = "tidy/planted.rs"]
mod planted;
#[path = "tidy/source.rs"]
mod source;

use checks::{House, Reasons};

/// Who may import whom, bottom to top: a module uses only what its row names, and a row names
/// only rows above it. Tests inside `src/` are free, and so is `src/lib.rs`, the front door.
#[rustfmt::skip]
const HOUSE: House = &[
    ("error",  &[]),
    ("tensor", &["error"]),
    ("cpu",    &["error", "tensor"]),
    ("random", &["error", "tensor", "cpu"]),
    ("file",   &["error", "tensor"]),
    ("op",     &["error", "tensor", "random", "cpu"]),
    ("plan",   &["error", "tensor", "random", "op"]),
    ("init",   &["error", "tensor", "random"]),
    ("metric", &["error", "tensor"]),
    ("layer",  &["error", "tensor", "random", "op", "plan", "init"]),
    ("loss",   &["error", "tensor", "op", "plan", "layer"]),
    ("optim",  &["error", "tensor", "op", "plan"]),
    ("model",  &["error", "tensor", "random", "op", "plan", "init", "layer", "loss", "optim"]),
    ("exec",   &["error", "tensor", "random", "cpu", "op", "plan"]),
    ("data",   &["error", "tensor", "random"]),
    ("train",  &["error", "tensor", "random", "file", "op", "plan", "init", "metric", "layer",
                 "loss", "optim", "model", "exec", "data"]),
    ("bench",  &["error", "tensor", "random", "cpu", "file", "op", "plan", "layer", "loss", "optim",
                 "model", "exec", "data", "train"]),
    ("bin",    &["error", "tensor", "random", "file", "op", "plan", "init", "metric", "layer",
                 "loss", "optim", "model", "exec", "data", "train", "bench"]),
    ("prelude", &["init", "metric", "layer", "loss", "optim", "model", "exec", "data", "train"]),
];

/// Words that no name in `plan/` may hold.
const DEVICES: &[&str] = &["cpu", "gpu", "cuda", "cudarc", "device", "exec", "executor"];

/// Files over 400 lines: path, limit, reason.
const LONGER_FILES: &[(&str, usize, &str)] = &[];

/// Files that may hold `unsafe`, and why they need it.
#[rustfmt::skip]
const UNSAFE_FILES: Reasons = &[
    ("src/cpu/simd.rs",        "calls functions compiled for an instruction set found at run time"),
    ("src/cpu/tile.rs",        "rectangles of one matrix, written by several threads"),
    ("src/cpu/gemm.rs",        "hands packed panels to the micro-kernels"),
    ("src/cpu/gemm/work.rs",   "panels and tiles of one product, shared by its tasks"),
    ("src/cpu/gemm/kernel.rs", "the inner loops, on pointers"),
    ("src/cpu/gemm/lanes.rs",  "vectors of any instruction set, on pointers"),
    ("src/cpu/gemm/x86.rs",    "intrinsics"),
    ("src/cpu/gemm/tests.rs",  "runs each instruction set, as they ask"),
    ("src/op/pointwise/interpreter.rs", "finds values in several buffers, by pointer"),
    ("src/op/pointwise/loops.rs",   "loops whose targets may be operands too, by pointer"),
    ("src/op/pointwise/formula.rs", "hands pointers to those loops"),
    ("src/exec/cpu/mod.rs",    "runs tasks that share the arenas"),
    ("src/exec/cpu/memory.rs", "pieces of the arenas, disjoint by the verified plan"),
    ("src/exec/cpu/team.rs",   "lends a job on the caller's stack to the team's threads"),
    ("tests/allocations.rs",   "counts what the allocator is asked for"),
    ("tests/memory.rs",        "counts the bytes that the allocator holds"),
    ("src/exec/cuda/library.rs", "opens NVIDIA's libraries"),
    ("src/exec/cuda/driver/mod.rs",    "calls the driver, a C library"),
    ("src/exec/cuda/driver/memory.rs", "memory that the driver gives and takes back"),
    ("src/exec/cuda/driver/stream.rs", "work that the driver queues"),
    ("src/exec/cuda/driver/code.rs",   "code that the driver loads"),
    ("src/exec/cuda/cards.rs", "asks the driver for a card's figures"),
    ("src/exec/cuda/nvml.rs",  "calls the management library, a C library"),
    ("src/exec/cuda/nvrtc.rs", "calls the compiler, a C library"),
    ("tests/emulator/src/library.rs", "loads the stand-in libraries and calls their controls"),
    ("tests/emulator/tests/suite/card.rs", "drives the emulated card through the bindings"),
    ("benches/gemm.rs",        "calls the rival matrix product on pointers"),
];

/// Files of `src/` with `panic!` or `unreachable!` that quote no "invariant: ...": path, count,
/// reason.
const PANICS: &[(&str, usize, &str)] = &[];

/// Where tolerances are derived.
const BOUNDS: &[&str] =
    &["src/op/bounds.rs", "tests/common/bounds.rs", "tests/common/training_bounds.rs"];

/// Pieces of text that have no place in the project: paths of somebody's machine and marks of
/// unfinished work. Written in halves, so that this file passes.
const FORBIDDEN: &[[&str; 2]] = &[
    ["/ho", "me/"],
    ["/ro", "ot/"],
    ["/wo", "rk/"],
    ["/tm", "p/"],
    ["/Use", "rs/"],
    ["TO", "DO"],
    ["FIX", "ME"],
    ["XX", "X"],
    ["<<<<", "<<<"],
];

fn tree() -> &'static [source::Source] {
    static TREE: LazyLock<Vec<source::Source>> =
        LazyLock::new(|| source::tree(Path::new(env!("CARGO_MANIFEST_DIR"))));
    &TREE
}

#[track_caller]
fn assert_none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{} complaints:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn imports_go_one_way() {
    assert_none(checks::table_is_layered(HOUSE));
    assert_none(checks::one_way(tree(), HOUSE));
}

#[test]
fn the_plan_names_no_device() {
    assert_none(checks::unnamed(tree(), "plan", DEVICES));
}

#[test]
fn executors_name_no_layer() {
    assert_none(checks::no_layer_in_exec(tree()));
}

#[test]
fn the_bindings_stay_under_exec_cuda() {
    assert_none(checks::bindings_stay_home(tree()));
}

#[test]
fn files_and_kernels_are_short() {
    assert_none(checks::short_files(tree(), LONGER_FILES));
    assert_none(checks::short_kernels(tree(), 120));
}

#[test]
fn unsafe_is_listed_and_reasoned() {
    assert_none(checks::unsafe_has_reasons(tree(), UNSAFE_FILES));
}

#[test]
fn the_library_panics_only_on_broken_invariants() {
    assert_none(checks::no_panics(tree(), PANICS));
}

#[test]
fn kernels_have_twins() {
    assert_none(checks::twins(tree()));
}

#[test]
fn tolerances_are_derived() {
    assert_none(checks::no_guessed_tolerances(tree(), BOUNDS));
}

#[test]
fn texts_are_clean() {
    let forbidden: Vec<String> = FORBIDDEN.iter().map(|halves| halves.concat()).collect();
    assert_none(checks::clean_text(tree(), &forbidden));
}
