//! What training on an NVIDIA GPU needs, what of it is here, and what to do about the rest.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::cache::{Cache, NoCache, VARIABLE};
use super::cards::{Card, DRIVER_FIX, Problem, cards, fit, nvrtc_fix};
use super::compile::{Architecture, Compiler, KernelSource};
use super::library::{self, Missing};
use super::nvml;
use super::nvrtc::{Nvrtc, nvrtc};
use super::places::Place;

/// The findings on this machine; `Display` is a page for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Version of this crate.
    pub version: String,
    /// The driver; its version is the newest CUDA that it supports.
    pub driver: LibraryReport,
    /// NVRTC, which compiles the kernels.
    pub nvrtc: LibraryReport,
    /// NVML, which names the driver's release and is not needed; its version is that release.
    pub nvml: LibraryReport,
    /// The cards.
    pub cards: Vec<CardReport>,
    /// Why the driver offers none.
    pub no_cards: Option<Problem>,
    /// Where compiled kernels are kept.
    pub cache: CacheReport,
    /// Libraries that nothing needs yet, by name: cuBLASLt and NCCL. Their versions are not asked for.
    pub optional: BTreeMap<String, LibraryReport>,
    /// Places where missing libraries were looked for.
    pub looked: Vec<String>,
}

/// What was found of a library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LibraryReport {
    /// Its version.
    pub version: Option<String>,
    /// Its file.
    pub path: Option<PathBuf>,
    /// Why it can't be used.
    pub problem: Option<Problem>,
}

/// What was found of a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CardReport {
    /// The card.
    #[serde(flatten)]
    pub card: Card,
    /// What its kernels are compiled for, such as `sm_90a`; `compute_90` says that NVRTC does not
    /// know the card and leaves the rest to the driver.
    pub architecture: Option<String>,
    /// Why it can't be used.
    pub problem: Option<Problem>,
}

/// The cache of compiled kernels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CacheReport {
    /// Its folder; none where it is off.
    pub folder: Option<PathBuf>,
    /// Kernels in it.
    pub kernels: usize,
    /// Bytes that they take.
    pub bytes: u64,
    /// Why it can't be used. Training works without it, and starts slower.
    pub problem: Option<Problem>,
}

impl Diagnosis {
    /// Looks at this machine. It starts the driver if there is one and compiles an empty kernel if
    /// there is NVRTC; libraries stay loaded.
    pub fn of_this_machine() -> Diagnosis {
        let driver = library::driver();
        let cuda = driver.ok().map(|driver| driver.cuda);
        let management = library::nvml();
        let absent: [Option<&Missing>; 3] =
            [driver.err(), library::nvrtc().err(), management.as_ref().err()];
        let places = absent.iter().flatten().next().map(|missing| missing.looked.iter());
        let offered = cuda.map(|cuda| cards().map(|cards| report_cards(cards, cuda)));
        let (cards, no_cards) = match offered {
            Some(Ok(cards)) => (cards, None),
            Some(Err(problem)) => (vec![], Some(problem)),
            None => (vec![], None),
        };
        let looked = places.into_iter().flatten().filter_map(|(place, _)| place_to_tell(place));

        Diagnosis {
            version: env!("CARGO_PKG_VERSION").into(),
            looked: looked.collect(),
            driver: match driver {
                Ok(driver) => found(&driver.library.path, driver.cuda),
                Err(missing) => LibraryReport::missing(missing, DRIVER_FIX),
            },
            nvrtc: match nvrtc() {
                Ok(nvrtc) => examine(nvrtc),
                Err(why) => LibraryReport {
                    version: None,
                    path: None,
                    problem: Some(Problem::new(why, nvrtc_fix(cuda.map(|cuda| cuda.0)))),
                },
            },
            nvml: match management {
                Ok(library) => LibraryReport {
                    version: nvml::driver_release(&library),
                    path: Some(library.path),
                    problem: None,
                },
                Err(missing) => {
                    LibraryReport::missing(&missing, "it comes with the driver and is not needed")
                }
            },
            cards,
            no_cards,
            cache: CacheReport::from_environment(),
            optional: optional(),
        }
    }

    /// Whether a card can be used.
    pub fn is_ready(&self) -> bool {
        self.driver.problem.is_none()
            && self.nvrtc.problem.is_none()
            && self.cards.iter().any(|card| card.problem.is_none())
    }
}

/// Folders that do not exist are not worth a line.
fn place_to_tell(place: &Place) -> Option<String> {
    match place {
        Place::Folder(folder) if !folder.exists() => None,
        place => Some(place.to_string()),
    }
}

fn optional() -> BTreeMap<String, LibraryReport> {
    let report = |(name, library): (&str, Result<library::Library, Missing>)| {
        let report = match library {
            Ok(library) => LibraryReport { version: None, path: Some(library.path), problem: None },
            Err(missing) => LibraryReport::missing(&missing, "it is not needed yet"),
        };
        (name.to_string(), report)
    };
    library::optional().map(report).into()
}

fn found(path: &std::path::Path, version: (u32, u32)) -> LibraryReport {
    LibraryReport {
        version: Some(format!("{}.{}", version.0, version.1)),
        path: Some(path.into()),
        problem: None,
    }
}

impl LibraryReport {
    fn missing(missing: &Missing, fix: &str) -> LibraryReport {
        let problem = Some(Problem::new(missing.to_string(), fix));
        LibraryReport { version: None, path: None, problem }
    }
}

