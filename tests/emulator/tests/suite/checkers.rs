//! Planted bugs: each is found by the means that is there for it.

use std::time::Duration;

use cudarc::driver::{DevicePtr, LaunchConfig};
use emulator::{Order, Session, Settings};

use crate::card::{Card, shape};
use crate::kernels::SUM;

/// Runs a kernel that must be refused; gives what the emulator says of it.
fn refused(session: &Session, source: &str, name: &str, shape: LaunchConfig) -> String {
    let card = Card::new().expect("a card");
    let kernel = card.kernel(source, name).expect("the kernel");
    let out = card.stream.alloc_zeros::<f32>(64).expect("room");
    let launched = card.launch(&kernel, shape, &[&out]).and_then(|()| card.stream.synchronize());
    assert!(launched.is_err(), "nothing was found");
    assert!(session.counts().sticky >= 700, "the context lives on");
    assert!(card.stream.alloc_zeros::<f32>(1).is_err(), "a dead context works");
    let problems = session.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].clone()
}

#[track_caller]
fn finds(body: &str, threads: u32, shared: u32, expected: &str) {
    let Some(session) = emulator::session() else { return };
    let source = format!("extern \"C\" __global__ void planted(float* out) {{\n{body}\n}}");
    let found = refused(&session, &source, "planted", shape(1, threads, shared));
    assert!(found.contains(expected), "expected {expected:?} in: {found}");
}

#[test]
fn a_barrier_in_a_branch() {
    let body = "if (threadIdx.x < 32) __syncthreads();\nout[threadIdx.x] = 1.0f;";
    finds(body, 64, 0, "divergent barrier: thread (0,0,0) waits at the barrier of line 2");
}

#[test]
fn barriers_of_two_branches() {
    let body = "if (threadIdx.x < 32)\n__syncthreads();\nelse\n__syncthreads();";
    finds(body, 64, 0, "line 3, thread (32,0,0) waits at the barrier of line 5");
}

#[test]
fn a_barrier_after_some_have_ended() {
    finds("if (threadIdx.x == 63) return;\n__syncthreads();", 64, 0, "thread (63,0,0) has ended");
}

#[test]
fn a_collective_in_a_branch() {
    let body = "float x = 1.0f;\nif (threadIdx.x < 16) x = __shfl_xor_sync(0xffffffffu, x, 1);\nout[0] = x;";
    finds(body, 32, 0, "divergent collective: thread (0,0,0)");
}

#[test]
fn a_lane_outside_its_mask() {
    finds("out[threadIdx.x] = __ballot_sync(0xffffu, 1);", 32, 0, "mask that leaves it out");
}

#[test]
fn a_shuffle_from_outside_the_mask() {
    let body = "if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, 20);";
    finds(body, 32, 0, "reads lane 20 in the shuffle of line 2");
}

#[test]
fn a_mask_that_names_lanes_past_the_block() {
    finds("out[0] = __any_sync(0xffffffffu, 1);", 20, 0, "absent lane");
}

#[test]
fn a_collective_while_others_wait_at_a_barrier() {
    let body = "if (threadIdx.x < 16) __syncwarp();\n__syncthreads();";
    finds(body, 32, 0, "which waits at the barrier of line 3");
}

#[test]
fn a_store_far_outside() {
    finds("out[1 << 20] = 1.0f;", 1, 0, "outside all device memory");
}

#[test]
fn a_null_pointer() {
    finds("*(float*)(size_t)(threadIdx.x * 4) = 1.0f;", 1, 0, "outside all device memory");
}

#[test]
fn a_store_after_the_dynamic_shared_memory() {
    let body = "extern __shared__ float x[];\nx[threadIdx.x + 1] = 1.0f;\nout[threadIdx.x] = x[threadIdx.x];";
    finds(body, 32, 128, "0 bytes after the dynamic shared memory");
}

#[test]
fn a_failed_assertion_and_a_division_by_zero() {
    finds("assert(blockDim.x > 32);", 32, 0, "assertion blockDim.x > 32, line 2");
    finds("out[0] = 7 / (int)threadIdx.x;", 32, 0, "integer division by zero");
}

/// Two kernels that do not end, each stopped: one computes, one meets others at barriers.
#[test]
fn a_kernel_without_end() {
    for body in ["volatile float* v = out;\nwhile (true) *v = 1.0f;", "for (;;) __syncthreads();"] {
        let Some(session) = emulator::session() else { return };
        let time_limit = Duration::from_millis(100);
        session.configure(Settings { time_limit, ..session.settings() });
        let source = format!("extern \"C\" __global__ void endless(float* out) {{\n{body}\n}}");
        let found = refused(&session, &source, "endless", shape(1, 64, 0));
        assert!(
            found.contains("kernel endless, block (0,0,0): the kernel does not end"),
            "{found}"
        );
        assert_eq!(session.counts().sticky, 702);
    }
}

