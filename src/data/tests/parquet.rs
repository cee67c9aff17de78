//! Arrow's files against the CSV file of the same cells; files that are not what they say.

use std::fs::read;
use std::path::PathBuf;

use super::message;
use crate::data::{Csv, Dataset, Kind, Parquet, Table};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet").join(name)
}

/// Cell by cell, for the columns that the first table has.
fn assert_same(table: &Table, csv: &Table, name: &str) {
    assert_eq!(table.len(), csv.len());
    for column in table.columns() {
        let expected = csv.column(column.name()).unwrap();
        let place = format!("{name}, {}", column.name());
        assert_eq!(column.kind(), expected.kind(), "{place}");
        for row in 0..csv.len() {
            assert_eq!(column.number(row), expected.number(row), "{place}, row {row}");
            assert_eq!(column.word(row), expected.word(row), "{place}, row {row}");
        }
    }
}

#[test]
fn a_parquet_file_is_the_table_of_the_same_csv_file() {
    let csv = Csv::open(fixture("table.csv")).unwrap().read().unwrap();
    let width = csv.columns().len();
    let files = [
        ("snappy", 0),
        ("zstd_v2", 0),
        ("plain", 3),
        ("plain_v2", 0),
        ("deltas", 0),
        ("int96", 18),
    ];
    for (name, absent) in files {
        let path = fixture(&format!("{name}.parquet"));
        let table = Parquet::open(&path).unwrap().read().unwrap();
        assert_eq!(table.columns().len(), width - absent, "{name}");
        assert_same(&table, &csv, name);
        let again = Parquet::new(read(&path).unwrap()).ignore(&["moment"]);
        match name {
            "int96" => assert!(message(again.read()).contains("no columns to read")),
            _ => assert_same(&again.read().unwrap(), &csv, name),
        }
    }
    let missing: Vec<_> = csv.columns().iter().filter(|c| c.missing() > 0).collect();
    assert!(missing.len() > 9 && missing.iter().any(|c| c.kind() == Kind::Category));
}

#[test]
fn a_recipe_fitted_on_csv_serves_parquet() {
    let recipe = |table: Table| table.target("double").unwrap().drop_missing().standardize();
    let csv = Csv::open(fixture("table.csv")).unwrap().read().unwrap();
    let parquet = Dataset::parquet(fixture("snappy.parquet")).unwrap().read().unwrap();
    let columns = ["text", "moment", "instant", "nothing", "day", "hour", "minute"];
    let [csv, parquet] =
        [csv, parquet].map(|table| recipe(table.without(&columns).unwrap()).split(0.5, 7).unwrap());
    assert_eq!(csv.0.preprocessing(), parquet.0.preprocessing());
    assert_eq!(super::features(&csv.1), super::features(&parquet.1));
}

#[test]
fn a_nested_column_is_refused_by_its_name_or_ignored() {
    let path = fixture("nested.parquet");
    let refused = message(Parquet::open(&path).unwrap().read());
    assert!(refused.contains("the footer: column `tags`: it is nested"), "{refused}");
    assert_eq!(Parquet::open(&path).unwrap().unreadable().unwrap(), ["tags"]);
    let table = Parquet::open(&path).unwrap().ignore(&["tags"]).read().unwrap();
    assert_eq!(table.columns().len(), 2);
    assert_eq!(table.column("y").unwrap().number(1), Some(1.5));
    let refused = message(Parquet::open(&path).unwrap().ignore(&["tags", "z"]).read());
    assert!(refused.contains("no column `z` to ignore; the others are `id`, `y`"), "{refused}");
}

/// A file of one required column of 32-bit numbers whose only page is made of these parts.
fn file(rows: u32, header: &[u8], page: &[u8]) -> Vec<u8> {
    let varint = |mut number: u64| {
        let mut bytes = vec![];
        while number > 0x7f {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    };
    let zigzag = |number: u64| varint(number << 1);
    let data = [header, page].concat();
    let footer = [
        // version 1; schema: the root of one child, and `x`.
        &[0x15, 2, 0x19, 0x2c, 0x48, 1, b'r', 0x15, 2, 0][..],
        &[0x15, 2, 0x25, 0, 0x18, 1, b'x', 0],
        &[0x16][..],
        &zigzag(rows.into()),
        // A row group of a chunk, whose data is described.
        &[0x19, 0x1c, 0x19, 0x1c, 0x26, 8, 0x1c, 0x15, 2],
        &[0x35, 0, 0x16],
        &zigzag(rows.into()),
        &[0x26],
        &zigzag(data.len() as u64),
        &[0x26, 8, 0, 0, 0x16, 2, 0x16],
        &zigzag(rows.into()),
        &[0, 0],
    ]
    .concat();
    [b"PAR1", &data[..], &footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

/// The header of a page of so many plain values.
fn header(bytes: u8, count: u8) -> Vec<u8> {
    vec![
        0x15,
        0,
        0x15,
        bytes * 2,
        0x15,
        bytes * 2,
        0x2c,
        0x15,
        count * 2,
        0x15,
        0,
        0x15,
        6,
        0x15,
        6,
        0,
        0,
    ]
}

#[test]
fn a_file_made_by_hand_is_read() {
    let page = [5i32, -6, 7].map(i32::to_le_bytes).concat();
    let table = Parquet::new(file(3, &header(12, 3), &page)).read().unwrap();
    let numbers = (0..3).map(|row| table.columns()[0].number(row).unwrap());
    assert_eq!(numbers.collect::<Vec<_>>(), [5.0, -6.0, 7.0]);
}

#[test]
fn claims_are_not_believed() {
    let page = [5i32, -6, 7].map(i32::to_le_bytes).concat();
    let said = |bytes: Vec<u8>| message(Parquet::new(bytes).read());
    let more = said(file(4, &header(12, 3), &page));
    assert!(more.contains("column `x`, row group 0: 1 of its 4 rows are not there"), "{more}");
    let fewer = said(file(2, &header(12, 3), &page));
    assert!(fewer.contains("it has more rows than its row group, which has 2"), "{fewer}");
    let short = said(file(4, &header(12, 4), &page));
    assert!(short.contains("its values are truncated or damaged"), "{short}");
    let long = said(file(3, &header(60, 3), &page));
    assert!(long.contains("a page should have 60 bytes"), "{long}");
    // A page of 2^31 - 1 rows in a few bytes; the same said of its bytes.
    let most = [0xfe, 0xff, 0xff, 0xff, 0x0f];
    let mut rows = header(12, 3);
    rows.splice(8..9, most);
    let said_of_rows = said(file(i32::MAX as u32, &rows, &page));
    assert!(said_of_rows.contains("taken for a decompression bomb"), "{said_of_rows}");
    let mut bytes = header(12, 3);
    bytes.splice(3..4, most);
    let said_of_bytes = said(file(3, &bytes, &page));
    assert!(said_of_bytes.contains("taken for a decompression bomb"), "{said_of_bytes}");
}
