//! What can be counted in one file or in a list of numbers.

use crate::source::{Source, closing, words};

/// A named length, in lines.
pub(crate) struct Length {
    /// Path, or place and name.
    pub(crate) name: String,
    /// Lines.
    pub(crate) lines: usize,
}

/// Functions of a file that have a body, from the line of `fn` to the closing brace.
pub(crate) fn functions(file: &Source) -> Vec<Length> {
    let code = &file.product;
    let all: Vec<_> = words(code).collect();
    let body = |pair: &[(usize, &str)]| {
        let [(start, "fn"), (at, name)] = *pair else { return None };
        if !code[start + 2..at].trim().is_empty() {
            return None;
        }
        let open = body_of(code, at)?;
        let lines = code[start..closing(code, open)].lines().count();
        Some(Length { name: format!("{} {name}", file.place(start)), lines })
    };
    all.windows(2).filter_map(body).collect()
}

/// Public items of a file: how many, and how many of them are documented.
pub(crate) fn public_items(file: &Source) -> (usize, usize) {
    const KINDS: [&str; 11] = [
        "fn", "struct", "enum", "trait", "mod", "const", "static", "type", "union", "unsafe",
        "async",
    ];
    let lines: Vec<&str> = file.text.lines().collect();
    let (mut all, mut documented) = (0, 0);
    for (i, line) in file.product.lines().enumerate() {
        let Some(item) = line.trim_start().strip_prefix("pub ") else { continue };
        let kind = words(item).next().map_or("", |(_, word)| word);
        if !KINDS.contains(&kind) {
            continue;
        }
        let mut above = lines[..i].iter().rev().map(|l| l.trim_start());
        let head = above.find(|l| !l.starts_with("#[")).unwrap_or_default();
        let inside = kind == "mod" && item.trim_end().ends_with(';'); // documented in its file
        all += 1;
        documented += usize::from(head.starts_with("///") || inside);
    }
    (all, documented)
}

/// Lines of a file that hold anything, and those of them that hold only a comment.
pub(crate) fn comment_lines(file: &Source) -> (usize, usize) {
    let pairs = file.text.lines().zip(file.code.lines());
    let filled: Vec<_> = pairs.filter(|(text, _)| !text.trim().is_empty()).collect();
    let comments = filled.iter().filter(|(_, code)| code.trim().is_empty()).count();
    (filled.len(), comments)
}

/// The value that a share of the sorted numbers does not exceed, 0 for none.
pub(crate) fn percentile(sorted: &[usize], percent: usize) -> usize {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

/// Offset of the brace that opens the body of the function named at `at`, none for a declaration.
fn body_of(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => return None,
            b'{' if depth == 0 => return Some(i),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_by_their_lines() {
        let text = "trait A {\n    fn a(&self, b: [u8; 3]);\n    fn c() {\n        let f: fn(u8);\n    }\n}";
        let found = functions(&Source::new("src/a.rs", text));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].lines), ("src/a.rs:3 c", 3));
    }

    #[test]
    fn undocumented_public_items_are_counted() {
        let text = "/// A.\n#[derive(Debug)]\npub struct A;\npub fn b() {}\npub(crate) fn c() {}\npub mod d;";
        assert_eq!(public_items(&Source::new("src/a.rs", text)), (3, 2));
    }

    #[test]
    fn comment_lines_are_those_without_code() {
        let text = "//! A.\n\nlet a = 1; // one\n/* b\nc */\n\"d\n\";";
        assert_eq!(comment_lines(&Source::new("src/a.rs", text)), (6, 3));
    }

    #[test]
    fn percentiles_are_values_of_the_list() {
        let numbers: Vec<usize> = (1..=10).collect();
        assert_eq!([50, 90, 100].map(|p| percentile(&numbers, p)), [5, 9, 10]);
        assert_eq!(percentile(&[], 50), 0);
    }
}
