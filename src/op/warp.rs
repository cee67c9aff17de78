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
        let [batch @ Dim::Rows(_), Dim::Fixed(_), Dim::Fixed(h), Dim::Fixed(w)] =
            *images.shape.dims()
        else {
            return Err(OpError(format!("warp takes f32[B, C, H, W], got {images}")));
        };
        // Positions must be exact in f32.
        if images.dtype != DType::F32 || h.max(w) > 1 << 22 {
            return Err(OpError(format!(
                "warp takes f32[B, C, H, W] with H and W up to 2^22, got {images}"
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
        let first = task * self.images_per_task();
        for (k, target) in io.output(0).chunks_mut(self.elements()).enumerate() {
            let row = first + k;
            simd::dispatch(Image {
                sizes: self.sizes,
                fill: self.fill,
                map: std::array::from_fn(|k| io.input(1 + k)[row]),
                source: &io.input(0)[row * self.elements()..][..self.elements()],
                target,
            });
        }
    }
}

/// One image, in the order of operations of `kernels/warp.cu`.
struct Image<'a> {
    sizes: [usize; 3],
    fill: f32,
    map: [f32; 6],
    source: &'a [f32],
    target: &'a mut [f32],
}

impl simd::Vectorised for Image<'_> {
    #[inline(always)]
    fn run(self) {
        let Image { sizes: [_, height, width], fill, map, source, target } = self;
        let [a, b, c, d, e, f] = map;
        let (h, w, plane) = (height as f32, width as f32, height * width);
        let (middle_x, middle_y) = ((w - 1.0) * 0.5, (h - 1.0) * 0.5);
        for i in 0..height {
            let v = i as f32 - middle_y;
            for j in 0..width {
                let u = j as f32 - middle_x;
                let (x, y) = (a * u + b * v + c + middle_x, d * u + e * v + f + middle_y);
                let x = if x > -1.0 { x.min(w) } else { -1.0 };
                let y = if y > -1.0 { y.min(h) } else { -1.0 };
                let (left, top) = (x.floor(), y.floor());
                let (s, t) = (x - left, y - top);
                let (left, top) = (left as i32, top as i32);
                let whole = left >= 0 && top >= 0 && left + 1 < width as i32;
                let whole = whole && top + 1 < height as i32;
                let at = (top.max(0) as usize) * width + left.max(0) as usize;
                let planes = source.chunks_exact(plane).zip(target.chunks_exact_mut(plane));
                for (source, target) in planes {
                    let pixels = match source.get(at..at + width + 2) {
                        Some(pixels) if whole => {
                            [pixels[0], pixels[1], pixels[width], pixels[width + 1]]
                        }
                        _ => edge(source, [height, width], [top, left], fill),
                    };
                    let upper = (1.0 - s) * pixels[0] + s * pixels[1];
                    let lower = (1.0 - s) * pixels[2] + s * pixels[3];
                    target[i * width + j] = (1.0 - t) * upper + t * lower;
                }
            }
        }
    }
}

/// The four pixels from a place on, of which some may lie outside.
fn edge(plane: &[f32], [height, width]: [usize; 2], at: [i32; 2], fill: f32) -> [f32; 4] {
    [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(down, right)| {
        let (y, x) = (usize::try_from(at[0] + down), usize::try_from(at[1] + right));
        match (y, x) {
            (Ok(y), Ok(x)) if y < height && x < width => plane[y * width + x],
            _ => fill,
        }
    })
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
