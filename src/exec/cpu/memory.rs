//! Arenas, and the pieces of them that tasks get.
//!
//! All aliasing rests on three facts. The plan is verified: live buffers do not overlap, and no step
//! reads and writes the same elements. [`Split`] tells the pieces of a phase as data, by one rule for
//! all tasks, so that two tasks never own the same element. And steps between which the threads do not
//! meet touch no memory that one of them writes: `walk.rs` compares where their buffers lie.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::marker::PhantomData;

use crate::cpu::tile::TileMut;
use crate::error::DeviceError;
use crate::exec::FeedMut;
use crate::op::kernel::{Buffers, Piece, Shared};
use crate::op::{CpuKernel, Live, Operand, Split};
use crate::plan::ALIGNMENT;
use crate::tensor::{DType, TensorType};

#[derive(Clone, Copy)]
#[repr(align(256))]
struct Block(#[allow(dead_code)] [u8; ALIGNMENT]);

/// Zeroed memory whose beginning is aligned to [`ALIGNMENT`].
pub(super) struct Arena {
    blocks: Box<[Block]>,
}

impl Arena {
    pub(super) fn new(bytes: usize) -> Result<Self, DeviceError> {
        let count = bytes.div_ceil(ALIGNMENT).max(1);
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(count).map_err(|_| DeviceError::OutOfMemory {
            device: "cpu".into(),
            needed: bytes as u64,
            free: None,
            largest_batch: None,
        })?;
        blocks.resize(count, Block([0; ALIGNMENT]));
        Ok(Arena { blocks: blocks.into_boxed_slice() })
    }

    fn base(&mut self) -> *mut u8 {
        self.blocks.as_mut_ptr().cast()
    }

    fn check(&self, view: &View, rows: usize) -> usize {
        let elements = view.ty.shape.elements(rows);
        let end = view.offset + elements * view.ty.dtype.size();
        assert!(end <= self.blocks.len() * ALIGNMENT, "invariant: buffers lie in their arena");
        elements
    }

    /// A buffer's elements, rows in use only.
    pub(super) fn get(&self, view: &View, rows: usize) -> &[f32] {
        let elements = self.check(view, rows);
        // SAFETY: in bounds by `check`, aligned since offsets are multiples of 4, initialised since
        // the arena begins as zeros; `&self` keeps writers away.
        unsafe {
            let start = self.blocks.as_ptr().cast::<u8>().add(view.offset);
            std::slice::from_raw_parts(start.cast::<f32>(), elements)
        }
    }

    /// A buffer's elements to write, rows in use only.
    pub(super) fn get_mut(&mut self, view: &View, rows: usize) -> FeedMut<'_> {
        let elements = self.check(view, rows);
        // SAFETY: as in `get`; `&mut self` makes the borrow exclusive.
        unsafe {
            let start = self.base().add(view.offset);
            match view.ty.dtype {
                DType::U32 => FeedMut::U32(std::slice::from_raw_parts_mut(start.cast(), elements)),
                _ => FeedMut::F32(std::slice::from_raw_parts_mut(start.cast(), elements)),
            }
        }
    }
}

/// Which arena a buffer lies in, where, and its type.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) lasting: bool,
    pub(super) offset: usize,
    pub(super) ty: TensorType,
}

/// One step, ready to run.
pub(super) struct Prepared {
    pub(super) kernel: Box<dyn CpuKernel>,
    pub(super) inputs: Vec<View>,
    pub(super) outputs: Vec<View>,
    /// Whether the first member runs all of it.
    pub(super) single: bool,
    /// Whether all members meet before it.
    pub(super) meets: bool,
    /// Who runs which tasks, if not whoever comes first.
    pub(super) tasks_of: Option<Vec<Vec<usize>>>,
}

/// The memory of one run: both arenas, the shared and the threads' scratch, borrowed exclusively.
#[derive(Clone, Copy)]
pub(super) struct Memory<'a> {
    lasting: *mut u8,
    own: *mut u8,
    scratch: *mut f32,
    scratch_length: usize,
    thread_scratch: *mut f32,
    thread_length: usize,
    threads: usize,
    arenas: PhantomData<&'a mut Arena>,
}

// SAFETY: the pointers stand for exclusive borrows of the arenas; what threads do with them is
// governed by `Task`, which hands out disjoint pieces.
unsafe impl Send for Memory<'_> {}
// SAFETY: as above.
unsafe impl Sync for Memory<'_> {}

impl<'a> Memory<'a> {
    pub(super) fn new(
        lasting: &'a mut Arena,
        own: &'a mut Arena,
        scratch: &'a mut Arena,
        thread_scratch: &'a mut Arena,
        threads: usize,
    ) -> Self {
        let bytes = thread_scratch.blocks.len() * ALIGNMENT / threads / ALIGNMENT * ALIGNMENT;
        Memory {
            lasting: lasting.base(),
            own: own.base(),
            scratch_length: scratch.blocks.len() * ALIGNMENT / 4,
            scratch: scratch.base().cast(),
            thread_scratch: thread_scratch.base().cast(),
            thread_length: bytes / 4,
            threads,
            arenas: PhantomData,
        }
    }

