//! The header of an NPY file: a magic number, a length, then a Python dictionary as text.
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use std::io::Read;

use crate::data::decode::Coding;
use crate::data::text::shortened;

/// Longest text of a header, in bytes; NumPy's own limit is the same.
const MAX_HEADER: usize = 10_000;

/// Most axes, as in NumPy.
const MAX_AXES: usize = 64;

/// Type of the elements in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// One byte, 0 or 1.
    Bool,
    /// Integers of 8 bits.
    I8,
    /// Integers of 16 bits.
    I16,
    /// Integers of 32 bits.
    I32,
    /// Integers of 64 bits.
    I64,
    /// Integers of 8 bits, without sign.
    U8,
    /// Integers of 16 bits, without sign.
    U16,
    /// Integers of 32 bits, without sign.
    U32,
    /// Integers of 64 bits, without sign.
    U64,
    /// Floats of 16 bits.
    F16,
    /// Floats of 32 bits.
    F32,
    /// Floats of 64 bits.
    F64,
}

impl ElementType {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        use ElementType::*;
        match self {
            Bool | I8 | U8 => 1,
            I16 | U16 | F16 => 2,
            I32 | U32 | F32 => 4,
            I64 | U64 | F64 => 8,
        }
    }

    fn of(letters: &str) -> Option<ElementType> {
        use ElementType::*;
        Some(match letters {
            "b1" => Bool,
            "i1" => I8,
            "i2" => I16,
            "i4" => I32,
            "i8" => I64,
            "u1" => U8,
            "u2" => U16,
            "u4" => U32,
            "u8" => U64,
            "f2" => F16,
            "f4" => F32,
            "f8" => F64,
            _ => return None,
        })
    }
}

/// What the header says.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) coding: Coding,
    /// The first axis is the one that runs fastest.
    pub(super) fortran: bool,
    pub(super) sizes: Vec<usize>,
    /// Bytes before the elements.
    pub(super) length: u64,
}

/// Reads a header; the error is a text, or none where the content ends too early.
pub(super) fn read(reader: &mut impl Read) -> std::io::Result<Result<Header, String>> {
    let mut start = [0; 8];
    reader.read_exact(&mut start)?;
    if start[..6] != *b"\x93NUMPY" {
        let message = "it does not begin with `\\x93NUMPY`; is this an NPY file?";
        return Ok(Err(message.into()));
    }
    let (length, before) = match start[6] {
        1 => {
            let mut bytes = [0; 2];
            reader.read_exact(&mut bytes)?;
            (usize::from(u16::from_le_bytes(bytes)), 10)
        }
        2 | 3 => {
            let mut bytes = [0; 4];
            reader.read_exact(&mut bytes)?;
            (u32::from_le_bytes(bytes) as usize, 12)
        }
        version => return Ok(Err(format!("version {version} of the format, expected 1 to 3"))),
    };
    if length > MAX_HEADER {
        return Ok(Err(format!("its text has {length} bytes, more than {MAX_HEADER}")));
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text)?;
    let Ok(text) = std::str::from_utf8(&text) else {
        return Ok(Err("its text is not UTF-8".into()));
    };
    Ok(parse(text).map(|header| Header { length: (before + length) as u64, ..header }))
}

fn parse(text: &str) -> Result<Header, String> {
    let mut scanner = Scanner { rest: text };
    let (mut element, mut fortran, mut sizes) = (None, None, None);
    scanner.require('{')?;
    while !scanner.accept('}') {
        let key = scanner.quoted()?;
        scanner.require(':')?;
        match key {
            "descr" => element = Some(scanner.element()?),
            "fortran_order" => fortran = Some(scanner.boolean()?),
            "shape" => sizes = Some(scanner.sizes()?),
            _ => return Err(format!("unknown key `{}`", shortened(key))),
        }
        if !scanner.accept(',') {
            scanner.require('}')?;
            break;
        }
    }
    if !scanner.rest.trim().is_empty() {
        return Err(scanner.fault("nothing more"));
    }
    let absent = |key| format!("there is no key `{key}`");
    let (element, big_endian) = element.ok_or_else(|| absent("descr"))?;
    Ok(Header {
        coding: Coding { element, big_endian },
        fortran: fortran.ok_or_else(|| absent("fortran_order"))?,
        sizes: sizes.ok_or_else(|| absent("shape"))?,
        length: 0,
    })
}

/// The text that is not read yet.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn fault(&self, expected: &str) -> String {
        match self.rest.trim() {
            "" => format!("expected {expected}, its text ends"),
            rest => format!("expected {expected}, found `{}`", shortened(rest)),
        }
    }

    fn accept(&mut self, c: char) -> bool {
        let rest = self.rest.trim_start().strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn require(&mut self, c: char) -> Result<(), String> {
        if self.accept(c) { Ok(()) } else { Err(self.fault(&format!("`{c}`"))) }
    }

    fn take(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let text = self.rest.trim_start();
        let (taken, rest) = text.split_at(text.find(|c| !keep(c)).unwrap_or(text.len()));
        self.rest = rest;
        taken
    }

    fn quoted(&mut self) -> Result<&'a str, String> {
        let quote = if self.rest.trim_start().starts_with('"') { '"' } else { '\'' };
        if !self.accept(quote) {
            return Err(self.fault("a text in quotes"));
        }
        let Some((text, rest)) = self.rest.split_once(quote) else {
            return Err(self.fault("a text whose quote is closed"));
        };
        self.rest = rest;
        Ok(text)
    }

    /// Type, and whether its bytes are big-endian.
    fn element(&mut self) -> Result<(ElementType, bool), String> {
        if self.rest.trim_start().starts_with('[') {
            return Err("records of several fields are not read; save each as an array".into());
        }
        let text = self.quoted()?;
        let order = text.chars().next().filter(|c| "<>|=".contains(*c));
        let letters = &text[order.map_or(0, char::len_utf8)..];
        let element = ElementType::of(letters).ok_or_else(|| {
            let text = shortened(text);
            format!(
                "elements of type `{text}` are not read, only booleans, integers and floats \
                     of 16, 32 or 64 bits"
            )
        })?;
        let native_big = cfg!(target_endian = "big") && order != Some('<');
        Ok((element, order == Some('>') || native_big))
    }

    fn boolean(&mut self) -> Result<bool, String> {
        let fault = self.fault("`True` or `False`");
        match self.take(|c| c.is_ascii_alphabetic()) {
            "True" => Ok(true),
            "False" => Ok(false),
            _ => Err(fault),
        }
    }

    /// A tuple of sizes; Python 2 wrote long ones as `3L`.
    fn sizes(&mut self) -> Result<Vec<usize>, String> {
        let mut sizes = Vec::new();
        self.require('(')?;
        while !self.accept(')') {
            let fault = self.fault("a size");
            sizes.push(self.take(|c| c.is_ascii_digit()).parse().map_err(|_| fault)?);
            self.accept('L');
            if sizes.len() > MAX_AXES {
                return Err(format!("more than {MAX_AXES} axes"));
            }
            if !self.accept(',') {
                self.require(')')?;
                break;
            }
        }
        Ok(sizes)
    }
}
