//! Correct kernels give the right values, and the same bits under every order and poison.

use emulator::{Order, Session, Settings};

use crate::card::{Card, compile, shape};
use crate::kernels::{ADD, SGEMM, SUM};

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + 11) % 64) as f32 / 16.0 - 1.5).collect()
}

/// Runs under all orders and poisons, and gives the bits that must be the same.
fn everywhere(session: &Session, run: impl Fn(&Card) -> Vec<f32>) -> Vec<f32> {
    let mut results = Vec::new();
    for order in Order::ALL {
        for poison in Settings::POISONS {
            let settings =
                Settings { thread_order: order, block_order: order, poison, ..session.settings() };
            session.configure(settings);
            results.push(run(&Card::new().expect("a card")));
        }
    }
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert!(results.iter().all(|r| bits(r) == bits(&results[0])), "bits depend on order or poison");
    results.swap_remove(0)
}

#[test]
fn a_sum_of_vectors() {
    let Some(session) = emulator::session() else { return };
    let (a, b) = (numbers(1000), numbers(1000));
    let result = everywhere(&session, |card| {
        let kernel = card.kernel(ADD, "add").expect("the kernel");
        let (x, y) = (card.upload(&a).expect("room"), card.upload(&b).expect("room"));
        let z = card.fresh(1000).expect("room");
        card.launch(&kernel, shape(4, 256, 0), &[&x, &y, &z]).expect("runs");
        card.download(&z).expect("runs")
    });
    assert_eq!(result, a.iter().zip(&b).map(|(a, b)| a + b).collect::<Vec<_>>());
    assert_eq!(session.launched(), ["add 8"]);
    assert!(session.counts().nothing_lives());
}

#[test]
fn a_product_of_matrices_in_tiles() {
    let Some(session) = emulator::session() else { return };
    let (a, b) = (numbers(64 * 64), numbers(64 * 64));
    let result = everywhere(&session, |card| {
        let kernel = card.kernel(SGEMM, "sgemm").expect("the kernel");
        let (x, y) = (card.upload(&a).expect("room"), card.upload(&b).expect("room"));
        let z = card.fresh(64 * 64).expect("room");
        card.launch(&kernel, shape(16, 256, 0), &[&x, &y, &z]).expect("runs");
        card.download(&z).expect("runs")
    });
    for (i, value) in result.iter().enumerate() {
        let (row, column) = (i / 64, i % 64);
        let expected =
            (0..64).fold(0f32, |sum, k| a[row * 64 + k].mul_add(b[k * 64 + column], sum));
        assert_eq!(value.to_bits(), expected.to_bits(), "element {i}");
    }
}

#[test]
fn a_sum_by_shuffles_and_a_ticket() {
    let Some(session) = emulator::session() else { return };
    let x = numbers(5 * 256);
    let result = everywhere(&session, |card| {
        let kernel = card.kernel(SUM, "sum").expect("the kernel");
        let values = card.upload(&x).expect("room");
        let partial = card.fresh(5).expect("room");
        let ticket = card.stream.alloc_zeros::<f32>(1).expect("room");
        let out = card.fresh(1).expect("room");
        for _ in 0..2 {
            // Twice: the ticket starts again by itself.
            card.launch(&kernel, shape(5, 256, 32), &[&values, &partial, &ticket, &out])
                .expect("runs");
        }
        card.download(&out).expect("runs")
    });
    assert_eq!(result, [x.iter().sum::<f32>()]); // small multiples of 1/16: the sum is exact
}

#[test]
fn collectives_of_a_warp() {
    let Some(_session) = emulator::session() else { return };
    let source = r#"
        extern "C" __global__ void votes(float* out) {
          unsigned lane = threadIdx.x, all = 0xffffffffu, half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
          out[lane] = __popc(__ballot_sync(all, lane % 3 == 0));
          out[32 + lane] = __shfl_xor_sync(all, (int)lane, 5);
          out[64 + lane] = __shfl_up_sync(all, lane, 3);
          out[96 + lane] = __shfl_sync(all, (double)lane, 2, 8);
          out[128 + lane] = __reduce_add_sync(half, lane) + 1000 * __any_sync(half, lane == 20);
          out[160 + lane] = __all_sync(all, lane < 32) + __popc(__match_any_sync(all, lane / 5));
        }"#;
    let card = Card::new().expect("a card");
    let kernel = card.kernel(source, "votes").expect("the kernel");
    let out = card.fresh(192).expect("room");
    card.launch(&kernel, shape(1, 32, 0), &[&out]).expect("runs");
    let out = card.download(&out).expect("runs");
    for lane in 0..32usize {
        let half = if lane < 16 { 120.0 } else { 1000.0 + 376.0 };
        let equal = if lane < 30 { 5.0 } else { 2.0 };
        let up = if lane < 3 { lane } else { lane - 3 };
        let expected =
            [11.0, (lane ^ 5) as f32, up as f32, (lane / 8 * 8 + 2) as f32, half, 1.0 + equal];
        let got: Vec<f32> = (0..6).map(|row| out[row * 32 + lane]).collect();
        assert_eq!(got, expected, "lane {lane}");
    }
}

#[test]
fn constants_and_absent_kernels() {
    let Some(_session) = emulator::session() else { return };
    let source = r#"
        // extern "C" __global__ void remark(float* x) {}
        #ifdef __CUDACC_RTC__
        extern "C" __global__ void real(float* out) { asm("bar.sync 0;"); }
        #else
        extern "C" __global__ void emulated(float* out) { out[0] = I * N * SCALE * (__CUDA_ARCH__ / 10); }
        #endif"#;
    let cubin = compile(source, &["-DSCALE=2.0f", "-D", "N=1", "-DI"]).expect("compiles");
    let card = Card::new().expect("a card");
    let module = card.context.load_module(cudarc::nvrtc::Ptx::from_binary(cubin)).expect("loads");
    assert!(module.load_function("real").is_err());
    assert!(module.load_function("remark").is_err());
    let kernel = module.load_function("emulated").expect("is there");
    let out = card.fresh(1).expect("room");
    card.launch(&kernel, shape(1, 1, 0), &[&out]).expect("runs");
    assert_eq!(card.download(&out).expect("runs"), [180.0]);
}

#[test]
fn threads_compile_at_the_same_time() {
    let Some(_session) = emulator::session() else { return };
    let compiled: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let one =
            |i: usize| move || compile(ADD, &[&format!("-DVARIANT={}", i / 2)]).expect("compiles");
        let threads: Vec<_> = (0..4).map(|i| scope.spawn(one(i))).collect();
        threads.into_iter().map(|thread| thread.join().expect("compiles")).collect()
    });
    assert!(compiled[0] == compiled[1] && compiled[2] == compiled[3], "a source has one image");
}
