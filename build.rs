//! Puts the texts of `kernels/` into the crate, so that a program ships as one file, and the
//! compiler's version, for reports.

use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=kernels");
    let compiler = env::var("RUSTC").expect("cargo sets it");
    let version = Command::new(compiler).arg("--version").output()?.stdout;
    println!("cargo::rustc-env=IRONWARP_COMPILER={}", String::from_utf8_lossy(&version).trim());
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("kernels");
    let mut paths: Vec<_> =
        fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    let mut table = String::from("const TEXTS: &[(&str, &str)] = &[\n");
    for path in &paths {
        let name = path.file_name().expect("a file has a name").to_string_lossy();
        table += &format!("    ({name:?}, include_str!({:?})),\n", path.display().to_string());
    }
    table += "];\n";
    fs::write(Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("kernels.rs"), table)
}
