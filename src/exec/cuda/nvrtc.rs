//! NVRTC, NVIDIA's compiler as a library, behind a safe face.
//!
//! Its functions are taken from the library that [`super::library`] opened, and results are plain
//! integers here: a newer NVRTC may return codes that no list knows.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr;
use std::sync::OnceLock;

use super::library::{self, Library};

type Code = c_int;
type Program = *mut c_void;
type SizeOf = unsafe extern "C" fn(Program, *mut usize) -> Code;
type CopyOf = unsafe extern "C" fn(Program, *mut c_char) -> Code;
type Create = unsafe extern "C" fn(
    *mut Program,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> Code;

/// The compiler, loaded.
pub(super) struct Nvrtc {
    /// The library's file.
    pub(super) path: PathBuf,
    /// Major and minor version.
    pub(super) version: (u32, u32),
    /// Architectures that it knows, ascending: 75, 80, 86, ...
    pub(super) architectures: Vec<u32>,
    create: Create,
    destroy: unsafe extern "C" fn(*mut Program) -> Code,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> Code,
    explain: unsafe extern "C" fn(Code) -> *const c_char,
    log: (SizeOf, CopyOf),
    cubin: (SizeOf, CopyOf),
    ptx: (SizeOf, CopyOf),
}

/// What a compilation makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Machine code of one architecture.
    Cubin,
    /// Text that the driver compiles, with the zero at its end.
    Ptx,
}

/// Why a compilation failed.
pub(super) struct Failure {
    /// NVRTC's name of the error.
    pub(super) reason: String,
    /// What the compiler wrote.
    pub(super) log: String,
}

/// NVRTC, or why there is none; looked for once.
pub(super) fn nvrtc() -> Result<&'static Nvrtc, &'static str> {
    static NVRTC: OnceLock<Result<Nvrtc, String>> = OnceLock::new();
    let load = || Nvrtc::load(library::nvrtc().map_err(ToString::to_string)?);
    NVRTC.get_or_init(load).as_ref().map_err(String::as_str)
}

impl Nvrtc {
    fn load(library: &Library) -> Result<Nvrtc, String> {
        // SAFETY: the functions have had these types since CUDA 11.2, whose NVRTC brought the
        // newest of them; older ones lack a symbol and are refused.
        unsafe {
            let count: unsafe extern "C" fn(*mut c_int) -> Code =
                library.symbol(c"nvrtcGetNumSupportedArchs")?;
            let list: unsafe extern "C" fn(*mut c_int) -> Code =
                library.symbol(c"nvrtcGetSupportedArchs")?;
            let version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> Code =
                library.symbol(c"nvrtcVersion")?;
            let (mut major, mut minor, mut length) = (0, 0, 0);
            let failed = version(&mut major, &mut minor) != 0 || count(&mut length) != 0;
            let mut architectures = vec![0; usize::try_from(length).unwrap_or(0)];
            if failed || list(architectures.as_mut_ptr()) != 0 {
                return Err(format!("{} does not tell its version", library.path.display()));
            }
            let mut architectures: Vec<u32> =
                architectures.into_iter().filter_map(|arch| arch.try_into().ok()).collect();
            architectures.sort_unstable();
            Ok(Nvrtc {
                path: library.path.clone(),
                version: (major.unsigned_abs(), minor.unsigned_abs()),
                architectures,
                create: library.symbol(c"nvrtcCreateProgram")?,
                destroy: library.symbol(c"nvrtcDestroyProgram")?,
                compile: library.symbol(c"nvrtcCompileProgram")?,
                explain: library.symbol(c"nvrtcGetErrorString")?,
                log: pair(library, c"nvrtcGetProgramLogSize", c"nvrtcGetProgramLog")?,
                cubin: pair(library, c"nvrtcGetCUBINSize", c"nvrtcGetCUBIN")?,
                ptx: pair(library, c"nvrtcGetPTXSize", c"nvrtcGetPTX")?,
            })
        }
    }

    /// Compiles one source into code and a log, which holds warnings and what
    /// `--ptxas-options=-v` prints; `name` stands for the file there. Threads may call it at once.
    pub(super) fn compile(
        &self,
        name: &str,
        text: &str,
        options: &[String],
        form: Form,
    ) -> Result<(Vec<u8>, String), Failure> {
        let text = c_string(text)?;
        let name = c_string(name)?;
        let options: Vec<CString> =
            options.iter().map(|o| c_string(o)).collect::<Result<_, _>>()?;
        let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let mut program = Guard { nvrtc: self, program: ptr::null_mut() };
        // SAFETY: the strings outlive the program, there are no headers, and the count of options
        // is that of the list.
        let code = unsafe {
            let (text, name, none) = (text.as_ptr(), name.as_ptr(), ptr::null());
            match (self.create)(&mut program.program, text, name, 0, none, none) {
                0 => (self.compile)(program.program, options.len() as c_int, options.as_ptr()),
                code => return Err(Failure { reason: self.reason(code), log: String::new() }),
            }
        };
        let log = program.bytes(self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).trim_end_matches(['\0', '\n']).to_string();
        if code != 0 {
            return Err(Failure { reason: self.reason(code), log });
        }
        let code = program.bytes(if form == Form::Cubin { self.cubin } else { self.ptx });
        match code {
            Ok(code) if !code.is_empty() => Ok((code, log)),
            Ok(_) => Err(Failure { reason: "NVRTC returned no code".into(), log }),
            Err(code) => Err(Failure { reason: self.reason(code), log }),
        }
    }

    fn reason(&self, code: Code) -> String {
        // SAFETY: returns a text of the library's own, for any integer.
        let text = unsafe {
            let text = (self.explain)(code);
            (!text.is_null()).then(|| CStr::from_ptr(text))
        };
        text.map_or_else(|| format!("error {code}"), |text| text.to_string_lossy().into_owned())
    }
}

/// # Safety
/// The symbols are of these types.
unsafe fn pair(library: &Library, size: &CStr, copy: &CStr) -> Result<(SizeOf, CopyOf), String> {
    // SAFETY: as the caller vouches.
    unsafe { Ok((library.symbol(size)?, library.symbol(copy)?)) }
}

fn c_string(text: &str) -> Result<CString, Failure> {
    CString::new(text).map_err(|_| Failure {
        reason: "the source, its name or an option holds a zero byte".into(),
        log: String::new(),
    })
}

/// Destroys a program, whichever way its compilation ends.
struct Guard<'a> {
    nvrtc: &'a Nvrtc,
    program: Program,
}

impl Guard<'_> {
    fn bytes(&self, (size_of, copy_of): (SizeOf, CopyOf)) -> Result<Vec<u8>, Code> {
        let mut size = 0;
        // SAFETY: the program is alive, and the buffer is as long as the library says.
        unsafe {
            match size_of(self.program, &mut size) {
                0 => {}
                code => return Err(code),
            }
            let mut bytes = vec![0; size];
            match copy_of(self.program, bytes.as_mut_ptr().cast()) {
                0 => Ok(bytes),
                code => Err(code),
            }
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.program.is_null() {
            // SAFETY: the program was created, and nothing uses it any more.
            unsafe { (self.nvrtc.destroy)(&mut self.program) };
        }
    }
}
