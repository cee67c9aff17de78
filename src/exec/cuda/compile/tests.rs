//! The compiler on its own and with the real NVRTC where it is installed.

use std::io::Write;
use std::time::Instant;

use super::super::nvrtc::nvrtc;
use super::*;

/// Set to 1 where a missing NVRTC is a failure.
const REQUIRE: &str = "IRONWARP_REQUIRE_NVRTC";

const SCALE: &str = "\
extern \"C\" __global__ void scale(float* values, unsigned count) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) values[i] = fmaf(values[i], FACTOR, expf(values[i]));
}
";

fn source(name: &str, text: &str, factor: &str) -> KernelSource {
    let defines = vec![("FACTOR".into(), factor.into())];
    KernelSource { name: name.into(), text: text.into(), defines }
}

/// The real compiler; without it the test says that it was skipped.
fn real_nvrtc(test: &str) -> Option<&'static Nvrtc> {
    match nvrtc() {
        Ok(nvrtc) => Some(nvrtc),
        Err(why) => {
            let required = std::env::var(REQUIRE).is_ok_and(|value| value == "1");
            assert!(!required, "{REQUIRE}=1, but {why}");
            // Past the test runner, which shows no output of a test that passes.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED {test}: {why}; `pip install nvidia-cuda-nvrtc`"
            );
            None
        }
    }
}

fn compiler(nvrtc: &'static Nvrtc, architecture: u32, cache: Option<Cache>) -> Compiler {
    let capability = (architecture / 10, architecture % 10);
    let architecture = Architecture::new(capability, &nvrtc.architectures).unwrap();
    Compiler { cache, ..Compiler::new(nvrtc, architecture, false) }
}

#[test]
fn the_architecture_is_the_card_or_the_newest_below_it() {
    let known = [75, 80, 86, 89, 90, 100, 120];
    let made_for =
        |major, minor| Architecture::new((major, minor), &known).map(|made| (made.name, made.form));
    assert_eq!(made_for(7, 5), Some(("sm_75".into(), Form::Cubin)));
    assert_eq!(made_for(8, 9), Some(("sm_89".into(), Form::Cubin)));
    assert_eq!(made_for(9, 0), Some(("sm_90a".into(), Form::Cubin)));
    assert_eq!(made_for(12, 0), Some(("sm_120a".into(), Form::Cubin)));
    assert_eq!(made_for(8, 8), Some(("compute_86".into(), Form::Ptx)));
    assert_eq!(made_for(13, 0), Some(("compute_120".into(), Form::Ptx)));
    assert_eq!(made_for(7, 0), None);
}

#[test]
fn options_are_text() {
    let architecture = Architecture { name: "sm_80".into(), form: Form::Cubin };
    let expected = [
        "--gpu-architecture=sm_80",
        "--std=c++17",
        "--fmad=false",
        "--device-as-default-execution-space",
        "--generate-line-info",
        "-DFACTOR=2.0f",
    ];
    assert_eq!(options(&source("scale", SCALE, "2.0f"), &architecture, true), expected);
}

#[test]
fn the_first_error_is_found_in_a_log_and_quoted() {
    let log = "scale(1): warning #1-D: strange\nscale(3): error: identifier \"x\" is undefined\n";
    let (line, text) = first_error("scale", log).unwrap();
    assert_eq!((line, text), (3, "identifier \"x\" is undefined"));
    assert_eq!(first_error("other", log), None);
    assert_eq!(first_error("scale", "ptxas error : too much shared memory"), None);
    assert_eq!(quote("a\nb\nc\nd", 1), ">     1 | a\n      2 | b");
    assert_eq!(quote("a\nb\nc\nd", 3), "      2 | b\n>     3 | c\n      4 | d");
    assert_eq!(quote("a", 9), "");
}

#[test]
fn a_kernel_compiles_for_every_architecture_that_nvrtc_knows() {
    let Some(nvrtc) = real_nvrtc("a_kernel_compiles_for_every_architecture") else { return };
    assert!(nvrtc.architectures.contains(&80), "{:?}", nvrtc.architectures);
    for &architecture in &nvrtc.architectures {
        let start = Instant::now();
        let compiler = compiler(nvrtc, architecture, None);
        let code = compiler.compile(&source("scale", SCALE, "2.0f")).unwrap();
        assert!(code.starts_with(b"\x7fELF"), "{}", compiler.architecture.name);
        println!("{}: {} bytes, {:?}", compiler.architecture.name, code.len(), start.elapsed());
    }
    let newer = compiler(nvrtc, 999, None);
    assert_eq!(newer.architecture.form, Form::Ptx);
    let ptx = newer.compile(&source("scale", SCALE, "2.0f")).unwrap();
    assert_eq!(ptx.last(), Some(&0));
    assert!(String::from_utf8_lossy(&ptx).contains(".entry scale"));
}

