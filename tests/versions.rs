//! Which functions of NVIDIA's libraries the crate calls, and since which version of CUDA they are
//! there: a function that is not listed here is not called. The versions are those of the names in
//! NVIDIA's `cudaTypedefs.h`.

#[path = "tidy/source.rs"]
#[allow(dead_code)] // the architecture test uses the rest
mod source;

use std::collections::BTreeSet;
use std::path::Path;

/// The oldest driver and the oldest NVRTC that the README names.
const OLDEST: (u32, u32) = (12, 0);

/// What the code says, the function it ends at, and the CUDA version that brought it.
#[rustfmt::skip]
const CALLS: &[(&str, &str, (u32, u32))] = &[
    ("error_name",                       "cuGetErrorName",               (6, 0)),
    ("error_string",                     "cuGetErrorString",             (6, 0)),
    ("result::ctx::set_current",         "cuCtxSetCurrent",              (4, 0)),
    ("result::device::get",              "cuDeviceGet",                  (2, 0)),
    ("result::device::get_attribute",    "cuDeviceGetAttribute",         (2, 0)),
    ("result::device::get_count",        "cuDeviceGetCount",             (2, 0)),
    ("result::device::get_name",         "cuDeviceGetName",              (2, 0)),
    ("result::device::total_mem",        "cuDeviceTotalMem_v2",          (3, 2)),
    ("result::event::create",            "cuEventCreate",                (2, 0)),
    ("result::event::destroy",           "cuEventDestroy_v2",            (4, 0)),
    ("result::event::record",            "cuEventRecord",                (2, 0)),
    ("result::event::synchronize",       "cuEventSynchronize",           (2, 0)),
    ("result::free_host",                "cuMemFreeHost",                (2, 0)),
    ("result::free_sync",                "cuMemFree_v2",                 (3, 2)),
    ("result::function::set_function_attribute", "cuFuncSetAttribute",   (9, 0)),
    ("result::graph::destroy",           "cuGraphDestroy",               (10, 0)),
    ("result::graph::exec_destroy",      "cuGraphExecDestroy",           (10, 0)),
    ("result::graph::instantiate",       "cuGraphInstantiateWithFlags",  (11, 4)),
    ("result::graph::launch",            "cuGraphLaunch",                (10, 0)),
    ("result::init",                     "cuInit",                       (2, 0)),
    ("result::launch_kernel",            "cuLaunchKernel",               (4, 0)),
    ("result::malloc_host",              "cuMemHostAlloc",               (2, 2)),
    ("result::malloc_sync",              "cuMemAlloc_v2",                (3, 2)),
    ("result::mem_get_info",             "cuMemGetInfo_v2",              (3, 2)),
    ("result::memcpy_dtoh_async",        "cuMemcpyDtoHAsync_v2",         (3, 2)),
    ("result::memcpy_htod_async",        "cuMemcpyHtoDAsync_v2",         (3, 2)),
    ("result::memset_d8_async",          "cuMemsetD8Async",              (3, 2)),
    ("result::module::get_function",     "cuModuleGetFunction",          (2, 0)),
    ("result::module::load_data",        "cuModuleLoadData",             (2, 0)),
    ("result::module::unload",           "cuModuleUnload",               (2, 0)),
    ("result::primary_ctx::release",     "cuDevicePrimaryCtxRelease_v2", (11, 0)),
    ("result::primary_ctx::retain",      "cuDevicePrimaryCtxRetain",     (7, 0)),
    ("result::stream::begin_capture",    "cuStreamBeginCapture_v2",      (10, 1)),
    ("result::stream::create",           "cuStreamCreate",               (2, 0)),
    ("result::stream::destroy",          "cuStreamDestroy_v2",           (4, 0)),
    ("result::stream::end_capture",      "cuStreamEndCapture",           (10, 0)),
    ("result::stream::wait_event",       "cuStreamWaitEvent",            (3, 2)),
    ("result::stream::synchronize",      "cuStreamSynchronize",          (2, 0)),
    // These open the library and call nothing in it.
    ("sys::culib",                       "",                             (0, 0)),
    ("sys::is_culib_present",            "",                             (0, 0)),
    // Found by name.
    ("cuDeviceGetPCIBusId",              "cuDeviceGetPCIBusId",          (4, 1)),
    ("cuDriverGetVersion",               "cuDriverGetVersion",           (2, 2)),
    ("cuEventElapsedTime",               "cuEventElapsedTime",           (2, 0)),
    ("nvrtcCompileProgram",              "nvrtcCompileProgram",          (7, 0)),
    ("nvrtcCreateProgram",               "nvrtcCreateProgram",           (7, 0)),
    ("nvrtcDestroyProgram",              "nvrtcDestroyProgram",          (7, 0)),
    ("nvrtcGetCUBIN",                    "nvrtcGetCUBIN",                (11, 1)),
    ("nvrtcGetCUBINSize",                "nvrtcGetCUBINSize",            (11, 1)),
    ("nvrtcGetErrorString",              "nvrtcGetErrorString",          (7, 0)),
    ("nvrtcGetNumSupportedArchs",        "nvrtcGetNumSupportedArchs",    (11, 2)),
    ("nvrtcGetPTX",                      "nvrtcGetPTX",                  (7, 0)),
    ("nvrtcGetPTXSize",                  "nvrtcGetPTXSize",              (7, 0)),
    ("nvrtcGetProgramLog",               "nvrtcGetProgramLog",           (7, 0)),
    ("nvrtcGetProgramLogSize",           "nvrtcGetProgramLogSize",       (7, 0)),
    ("nvrtcGetSupportedArchs",           "nvrtcGetSupportedArchs",       (11, 2)),
    ("nvrtcVersion",                     "nvrtcVersion",                 (7, 0)),
    // Looked for and not called.
    ("cublasLtGetVersion",               "cublasLtGetVersion",           (10, 1)),
];

