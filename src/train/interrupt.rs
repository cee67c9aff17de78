//! Ctrl-C and SIGTERM: the first one is remembered, the second ends the process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::TrainError;

static PRESSED: AtomicUsize = AtomicUsize::new(0);
/// Trainers that watch.
static WATCHED: AtomicUsize = AtomicUsize::new(0);
static HANDLER: OnceLock<Result<(), String>> = OnceLock::new();

/// Installs the handler, once per process, and forgets earlier presses unless others watch.
pub(super) fn watch() -> Result<(), TrainError> {
    let installed = HANDLER.get_or_init(|| {
        ctrlc::set_handler(|| {
            let watched = WATCHED.load(Ordering::SeqCst) > 0;
            if PRESSED.fetch_add(1, Ordering::SeqCst) > 0 || !watched {
                std::process::exit(130);
            }
        })
        .map_err(|error| error.to_string())
    });
    installed.clone().map_err(|error| {
        TrainError::State(format!(
            "cannot watch for Ctrl-C: {error}; leave out `stop_on_interrupt` or your own handler"
        ))
    })?;
    if WATCHED.fetch_add(1, Ordering::SeqCst) == 0 {
        PRESSED.store(0, Ordering::SeqCst);
    }
    Ok(())
}

/// Ends the watch; without any, Ctrl-C ends the process again.
pub(super) fn unwatch() {
    WATCHED.fetch_sub(1, Ordering::SeqCst);
}

/// Whether it was pressed since [`watch`].
pub(super) fn pressed() -> bool {
    PRESSED.load(Ordering::SeqCst) > 0
}