/// Compiles an empty kernel, which finds NVRTC's second library missing.
fn examine(nvrtc: &'static Nvrtc) -> LibraryReport {
    let newest = nvrtc.architectures.last().map_or((0, 0), |newest| (newest / 10, newest % 10));
    let empty = KernelSource {
        name: "empty".into(),
        text: "extern \"C\" __global__ void empty() {}".into(),
        defines: vec![],
    };
    let compiled = Architecture::new(newest, &nvrtc.architectures)
        .map(|newest| Compiler::new(nvrtc, newest, false).compile_all(&[empty]));
    let problem = match compiled {
        Some(Ok(_)) => None,
        Some(Err(error)) => Some(error.to_string()),
        None => Some("NVRTC knows no architecture".into()),
    };
    let fix = "install it anew, with libnvrtc-builtins beside it";
    LibraryReport {
        problem: problem.map(|what| Problem::new(what, fix)),
        ..found(&nvrtc.path, nvrtc.version)
    }
}

fn report_cards(cards: &[Card], driver: (u32, u32)) -> Vec<CardReport> {
    let report = |card: &Card| {
        let fitted = nvrtc()
            .ok()
            .map(|nvrtc| fit(card.capability, driver, nvrtc.version, &nvrtc.architectures));
        let (architecture, problem) = match fitted {
            Some(Ok(architecture)) => (Some(architecture.name), None),
            Some(Err(problem)) => (None, Some(problem)),
            None => (None, None),
        };
        CardReport { card: card.clone(), architecture, problem }
    };
    cards.iter().map(report).collect()
}

impl CacheReport {
    fn from_environment() -> CacheReport {
        let none = CacheReport { folder: None, kernels: 0, bytes: 0, problem: None };
        match Cache::from_environment() {
            Ok(cache) => {
                let (kernels, bytes) = cache.size();
                CacheReport { folder: Some(cache.folder().into()), kernels, bytes, ..none }
            }
            Err(NoCache::Off) => none,
            Err(NoCache::Refused { what, fix }) => {
                CacheReport { problem: Some(Problem::new(what, fix)), ..none }
            }
        }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ironwarp {}\n", self.version)?;
        self.driver.line(f, "driver", "CUDA ")?;
        self.nvrtc.line(f, "compiler", "NVRTC ")?;
        self.nvml.line(f, "NVML", "driver release ")?;
        self.cards.iter().try_for_each(|card| card.line(f))?;
        if self.cards.is_empty() {
            line(f, "cards", "none", self.no_cards.as_ref())?;
        }
        self.cache.line(f)?;
        self.optional.iter().try_for_each(|(name, library)| library.optional_line(f, name))?;
        if !self.looked.is_empty() {
            writeln!(f, "\nMissing libraries were looked for in")?;
            self.looked.iter().try_for_each(|place| writeln!(f, "  {place}"))?;
        }
        let verdict = if self.is_ready() { "A GPU can be used." } else { "No GPU can be used." };
        write!(f, "\n{verdict}")
    }
}

/// One finding: what is there, then what is wrong and the fix.
fn line(
    f: &mut fmt::Formatter<'_>,
    subject: &str,
    there: &str,
    problem: Option<&Problem>,
) -> fmt::Result {
    let indent = "\n              ";
    match problem {
        None => writeln!(f, "{subject:<14}{there}"),
        Some(Problem { what, fix }) => {
            let gap = if there.is_empty() { "" } else { indent };
            let what = what.replace('\n', indent);
            writeln!(f, "{subject:<14}{there}{gap}{what}{indent}-> {fix}")
        }
    }
}

impl LibraryReport {
    fn line(&self, f: &mut fmt::Formatter<'_>, subject: &str, unit: &str) -> fmt::Result {
        let there = self.path.as_ref().map(|path| {
            let version = self.version.as_deref().unwrap_or("unknown");
            format!("{unit}{version}, {}", path.display())
        });
        line(f, subject, &there.unwrap_or_default(), self.problem.as_ref())
    }

    /// The same of a library that nothing needs yet.
    fn optional_line(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let path = self.path.as_ref();
        let there = path.map(|path| format!("{}, not needed yet", path.display()));
        line(f, name, &there.unwrap_or_default(), self.problem.as_ref())
    }
}

impl CardReport {
    fn line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Card { index, name, capability: (major, minor), memory } = &self.card;
        let gib = *memory as f64 / (1u64 << 30) as f64;
        let compiled = self.architecture.as_ref().map(|name| format!(", compiled for {name}"));
        let compiled = compiled.unwrap_or_default();
        let there = format!("{name}, compute capability {major}.{minor}, {gib:.1} GiB{compiled}");
        line(f, &format!("card {index}"), &there, self.problem.as_ref())
    }
}

impl CacheReport {
    fn line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = match (&self.folder, &self.problem) {
            (Some(folder), _) => {
                let mib = self.bytes as f64 / (1 << 20) as f64;
                let plural = if self.kernels == 1 { "" } else { "s" };
                format!("{}, {} kernel{plural}, {mib:.1} MiB", folder.display(), self.kernels)
            }
            (None, None) => format!("off, for {VARIABLE} or an unset HOME says so"),
            (None, Some(_)) => String::new(),
        };
        line(f, "kernel cache", &there, self.problem.as_ref())
    }
}

#[cfg(test)]
#[path = "doctor/tests.rs"]
mod tests;
