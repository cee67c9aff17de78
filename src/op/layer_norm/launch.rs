//! The CUDA forms of layer norm and root mean square norm: `kernels/layer_norm.cu`.

use crate::op::CallTypes;
use crate::op::launch::{Argument, Kernel, Launches, Target};
use crate::op::rows::{RowLaunch, Rows};

/// What `kernels/layer_norm.cu` is given where the op has no such operand; it does not touch it.
const ABSENT: Argument = Argument::Input(0);

/// Sets of blocks whose sums of the parameters' gradients are added up side by side.
const SETS: usize = 16;
/// Threads that a multiprocessor has at once in the gradient, which holds many registers.
const RESIDENT: usize = 512;

fn kernel(centred: bool, weight: bool, bias: bool, epsilon: f64, gradients: usize) -> Kernel {
    Kernel::new("layer_norm")
        .constant("GRADIENTS", gradients)
        .constant("CENTRED", u32::from(centred))
        .constant("WEIGHT", u32::from(weight))
        .constant("BIAS", u32::from(bias))
        .float("EPSILON", epsilon as f32)
}

/// Of a norm over the last `axes` dimensions.
pub(in crate::op) fn forward(
    (types, capacity, target): (&CallTypes, usize, &Target),
    axes: usize,
    epsilon: f64,
    centred: bool,
) -> Launches {
    let input = |i| if i < types.inputs.len() { Argument::Input(i) } else { ABSENT };
    let mut arguments = vec![input(0), input(1), input(2), Argument::Output(0)];
    arguments.push(if centred { Argument::Output(1) } else { ABSENT });
    arguments.push(Argument::Output(1 + usize::from(centred)));
    let kernel = kernel(centred, types.inputs.len() > 1, types.inputs.len() > 2, epsilon, 0);
    let launch = RowLaunch { kernel, entry: "layer_norm", arrays: 1, arguments };
    launch.over(&Rows::new(&types.inputs[0], axes), types, capacity, target)
}

/// Of the gradients of its input and, where they are outputs, of its parameters.
pub(in crate::op) fn backward(
    (types, capacity, target): (&CallTypes, usize, &Target),
    axes: usize,
    centred: bool,
) -> Launches {
    let at = 1 + usize::from(centred);
    let weighted = types.inputs.len() > at + 2;
    let gradients = types.outputs.len();
    let mut arguments = vec![
        Argument::Input(0),
        if centred { Argument::Input(1) } else { ABSENT },
        Argument::Input(at),
        Argument::Input(at + 1),
        if weighted { Argument::Input(at + 2) } else { ABSENT },
        Argument::Output(0),
    ];
    if gradients > 1 {
        arguments.push(Argument::Output(1));
        arguments.push(if gradients > 2 { Argument::Output(2) } else { ABSENT });
        arguments.extend([Argument::Scratch(0), Argument::Tickets]);
    }
    let kernel = kernel(centred, weighted, false, 0.0, gradients).constant("SETS", SETS);
    let rows = Rows::new(&types.inputs[0], axes);
    let launch =
        RowLaunch { kernel, entry: "layer_norm_gradient", arrays: 2 * gradients.min(2), arguments };
    let mut launches = launch.over(&rows, types, capacity, target);
    if gradients > 1 {
        let launch = &mut launches.list[0];
        let most = target.multiprocessors() * (RESIDENT / launch.threads as usize).max(1);
        launch.grid[0] = launch.grid[0].min(most as u32);
        let parts = launch.grid[0] as usize + SETS;
        launches.scratch = parts * (gradients - 1) * rows.width * size_of::<f32>();
        launches.tickets = SETS + 1;
    }
    launches
}
