//! Loads the two libraries under NVIDIA's names and calls their controls.

use std::ffi::{CString, c_char, c_int, c_uint};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use crate::compile::{Built, KERNELS, SHIM};
use crate::{Counts, Missing, Settings, settings::RawSettings};

/// What [`Libraries::report`] can be asked for.
pub(crate) const PROBLEMS: c_int = 0;
pub(crate) const CALLS: c_int = 1;
pub(crate) const LAUNCHED: c_int = 2;

/// Entries of the stand-in libraries. They stay loaded until the process ends.
#[derive(Debug)]
pub(crate) struct Libraries {
    reset: unsafe extern "C" fn(),
    configure: unsafe extern "C" fn(*const RawSettings),
    count: unsafe extern "C" fn(*mut Counts),
    report: unsafe extern "C" fn(c_int, *mut c_char, usize) -> usize,
    nvrtc_version: unsafe extern "C" fn(c_int),
    nvml_counter: unsafe extern "C" fn(c_int),
    nvml_started: unsafe extern "C" fn() -> c_int,
    record: unsafe extern "C" fn(*const c_char),
    patch: unsafe extern "C" fn(*const c_char, *const c_char),
    patched: unsafe extern "C" fn() -> c_uint,
    settings: Mutex<Settings>,
    pub(crate) built: Built,
}

impl Libraries {
    #[allow(unsafe_code)]
    pub(crate) fn load(built: Built) -> Result<Self, Missing> {
        let [driver, nvrtc, nvml] = ["libcuda.so.1", "libnvrtc.so.13", "libnvidia-ml.so.1"]
            .map(|name| open(&built.folder, name));
        let (driver, nvrtc, nvml) = (driver?, nvrtc?, nvml?);
        // The names without a version are looked up first: they lead to the same libraries.
        for name in ["libcuda.so", "libnvrtc.so"] {
            std::mem::forget(open(&built.folder, name)?);
        }
        let folder = text(&built.folder.join(KERNELS));
        let compiler = CString::new(built.compiler.as_str()).unwrap_or_default();
        let shim = text(&built.folder.join(SHIM));
        type Workshop = unsafe extern "C" fn(*const c_char, *const c_char, *const c_char);
        // SAFETY: the entries are defined in cpp/control.cpp, cpp/nvrtc.cpp and cpp/nvml.cpp with
        // these signatures; the texts live through the call, which copies them.
        let libraries = unsafe {
            let workshop = nvrtc.get::<Workshop>(b"emulator_workshop")?;
            workshop(folder.as_ptr(), compiler.as_ptr(), shim.as_ptr());
            Libraries {
                reset: *driver.get(b"emulator_reset")?,
                configure: *driver.get(b"emulator_configure")?,
                count: *driver.get(b"emulator_count")?,
                report: *driver.get(b"emulator_report")?,
                nvrtc_version: *nvrtc.get(b"emulator_nvrtc_version")?,
                nvml_counter: *nvml.get(b"emulator_nvml_counter")?,
                nvml_started: *nvml.get(b"emulator_nvml_started")?,
                record: *driver.get(b"emulator_record")?,
                patch: *nvrtc.get(b"emulator_patch")?,
                patched: *nvrtc.get(b"emulator_patched")?,
                settings: Mutex::new(Settings::default()),
                built,
            }
        };
        std::mem::forget((driver, nvrtc, nvml));
        Ok(libraries)
    }

    #[allow(unsafe_code)]
    pub(crate) fn reset(&self) {
        // SAFETY: takes the driver's own lock; handles of before are refused from now on.
        unsafe { (self.reset)() };
        self.configure(Settings::default());
        self.patch("", "");
    }

    pub(crate) fn settings(&self) -> Settings {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[allow(unsafe_code)]
    pub(crate) fn configure(&self, settings: Settings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
        let raw = settings.raw();
        // SAFETY: `raw` has the layout of `Settings` in cpp/state.h and is copied.
        unsafe {
            (self.configure)(&raw);
            (self.nvrtc_version)(raw.nvrtc_version);
            (self.nvml_counter)(c_int::from(settings.energy_counter));
        }
    }

    #[allow(unsafe_code)]
    pub(crate) fn nvml_started(&self) -> i32 {
        // SAFETY: reads a number.
        unsafe { (self.nvml_started)() }
    }

    #[allow(unsafe_code)]
    pub(crate) fn record(&self, folder: &Path) {
        let folder = text(folder);
        // SAFETY: the text lives through the call, which copies it.
        unsafe { (self.record)(folder.as_ptr()) };
    }

    #[allow(unsafe_code)]
    pub(crate) fn patch(&self, find: &str, replace: &str) {
        let [find, replace] = [find, replace].map(|t| CString::new(t).unwrap_or_default());
        // SAFETY: as above.
        unsafe { (self.patch)(find.as_ptr(), replace.as_ptr()) };
    }

    #[allow(unsafe_code)]
    pub(crate) fn patched(&self) -> u32 {
        // SAFETY: reads a number.
        unsafe { (self.patched)() }
    }

    #[allow(unsafe_code)]
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        // SAFETY: `Counts` has the layout of its namesake in cpp/control.cpp.
        unsafe { (self.count)(&mut counts) };
        counts
    }

    #[allow(unsafe_code)]
    pub(crate) fn report(&self, what: c_int) -> Vec<String> {
        let mut text = vec![0u8; 4096];
        loop {
            // SAFETY: at most `text.len()` bytes are written, or none if the text is longer.
            let bytes = unsafe { (self.report)(what, text.as_mut_ptr().cast(), text.len()) };
            if bytes <= text.len() {
                text.truncate(bytes);
                return String::from_utf8_lossy(&text).lines().map(String::from).collect();
            }
            text.resize(bytes, 0);
        }
    }
}

fn text(path: &Path) -> CString {
    CString::new(path.as_os_str().as_encoded_bytes()).unwrap_or_default()
}

#[allow(unsafe_code)]
fn open(folder: &Path, name: &str) -> Result<Library, libloading::Error> {
    // SAFETY: the library was built from this crate's sources and runs nothing when loaded.
    // Its symbols are global, since kernel objects look for them.
    unsafe { Library::open(Some(folder.join(name)), RTLD_NOW | RTLD_GLOBAL) }
}
