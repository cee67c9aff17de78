//! Splits that keep groups of rows together, and classes in proportion where that is asked for.

use std::cmp::Reverse;

use super::split::{Parts, first_part, shuffled};
use crate::error::DataError;

/// Costs are equal if they differ by less than this share: they are sums of roundings.
const TIE: f64 = 1e-5;

pub(super) fn split_rows_grouped(
    groups: Option<&[u32]>,
    fraction: f64,
    seed: u64,
) -> Result<Parts, DataError> {
    let members = members(groups)?;
    let mut wanted = first_part(members.iter().map(Vec::len).sum(), fraction)?;
    check_two(&members)?;
    let mut parts = (Vec::new(), Vec::new());
    for (place, group) in shuffled(members.len(), seed).into_iter().enumerate() {
        let rows = &members[group];
        let take = match place + 1 == members.len() {
            // No part stays empty.
            true if parts.0.is_empty() => true,
            true if parts.1.is_empty() => false,
            _ => rows.len() < 2 * wanted,
        };
        if take {
            wanted = wanted.saturating_sub(rows.len());
            parts.0.extend_from_slice(rows);
        } else {
            parts.1.extend_from_slice(rows);
        }
    }
    Ok(parts)
}

pub(super) fn split_rows_stratified_grouped(
    labels: &[u32],
    groups: Option<&[u32]>,
    fraction: f64,
    seed: u64,
) -> Result<Parts, DataError> {
    let members = members(groups)?;
    first_part(labels.len(), fraction)?;
    check_two(&members)?;
    let mut parts = deal(&members, labels, &[fraction, 1.0 - fraction], seed);
    let second = parts.pop().unwrap_or_default();
    Ok((parts.pop().unwrap_or_default(), second))
}

pub(super) fn fold_rows_grouped(
    groups: Option<&[u32]>,
    k: usize,
    seed: u64,
) -> Result<Vec<Parts>, DataError> {
    let members = members(groups)?;
    check_folds(&members, k)?;
    let mut order = shuffled(members.len(), seed);
    order.sort_by_key(|&group| Reverse(members[group].len()));
    let mut folds = vec![Vec::new(); k];
    for group in order {
        let smallest = folds.iter_mut().min_by_key(|fold| fold.len());
        smallest.into_iter().for_each(|fold| fold.extend_from_slice(&members[group]));
    }
    Ok(pairs(&folds))
}

pub(super) fn fold_rows_stratified_grouped(
    labels: &[u32],
    groups: Option<&[u32]>,
    k: usize,
    seed: u64,
) -> Result<Vec<Parts>, DataError> {
    let members = members(groups)?;
    check_folds(&members, k)?;
    Ok(pairs(&deal(&members, labels, &vec![1.0 / k as f64; k], seed)))
}

/// Each fold with the rows of all others before it.
fn pairs(folds: &[Vec<usize>]) -> Vec<Parts> {
    let pair = |valid: usize| {
        let others = folds.iter().enumerate().filter(|(fold, _)| *fold != valid);
        (others.flat_map(|(_, rows)| rows).copied().collect(), folds[valid].clone())
    };
    (0..folds.len()).map(pair).collect()
}

/// Deals whole groups out to parts of these shares, so that each class is spread as the shares say.
/// Groups come by how uneven their classes are, the most uneven first, equal ones in random order;
/// each goes where the classes are spread best afterwards, of equally good parts to that with the
/// fewest rows for its share. With equal shares that is scikit-learn's `StratifiedGroupKFold`.
fn deal(members: &[Vec<usize>], labels: &[u32], shares: &[f64], seed: u64) -> Vec<Vec<usize>> {
    let mut present = labels.to_vec();
    present.sort_unstable();
    present.dedup();
    let classes = present.len();
    // The class of each row, by its place among those that there are.
    let places: Vec<usize> =
        labels.iter().map(|label| present.partition_point(|class| class < label)).collect();
    // One group at a time: those of all groups would take far more than the rows.
    let mut counts = vec![0.0; classes];
    let count = |rows: &[usize], counts: &mut [f64]| {
        counts.fill(0.0);
        rows.iter().for_each(|&row| counts[places[row]] += 1.0);
    };
    let mut all = vec![0.0; classes];
    places.iter().for_each(|&class| all[class] += 1.0);
    let uneven: Vec<f64> = members
        .iter()
        .map(|rows| {
            count(rows, &mut counts);
            spread(counts.iter().map(|&count| (1.0 / classes as f64, count)))
        })
        .collect();
    let mut order = shuffled(members.len(), seed);
    order.sort_by(|&a, &b| uneven[b].total_cmp(&uneven[a]));
    let mut held = vec![vec![0.0; classes]; shares.len()];
    let mut parts = vec![Vec::new(); shares.len()];
    for (place, group) in order.into_iter().enumerate() {
        let empty = parts.iter().filter(|part: &&Vec<usize>| part.is_empty()).count();
        let must_fill = members.len() - place <= empty;
        let (mut best, mut least) = (None, (f64::INFINITY, f64::INFINITY));
        count(&members[group], &mut counts);
        for part in (0..shares.len()).filter(|&part| !must_fill || parts[part].is_empty()) {
            let cost: f64 = (0..classes)
                .map(|class| {
                    let own = |other: usize| if other == part { counts[class] } else { 0.0 };
                    let of = |other: usize| (held[other][class] + own(other)) / all[class];
                    spread((0..shares.len()).map(|i| (shares[i], of(i) / shares[i])))
                })
                .sum();
            let rows = held[part].iter().sum::<f64>() / shares[part];
            let tie = (cost - least.0).abs() <= TIE * least.0;
            if cost < least.0 && !tie || tie && rows < least.1 || best.is_none() {
                (best, least) = (Some(part), (cost, rows));
            }
        }
        let best =
            best.expect("invariant: there are parts, and an empty one where one must be filled");
        held[best].iter_mut().zip(&counts).for_each(|(sum, count)| *sum += count);
        parts[best].extend_from_slice(&members[group]);
    }
    parts
}

/// The deviation of weighted numbers.
fn spread(numbers: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let mean: f64 = numbers.clone().map(|(weight, x)| weight * x).sum();
    numbers.map(|(weight, x)| weight * (x - mean) * (x - mean)).sum::<f64>().sqrt()
}

fn check_two(members: &[Vec<usize>]) -> Result<(), DataError> {
    match members.len() {
        0 | 1 => Err(DataError::Invalid("a split by groups needs two of them, there is 1".into())),
        _ => Ok(()),
    }
}

fn check_folds(members: &[Vec<usize>], k: usize) -> Result<(), DataError> {
    if k < 2 || k > members.len() {
        return Err(DataError::Invalid(format!(
            "the number of folds must be from 2 to the {} groups, it is {k}",
            members.len()
        )));
    }
    Ok(())
}

/// The rows of each group, by the groups' numbers.
fn members(groups: Option<&[u32]>) -> Result<Vec<Vec<usize>>, DataError> {
    let groups = groups.ok_or_else(|| {
        let message = "the rows have no groups; name them with `group_by` or `with_groups`";
        DataError::Invalid(message.into())
    })?;
    let mut rows: Vec<usize> = (0..groups.len()).collect();
    rows.sort_by_key(|&row| groups[row]);
    Ok(rows.chunk_by(|&a, &b| groups[a] == groups[b]).map(<[usize]>::to_vec).collect())
}
