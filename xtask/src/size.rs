//! `size`: the figures of the house.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::facts::{exits, unsafe_sites};
use crate::measure::{Length, comment_lines, functions, percentile, public_items};
use crate::modules::cycles;
use crate::source::{Source, tree};

/// Prints every figure; the product is `src/` and `kernels/`.
pub(crate) fn print(root: &Path) -> Result<(), String> {
    let files = tree(root);
    let is_product = |f: &&Source| f.path.starts_with("src/") || f.path.starts_with("kernels/");
    let product: Vec<&Source> =
        files.iter().filter(is_product).filter(|f| !f.code.is_empty()).collect();
    let tests = files.iter().filter(|f| f.path.starts_with("tests/") && !f.code.is_empty());

    let length = |f: &Source| Length { name: f.path.clone(), lines: f.text.lines().count() };
    lengths("files of src/ and kernels/", product.iter().map(|f| length(f)).collect());
    lengths("files of tests/", tests.map(length).collect());
    lengths("functions of src/", product.iter().flat_map(|f| functions(f)).collect());
    unsafe_reasons(&product);
    ends_of_the_program(&product);
    shares(&product);
    rings(&files);
    crates(root)
}

fn lengths(title: &str, mut all: Vec<Length>) {
    all.sort_by(|a, b| a.lines.cmp(&b.lines).then_with(|| b.name.cmp(&a.name)));
    let lines: Vec<usize> = all.iter().map(|l| l.lines).collect();
    let [median, p90, longest] = [50, 90, 100].map(|percent| percentile(&lines, percent));
    let total: usize = lines.iter().sum();
    println!("{title}: {}, {total} lines; median {median}, p90 {p90}, max {longest}", all.len());
    for length in all.iter().rev().take(5) {
        println!("  {:>5}  {}", length.lines, length.name);
    }
}

fn unsafe_reasons(product: &[&Source]) {
    let sites: Vec<_> =
        product.iter().flat_map(|f| unsafe_sites(f).into_iter().map(move |s| (f, s))).collect();
    let files: BTreeSet<&str> = sites.iter().map(|(f, _)| f.path.as_str()).collect();
    println!("unsafe: {} places in {} files", sites.len(), files.len());
    for (file, site) in sites {
        let reason = site.reason.as_deref().unwrap_or("NO REASON");
        println!("  {}  {reason}", file.place(site.offset));
    }
}

fn ends_of_the_program(product: &[&Source]) {
    let all = product.iter().flat_map(|f| exits(f, &f.product).into_iter().map(move |e| (f, e)));
    let (kept, bare): (Vec<_>, Vec<_>) = all.partition(|(_, exit)| exit.invariant);
    println!("panics outside tests: {} that quote an invariant, {} others", kept.len(), bare.len());
    for (file, exit) in bare {
        println!("  {}  {}", file.place(exit.offset), exit.name);
    }
}

fn shares(product: &[&Source]) {
    let add = |a: (usize, usize), b: (usize, usize)| (a.0 + b.0, a.1 + b.1);
    let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
    let (items, documented) = product.iter().map(|f| public_items(f)).fold((0, 0), add);
    println!("public items: {items}, {:.1} % documented", percent(documented, items));
    let (filled, comments) = product.iter().map(|f| comment_lines(f)).fold((0, 0), add);
    println!("comment lines: {:.1} % of {filled} that are not empty", percent(comments, filled));
}

fn rings(files: &[Source]) {
    let rings = cycles(files);
    println!("module cycles: {}", rings.len());
    for ring in rings {
        println!("  {}", ring.into_iter().collect::<Vec<_>>().join(" <-> "));
    }
}

/// Counts the crates that cargo builds for a user, and for the project's own tests.
fn crates(root: &Path) -> Result<(), String> {
    let count = |edges: &str| -> Result<usize, String> {
        let arguments = ["tree", "-p", "ironwarp", "--prefix", "none", "--no-dedupe", "-e", edges];
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let output = Command::new(cargo).args(arguments).current_dir(root).output();
        let output = output.map_err(|e| format!("cannot run `cargo tree`: {e}"))?;
        if !output.status.success() {
            return Err(format!("`cargo tree`: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let name = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let crates: BTreeSet<String> = text.lines().map(name).collect();
        Ok(crates.len() - 1) // not the crate itself
    };
    let (user, all) = (count("normal,build")?, count("normal,build,dev")?);
    println!("crates in the dependency graph: {user}, with development dependencies {all}");
    Ok(())
}
