//! The rules of the house, each a function from files to complaints. Nothing here knows the tree:
//! `tidy.rs` hands in the files and the tables, `planted.rs` hands in violations.

use std::collections::BTreeSet;

use crate::facts::{exits, unsafe_sites};
use crate::modules::{imports, module_of, root_names};
use crate::source::{Source, closing, skip_space, words};

/// Rows of a table: a module and the modules it may import.
pub(crate) type House<'a> = &'a [(&'a str, &'a [&'a str])];
/// Rows of a table: a path and the reason it is excepted.
pub(crate) type Reasons<'a> = &'a [(&'a str, &'a str)];

/// One-way imports: a module uses only what its row of the table names.
pub(crate) fn one_way(files: &[Source], house: House) -> Vec<String> {
    let roots = root_names(files);
    let mut wrong = Vec::new();
    for file in files {
        let Some(from) = module_of(&file.path) else { continue };
        let Some((_, allowed)) = house.iter().find(|(module, _)| *module == from) else {
            wrong
                .push(format!("{}: module `{from}` has no row in the table of imports", file.path));
            continue;
        };
        for (offset, to) in imports(file, &roots) {
            if to != from && !allowed.contains(&to.as_str()) {
                wrong.push(format!("{}: `{from}` may not import `{to}`", file.place(offset)));
            }
        }
        for offset in climbs(file) {
            wrong.push(format!("{}: `super` leaves the module; say `crate::`", file.place(offset)));
        }
    }
    wrong
}

/// The table of imports itself: a row names only rows above it, so it holds no ring.
pub(crate) fn table_is_layered(house: House) -> Vec<String> {
    let above =
        |row: usize| house[..row].iter().map(|(module, _)| *module).collect::<BTreeSet<_>>();
    let wrong = house.iter().enumerate().flat_map(|(row, (module, allowed))| {
        let above = above(row);
        let upward = allowed.iter().filter(move |to| !above.contains(**to));
        upward.map(move |to| format!("row `{module}` names `{to}`, which no row above it defines"))
    });
    wrong.collect()
}

/// Folders that must not know of something: no identifier holds one of the words, read as parts
/// of snake_case and CamelCase names.
pub(crate) fn unnamed(files: &[Source], folder: &str, forbidden: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files.iter().filter(|f| module_of(&f.path) == Some(folder)) {
        for (offset, word) in words(&file.product) {
            if parts(word).iter().any(|part| forbidden.contains(&part.as_str())) {
                wrong.push(format!("{}: {folder}/ names `{word}`", file.place(offset)));
            }
        }
    }
    wrong
}

/// `exec/` names no layer: none of the types that `layer/` makes public.
pub(crate) fn no_layer_in_exec(files: &[Source]) -> Vec<String> {
    let of = |module| files.iter().filter(move |f| module_of(&f.path) == Some(module));
    let types: BTreeSet<&str> = of("layer").flat_map(|f| public_types(&f.product)).collect();
    let named = of("exec").flat_map(|f| words(&f.product).map(move |(at, word)| (f, at, word)));
    named
        .filter(|(_, _, word)| types.contains(word))
        .map(|(f, at, word)| format!("{}: exec/ names the layer `{word}`", f.place(at)))
        .collect()
}

/// The driver's bindings appear under `exec/cuda/` alone, and in the tests of their stand-in.
pub(crate) fn bindings_stay_home(files: &[Source]) -> Vec<String> {
    let outside = files.iter().filter(|f| {
        let homes = ["src/exec/cuda/", "src/exec/cuda.rs", "tests/emulator/tests/"];
        is_rust(f) && !homes.iter().any(|home| f.path.starts_with(home))
    });
    let named = outside.flat_map(|f| words(&f.code).map(move |(at, word)| (f, at, word)));
    named
        .filter(|(_, _, word)| *word == "cudarc")
        .map(|(f, at, _)| format!("{}: `cudarc` outside src/exec/cuda/", f.place(at)))
        .collect()
}

/// Files of code and tests have at most 400 lines, or the table's number.
pub(crate) fn short_files(files: &[Source], longer: &[(&str, usize, &str)]) -> Vec<String> {
    let code = |f: &&Source| {
        [".rs", ".cu", ".cuh", ".cpp", ".h", ".py"].iter().any(|end| f.path.ends_with(end))
    };
    let mut wrong = Vec::new();
    for file in files.iter().filter(code) {
        let row = longer.iter().find(|(path, ..)| *path == file.path);
        let (lines, limit) = (file.text.lines().count(), row.map_or(400, |row| row.1));
        if lines > limit {
            wrong.push(format!("{}: {lines} lines, at most {limit}: split it", file.path));
        }
        if row.is_some() && lines <= 400 {
            wrong.push(format!("{}: needs no exception from the length any more", file.path));
        }
    }
    wrong
}

/// CUDA functions have at most `limit` lines; clippy measures the Rust ones.
pub(crate) fn short_kernels(files: &[Source], limit: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files.iter().filter(|f| f.path.ends_with(".cu") || f.path.ends_with(".cuh")) {
        let mut at = 0;
        while let Some(open) = file.code[at..].find('{').map(|n| at + n) {
            let head = &file.code[..open];
            let head = head.rsplit([';', '}', '{']).next().unwrap_or_default();
            let wraps = words(head).any(|(_, word)| ["namespace", "extern"].contains(&word));
            if wraps && !head.contains('(') {
                at = open + 1;
                continue;
            }
            at = closing(&file.code, open);
            let lines = file.text[open..at].lines().count();
            if lines > limit {
                wrong.push(format!("{}: {lines} lines, at most {limit}", file.place(open)));
            }
        }
    }
    wrong
}

/// `unsafe` stands in the listed files alone, and each block and implementation gives its reason.
pub(crate) fn unsafe_has_reasons(files: &[Source], listed: Reasons) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files.iter().filter(is_rust) {
        let uses = words(&file.code).find(|(_, word)| ["unsafe", "unsafe_code"].contains(word));
        let allowed = listed.iter().any(|(path, _)| *path == file.path);
        match uses {
            Some((at, _)) if !allowed => {
                wrong.push(format!("{}: `unsafe` in a file that is not listed", file.place(at)));
            }
            None if allowed => wrong.push(format!("{}: listed, but holds no `unsafe`", file.path)),
            _ => {}
        }
        for site in unsafe_sites(file).iter().filter(|site| site.reason.is_none()) {
            let place = file.place(site.offset);
            wrong.push(format!("{place}: `unsafe` without a `// SAFETY:` comment above it"));
        }
    }
    wrong
}

/// Nothing is left unfinished, and the library ends the program only where an invariant is broken.
pub(crate) fn no_panics(files: &[Source], listed: &[(&str, usize, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files.iter().filter(is_rust) {
        for exit in exits(file, &file.code) {
            if ["todo", "unimplemented", "dbg"].contains(&exit.name.as_str()) {
                wrong.push(format!("{}: `{}!` is left", file.place(exit.offset), exit.name));
            }
        }
        if !file.path.starts_with("src/") {
            continue;
        }
        let mut bare = 0;
        for exit in exits(file, &file.product) {
            let place = file.place(exit.offset);
            match exit.name.as_str() {
                "unwrap" | "unwrap_err" => wrong.push(format!("{place}: `.{}()`", exit.name)),
                "expect" | "expect_err" if !exit.invariant => wrong.push(format!(
                    "{place}: `.{}(...)` must quote its reason as \"invariant: ...\"",
                    exit.name
                )),
                "panic" | "unreachable" if !exit.invariant => bare += 1,
                _ => {}
            }
        }
        let expected = listed.iter().find(|row| row.0 == file.path).map_or(0, |row| row.1);
        if bare != expected {
            wrong.push(format!(
                "{}: {bare} `panic!` or `unreachable!` without \"invariant: ...\", {expected} listed",
                file.path
            ));
        }
    }
    wrong
}

/// Each `kernels/x.cu` has its twin: `src/op/x.rs`, `src/op/x/mod.rs`, or the executor's own
/// `src/exec/cuda/executor/x.rs`.
pub(crate) fn twins(files: &[Source]) -> Vec<String> {
    let has = |path: String| files.iter().any(|f| f.path == path);
    let stems = files.iter().filter_map(|f| f.path.strip_prefix("kernels/")?.strip_suffix(".cu"));
    stems
        .filter(|stem| {
            let places = ["src/op/#.rs", "src/op/#/mod.rs", "src/exec/cuda/executor/#.rs"];
            !places.iter().any(|place| has(place.replace('#', stem)))
        })
        .map(|stem| format!("kernels/{stem}.cu: no twin src/op/{stem}.rs"))
        .collect()
}

/// A tolerance is derived in a bounds module, not written where it is needed.
///
/// The check is a simple one: a name that ends in `atol`, `rtol` or `tolerance` is given a bare
/// float literal (`let atol = 1e-6;`, `rtol: 1e-3,`). A product of known factors passes.
pub(crate) fn no_guessed_tolerances(files: &[Source], bounds: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files.iter().filter(|f| is_rust(f) && !bounds.contains(&f.path.as_str())) {
        for (offset, word) in words(&file.code) {
            let word_end = offset + word.len();
            let last = parts(word).pop().unwrap_or_default();
            let named = ["atol", "rtol", "tolerance"].contains(&last.as_str());
            if named && assigned(&file.code[word_end..]).is_some_and(is_bare_float) {
                wrong.push(format!("{}: `{word}` is a guessed number", file.place(offset)));
            }
        }
    }
    wrong
}

/// No tabs or `\r` in Rust, no control characters anywhere, and none of the forbidden pieces.
///
/// A piece that starts with `/` counts only where a path may start.
pub(crate) fn clean_text(files: &[Source], forbidden: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        let strange = |c: char| c.is_ascii_control() && c != '\n' && (c != '\t' || is_rust(&file));
        if let Some(at) = file.text.find(strange) {
            wrong.push(format!("{}: a tab or a control character", file.place(at)));
        }
        for piece in forbidden {
            let starts_path = |at: &usize| {
                let before = file.text[..*at].chars().next_back();
                !(piece.starts_with('/') && before.is_some_and(|c| c.is_alphanumeric() || c == '.'))
            };
            let mut hits = file.text.match_indices(piece.as_str()).map(|(at, _)| at);
            if let Some(at) = hits.find(starts_path) {
                wrong.push(format!("{}: `{piece}` has no place here", file.place(at)));
            }
        }
    }
    wrong
}

fn is_rust(file: &&Source) -> bool {
    file.path.ends_with(".rs")
}

/// Offsets where a chain of `super` climbs to the crate's root, past what `crate::` would show.
fn climbs(file: &Source) -> Vec<usize> {
    let code = &file.product;
    let Some(inside) = file.path.strip_prefix("src/") else { return Vec::new() };
    let depth = inside.trim_end_matches("/mod.rs").split('/').count();
    let starts = words(code).filter(|&(at, word)| word == "super" && !code[..at].ends_with("::"));
    starts
        .map(|(at, _)| at)
        .filter(|&at| {
            let chain = code[at..].split("::").take_while(|part| part.trim() == "super").count();
            chain >= depth + inline_modules(code, at)
        })
        .collect()
}

/// Modules opened by `mod name {` around an offset.
fn inline_modules(code: &str, offset: usize) -> usize {
    let opens = |(at, word): (usize, &str)| {
        let name = skip_space(code, at + word.len());
        let open = code[name..].find(['{', ';']).map(|n| name + n)?;
        (word == "mod" && code[open..].starts_with('{')).then_some(open)
    };
    words(&code[..offset]).filter_map(opens).filter(|&open| closing(code, open) > offset).count()
}

/// Lower-case words of a name: `CpuExecutor` and `cpu_executor` give `cpu`, `executor`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && lower) {
            parts.push(String::new());
        }
        lower = c.is_lowercase();
        parts.last_mut().expect("never empty").extend(c.to_lowercase().filter(|c| *c != '_'));
    }
    parts
}

