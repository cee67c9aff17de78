//! The contract between an op's fast CPU form and the executor's threads.
//!
//! A kernel is a list of phases; a phase is a number of tasks that may run in any order, on any
//! thread. Each task owns a piece of every output, told as data ([`Split`]) so that two tasks can
//! never own the same element; inputs are shared. Tasks depend on shapes alone, so the bits do not
//! depend on the number of threads. Threads meet between phases, unless a kernel says that two do not
//! touch what the other writes ([`CpuKernel::is_apart`]).

use crate::cpu::tile::TileMut;

/// What changes from step to step while the plan stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Rows of the batch in use, at most the plan's capacity.
    pub rows: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Counter of forward passes, which random numbers are keyed by.
    pub step: u64,
}

/// Which buffer of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// An output of the step.
    Output(usize),
    /// The kernel's shared scratch buffer.
    Scratch,
}

/// How the tasks of a phase share one output or the scratch buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Not written in this phase; every task may read it.
    Read,
    /// Task `t` owns elements `t * n .. (t + 1) * n`, cut at the end.
    Chunks(usize),
    /// The buffer is a stack of row-major matrices; task `t` owns one tile of one of them. Tiles
    /// are numbered matrix by matrix, across or down it first.
    Tiles {
        /// Rows of a matrix.
        rows: usize,
        /// Columns of a matrix.
        columns: usize,
        /// Rows of a tile; the last may be smaller.
        tile_rows: usize,
        /// Columns of a tile; the last may be smaller.
        tile_columns: usize,
        /// Whether the next tile is the one below, not the one to the right.
        down_first: bool,
    },
}

impl Split {
    /// The task that owns an element.
    pub fn task(&self, element: usize) -> Option<usize> {
        match *self {
            Split::Read => None,
            Split::Chunks(length) => Some(element / length),
            Split::Tiles { rows, columns, tile_rows, tile_columns, down_first } => {
                let (matrix, element) = (element / (rows * columns), element % (rows * columns));
                let (down, across) = (rows.div_ceil(tile_rows), columns.div_ceil(tile_columns));
                let (i, j) = (element / columns / tile_rows, element % columns / tile_columns);
                let tile = if down_first { j * down + i } else { i * across + j };
                Some(matrix * down * across + tile)
            }
        }
    }
}

/// The fast CPU form of one step.
pub trait CpuKernel: Send + Sync {
    /// Number of phases; from shapes and live rows alone.
    fn phases(&self, live: &Live) -> usize {
        let _ = live;
        1
    }

    /// Number of tasks of a phase; from shapes and live rows alone.
    fn tasks(&self, phase: usize, live: &Live) -> usize;

    /// Whether a phase has nothing to do with the one before: it reads nothing that was written there,
    /// and writes nothing that was read or written there. Threads need not meet between them.
    fn is_apart(&self, phase: usize) -> bool {
        let _ = phase;
        false
    }

    /// The input of which a task reads the elements that it writes of its outputs, and not much else.
    /// The executor may leave such a task to the thread that made those elements.
    fn follows(&self) -> Option<usize> {
        None
    }

    /// How the tasks of a phase share a buffer.
    fn split(&self, phase: usize, operand: Operand, live: &Live) -> Split;

