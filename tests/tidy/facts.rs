//! Facts about one file that the rules judge and `xtask size` counts.

use crate::source::{Source, skip_space, words};

/// One `unsafe` block or implementation.
pub(crate) struct UnsafeSite {
    /// Offset of the keyword.
    pub(crate) offset: usize,
    /// The reason given, if there is one.
    pub(crate) reason: Option<String>,
}

/// One call that can end the program.
pub(crate) struct Exit {
    /// Offset of the name.
    pub(crate) offset: usize,
    /// `unwrap`, `expect`, `panic`, ...
    pub(crate) name: String,
    /// Whether the text given starts with "invariant:".
    pub(crate) invariant: bool,
}

/// Every `unsafe` block or implementation of a file, tests included, with its reason: the comment
/// above it from `SAFETY:` on.
pub(crate) fn unsafe_sites(file: &Source) -> Vec<UnsafeSite> {
    let lines: Vec<&str> = file.text.lines().collect();
    words(&file.code)
        .filter(|&(offset, word)| word == "unsafe" && claims(&file.code[offset + word.len()..]))
        .map(|(offset, _)| UnsafeSite { offset, reason: reason(&lines, file.line(offset)) })
        .collect()
}

/// Every call in `code`, a view of the file, that can panic on purpose.
pub(crate) fn exits(file: &Source, code: &str) -> Vec<Exit> {
    const METHODS: [&str; 4] = ["unwrap", "expect", "unwrap_err", "expect_err"];
    const MACROS: [&str; 5] = ["panic", "unreachable", "todo", "unimplemented", "dbg"];
    let call = |(offset, word): (usize, &str)| {
        let end = offset + word.len();
        let method = METHODS.contains(&word) && code[..offset].ends_with('.');
        let macro_ = MACROS.contains(&word) && code[end..].starts_with('!');
        if !(method || macro_) {
            return None;
        }
        let text = skip_space(&file.text, end + file.text[end..].find(['(', '[', '{'])? + 1);
        let invariant = file.text[text..].starts_with("\"invariant:");
        Some(Exit { offset, name: word.into(), invariant })
    };
    words(code).filter_map(call).collect()
}

/// Whether what follows `unsafe` claims that a contract is kept: a block or an implementation. A
/// function, a trait or the type of a function states a contract instead.
fn claims(after: &str) -> bool {
    let after = after.trim_start().trim_start_matches("extern").trim_start_matches([' ', '"']);
    after.starts_with('{') || after.starts_with("impl")
}

/// The reason on a line or in the comments above its statement.
fn reason(lines: &[&str], line: usize) -> Option<String> {
    if let Some(found) = marked(lines[line]) {
        return Some(found);
    }
    for above in lines[..line].iter().rev().map(|l| l.trim()) {
        let comment = above.starts_with("//");
        let continues = ["=", "(", "&&", "||"].iter().any(|end| above.ends_with(end));
        if comment && let Some(found) = marked(above) {
            return Some(found);
        }
        if !(comment || above.starts_with("#[") || continues) {
            return None;
        }
    }
    None
}

fn marked(line: &str) -> Option<String> {
    let comment = &line[line.find("//")?..];
    let reason = comment.split_once("SAFETY:")?.1.trim();
    (!reason.is_empty()).then(|| reason.into())
}
