//! From the source of a kernel to code that the driver loads.
//!
//! Code is made for the very architecture of the card, so that the driver has nothing left to
//! compile; where NVRTC is older than the card, PTX of the newest architecture that it knows is
//! handed to the driver instead.

use std::num::NonZeroUsize;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::cache::{Cache, Ingredients, NoCache};
use super::nvrtc::{Failure, Form, Nvrtc, nvrtc};
use crate::error::DeviceError;

/// One kernel's source, whole: nothing is included from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KernelSource {
    /// Its name, which errors carry.
    pub(super) name: String,
    /// Prelude, kernel and printed expression.
    pub(super) text: String,
    /// Constants by name, sent as `-D`.
    pub(super) defines: Vec<(String, String)>,
}

/// What code is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// As NVRTC names it: `sm_90a`, or `compute_90` where the driver has to finish the work.
    pub(super) architecture: String,
    /// Machine code or PTX.
    pub(super) form: Form,
}

impl Target {
    /// The target for a card of this compute capability and an NVRTC that knows `known`, ascending.
    /// From 9.0 on it names the card alone (`a`), which opens all of its instructions.
    pub(super) fn new(capability: (u32, u32), known: &[u32]) -> Result<Target, String> {
        let (major, minor) = capability;
        let card = major * 10 + minor;
        if known.contains(&card) {
            let suffix = if major >= 9 { "a" } else { "" };
            return Ok(Target { architecture: format!("sm_{card}{suffix}"), form: Form::Cubin });
        }
        match known.iter().rev().find(|&&other| other < card) {
            Some(below) => Ok(Target { architecture: format!("compute_{below}"), form: Form::Ptx }),
            None => {
                let oldest = known.first().copied().unwrap_or(0);
                Err(format!(
                    "it has compute capability {major}.{minor} and this NVRTC begins at {}.{}; \
                     install an older one: `pip install nvidia-cuda-nvrtc-cu12`",
                    oldest / 10,
                    oldest % 10
                ))
            }
        }
    }
}

/// Compiles kernels for one kind of card, through the cache where there is one.
pub(super) struct Compiler {
    nvrtc: &'static Nvrtc,
    target: Target,
    cache: Option<Cache>,
    line_numbers: bool,
}

impl Compiler {
    /// A compiler for a card of this compute capability. A cache that can't be used is told of on
    /// stderr, once. With `line_numbers` profilers find the source's lines.
    ///
    /// # Errors
    /// NVRTC is missing, or begins at newer cards.
    pub(super) fn new(capability: (u32, u32), line_numbers: bool) -> Result<Compiler, DeviceError> {
        let unusable = |message| DeviceError::Unusable { device: "cuda".into(), message };
        let nvrtc = nvrtc().map_err(|text| unusable(text.into()))?;
        let target = Target::new(capability, &nvrtc.architectures).map_err(unusable)?;
        let cache = match Cache::from_environment() {
            Ok(cache) => Some(cache),
            Err(NoCache::Off) => None,
            Err(NoCache::Refused(text)) => {
                warn_once(&text);
                None
            }
        };
        Ok(Compiler { nvrtc, target, cache, line_numbers })
    }

    /// Code of all kernels, in their order, for `cuModuleLoadData`; compiled by as many threads as
    /// the system grants.
    ///
    /// # Errors
    /// The first, in the order of the kernels, that does not compile.
    pub(super) fn compile_all(
        &self,
        sources: &[KernelSource],
    ) -> Result<Vec<Vec<u8>>, DeviceError> {
        let granted = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(source) = sources.get(index) else { return done };
                done.push((index, self.compile(source)));
            }
        };
        let mut done: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..granted.min(sources.len())).map(|_| scope.spawn(work)).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().flat_map(join).collect()
        });
        done.sort_by_key(|(index, _)| *index);
        if let Some(cache) = &self.cache {
            cache.evict();
        }
        done.into_iter().map(|(_, code)| code).collect()
    }

    fn compile(&self, source: &KernelSource) -> Result<Vec<u8>, DeviceError> {
        let options = options(source, &self.target, self.line_numbers);
        let key = Ingredients {
            text: &source.text,
            options: &options,
            architecture: &self.target.architecture,
            nvrtc: self.nvrtc.version,
            version: env!("CARGO_PKG_VERSION"),
        }
        .key();
        if let Some(code) = self.cache.as_ref().and_then(|cache| cache.lookup(key)) {
            return Ok(code);
        }
        let compiled = self
            .nvrtc
            .compile(&source.name, &source.text, &options, self.target.form)
            .map_err(|failure| explain(source, &options, self.nvrtc.version, failure))?;
        if let Some(cache) = &self.cache
            && let Err(error) = cache.store(key, &compiled.code)
        {
            let folder = cache.folder().display();
            warn_once(&format!("kernels can't be stored in {folder}: {error}"));
        }
        Ok(compiled.code)
    }
}

/// Options for NVRTC. No multiplication is contracted with an addition unless the source says
/// `fmaf`, so that all architectures give the same bits.
pub(super) fn options(source: &KernelSource, target: &Target, line_numbers: bool) -> Vec<String> {
    let mut options = vec![
        format!("--gpu-architecture={}", target.architecture),
        "--std=c++17".into(),
        "--fmad=false".into(),
        "--device-as-default-execution-space".into(),
    ];
    if line_numbers {
        options.push("--generate-line-info".into());
    }
    options.extend(source.defines.iter().map(|(name, value)| format!("-D{name}={value}")));
    options
}

fn explain(
    source: &KernelSource,
    options: &[String],
    version: (u32, u32),
    failure: Failure,
) -> DeviceError {
    let message = match first_error(&source.name, &failure.log) {
        Some((line, text)) => format!("line {line}: {text}\n{}", quote(&source.text, line)),
        None => failure.reason,
    };
    DeviceError::Compile {
        kernel: source.name.clone(),
        compiler: format!("NVRTC {}.{}", version.0, version.1),
        options: options.join(" "),
        message,
        log: failure.log,
    }
}

/// Line and text of the first error: NVRTC writes `name(12): error: text`.
fn first_error<'a>(name: &str, log: &'a str) -> Option<(usize, &'a str)> {
    log.lines().find_map(|line| {
        let (number, rest) = line.strip_prefix(name)?.strip_prefix('(')?.split_once("): ")?;
        let is_error = rest.starts_with("error") || rest.starts_with("catastrophic error");
        let text = rest.split_once(": ").map_or(rest, |(_, text)| text);
        is_error.then_some((number.parse().ok()?, text))
    })
}

/// The line of a source, from 1, marked and between its neighbours.
fn quote(text: &str, line: usize) -> String {
    let shown = text.lines().enumerate().map(|(index, content)| (index + 1, content));
    let near = shown.filter(|(number, _)| number.abs_diff(line) <= 1).map(|(number, content)| {
        let mark = if number == line { '>' } else { ' ' };
        format!("{mark} {number:>5} | {content}")
    });
    near.collect::<Vec<_>>().join("\n")
}

/// Tells of the first thing that is wrong with the cache: training goes on, each start slower.
fn warn_once(text: &str) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| eprintln!("ironwarp: {text}"));
}

#[cfg(test)]
#[path = "compile/tests.rs"]
mod tests;
