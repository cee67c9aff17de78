//! The module graph: who imports whom, read from the paths that start with `crate::`.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, closing, skip_space, words};

/// The module of the first level that a file belongs to: `op` for `src/op/matmul.rs` and
/// `src/op.rs`, none for `src/lib.rs` and whatever is outside `src/`.
pub(crate) fn module_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let module = inside.split('/').next()?.trim_end_matches(".rs");
    (module != "lib").then_some(module)
}

/// Names that stand at the crate's root, with the module each comes from: the re-exports of
/// `src/lib.rs` and exported macros.
pub(crate) fn root_names(files: &[Source]) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for file in files {
        if file.path == "src/lib.rs" {
            for (at, _) in file.product.match_indices("pub use ") {
                for leaf in leaves(&file.product, at + "pub use ".len()) {
                    let path: Vec<_> = leaf.iter().filter(|part| *part != "crate").collect();
                    if let [module, .., name] = path[..] {
                        names.insert(name.clone(), module.clone());
                    }
                }
            }
        }
        if let Some(module) = module_of(&file.path) {
            for (at, _) in file.product.match_indices("macro_rules! ") {
                let (_, name) = words(&file.product[at..]).nth(1).unwrap_or_default();
                names.insert(name.into(), module.into());
            }
        }
    }
    names
}

/// Every module of the first level that a file's product code names, its own included, with the
/// offset of the name; a name that no module is known for stands for itself.
pub(crate) fn imports(file: &Source, roots: &BTreeMap<String, String>) -> Vec<(usize, String)> {
    let code = &file.product;
    let mut found = Vec::new();
    for (offset, _) in code.match_indices("crate::") {
        for leaf in leaves(code, offset + "crate::".len()) {
            let first = leaf.into_iter().next().unwrap_or_default();
            let to = roots.get(&first).cloned().unwrap_or(first);
            found.push((offset, to));
        }
    }
    found
}

/// Groups of modules that import each other in a ring, each group once.
pub(crate) fn cycles(files: &[Source]) -> Vec<BTreeSet<String>> {
    let roots = root_names(files);
    let mut reach: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let Some(from) = module_of(&file.path) else { continue };
        let to = imports(file, &roots).into_iter().map(|(_, to)| to).filter(|to| to != from);
        reach.entry(from.into()).or_default().extend(to);
    }
    for _ in 0..reach.len() {
        for (module, to) in reach.clone() {
            let further: Vec<_> =
                to.iter().filter_map(|m| reach.get(m)).flatten().cloned().collect();
            reach.entry(module).or_default().extend(further);
        }
    }
    let ring = |m: &String| -> BTreeSet<String> {
        let back = |other: &&String| reach.get(*other).is_some_and(|to| to.contains(m));
        reach[m].iter().filter(back).cloned().collect()
    };
    reach
        .keys()
        .map(ring)
        .filter(|group| !group.is_empty())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// Every path of a use tree: `a::{b, c::d as e}` gives `[a, b]` and `[a, c, e]`.
fn leaves(code: &str, at: usize) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    tree(code, at, &mut Vec::new(), &mut found);
    found
}

/// Reads the tree at `at` below `prefix`; returns the offset past it.
fn tree(code: &str, at: usize, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let at = skip_space(code, at);
    if code[at..].starts_with('{') {
        return group(code, at, prefix, found);
    }
    let Some((_, word)) = words(&code[at..]).next().filter(|&(start, _)| start == 0) else {
        found.push(prefix.clone());
        return at + usize::from(code[at..].starts_with('*'));
    };
    let end = at + word.len();
    prefix.push(word.into());
    let past = match code[end..].strip_prefix("::") {
        Some(rest) if !rest.starts_with('<') => tree(code, end + 2, prefix, found),
        _ => {
            let mut path: Vec<_> = prefix.iter().filter(|part| *part != "self").cloned().collect();
            let mut past = end;
            if let Some(alias) = code[end..].strip_prefix(" as ") {
                let (_, name) = words(alias).next().unwrap_or_default();
                path.pop();
                path.push(name.into());
                past = end + " as ".len() + name.len();
            }
            found.push(path);
            past
        }
    };
    prefix.pop();
    past
}

fn group(code: &str, open: usize, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let close = closing(code, open);
    let mut at = skip_space(code, open + 1);
    while at + 1 < close {
        let past = tree(code, at, prefix, found);
        at = skip_space(code, past);
        if !code[at..].starts_with(',') {
            break;
        }
        at = skip_space(code, at + 1);
    }
    close
}
