//! Compiled kernels on disk, and beside them which of several forms of a step to run.
//!
//! An entry is one file: magic, key, length and hash of the content, content. All of it is checked
//! before use, for a driver that is handed damaged code may end the process. So whatever is wrong
//! with an entry makes it a miss, and the kernel is compiled and stored again. A file appears under
//! its name complete or not at all, by a rename; several processes may write and evict at once.
//! A choice is a text: whoever reads it checks that it names a form that there is, and any form is
//! right, so no hash guards it. The folder must belong to the user and be writable by nobody else, since what it holds is run.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Names the cache's folder, or `off`.
pub(super) const VARIABLE: &str = "IRONWARP_CACHE";
/// Bytes that the entries may take together.
pub(super) const LIMIT: u64 = 512 << 20;

const MAGIC: &[u8; 8] = b"IWKERN01";
/// Magic, key, length, hash.
const HEADER: usize = 8 + 16 + 8 + 16;
const ENTRY_SUFFIX: &str = ".kernel";
const CHOICE_SUFFIX: &str = ".choice";
const TEMPORARY_SUFFIX: &str = ".tmp";
/// A temporary file of this age was left behind by a process that died.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Everything that the code of a kernel depends on.
pub(super) struct Ingredients<'a> {
    /// The full source.
    pub(super) text: &'a str,
    /// The compiler's options, in any order.
    pub(super) options: &'a [String],
    /// The architecture, such as `sm_90a`.
    pub(super) architecture: &'a str,
    /// Version of NVRTC.
    pub(super) nvrtc: (u32, u32),
    /// Version of this crate.
    pub(super) version: &'a str,
}

impl Ingredients<'_> {
    /// The entry's key.
    pub(super) fn key(&self) -> u128 {
        let mut key = Key::default();
        let mut options: Vec<&String> = self.options.iter().collect();
        options.sort_unstable();
        key.part(self.text);
        key.part((options.len() as u64).to_le_bytes());
        for option in options {
            key.part(option);
        }
        key.part(self.architecture);
        key.part(format!("{}.{}", self.nvrtc.0, self.nvrtc.1));
        key.part(self.version);
        key.finish()
    }
}

/// Makes a key: XXH3, 128 bits, over all parts, each led by its length.
#[derive(Default)]
pub(super) struct Key(Xxh3);

impl Key {
    /// Adds a part.
    pub(super) fn part(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// The key.
    pub(super) fn finish(&self) -> u128 {
        self.0.digest128()
    }
}

/// Why there is no cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoCache {
    /// The user said so, or there is no home.
    Off,
    /// The folder can't be used.
    Refused {
        /// Why.
        what: String,
        /// What to do.
        fix: String,
    },
}