#[test]
fn stores_just_outside_an_allocation() {
    let Some(session) = emulator::session() else { return };
    let source =
        "extern \"C\" __global__ void off(float* out) { out[threadIdx.x] = 0.0f; out[-3] = 0.0f; }";
    let card = Card::new().expect("a card");
    let kernel = card.kernel(source, "off").expect("the kernel");
    let out = card.fresh(33).expect("room");
    card.launch(&kernel, shape(1, 34, 0), &[&out]).expect("a card notices nothing");
    let problems = session.problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].contains("0 bytes after the end of an allocation of 132 bytes"),
        "{problems:?}"
    );
    assert!(problems[1].contains("12 bytes before an allocation"), "{problems:?}");
    assert!(problems.iter().all(|p| p.contains("last kernel was off")), "{problems:?}");
}

/// The results of a kernel under every thread order, or under both poisons.
fn results(source: &str, orders: &[Order], poisons: &[u8]) -> Option<Vec<Vec<f32>>> {
    let session = emulator::session()?;
    let mut all = Vec::new();
    for &thread_order in orders {
        for &poison in poisons {
            session.configure(Settings { thread_order, poison, ..session.settings() });
            let card = Card::new().expect("a card");
            let kernel = card.kernel(source, "planted").expect("the kernel");
            let out = card.fresh(64).expect("room");
            card.launch(&kernel, shape(1, 64, 0), &[&out]).expect("runs");
            all.push(card.download(&out).expect("runs"));
        }
    }
    Some(all)
}

#[test]
fn a_missing_barrier_shows_by_the_order_of_threads() {
    let with = |barrier: &str| {
        format!(
            "extern \"C\" __global__ void planted(float* out) {{ __shared__ float x[64];
            x[threadIdx.x] = threadIdx.x; {barrier} out[threadIdx.x] = x[threadIdx.x ^ 33]; }}"
        )
    };
    let poison = &Settings::POISONS[1..];
    let Some(right) = results(&with("__syncthreads();"), &Order::ALL, poison) else { return };
    assert!(right.iter().all(|r| *r == right[0]));
    let Some(wrong) = results(&with(""), &Order::ALL, poison) else { return };
    assert!(wrong.iter().skip(1).all(|r| *r != wrong[0]));
}

#[test]
fn unwritten_memory_shows_by_the_poison() {
    let read = |what: &str| {
        format!(
            "extern \"C\" __global__ void planted(float* out) {{ __shared__ float x[64];
            float y = {what}; __syncthreads(); out[threadIdx.x] = y; }}"
        )
    };
    for unwritten in ["x[threadIdx.x]", "out[threadIdx.x]"] {
        let Some(all) = results(&read(unwritten), &Order::ALL[..1], &Settings::POISONS) else {
            return;
        };
        assert!(all[0][0].is_nan() && all[1][0] > 1e36, "{unwritten}: {all:?}");
    }
}

#[test]
fn wrong_arguments_are_refused() {
    let Some(session) = emulator::session() else { return };
    let card = Card::new().expect("a card");
    let kernel = card.kernel(SUM, "sum").expect("the kernel");
    let x = card.stream.alloc_zeros::<f32>(256).expect("room");
    let freed = card.fresh(256).expect("room");
    let address = freed.device_ptr(&card.stream).0;
    drop(freed);
    for (wrong, index) in [([address; 4], 0), ([x.device_ptr(&card.stream).0, 7, 0, 0], 1)] {
        let launched = card.launch_numbers(&kernel, shape(1, 256, 32), &wrong);
        assert!(launched.is_err(), "{wrong:?}");
        let expected = format!("argument {index} of kernel sum points to no device memory");
        assert_eq!(session.problems(), [expected]);
    }
    card.launch(&kernel, shape(1, 256, 32), &[&x, &x, &x, &x])
        .expect("a refused launch kills nothing");
}

#[test]
fn launches_beyond_the_device_are_refused() {
    let Some(session) = emulator::session() else { return };
    session.configure(Settings { shared_bytes: 64 * 1024, ..session.settings() });
    let card = Card::new().expect("a card");
    let source = "extern \"C\" __global__ void __launch_bounds__(128) f(float* x) { extern __shared__ float y[]; y[0] = *x; }";
    let kernel = card.kernel(source, "f").expect("the kernel");
    let x = card.stream.alloc_zeros::<f32>(1).expect("room");
    let run = |threads, bytes| card.launch(&kernel, shape(1, threads, bytes), &[&x]);
    assert!(run(128, 48 * 1024).is_ok());
    for (threads, bytes) in [(129, 0), (2048, 0), (0, 0), (32, 48 * 1024 + 4)] {
        assert!(run(threads, bytes).is_err(), "{threads} threads, {bytes} bytes");
    }
    let limit =
        cudarc::driver::sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    assert!(kernel.set_attribute(limit, 65 * 1024).is_err());
    kernel.set_attribute(limit, 64 * 1024).expect("the device has it");
    assert!(run(32, 64 * 1024).is_ok());
    card.stream.synchronize().expect("nothing broke");
}