/// Everything that a file calls of the libraries: functions of the bindings by their path, the
/// driver's and NVRTC's own by the name in a C string.
fn calls(file: &source::Source) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for module in ["result::", "sys::"] {
        for (at, _) in file.product.match_indices(module) {
            if file.product[..at].ends_with(is_path) {
                continue; // inside another path
            }
            let rest = &file.product[at..];
            let path = &rest[..rest.find(|c| !is_path(c)).unwrap_or(rest.len())];
            let last = path.rsplit("::").next().unwrap_or_default();
            // Types and constants begin with a capital.
            if last.starts_with(|c: char| c.is_lowercase()) {
                found.insert(path.to_string());
            }
        }
    }
    for method in ["error_name", "error_string"] {
        if file.product.contains(&format!(".{method}()")) {
            found.insert(method.into());
        }
    }
    for (at, _) in file.product.match_indices("c\"") {
        let name = file.text[at + 2..].split('"').next().unwrap_or_default();
        if name.starts_with("cu") || name.starts_with("nvrtc") {
            found.insert(name.into());
        }
    }
    found
}

#[test]
fn every_function_that_is_called_is_listed_with_its_version() {
    let files = source::tree(Path::new(env!("CARGO_MANIFEST_DIR")));
    let bound = files.iter().filter(|file| file.path.starts_with("src/exec/cuda/"));
    let called: BTreeSet<String> = bound.flat_map(calls).collect();
    let listed: BTreeSet<String> = CALLS.iter().map(|(call, ..)| call.to_string()).collect();
    let unlisted: Vec<_> = called.difference(&listed).collect();
    assert!(unlisted.is_empty(), "not listed with the CUDA version that brought it: {unlisted:?}");
    let unused: Vec<_> = listed.difference(&called).collect();
    assert!(unused.is_empty(), "listed and not called any more: {unused:?}");
}

#[test]
fn the_oldest_driver_has_every_function() {
    for (call, function, version) in CALLS {
        assert!(*version <= OLDEST, "`{call}` calls {function}, which CUDA {version:?} brought");
    }
    let readme = include_str!("../README.md");
    let named = format!("a driver and NVRTC of CUDA {}.{} or newer", OLDEST.0, OLDEST.1);
    assert!(readme.contains(&named), "the README does not name the oldest driver: {named}");
}

#[test]
fn calls_are_seen_in_every_form() {
    let text = "use cudarc::driver::{result, sys};\nfn f() { result::a::b(x); let e: sys::CUevent; \
                sys::culib(); error.error_name(); get(c\"cuInit\"); get(c\"nvmlInit\"); }";
    let found = calls(&source::Source::new("src/exec/cuda/x.rs", text));
    let expected = ["cuInit", "error_name", "result::a::b", "sys::culib"];
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}