/// Where the cache lies by the environment; none where it is off or there is no home.
pub(super) fn place(variable: &dyn Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let folder = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    match folder(VARIABLE) {
        Some(off) if off == Path::new("off") => return None,
        Some(own) => return Some(own),
        None => {}
    }
    let base = folder("XDG_CACHE_HOME")
        .filter(|base| base.is_absolute())
        .or_else(|| folder("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("ironwarp/kernels"))
}

/// A folder of compiled kernels.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    limit: u64,
}

impl Cache {
    /// The cache where the environment puts it.
    pub(super) fn from_environment() -> Result<Cache, NoCache> {
        let folder = place(&|name| std::env::var_os(name)).ok_or(NoCache::Off)?;
        Cache::open(&folder, LIMIT)
    }

    /// The cache in a folder, which is made with mode 0700 where it is missing.
    pub(super) fn open(folder: &Path, limit: u64) -> Result<Cache, NoCache> {
        let refused = |why: &str, fix: &str| {
            let what = format!("{} holds no cache of kernels: {why}", folder.display());
            Err(NoCache::Refused { what, fix: fix.into() })
        };
        let elsewhere = format!("set {VARIABLE} to a folder of yours or to `off`");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let about = match (fs::metadata(folder), made) {
            (Ok(about), _) => about,
            (Err(_), Err(error)) | (Err(error), Ok(())) => {
                return refused(&error.to_string(), &elsewhere);
            }
        };
        let user = fs::metadata("/proc/self").map(|own| own.uid());
        if !about.is_dir() {
            refused("it is no folder", &elsewhere)
        } else if user.ok() != Some(about.uid()) {
            refused(&format!("it belongs to user {}", about.uid()), &elsewhere)
        } else if about.mode() & 0o022 != 0 {
            refused("others may write to it", "run `chmod go-w` on it")
        } else {
            Ok(Cache { folder: folder.into(), limit })
        }
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Number of entries and their bytes.
    pub(super) fn size(&self) -> (usize, u64) {
        let entries = self.entries(ENTRY_SUFFIX);
        (entries.len(), entries.iter().map(|entry| entry.bytes).sum())
    }

    /// The code stored under a key, if all of its entry is as it was written.
    pub(super) fn lookup(&self, key: u128) -> Option<Vec<u8>> {
        let mut file = File::open(self.entry(key)).ok()?;
        let mut entry = Vec::new();
        file.read_to_end(&mut entry).ok()?;
        let code = unpack(key, &entry)?.to_vec();
        // Eviction takes the entries that were read the longest ago. A read-only cache evicts none.
        let _ = file.set_modified(SystemTime::now());
        Some(code)
    }

    /// Stores code under a key, in place of what was there.
    pub(super) fn store(&self, key: u128, code: &[u8]) -> io::Result<()> {
        self.publish(&self.entry(key), |file| file.write_all(&pack(key, code)))
    }

    /// The choice kept under a key, if there is a text.
    pub(super) fn choice(&self, key: u128) -> Option<String> {
        let mut file = File::open(self.place_of_choice(key)).ok()?;
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        let _ = file.set_modified(SystemTime::now());
        Some(text)
    }

    /// Keeps a choice under a key, in place of what was there.
    pub(super) fn keep_choice(&self, key: u128, text: &str) -> io::Result<()> {
        self.publish(&self.place_of_choice(key), |file| {
            file.write_all(text.as_bytes())?;
            // A kernel that a crash cut off is compiled again; a choice took longer to find.
            file.sync_all()
        })
    }

    /// Writes a file aside and gives it its name when it is whole.
    fn publish(
        &self,
        path: &Path,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut temporary = tempfile::Builder::new()
            .prefix(".")
            .suffix(TEMPORARY_SUFFIX)
            .tempfile_in(&self.folder)?;
        write(temporary.as_file_mut())?;
        temporary.persist(path).map_err(|refused| refused.error)?;
        Ok(())
    }

    /// Removes the entries read the longest ago until the rest fits the limit, and what writers
    /// that died left behind. Each removal stands for itself, so it may end at any point.
    pub(super) fn evict(&self) {
        for path in self.files(TEMPORARY_SUFFIX) {
            let age = path.metadata().and_then(|about| about.modified()).map(|time| time.elapsed());
            if matches!(age, Ok(Ok(age)) if age > ABANDONED) {
                let _ = fs::remove_file(path);
            }
        }
        let mut entries = self.entries(ENTRY_SUFFIX);
        entries.extend(self.entries(CHOICE_SUFFIX));
        entries.sort_by(|a, b| (a.read, &a.path).cmp(&(b.read, &b.path)));
        let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        for entry in entries {
            if total <= self.limit {
                return;
            }
            if fs::remove_file(&entry.path).is_ok() {
                total -= entry.bytes;
            }
        }
    }

    fn entry(&self, key: u128) -> PathBuf {
        self.folder.join(format!("{key:032x}{ENTRY_SUFFIX}"))
    }

    fn place_of_choice(&self, key: u128) -> PathBuf {
        self.folder.join(format!("{key:032x}{CHOICE_SUFFIX}"))
    }

    fn files(&self, suffix: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.to_string_lossy().ends_with(suffix)).collect()
    }

    fn entries(&self, suffix: &str) -> Vec<Entry> {
        let entry = |path: PathBuf| {
            let about = path.metadata().ok()?;
            Some(Entry { bytes: about.len(), read: about.modified().ok()?, path })
        };
        self.files(suffix).into_iter().filter_map(entry).collect()
    }
}

struct Entry {
    path: PathBuf,
    bytes: u64,
    read: SystemTime,
}

fn pack(key: u128, code: &[u8]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(HEADER + code.len());
    entry.extend(MAGIC);
    entry.extend(key.to_le_bytes());
    entry.extend((code.len() as u64).to_le_bytes());
    entry.extend(xxh3_128(code).to_le_bytes());
    entry.extend(code);
    entry
}

fn unpack(key: u128, entry: &[u8]) -> Option<&[u8]> {
    let code = entry.get(HEADER..)?;
    (pack(key, code) == entry).then_some(code)
}

#[cfg(test)]
#[path = "cache/tests.rs"]
mod tests;
