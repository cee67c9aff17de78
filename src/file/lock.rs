//! A lock that keeps two trainers from writing one folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use super::atomic::explained;
use crate::error::FileError;

/// Name of the file that carries the lock.
const FILE_NAME: &str = "run.lock";

/// The right to write a run's folder, until it is dropped.
///
/// The lock is an advisory one of the operating system on the file `run.lock`, which stays when the
/// lock goes. A process that dies, however it dies, loses its lock; so a stale lock can't occur.
#[derive(Debug)]
pub struct RunLock {
    /// Held open, for closing it releases the lock.
    _file: File,
}

impl RunLock {
    /// Locks a folder that exists.
    ///
    /// # Errors
    /// [`FileError::Io`] of kind [`WouldBlock`](io::ErrorKind::WouldBlock) if another trainer, in
    /// this process or another, holds the lock; other kinds if the folder can't be written.
    pub fn acquire(folder: impl AsRef<Path>) -> Result<RunLock, FileError> {
        let folder = folder.as_ref();
        let path = folder.join(FILE_NAME);
        let failed = |source| FileError::Io { action: "lock", path: path.clone(), source };
        // What is opened here is emptied later, so it must not be a link to something else.
        if path.symlink_metadata().is_ok_and(|about| !about.is_file()) {
            let text = "it is not a plain file; remove it";
            return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, text)));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(|e| failed(explained(e, folder)))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(failed(held_by(&file))),
            Err(TryLockError::Error(e)) => return Err(failed(explained(e, folder))),
        }
        let owner = format!("process {}{}\n", std::process::id(), host());
        let written = file.set_len(0).and_then(|()| file.write_all(owner.as_bytes()));
        written.map_err(|e| failed(explained(e, folder)))?;
        Ok(RunLock { _file: file })
    }
}

/// The error for a lock that another holds, naming the owner if it can be read.
fn held_by(file: &File) -> io::Error {
    let mut owner = String::new();
    let known = file.take(200).read_to_string(&mut owner).is_ok() && !owner.trim().is_empty();
    let owner = if known { owner.trim().escape_debug().to_string() } else { "a process".into() };
    let text = format!("{owner} is training there; wait for it, or choose another folder");
    io::Error::new(io::ErrorKind::WouldBlock, text)
}

/// " on `host`", if the host's name is known: a folder may be shared by several.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { String::new() } else { format!(" on {}", name.trim()) }
}
