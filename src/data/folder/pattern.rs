//! Patterns of file names, such as `{class}_{index}.wav`.

use crate::error::DataError;

/// Literal texts and the parts between them.
pub(super) struct Pattern<'a> {
    /// Before the first part.
    start: &'a str,
    /// Whether each part is the class, and the text that follows it.
    parts: Vec<(bool, &'a str)>,
}

impl<'a> Pattern<'a> {
    pub(super) fn new(text: &'a str) -> Result<Pattern<'a>, DataError> {
        let invalid = |message: &str| DataError::Invalid(format!("pattern `{text}`: {message}"));
        let mut pieces = text.split('{');
        let start = pieces.next().unwrap_or_default();
        let mut parts = Vec::new();
        for piece in pieces {
            let (name, after) =
                piece.split_once('}').ok_or_else(|| invalid("a `{` is not closed"))?;
            parts.push((name == "class", after));
        }
        if parts.iter().filter(|(class, _)| *class).count() != 1 {
            return Err(invalid("it needs the part `{class}`, once"));
        }
        let inner = &parts[..parts.len() - 1];
        if inner.iter().any(|(_, after)| after.is_empty()) {
            return Err(invalid("two parts need a text between them"));
        }
        Ok(Pattern { start, parts })
    }

    /// The class in a name, if the name fits.
    pub(super) fn class<'n>(&self, name: &'n str) -> Option<&'n str> {
        let mut rest = name.strip_prefix(self.start)?;
        let mut class = None;
        for (index, (is_class, after)) in self.parts.iter().enumerate() {
            let last = index + 1 == self.parts.len();
            // A part has one character or more.
            let first = rest.chars().next()?.len_utf8();
            let end = match last {
                true => rest.strip_suffix(after)?.len(),
                false => first + rest[first..].find(after)?,
            };
            if end < first {
                return None;
            }
            if *is_class {
                class = Some(&rest[..end]);
            }
            rest = &rest[end + after.len()..];
        }
        class
    }
}
