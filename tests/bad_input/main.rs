//! Files that no reader takes: each is made here, byte by byte, and the exact text of its refusal
//! is in `snapshots/`.

#[cfg(feature = "audio")]
mod audio;
mod csv;
mod idx;
#[cfg(feature = "images")]
mod images;
mod npy;
#[cfg(feature = "npz")]
mod npz;
#[cfg(feature = "parquet")]
mod parquet;
mod text;
mod tokenizer;

use std::error::Error;
use std::fmt::Write;
use std::io::Write as _;
use std::path::Path;

use ironwarp::error::DataError;

/// What each bad file's reader says, a line each.
#[derive(Default)]
struct Refusals {
    text: String,
}

impl Refusals {
    fn add<T>(&mut self, name: &str, result: Result<T, DataError>) {
        let Err(error) = result else { panic!("{name}: this should have been refused") };
        write!(self.text, "{name}\n    {error}").unwrap();
        let mut source = error.source();
        while let Some(error) = source {
            write!(self.text, ": {error}").unwrap();
            source = error.source();
        }
        self.text.push('\n');
    }

    /// Writes the bytes to a file of this name and adds what its reader says.
    fn add_file<T>(
        &mut self,
        name: &str,
        file: &str,
        bytes: &[u8],
        read: impl FnOnce(&Path) -> Result<T, DataError>,
    ) {
        self.add_folder(name, &[(file, bytes)], |folder| read(&folder.join(file)));
    }

    /// The same with a folder of files, whose paths may hold folders of their own.
    fn add_folder<T>(
        &mut self,
        name: &str,
        files: &[(&str, &[u8])],
        read: impl FnOnce(&Path) -> Result<T, DataError>,
    ) {
        let folder = tempfile::tempdir().unwrap();
        for (file, bytes) in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let before = self.text.len();
        self.add(name, read(folder.path()));
        let told = self.text.split_off(before);
        self.text.push_str(&told.replace(&folder.path().display().to_string(), "FOLDER"));
    }
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
