//! What tests set and read, laid out as in `cpp/state.h` and `cpp/control.cpp`.

use std::time::Duration;

/// In which order threads of a block, or blocks of a grid, take their turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By rising index.
    Forward,
    /// By falling index.
    Reverse,
    /// A random order, another for each block, from a seed.
    Random(u16),
}

impl Order {
    /// Four orders that a correct kernel gives equal bits under.
    pub const ALL: [Order; 4] =
        [Order::Forward, Order::Reverse, Order::Random(1), Order::Random(2)];

    fn code(self) -> i32 {
        match self {
            Order::Forward => 0,
            Order::Reverse => 1,
            Order::Random(seed) => 2 + i32::from(seed),
        }
    }
}

/// When work that is queued in streams runs, within what streams and events allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// When it is queued.
    AtOnce,
    /// When something waits for it, and no more than that needs.
    Late,
    /// By chance, from a seed: at each wait of the host it is drawn which streams run at once from
    /// there on, and which run late.
    Random(u16),
}

impl Pace {
    /// Paces that a program which waits where it must gives equal bits under.
    pub const ALL: [Pace; 5] =
        [Pace::AtOnce, Pace::Late, Pace::Random(1), Pace::Random(2), Pace::Random(3)];

    fn code(self) -> i32 {
        match self {
            Pace::AtOnce => 0,
            Pace::Late => 1,
            Pace::Random(seed) => 2 + i32::from(seed),
        }
    }
}

/// The device and how it behaves. The default is small, but limits blocks as sm_90 does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Compute capability, 10 * major + minor; default 90.
    pub capability: u32,
    /// Multiprocessors; default 8.
    pub multiprocessors: u32,
    /// Most shared memory of a block in bytes, static and dynamic; default 227 KiB. A kernel gets
    /// more than 48 KiB only if asked for with a function attribute.
    pub shared_bytes: u32,
    /// Devices of the machine, 0 or 1; default 1.
    pub devices: u32,
    /// CUDA version of the driver, 1000 * major + 10 * minor; default 13000.
    pub driver_version: u32,
    /// Version of NVRTC, likewise. Default 0: 13 and a minor version that no real one has and that
    /// changes with the emulator, since what is cached for it must reach nothing else.
    pub nvrtc_version: u32,
    /// Order of threads in a block; default forward.
    pub thread_order: Order,
    /// Order of blocks in a grid; default forward.
    pub block_order: Order,
    /// The byte that fills fresh device, shared and pinned memory; default 0xff, which is NaN in
    /// every float type. [`Settings::POISONS`] has another.
    pub poison: u8,
    /// When queued work runs; default at once.
    pub pace: Pace,
    /// Whether streams go on without waiting for other streams' events, a mistake of every program
    /// at once; default false.
    pub deaf: bool,
    /// Memory of the device in bytes; default 1 GiB. It is taken only when used.
    pub memory: u64,
    /// Whether the management library counts the card's energy, or knows only its power; default true.
    pub energy_counter: bool,
    /// The driver call that fails, counted from 1; default 0: none.
    pub fail_at: u64,
    /// The code it fails with.
    pub fail_code: i32,
    /// Time of the processor that a launch may take before it fails with 702; default one minute.
    pub time_limit: Duration,
}

impl Settings {
    /// Two poisons that a correct program gives equal bits under: NaN, and about 1.3e36.
    pub const POISONS: [u8; 2] = [0xff, 0x7b];

    pub(crate) fn raw(self) -> RawSettings {
        RawSettings {
            capability: number(self.capability),
            multiprocessors: number(self.multiprocessors),
            shared_opt_in: number(self.shared_bytes),
            devices: number(self.devices),
            driver_version: number(self.driver_version),
            nvrtc_version: number(self.nvrtc_version),
            thread_order: self.thread_order.code(),
            block_order: self.block_order.code(),
            poison: i32::from(self.poison),
            pace: self.pace.code(),
            deaf: i32::from(self.deaf),
            memory: i64::try_from(self.memory).unwrap_or(i64::MAX),
            fail_at: i64::try_from(self.fail_at).unwrap_or(i64::MAX),
            fail_code: self.fail_code,
            limit: i32::try_from(self.time_limit.as_millis()).unwrap_or(i32::MAX),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            capability: 90,
            multiprocessors: 8,
            shared_bytes: 227 * 1024,
            devices: 1,
            driver_version: 13000,
            nvrtc_version: 0,
            thread_order: Order::Forward,
            block_order: Order::Forward,
            poison: Self::POISONS[0],
            pace: Pace::AtOnce,
            deaf: false,
            memory: 1 << 30,
            energy_counter: true,
            fail_at: 0,
            fail_code: 0,
            time_limit: Duration::from_secs(60),
        }
    }
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[repr(C)]
#[derive(Debug)]
pub(crate) struct RawSettings {
    capability: i32,
    multiprocessors: i32,
    shared_opt_in: i32,
    devices: i32,
    driver_version: i32,
    pub(crate) nvrtc_version: i32,
    thread_order: i32,
    block_order: i32,
    poison: i32,
    pace: i32,
    deaf: i32,
    memory: i64,
    fail_at: i64,
    fail_code: i32,
    limit: i32,
}

/// What the driver holds.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Bytes of device memory that are allocated.
    pub device_bytes: i64,
    /// The most that were at one time.
    pub device_peak: i64,
    /// Blocks of pinned host memory.
    pub host_blocks: i64,
    /// Streams, the default stream not counted.
    pub streams: i64,
    /// Events.
    pub events: i64,
    /// Loaded modules.
    pub modules: i64,
    /// Graphs and instantiated graphs.
    pub graphs: i64,
    /// How often the primary context is retained.
    pub contexts: i64,
    /// Driver calls since the session began.
    pub calls: i64,
    /// The code that the context died of; 0 while it lives.
    pub sticky: i64,
}

impl Counts {
    /// Whether everything that was made was also released.
    pub fn nothing_lives(&self) -> bool {
        let Counts {
            device_bytes, host_blocks, streams, events, modules, graphs, contexts, ..
        } = *self;
        [device_bytes, host_blocks, streams, events, modules, graphs, contexts] == [0; 7]
    }
}
