//! Builds the stand-in libraries with the host's C++ compiler, once for each version of their
//! sources, in the cargo target folder.

use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Missing;

/// Folder of the shim header, and of compiled kernels, inside [`Built::folder`].
pub(crate) const SHIM: &str = "cpp";
pub(crate) const KERNELS: &str = "kernels";

/// The finished libraries.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) folder: PathBuf,
    pub(crate) compiler: String,
}

macro_rules! sources {
    ($($name:literal)*) => { &[$(($name, include_str!(concat!("../cpp/", $name)))),*] };
}

const SOURCES: &[(&str, &str)] = sources!(
    "interface.h" "shim.h" "shim_atomics.h" "shim_math.h" "shim_entry.h"
    "cuda.h" "state.h" "fiber.h" "block.h" "nvrtc.h"
    "state.cpp" "block.cpp" "grid.cpp" "control.cpp" "driver_errors.cpp" "driver_device.cpp"
    "driver_memory.cpp" "driver_copy.cpp" "driver_stream.cpp" "driver_graph.cpp"
    "driver_module.cpp" "driver_launch.cpp" "record.cpp" "libcuda.cpp"
    "watch.h" "replay.cpp"
    "nvrtc_source.cpp" "nvrtc_compile.cpp" "nvrtc.cpp" "libnvrtc.cpp"
    "nvml.cpp"
);

const FLAGS: &[&str] =
    &["-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread"];

/// The libraries' folder; builds them where that is not done yet.
///
/// Other processes may do the same at this time, so all is made aside and renamed at the end.
pub(crate) fn libraries() -> Result<Built, Missing> {
    let compiler = compiler()?;
    let mut hasher = DefaultHasher::new();
    (SOURCES, FLAGS, &compiler.version).hash(&mut hasher);
    let parent = target_folder().join("emulator");
    let folder = parent.join(format!("{:016x}", hasher.finish()));
    if !folder.exists() {
        let aside = parent.join(format!("{:016x}.{}", hasher.finish(), std::process::id()));
        build(&compiler.command, &aside)?;
        if fs::rename(&aside, &folder).is_err() {
            let _ = fs::remove_dir_all(&aside); // another process was faster
        }
    }
    Ok(Built { folder, compiler: compiler.command })
}

struct Compiler {
    command: String,
    version: String,
}

fn compiler() -> Result<Compiler, Missing> {
    let named = std::env::var("CXX").ok();
    let candidates = named.iter().map(String::as_str).chain(["c++", "g++"]);
    for command in candidates {
        if let Ok(output) = Command::new(command).arg("--version").output()
            && output.status.success()
        {
            let version = String::from_utf8_lossy(&output.stdout).into_owned();
            return Ok(Compiler { command: command.into(), version });
        }
    }
    Err(Missing::Compiler)
}

fn build(compiler: &str, folder: &Path) -> Result<(), Missing> {
    let code = folder.join(SHIM);
    for made in [&code, &folder.join(KERNELS)] {
        fs::create_dir_all(made).map_err(|source| io(made, source))?;
    }
    for (name, text) in SOURCES {
        let path = code.join(name);
        fs::write(&path, text).map_err(|source| io(&path, source))?;
    }
    for (source, name, alias) in [
        ("libcuda.cpp", "libcuda.so.1", "libcuda.so"),
        ("libnvrtc.cpp", "libnvrtc.so.13", "libnvrtc.so"),
        ("nvml.cpp", "libnvidia-ml.so.1", "libnvidia-ml.so"),
    ] {
        let library = folder.join(name);
        compile(compiler, name, &[code.join(source).as_os_str(), OsStr::new("-ldl")], &library)?;
        // An empty library that needs the real one: both of its names lead to the same symbols.
        let empty = code.join("empty.cpp");
        fs::write(&empty, "").map_err(|source| io(&empty, source))?;
        let needs = [empty.as_os_str(), OsStr::new("-Wl,--no-as-needed"), library.as_os_str()];
        compile(compiler, alias, &needs, &folder.join(alias))?;
    }
    Ok(())
}

fn compile(compiler: &str, name: &str, inputs: &[&OsStr], to: &Path) -> Result<(), Missing> {
    let mut command = Command::new(compiler);
    run(command.args(FLAGS).arg(format!("-Wl,-soname,{name}")).args(inputs).arg("-o").arg(to))
}

/// Runs a compiler; what it wrote is the error.
pub(crate) fn run(command: &mut Command) -> Result<(), Missing> {
    let output = command.output().map_err(|source| io(Path::new(command.get_program()), source))?;
    if output.status.success() {
        return Ok(());
    }
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Missing::Refused { compiler: format!("{command:?}"), log })
}

/// The cargo target folder that the running test stands in; else the system's temporary folder.
fn target_folder() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let is_target = |folder: &&Path| folder.join("CACHEDIR.TAG").exists();
    test.ancestors().find(is_target).map_or_else(std::env::temp_dir, Path::to_path_buf)
}

pub(crate) fn io(path: &Path, source: std::io::Error) -> Missing {
    Missing::Io { path: path.display().to_string(), source }
}
