//! What the tests do with a card, through the bindings alone.

use std::ffi::CString;
use std::sync::Arc;

use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DriverError, LaunchConfig, PushKernelArg,
};
use cudarc::nvrtc::{Ptx, result as nvrtc, sys as nvrtc_sys};

/// A context, and a stream of its own.
pub(crate) struct Card {
    pub(crate) context: Arc<CudaContext>,
    pub(crate) stream: Arc<CudaStream>,
}

/// Grid, block, and bytes of dynamic shared memory.
pub(crate) fn shape(grid: u32, block: u32, shared: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (block, 1, 1), shared_mem_bytes: shared }
}

/// The cubin of a source for sm_90, or the compiler's log.
pub(crate) fn compile(source: &str, options: &[&str]) -> Result<Vec<u8>, String> {
    compile_for("sm_90", source, options)
}

#[allow(unsafe_code)]
pub(crate) fn compile_for(arch: &str, source: &str, options: &[&str]) -> Result<Vec<u8>, String> {
    let source = CString::new(source).expect("no zero byte in a source");
    let program = nvrtc::create_program(&source, Some(c"test.cu")).expect("a program");
    let mut options: Vec<String> = options.iter().map(|o| String::from(*o)).collect();
    options.push(format!("--gpu-architecture={arch}"));
    // SAFETY: the program lives until it is destroyed below; the buffer has the size that was told.
    unsafe {
        let compiled = nvrtc::compile_program(program, &options);
        let log = nvrtc::get_program_log(program).expect("a log");
        let mut size = 0;
        let _ = nvrtc_sys::nvrtcGetCUBINSize(program, &mut size);
        let mut cubin = vec![0u8; size];
        let _ = nvrtc_sys::nvrtcGetCUBIN(program, cubin.as_mut_ptr().cast());
        nvrtc::destroy_program(program).expect("destroyed");
        let text = String::from_utf8_lossy(&log.iter().map(|&c| c as u8).collect::<Vec<_>>())
            .trim_end_matches('\0')
            .to_string();
        compiled.map(|()| cubin).map_err(|error| format!("{error}\n{text}"))
    }
}

impl Card {
    pub(crate) fn new() -> Result<Self, DriverError> {
        let context = CudaContext::new(0)?;
        let stream = context.new_stream()?;
        Ok(Card { context, stream })
    }

    /// As [`Card::new`], without cudarc's own events, as the executor works.
    #[allow(unsafe_code)]
    pub(crate) fn without_events() -> Result<Self, DriverError> {
        let context = CudaContext::new(0)?;
        // SAFETY: all work of these tests goes through one stream or is ordered by hand.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream()?;
        Ok(Card { context, stream })
    }

    pub(crate) fn kernel(&self, source: &str, name: &str) -> Result<CudaFunction, DriverError> {
        let cubin = compile(source, &["--fmad=false"]).expect("the kernel compiles");
        self.context.load_module(Ptx::from_binary(cubin))?.load_function(name)
    }

    pub(crate) fn upload(&self, values: &[f32]) -> Result<CudaSlice<f32>, DriverError> {
        self.stream.clone_htod(values)
    }

    /// Memory that nobody wrote.
    #[allow(unsafe_code)]
    pub(crate) fn fresh(&self, count: usize) -> Result<CudaSlice<f32>, DriverError> {
        // SAFETY: whoever reads it checks what the poison does.
        unsafe { self.stream.alloc(count) }
    }

    pub(crate) fn download(&self, values: &CudaSlice<f32>) -> Result<Vec<f32>, DriverError> {
        self.stream.clone_dtoh(values)
    }

    /// Launches with pointers to the given memory as arguments.
    #[allow(unsafe_code)]
    pub(crate) fn launch(
        &self,
        kernel: &CudaFunction,
        shape: LaunchConfig,
        arguments: &[&CudaSlice<f32>],
    ) -> Result<(), DriverError> {
        let mut builder = self.stream.launch_builder(kernel);
        for argument in arguments {
            builder.arg(*argument);
        }
        // SAFETY: wrong arguments and accesses are what the emulator is to find.
        unsafe { builder.launch(shape) }.map(|_| ())
    }

    /// Launches with plain numbers in place of pointers.
    #[allow(unsafe_code)]
    pub(crate) fn launch_numbers(
        &self,
        kernel: &CudaFunction,
        shape: LaunchConfig,
        arguments: &[u64],
    ) -> Result<(), DriverError> {
        let mut builder = self.stream.launch_builder(kernel);
        for argument in arguments {
            builder.arg(argument);
        }
        // SAFETY: as above.
        unsafe { builder.launch(shape) }.map(|_| ())
    }
}
