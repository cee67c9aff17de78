//! Affine maps of images, one for each row, with bilinear sampling: flips, shifts, rotations, scales
//! and shears in one step.
//!
//! Pixels are told by their offset from the image's centre, `u = j − (W − 1) / 2` to the right and
//! `v = i − (H − 1) / 2` downwards, so that flips and whole shifts are exact copies. Pixel `(u, v)` of
//! the output is what the input has at `(a u + b v + c, d u + e v + f)`, between four pixels by
//! bilinear weights; beyond its edges the input is `fill`. That is PyTorch's `grid_sample` on
//! `affine_grid` of `[[a, b H/W, 2c/W], [d W/H, e, 2f/H]]` with `align_corners=False`.

use serde::{Deserialize, Serialize};

use super::launch::{Argument, Kernel as CudaKernel, Launch, Launches, Target, is_wide};
use super::{
    CallTypes, Case, CpuKernel, Family, Gradient, Live, Op, OpError, Operand, ReferenceCall, Split,
    TaskIo,
};
use crate::cpu::simd;
use crate::tensor::{DType, Dim, Shape, TensorType};

/// Inputs: images `[B, C, H, W]`, then a, b, c, d, e and f `[B]`. Output: the images' shape.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warp {
    /// What stands beyond the edges.
    pub fill: f32,
}

/// Channels, height and width.
fn sizes(types: &CallTypes) -> [usize; 3] {
    let dims = types.inputs[0].shape.dims();
    [dims[1].size(1), dims[2].size(1), dims[3].size(1)]
}

impl Op for Warp {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let [images, map @ ..] = inputs else {
            return Err(OpError("warp takes images and six numbers a row, got nothing".into()));
        };
        let [batch @ Dim::Rows(_), Dim::Fixed(channels), Dim::Fixed(h), Dim::Fixed(w)] =
            *images.shape.dims()
        else {
            return Err(OpError(format!("warp takes f32[B, C, H, W], got {images}")));
        };
        // Positions must be exact in f32, and places of a plane in 32 bits.
        let large = h.max(w) > 1 << 22 || h.saturating_mul(w) > 1 << 30;
        if images.dtype != DType::F32 || channels.min(h).min(w) == 0 || large {
            return Err(OpError(format!(
                "warp takes f32[B, C, H, W] with elements, H and W up to 2^22 and H W up to 2^30, \
                 got {images}"
            )));
        }
        let number = TensorType::f32(Shape(vec![batch]));
        match map.len() == 6 && map.iter().all(|ty| *ty == number) {
            true => Ok(vec![images.clone()]),
            false => Err(OpError(format!("a map is six times {number}, got {map:?}"))),
        }
    }

    fn backward(&self, _gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        Err(OpError(
            "a warp has no gradient: it is for images that are data, not for what parameters made"
                .into(),
        ))
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let [channels, height, width] = sizes(call.types);
        let (h, w, fill) = (height as f64, width as f64, f64::from(self.fill));
        let mut result = Vec::with_capacity(call.inputs[0].len());
        for (row, image) in call.inputs[0].chunks(channels * height * width).enumerate() {
            let [a, b, c, d, e, f] = std::array::from_fn(|k| call.inputs[1 + k][row]);
            for plane in image.chunks(height * width) {
                let pixel = |y: f64, x: f64| match 0.0 <= y && y < h && 0.0 <= x && x < w {
                    true => plane[y as usize * width + x as usize],
                    false => fill,
                };
                for i in 0..height {
                    for j in 0..width {
                        let (u, v) = (j as f64 - (w - 1.0) / 2.0, i as f64 - (h - 1.0) / 2.0);
                        let x = inside(a * u + b * v + c + (w - 1.0) / 2.0, w);
                        let y = inside(d * u + e * v + f + (h - 1.0) / 2.0, h);
                        let (left, top) = (x.floor(), y.floor());
                        let (s, t) = (x - left, y - top);
                        let upper = (1.0 - s) * pixel(top, left) + s * pixel(top, left + 1.0);
                        let lower =
                            (1.0 - s) * pixel(top + 1.0, left) + s * pixel(top + 1.0, left + 1.0);
                        result.push((1.0 - t) * upper + t * lower);
                    }
                }
            }
        }
        vec![result]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(Kernel { sizes: sizes(types), fill: self.fill })
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        let [channels, height, width] = sizes(types);
        let images = &types.inputs[0].shape;
        let kernel = CudaKernel::new("warp")
            .constant("WIDE", u32::from(is_wide([images], capacity)))
            .constant("CHANNELS", channels)
            .constant("HEIGHT", height)
            .constant("WIDTH", width)
            .float("FILL", self.fill)
            .size("ROWS", &types.inputs[1].shape);
        let items = capacity * height * width;
        let inputs = (0..7).map(Argument::Input);
        let arguments = std::iter::once(Argument::Live).chain(inputs).chain([Argument::Output(0)]);
        Some(Launches::one(Launch {
            kernel,
            entry: "warp",
            grid: [target.blocks(items, THREADS), 1, 1],
            threads: THREADS,
            shared: 0,
            arguments: arguments.collect(),
        }))
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        // A place of eight operations for all channels, seven for the value of each.
        let [channels, height, width] = sizes(types);
        ((8 + 7 * channels) * height * width * rows) as u64
    }
}

