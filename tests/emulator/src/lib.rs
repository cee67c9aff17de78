//! A GPU for machines that have none: a stand-in pair of shared libraries with the names of
//! NVIDIA's driver and NVRTC, so that the unmodified bindings and the crate's CUDA executor run.
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
mod settings;

use std::io::Write;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use library::Libraries;
pub use settings::{Counts, Order, Settings};

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

/// The loaded stand-in libraries; there is one in a process.
#[derive(Debug)]
pub struct Emulator {
    libraries: Libraries,
    sessions: Mutex<()>,
}

/// Builds the libraries if need be, and loads them under NVIDIA's names, before the bindings do.
///
/// # Errors
/// [`Missing`] says what is absent on this machine.
pub fn start() -> Result<&'static Emulator, &'static Missing> {
    static EMULATOR: OnceLock<Result<Emulator, Missing>> = OnceLock::new();
    let load = || {
        let folder = compile::libraries()?;
        Ok(Emulator { libraries: Libraries::load(&folder)?, sessions: Mutex::new(()) })
    };
    EMULATOR.get_or_init(load).as_ref()
}

/// A session for one test, or none where there is no C++ compiler: then it says so on stderr, or
/// panics if the environment variable `IRONWARP_EMULATOR` is `required`.
///
/// # Panics
/// Where the libraries cannot be had for another reason, or must be had.
pub fn session() -> Option<Session> {
    match start() {
        Ok(emulator) => Some(emulator.session()),
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

impl Emulator {
    /// Waits until no other session of this process runs and starts afresh with [`Settings::default`].
    pub fn session(&'static self) -> Session {
        let turn = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        self.libraries.reset();
        Session { emulator: self, _turn: turn }
    }
}

/// One test's time with the emulator: the device as new, and nobody else at it.
///
/// When it ends it panics if there were problems that [`Session::problems`] was not asked for.
#[derive(Debug)]
pub struct Session {
    emulator: &'static Emulator,
    _turn: MutexGuard<'static, ()>,
}

impl Session {
    /// What is set now.
    pub fn settings(&self) -> Settings {
        self.emulator.libraries.settings()
    }

    /// Sets device, orders, poison and faults for what follows.
    pub fn configure(&self, settings: Settings) {
        self.emulator.libraries.configure(settings);
    }

    /// Makes the `call`-th driver call of this session fail, counted from 1, with a code of the
    /// driver. Calls that release something release it all the same. The codes that kill a context
    /// on a card (214, 700, 702, 710, 714 to 719) are given by every later call too.
    pub fn fail(&self, call: u64, code: i32) {
        self.configure(Settings { fail_at: call, fail_code: code, ..self.settings() });
    }

    /// What is alive on the device and how many calls were made.
    pub fn counts(&self) -> Counts {
        self.emulator.libraries.counts()
    }

    /// What the checkers found since the last time somebody asked.
    pub fn problems(&self) -> Vec<String> {
        self.emulator.libraries.report(library::PROBLEMS)
    }

    /// Names of the driver calls since the session began, in order.
    pub fn calls(&self) -> Vec<String> {
        self.emulator.libraries.report(library::CALLS)
    }

    /// Kernels that ran since the session began, each as "name count".
    pub fn launched(&self) -> Vec<String> {
        self.emulator.libraries.report(library::LAUNCHED)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let problems = self.problems();
        self.emulator.libraries.reset();
        if !std::thread::panicking() {
            assert!(problems.is_empty(), "the emulator found:\n{}", problems.join("\n"));
        }
    }
}
