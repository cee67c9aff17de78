//! Loaded code and launches of it.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::sync::Arc;

use cudarc::driver::{result, sys};

use super::{Address, Context};
use crate::error::DeviceError;

/// Loaded code.
#[derive(Debug)]
struct Module {
    raw: sys::CUmodule,
    /// Kept until the code is unloaded.
    _context: Arc<Context>,
}

// SAFETY: as for `Context`.
unsafe impl Send for Module {}
// SAFETY: as for `Context`.
unsafe impl Sync for Module {}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: loaded once, unloaded once, when no function of it is left.
        let _ = unsafe { result::module::unload(self.raw) };
    }
}

/// An entry of loaded code, which it keeps loaded.
#[derive(Clone, Debug)]
pub(in crate::exec::cuda) struct Function {
    pub(super) raw: sys::CUfunction,
    /// Keeps the code.
    _module: Arc<Module>,
}

// SAFETY: as for `Context`.
unsafe impl Send for Function {}
// SAFETY: as for `Context`.
unsafe impl Sync for Function {}

impl Function {
    /// Loads code and finds its entries.
    pub(in crate::exec::cuda) fn load(
        context: &Arc<Context>,
        code: &[u8],
        entries: &[&str],
    ) -> Result<Vec<Function>, DeviceError> {
        // PTX is a text that must end with a zero; machine code does not mind it.
        let mut image = code.to_vec();
        image.push(0);
        // SAFETY: the image is whole code from the compiler, checked by hash if it was cached.
        let loaded = unsafe { result::module::load_data(image.as_ptr().cast()) };
        let raw = context.check("cuModuleLoadData", loaded)?;
        let module = Arc::new(Module { raw, _context: context.clone() });
        let find = |entry: &&str| {
            let name = CString::new(*entry).expect("invariant: entries are C names");
            // SAFETY: the module is loaded.
            let found = unsafe { result::module::get_function(module.raw, name) };
            let raw = context.check("cuModuleGetFunction", found)?;
            Ok(Function { raw, _module: module.clone() })
        };
        entries.iter().map(find).collect()
    }

    /// Lets launches ask for this much dynamic shared memory.
    pub(in crate::exec::cuda) fn allow_shared(
        &self,
        context: &Context,
        bytes: u32,
    ) -> Result<(), DeviceError> {
        use sys::CUfunction_attribute_enum as Attribute;
        let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function's module is loaded.
        let set =
            unsafe { result::function::set_function_attribute(self.raw, attribute, bytes as i32) };
        context.check("cuFuncSetAttribute", set)
    }
}

/// A kernel launch, ready to be queued.
#[derive(Debug)]
pub(in crate::exec::cuda) struct Prepared {
    pub(in crate::exec::cuda) function: Function,
    pub(in crate::exec::cuda) grid: [u32; 3],
    pub(in crate::exec::cuda) threads: u32,
    pub(in crate::exec::cuda) shared: u32,
    pub(in crate::exec::cuda) arguments: Vec<Address>,
}
