//! The footer of a Parquet file: which columns it has, and where their pieces stand.
//!
//! Source: parquet-format/src/main/thrift/parquet.thrift; the numbers are its fields'.

use super::Source;
use super::meaning::Meaning;
use super::page::Codec;
use super::thrift::Struct;
use super::values::Physical;
use crate::data::text::{quoted, shortened};
use crate::error::DataError;

const MAGIC: &[u8; 4] = b"PAR1";

/// Longest footer: what is made of its fields takes many times its bytes.
const MAX_FOOTER: u32 = 64 << 20;

/// What the footer tells.
pub(super) struct Footer {
    pub(super) columns: Vec<ColumnType>,
    pub(super) groups: Vec<Group>,
}

/// A column that a table can have.
pub(super) struct ColumnType {
    pub(super) name: String,
    pub(super) physical: Physical,
    pub(super) meaning: Meaning,
    /// Whether cells may be missing.
    pub(super) optional: bool,
}

/// Rows that follow each other.
pub(super) struct Group {
    pub(super) rows: usize,
    /// One of each column.
    pub(super) chunks: Vec<Chunk>,
}

/// Where a column's values of a group stand.
pub(super) struct Chunk {
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) codec: Codec,
}

impl Footer {
    /// Reads the footer, and of it all columns but those to be ignored.
    pub(super) fn read(source: &Source, ignored: &[String]) -> Result<Footer, DataError> {
        Footer::with(source, |file| {
            let footer = |message: String| source.fault("the footer", message);
            let (columns, leaves) = columns(file, ignored).map_err(footer)?;
            let groups =
                file.structures(4).ok_or_else(|| footer("it lists no row groups".into()))?;
            let groups = groups.iter().enumerate().map(|(number, group)| {
                Group::new(group, &leaves, source.length)
                    .map_err(|what| source.fault(&format!("the footer, row group {number}"), what))
            });
            Ok(Footer { columns, groups: groups.collect::<Result<_, _>>()? })
        })
    }

    /// The names of the columns that a table can't have.
    pub(super) fn unreadable(source: &Source) -> Result<Vec<String>, DataError> {
        Footer::with(source, |file| {
            let listed = listed(file).map_err(|message| source.fault("the footer", message))?;
            let unreadable = listed.iter().filter(|listed| listed.column().is_err());
            Ok(unreadable.map(|listed| listed.name.into()).collect())
        })
    }

    /// What is made of a file's footer.
    fn with<T>(
        source: &Source,
        make: impl FnOnce(&Struct<'_>) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        let end = |message: &str| source.fault("the end of the file", message.into());
        if source.length < 12 {
            return Err(end("it is too short for a Parquet file"));
        }
        let tail = source.read(source.length - 8, 8)?;
        let (length, magic) = tail.split_at(4);
        if magic == b"PARE" {
            return Err(end("the footer is encrypted, which is not read"));
        }
        if magic != MAGIC || source.read(0, 4)? != MAGIC {
            return Err(end(
                "this is no Parquet file, or a part of one: it does not begin and end \
                 with `PAR1`",
            ));
        }
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
        let start = (source.length - 8).checked_sub(length.into()).filter(|&start| start >= 4);
        let start = start.ok_or_else(|| {
            end(&format!("the footer should have {length} bytes, more than the file"))
        })?;
        if length > MAX_FOOTER {
            return Err(end(&format!(
                "the footer has {length} bytes, expected up to {MAX_FOOTER}"
            )));
        }
        let bytes = source.read(start, length as usize)?;
        let (file, _) = Struct::read(&bytes)
            .ok_or_else(|| source.fault("the footer", "it is damaged".into()))?;
        make(&file)
    }
}

/// A column of the schema, which a table can have or not.
struct Listed<'a> {
    name: &'a str,
    element: &'a Struct<'a>,
    leaves: usize,
    nested: bool,
}

impl Listed<'_> {
    fn column(&self) -> Result<ColumnType, String> {
        ColumnType::new(self.element, self.name, self.nested)
            .map_err(|what| format!("column `{}`: {what}", shortened(self.name)))
    }
}

/// All columns of the schema.
fn listed<'a>(file: &'a Struct<'a>) -> Result<Vec<Listed<'a>>, String> {
    let elements = file.structures(2).ok_or("it has no schema")?;
    let damaged = || "its schema is damaged".to_string();
    let (root, mut left) = elements.split_first().ok_or_else(damaged)?;
    let mut columns = Vec::new();
    for _ in 0..root.size(5).ok_or_else(damaged)? {
        let element = left.first().ok_or_else(damaged)?;
        let name = element.text(4).ok_or("a column's name is not UTF-8 text")?;
        let (elements, leaves) = subtree(left).ok_or_else(damaged)?;
        columns.push(Listed { name, element, leaves, nested: elements > 1 });
        left = &left[elements..];
    }
    if left.is_empty() { Ok(columns) } else { Err(damaged()) }
}

