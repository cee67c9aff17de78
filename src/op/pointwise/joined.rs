//! Instructions that often follow each other, as one loop: what lies between them stays in registers
//! of the processor. Every operation rounds for itself, in the same order, so the bits are the same.

use super::code::{Instruction, OPERANDS, Place, Work};
use crate::op::expression::{Binary, Unary};

/// What a loop computes; `o` is the target's own content, `x`, `y`, .. are the operands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Joined {
    /// `o + (x − o) y`: a moving average.
    Average,
    /// `o y + (x x) z`: that of the squares.
    AverageOfSquares,
    /// `o − (u v) / (√x y + z)`: the step of Adam.
    AdamStep,
    /// `w − (u v) / (√x y + z)`: the same from elsewhere, as after a decay of weights.
    AdamStepFrom,
    /// `o − x y`: gradient descent.
    Descent,
    /// `o y + x`: momentum.
    Momentum,
    /// `o + x`, or `z` where that is not above `y`: a bias and ReLU.
    BiasRelu,
    /// `o`, or `z` where `x` is not above `y`: the derivative of ReLU.
    ReluGradient,
}

/// A place in a pattern.
#[derive(Clone, Copy)]
enum Slot {
    /// Operand of the loop.
    In(usize),
    /// A register that nobody else reads.
    Between(usize),
    /// The target of the last instruction.
    Own,
}

type Pattern = &'static [(Work, &'static [Slot], Slot)];

#[rustfmt::skip]
const PATTERNS: &[(Joined, Pattern)] = {
    use Binary::{Add, Div, LessEqual, Mul, Sub};
    use Slot::{Between, In, Own};
    use Work::{AddTo, Binary as Two, Copy, Pair, Select, SubtractFrom, Unary as One};
    &[
        (Joined::Average, &[
            (Pair(Sub, Mul), &[In(0), Own, In(1)], Between(0)),
            (AddTo, &[Between(0)], Own),
        ]),
        (Joined::AverageOfSquares, &[
            (Two(Mul), &[Own, In(1)], Between(0)),
            (Pair(Mul, Mul), &[In(0), In(0), In(2)], Between(1)),
            (Two(Add), &[Between(0), Between(1)], Own),
        ]),
        (Joined::AdamStep, &[
            (One(Unary::Sqrt), &[In(0)], Between(0)),
            (Pair(Mul, Add), &[Between(0), In(1), In(2)], Between(1)),
            (Pair(Mul, Div), &[In(3), In(4), Between(1)], Between(2)),
            (SubtractFrom, &[Between(2)], Own),
        ]),
        (Joined::AdamStepFrom, &[
            (One(Unary::Sqrt), &[In(0)], Between(0)),
            (Pair(Mul, Add), &[Between(0), In(1), In(2)], Between(1)),
            (Pair(Mul, Div), &[In(3), In(4), Between(1)], Between(2)),
            (Two(Sub), &[In(5), Between(2)], Own),
        ]),
        (Joined::Descent, &[
            (Two(Mul), &[In(0), In(1)], Between(0)),
            (SubtractFrom, &[Between(0)], Own),
        ]),
        (Joined::Momentum, &[
            (Two(Mul), &[Own, In(1)], Between(0)),
            (Two(Add), &[Between(0), In(0)], Own),
        ]),
        (Joined::BiasRelu, &[
            (Two(Add), &[Own, In(0)], Between(0)),
            (Two(LessEqual), &[Between(0), In(1)], Between(1)),
            (Select, &[Between(1), In(2), Between(0)], Own),
        ]),
        (Joined::ReluGradient, &[
            (Two(LessEqual), &[In(0), In(1)], Between(0)),
            (Select, &[Between(0), In(2), Own], Between(1)),
            (Copy, &[Between(1)], Own),
        ]),
    ]
};

/// Puts single loops in place of the instructions that they stand for.
pub(super) fn join(instructions: Vec<Instruction<Place>>) -> Vec<Instruction<Place>> {
    let mut done = Vec::new();
    let mut rest = &instructions[..];
    while let [first, later @ ..] = rest {
        let found = PATTERNS.iter().find_map(|&(joined, pattern)| {
            let (window, after) = rest.split_at_checked(pattern.len())?;
            Some((fit(joined, pattern, window, after)?, after))
        });
        let (instruction, after) = found.unwrap_or((*first, later));
        done.push(instruction);
        rest = after;
    }
    done
}

/// The loop for a window of instructions, if they are those of the pattern.
fn fit(
    joined: Joined,
    pattern: Pattern,
    window: &[Instruction<Place>],
    after: &[Instruction<Place>],
) -> Option<Instruction<Place>> {
    let own = window.last()?.target;
    let (mut inputs, mut between) = ([None; OPERANDS], [None; 3]);
    let bind = |slot: &mut Option<Place>, place| *slot.get_or_insert(place) == place;
    for (instruction, (work, operands, target)) in window.iter().zip(pattern) {
        let mut fits = |slot: Slot, place: Place, written: bool| match slot {
            Slot::In(i) => !written && place != own && bind(&mut inputs[i], place),
            Slot::Between(i) => {
                matches!(place, Place::Register(_)) && place != own && bind(&mut between[i], place)
            }
            Slot::Own => place == own,
        };
        let read = operands.iter().zip(instruction.operands);
        let same = instruction.work == *work
            && read.into_iter().all(|(slot, place)| fits(*slot, place, false))
            && fits(*target, instruction.target, true);
        if !same {
            return None;
        }
    }
    // What is between is not written before it is read as an operand, nor read by anybody else.
    let registers = || between.iter().flatten();
    let clash = registers().any(|r| inputs.contains(&Some(*r)) || is_read(*r, after));
    let first = inputs[0]?;
    let operands = inputs.map(|place| place.unwrap_or(first));
    (!clash).then_some(Instruction { work: Work::Joined(joined), operands, target: own })
}

