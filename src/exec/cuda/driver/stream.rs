//! Streams, events, and work captured to be replayed.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::{result, sys};

use super::{Address, Context, Pinned, Prepared};
use crate::error::DeviceError;
use crate::exec::cuda::library::driver;

/// A queue of work.
#[derive(Debug)]
pub(in crate::exec::cuda) struct Stream {
    pub(super) raw: sys::CUstream,
    context: Arc<Context>,
}

// SAFETY: as for `Context`.
unsafe impl Send for Stream {}
// SAFETY: as for `Context`.
unsafe impl Sync for Stream {}

impl Stream {
    /// A stream that does not wait for the default one.
    pub(in crate::exec::cuda) fn new(context: &Arc<Context>) -> Result<Stream, DeviceError> {
        let made = result::stream::create(result::stream::StreamKind::NonBlocking);
        let raw = context.check("cuStreamCreate", made)?;
        Ok(Stream { raw, context: context.clone() })
    }

    /// Waits until all of its work is done.
    pub(in crate::exec::cuda) fn synchronize(&self) -> Result<(), DeviceError> {
        // SAFETY: the stream lives as long as this value.
        let done = unsafe { result::stream::synchronize(self.raw) };
        self.context.check("cuStreamSynchronize", done)
    }

    /// Copies `elements` to an address; they are read before this returns, since they are pageable.
    pub(in crate::exec::cuda) fn upload<T: Copy>(
        &self,
        to: Address,
        elements: &[T],
    ) -> Result<(), DeviceError> {
        // SAFETY: callers write inside a `Memory` that they hold; the driver has read pageable
        // memory when the call returns.
        let queued = unsafe { result::memcpy_htod_async(to, elements, self.raw) };
        self.context.check("cuMemcpyHtoDAsync", queued)
    }

    /// Copies the first bytes of pinned memory to an address; they are read after this returns.
    pub(in crate::exec::cuda) fn upload_pinned(
        &self,
        to: Address,
        from: &Pinned,
        bytes: usize,
    ) -> Result<(), DeviceError> {
        // SAFETY: callers write inside a `Memory` that they hold, and leave `from` as it is until
        // an event after this has passed.
        let queued = unsafe { result::memcpy_htod_async(to, from.bytes(bytes), self.raw) };
        self.context.check("cuMemcpyHtoDAsync", queued)
    }

    /// Copies from an address and waits for it.
    pub(in crate::exec::cuda) fn download(
        &self,
        from: Address,
        elements: &mut [f32],
    ) -> Result<(), DeviceError> {
        // SAFETY: callers read inside a `Memory` that they hold; the slice outlives the wait.
        let queued = unsafe { result::memcpy_dtoh_async(elements, from, self.raw) };
        self.context.check("cuMemcpyDtoHAsync", queued)?;
        self.synchronize()
    }

    /// Copies from an address into these bytes of pinned memory, after this returns.
    pub(in crate::exec::cuda) fn download_pinned(
        &self,
        from: Address,
        to: &mut Pinned,
        range: Range<usize>,
    ) -> Result<(), DeviceError> {
        let to = &mut to.bytes_mut(range.end)[range.start..];
        // SAFETY: callers read inside a `Memory` that they hold, and leave `to` alone until an
        // event after this has passed.
        let queued = unsafe { result::memcpy_dtoh_async(to, from, self.raw) };
        self.context.check("cuMemcpyDtoHAsync", queued)
    }

    /// Lets what is queued from now on wait for an event of another stream.
    pub(in crate::exec::cuda) fn wait_for(&self, event: &Event) -> Result<(), DeviceError> {
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: both live; the driver keeps what it needs of the event.
        let queued = unsafe { result::stream::wait_event(self.raw, event.raw, flags) };
        self.context.check("cuStreamWaitEvent", queued)
    }

    /// Queues a kernel. Its arguments are addresses.
    pub(in crate::exec::cuda) fn launch(&self, launch: &Prepared) -> Result<(), DeviceError> {
        let mut arguments = launch.arguments.clone();
        let mut pointers: Vec<*mut c_void> =
            arguments.iter_mut().map(|address| std::ptr::from_mut(address).cast()).collect();
        let [x, y, z] = launch.grid;
        // SAFETY: the function's module is held by `launch`; the driver reads the arguments before
        // it returns. The kernel keeps to the buffers it is given: they are sized by the plan, and
        // `plan/verify.rs` checked that no two live ones overlap.
        let queued = unsafe {
            let block = (launch.threads, 1, 1);
            let function = launch.function.raw;
            result::launch_kernel(
                function,
                (x, y, z),
                block,
                launch.shared,
                self.raw,
                &mut pointers,
            )
        };
        self.context.check("cuLaunchKernel", queued)
    }