/// A position between −1 and the size; what is not a number stands outside too.
fn inside(x: f64, size: f64) -> f64 {
    match x > -1.0 {
        true => x.min(size),
        false => -1.0,
    }
}

/// Threads of a block of the CUDA form.
const THREADS: u32 = 256;
/// Elements per task, unless an image has more.
const ELEMENTS: usize = 1 << 12;

struct Kernel {
    sizes: [usize; 3],
    fill: f32,
}

impl Kernel {
    fn elements(&self) -> usize {
        self.sizes.iter().product()
    }

    fn images_per_task(&self) -> usize {
        (ELEMENTS / self.elements()).max(1)
    }
}

impl CpuKernel for Kernel {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        live.rows.div_ceil(self.images_per_task())
    }

    fn split(&self, _phase: usize, _operand: Operand, _live: &Live) -> Split {
        Split::Chunks(self.images_per_task() * self.elements())
    }

    fn run(&self, _phase: usize, task: usize, _live: &Live, io: &mut TaskIo<'_>) {
        let [channels, height, width] = self.sizes;
        let scratch = io.thread_scratch();
        let (padded, offsets) = scratch.split_at_mut((height + AROUND) * (width + AROUND));
        let (right, down) = offsets.split_at_mut(height * width);
        padded.fill(self.fill);
        let lines = right.chunks_exact_mut(width).zip(down.chunks_exact_mut(width));
        for (i, (right, down)) in lines.enumerate() {
            right.iter_mut().enumerate().for_each(|(j, u)| *u = j as f32 - middle(width));
            down.fill(i as f32 - middle(height));
        }
        let planes = io.input(0).chunks_exact(height * width);
        let targets = io.output(0).chunks_exact_mut(height * width);
        let first = task * self.images_per_task() * channels;
        for (n, (source, target)) in (first..).zip(planes.skip(first).zip(targets)) {
            let map = std::array::from_fn(|k| io.input(1 + k)[n / channels]);
            let (sizes, right, down, padded) = ([height, width], &*right, &*down, &mut *padded);
            simd::dispatch(Plane { sizes, map, right, down, source, padded, target });
        }
    }

    fn thread_scratch(&self) -> usize {
        let [_, height, width] = self.sizes;
        (height + AROUND) * (width + AROUND) + 2 * height * width
    }
}

/// Lines and columns around a padded plane: one before, two after. Places lie between -1 and the size,
/// so that no neighbour lies farther out.
const AROUND: usize = 3;
/// Pixels that are computed together: enough that the compiler makes vectors of them.
const TOGETHER: usize = 64;

