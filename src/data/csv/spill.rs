//! A table larger than memory: encoded a piece at a time and written to arrays in files.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Csv;
use super::reading::Reading;
use crate::data::column::{Column, Values};
use crate::data::dataset::Dataset;
use crate::data::npy;
use crate::data::preprocessing::Preprocessing;
use crate::data::table::Kind;
use crate::data::text::quoted;
use crate::error::DataError;

/// Text of the rows that are encoded together, and what becomes of it, in bytes.
const PIECE: usize = 32 << 20;
/// Bytes before an array's elements.
const HEADER: usize = 128;

impl Csv<'_> {
    /// Encodes all rows by a fitted preprocessing and writes them to `x.npy` and `y.npy` in a folder,
    /// over what was there. The result is a dataset whose rows stay in these files, for training on a
    /// table that is larger than memory: see [`Dataset::with_memory`]. Some 32 MiB of rows, as text and
    /// encoded, are held at a time.
    ///
    /// The preprocessing is fitted on rows that fit, such as the first of a file in random order. No row
    /// is left out here: one that misses its target, or a cell that nothing fills, is an error.
    ///
    /// ```no_run
    /// use ironwarp::data::{Csv, Dataset};
    ///
    /// let some = Csv::open("large.csv")?.head(1_000_000).target("price")?.standardize().build()?;
    /// let known = some.preprocessing().expect("it came from a table");
    /// let all = Csv::open("large.csv")?.spill(known, "large")?;
    /// let (train, test) = (all.rows(..90_000_000), all.rows(90_000_000..));
    /// # Ok::<(), ironwarp::error::DataError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Csv::read`] and [`Preprocessing::apply`], with the line; if a target column or all rows are
    /// missing, words are encoded by the target, or a file cannot be written.
    pub fn spill(
        self,
        preprocessing: &Preprocessing,
        folder: impl AsRef<Path>,
    ) -> Result<Dataset, DataError> {
        if preprocessing.encodes_by_target() {
            let message = "words are encoded by the target, by which the rows that the encoding was \
                           fitted on would know their own; choose another encoding to spill a table";
            return Err(DataError::Invalid(message.into()));
        }
        let mut reading = Reading::new(self.types_from(preprocessing))?;
        // Pieces of a column that is not used may look like different kinds.
        for name in preprocessing.ignored() {
            reading.kinds.entry(name.clone()).or_insert((Kind::Category, false));
        }
        let mut files: Option<[Array; 2]> = None;
        // What a row becomes, beside its text.
        let row = preprocessing.row_bytes();
        while let Some(table) = reading.table(PIECE, row)? {
            let data = preprocessing.apply(&table)?;
            let [target] = data.targets() else {
                let names = preprocessing.target().columns().into_iter().map(String::as_str);
                let message = format!("it lacks the target, {}", quoted(names));
                return Err(table.fault("the header", message));
            };
            let columns = [&data.inputs()[0], target];
            let files = match &mut files {
                Some(files) => files,
                none => none.insert([
                    Array::new(folder.as_ref().join("x.npy"), columns[0])?,
                    Array::new(folder.as_ref().join("y.npy"), columns[1])?,
                ]),
            };
            files.iter_mut().zip(columns).try_for_each(|(file, column)| file.append(column))?;
        }
        let Some([inputs, targets]) = files else {
            return Err(reading.fault("line 1", "there are no rows".into()));
        };
        let mut data = Dataset::new(vec![inputs.finish()?], vec![targets.finish()?])?;
        data.preprocessing = Some(Arc::new(preprocessing.clone()));
        Ok(data)
    }
}

/// A column on its way into an NPY file.
struct Array {
    path: PathBuf,
    file: BufWriter<File>,
    /// What it is but its elements.
    like: Column,
    rows: usize,
}

impl Array {
    /// Begins with a header that no reader takes, until all is there.
    fn new(path: PathBuf, column: &Column) -> Result<Array, DataError> {
        let created = File::create(&path).and_then(|file| {
            let mut file = BufWriter::new(file);
            file.write_all(&[0; HEADER]).map(|()| file)
        });
        match created {
            Ok(file) => {
                let values = Arc::new(match &*column.values {
                    Values::U32(_) => Values::U32(vec![]),
                    _ => Values::F32(vec![]),
                });
                Ok(Array { path, file, like: Column { values, ..column.clone() }, rows: 0 })
            }
            Err(source) => Err(DataError::Write { path, source }),
        }
    }

    fn append(&mut self, column: &Column) -> Result<(), DataError> {
        let bytes: Vec<u8> = match &*column.values {
            Values::F32(numbers) => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::U32(indices) => indices.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::Stored(_) => unreachable!("invariant: these were made in memory"),
        };
        self.rows += column.rows()?;
        let written = self.file.write_all(&bytes);
        written.map_err(|source| DataError::Write { path: self.path.clone(), source })
    }

    /// The column whose elements stay in the file.
    fn finish(mut self) -> Result<Column, DataError> {
        let numbers = matches!(&*self.like.values, Values::F32(_));
        let sizes: String = self.like.row_shape.iter().map(|size| format!(" {size},")).collect();
        let letters = if numbers { "<f4" } else { "<u4" };
        let text = format!(
            "{{'descr': '{letters}', 'fortran_order': False, 'shape': ({},{sizes}), }}",
            self.rows
        );
        // NumPy too ends its headers with spaces and a newline.
        let header = format!("{text:<0$}\n", HEADER - 11);
        let head =
            [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()];
        let mut write = || {
            self.file.rewind()?;
            self.file.write_all(&head.concat())?;
            self.file.flush()
        };
        write().map_err(|source| DataError::Write { path: self.path.clone(), source })?;
        let array = npy::open(&self.path)?;
        let Column { name, categories, .. } = self.like;
        let column = if numbers { array.numbers(&name) } else { array.indices(&name) };
        Ok(Column { categories, ..column? })
    }
}