/// Whether a register's content is read before it is written anew.
fn is_read(register: Place, instructions: &[Instruction<Place>]) -> bool {
    for instruction in instructions {
        if instruction.operands.contains(&register) && !matches!(instruction.work, Work::Uniform(_))
        {
            return true;
        }
        if instruction.target == register {
            return false;
        }
    }
    false
}

const LANES: usize = 16;

#[inline(always)]
fn copied(x: &[f32]) -> [f32; LANES] {
    let mut group = [0.0; LANES];
    group.copy_from_slice(&x[..LANES]);
    group
}

/// Runs a loop over a chunk.
#[inline(always)]
pub(super) fn run(joined: Joined, [x, y, z, u, v, w]: [&[f32]; OPERANDS], out: &mut [f32]) {
    // Whole groups are copied first: a choice is then one of values and not of places to load from.
    macro_rules! each {
        (|$o:ident $(, $name:ident)*| $value:expr) => {{
            let n = out.len();
            $(let $name = &$name[..n];)*
            let whole = n / LANES * LANES;
            for start in (0..whole).step_by(LANES) {
                let mut group: [f32; LANES] = copied(&out[start..]);
                $(let $name: [f32; LANES] = copied(&$name[start..]);)*
                for i in 0..LANES {
                    let $o = group[i];
                    $(let $name = $name[i];)*
                    group[i] = $value;
                }
                out[start..][..LANES].copy_from_slice(&group);
            }
            for i in whole..n {
                let $o = out[i];
                $(let $name = $name[i];)*
                out[i] = $value;
            }
        }};
    }
    match joined {
        Joined::Average => each!(|o, x, y| o + (x - o) * y),
        Joined::AverageOfSquares => each!(|o, x, y, z| o * y + (x * x) * z),
        Joined::AdamStep => each!(|o, x, y, z, u, v| o - (u * v) / (x.sqrt() * y + z)),
        Joined::AdamStepFrom => each!(|_o, x, y, z, u, v, w| w - (u * v) / (x.sqrt() * y + z)),
        Joined::Descent => each!(|o, x, y| o - x * y),
        Joined::Momentum => each!(|o, x, y| o * y + x),
        Joined::BiasRelu => each!(|o, x, y, z| {
            let sum = o + x;
            if sum <= y { z } else { sum }
        }),
        Joined::ReluGradient => each!(|o, x, y, z| if x <= y { z } else { o }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::code::parts;
    use super::*;
    use crate::op::expression::{Expr, Program};
    use crate::plan::UpdateRule;

    /// The loops of a program whose operands from `given` on are old contents, and those before, but
    /// the first, scalars.
    fn joined(program: &Program, given: usize, scalars: bool) -> Vec<Work> {
        let single = |k: usize| scalars && k > 0 && k < given;
        let parts = parts(program, single, |k| k.checked_sub(given));
        parts.codes[0].instructions.iter().map(|i| i.work).collect()
    }

    fn of_rule(rule: &UpdateRule) -> Vec<Work> {
        joined(&rule.program, 1 + rule.scalars.len(), true)
    }

    #[test]
    fn what_trains_most_models_is_joined() {
        use crate::optim::{Adam, AdamW, Optimizer, Sgd};
        let works = |all: &[Joined]| all.iter().map(|j| Work::Joined(*j)).collect::<Vec<_>>();
        let adam = [Joined::Average, Joined::AverageOfSquares, Joined::AdamStep];
        assert_eq!(of_rule(&Adam::new(1e-3).rule()), works(&adam));
        let decayed = of_rule(&AdamW::new(1e-3).rule());
        let from = [Joined::Average, Joined::AverageOfSquares, Joined::AdamStepFrom];
        assert_eq!(decayed[2..], works(&from));
        assert_eq!(of_rule(&Sgd::new(0.1).rule()), works(&[Joined::Descent]));
        let momentum = of_rule(&Sgd::new(0.1).momentum(0.9).rule());
        assert_eq!(momentum, works(&[Joined::Momentum, Joined::Descent]));

        let [x, y] = [0, 1].map(Expr::input);
        let sum = &y + &x;
        let relu = sum.less_equal(0.0).select(0.0, &sum);
        assert_eq!(joined(&Program::new(2, &[relu]), 1, false), works(&[Joined::BiasRelu]));
        let slope = x.less_equal(0.0).select(0.0, &y);
        assert_eq!(joined(&Program::new(2, &[slope]), 1, false), works(&[Joined::ReluGradient]));
    }

    #[test]
    fn what_is_read_again_is_not_joined() {
        let [x, y] = [0, 1].map(Expr::input);
        let sum = &y + &x;
        let both = [sum.less_equal(0.0).select(0.0, &sum), sum.sqrt()];
        let works = joined(&Program::new(2, &both), 1, false);
        assert!(!works.contains(&Work::Joined(Joined::BiasRelu)), "{works:?}");
    }
}
