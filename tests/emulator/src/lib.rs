//! A GPU for machines that have none: stand-in shared libraries with the names of NVIDIA's driver,
//! NVRTC and NVML, so that the unmodified bindings and the crate's CUDA executor run.
//!
//! The stand-in NVRTC hands a kernel's source and `-D` options to the host's C++ compiler, with a
//! small header in place of CUDA's; what it returns as a "cubin" is a shared object. The stand-in
//! driver loads it and runs grids, one block after another, with the threads of a block as
//! coroutines. Device memory is guarded and poisoned, calls are counted and can be made to fail,
//! and the order of threads and blocks is the test's choice.
//!
//! ```no_run
//! let Some(session) = emulator::session() else { return };
//! // From here on cudarc finds an emulated device.
//! session.configure(emulator::Settings { thread_order: emulator::Order::Reverse, ..session.settings() });
//! assert!(session.problems().is_empty());
//! ```
//!
//! What it cannot show: the speed of a card, the real compiler's code, weak memory order, and
//! warps that rely on running in step.

mod compile;
mod library;
mod replay;
mod settings;

use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use library::Libraries;
pub use replay::{Replay, Sanitizer, recorded};
pub use settings::{Counts, Order, Pace, Settings};

/// Why the stand-in libraries could not be built or loaded.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// No C++ compiler was found.
    #[error("no C++ compiler: neither $CXX nor c++ nor g++ runs; install g++")]
    Compiler,
    /// The compiler refused the stand-in's own sources.
    #[error("{compiler} does not compile the stand-in libraries:\n{log}")]
    Refused {
        /// The command that was run.
        compiler: String,
        /// What it wrote.
        log: String,
    },
    /// A file could not be written or read.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The linker refused a library.
    #[error("the stand-in library does not load: {0}")]
    Load(#[from] libloading::Error),
}

/// The libraries, built if need be and loaded under NVIDIA's names, before the bindings do.
fn start() -> Result<&'static Libraries, &'static Missing> {
    static LIBRARIES: OnceLock<Result<Libraries, Missing>> = OnceLock::new();
    LIBRARIES.get_or_init(|| Libraries::load(compile::libraries()?)).as_ref()
}

/// Whether the environment variable `IRONWARP_TEST_GPU` is `1`: tests run on the machine's own card.
pub fn on_a_card() -> bool {
    std::env::var("IRONWARP_TEST_GPU").is_ok_and(|v| v == "1")
}

/// A session for one test; waits until no other of this process runs, and starts afresh with
/// [`Settings::default`].
///
/// None where there is no C++ compiler: then it says so on stderr, or panics if the environment
/// variable `IRONWARP_EMULATOR` is `required`. If [`on_a_card`], nothing is loaded, and a test that
/// finds no card fails by itself.
///
/// # Panics
/// Where the libraries cannot be had for another reason, or must be had.
pub fn session() -> Option<Session> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = || TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if on_a_card() {
        return Some(Session { emulator: None, _turn: turn() });
    }
    match start() {
        Ok(libraries) => {
            let session = Session { emulator: Some(libraries), _turn: turn() };
            libraries.reset();
            Some(session)
        }
        Err(missing) => {
            let required = std::env::var("IRONWARP_EMULATOR").is_ok_and(|v| v == "required");
            assert!(!required && matches!(missing, Missing::Compiler), "no emulator: {missing}");
            let test = std::thread::current().name().unwrap_or("a test").to_string();
            // Past the test harness, which hides what a passing test prints.
            let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {missing}");
            None
        }
    }
}

/// One test's time with the device: as new, and nobody else at it.
///
/// When it ends it panics if there were problems that [`Session::problems`] was not asked for.
///
/// On a card [`Session::configure`] changes nothing and nothing is checked, so a test that compares
/// orders or poisons repeats its run. Whatever else only the emulator can tell or do panics there:
/// the names of tests that need it begin with `emulated_`, and a card is not asked for them.
#[derive(Debug)]
pub struct Session {
    /// None on a card.
    emulator: Option<&'static Libraries>,
    _turn: MutexGuard<'static, ()>,
}

impl Session {
    /// What is set now; the default on a card.
    pub fn settings(&self) -> Settings {
        self.emulator.map(Libraries::settings).unwrap_or_default()
    }

    /// Sets device, orders, poison and faults for what follows.
    pub fn configure(&self, settings: Settings) {
        if let Some(libraries) = self.emulator {
            libraries.configure(settings);
        }
    }

    /// Makes the `call`-th driver call of this session fail, counted from 1, with a code of the
    /// driver. Calls that release something release it all the same. The codes that kill a context
    /// on a card (214, 700, 702, 710, 714 to 719) are given by every later call too.
    pub fn fail(&self, call: u64, code: i32) {
        let settings = Settings { fail_at: call, fail_code: code, ..self.settings() };
        self.emulator().configure(settings);
    }

    /// Plants a mistake: replaces the first occurrence of `find` in every source that is compiled
    /// from now on. The program's own cache of kernels must be off, since it knows nothing of it.
    pub fn patch(&self, find: &str, replace: &str) {
        self.emulator().patch(find, replace);
    }

    /// How often the management library was started and not stopped.
    pub fn nvml_started(&self) -> i32 {
        self.emulator().nvml_started()
    }

    /// Sources that were changed by [`Session::patch`] since it was called.
    pub fn patched(&self) -> u32 {
        self.emulator().patched()
    }

    /// Records every launch from now on as a file in this folder, in order, for [`Replay`].
    pub fn record(&self, folder: &Path) {
        self.emulator().record(folder);
    }

    /// What is alive on the device and how many calls were made.
    pub fn counts(&self) -> Counts {
        self.emulator().counts()
    }

    /// What the checkers found since the last time somebody asked; nothing on a card.
    pub fn problems(&self) -> Vec<String> {
        self.emulator.map(|libraries| libraries.report(library::PROBLEMS)).unwrap_or_default()
    }

    /// Names of the driver calls since the session began, in order.
    pub fn calls(&self) -> Vec<String> {
        self.emulator().report(library::CALLS)
    }

    /// Kernels that ran since the session began, each as "name count".
    pub fn launched(&self) -> Vec<String> {
        self.emulator().report(library::LAUNCHED)
    }

    fn emulator(&self) -> &'static Libraries {
        self.emulator.expect("only the emulator can; begin the test's name with `emulated_`")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(libraries) = self.emulator else { return };
        let problems = self.problems();
        libraries.reset();
        if !std::thread::panicking() {
            assert!(problems.is_empty(), "the emulator found:\n{}", problems.join("\n"));
        }
    }
}
