//! Folders of files, one row a file.

#[cfg(feature = "audio")]
pub(super) mod audio;
#[cfg(feature = "images")]
pub(super) mod images;
#[cfg(feature = "audio")]
pub(super) mod mel;
#[cfg(feature = "audio")]
mod pattern;

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::column::Column;
use super::dataset::Dataset;
use super::media::{Files, Media};
use super::text::shortened;
use crate::error::DataError;

/// What a folder holds, hidden entries (names that begin with a dot) left out.
struct Listing {
    /// Regular files whose extension is asked for, and links to such, sorted by name.
    files: Vec<(String, PathBuf)>,
    /// Folders, sorted by name.
    folders: Vec<(String, PathBuf)>,
    /// Names of all others.
    others: Vec<String>,
}

fn list(folder: &Path, extensions: &[&str]) -> Result<Listing, DataError> {
    let failure = |source| DataError::Read { path: folder.into(), source };
    let entries: Vec<DirEntry> =
        fs::read_dir(folder).and_then(Iterator::collect).map_err(failure)?;
    let mut listing = Listing { files: Vec::new(), folders: Vec::new(), others: Vec::new() };
    for path in entries.iter().map(DirEntry::path) {
        let name = path.file_name().unwrap_or_default();
        let lossy = name.to_string_lossy().into_owned();
        if lossy.starts_with('.') {
            continue;
        }
        let Some(name) = name.to_str() else {
            return Err(fault(
                folder,
                &format!("entry `{}`", shortened(&lossy)),
                "its name is not UTF-8",
            ));
        };
        let kind = fs::metadata(&path)
            .map_err(|source| DataError::Read { path: path.clone(), source })?
            .file_type();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let wanted = extensions.iter().any(|e| e.eq_ignore_ascii_case(extension));
        match (kind.is_dir(), kind.is_file() && wanted) {
            (true, _) => listing.folders.push((name.into(), path)),
            (_, true) => listing.files.push((name.into(), path)),
            _ => listing.others.push(name.into()),
        }
    }
    listing.files.sort_unstable();
    listing.folders.sort_unstable();
    listing.others.sort_unstable();
    Ok(listing)
}

impl Listing {
    /// What was passed over, for an error.
    fn passed_over(&self) -> String {
        match self.others.first() {
            None => String::new(),
            Some(name) => {
                let count = self.others.len();
                format!("; {count} other files were passed over, such as `{}`", shortened(name))
            }
        }
    }
}

/// A file, or those of a folder and of the folders in it that have these extensions, with their names.
fn files(path: &Path, extensions: &[&str]) -> Result<Vec<(String, PathBuf)>, DataError> {
    if !path.is_dir() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![(name, path.into())]);
    }
    let listing = list(path, extensions)?;
    let mut files = listing.files.clone();
    for (folder, path) in &listing.folders {
        let inner = list(path, extensions)?.files.into_iter();
        files.extend(inner.map(|(name, path)| (format!("{folder}/{name}"), path)));
    }
    if files.is_empty() {
        let message = format!("no {} files{}", extensions.join(", "), listing.passed_over());
        return Err(fault(path, "the folder", message));
    }
    Ok(files)
}

fn fault(file: &Path, place: &str, message: impl Into<String>) -> DataError {
    let file = file.display().to_string();
    DataError::Malformed { file, place: place.into(), message: message.into() }
}

/// Rows of files and the target `label`, and how they became that.
fn dataset(rows: Column, classes: &[&str], files: Files) -> Result<Dataset, DataError> {
    let label = label(classes);
    let media = Media { files, classes: label.categories.clone() };
    let mut data = Dataset::new(vec![rows], vec![label])?;
    data.media = Some(Arc::new(media));
    Ok(data)
}

/// The target `label`: one class a row, numbered in the order of their sorted names.
fn label(classes: &[&str]) -> Column {
    let mut names: Vec<&str> = classes.to_vec();
    names.sort_unstable();
    names.dedup();
    let index = |class| names.binary_search(class).expect("invariant: every class is a name");
    let labels = classes.iter().map(|class| index(class) as u32).collect();
    Column::labels("label", labels, names.into_iter().map(String::from).collect())
}
