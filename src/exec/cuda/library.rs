//! Finds and opens NVIDIA's shared libraries, and tells where it looked when there are none.
//!
//! cudarc asks the system by name alone and panics when that fails. So each library is opened here
//! first, by its full path where the system does not know it, and never closed; the system then
//! answers cudarc's later request from what is loaded. NVRTC is called through its own handle.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_int};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::os::unix::{Library as Handle, RTLD_GLOBAL, RTLD_LAZY};

use super::places::{Place, children, places};

/// Opens only what is loaded already; as Linux has it.
const RTLD_NOLOAD: c_int = 4;

/// An open library; it stays open until the process ends.
#[derive(Debug)]
pub(super) struct Library {
    /// The file that was loaded.
    pub(super) path: PathBuf,
    handle: &'static Handle,
}

/// A library that was not found, or found and not usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// What people call it.
    pub(super) title: &'static str,
    /// The file's usual name.
    pub(super) name: &'static str,
    /// Each place, and what was wrong there if there was a file.
    pub(super) looked: Vec<(Place, Option<String>)>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems().next() {
            Some(problem) => write!(f, "{} can't be used: {problem}", self.title),
            None => write!(f, "{} ({}) was not found", self.title, self.name),
        }
    }
}

impl Missing {
    /// What is wrong with files that were found, if any.
    pub(super) fn problems(&self) -> impl Iterator<Item = &str> {
        self.looked.iter().filter_map(|(_, problem)| problem.as_deref())
    }
}

/// The driver and the newest CUDA version that it supports.
#[derive(Debug)]
pub(super) struct Driver {
    /// The library.
    pub(super) library: Library,
    /// Major and minor version of CUDA.
    pub(super) cuda: (u32, u32),
}

/// The driver; looked for once.
pub(super) fn driver() -> Result<&'static Driver, &'static Missing> {
    static DRIVER: OnceLock<Result<Driver, Missing>> = OnceLock::new();
    DRIVER.get_or_init(|| open_driver(&environment())).as_ref()
}

/// NVRTC, of a major version that the driver can load code from where there is one; looked for
/// once.
pub(super) fn nvrtc() -> Result<&'static Library, &'static Missing> {
    static NVRTC: OnceLock<Result<Library, Missing>> = OnceLock::new();
    let open = || open_nvrtc(&environment(), driver().ok().map(|driver| driver.cuda.0));
    NVRTC.get_or_init(open).as_ref()
}

/// NVML, which comes with the driver.
pub(super) fn nvml() -> Result<Library, Missing> {
    let (title, name) = ("NVIDIA's management library", "libnvidia-ml.so.1");
    search(title, &[name], c"nvmlInit_v2", &environment())
}

fn environment() -> Vec<Place> {
    places(&|name| std::env::var_os(name), Path::new("/"))
}

fn open_driver(places: &[Place]) -> Result<Driver, Missing> {
    let (title, name) = ("the NVIDIA driver", "libcuda.so.1");
    let library = search(title, &[name], c"cuDriverGetVersion", places)?;
    let unusable = |library: Library, problem| Missing {
        title,
        name,
        looked: vec![(Place::Folder(library.path), Some(problem))],
    };
    let mut version: c_int = 0;
    // SAFETY: the function has had this type in every driver, and writes one integer.
    let failed = unsafe {
        let ask =
            library.symbol::<unsafe extern "C" fn(*mut c_int) -> c_int>(c"cuDriverGetVersion");
        ask.map(|ask| ask(&mut version))
    };
    match failed {
        Ok(0) => {}
        Ok(code) => return Err(unusable(library, format!("cuDriverGetVersion failed: {code}"))),
        Err(problem) => return Err(unusable(library, problem)),
    }
    if let Some(problem) = too_old(split_version(version)) {
        return Err(unusable(library, problem));
    }
    if !is_what_cudarc_calls(&library) {
        let problem = format!(
            "another libcuda.so comes first on LD_LIBRARY_PATH or in the system's list, before {}; \
             remove one of them",
            library.path.display()
        );
        return Err(unusable(library, problem));
    }
    Ok(Driver { library, cuda: split_version(version) })
}

