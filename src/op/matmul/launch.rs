//! The CUDA form: `kernels/matmul.cu` for these sizes and this tile, the epilogue printed into it.

use super::Matmul;
use super::tile::{Tile, choose, part};
use crate::op::CallTypes;
use crate::op::launch::{Argument, Kernel, Launch, Launches, Target, is_wide};
use crate::op::pointwise::{applied, loaded, parameters};
use crate::tensor::{DType, Dim, Shape, TensorType};

impl Matmul {
    /// The CUDA form with the tile that is expected to be fastest, or a given one. The tile changes no
    /// bit of the outputs.
    pub fn launches_with(
        &self,
        types: &CallTypes,
        capacity: usize,
        target: &Target,
        tile: Option<Tile>,
    ) -> Launches {
        let [a, b] = [0, 1].map(|i| &types.inputs[i].shape);
        let dims = self.dims(a, b).expect("invariant: the types were accepted");
        let sizes = dims.sizes(capacity);
        let length = part(&sizes, target);
        let parts = sizes.k.div_ceil(length).max(1);
        let tile = tile.unwrap_or_else(|| choose(&sizes, parts, target));
        let all = types.inputs.iter().chain(&types.outputs).map(|t| &t.shape);
        let elements = types.outputs[0].shape.elements(capacity);
        let (parameters, names) = parameters(types);
        let n = dims.n.fixed().expect("invariant: only the first dimension has rows");
        let kernel = tile
            .constants(parts, Kernel::new("matmul"))
            .constant("WIDE", u32::from(is_wide(all, capacity)))
            .constant("TRANSPOSE_A", u32::from(self.transpose_a))
            .constant("TRANSPOSE_B", u32::from(self.transpose_b))
            .constant("SHARED_B", u32::from(b.rank() == 2))
            .size("BATCH", &Shape(dims.batch))
            .dimension("HEIGHT", dims.m)
            .constant("WIDTH", n)
            .dimension("LENGTH", dims.k)
            .constant("PARTS", parts)
            .constant("CHUNK", length)
            .constant("STRIDE", elements)
            .printed("parameters", parameters)
            .printed("names", names)
            .printed("epilogue", self.body(types, capacity));
        let kernel = match self.row_sums {
            true => kernel.constant("ROW_SUMS", format!("y{}", types.outputs.len() - 1)),
            false => kernel,
        };
        let tiles = tile.count(&sizes);
        let mut arguments = vec![Argument::Live];
        if parts > 1 {
            arguments.extend([Argument::Scratch(0), Argument::Tickets]);
        }
        arguments.extend((0..types.inputs.len()).map(Argument::Input));
        arguments.extend((0..types.outputs.len()).map(Argument::Output));
        let launch = Launch {
            kernel,
            entry: "matmul",
            grid: [tiles.max(1) as u32, parts as u32, 1],
            threads: tile.threads() as u32,
            shared: 0,
            arguments,
        };
        let sums = if self.row_sums { sizes.m } else { 0 };
        let each = 4 * (elements + sums);
        let (scratch, tickets) = if parts > 1 { (parts * each, tiles) } else { (0, 0) };
        Launches { list: vec![launch], scratch, tickets }
    }

    /// The text that computes the outputs' `W` elements from `i` on, which begin at `column`.
    fn body(&self, types: &CallTypes, capacity: usize) -> String {
        let Some(program) = &self.epilogue else { return "    store<W>(y0, i, c);\n".into() };
        let output = &types.outputs[0].shape;
        let (mut text, mut operands) = (String::new(), vec!["c[k]".into()]);
        for (k, ty) in types.inputs.iter().enumerate().skip(2) {
            operands.push(format!("a{k}[k]"));
            if !program.reads(k - 1) {
                continue;
            }
            if is_line(ty, output) {
                text.push_str(&format!("    float a{k}[W]; load<W>(a{k}, x{k}, column);\n"));
            } else {
                text.push_str(&loaded(k, ty, output, capacity));
            }
        }
        text + &applied(program, &operands)
    }
}

/// Whether an operand has one element a column, as a bias.
fn is_line(ty: &TensorType, output: &Shape) -> bool {
    let (dims, mut output) = (ty.shape.dims(), output.dims().iter().rev());
    ty.dtype == DType::F32
        && dims.last() == output.next()
        && dims.iter().rev().skip(1).all(|d| *d == Dim::Fixed(1))
}
