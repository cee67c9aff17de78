//! What an op asks of a CUDA device: kernel launches as plain data.
//!
//! A launch names a kernel's text and the constants it is compiled with, its grid, and the buffers
//! that it is given. Shapes are compile-time constants; what changes from step to step, the rows in
//! use above all, stands in the control block `Live` of `kernels/prelude.cuh`, which every kernel
//! may read. So a plan's launches never change, and can be captured once.

use crate::tensor::{Dim, Shape};

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The text of a file of `kernels/`.
fn embedded(file: &str) -> &'static str {
    let found = TEXTS.iter().find(|(name, _)| *name == file);
    found.map(|(_, text)| *text).expect("invariant: an op names a file of kernels/")
}

/// A kernel's text and what makes it special.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    name: String,
    text: &'static str,
    constants: Vec<(String, String)>,
    printed: Vec<(&'static str, String)>,
}

impl Kernel {
    /// The file `kernels/<name>.cu` of this crate.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(name: &str) -> Kernel {
        Kernel::from_text(name, embedded(&format!("{name}.cu")))
    }

    /// A kernel of one's own: CUDA C++ that may use what `kernels/prelude.cuh` defines. Entries are
    /// `extern "C" __global__`, and all their arguments are pointers.
    pub fn from_text(name: &str, text: &'static str) -> Kernel {
        Kernel { name: name.into(), text, constants: vec![], printed: vec![] }
    }

    /// The name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a constant: `-D name=value`.
    pub fn constant(mut self, name: &str, value: impl ToString) -> Kernel {
        self.constants.push((name.into(), value.to_string()));
        self
    }

    /// Adds a constant that is a number of type `float`.
    pub fn float(self, name: &str, value: f32) -> Kernel {
        self.constant(name, format!("{value:?}f"))
    }

    /// Adds a size that may depend on the rows in use; the text reads it as `SIZE(NAME)`.
    pub fn size(self, name: &str, shape: &Shape) -> Kernel {
        let per_row = if shape.has_rows() { shape.elements(1) } else { 0 };
        let fixed = if shape.has_rows() { 0 } else { shape.elements(0) };
        self.constant(&format!("{name}_PER_ROW"), per_row).constant(&format!("{name}_FIXED"), fixed)
    }

    /// Adds a size that is one dimension.
    pub fn dimension(self, name: &str, dim: Dim) -> Kernel {
        self.size(name, &Shape(vec![dim]))
    }

    /// Puts `text` in place of the line `//@ marker`, wherever it stands.
    pub fn printed(mut self, marker: &'static str, text: String) -> Kernel {
        self.printed.push((marker, text));
        self
    }

    /// The constants, in the order added.
    pub fn constants(&self) -> &[(String, String)] {
        &self.constants
    }

    /// The whole text for the compiler: prelude, then the kernel with its printed lines, and with the
    /// file `kernels/<name>.cuh` in place of a line `//@ <name>.cuh`.
    pub fn source(&self) -> String {
        let mut source = embedded("prelude.cuh").to_string();
        self.expand(self.text, &mut source);
        source
    }

    /// Appends `text` with what its marked lines stand for.
    fn expand(&self, text: &str, source: &mut String) {
        for line in text.lines() {
            let marker = line.trim_start().strip_prefix("//@ ");
            let printed = self.printed.iter().find(|(name, _)| Some(*name) == marker);
            match (printed, marker.filter(|name| name.ends_with(".cuh"))) {
                (Some((_, text)), _) => self.expand(text, source),
                (None, Some(file)) => self.expand(embedded(file), source),
                (None, None) => {
                    source.push_str(line);
                    source.push('\n');
                }
            }
        }
    }
}

/// What a kernel is given; all are addresses on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Argument {
    /// The control block.
    Live,
    /// An input of the step.
    Input(usize),
    /// An output of the step.
    Output(usize),
    /// The step's scratch memory from this byte on, a multiple of 256.
    Scratch(usize),
    /// Counters ([`Launches::tickets`] of them) that are zero when a step begins; a kernel that
    /// counts with them leaves them at zero.
    Tickets,
}

/// One kernel launch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Launch {
    /// The kernel.
    pub kernel: Kernel,
    /// Name of the entry in it.
    pub entry: &'static str,
    /// Blocks in each direction, for the plan's capacity.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Dynamic shared memory of a block, in bytes.
    pub shared: u32,
    /// What it is given, in order.
    pub arguments: Vec<Argument>,
}

/// The CUDA form of one step: launches in order, each after the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launches {
    /// The launches.
    pub list: Vec<Launch>,
    /// Bytes of scratch memory that they share.
    pub scratch: usize,
    /// Number of `u32` counters, see [`Argument::Tickets`].
    pub tickets: usize,
}

impl Launches {
    /// One launch without scratch memory.
    pub fn one(launch: Launch) -> Launches {
        Launches { list: vec![launch], ..Launches::default() }
    }
}

/// What launches may depend on besides shapes. The order of additions follows from this and the
/// shapes alone, so cards of one compute capability give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Compute capability, such as `(9, 0)`.
    pub capability: (u32, u32),
}

impl Target {
    /// Multiprocessors of a usual card of this capability: what grids and the splits of long sums
    /// are sized for.
    pub fn multiprocessors(&self) -> usize {
        match self.capability {
            (7, _) => 72,
            (8, 0) => 108,
            (8, 6 | 7) => 84,
            (8, _) => 128,
            (9, _) => 132,
            (10, _) => 148,
            _ => 170,
        }
    }

    /// Blocks of a launch whose threads walk over `items` by grid-sized strides.
    pub fn blocks(&self, items: usize, threads: u32) -> u32 {
        let most = self.multiprocessors() * (2048 / threads as usize);
        items.div_ceil(threads as usize).clamp(1, most) as u32
    }
}

/// Whether indices of these shapes need 64 bits; the constant `WIDE` of the prelude.
pub fn is_wide<'a>(shapes: impl IntoIterator<Item = &'a Shape>, capacity: usize) -> bool {
    shapes.into_iter().any(|shape| shape.elements(capacity) > i32::MAX as usize)
}
