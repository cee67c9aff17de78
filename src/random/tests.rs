use proptest::prelude::*;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use super::*;

#[test]
fn philox_gives_the_known_answers_of_random123() {
    assert_eq!(philox([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    let ones = u32::MAX;
    assert_eq!(philox([ones; 4], [ones; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
    let pi = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
    assert_eq!(
        philox(pi, [0xa4093822, 0x299f31d0]),
        [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
    );
}

#[test]
fn every_part_of_a_position_reaches_its_own_bits_of_the_counter() {
    assert_eq!(
        counter(7, 0x1234_5678_9abc, 0xfedc_0123_4567),
        [0x0123_4567, 0x5678_9abc, 7, 0x1234_fedc]
    );
    assert_eq!(key(0x0123_4567_89ab_cdef), [0x89ab_cdef, 0x0123_4567]);
}

proptest! {
    #[test]
    fn filling_a_slice_gives_the_bits_of_single_draws(
        seed: u64, stream: u32, step in 0u64..1 << 48, first in 0u64..1 << 49, len in 0usize..300,
    ) {
        let mut out = vec![f32::NAN; len];
        fill_uniform(seed, stream, step, first, &mut out);
        for (i, value) in out.iter().enumerate() {
            let single = uniform(seed, stream, step, first + i as u64);
            prop_assert_eq!(value.to_bits(), single.to_bits());
        }
    }

    #[test]
    fn permutations_are_bijections(seed: u64, stream: u32, epoch in 0u64..1 << 48, rows in 1u64..3000) {
        let permutation = Permutation::new(seed, stream, epoch, rows);
        let mut seen = vec![false; rows as usize];
        for i in 0..rows {
            let at = permutation.get(i) as usize;
            prop_assert!(!seen[at]);
            seen[at] = true;
        }
    }

    #[test]
    fn places_filled_together_are_those_asked_for_one_by_one(
        seed: u64, rows in prop_oneof![1u64..5000, 1u64 << 30..1 << 34], count in 0usize..400,
    ) {
        let permutation = Permutation::new(seed, 3, 4, rows);
        let count = count.min(rows as usize);
        let first = (rows - count as u64) / 3;
        let mut filled = vec![0; count];
        permutation.fill(first, &mut filled);
        for (i, at) in (first..).zip(filled) {
            prop_assert_eq!(permutation.get(i), at as u64);
        }
    }

    #[test]
    fn huge_permutations_stay_in_range_and_differ(seed: u64, rows in 1u64 << 32..u64::MAX) {
        let permutation = Permutation::new(seed, 0, 0, rows);
        let places = (0..200).chain(rows - 200..rows);
        let values: std::collections::BTreeSet<u64> = places.map(|i| permutation.get(i)).collect();
        prop_assert_eq!(values.len(), 400);
        prop_assert!(*values.last().expect("not empty") < rows);
    }
}

#[test]
fn one_number_permutes_to_itself() {
    assert_eq!(Permutation::new(1, 2, 3, 1).get(0), 0);
}

#[test]
fn uniform_numbers_have_their_moments_and_stay_below_one() {
    let mut x = vec![0.0; 1 << 20];
    fill_uniform(3, 1, 4, 0, &mut x);
    assert!(x.iter().all(|&v| (0.0..1.0).contains(&v)));
    let n = x.len() as f64;
    let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let square = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
    // Variances of U and U^2 are 1/12 and 4/45; five standard errors.
    assert!((mean - 0.5).abs() < 5.0 * (1.0 / 12.0 / n).sqrt());
    assert!((square - 1.0 / 3.0).abs() < 5.0 * (4.0 / 45.0 / n).sqrt());
    assert_eq!(fraction(u32::MAX), 1.0 - 2f32.powi(-24));
}

#[test]
fn the_generator_draws_the_words_in_order() {
    let mut rng = PhiloxRng::new(5, 6, 7);
    for i in 0..9 {
        assert_eq!(rng.random::<u32>(), word(5, 6, 7, i));
    }
    let low_first = u64::from(word(5, 6, 7, 10)) << 32 | u64::from(word(5, 6, 7, 9));
    assert_eq!(rng.random::<u64>(), low_first);
    let n = 1 << 18;
    let x: Vec<f64> = (0..n).map(|_| StandardNormal.sample(&mut rng)).collect();
    let mean = x.iter().sum::<f64>() / f64::from(n);
    let square = x.iter().map(|v| v * v).sum::<f64>() / f64::from(n);
    // Variances of N and N^2 are 1 and 2; five standard errors.
    assert!(mean.abs() < 5.0 / f64::from(n).sqrt());
    assert!((square - 1.0).abs() < 5.0 * (2.0 / f64::from(n)).sqrt());
}

/// How many standard deviations a chi-square value lies from its mean (Wilson and Hilferty's
/// cube-root normal approximation).
fn deviation(chi_square: f64, freedom: f64) -> f64 {
    let v = 2.0 / (9.0 * freedom);
    ((chi_square / freedom).cbrt() - (1.0 - v)) / v.sqrt()
}

#[test]
fn every_value_is_equally_likely_at_every_place() {
    for (rows, seeds) in [(2usize, 20_000u64), (10, 20_000), (100, 4000), (1797, 400)] {
        let mut counts = vec![0u32; rows * rows];
        for seed in 0..seeds {
            let permutation = Permutation::new(seed, 9, seed % 3, rows as u64);
            for i in 0..rows {
                counts[i * rows + permutation.get(i as u64) as usize] += 1;
            }
        }
        let (n, expected) = (rows as f64, seeds as f64 / rows as f64);
        let sum: f64 = counts.iter().map(|&c| (f64::from(c) - expected).powi(2)).sum();
        // Rows and columns of the table sum to `seeds`, hence the freedom and the factor.
        let chi_square = sum / expected * (n - 1.0) / n;
        let z = deviation(chi_square, (n - 1.0).powi(2));
        println!("{rows} rows: {z:.2} standard deviations");
        assert!(z.abs() < 4.0, "{rows} rows: {z}");
    }
}

#[test]
fn all_permutations_of_a_few_rows_are_equally_likely() {
    for (rows, count) in [(2u64, 2u32), (3, 6), (4, 24), (5, 120), (6, 720)] {
        let mut counts = std::collections::BTreeMap::new();
        let seeds = 40 * count.max(100);
        for seed in 0..seeds {
            let permutation = Permutation::new(u64::from(seed) << 20, 0, 0, rows);
            let order: Vec<u64> = (0..rows).map(|i| permutation.get(i)).collect();
            *counts.entry(order).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), count as usize);
        let expected = f64::from(seeds) / f64::from(count);
        let chi: f64 = counts.values().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
        let z = deviation(chi, f64::from(count - 1));
        println!("{rows} rows: {z:.2} standard deviations");
        assert!(z.abs() < 4.0, "{rows} rows: {z}");
    }
}

#[test]
fn neighbours_are_independent() {
    for rows in [100u64, 1000] {
        let mut counts = vec![0u32; rows as usize];
        let seeds = 2000;
        for seed in 0..seeds {
            let permutation = Permutation::new(seed, 1, 1, rows);
            for i in 1..rows {
                let step = permutation.get(i) + rows - permutation.get(i - 1);
                counts[(step % rows) as usize] += 1;
            }
        }
        assert_eq!(counts[0], 0);
        let expected = (seeds * (rows - 1)) as f64 / (rows - 1) as f64;
        let chi: f64 =
            counts[1..].iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
        let z = deviation(chi, (rows - 2) as f64);
        println!("{rows} rows: {z:.2} standard deviations");
        assert!(z.abs() < 4.0, "{rows} rows: {z}");
    }
}
