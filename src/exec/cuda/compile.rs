//! From the source of a kernel to code that the driver loads.
//!
//! Code is made for the very architecture of the card, so that the driver has nothing left to
//! compile; where NVRTC is older than the card, PTX of the newest architecture that it knows is
//! handed to the driver instead.

use std::num::NonZeroUsize;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::cache::{Cache, Ingredients, NoCache};
use super::debug;
use super::nvrtc::{Failure, Form, Nvrtc, nvrtc};
use crate::error::DeviceError;
use crate::op::launch::Kernel;

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

impl From<&Kernel> for KernelSource {
    fn from(kernel: &Kernel) -> KernelSource {
        KernelSource {
            name: kernel.name().into(),
            text: kernel.source(),
            defines: kernel.constants().to_vec(),
        }
    }
}

/// What code is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Architecture {
    /// As NVRTC names it: `sm_90a`, or `compute_90` where the driver has to finish the work.
    pub(super) name: String,
    /// Machine code or PTX.
    pub(super) form: Form,
}

impl Architecture {
    /// For a card of this compute capability and an NVRTC that knows `known`, ascending; none where
    /// all of them are newer. From 9.0 on it is the card's alone (`a`), which opens all of its
    /// instructions.
    pub(super) fn new(capability: (u32, u32), known: &[u32]) -> Option<Architecture> {
        let (major, minor) = capability;
        let card = major * 10 + minor;
        if known.contains(&card) {
            let suffix = if major >= 9 { "a" } else { "" };
            return Some(Architecture { name: format!("sm_{card}{suffix}"), form: Form::Cubin });
        }
        let below = known.iter().rev().find(|&&other| other < card)?;
        Some(Architecture { name: format!("compute_{below}"), form: Form::Ptx })
    }
}

/// Compiles kernels for one kind of card, through the cache where there is one.
pub(super) struct Compiler {
    nvrtc: &'static Nvrtc,
    architecture: Architecture,
    cache: Option<Cache>,
    line_numbers: bool,
}

impl Compiler {
    /// A compiler for an architecture, without a cache. With `line_numbers` profilers find the
    /// source's lines.
    pub(super) fn new(
        nvrtc: &'static Nvrtc,
        architecture: Architecture,
        line_numbers: bool,
    ) -> Compiler {
        Compiler { nvrtc, architecture, cache: None, line_numbers }
    }

    /// The same with the cache that the environment names. One that can't be used is told of on
    /// stderr, once.
    pub(super) fn cached(self) -> Compiler {
        let cache = match Cache::from_environment() {
            Ok(cache) => Some(cache),
            Err(NoCache::Off) => None,
            Err(NoCache::Refused { what, fix }) => {
                warn_once(&format!("{what}; {fix}"));
                None
            }
        };
        Compiler { cache, ..self }
    }

    /// Version of NVRTC.
    pub(super) fn version(&self) -> (u32, u32) {
        self.nvrtc.version
    }

    /// The cache, if there is one.
    pub(super) fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
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
        let options = options(source, &self.architecture, self.line_numbers);
        let key = Ingredients {
            text: &source.text,
            options: &options,
            architecture: &self.architecture.name,
            nvrtc: self.nvrtc.version,
            version: env!("CARGO_PKG_VERSION"),
        }
        .key();
        debug::write_source(source, &options, key);
        if let Some(code) = self.cache.as_ref().and_then(|cache| cache.lookup(key)) {
            return Ok(code);
        }
        let (code, _) = self
            .nvrtc
            .compile(&source.name, &source.text, &options, self.architecture.form)
            .map_err(|failure| explain(source, &options, self.nvrtc.version, failure))?;
        if let Some(cache) = &self.cache
            && let Err(error) = cache.store(key, &code)
        {
            let folder = cache.folder().display();
            warn_once(&format!("kernels can't be stored in {folder}: {error}"));
        }
        Ok(code)
    }
}

/// What NVRTC writes when it compiles a kernel for cards of this compute capability: warnings, and
/// the registers and memory that the code uses. Needs NVRTC alone, neither driver nor card.
///
/// # Errors
/// If there is no NVRTC or it does not know the capability ([`DeviceError::Unusable`]), or if the
/// kernel does not compile.
pub fn compile_log(kernel: &Kernel, capability: (u32, u32)) -> Result<String, DeviceError> {
    let unusable = |message: String| DeviceError::Unusable {
        device: format!("compute capability {}.{}", capability.0, capability.1),
        message,
    };
    let nvrtc = nvrtc().map_err(|why| unusable(why.into()))?;
    let architecture = Architecture::new(capability, &nvrtc.architectures)
        .filter(|architecture| architecture.form == Form::Cubin)
        .ok_or_else(|| unusable("NVRTC does not know it; install a newer one".into()))?;
    let source = KernelSource::from(kernel);
    let mut options = options(&source, &architecture, false);
    options.push("--ptxas-options=-v".into());
    let compiled = nvrtc.compile(&source.name, &source.text, &options, architecture.form);
    let explain = |failure| explain(&source, &options, nvrtc.version, failure);
    compiled.map(|(_, log)| log).map_err(explain)
}

/// Options for NVRTC. No multiplication is contracted with an addition unless the source says
/// `fmaf`, so that all architectures give the same bits.
pub(super) fn options(
    source: &KernelSource,
    architecture: &Architecture,
    line_numbers: bool,
) -> Vec<String> {
    let mut options = vec![
        format!("--gpu-architecture={}", architecture.name),
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
