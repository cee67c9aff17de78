use super::*;

/// Rates at some steps of a run of 100 with base rate 0.8; a few roundings apart.
fn check(schedule: &Schedule, expected: &[(u64, f64)]) {
    assert_eq!(schedule.check(), Ok(()));
    for &(step, rate) in expected {
        let got = schedule.learning_rate(0.8, step, 100);
        let error = (got - rate).abs();
        assert!(error <= 8.0 * f64::EPSILON * 0.8, "{schedule:?}, step {step}: {got}, not {rate}");
    }
}

#[test]
fn schedules_have_their_closed_forms() {
    check(&Schedule::Constant, &[(0, 0.8), (99, 0.8), (1000, 0.8)]);
    let step = Schedule::Step { every: 30, factor: 0.5 };
    check(&step, &[(0, 0.8), (29, 0.8), (30, 0.4), (60, 0.2), (99, 0.1)]);
    let multi = Schedule::MultiStep { milestones: vec![50, 10], factor: 0.1 };
    check(&multi, &[(0, 0.8), (9, 0.8), (10, 0.08), (49, 0.08), (50, 0.008), (99, 0.008)]);
    let each = Schedule::Exponential { every: 1, factor: 0.5 };
    check(&each, &[(0, 0.8), (1, 0.4), (3, 0.1), (99, 0.8 * 0.5f64.powi(99))]);
    let smooth = Schedule::Exponential { every: 50, factor: 0.25 };
    check(&smooth, &[(0, 0.8), (25, 0.4), (50, 0.2), (99, 0.8 * 0.25f64.powf(1.98))]);
    let line = Schedule::Polynomial { end: 0.0, power: 1.0 };
    check(&line, &[(0, 0.8), (25, 0.6), (99, 0.008), (100, 0.0), (200, 0.0)]);
    let square = Schedule::Polynomial { end: 0.4, power: 2.0 };
    check(&square, &[(0, 0.8), (50, 0.5), (99, 0.400_04), (100, 0.4), (200, 0.4)]);
    let cosine = Schedule::Cosine { minimum: 0.2 };
    let last = 0.2 + 0.3 * (1.0 + (0.99 * PI).cos());
    check(&cosine, &[(0, 0.8), (50, 0.5), (99, last), (100, 0.2), (200, 0.2)]);
}

#[test]
fn one_cycle_rises_to_the_base_rate_and_ends_at_the_last_step() {
    let initial = 0.8 / 25.0;
    let middle = (0.8 + initial) / 2.0;
    // Up over steps 0 to 29, down over steps 29 to 99.
    let expected = [(0, initial), (29, 0.8), (64, (0.8 + initial / 1e4) / 2.0)];
    check(&Schedule::one_cycle(), &expected);
    check(&Schedule::one_cycle(), &[(99, initial / 1e4), (100, initial / 1e4)]);
    let even = Schedule::OneCycle { rise: 0.51, initial_divisor: 25.0, final_divisor: 1.0 };
    check(&even, &[(25, middle), (50, 0.8), (99, initial)]);
    let down = Schedule::OneCycle { rise: 0.0, initial_divisor: 25.0, final_divisor: 1.0 };
    check(&down, &[(0, 0.8), (99, initial)]);
    for total in 0..4 {
        assert!(Schedule::one_cycle().learning_rate(0.8, 0, total).is_finite());
    }
}

#[test]
fn warmup_comes_before_any_schedule() {
    let cosine = Schedule::Cosine { minimum: 0.0 }.with_warmup(20);
    check(&cosine, &[(0, 0.04), (10, 0.42), (20, 0.8), (60, 0.4), (100, 0.0)]);
    check(&cosine, &[(99, 0.4 * (1.0 + (79.0 / 80.0 * PI).cos()))]);
    let zero =
        Schedule::Warmup { steps: 10, start_factor: 0.0, then: Box::new(Schedule::Constant) };
    check(&zero, &[(0, 0.0), (5, 0.4), (9, 0.72), (10, 0.8), (99, 0.8)]);
    check(&Schedule::Constant.with_warmup(0), &[(0, 0.8)]);
    // A warm-up longer than the run.
    check(&cosine.with_warmup(1000), &[(0, 0.0008), (99, 0.8 * (0.001 + 0.999 * 0.099))]);
}

#[test]
fn plateau_waits_falls_cools_and_stops_at_its_minimum() {
    let mut plateau =
        Plateau { factor: 0.5, patience: 2, cooldown: 1, minimum: 0.2, ..Plateau::default() };
    assert_eq!(plateau.check(), Ok(()));
    // Better by less than the threshold is not better.
    let losses = [1.0, 0.5, 0.499_99, 0.6, f64::NAN, 0.6, 0.6, 0.6, 0.6, 0.4, 0.4, 0.4, 0.4];
    let scales = losses.map(|loss| plateau.observe(loss));
    // Third bad one in a row: 0.5; one to cool; three more: 0.25; one to cool (0.4, the best).
    let expected = [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2];
    assert_eq!(scales, expected);
    for _ in 0..10 {
        assert_eq!(plateau.observe(0.4), 0.2);
    }
}

#[test]
fn plateau_can_watch_a_metric_that_grows() {
    let mut plateau = Plateau { patience: 0, larger_is_better: true, ..Plateau::default() };
    assert_eq!([0.5, 0.6, 0.7].map(|m| plateau.observe(m)), [1.0; 3]);
    assert_eq!(plateau.observe(0.7), 0.1);
    assert_eq!(plateau.scale(), 0.1);
}

#[test]
fn plateau_goes_on_from_its_saved_state() {
    let losses = [1.0, 0.9, 0.95, 0.91, 0.9, 0.8, 0.85, 0.9, 0.9, 0.9, 0.9];
    let mut whole = Plateau { patience: 1, cooldown: 1, ..Plateau::default() };
    let scales = losses.map(|loss| whole.observe(loss));
    for cut in 0..=losses.len() {
        let mut part = Plateau { patience: 1, cooldown: 1, ..Plateau::default() };
        losses[..cut].iter().for_each(|&loss| _ = part.observe(loss));
        let json = serde_json::to_string(&part).expect("serialisable");
        let mut resumed: Plateau = serde_json::from_str(&json).expect("readable");
        let rest: Vec<f64> = losses[cut..].iter().map(|&loss| resumed.observe(loss)).collect();
        assert_eq!(rest, scales[cut..]);
    }
}

#[test]
fn bad_numbers_are_named() {
    let bad = [
        Schedule::Step { every: 0, factor: 0.1 },
        Schedule::Exponential { every: 1, factor: f64::NAN },
        Schedule::MultiStep { milestones: vec![], factor: -1.0 },
        Schedule::Polynomial { end: -0.1, power: 1.0 },
        Schedule::Cosine { minimum: f64::INFINITY },
        Schedule::OneCycle { rise: 1.5, initial_divisor: 25.0, final_divisor: 1e4 },
        Schedule::Cosine { minimum: -1.0 }.with_warmup(3),
    ];
    for schedule in bad {
        assert!(schedule.check().is_err(), "{schedule:?}");
    }
    assert!(Plateau { factor: 1.0, ..Plateau::default() }.check().is_err());
    let warm = Schedule::one_cycle().with_warmup(3);
    let json = serde_json::to_string(&warm).expect("serialisable");
    assert_eq!(serde_json::from_str::<Schedule>(&json).expect(&json), warm);
}