fn public_types(code: &str) -> impl Iterator<Item = &str> {
    ["pub struct ", "pub enum ", "pub trait "]
        .into_iter()
        .flat_map(move |head| {
            code.match_indices(head).filter_map(|(at, head)| words(&code[at + head.len()..]).next())
        })
        .map(|(_, word)| word)
}

/// What follows `=` or a field's `:` after a name, a type in between skipped.
fn assigned(after: &str) -> Option<&str> {
    let after = after.trim_start();
    let value = match after.strip_prefix(':') {
        Some(typed) if is_bare_float(typed.trim_start()) => typed,
        Some(typed) => {
            typed.trim_start_matches(|c: char| c.is_alphanumeric() || c == ' ').strip_prefix('=')?
        }
        None => after.strip_prefix('=').filter(|rest| !rest.starts_with(['=', '>']))?,
    };
    Some(value.trim_start())
}

/// Whether the text starts with a float literal that is the whole value.
fn is_bare_float(text: &str) -> bool {
    let sign = |(i, c): (usize, char)| "+-".contains(c) && text[..i].ends_with(['e', 'E']);
    let end = text
        .char_indices()
        .find(|&(i, c)| !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || sign((i, c))))
        .map_or(text.len(), |(i, _)| i);
    let (literal, rest) = text.split_at(end);
    let number = literal.trim_end_matches("f32").trim_end_matches("f64").trim_end_matches('_');
    let float = number.contains(['.', 'e', 'E']) && number.replace('_', "").parse::<f64>().is_ok();
    let whole = rest[skip_space(rest, 0)..].chars().next().is_none_or(|c| ";,)}".contains(c));
    float && whole
}
