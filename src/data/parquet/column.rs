//! A column being read: its pages, one after the other, become the cells of a table.

use std::collections::HashMap;

use super::footer::ColumnType;
use super::meaning::{Cell, Meaning};
use super::packed::hybrid;
use super::page::{Budget, Codec, Page, Pages};
use super::values::{SHORT, encoding, values};
use crate::data::csv::dates;
use crate::data::table::{Kind, MISSING, TableColumn};

/// Bytes that a new word takes beside its text, about.
const WORD: usize = 64;

/// Cells of a page, of a dictionary or of the whole column.
enum Cells {
    /// Of dates the seconds since the start of 1970; NaN where one is missing.
    Numbers(Vec<f64>),
    /// Places in the list of words, or [`MISSING`].
    Words(Vec<u32>),
}

pub(super) struct Builder<'a> {
    of: &'a ColumnType,
    budget: &'a Budget,
    words: HashMap<Box<str>, u32>,
    cells: Cells,
    dictionary: Option<Cells>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(of: &'a ColumnType, budget: &'a Budget) -> Self {
        let cells = Cells::new(of.meaning, 0);
        Builder { of, budget, words: HashMap::new(), cells, dictionary: None }
    }

    /// Appends the rows of a chunk.
    pub(super) fn chunk(&mut self, bytes: &[u8], codec: Codec, rows: usize) -> Result<(), String> {
        let (optional, budget) = (self.of.optional, self.budget);
        let mut pages = Pages { bytes, at: 0, codec, optional, budget };
        self.dictionary = None;
        let mut left = rows;
        while left > 0 {
            let page = pages.next()?;
            let page = page.ok_or_else(|| format!("{left} of its {rows} rows are not there"))?;
            if page.dictionary {
                self.dictionary = Some(self.decode(page.encoding, page.values(), page.count)?);
                continue;
            }
            left = left
                .checked_sub(page.count)
                .ok_or_else(|| format!("it has more rows than its row group, which has {rows}"))?;
            self.page(&page)?;
        }
        Ok(())
    }

    fn page(&mut self, page: &Page<'_>) -> Result<(), String> {
        self.budget.spend(page.count * self.cells.bytes())?;
        let present = match self.of.optional {
            true => Some(hybrid(page.levels(), 1, page.count).ok_or(SHORT)?),
            false => None,
        };
        let count = present.as_ref().map_or(page.count, |p| p.iter().filter(|&&x| x == 1).count());
        let found = match page.encoding {
            // There may be no byte that tells the width of the indices.
            _ if count == 0 => Cells::new(self.of.meaning, 0),
            encoding::PLAIN_DICTIONARY | encoding::RLE_DICTIONARY => {
                let (&width, bits) = page.values().split_first().ok_or(SHORT)?;
                let indices = (width <= 32).then(|| hybrid(bits, width.into(), count)).flatten();
                let dictionary = self.dictionary.as_ref().ok_or("its dictionary is missing")?;
                dictionary.pick(&indices.ok_or(SHORT)?)?
            }
            encoding => self.decode(encoding, page.values(), count)?,
        };
        self.cells.append(found, present.as_deref());
        Ok(())
    }

    /// `count` values as cells.
    fn decode(&mut self, coding: i64, bytes: &[u8], count: usize) -> Result<Cells, String> {
        // Dictionaries were once said to be encoded as what numbers them.
        let coding = if coding == encoding::PLAIN_DICTIONARY { encoding::PLAIN } else { coding };
        let (budget, words) = (self.budget, &mut self.words);
        let (physical, meaning) = (self.of.physical, self.of.meaning);
        budget.spend(count * self.cells.bytes())?;
        let mut cells = Cells::new(meaning, count);
        let spend = |bytes| budget.spend(bytes);
        values(physical, coding, bytes, count, &spend, &mut |raw| {
            match (meaning.cell(raw)?, &mut cells) {
                (Some(Cell::Number(x)), Cells::Numbers(numbers)) => numbers.push(x),
                (Some(Cell::Word(word)), Cells::Words(codes)) => {
                    let known = words.get(&*word).copied();
                    codes.push(match known {
                        Some(code) => code,
                        None => {
                            spend(word.len() + WORD)?;
                            let code = words.len() as u32;
                            words.insert(word.into(), code);
                            code
                        }
                    });
                }
                (_, Cells::Numbers(numbers)) => numbers.push(f64::NAN),
                (_, Cells::Words(codes)) => codes.push(MISSING),
            }
            Ok(())
        })?;
        Ok(cells)
    }

    /// The column of the table: of the `wanted` kind where its cells may be of it, as those of a CSV
    /// file would, else of its own.
    pub(super) fn finish(self, wanted: Option<Kind>) -> TableColumn {
        let name = &self.of.name;
        match self.cells {
            Cells::Numbers(numbers) => {
                let empty = numbers.iter().all(|x| x.is_nan());
                let kind = match (self.of.meaning.kind(), wanted) {
                    (Kind::Number, Some(Kind::Category)) => Kind::Category,
                    (_, Some(wanted)) if empty => wanted,
                    (own, _) => own,
                };
                let cells = numbers.into_iter().map(|x| (!x.is_nan()).then_some(x));
                match kind {
                    Kind::Number => TableColumn::numbers(name, cells),
                    Kind::Date => TableColumn::dates(name, cells),
                    Kind::Category => {
                        TableColumn::categories(name, cells.map(|x| Some(x?.to_string())))
                    }
                }
            }
            Cells::Words(codes) => {
                let mut words = vec![""; self.words.len()];
                for (word, &code) in &self.words {
                    words[code as usize] = word;
                }
                // A missing cell's code is no word's.
                let cells = codes.iter().map(|&code| words.get(code as usize).copied());
                let column = match wanted {
                    Some(Kind::Category) => None,
                    Some(Kind::Number) => numbers(name, &words, &codes),
                    // As in CSV, but that a file which types its columns may mix dates with words.
                    _ => dates(cells, name, wanted.is_some()).ok().flatten(),
                };
                column.unwrap_or_else(|| TableColumn::coded(name, self.words, codes))
            }
        }
    }
}

