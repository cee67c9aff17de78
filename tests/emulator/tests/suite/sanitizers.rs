//! Recorded launches run again under the compiler's sanitizers: planted bugs that the emulator's own
//! checks can't see, and right kernels in which nothing is found.

use std::path::PathBuf;

use emulator::{Replay, Sanitizer, Session};

use crate::card::{Card, shape};

/// A fresh folder for launches.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("launches").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Runs a kernel of two arguments, which are 33 and 64 elements, records it, and gives what a
/// sanitizer finds.
fn found(
    session: &Session,
    name: &str,
    sanitizer: Sanitizer,
    body: &str,
    extents: &[Vec<usize>],
) -> Vec<(usize, String)> {
    let source = format!(
        "struct __align__(16) Four {{ float x[4]; }};\n\
         extern \"C\" __global__ void planted(const float* in, float* out) {{\n{body}\n}}"
    );
    let card = Card::new().expect("a card");
    let kernel = card.kernel(&source, "planted").expect("the kernel");
    let (x, y) = (card.upload(&[1.0; 33]).expect("room"), card.upload(&[0.0; 64]).expect("room"));
    let folder = folder(name);
    session.record(&folder);
    card.launch(&kernel, shape(2, 64, 256), &[&x, &y]).expect("a card notices nothing");
    card.stream.synchronize().expect("a card notices nothing");
    assert_eq!(session.problems(), Vec::<String>::new());
    Replay::new(session, sanitizer).expect("the program").run(&folder, extents).expect("it runs")
}

#[track_caller]
fn finds(name: &str, sanitizer: Sanitizer, body: &str, expected: &str) {
    let Some(session) = emulator::session() else { return };
    let found = found(&session, name, sanitizer, body, &[]);
    assert!(found.len() == 1 && found[0].1.contains(expected), "{expected:?} in {found:?}");
}

#[test]
fn a_read_between_an_allocation_and_its_guard() {
    let body = "out[threadIdx.x] = in[threadIdx.x % 34];";
    finds("read", Sanitizer::Address, body, "heap-buffer-overflow");
}

#[test]
fn a_misaligned_vector() {
    let body = "out[threadIdx.x] = ((const Four*)(in + 1))->x[threadIdx.x % 4];";
    finds("vector", Sanitizer::Address, body, "misaligned address");
}

#[test]
fn a_read_past_a_shared_array() {
    let body = "__shared__ float a[64], b[64];\na[threadIdx.x] = b[threadIdx.x] = 1.0f;\n\
                __syncthreads();\nconst float* volatile p = a;\nout[threadIdx.x] = p[threadIdx.x + 1];";
    finds("shared", Sanitizer::Address, body, "global-buffer-overflow");
}

/// The same value whatever the order, so that no other check finds it.
#[test]
fn a_race_in_shared_memory() {
    let body = "__shared__ float a[64];\na[threadIdx.x] = 1.0f;\n\
                out[threadIdx.x] = a[threadIdx.x ^ 1] == 7.0f ? 2.0f : 1.0f;\n\
                __syncthreads();";
    finds("race", Sanitizer::Thread, body, "data race");
}

#[test]
fn a_race_with_the_next_turn_of_a_loop() {
    let body = "__shared__ float a[64];\nfloat sum = 0.0f;\n\
                for (int i = 0; i < 3; i++) {\n  a[threadIdx.x] = 1.0f;\n  __syncthreads();\n\
                sum += a[threadIdx.x ^ 33];\n}\nout[threadIdx.x] = sum;";
    finds("turn", Sanitizer::Thread, body, "data race");
}

#[test]
fn nothing_in_a_right_kernel() {
    let Some(session) = emulator::session() else { return };
    let body = "extern __shared__ float d[];\n__shared__ float a[64];\n__shared__ unsigned count;\n\
                if (threadIdx.x == 0) count = 0;\n\
                for (int i = 0; i < 3; i++) {\n  a[threadIdx.x] = in[threadIdx.x % 33];\n\
                __syncthreads();\n  d[threadIdx.x] = a[threadIdx.x ^ 33];\n  __syncthreads();\n}\n\
                float sum = d[63 - threadIdx.x];\n\
                for (int far = 16; far > 0; far /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, far);\n\
                atomicAdd(&count, 1u);\nif (threadIdx.x % 32 == 0) a[threadIdx.x / 32] = sum;\n\
                __syncthreads();\nout[threadIdx.x] = a[0] + a[1] + count;";
    for (name, sanitizer) in [("right", Sanitizer::Address), ("ordered", Sanitizer::Thread)] {
        assert_eq!(found(&session, name, sanitizer, body, &[]), []);
    }
}

/// As where a pointer leads into an arena that has room for more.
#[test]
fn a_read_past_the_extent_of_an_argument() {
    let Some(session) = emulator::session() else { return };
    let body = "out[threadIdx.x] = in[threadIdx.x % 33];";
    let right = found(&session, "whole", Sanitizer::Address, body, &[]);
    assert_eq!(right, []);
    let short = found(&session, "part", Sanitizer::Address, body, &[vec![32 * 4, 64 * 4]]);
    assert!(short.len() == 1 && short[0].1.contains("heap-buffer-overflow"), "{short:?}");
}
