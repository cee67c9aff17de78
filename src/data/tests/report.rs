use proptest::prelude::*;

use super::message;
use crate::data::{Csv, Kind, Suspicion, Table, TableColumn, TableReport, WordCount};

fn table(columns: Vec<TableColumn>) -> Table {
    Table::new(columns).unwrap()
}

fn numbers(name: &str, cells: impl IntoIterator<Item = f64>) -> TableColumn {
    TableColumn::numbers(name, cells.into_iter().map(Some).collect::<Vec<_>>())
}

fn words(name: &str, cells: impl IntoIterator<Item = &'static str>) -> TableColumn {
    TableColumn::categories(name, cells.into_iter().map(Some))
}

/// What is suspicious about the first column, the second being the target.
fn suspicions(x: TableColumn, y: TableColumn) -> Vec<Suspicion> {
    let target = y.name().to_string();
    table(vec![x, y]).report(Some(&target)).unwrap().columns.remove(0).suspicions
}

#[test]
fn columns_are_counted_and_summed_up() {
    let text = "a,b,c\n1,x,\n-3,y,\n,x,\n5,,\n1,y,\n-0,z,\n0,y,\n";
    let report = Csv::new(text.as_bytes()).read().unwrap().report(None).unwrap();
    assert_eq!(
        (report.source.as_str(), report.rows, report.target.as_deref()),
        ("<memory>", 7, None)
    );
    let [a, b, c] = &report.columns[..] else { panic!("three columns") };
    assert_eq!((a.name.as_str(), a.kind, a.missing, a.distinct), ("a", Kind::Number, 1, 4));
    assert_eq!((a.min, a.mean, a.max), (Some(-3.0), Some(4.0 / 6.0), Some(5.0)));
    assert_eq!((b.kind, b.missing, b.distinct), (Kind::Category, 1, 3));
    assert_eq!((b.min, b.mean, b.max), (None, None, None));
    assert_eq!(b.most_frequent, Some(WordCount { word: "y".into(), count: 3 }));
    assert_eq!((c.missing, c.distinct, c.mean), (7, 0, None));
    assert_eq!(c.suspicions, [Suspicion::Empty]);
    // Of equally frequent words the first; words of rows that were left out do not count.
    let rest = Csv::new(text.as_bytes()).read().unwrap().select(&[0, 1, 2, 4]).unwrap();
    let rest = rest.report(None).unwrap();
    assert_eq!(rest.columns[1].most_frequent, Some(WordCount { word: "x".into(), count: 2 }));
    assert_eq!(rest.columns[1].distinct, 2);
}

#[test]
fn a_mean_is_finite_where_the_sum_is_not() {
    let report = table(vec![numbers("x", [1.5e308, 1.7e308])]).report(None).unwrap();
    let mean = report.columns[0].mean.unwrap();
    assert!((mean / 1.6e308 - 1.0).abs() < 4.0 * f64::EPSILON, "{mean}");
}

#[test]
fn identifiers_are_words_or_whole_numbers_that_never_repeat() {
    let y = || numbers("y", (0..20u8).map(|i| f64::from(i % 3)));
    let of = |cells: Vec<f64>| suspicions(numbers("x", cells), y());
    let count = || (0..20u8).map(f64::from);
    assert_eq!(of(count().collect()), [Suspicion::Identifier]);
    assert_eq!(
        of(count().rev().map(|i| 1000.0 + i + (i / 2.0).floor()).collect()),
        [Suspicion::Identifier]
    );
    // Not whole, with wide gaps, one number twice.
    assert_eq!(of(count().map(|i| i + 0.5).collect()), []);
    assert_eq!(of(count().map(|i| i * i).collect()), []);
    assert_eq!(of(count().map(|i| i.max(1.0)).collect()), []);
    let names: Vec<String> = (0..20).map(|i| format!("name {i}")).collect();
    let name = |rows: usize| {
        let names = names[..rows].iter().map(|name| Some(name.as_str()));
        suspicions(TableColumn::categories("x", names), numbers("y", y_of(rows)))
    };
    assert_eq!(name(20), [Suspicion::Identifier]);
    assert_eq!(name(19), []);
    // A target may be anything.
    let report = table(vec![numbers("y", count())]).report(Some("y")).unwrap();
    assert_eq!(report.columns[0].suspicions, []);
    assert_eq!(suspicions(numbers("x", [4.0; 20]), y()), [Suspicion::Constant]);
}

fn y_of(rows: usize) -> impl Iterator<Item = f64> {
    (0..rows).map(|row| (row % 3) as f64)
}

