//! Writing a file so that it holds the old content or the new one, never a part.
//!
//! The order is: temporary file beside the target, write, sync it, rename it over the target, sync
//! the folder. Up to the rename the old file is untouched; the rename is atomic; syncing before it
//! means that a power cut can't leave the new name on missing data. A failed sync is never
//! repeated, for the system may have dropped the data and call the second one a success.
//!
//! Whoever dies in between leaves a temporary file. The next save to the same target removes it,
//! unless its writer lives: a writer holds a lock on its temporary file.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::FileError;

/// Ends the names of temporary files: `.<target>.<six letters>.tmp`.
const SUFFIX: &str = ".tmp";
/// Letters that make the name of a temporary file its own.
const RANDOM_LETTERS: usize = 6;

/// Replaces the file at `path` by one of the given content, or creates it.
///
/// After an error the old content is still there; if only the last action failed, the sync of the
/// folder, it is the old or the new one. The temporary file is removed in either case. A new file
/// gets the process's usual permissions, a replaced one keeps its own as far as the umask allows. A
/// symbolic link at `path` is itself replaced and not followed, so nothing outside the named folder
/// is written.
///
/// # Errors
/// [`FileError::Io`] with advice: the folder is missing, read-only or no folder; the disk is full;
/// `path` names a folder, a device or a pipe; or whatever else the system says.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), FileError> {
    save(&RealSystem, path.as_ref(), bytes)
}

/// Finds out before a long run whether a save to `path` could work, by creating a temporary file
/// beside it and removing it again.
///
/// # Errors
/// As [`write_atomically`], as far as it can be known without writing.
pub fn check_target(path: impl AsRef<Path>) -> Result<(), FileError> {
    Target::new(path.as_ref())?.create(&RealSystem).map(drop)
}

/// What a save asks of the system, so that tests can fail each call.
pub(super) trait System {
    /// Creates and locks an empty file that is removed when dropped.
    fn create(&self, target: &Target<'_>) -> io::Result<NamedTempFile>;
    /// Writes a part of the bytes, maybe all, and returns how many.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<usize>;
    /// Brings a file's content to the disk.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Gives the temporary file its final name.
    fn rename(&self, temporary: NamedTempFile, path: &Path) -> io::Result<()>;
    /// Brings a folder's entries to the disk.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

pub(super) fn save(system: &dyn System, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let target = Target::new(path)?;
    target.remove_leftovers();
    let mut temporary = target.create(system)?;
    let mut writer = Writer { system, file: temporary.as_file_mut() };
    writer.write_all(bytes).map_err(|e| target.failed("write", e))?;
    system.sync(temporary.as_file()).map_err(|e| target.failed("sync", e))?;
    system.rename(temporary, path).map_err(|e| target.failed("rename a temporary file to", e))?;
    system.sync_folder(&target.folder).map_err(|e| target.failed("sync the folder of", e))
}

/// Where a save goes.
pub(super) struct Target<'a> {
    path: &'a Path,
    folder: PathBuf,
    /// How the names of temporary files for this target start.
    prefix: OsString,
    permissions: Permissions,
}

impl<'a> Target<'a> {
    fn new(path: &'a Path) -> Result<Self, FileError> {
        let refused = |text| FileError::Io {
            action: "write",
            path: path.into(),
            source: io::Error::new(ErrorKind::InvalidInput, text),
        };
        let name = path.file_name().ok_or_else(|| refused("it names no file"))?;
        let about = path.symlink_metadata().ok();
        let kind = about.as_ref().map(fs::Metadata::file_type);
        if kind.is_some_and(|kind| !kind.is_file() && !kind.is_symlink()) {
            return Err(refused("it is a folder, a pipe or a device; name a file"));
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        let old = about.filter(fs::Metadata::is_file).map(|about| about.permissions());
        let permissions = old.unwrap_or_else(|| Permissions::from_mode(0o666));
        Ok(Target { path, folder, prefix, permissions })
    }

    fn create(&self, system: &dyn System) -> Result<NamedTempFile, FileError> {
        system.create(self).map_err(|e| self.failed("create a temporary file beside", e))
    }

    fn failed(&self, action: &'static str, source: io::Error) -> FileError {
        let source = explained(source, &self.folder);
        FileError::Io { action, path: self.path.into(), source }
    }

    /// Removes what killed writers left for this target. It is a courtesy: failures are ignored.
    fn remove_leftovers(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| self.is_temporary(&entry.file_name())) {
            let path = entry.path();
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if let Some(file) = is_file.then(|| File::open(&path).ok()).flatten()
                && file.try_lock().is_ok()
            {
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn is_temporary(&self, name: &OsStr) -> bool {
        let name = name.as_encoded_bytes();
        name.len() == self.prefix.len() + RANDOM_LETTERS + SUFFIX.len()
            && name.starts_with(self.prefix.as_encoded_bytes())
            && name.ends_with(SUFFIX.as_bytes())
    }
}

/// Adds advice to what the system says about a file in `folder`; the kind stays.
pub(super) fn explained(e: io::Error, folder: &Path) -> io::Error {
    let folder = folder.display();
    let advice = match e.kind() {
        ErrorKind::NotFound => format!("create the folder `{folder}` first"),
        ErrorKind::NotADirectory => format!("`{folder}` is not a folder; choose another"),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            format!("choose another folder than `{folder}`, or make it writable")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            format!("free some space for `{folder}`, or choose another; the old file is kept")
        }
        ErrorKind::InvalidFilename => "choose a shorter or plainer file name".into(),
        _ => return e,
    };
    io::Error::new(e.kind(), format!("{e}; {advice}"))
}

/// Writes through a [`System`]; `write_all` goes on after short and interrupted writes.
struct Writer<'a> {
    system: &'a dyn System,
    file: &'a mut File,
}

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.system.write(self.file, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The operating system.
pub(super) struct RealSystem;

impl System for RealSystem {
    fn create(&self, target: &Target<'_>) -> io::Result<NamedTempFile> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(&target.prefix).suffix(SUFFIX).rand_bytes(RANDOM_LETTERS);
        builder.permissions(target.permissions.clone());
        loop {
            let temporary = builder.tempfile_in(&target.folder)?;
            // Another save's clean-up may come before the lock; then the file is gone. Where there
            // are no locks, there is no clean-up either.
            let _ = temporary.as_file().lock();
            if fs::symlink_metadata(temporary.path()).is_ok() {
                return Ok(temporary);
            }
        }
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<usize> {
        file.write(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, temporary: NamedTempFile, path: &Path) -> io::Result<()> {
        temporary.persist(path).map(drop).map_err(|e| e.error)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        match File::open(folder)?.sync_all() {
            // Some file systems can't sync a folder; they offer nothing better.
            Err(e) if e.kind() == ErrorKind::InvalidInput => Ok(()),
            result => result,
        }
    }
}