/// Why a driver of this CUDA version can't be used, if it is older than what `tests/versions.rs`
/// says the crate calls, and than the bindings are checked for.
fn too_old(version: (u32, u32)) -> Option<String> {
    let (major, minor) = version;
    let text = || format!("it is of CUDA {major}.{minor}, and 12.0 is needed; update it");
    (version < (12, 0)).then(text)
}

/// CUDA writes version 13.4 as 13040.
fn split_version(version: c_int) -> (u32, u32) {
    let version = u32::try_from(version).unwrap_or(0);
    (version / 1000, version % 1000 / 10)
}

/// Whether cudarc, which asks by several names, ends at this very library.
fn is_what_cudarc_calls(library: &Library) -> bool {
    use cudarc::driver::sys;
    // SAFETY: loads the driver, which is loaded already or was there to be; `culib` panics only
    // where `is_culib_present` says no. The symbols' addresses are compared and not called.
    unsafe {
        let name = c"cuDriverGetVersion";
        let ours = library.symbol::<*const ()>(name).ok();
        sys::is_culib_present()
            && sys::culib().get::<*const ()>(name.to_bytes_with_nul()).ok().map(|s| *s) == ours
    }
}

fn open_nvrtc(places: &[Place], driver_major: Option<u32>) -> Result<Library, Missing> {
    let names = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"];
    let search = |names: &[&'static str]| search("NVRTC", names, c"nvrtcVersion", places);
    // A driver of CUDA 12 can't load what NVRTC 13 makes, so that comes last there, and with it the name
    // that any version has.
    let library = match driver_major {
        Some(..=12) => search(&names[1..2]).or_else(|_| search(&names)),
        _ => search(&names),
    }?;
    // NVRTC opens its builtins by name when it compiles; some packages do not tell it where.
    for path in builtins_beside(&library.path) {
        if let Ok(handle) = open(&path, RTLD_LAZY | RTLD_GLOBAL) {
            Box::leak(Box::new(handle));
        }
    }
    Ok(library)
}

/// `libnvrtc-builtins.so.13.5` beside `libnvrtc.so.13`.
fn builtins_beside(nvrtc: &Path) -> Vec<PathBuf> {
    let file = nvrtc.canonicalize().unwrap_or_else(|_| nvrtc.into());
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let major = name.strip_prefix("libnvrtc.so.").and_then(|rest| rest.split('.').next());
    let prefix = format!("libnvrtc-builtins.so.{}", major.unwrap_or_default());
    file.parent().map(|folder| children(folder, &prefix)).unwrap_or_default()
}

/// Libraries of which no kernel has need yet, by what people call them.
pub(super) fn optional() -> [(&'static str, Result<Library, Missing>); 2] {
    let search = |title, names: &[&'static str], probe: &CStr| {
        (title, search(title, names, probe, &environment()))
    };
    let cublaslt = ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"];
    [
        search("cuBLASLt", &cublaslt, c"cublasLtGetVersion"),
        search("NCCL", &["libnccl.so.2", "libnccl.so"], c"ncclGetVersion"),
    ]
}

/// Opens the first file of these names that exports `probe`: place by place, and in each place
/// name by name.
fn search(
    title: &'static str,
    names: &[&'static str],
    probe: &CStr,
    places: &[Place],
) -> Result<Library, Missing> {
    let mut looked = Vec::new();
    for place in places {
        let mut problem = None;
        for name in names {
            let file = match place {
                Place::Process | Place::Loader => PathBuf::from(name),
                Place::Folder(folder) => folder.join(name),
            };
            if matches!(place, Place::Folder(_)) && !file.exists() {
                continue;
            }
            let flags = match place {
                Place::Process => RTLD_LAZY | RTLD_GLOBAL | RTLD_NOLOAD,
                _ => RTLD_LAZY | RTLD_GLOBAL,
            };
            match open(&file, flags).and_then(|handle| Library::new(handle, &file, probe)) {
                Ok(library) => return Ok(library),
                Err(text) if is_absence(&text, name) => {}
                Err(text) => problem = Some(text),
            }
        }
        looked.push((place.clone(), problem));
    }
    Err(Missing { title, name: names[0], looked })
}

/// Whether the loader says that there is no such file, rather than that it is broken.
fn is_absence(text: &str, name: &str) -> bool {
    text.contains(&format!("{name}: cannot open shared object file: No such file"))
}

fn open(file: &Path, flags: c_int) -> Result<Handle, String> {
    // SAFETY: runs the initialisers of NVIDIA's library, which any program that uses it runs.
    unsafe { Handle::open(Some(file), flags) }.map_err(|e| describe(&e))
}

/// The loader's own words, which stand in the error's source.
fn describe(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

impl Library {
    fn new(handle: Handle, file: &Path, probe: &CStr) -> Result<Library, String> {
        let mut library = Library { path: file.into(), handle: Box::leak(Box::new(handle)) };
        // SAFETY: the symbol's address is looked at and not called.
        let address = unsafe { library.symbol::<*const ()>(probe) }?;
        if let Some(path) = file_at(address as usize) {
            library.path = path;
        }
        Ok(library)
    }

    /// A function of the library.
    ///
    /// # Safety
    /// `T` is a function pointer of the symbol's type, or a pointer that is not followed.
    pub(super) unsafe fn symbol<T: Copy>(&self, name: &CStr) -> Result<T, String> {
        // SAFETY: the caller vouches for the type; the library is never closed.
        match unsafe { self.handle.get::<T>(name.to_bytes_with_nul()) } {
            Ok(symbol) => Ok(*symbol),
            Err(_) => {
                let name = name.to_string_lossy();
                Err(format!("{} has no function `{name}`; it is too old", self.path.display()))
            }
        }
    }
}

/// The file that is mapped at an address of this process.
fn file_at(address: usize) -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let bound = |text| usize::from_str_radix(text, 16).ok();
        let bounds = range.and_then(|(from, to)| Some((bound(from)?, bound(to)?)));
        bounds.is_some_and(|(from, to)| (from..to).contains(&address))
    })?;
    line.find('/').map(|start| PathBuf::from(&line[start..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["libironwarp-absent.so.2", "libironwarp-absent.so.1"];

    #[test]
    fn every_place_is_reported_and_a_broken_file_by_its_fault() {
        let empty = tempfile::tempdir().unwrap();
        let broken = tempfile::tempdir().unwrap();
        std::fs::write(broken.path().join(NAMES[1]), "no library").unwrap();
        let places = [
            Place::Loader,
            Place::Folder(empty.path().into()),
            Place::Folder(broken.path().into()),
        ];
        let missing = search("it", &NAMES, c"main", &places).unwrap_err();
        assert_eq!(missing.name, NAMES[0]);
        assert_eq!(
            missing.looked[..2],
            places[..2].iter().map(|p| (p.clone(), None)).collect::<Vec<_>>()
        );
        let problems: Vec<&str> = missing.problems().collect();
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].contains(NAMES[1]) && problems[0].contains("file too short"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_library_without_the_probe_is_not_taken_and_one_with_it_tells_its_path() {
        let places = [Place::Loader];
        let missing = search("C", &["libc.so.6"], c"cuInit", &places).unwrap_err();
        assert!(missing.problems().next().unwrap().contains("no function `cuInit`"), "{missing:?}");
        let found = search("C", &["libc.so.6"], c"malloc", &places).unwrap();
        assert!(found.path.is_absolute() && found.path.ends_with("libc.so.6"), "{found:?}");
    }

    #[test]
    fn builtins_are_those_of_the_same_major_version() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["libnvrtc.so.12", "libnvrtc-builtins.so.12.9", "libnvrtc-builtins.so.13.0"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let folder = folder.path().canonicalize().unwrap();
        let found = builtins_beside(&folder.join("libnvrtc.so.12"));
        assert_eq!(found, [folder.join("libnvrtc-builtins.so.12.9")]);
    }

    #[test]
    fn drivers_before_cuda_12_are_refused() {
        assert_eq!(
            too_old((11, 8)),
            Some("it is of CUDA 11.8, and 12.0 is needed; update it".into())
        );
        assert_eq!(too_old((12, 0)), None);
        assert_eq!(too_old((13, 0)), None);
    }

    #[test]
    fn versions_are_read_as_cuda_writes_them() {
        assert_eq!(split_version(13040), (13, 4));
        assert_eq!(split_version(12080), (12, 8));
        assert_eq!(split_version(-1), (0, 0));
    }
}
