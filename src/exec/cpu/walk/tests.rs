use super::*;
use crate::op::{CpuKernel, TaskIo};
use crate::tensor::{Shape, TensorType};

const LIVE: Live = Live { rows: 1, seed: 0, step: 0 };

/// A step that does nothing, in so many tasks.
struct Idle {
    tasks: usize,
    chunk: usize,
    scratch: usize,
    follows: Option<usize>,
}

impl CpuKernel for Idle {
    fn tasks(&self, _phase: usize, _live: &Live) -> usize {
        self.tasks
    }

    fn split(&self, _phase: usize, operand: Operand, _live: &Live) -> Split {
        match operand {
            Operand::Output(_) => Split::Chunks(self.chunk),
            Operand::Scratch => Split::Read,
        }
    }

    fn run(&self, _phase: usize, _task: usize, _live: &Live, _io: &mut TaskIo<'_>) {}

    fn scratch(&self, _rows: usize) -> usize {
        self.scratch
    }

    fn follows(&self) -> Option<usize> {
        self.follows
    }
}

/// So many floats of the plan's own memory from a float on.
fn floats(first: usize, count: usize) -> View {
    let ty = TensorType::f32(Shape::fixed(&[count]));
    View { lasting: false, offset: 4 * first, ty }
}

fn step(tasks: usize, inputs: &[View], output: View) -> Prepared {
    let chunk = output.ty.shape.elements(1).div_ceil(tasks);
    Prepared {
        kernel: Box::new(Idle { tasks, chunk, scratch: 0, follows: None }),
        inputs: inputs.to_vec(),
        outputs: vec![output],
        single: false,
        meets: true,
        tasks_of: None,
    }
}

fn meetings(mut steps: Vec<Prepared>, members: usize) -> Vec<bool> {
    plan(&mut steps, members, &LIVE);
    steps.iter().map(|step| step.meets).collect()
}

#[test]
fn members_meet_where_one_writes_what_the_other_reads_or_writes() {
    let [a, b, c, d] = [0, 8, 16, 24].map(|first| floats(first, 8));
    // Two steps read `a`; the third one both of theirs; the last writes over what nobody reads now.
    let steps = |last: &View| {
        vec![
            step(4, &[], a.clone()),
            step(4, std::slice::from_ref(&a), b.clone()),
            step(4, std::slice::from_ref(&a), c.clone()),
            step(4, &[b.clone(), c.clone()], d.clone()),
            step(4, &[], last.clone()),
        ]
    };
    assert_eq!(meetings(steps(&a), 2), [false, true, false, true, false]);
    // Written over while it is read, or by two; one float is enough.
    for last in [&b, &d, &floats(23, 1)] {
        assert_eq!(meetings(steps(last), 2), [false, true, false, true, true], "{last:?}");
    }
    // The same bytes of the other arena.
    let last = View { lasting: true, ..b.clone() };
    assert_eq!(meetings(steps(&last), 2), [false, true, false, true, false]);
}

#[test]
fn one_member_needs_no_meeting_with_itself() {
    let [a, b, c, d] = [0, 8, 16, 24].map(|first| floats(first, 8));
    let steps = vec![
        step(1, &[], a.clone()),
        step(1, &[a], b.clone()),
        step(2, std::slice::from_ref(&b), c.clone()),
        step(1, &[b], d),
        step(1, &[c], floats(32, 8)),
    ];
    assert_eq!(meetings(steps, 2), [false, false, true, false, true]);
}

#[test]
fn the_scratch_is_used_by_one_step_at_a_time() {
    let with = |scratch, output| Prepared {
        kernel: Box::new(Idle { tasks: 2, chunk: 4, scratch, follows: None }),
        ..step(2, &[], output)
    };
    let [a, b, c] = [0, 8, 16].map(|first| floats(first, 8));
    assert_eq!(meetings(vec![with(1, a), with(0, b), with(1, c)], 2), [false, false, true]);
}

/// What two members do in an update of 64 floats in 8 tasks, after their gradients were made so.
fn update_after(gradients: impl IntoIterator<Item = Prepared>) -> Prepared {
    let mut steps: Vec<_> = gradients.into_iter().collect();
    steps.push(Prepared {
        kernel: Box::new(Idle { tasks: 8, chunk: 8, scratch: 0, follows: Some(0) }),
        ..step(8, &[floats(0, 64)], floats(64, 64))
    });
    plan(&mut steps, 2, &LIVE);
    steps.pop().unwrap()
}

#[test]
fn an_update_follows_its_gradients() {
    let update = update_after([step(4, &[], floats(0, 64))]);
    assert_eq!(update.tasks_of, Some(vec![vec![0, 1, 2, 3], vec![4, 5, 6, 7]]));
    assert!(update.meets && !update.single);
    let update = update_after([step(1, &[], floats(0, 64))]);
    assert_eq!(update.tasks_of, Some(vec![(0..8).collect(), vec![]]));
    assert!(update.single && !update.meets);
    // What was made elsewhere follows nobody.
    assert_eq!(update_after([step(4, &[], floats(8, 56))]).tasks_of, None);
    // Nor do parts of six and two tasks.
    let unequal = [step(1, &[], floats(0, 32)), step(2, &[], floats(32, 32))];
    assert_eq!(update_after(unequal).tasks_of, None);
}

#[test]
fn every_element_of_a_stack_of_tiles_has_its_task() {
    for down_first in [false, true] {
        let (rows, columns, tile_rows, tile_columns) = (7, 10, 3, 4);
        let split = Split::Tiles { rows, columns, tile_rows, tile_columns, down_first };
        let tasks: Vec<_> = (0..2 * 70).map(|element| split.task(element).unwrap()).collect();
        // Corners of the tiles of both matrices.
        let corner =
            |matrix: usize, row: usize, column: usize| tasks[matrix * 70 + row * 10 + column];
        let first = [corner(0, 0, 0), corner(0, 0, 4), corner(0, 3, 0), corner(0, 6, 9)];
        assert_eq!(first, if down_first { [0, 3, 1, 8] } else { [0, 1, 3, 8] });
        assert_eq!((corner(1, 0, 0), corner(1, 6, 9)), (9, 17));
        let sizes = (0..18).map(|task| tasks.iter().filter(|t| **t == task).count());
        assert_eq!(sizes.sum::<usize>(), 140);
    }
}