#[test]
fn leaks_of_the_target_are_found() {
    let y = || (0..40u8).map(|i| f64::from(i) * f64::from(i) + 0.5);
    let of = |change: fn(f64) -> f64| suspicions(numbers("x", y().map(change)), numbers("y", y()));
    let leak = of(|y| 7.0 - 3.0 * y);
    let [Suspicion::Correlated(correlation)] = leak[..] else { panic!("{leak:?}") };
    assert!((correlation + 1.0).abs() < 1e-12, "{correlation}");
    // At both ends of the range of f64, where squares overflow or vanish.
    for scale in [1e-300, 1e290] {
        let x = numbers("x", y().map(|y| scale * y));
        let found = suspicions(x, numbers("y", y()));
        assert!(matches!(found[..], [Suspicion::Correlated(c)] if c > 0.999_999), "{found:?}");
    }
    // The square root is close to its argument over no such range.
    assert_eq!(of(f64::sqrt), []);

    // A code of four values that says the class; once it errs, it does not.
    let class = |i: u8| ["no", "yes"][usize::from(i % 4 == 1)];
    let classes = || words("y", (0..40).map(class));
    let code = |wrong: bool| {
        let value = move |i: u8| if wrong && i == 39 { 1 } else { i % 4 };
        suspicions(numbers("x", (0..40).map(|i| f64::from(value(i)))), classes())
    };
    assert_eq!(code(false), [Suspicion::Determines]);
    assert_eq!(code(true), []);
    // A cell that is missing exactly where the class is yes.
    let gaps = (0..40u8).map(|i| (i % 4 != 1).then_some("here"));
    let gaps = TableColumn::categories("x", gaps);
    let found = suspicions(gaps, classes());
    assert_eq!(found, [Suspicion::Constant, Suspicion::Determines]);
    // Seven values in 40 rows are too many to mean something.
    let many = words("x", (0..40).map(|i| ["a", "b", "c", "d", "e", "f", "g"][i % 7]));
    let target = numbers("y", (0..40u8).map(|i| f64::from(i % 7)));
    assert_eq!(suspicions(many, target), []);
}

#[test]
fn a_report_reads_well_and_survives_json() {
    let rows: String = (1..=21)
        .map(|i| {
            let y = f64::from(i) * 1234.5;
            let city = if i % 2 == 0 { "Bonn" } else { "Ulm" };
            let size = if i == 4 { String::new() } else { (y / 2.0).to_string() };
            format!("{i},{city},{size},1e-7,{y}\n")
        })
        .collect();
    let text = format!("id,city,size,zero,price\n{rows}");
    let report = Csv::new(text.as_bytes()).read().unwrap().report(Some("price")).unwrap();
    let expected = "\
<memory>: 21 rows, 5 columns, no row twice

column  type      missing  distinct        min       mean        max  most frequent
id      number          0        21          1         11         21
city    category        0         2                                   Ulm (11)
size    number          1        20     617.25    7005.79    12962.2
zero    number          0         1  1.0000e-7  1.0000e-7  1.0000e-7
price   number          0        21     1234.5    13579.5    25924.5

Suspicious
  id: every row has another value, as identifiers do; its correlation with the target is 1.0000
  size: its correlation with the target is 1.0000
  zero: it has one value only";
    assert_eq!(report.to_string(), expected);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<TableReport>(&json).unwrap(), report);
    assert!(json.contains(r#""kind":"category""#) && json.contains(r#""identifier""#), "{json}");
}

#[test]
fn an_unknown_target_is_refused() {
    let text = message(table(vec![numbers("x", [1.0])]).report(Some("y")));
    assert_eq!(text, "`<memory>`, the table: there is no column `y`; the columns are `x`");
}

proptest! {
    #[test]
    fn duplicates_are_the_rows_seen_before(
        rows in prop::collection::vec((0u8..3, prop::option::of(0u8..3)), 1..60),
    ) {
        let a = rows.iter().map(|(a, _)| Some(if *a == 0 { -0.0 } else { f64::from(*a) - 1.0 }));
        let b = rows.iter().map(|(_, b)| b.map(|b| ["x", "y", "z"][usize::from(b)]));
        let table = table(vec![TableColumn::numbers("a", a), TableColumn::categories("b", b)]);
        let value = |(a, b): &(u8, Option<u8>)| (if *a == 0 { 1 } else { *a }, *b);
        let seen = |row: usize| rows[..row].iter().any(|other| value(other) == value(&rows[row]));
        let expected: Vec<usize> = (0..rows.len()).filter(|&row| seen(row)).collect();
        prop_assert_eq!(table.duplicates(), expected);
    }
}
