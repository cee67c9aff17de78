//! Where NVIDIA's libraries may lie, in the order in which they are tried.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Names folders to look into before all others, separated by colons.
pub(super) const OWN_VARIABLE: &str = "IRONWARP_CUDA_PATH";

/// One place to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// What the process has loaded already.
    Process,
    /// `LD_LIBRARY_PATH` and the system's list.
    Loader,
    /// A folder.
    Folder(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Process => f.write_str("what the process has loaded"),
            Place::Loader => f.write_str("LD_LIBRARY_PATH and the system's list"),
            Place::Folder(folder) => folder.display().fmt(f),
        }
    }
}

/// Folders of a toolkit that hold its libraries.
const TOOLKIT: &[&str] = &["lib64", "targets/x86_64-linux/lib", "lib"];
/// Folders where distributions put the driver: Debian, Fedora, WSL, NixOS, Arch.
const SYSTEM: &[&str] = &[
    "usr/lib/x86_64-linux-gnu",
    "usr/lib64",
    "usr/lib/wsl/lib",
    "run/opengl-driver/lib",
    "usr/lib",
];
/// Folders of the wheels `nvidia-cuda-nvrtc` and `nvidia-cublas` (13 and newer),
/// `nvidia-cuda-nvrtc-cu12`, `nvidia-cublas-cu12`, `nvidia-nccl-cu12` and `nvidia-nccl-cu13`.
const WHEELS: &[&str] =
    &["nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib", "nvidia/cublas/lib", "nvidia/nccl/lib"];

/// Every place, each once: the process, the own variable, the loader, toolkits, the system, Python's folders.
///
/// `variable` reads the environment and `root` is where the file system begins.
pub(super) fn places(variable: &dyn Fn(&str) -> Option<OsString>, root: &Path) -> Vec<Place> {
    let own = variable(OWN_VARIABLE).unwrap_or_default();
    let mut folders: Vec<PathBuf> =
        std::env::split_paths(&own).filter(|folder| folder != Path::new("")).collect();
    let before_loader = folders.len();
    let named = ["CUDA_HOME", "CUDA_PATH"].iter().filter_map(|name| folder(variable, name));
    for toolkit in named.chain(children(&root.join("usr/local"), "cuda")) {
        folders.extend(TOOLKIT.iter().map(|inside| toolkit.join(inside)));
    }
    folders.extend(SYSTEM.iter().map(|inside| root.join(inside)));
    for packages in site_packages(variable, root) {
        folders.extend(WHEELS.iter().map(|inside| packages.join(inside)));
    }

    let mut places: Vec<Place> = folders.into_iter().map(Place::Folder).collect();
    places.insert(before_loader, Place::Loader);
    places.insert(0, Place::Process);
    let mut seen = BTreeSet::new();
    places.retain(|place| seen.insert(place.to_string()));
    places
}

/// Folders of Python packages: the active environment's, the user's, the system's.
fn site_packages(variable: &dyn Fn(&str) -> Option<OsString>, root: &Path) -> Vec<PathBuf> {
    let environments = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter();
    let mut libraries: Vec<PathBuf> =
        environments.filter_map(|name| folder(variable, name)).map(|f| f.join("lib")).collect();
    libraries.extend(folder(variable, "HOME").map(|home| home.join(".local/lib")));
    libraries.extend([root.join("usr/local/lib"), root.join("usr/lib")]);
    let pythons = libraries.iter().flat_map(|library| children(library, "python3"));
    pythons.flat_map(|p| [p.join("site-packages"), p.join("dist-packages")]).collect()
}

fn folder(variable: &dyn Fn(&str) -> Option<OsString>, name: &str) -> Option<PathBuf> {
    variable(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Entries of a folder whose names begin so, sorted; none where the folder can't be read.
pub(super) fn children(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_looked_at_in_the_documented_order() {
        let root = tempfile::tempdir().unwrap();
        let at = |inside: &str| root.path().join(inside);
        for folder in
            ["usr/local/cuda/lib64", "venv/lib/python3.12/site-packages", "usr/lib/python3"]
        {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        let venv = at("venv").into_os_string();
        let variable = |name: &str| match name {
            OWN_VARIABLE => Some(OsString::from("/own:/other:")),
            "CUDA_HOME" | "CUDA_PATH" => Some(OsString::from("/toolkit")),
            "VIRTUAL_ENV" => Some(venv.clone()),
            "CONDA_PREFIX" => Some(OsString::new()),
            _ => None,
        };
        let found = places(&variable, root.path());
        let expected = [
            Place::Process,
            Place::Folder("/own".into()),
            Place::Folder("/other".into()),
            Place::Loader,
            Place::Folder("/toolkit/lib64".into()),
            Place::Folder("/toolkit/targets/x86_64-linux/lib".into()),
            Place::Folder("/toolkit/lib".into()),
            Place::Folder(at("usr/local/cuda/lib64")),
            Place::Folder(at("usr/local/cuda/targets/x86_64-linux/lib")),
            Place::Folder(at("usr/local/cuda/lib")),
            Place::Folder(at("usr/lib/x86_64-linux-gnu")),
            Place::Folder(at("usr/lib64")),
            Place::Folder(at("usr/lib/wsl/lib")),
            Place::Folder(at("run/opengl-driver/lib")),
            Place::Folder(at("usr/lib")),
        ];
        let wheels = ["cu13", "cuda_nvrtc", "cublas", "nccl"];
        let packages = [
            "venv/lib/python3.12/site-packages",
            "venv/lib/python3.12/dist-packages",
            "usr/lib/python3/site-packages",
            "usr/lib/python3/dist-packages",
        ]
        .into_iter()
        .flat_map(|packages| wheels.map(|wheel| at(&format!("{packages}/nvidia/{wheel}/lib"))));
        let expected: Vec<_> = expected.into_iter().chain(packages.map(Place::Folder)).collect();
        assert_eq!(found, expected);
    }
}
