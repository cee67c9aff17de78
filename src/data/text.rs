//! Texts of a file inside error messages: short, and without control characters.

/// At most 40 bytes of a text, control characters escaped.
pub(super) fn shortened(text: &str) -> String {
    let mut end = text.len().min(40);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let dots = if end < text.len() { "..." } else { "" };
    text[..end].chars().map(escaped).collect::<String>() + dots
}

/// Quotes and backslashes stay as they are; what a terminal would act on does not.
fn escaped(c: char) -> String {
    if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
}

/// Texts between backticks, at most twenty of them.
pub(super) fn quoted<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut texts = texts.map(|text| format!("`{}`", shortened(text)));
    let mut shown: Vec<String> = texts.by_ref().take(20).collect();
    match texts.count() {
        0 => {}
        more => shown.push(format!("and {more} more")),
    }
    shown.join(", ")
}

/// What to do about the only name of a header, if it looks like several.
pub(super) fn other_delimiter(name: &str) -> String {
    let shown = |c: char| if c == '\t' { "tab".into() } else { c.to_string() };
    let found = [';', '\t', '|', ','].into_iter().find(|&c| name.contains(c)).map(shown);
    found.map_or(String::new(), |delimiter| {
        format!(
            "; if `{delimiter}` stands between fields, say so: `delimiter`, or `--delimiter \
             '{delimiter}'`"
        )
    })
}
