//! Runs recorded launches again under a sanitizer of the C++ compiler, each in its own process: an
//! object compiled with one can't be loaded into a program without.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::compile::{self, Built, KERNELS, SHIM};
use crate::{Missing, Session};

/// What looks for mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sanitizer {
    /// Accesses outside of memory, and what C++ leaves undefined: misaligned vectors, shifts, overflow.
    Address,
    /// Accesses by threads of a block that no barrier or collective orders. Blocks are taken to
    /// run one after another.
    Thread,
}

impl Sanitizer {
    fn name(self) -> &'static str {
        match self {
            Sanitizer::Address => "address",
            Sanitizer::Thread => "thread",
        }
    }

    /// For the kernel, and for the program that runs it.
    fn flags(self) -> &'static [&'static str] {
        match self {
            Sanitizer::Address => &["-fsanitize=address,undefined"],
            Sanitizer::Thread => &["-fsanitize=thread"],
        }
    }

    /// For the kernel alone.
    fn kernel_flags(self) -> &'static [&'static str] {
        match self {
            Sanitizer::Address => {
                &["-fno-sanitize-recover=all", "-fsanitize-sections=emulator_shared"]
            }
            Sanitizer::Thread => &["-Wno-tsan"],
        }
    }
}

const KERNEL_FLAGS: &[&str] = &[
    "-x",
    "c++",
    "-std=c++17",
    "-O1",
    "-g1",
    "-w",
    "-fPIC",
    "-shared",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-fno-math-errno",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-omit-frame-pointer",
    "-fvisibility=hidden",
    "-D__CUDA_ARCH__=900",
];

/// A program that runs launches again.
#[derive(Debug)]
pub struct Replay {
    built: &'static Built,
    sanitizer: Sanitizer,
    program: PathBuf,
}

impl Replay {
    /// Builds the program, where that is not done yet.
    ///
    /// # Errors
    /// If the compiler has no such sanitizer.
    pub fn new(session: &Session, sanitizer: Sanitizer) -> Result<Replay, Missing> {
        let built = &session.emulator().built;
        let program = built.folder.join(format!("replay.{}", sanitizer.name()));
        let replay = Replay { built, sanitizer, program };
        if !replay.program.exists() {
            replay.build()?;
        }
        Ok(replay)
    }

    fn build(&self) -> Result<(), Missing> {
        let aside = self.program.with_extension(format!("{}.o", std::process::id()));
        let mut compiler = Command::new(&self.built.compiler);
        compiler.args(["-std=c++17", "-O1", "-fvisibility=hidden", "-pthread", "-c"]);
        if self.sanitizer == Sanitizer::Thread {
            compiler.arg("-DEMULATOR_WATCHED");
        }
        let source = self.built.folder.join(SHIM).join("replay.cpp");
        compile::run(compiler.arg(source).arg("-o").arg(&aside))?;
        let linked = aside.with_extension("linked");
        let mut linker = Command::new(&self.built.compiler);
        linker.args(self.sanitizer.flags()).args(["-pthread", "-rdynamic"]).arg(&aside);
        compile::run(linker.args(["-ldl", "-o"]).arg(&linked))?;
        fs::rename(&linked, &self.program).map_err(|source| compile::io(&linked, source))?;
        fs::remove_file(&aside).map_err(|source| compile::io(&aside, source))
    }

    /// Runs all launches that were recorded into a folder, several at a time, and gives what was
    /// found: the launch's number and the sanitizer's words. `extents` says of each launch, in order,
    /// how many bytes its pointer arguments may use; where there is no row or it is empty, all to the
    /// end of their allocations.
    ///
    /// # Errors
    /// If a file can't be read or a kernel does not compile.
    pub fn run(
        &self,
        folder: &Path,
        extents: &[Vec<usize>],
    ) -> Result<Vec<(usize, String)>, Missing> {
        let count = fs::read_dir(folder).map_err(|source| compile::io(folder, source))?.count();
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return;
                }
                let file = folder.join(format!("{index:06}.launch"));
                let extents = extents.get(index).map_or(&[][..], Vec::as_slice);
                let found = self.one(&file, extents);
                done.lock().unwrap_or_else(PoisonError::into_inner).push((index, found));
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(index, _)| *index);
        let found = done.into_iter().filter_map(|(index, found)| match found {
            Ok(found) => found.map(|text| Ok((index, text))),
            Err(missing) => Some(Err(missing)),
        });
        found.collect()
    }

    fn one(&self, file: &Path, extents: &[usize]) -> Result<Option<String>, Missing> {
        let bytes = fs::read(file).map_err(|source| compile::io(file, source))?;
        let object = self.object(source_of(&bytes))?;
        let extents: Vec<_> = extents.iter().map(usize::to_string).collect();
        let output = Command::new(&self.program)
            .arg(object)
            .arg(file)
            .arg(extents.join(","))
            .env("ASAN_OPTIONS", "detect_leaks=0")
            .env("TSAN_OPTIONS", "halt_on_error=1")
            .output()
            .map_err(|source| compile::io(&self.program, source))?;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((!output.status.success()).then(|| format!("{}: {words}", output.status)))
    }

    /// The kernel's object for this sanitizer, compiled where it is not there yet.
    fn object(&self, source: &[u8]) -> Result<PathBuf, Missing> {
        let mut hasher = DefaultHasher::new();
        (source, KERNEL_FLAGS, self.sanitizer.flags(), self.sanitizer.kernel_flags())
            .hash(&mut hasher);
        let name = format!("{:016x}.{}", hasher.finish(), self.sanitizer.name());
        let kept = self.built.folder.join(KERNELS).join(name);
        if kept.exists() {
            return Ok(kept);
        }
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let aside = kept.with_extension(format!("{}.{number}.cpp", std::process::id()));
        let made = aside.with_extension("so");
        fs::write(&aside, source).map_err(|source| compile::io(&aside, source))?;
        let mut compiler = Command::new(&self.built.compiler);
        compiler
            .args(KERNEL_FLAGS)
            .args(self.sanitizer.flags())
            .args(self.sanitizer.kernel_flags());
        compiler.arg("-I").arg(self.built.folder.join(SHIM)).arg(&aside).arg("-o").arg(&made);
        let compiled = compile::run(&mut compiler);
        let _ = fs::remove_file(&aside);
        compiled?;
        fs::rename(&made, &kept).map_err(|source| compile::io(&made, source))?;
        Ok(kept)
    }
}

/// Names of the kernels that were recorded into a folder, in order.
///
/// # Errors
/// If a file can't be read.
pub fn recorded(folder: &Path) -> Result<Vec<String>, Missing> {
    let count = fs::read_dir(folder).map_err(|source| compile::io(folder, source))?.count();
    let name = |index: usize| {
        let file = folder.join(format!("{index:06}.launch"));
        let bytes = fs::read(&file).map_err(|source| compile::io(&file, source))?;
        let name = text_at(&bytes, 16 + source_of(&bytes).len());
        Ok(String::from_utf8_lossy(name).into_owned())
    };
    (0..count).map(name).collect()
}

/// The compile unit in a recorded launch, after eight letters.
fn source_of(launch: &[u8]) -> &[u8] {
    text_at(launch, 8)
}

/// A text's length and itself.
fn text_at(launch: &[u8], at: usize) -> &[u8] {
    let rest = launch.get(at..).unwrap_or_default();
    let Some((length, rest)) = rest.split_first_chunk() else { return &[] };
    rest.get(..u64::from_ne_bytes(*length) as usize).unwrap_or_default()
}
