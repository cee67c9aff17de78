//! Faults on order: each driver call in turn, too little memory, damaged and unfit images.

use cudarc::driver::{CudaContext, DriverError};
use cudarc::nvrtc::Ptx;
use emulator::Settings;

use crate::card::{Card, compile, compile_for, shape};
use crate::kernels::{ADD, STEP};

fn code(error: DriverError) -> i32 {
    error.0 as i32
}

/// A little of everything: memory, copies, a launch, a graph.
fn program() -> Result<Vec<f32>, DriverError> {
    use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
    let card = Card::without_events()?;
    let kernel = card.kernel(STEP, "step")?;
    let (a, c) = (card.upload(&[2.0; 32])?, card.stream.alloc_zeros::<f32>(32)?);
    card.launch(&kernel, shape(1, 32, 0), &[&a, &c])?;
    card.stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
    card.launch(&kernel, shape(1, 32, 0), &[&a, &c])?;
    if let Some(graph) = card.stream.end_capture(CUgraphInstantiate_flags(0))? {
        graph.launch()?;
    }
    card.stream.synchronize()?;
    card.download(&c)
}

/// Every call fails once, with an error that passes and with one that kills the context: no panic,
/// no crash, and nothing is left behind.
#[test]
fn each_call_may_fail() {
    let Some(session) = emulator::session() else { return };
    assert_eq!(program().expect("runs"), [9.0; 32]);
    let calls = session.counts().calls;
    assert!(calls > 30, "{calls} calls");
    drop(session);
    for failure in [1, 2, 719] {
        for call in 1..=calls {
            let session = emulator::session().expect("there was one before");
            session.fail(call as u64, failure);
            let result = program();
            let name = session.calls()[call as usize - 1].clone();
            let counts = session.counts();
            assert_eq!(counts.sticky, if failure == 719 { 719 } else { 0 });
            let word = |words: &[&str]| words.iter().any(|word| name.contains(word));
            match result {
                Err(error) => assert_eq!(code(error), failure, "call {call}, {name}"),
                // The bindings keep errors of their destructors for a later call.
                Ok(_) => assert!(
                    word(&["Free", "Destroy", "Unload", "Release", "Current"]),
                    "call {call}, {name}"
                ),
            }
            // The bindings do not give the context back when this one fails.
            let kept = i64::from(name == "cuDeviceGetAttribute");
            assert_eq!((counts.device_bytes, counts.contexts), (0, kept), "call {call}, {name}");
            session.problems();
        }
    }
}

#[test]
fn memory_runs_out_and_comes_back() {
    let Some(session) = emulator::session() else { return };
    session.configure(Settings { memory: 1 << 20, ..session.settings() });
    let card = Card::new().expect("a card");
    assert_eq!(card.context.total_mem().expect("told"), 1 << 20);
    let half = card.fresh(1 << 17).expect("half fits");
    assert_eq!(card.context.mem_get_info().expect("told"), (1 << 19, 1 << 20));
    assert_eq!(card.fresh((1 << 17) + 1).map(drop).map_err(code), Err(2));
    drop(half);
    drop(card.fresh(1 << 18).expect("all of it fits"));
    assert_eq!(session.counts().device_peak, 1 << 20);
    assert_eq!(session.counts().device_bytes, 0);
}

#[test]
fn no_device_and_no_such_device() {
    let Some(session) = emulator::session() else { return };
    assert_eq!(CudaContext::new(1).map(drop).map_err(code), Err(101));
    session.configure(Settings { devices: 0, ..session.settings() });
    assert_eq!(CudaContext::new(0).map(drop).map_err(code), Err(100));
}

#[test]
fn damaged_and_unfit_images_are_refused() {
    let Some(session) = emulator::session() else { return };
    let cubin = compile(ADD, &[]).expect("compiles");
    let card = Card::new().expect("a card");
    let load =
        |bytes: Vec<u8>| card.context.load_module(Ptx::from_binary(bytes)).map(drop).map_err(code);
    let mut damaged = cubin.clone();
    damaged[1000] ^= 1;
    assert_eq!(load(damaged), Err(200));
    assert_eq!(load(vec![0; 4096]), Err(200));
    let hopper = compile_for("sm_90a", ADD, &[]).expect("compiles");
    assert_eq!(load(hopper), Ok(()));
    assert_eq!(load(compile_for("sm_80", ADD, &[]).expect("compiles")), Err(209));
    session.configure(Settings { capability: 86, ..session.settings() });
    assert_eq!(load(cubin), Err(209));
    assert_eq!(load(compile_for("sm_80", ADD, &[]).expect("compiles")), Ok(()));
}

#[test]
fn the_text_form_of_a_kernel_loads_too() {
    let Some(_session) = emulator::session() else { return };
    let ptx = cudarc::nvrtc::compile_ptx(STEP).expect("compiles");
    let card = Card::new().expect("a card");
    let module = card.context.load_module(Ptx::from_src(ptx.to_src())).expect("loads");
    let kernel = module.load_function("step").expect("is there");
    let (a, c) = (card.upload(&[5.0; 32]).expect("room"), card.fresh(32).expect("room"));
    card.launch(&kernel, shape(1, 32, 0), &[&a, &c]).expect("runs");
    assert_eq!(card.download(&c).expect("runs"), [25.0; 32]);
    let virtual_only = compile_for("compute_90", STEP, &[]).expect("compiles");
    assert!(virtual_only.is_empty(), "a virtual architecture has no cubin");
}

#[test]
fn a_compile_error_has_a_log_with_its_line() {
    let Some(_session) = emulator::session() else { return };
    let source = "\nextern \"C\" __global__ void f(float* x) {\n  *x = missing;\n}";
    let log = compile(source, &[]).expect_err("does not compile");
    assert!(log.contains("NVRTC_ERROR_COMPILATION"), "{log}");
    assert!(log.contains("test.cu(3): error: "), "{log}");
    assert!(log.contains("missing"), "{log}");
    let log = compile_for("sm_70", ADD, &[]).expect_err("too old");
    assert!(log.contains("NVRTC_ERROR_INVALID_OPTION"), "{log}");
    let log = compile(ADD, &["--no-such-option"]).expect_err("unknown");
    assert!(log.contains("--no-such-option"), "{log}");
}