/// The columns that are read, and which of all leaves of the schema they are.
fn columns(file: &Struct<'_>, ignored: &[String]) -> Result<(Vec<ColumnType>, Leaves), String> {
    let mut leaves = Leaves { read: Vec::new(), all: 0 };
    let mut columns: Vec<ColumnType> = Vec::new();
    let mut unknown: Vec<&String> = ignored.iter().collect();
    for listed in listed(file)? {
        if unknown.iter().any(|ignored| *ignored == listed.name) {
            unknown.retain(|ignored| *ignored != listed.name);
        } else {
            columns.push(listed.column()?);
            leaves.read.push(leaves.all);
        }
        leaves.all += listed.leaves;
    }
    match unknown.first() {
        None if columns.is_empty() => Err("there are no columns to read".into()),
        None => Ok((columns, leaves)),
        Some(name) => {
            let names = quoted(columns.iter().map(|column| column.name.as_str()));
            Err(format!("there is no column `{name}` to ignore; the others are {names}"))
        }
    }
}

/// Which leaves of the schema are read, of how many.
struct Leaves {
    read: Vec<usize>,
    all: usize,
}

/// How many elements a list of them begins with that belong to the first, and how many of these are
/// leaves.
fn subtree(elements: &[&Struct<'_>]) -> Option<(usize, usize)> {
    let (mut open, mut count, mut leaves) = (1usize, 0, 0);
    while open > 0 {
        let children = elements.get(count)?.size(5).unwrap_or(0);
        leaves += usize::from(children == 0);
        open = (open - 1).checked_add(children)?;
        count += 1;
    }
    Some((count, leaves))
}

impl ColumnType {
    fn new(element: &Struct<'_>, name: &str, nested: bool) -> Result<ColumnType, String> {
        let repetition = element.int(3);
        if nested || repetition == Some(2) {
            let text = "it is nested (a list, map or structure), and a table has plain columns; \
                        write its parts as columns of their own, or leave it out with `Parquet::ignore`, or \
                        `--ignore`";
            return Err(text.into());
        }
        let optional = match repetition {
            Some(0) => false,
            Some(1) => true,
            _ => return Err("it does not say whether cells may be missing".into()),
        };
        let physical = match (element.int(1), element.size(2)) {
            (Some(0), _) => Physical::Boolean,
            (Some(1), _) => Physical::Int32,
            (Some(2), _) => Physical::Int64,
            (Some(3), _) => Physical::Int96,
            (Some(4), _) => Physical::Float,
            (Some(5), _) => Physical::Double,
            (Some(6), _) => Physical::Bytes,
            (Some(7), Some(size @ 1..)) => Physical::Fixed(size),
            _ => return Err("its type is not known".into()),
        };
        let meaning = Meaning::new(element, physical).map_err(|what| {
            format!("it holds {what}, which is neither number, text, boolean nor time; leave it out with \
                     `Parquet::ignore`, or `--ignore`")
        })?;
        Ok(ColumnType { name: name.into(), physical, meaning, optional })
    }
}

impl Group {
    fn new(group: &Struct<'_>, leaves: &Leaves, length: u64) -> Result<Group, String> {
        let rows = group.size(3).ok_or("it does not say how many rows it has")?;
        let chunks = group.structures(1).filter(|chunks| chunks.len() == leaves.all);
        let chunks = chunks.ok_or("it does not have a piece of each column")?;
        let chunks = leaves.read.iter().map(|&leaf| Chunk::new(chunks[leaf], length));
        Ok(Group { rows, chunks: chunks.collect::<Result<_, _>>()? })
    }
}

impl Chunk {
    fn new(chunk: &Struct<'_>, length: u64) -> Result<Chunk, String> {
        if chunk.get(1).is_some() {
            return Err("a column is in another file, which is not read".into());
        }
        let data = chunk.structure(3).ok_or("it does not tell where a column is")?;
        let codec = Codec::new(data.int(4))?;
        let place = |field| data.int(field).and_then(|at| u64::try_from(at).ok());
        let pages = place(9).ok_or("it does not tell where a column is")?;
        // Some writers say 0 where there is no dictionary.
        let start = place(11).filter(|&at| at > 0).map_or(pages, |at| at.min(pages));
        let size = place(7).ok_or("it does not tell how long a column is")?;
        match start.checked_add(size) {
            Some(end) if end <= length => Ok(Chunk { start, length: size, codec }),
            _ => Err(format!("a column from byte {start} of {size} bytes is not in the file")),
        }
    }
}
