//! A cell between delimiters.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr3};

use crate::data::text::shortened;

/// Longest cell, in bytes.
const MAX_CELL: usize = 1 << 20;

/// A cell: its text, perhaps with quotes inside, and its end.
pub(super) struct Cell {
    text: Range<usize>,
    quotes: bool,
    pub(super) end: usize,
}

impl Cell {
    /// The cell at a place of a text that a newline follows; `None` if a quote is not closed.
    pub(super) fn new(text: &[u8], at: usize, delimiter: u8) -> Option<Cell> {
        let end = |at: usize| {
            let length = memchr3(delimiter, b'\n', b'\r', &text[at..]);
            at + length.expect("invariant: a newline follows the text")
        };
        if text[at] != b'"' {
            let end = end(at);
            return Some(Cell { text: at..end, quotes: false, end });
        }
        let (mut from, mut quotes) = (at + 1, false);
        loop {
            let quote = from + memchr(b'"', &text[from..])?;
            if text[quote + 1] != b'"' {
                let end = end(quote + 1);
                // What follows the quotes belongs to the cell as it is.
                return Some(match end == quote + 1 {
                    true => Cell { text: at + 1..quote, quotes, end },
                    false => Cell { text: at + 1..end, quotes: true, end },
                });
            }
            (from, quotes) = (quote + 2, true);
        }
    }

    /// The text without quotes.
    pub(super) fn unquoted<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let text = &text[self.text.clone()];
        if !self.quotes {
            return text.into();
        }
        let (mut out, mut rest, mut inside) = (Vec::new(), text, true);
        while let Some(quote) = memchr(b'"', rest).filter(|_| inside) {
            out.extend_from_slice(&rest[..quote]);
            // Of two quotes one is meant; a single one closes.
            inside = rest.get(quote + 1) == Some(&b'"');
            out.extend(inside.then_some(b'"'));
            rest = &rest[quote + 1 + usize::from(inside)..];
        }
        out.extend_from_slice(rest);
        out.into()
    }
}

/// Number of cells of the row at a place; `None` if a quote is not closed.
pub(super) fn width(text: &[u8], mut at: usize, delimiter: u8) -> Option<usize> {
    let mut width = 1;
    loop {
        let cell = Cell::new(text, at, delimiter)?;
        if text[cell.end] != delimiter {
            return Some(width);
        }
        width += 1;
        at = cell.end + 1;
    }
}

/// The text of a cell without the space around it.
///
/// # Errors
/// If it is too long or not UTF-8.
pub(super) fn trimmed(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > MAX_CELL {
        return Err(format!("the field is {} bytes long, more than 1 MiB", bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| {
        let text = shortened(&String::from_utf8_lossy(bytes));
        format!("`{text}` is not UTF-8 text")
    })?;
    // Most cells have no space around them, which their first and last byte tell.
    Ok(match bytes {
        [b'!'..=b'~', .., b'!'..=b'~'] | [b'!'..=b'~'] | [] => text,
        _ => text.trim(),
    })
}
