//! NVML, NVIDIA's management library: the driver's release, and the energy that a card uses.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::ptr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::library::{self, Library};
use crate::error::DeviceError;

/// How often the power is looked at where the card counts no energy.
const INTERVAL: Duration = Duration::from_millis(10);

type Simple = unsafe extern "C" fn() -> c_int;
type Version = unsafe extern "C" fn(*mut c_char, c_uint) -> c_int;
type Find = unsafe extern "C" fn(*const c_char, *mut Handle) -> c_int;
type Counter = unsafe extern "C" fn(Handle, *mut c_ulonglong) -> c_int;
type Usage = unsafe extern "C" fn(Handle, *mut c_uint) -> c_int;
type BusId = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;

/// A card, as NVML calls it.
type Handle = *mut c_void;

/// The driver's release, such as "580.65.06".
pub(super) fn driver_release(library: &Library) -> Option<String> {
    let _started = Started::new(library).ok()?;
    let mut text = [0u8; 96];
    // SAFETY: the function's type since NVML 5; the buffer is as long as said.
    let failed = unsafe {
        let ask = library.symbol::<Version>(c"nvmlSystemGetDriverVersion").ok()?;
        ask(text.as_mut_ptr().cast(), text.len() as c_uint)
    };
    (failed == 0).then_some(())?;
    let text = CStr::from_bytes_until_nul(&text).ok()?;
    Some(text.to_string_lossy().into_owned())
}

/// NVML, started; it is stopped when this is dropped.
struct Started {
    stop: Simple,
}

impl Started {
    fn new(library: &Library) -> Result<Started, String> {
        // SAFETY: the functions' types since NVML 5.
        let (start, stop) = unsafe {
            (library.symbol::<Simple>(c"nvmlInit_v2")?, library.symbol(c"nvmlShutdown")?)
        };
        // SAFETY: it may be started any number of times, from any thread.
        succeed("nvmlInit_v2", unsafe { start() })?;
        Ok(Started { stop })
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // SAFETY: it was started; nothing of this start is used any more.
        unsafe { (self.stop)() };
    }
}

fn succeed(call: &str, code: c_int) -> Result<(), String> {
    if code == 0 { Ok(()) } else { Err(format!("{call} failed with code {code}")) }
}

/// The energy that a card has used since this was made: as it counts itself, or by its power, looked
/// at a hundred times a second.
pub struct CardEnergy {
    source: Source,
}

enum Source {
    Counter { meter: Meter, first: u64 },
    Sampled(Sampler),
}

/// One card's figures.
struct Meter {
    device: Handle,
    counter: Option<Counter>,
    usage: Usage,
    _started: Started,
}

// SAFETY: NVML may be called from any thread, with handles that another thread got.
unsafe impl Send for Meter {}

impl CardEnergy {
    /// Of the card of this index.
    ///
    /// # Errors
    /// If the driver or NVML is missing, or the card tells neither its energy nor its power, as parts
    /// of a card do not.
    pub fn of(index: usize) -> Result<CardEnergy, DeviceError> {
        let source = Meter::of(index).and_then(|meter| match meter.counted() {
            Ok(first) => Ok(Source::Counter { meter, first }),
            Err(_) => Ok(Source::Sampled(Sampler::new(meter)?)),
        });
        let device = format!("cuda:{index}");
        let source = source.map_err(|why| DeviceError::Unusable {
            device,
            message: format!("its energy is not known: {why}"),
        })?;
        Ok(CardEnergy { source })
    }

    /// Joules, if the card still tells.
    pub fn joules(&self) -> Option<f64> {
        match &self.source {
            Source::Counter { meter, first } => {
                Some(meter.counted().ok()?.checked_sub(*first)? as f64 / 1e3)
            }
            Source::Sampled(sampler) => sampler.joules(),
        }
    }
}

impl Meter {
    fn of(index: usize) -> Result<Meter, String> {
        let driver = library::driver().map_err(ToString::to_string)?;
        let nvml = library::nvml().map_err(|missing| missing.to_string())?;
        cudarc::driver::result::init().map_err(|e| format!("cuInit: {e}"))?;
        let mut bus = [0u8; 32];
        let ordinal = c_int::try_from(index).map_err(|e| e.to_string())?;
        // SAFETY: the function's type in every driver; the buffer is as long as said.
        succeed("cuDeviceGetPCIBusId", unsafe {
            let ask = driver.library.symbol::<BusId>(c"cuDeviceGetPCIBusId")?;
            ask(bus.as_mut_ptr().cast(), bus.len() as c_int, ordinal)
        })?;
        let started = Started::new(&nvml)?;
        let mut device: Handle = ptr::null_mut();
        // SAFETY: the functions' types since NVML 5, and of the counter since it is there; the
        // driver ended the text with a zero, and one handle is written.
        unsafe {
            let find = nvml.symbol::<Find>(c"nvmlDeviceGetHandleByPciBusId_v2")?;
            succeed("nvmlDeviceGetHandleByPciBusId_v2", find(bus.as_ptr().cast(), &mut device))?;
            let counter = nvml.symbol::<Counter>(c"nvmlDeviceGetTotalEnergyConsumption").ok();
            let usage = nvml.symbol::<Usage>(c"nvmlDeviceGetPowerUsage")?;
            Ok(Meter { device, counter, usage, _started: started })
        }
    }

    /// Millijoules since the driver was loaded.
    fn counted(&self) -> Result<u64, String> {
        let name = "nvmlDeviceGetTotalEnergyConsumption";
        let counter = self.counter.ok_or_else(|| format!("there is no {name}"))?;
        let mut millijoules = 0;
        // SAFETY: NVML gave the handle and is started; one number is written.
        succeed(name, unsafe { counter(self.device, &mut millijoules) })?;
        Ok(millijoules)
    }

    /// Watts.
    fn power(&self) -> Result<f64, String> {
        let mut milliwatts = 0;
        // SAFETY: as above.
        let code = unsafe { (self.usage)(self.device, &mut milliwatts) };
        succeed("nvmlDeviceGetPowerUsage", code)?;
        Ok(f64::from(milliwatts) / 1e3)
    }
}

/// A thread that adds power by time.
struct Sampler {
    /// None once the card did not tell.
    joules: Arc<Mutex<Option<f64>>>,
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    fn new(meter: Meter) -> Result<Sampler, String> {
        meter.power()?;
        let joules = Arc::new(Mutex::new(Some(0.0)));
        let ((stop, stopped), sum) = (channel(), joules.clone());
        let thread = std::thread::Builder::new().name("ironwarp-power".into());
        let thread =
            thread.spawn(move || add(&meter, &stopped, &sum)).map_err(|e| e.to_string())?;
        Ok(Sampler { joules, stop: Some(stop), thread: Some(thread) })
    }

    fn joules(&self) -> Option<f64> {
        *self.joules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(meter: &Meter, stopped: &Receiver<()>, sum: &Mutex<Option<f64>>) {
    let mut last = Instant::now();
    while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let (power, now) = (meter.power().ok(), Instant::now());
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = sum.zip(power).map(|(sum, power)| sum + power * (now - last).as_secs_f64());
        last = now;
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