    /// Runs one task.
    fn run(&self, phase: usize, task: usize, live: &Live, io: &mut TaskIo<'_>);

    /// Length of the scratch buffer that all tasks and phases share, in `f32`, for `rows` rows.
    fn scratch(&self, rows: usize) -> usize {
        let _ = rows;
        0
    }

    /// Length of the scratch buffer that each thread has for itself, in `f32`.
    fn thread_scratch(&self) -> usize {
        0
    }
}

/// A buffer's elements, shared.
#[derive(Clone, Copy)]
pub enum Shared<'a> {
    /// Single-precision floats.
    F32(&'a [f32]),
    /// Unsigned integers.
    U32(&'a [u32]),
}

/// The piece of a buffer that a task owns, or the whole of it to read.
pub enum Piece<'a> {
    /// Not written in this phase.
    Read(Shared<'a>),
    /// Consecutive floats.
    F32(&'a mut [f32]),
    /// Consecutive integers.
    U32(&'a mut [u32]),
    /// A tile of a matrix of floats.
    Tile(TileMut<'a>),
}

/// What hands buffers to a task. The executor implements it.
pub trait Buffers {
    /// Input `i`, live rows only.
    fn input(&self, i: usize) -> Shared<'_>;
    /// The task's piece of an output or of the scratch buffer. Each is handed out once per task.
    fn piece(&self, operand: Operand) -> Piece<'_>;
}

/// Buffers of one task.
pub struct TaskIo<'a> {
    buffers: &'a dyn Buffers,
    thread_scratch: &'a mut [f32],
}

impl<'a> TaskIo<'a> {
    /// The buffers of one task, with its thread's scratch.
    pub fn new(buffers: &'a dyn Buffers, thread_scratch: &'a mut [f32]) -> Self {
        TaskIo { buffers, thread_scratch }
    }

    /// Input `i` as floats, live rows only.
    ///
    /// # Panics
    /// If it holds integers: an op asks for what its own type rule allowed.
    pub fn input(&self, i: usize) -> &'a [f32] {
        match self.buffers.input(i) {
            Shared::F32(slice) => slice,
            Shared::U32(_) => panic!("invariant: input {i} was typed as floats"),
        }
    }

    /// Input `i` as integers, live rows only.
    ///
    /// # Panics
    /// If it holds floats.
    pub fn input_u32(&self, i: usize) -> &'a [u32] {
        match self.buffers.input(i) {
            Shared::U32(slice) => slice,
            Shared::F32(_) => panic!("invariant: input {i} was typed as integers"),
        }
    }

    /// Input `i` of either type.
    pub fn input_any(&self, i: usize) -> Shared<'a> {
        self.buffers.input(i)
    }

    /// The task's chunk of output `i`. Take each output once.
    ///
    /// # Panics
    /// If the output is not split into chunks of floats in this phase.
    pub fn output(&self, i: usize) -> &'a mut [f32] {
        self.chunk(Operand::Output(i))
    }

    /// The task's chunk of output `i`, of integers.
    ///
    /// # Panics
    /// If the output is not split into chunks of integers in this phase.
    pub fn output_u32(&self, i: usize) -> &'a mut [u32] {
        match self.buffers.piece(Operand::Output(i)) {
            Piece::U32(slice) => slice,
            _ => panic!("invariant: output {i} is split into chunks of integers"),
        }
    }

    /// The task's tile of output `i`.
    ///
    /// # Panics
    /// If the output is not split into tiles in this phase.
    pub fn tile(&self, i: usize) -> TileMut<'a> {
        match self.buffers.piece(Operand::Output(i)) {
            Piece::Tile(tile) => tile,
            _ => panic!("invariant: output {i} is split into tiles"),
        }
    }

    /// All of output `i`, which an earlier phase wrote.
    ///
    /// # Panics
    /// If the output is written in this phase.
    pub fn written(&self, i: usize) -> &'a [f32] {
        self.shared(Operand::Output(i))
    }

    /// The task's chunk of the shared scratch buffer.
    ///
    /// # Panics
    /// If the scratch buffer is not split into chunks in this phase.
    pub fn scratch(&self) -> &'a mut [f32] {
        self.chunk(Operand::Scratch)
    }

    /// All of the shared scratch buffer, which an earlier phase wrote.
    ///
    /// # Panics
    /// If the scratch buffer is written in this phase.
    pub fn written_scratch(&self) -> &'a [f32] {
        self.shared(Operand::Scratch)
    }

    /// Scratch of the thread alone, at least as long as [`CpuKernel::thread_scratch`] says, with
    /// whatever the last task left in it. Take it once.
    pub fn thread_scratch(&mut self) -> &'a mut [f32] {
        std::mem::take(&mut self.thread_scratch)
    }

    fn chunk(&self, operand: Operand) -> &'a mut [f32] {
        match self.buffers.piece(operand) {
            Piece::F32(slice) => slice,
            _ => panic!("invariant: {operand:?} is split into chunks of floats"),
        }
    }

    fn shared(&self, operand: Operand) -> &'a [f32] {
        match self.buffers.piece(operand) {
            Piece::Read(Shared::F32(slice)) => slice,
            _ => panic!("invariant: {operand:?} is read in this phase"),
        }
    }
}
