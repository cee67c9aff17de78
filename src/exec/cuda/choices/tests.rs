//! Choices that are kept, lost, damaged or another card's.

use super::*;
use crate::op::launch::Kernel;

fn launches(kernel: Kernel) -> Launches {
    Launches::one(Launch {
        kernel,
        entry: "entry",
        grid: [1, 1, 1],
        threads: 32,
        shared: 0,
        arguments: vec![],
    })
}

fn alternatives(width: usize) -> Vec<(String, Launches)> {
    let kernel = |tile: usize| {
        let text = "extern \"C\" __global__ void entry() {}\n";
        Kernel::from_text("test", text).constant("WIDTH", width).constant("TILE", tile)
    };
    let each = [32, 64].into_iter();
    each.map(|tile| (format!("tile {tile}"), launches(kernel(tile)))).collect()
}

fn choices(card: &str, folder: Option<&std::path::Path>) -> Choices {
    let open = |folder: &std::path::Path| Cache::open(&folder.join("kernels"), 1 << 20).unwrap();
    let disk = folder.map(open);
    Choices { card: card.into(), disk, measured: HashMap::new() }
}

fn keep(choices: &mut Choices, key: u128, chosen: &str) -> bool {
    let times = [("tile 32".to_string(), 2.0), ("tile 64".to_string(), 1.0)];
    choices.keep(key, "a step", &times, chosen)
}

#[test]
fn what_was_measured_is_remembered_by_later_runs_on_the_same_card() {
    let folder = tempfile::tempdir().unwrap();
    let all = alternatives(10);
    let mut first = choices("card", Some(folder.path()));
    let key = first.key(&all);
    assert_eq!(first.find(key, &all), None);
    assert!(keep(&mut first, key, "tile 64"));
    assert_eq!(first.find(key, &all), Some((1, Origin::Measured)));
    let later = choices("card", Some(folder.path()));
    assert_eq!(later.find(later.key(&all), &all), Some((1, Origin::Remembered)));
    let other = choices("another card", Some(folder.path()));
    assert_eq!(other.find(other.key(&all), &all), None);
    assert_eq!(other.find(key, &all), None, "not even under the same name");
    let wider = alternatives(11);
    assert_eq!(later.find(later.key(&wider), &wider), None, "another shape");
    assert!(keep(&mut first, key, "tile 32"));
    assert_eq!(later.find(key, &all), Some((0, Origin::Remembered)), "the latest counts");
}

#[test]
fn without_a_disk_a_choice_holds_for_this_run() {
    let all = alternatives(10);
    let mut choices = choices("card", None);
    let key = choices.key(&all);
    assert!(!keep(&mut choices, key, "tile 64"));
    assert_eq!(choices.find(key, &all), Some((1, Origin::Measured)));
}

#[test]
fn a_damaged_choice_is_none_or_a_form_that_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let all = alternatives(10);
    let mut choices = choices("card", Some(folder.path()));
    let key = choices.key(&all);
    keep(&mut choices, key, "tile 64");
    choices.measured.clear();
    let disk = choices.disk.clone().unwrap();
    let whole = disk.choice(key).unwrap();
    let gone = |text: &str| {
        disk.keep_choice(key, text).unwrap();
        choices.find(key, &all)
    };
    for end in 0..whole.len() {
        assert_eq!(gone(&whole[..end]), None, "cut after {end} bytes");
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone().into_bytes();
        changed[at] ^= 1;
        let found = gone(&String::from_utf8(changed).unwrap());
        assert!(found.is_none_or(|(index, _)| index < all.len()), "byte {at}");
    }
    assert_eq!(gone(&whole.replace("tile 64", "tile 65")), None);
    assert_eq!(gone(&whole), Some((1, Origin::Remembered)));
}

#[test]
fn all_that_an_alternative_asks_for_is_in_the_key() {
    let choices = choices("card", None);
    let changed = |change: fn(&mut Launch)| {
        let mut all = alternatives(10);
        change(&mut all[1].1.list[0]);
        choices.key(&all)
    };
    let keys = [
        changed(|_| ()),
        changed(|l| l.grid[0] = 2),
        changed(|l| l.threads = 64),
        changed(|l| l.shared = 1),
        changed(|l| l.entry = "another"),
        changed(|l| l.arguments.push(crate::op::launch::Argument::Live)),
        changed(|l| l.kernel = Kernel::from_text("test", "// another")),
        choices.key(&alternatives(10)[..1]),
        choices.key(&[]),
    ];
    let distinct: std::collections::BTreeSet<u128> = keys.into_iter().collect();
    assert_eq!(distinct.len(), keys.len());
}