    /// The scratch of one thread.
    ///
    /// # Safety
    /// Only thread `index` calls this, and drops the slice before it calls it again.
    unsafe fn thread_scratch(&self, index: usize) -> &'a mut [f32] {
        assert!(index < self.threads);
        // SAFETY: the arena holds `threads` such slices; the caller keeps them apart.
        unsafe {
            let start = self.thread_scratch.add(index * self.thread_length);
            std::slice::from_raw_parts_mut(start, self.thread_length)
        }
    }

    fn start(&self, view: &View) -> *mut u8 {
        let base = if view.lasting { self.lasting } else { self.own };
        // SAFETY: the plan's offsets lie in its arenas, which `load` allocated at that size.
        unsafe { base.add(view.offset) }
    }

    /// Runs one task of a prepared step on thread `thread`.
    ///
    /// # Safety
    /// Each task of a phase runs once; phases and steps that run at the same time write no memory that
    /// another of them reads or writes; and only thread `thread` passes this index. The step's buffers
    /// are as the plan was verified to have them.
    pub(super) unsafe fn run_task(
        &self,
        step: &Prepared,
        phase: usize,
        task: usize,
        live: &Live,
        thread: usize,
    ) {
        let buffers = Task { memory: *self, step, phase, task, live, taken: Cell::new(0) };
        // SAFETY: passed on from the caller; the slice ends with this call.
        let scratch = unsafe { self.thread_scratch(thread) };
        let mut io = crate::op::TaskIo::new(&buffers, scratch);
        step.kernel.run(phase, task, live, &mut io);
    }
}

struct Task<'a> {
    memory: Memory<'a>,
    step: &'a Prepared,
    phase: usize,
    task: usize,
    live: &'a Live,
    /// Which operands were handed out, so that none is handed out twice.
    taken: Cell<u64>,
}

impl Task<'_> {
    fn take(&self, operand: Operand) {
        let bit = match operand {
            Operand::Scratch => 63,
            Operand::Output(i) => i,
        };
        let taken = self.taken.get();
        assert!(bit < 64 && taken & (1 << bit) == 0, "invariant: {operand:?} is taken once");
        self.taken.set(taken | 1 << bit);
    }

    /// Start, elements and type of an operand.
    fn operand(&self, operand: Operand) -> (*mut u8, usize, DType) {
        match operand {
            Operand::Output(i) => {
                let view = &self.step.outputs[i];
                let elements = view.ty.shape.elements(self.live.rows);
                (self.memory.start(view), elements, view.ty.dtype)
            }
            Operand::Scratch => {
                let elements = self.step.kernel.scratch(self.live.rows);
                let room = self.memory.scratch_length;
                assert!(elements <= room, "invariant: fewer rows need no more scratch");
                (self.memory.scratch.cast(), elements, DType::F32)
            }
        }
    }

    fn shared<'b>(&self, start: *const u8, elements: usize, dtype: DType) -> Shared<'b> {
        // SAFETY: in bounds and initialised as in `Arena::get`; nobody writes it now. In this phase: an
        // input by the plan's rule `inputs_apart_from_outputs`, an output or the scratch since its
        // split in this phase is `Read` for every task. In another phase or step: by the caller of
        // `run_task`.
        unsafe {
            match dtype {
                DType::U32 => Shared::U32(std::slice::from_raw_parts(start.cast(), elements)),
                _ => Shared::F32(std::slice::from_raw_parts(start.cast(), elements)),
            }
        }
    }
}

impl Buffers for Task<'_> {
    fn input(&self, i: usize) -> Shared<'_> {
        let view = &self.step.inputs[i];
        let elements = view.ty.shape.elements(self.live.rows);
        self.shared(self.memory.start(view), elements, view.ty.dtype)
    }

    fn piece(&self, operand: Operand) -> Piece<'_> {
        let (start, elements, dtype) = self.operand(operand);
        match self.step.kernel.split(self.phase, operand, self.live) {
            Split::Read => Piece::Read(self.shared(start, elements, dtype)),
            Split::Chunks(length) => {
                self.take(operand);
                let first = self.task.saturating_mul(length).min(elements);
                let count = length.min(elements - first);
                // SAFETY: in bounds; chunks of different tasks are disjoint, and `take` refuses a
                // second one in this task.
                unsafe {
                    match dtype {
                        DType::U32 => {
                            let start = start.cast::<u32>().add(first);
                            Piece::U32(std::slice::from_raw_parts_mut(start, count))
                        }
                        _ => {
                            let start = start.cast::<f32>().add(first);
                            Piece::F32(std::slice::from_raw_parts_mut(start, count))
                        }
                    }
                }
            }
            Split::Tiles { rows, columns, tile_rows, tile_columns, down_first } => {
                self.take(operand);
                let across = columns.div_ceil(tile_columns);
                let down = rows.div_ceil(tile_rows);
                let (matrix, tile) = (self.task / (across * down), self.task % (across * down));
                let (i, j) = if down_first {
                    (tile % down, tile / down)
                } else {
                    (tile / across, tile % across)
                };
                let (top, left) = (i * tile_rows, j * tile_columns);
                let (height, width) = (tile_rows.min(rows - top), tile_columns.min(columns - left));
                let first = matrix * rows * columns + top * columns + left;
                let end = first + (height - 1) * columns + width;
                assert!(end <= elements, "invariant: a tile lies in its buffer");
                // SAFETY: in bounds; tiles of different tasks are disjoint, and `take` refuses a
                // second one in this task.
                unsafe {
                    let start = start.cast::<f32>().add(first);
                    Piece::Tile(TileMut::from_raw(start, height, width, columns))
                }
            }
        }
    }
}
