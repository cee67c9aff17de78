//! Thrift's compact protocol, in which Parquet writes its headers: what stands there, field by
//! field, with no claim believed. Every value takes at least a byte, so a tree of values is at most
//! some 128 times as large as its bytes.
//!
//! Source: "Thrift Compact protocol encoding", thrift/doc/specs/thrift-compact-protocol.md.

/// Structures within structures; a footer's deepest has about ten.
const MAX_DEPTH: usize = 24;

#[derive(Debug)]
pub(super) enum Value<'a> {
    Bool(bool),
    Int(i64),
    Double,
    Bytes(&'a [u8]),
    List(Vec<Value<'a>>),
    Struct(Struct<'a>),
}

/// The fields of a structure, by their numbers.
#[derive(Debug)]
pub(super) struct Struct<'a>(Vec<(i16, Value<'a>)>);

impl<'a> Struct<'a> {
    /// The structure that bytes begin with, and its length; nothing if they are malformed or end
    /// before it does.
    pub(super) fn read(bytes: &'a [u8]) -> Option<(Struct<'a>, usize)> {
        let mut reader = Reader { left: bytes };
        let structure = reader.structure(0)?;
        Some((structure, bytes.len() - reader.left.len()))
    }

    pub(super) fn get(&self, field: i16) -> Option<&Value<'a>> {
        self.0.iter().find(|(id, _)| *id == field).map(|(_, value)| value)
    }

    pub(super) fn int(&self, field: i16) -> Option<i64> {
        match self.get(field)? {
            Value::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// An integer that counts or measures something.
    pub(super) fn size(&self, field: i16) -> Option<usize> {
        self.int(field).and_then(|int| usize::try_from(int).ok())
    }

    pub(super) fn bool(&self, field: i16) -> Option<bool> {
        match self.get(field)? {
            Value::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    pub(super) fn text(&self, field: i16) -> Option<&'a str> {
        match self.get(field)? {
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    pub(super) fn structure(&self, field: i16) -> Option<&Struct<'a>> {
        match self.get(field)? {
            Value::Struct(structure) => Some(structure),
            _ => None,
        }
    }

    /// The structures of a list; nothing if one of its values is something else.
    pub(super) fn structures(&self, field: i16) -> Option<Vec<&Struct<'a>>> {
        let Value::List(values) = self.get(field)? else { return None };
        let structures = values.iter().map(|value| match value {
            Value::Struct(structure) => Some(structure),
            _ => None,
        });
        structures.collect()
    }

    /// The number of the first field: which of a union it is.
    pub(super) fn variant(&self) -> Option<i16> {
        self.0.first().map(|(id, _)| *id)
    }
}

struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, left) = self.left.split_at_checked(count)?;
        self.left = left;
        Some(bytes)
    }

    fn varint(&mut self) -> Option<u64> {
        let (number, length) = varint(self.left)?;
        self.bytes(length)?;
        Some(number)
    }

    fn int(&mut self) -> Option<i64> {
        self.varint().map(zigzag)
    }

    fn structure(&mut self, depth: usize) -> Option<Struct<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let (mut fields, mut id) = (Vec::new(), 0i16);
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(Struct(fields));
            }
            id = match head >> 4 {
                0 => i16::try_from(self.int()?).ok()?,
                more => id.checked_add(i16::from(more))?,
            };
            let value = match head & 15 {
                1 => Value::Bool(true),
                2 => Value::Bool(false),
                kind => self.value(kind, depth)?,
            };
            fields.push((id, value));
        }
    }

    /// A value that stands by itself; a boolean is then a byte.
    fn value(&mut self, kind: u8, depth: usize) -> Option<Value<'a>> {
        Some(match kind {
            1 | 2 => Value::Bool(self.byte()? == 1),
            3 => Value::Int(i64::from(self.byte()?.cast_signed())),
            4..=6 => Value::Int(self.int()?),
            7 => self.bytes(8).map(|_| Value::Double)?,
            8 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.bytes(length)?)
            }
            9 | 10 => self.list(depth + 1)?,
            12 => Value::Struct(self.structure(depth + 1)?),
            // Parquet has no maps.
            _ => return None,
        })
    }

    fn list(&mut self, depth: usize) -> Option<Value<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            few => u64::from(few),
        };
        // Grows as values come: the count may be a lie.
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value(head & 15, depth)?);
        }
        Some(Value::List(values))
    }
}

/// The number that bytes begin with, seven bits a byte, and how many bytes it takes.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((number, index + 1));
        }
    }
    None
}

/// The signed number that an unsigned one stands for: 0, -1, 1, -2, ...
pub(super) fn zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}