/// The column of words that are all numbers.
fn numbers(name: &str, words: &[&str], codes: &[u32]) -> Option<TableColumn> {
    let numbers = words.iter().map(|word| word.parse().ok().filter(|x: &f64| x.is_finite()));
    let numbers: Vec<f64> = numbers.collect::<Option<_>>()?;
    let cells = codes.iter().map(|&code| numbers.get(code as usize).copied());
    Some(TableColumn::numbers(name, cells))
}

impl Cells {
    fn new(meaning: Meaning, room: usize) -> Cells {
        match meaning.kind() {
            Kind::Number | Kind::Date => Cells::Numbers(Vec::with_capacity(room)),
            Kind::Category => Cells::Words(Vec::with_capacity(room)),
        }
    }

    /// Bytes of a cell.
    fn bytes(&self) -> usize {
        match self {
            Cells::Numbers(_) => 8,
            Cells::Words(_) => 4,
        }
    }

    fn len(&self) -> usize {
        match self {
            Cells::Numbers(numbers) => numbers.len(),
            Cells::Words(codes) => codes.len(),
        }
    }

    /// Those of these indices.
    fn pick(&self, indices: &[u32]) -> Result<Cells, String> {
        fn each<T: Copy>(all: &[T], indices: &[u32]) -> Option<Vec<T>> {
            indices.iter().map(|&index| all.get(index as usize).copied()).collect()
        }
        let picked = match self {
            Cells::Numbers(numbers) => each(numbers, indices).map(Cells::Numbers),
            Cells::Words(codes) => each(codes, indices).map(Cells::Words),
        };
        picked.ok_or_else(|| {
            let most = indices.iter().max().copied().unwrap_or(0);
            format!("value {most} of a dictionary of {} is asked for", self.len())
        })
    }

    /// Appends cells where `present` is 1, and missing ones where it is not.
    fn append(&mut self, cells: Cells, present: Option<&[u32]>) {
        fn each<T: Copy>(to: &mut Vec<T>, mut from: Vec<T>, present: Option<&[u32]>, none: T) {
            let Some(present) = present else { return to.append(&mut from) };
            let mut from = from.into_iter();
            let cell = |&x: &u32| if x == 1 { from.next().unwrap_or(none) } else { none };
            to.extend(present.iter().map(cell));
        }
        match (self, cells) {
            (Cells::Numbers(to), Cells::Numbers(from)) => each(to, from, present, f64::NAN),
            (Cells::Words(to), Cells::Words(from)) => each(to, from, present, MISSING),
            _ => unreachable!("invariant: all cells of a column are of its kind"),
        }
    }
}