/// The offset of an image's centre.
fn middle(size: usize) -> f32 {
    (size as f32 - 1.0) * 0.5
}

/// One plane of an image, in the order of operations of `kernels/warp.cu`.
struct Plane<'a> {
    sizes: [usize; 2],
    map: [f32; 6],
    /// How far right of the centre each pixel is, and how far below it.
    right: &'a [f32],
    down: &'a [f32],
    source: &'a [f32],
    /// For the source with what stands beyond its edges around it; filled with that before.
    padded: &'a mut [f32],
    target: &'a mut [f32],
}

impl simd::Vectorised for Plane<'_> {
    #[inline(always)]
    fn run(self) {
        let Plane { sizes: sizes @ [_, width], map, right, down, source, padded, target } = self;
        let pitch = width + AROUND;
        let lines = padded[pitch..].chunks_exact_mut(pitch).zip(source.chunks_exact(width));
        lines.for_each(|(to, from)| to[1..=width].copy_from_slice(from));
        let offsets = right.chunks(TOGETHER).zip(down.chunks(TOGETHER));
        for (target, offsets) in target.chunks_mut(TOGETHER).zip(offsets) {
            some_pixels(sizes, &map, offsets, padded, target);
        }
    }
}

#[inline(always)]
fn some_pixels(
    [height, width]: [usize; 2],
    map: &[f32; 6],
    (right, down): (&[f32], &[f32]),
    padded: &[f32],
    target: &mut [f32],
) {
    let [a, b, c, d, e, f] = *map;
    let (h, w, pitch) = (height as f32, width as f32, width + AROUND);
    let count = target.len().min(right.len()).min(down.len()).min(TOGETHER);
    let (mut s, mut t, mut at) = ([0.0; TOGETHER], [0.0; TOGETHER], [0; TOGETHER]);
    for k in 0..count {
        let (u, v) = (right[k], down[k]);
        let x = a * u + b * v + c + middle(width);
        let y = d * u + e * v + f + middle(height);
        let x = if x > -1.0 { x.min(w) } else { -1.0 };
        let y = if y > -1.0 { y.min(h) } else { -1.0 };
        let (left, top) = (x.floor(), y.floor());
        (s[k], t[k]) = (x - left, y - top);
        at[k] = whole(top + 1.0) * pitch as u32 + whole(left + 1.0);
    }
    let mut pixels = [[0.0; TOGETHER]; 4];
    for (k, &at) in at[..count].iter().enumerate() {
        let four = &padded[at as usize..][..pitch + 2];
        pixels[0][k] = four[0];
        pixels[1][k] = four[1];
        pixels[2][k] = four[pitch];
        pixels[3][k] = four[pitch + 1];
    }
    for k in 0..count {
        let upper = (1.0 - s[k]) * pixels[0][k] + s[k] * pixels[1][k];
        let lower = (1.0 - s[k]) * pixels[2][k] + s[k] * pixels[3][k];
        target[k] = (1.0 - t[k]) * upper + t[k] * lower;
    }
}

/// A whole number from 0 to 2^22 + 1: added to 2^23, it stands in the lowest bits. A cast would look
/// for what is no number, one at a time.
#[inline(always)]
fn whole(x: f32) -> u32 {
    (x + 8_388_608.0).to_bits() & 0x7f_ffff
}

impl Family for Warp {
    const NAME: &'static str = "warp";

    fn cases() -> Vec<Case> {
        let case = |fill, image: &[usize], rows| {
            let mut inputs = vec![TensorType::f32(Shape::rows(image))];
            inputs.resize(7, TensorType::f32(Shape::rows(&[])));
            Case::new(Warp { fill }, inputs, rows).gradients(&[], &[])
        };
        vec![
            case(0.0, &[1, 1, 1], 1),
            case(0.0, &[3, 5, 7], 11),
            case(-1.5, &[2, 8, 4], 13),
            case(0.25, &[1, 1, 131], 5),
            case(0.0, &[1, 37, 29], 7),
        ]
    }
}