#[test]
fn an_error_carries_kernel_options_log_and_the_offending_line() {
    let Some(nvrtc) = real_nvrtc("an_error_carries_the_offending_line") else { return };
    let broken = SCALE.replace("expf(values[i])", "absent");
    let error = compiler(nvrtc, 80, None).compile(&source("scale", &broken, "2.0f")).unwrap_err();
    let text = error.to_string();
    let compiler = format!("NVRTC {}.{}", nvrtc.version.0, nvrtc.version.1);
    for part in [
        "kernel `scale`",
        &compiler,
        "line 3: identifier \"absent\" is undefined",
        ">     3 |     if (i < count) values[i] = fmaf(values[i], FACTOR, absent);",
        "--gpu-architecture=sm_80",
        "-DFACTOR=2.0f",
        "1 error detected",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn the_log_tells_registers_and_spills() {
    let Some(nvrtc) = real_nvrtc("the_log_tells_registers_and_spills") else { return };
    let options = ["--gpu-architecture=sm_80", "-DFACTOR=2.0f", "--ptxas-options=-v"];
    let compiled = nvrtc.compile("scale", SCALE, &options.map(String::from), Form::Cubin);
    let log = compiled.map(|(_, log)| log).map_err(|failure| failure.log).unwrap();
    assert!(log.contains("registers") && log.contains("0 bytes spill stores"), "{log}");
}

#[test]
fn a_zero_byte_or_an_unknown_option_is_an_error_value() {
    let Some(nvrtc) = real_nvrtc("a_zero_byte_is_an_error_value") else { return };
    let zero = compiler(nvrtc, 80, None).compile(&source("scale", "\0", "2.0f")).unwrap_err();
    assert!(zero.to_string().contains("zero byte"), "{zero}");
    let mut strange = compiler(nvrtc, 80, None);
    strange.architecture.name = "sm_1".into();
    let error = strange.compile(&source("scale", SCALE, "2.0f")).unwrap_err().to_string();
    assert!(error.contains("NVRTC_ERROR") && error.contains("sm_1"), "{error}");
}

#[test]
fn many_kernels_come_in_order_and_from_the_cache_the_second_time() {
    let Some(nvrtc) = real_nvrtc("many_kernels_come_in_order") else { return };
    let base = tempfile::tempdir().unwrap();
    let cache = Cache::open(&base.path().join("kernels"), u64::MAX).unwrap();
    let compiler = compiler(nvrtc, 80, Some(cache.clone()));
    let names: Vec<String> = (0..8).map(|index| format!("kernel_{index}")).collect();
    let sources: Vec<KernelSource> =
        names.iter().map(|name| source(name, &SCALE.replace("scale", name), "2.0f")).collect();
    let start = Instant::now();
    let codes = compiler.compile_all(&sources).unwrap();
    println!("8 kernels compiled in {:?}", start.elapsed());
    for (name, code) in names.iter().zip(&codes) {
        assert!(code.windows(name.len()).any(|window| window == name.as_bytes()), "{name}");
    }
    assert_eq!(cache.size().0, 8);

    let start = Instant::now();
    assert_eq!(compiler.compile_all(&sources).unwrap(), codes);
    println!("8 kernels from the cache in {:?}", start.elapsed());
    for entry in std::fs::read_dir(cache.folder()).unwrap() {
        std::fs::write(entry.unwrap().path(), "damaged").unwrap();
    }
    assert_eq!(compiler.compile_all(&sources).unwrap(), codes);
    assert_eq!(compiler.compile_all(&[]).unwrap(), Vec::<Vec<u8>>::new());

    let broken = [sources[0].clone(), source("second", "x", "1"), source("third", "y", "1")];
    let error = compiler.compile_all(&broken).unwrap_err().to_string();
    assert!(error.contains("kernel `second`"), "{error}");
}
