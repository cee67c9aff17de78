//! Reads the tree and sees its Rust text as code: comments and literals blanked, offsets kept.

use std::path::Path;

/// One text file of the project.
pub(crate) struct Source {
    /// Path from the root of the project, with forward slashes.
    pub(crate) path: String,
    /// The file as it is.
    pub(crate) text: String,
    /// The text with comments and the contents of literals blanked, byte for byte.
    pub(crate) code: String,
    /// The code without tests: items under `#[cfg(test)]` blanked, all of a test file blank.
    pub(crate) product: String,
}

impl Source {
    /// A file from its path and text; only Rust and CUDA C++ have code.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = if is_code(path) { blank_comments(text) } else { String::new() };
        let product = if is_test(path) { blank(&code, 0, code.len()) } else { blank_tests(&code) };
        Source { path: path.into(), text: text.into(), code, product }
    }

    /// `path:line` of a byte offset.
    pub(crate) fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.path, self.line(offset) + 1)
    }

    /// Index of the line, from 0, that holds a byte offset.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count()
    }
}

/// Every text file below `root`, build output, fetched and hidden folders left out, by path.
pub(crate) fn tree(root: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    walk(root, "", &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Identifiers of a piece of code with their offsets.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + code[at..].find(is_word)?;
            let end = code[start..].find(|c| !is_word(c)).map_or(code.len(), |n| start + n);
            at = end;
            if !code[start..].starts_with(|c: char| c.is_ascii_digit()) {
                return Some((start, &code[start..end]));
            }
        }
    })
}

/// Offset just past the brace that closes the one at `open`.
pub(crate) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (i, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return i + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Offset of the first byte at or after `at` that is not white space.
pub(crate) fn skip_space(code: &str, at: usize) -> usize {
    code[at..].find(|c: char| !c.is_whitespace()).map_or(code.len(), |n| at + n)
}

const SKIPPED: [&str; 6] =
    ["target", "corpus", "artifacts", "shared", "__pycache__", "proptest-regressions"];
const EXTENSIONS: [&str; 12] =
    ["rs", "cu", "cuh", "cpp", "h", "toml", "md", "py", "sh", "snap", "json", "txt"];
const NAMED: [&str; 5] = ["justfile", "run", "LICENSE-MIT", "LICENSE-APACHE", ".gitignore"];

fn walk(folder: &Path, prefix: &str, files: &mut Vec<Source>) {
    let entries = std::fs::read_dir(folder).expect("the project's folders can be read");
    for entry in entries {
        let entry = entry.expect("the project's folders can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().expect("an entry has a type");
        let hidden = name.starts_with('.') && ![".ci", ".cargo"].contains(&name.as_str());
        if kind.is_dir() && !hidden && !SKIPPED.contains(&name.as_str()) {
            walk(&entry.path(), &format!("{path}/"), files);
        }
        let extension = name.rsplit_once('.').map_or("", |(_, e)| e);
        if kind.is_file() && (EXTENSIONS.contains(&extension) || NAMED.contains(&name.as_str())) {
            let text = std::fs::read_to_string(entry.path()).expect("the project's text is UTF-8");
            files.push(Source::new(&path, &text));
        }
    }
}

fn is_code(path: &str) -> bool {
    [".rs", ".cu", ".cuh"].iter().any(|end| path.ends_with(end))
}

fn is_test(path: &str) -> bool {
    ["tests/", "benches/"].iter().any(|folder| path.starts_with(folder))
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
}

/// The text with bytes `from..to` turned into spaces, line ends kept.
fn blank(text: &str, from: usize, to: usize) -> String {
    let spaces = text[from..to].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' });
    [&text[..from], &spaces.collect::<String>(), &text[to..]].concat()
}

fn blank_tests(code: &str) -> String {
    let mut code = code.to_string();
    let mut at = 0;
    while let Some(found) = code[at..].find("#[cfg(test)]") {
        let start = at + found;
        at = end_of_item(&code, start + "#[cfg(test)]".len());
        code = blank(&code, start, at);
    }
    code
}

/// Offset past an item: its first `;` outside brackets, or the end of its first block.
fn end_of_item(code: &str, start: usize) -> usize {
    let mut depth = 0usize;
    for (i, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' if depth == 0 => return closing(code, i),
            b';' if depth == 0 => return i + 1,
            _ => {}
        }
    }
    code.len()
}

fn blank_comments(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut i = 0;
    while i < bytes.len() {
        let rest = &text[i..];
        let (keep, length) = if rest.starts_with("//") {
            (0, rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (0, block_comment(rest))
        } else if rest.starts_with('"') {
            (1, quoted(rest, '"'))
        } else if rest.starts_with('\'') {
            (1, character(rest))
        } else if !is_word_byte(i.checked_sub(1).map(|p| bytes[p])) {
            word_or_raw_string(rest)
        } else {
            (0, 0)
        };
        for byte in &mut code[i + keep..(i + length).saturating_sub(keep).max(i + keep)] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        i += length.max(rest.chars().next().map_or(1, char::len_utf8));
    }
    String::from_utf8(code).expect("whole literals and comments are blanked")
}

fn is_word_byte(byte: Option<u8>) -> bool {
    byte.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut i) = (0usize, 0);
    while i < rest.len() {
        match rest.as_bytes().get(i..i + 2) {
            Some(b"/*") => (depth, i) = (depth + 1, i + 2),
            Some(b"*/") if depth == 1 => return i + 2,
            Some(b"*/") => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    rest.len()
}

/// Length of a literal with its quotes, escapes respected.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (i, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return i + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of a character literal, or of a lifetime's tick.
fn character(rest: &str) -> usize {
    let mut chars = rest.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted(rest, '\''),
        _ => 1,
    }
}

/// Kept bytes on either side, and the length, of a raw string; `(0, 0)` for anything else.
fn word_or_raw_string(rest: &str) -> (usize, usize) {
    let prefix = ["r", "br", "cr"]
        .into_iter()
        .find(|p| rest.strip_prefix(p).is_some_and(|r| r.trim_start_matches('#').starts_with('"')));
    let Some(prefix) = prefix else { return (0, 0) };
    let hashes = rest[prefix.len()..].bytes().take_while(|&b| b == b'#').count();
    let open = prefix.len() + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = rest[open..].find(&end).map_or(rest.len(), |n| open + n + end.len());
    (0, length)
}