    /// Captures what `queue` puts into this stream, to be replayed as one.
    pub(in crate::exec::cuda) fn capture(
        &self,
        queue: impl FnOnce() -> Result<(), DeviceError>,
    ) -> Result<Graph, DeviceError> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is ours alone; the capture is ended below, whatever happens.
        let begun = unsafe { result::stream::begin_capture(self.raw, mode) };
        self.context.check("cuStreamBeginCapture", begun)?;
        let queued = queue();
        // SAFETY: a capture is under way.
        let ended = unsafe { result::stream::end_capture(self.raw) };
        if let (Err(_), Ok(graph)) = (&queued, &ended) {
            // SAFETY: the graph is valid and nobody else has it.
            let _ = unsafe { result::graph::destroy(*graph) };
        }
        // Before the end is looked at: what failed first spoils a capture, whose end then fails too.
        queued?;
        let graph = self.context.check("cuStreamEndCapture", ended)?;
        // SAFETY: the graph is valid and is destroyed here, once.
        let made = unsafe {
            let made = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            let _ = result::graph::destroy(graph);
            made
        };
        let raw = self.context.check("cuGraphInstantiate", made)?;
        Ok(Graph { raw, _context: self.context.clone() })
    }

    /// Queues a captured graph.
    pub(in crate::exec::cuda) fn replay(&self, graph: &Graph) -> Result<(), DeviceError> {
        // SAFETY: the graph's kernels, modules and memory are held beside it by the executor.
        let queued = unsafe { result::graph::launch(graph.raw, self.raw) };
        self.context.check("cuGraphLaunch", queued)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed once; errors have no place to go from here.
        let _ = unsafe { result::stream::destroy(self.raw) };
    }
}

/// A point in a stream.
#[derive(Debug)]
pub(in crate::exec::cuda) struct Event {
    raw: sys::CUevent,
    context: Arc<Context>,
}

// SAFETY: as for `Context`.
unsafe impl Send for Event {}

impl Event {
    /// An event that has passed.
    pub(in crate::exec::cuda) fn new(context: &Arc<Context>) -> Result<Event, DeviceError> {
        Event::with(context, sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)
    }

    /// An event that [`Event::milliseconds_until`] can read.
    pub(in crate::exec::cuda) fn timed(context: &Arc<Context>) -> Result<Event, DeviceError> {
        Event::with(context, sys::CUevent_flags::CU_EVENT_DEFAULT)
    }

    fn with(context: &Arc<Context>, flags: sys::CUevent_flags) -> Result<Event, DeviceError> {
        let raw = context.check("cuEventCreate", result::event::create(flags))?;
        Ok(Event { raw, context: context.clone() })
    }

    /// The time from this event to a later one. Both are timed and have passed.
    pub(in crate::exec::cuda) fn milliseconds_until(
        &self,
        later: &Event,
    ) -> Result<f32, DeviceError> {
        type Elapsed = unsafe extern "C" fn(*mut f32, sys::CUevent, sys::CUevent) -> sys::CUresult;
        // The bindings call a second form, which drivers before CUDA 12.8 do not have.
        let name = c"cuEventElapsedTime";
        let driver = driver().map_err(ToString::to_string);
        // SAFETY: the function has had this type since CUDA 2.
        let found = driver.and_then(|driver| unsafe { driver.library.symbol::<Elapsed>(name) });
        let elapsed = found.map_err(|message| DeviceError::Driver {
            device: self.context.name().into(),
            call: "cuEventElapsedTime",
            message,
        })?;
        let mut milliseconds = 0.0;
        // SAFETY: both events live, and one float is written.
        let read = unsafe { elapsed(&mut milliseconds, self.raw, later.raw) };
        self.context.check("cuEventElapsedTime", read.result())?;
        Ok(milliseconds)
    }

    /// Sets it to the end of the stream's work so far.
    pub(in crate::exec::cuda) fn record(&self, stream: &Stream) -> Result<(), DeviceError> {
        // SAFETY: both live.
        let queued = unsafe { result::event::record(self.raw, stream.raw) };
        self.context.check("cuEventRecord", queued)
    }

    /// Waits until it has passed.
    pub(in crate::exec::cuda) fn wait(&self) -> Result<(), DeviceError> {
        // SAFETY: the event lives.
        let passed = unsafe { result::event::synchronize(self.raw) };
        self.context.check("cuEventSynchronize", passed)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed once.
        let _ = unsafe { result::event::destroy(self.raw) };
    }
}

/// Captured work.
#[derive(Debug)]
pub(in crate::exec::cuda) struct Graph {
    raw: sys::CUgraphExec,
    /// Kept until the graph is destroyed.
    _context: Arc<Context>,
}

// SAFETY: as for `Context`; replayed through `&self` by one executor alone.
unsafe impl Send for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed once.
        let _ = unsafe { result::graph::exec_destroy(self.raw) };
    }
}
