//! Arrow's files against the CSV file of the same cells; files that are not what they say.

use std::fs::read;
use std::path::PathBuf;

use super::message;
use crate::data::{Csv, Dataset, Impute, Kind, Parquet, Table};

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

/// Seven bits a byte, the lowest first.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A column that has no missing cells, by the numbers of its types, and the bytes of its pages.
struct Made<'a> {
    name: u8,
    physical: u8,
    converted: Option<u8>,
    pages: &'a [u8],
}

/// A file of these columns in one row group.
fn file_of(rows: u32, columns: &[Made<'_>]) -> Vec<u8> {
    let zigzag = |number: u64| varint(number << 1);
    let count = columns.len() as u8;
    // version 1; schema: the root and its children.
    let mut footer = vec![0x15, 2, 0x19, (count + 1) << 4 | 0xc, 0x48, 1, b'r', 0x15, count * 2, 0];
    for column in columns {
        footer.extend([0x15, column.physical * 2, 0x25, 0, 0x18, 1, column.name]);
        footer.extend(column.converted.iter().flat_map(|converted| [0x25, converted * 2]));
        footer.push(0);
    }
    footer.extend(
        [&[0x16][..], &zigzag(rows.into()), &[0x19, 0x1c, 0x19, count << 4 | 0xc]].concat(),
    );
    let mut data = vec![];
    for column in columns {
        // A chunk, whose data is described.
        let start = zigzag(4 + data.len() as u64);
        footer.extend([&[0x26][..], &start, &[0x1c, 0x15, column.physical * 2, 0x35, 0]].concat());
        footer.extend([&[0x16][..], &zigzag(rows.into()), &[0x26]].concat());
        footer.extend(zigzag(column.pages.len() as u64));
        footer.extend([&[0x26][..], &start, &[0, 0]].concat());
        data.extend(column.pages);
    }
    footer.extend([&[0x16, 2, 0x16][..], &zigzag(rows.into()), &[0, 0]].concat());
    [b"PAR1", &data[..], &footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

/// A file of one column of 32-bit numbers whose only page is made of these parts.
fn file(rows: u32, header: &[u8], page: &[u8]) -> Vec<u8> {
    let pages = [header, page].concat();
    file_of(rows, &[Made { name: b'x', physical: 1, converted: None, pages: &pages }])
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

#[test]
fn a_date_of_no_year_is_refused_by_its_row() {
    let days = [0i32, 2_932_896, 2_932_897, -1].map(i32::to_le_bytes);
    let read = |days: &[[u8; 4]]| {
        let pages = [&header(4 * days.len() as u8, days.len() as u8)[..], days.as_flattened()];
        let column = Made { name: b'd', physical: 1, converted: Some(6), pages: &pages.concat() };
        Parquet::new(file_of(days.len() as u32, &[column])).read()
    };
    let table = read(&days[..2]).unwrap();
    assert_eq!(table.columns()[0].kind(), Kind::Date);
    assert_eq!(table.columns()[0].number(1), Some(2_932_896.0));
    assert_eq!(
        message(read(&days)),
        "`<memory>`, row 2, column `d`: the date is not of the years 0 to 9999; if it means that the \
         cell is missing, leave the cell empty"
    );
}

/// Cells that are all missing, numbers that are names, and text, as the table has them that a model
/// was fitted on.
#[test]
fn a_model_tells_what_columns_are() {
    let text =
        "d,n,w,c,y\n2024-01-31,1.5,a,7,0.5\n2024-02-01,2.5,b,8,1.5\n2024-03-05,3.5,a,7,2.5\n";
    let csv = Csv::new(text.as_bytes()).categories(&["c"]);
    let recipe = csv.target("y").unwrap().impute(Impute::Median).impute(Impute::MostFrequent);
    let data = recipe.build().unwrap();
    let fitted = data.preprocessing().unwrap();
    let page = |values: &[u8]| [&header(values.len() as u8, 2)[..], values].concat();
    let [empty, nothing] = [page(&[0; 8]), page(&[f32::NAN.to_le_bytes(); 2].concat())];
    let [number, date] = [b"\x03\0\0\x002.5", b"\x0a\0\0\x002024-02-01"] as [&[u8]; 2];
    let [numbers, dates] = [number, date].map(|text| page(&[text, &[0; 4]].concat()));
    let sevens = page(&[7i32, 8].map(i32::to_le_bytes).concat());
    let column = |name, physical, pages| {
        let converted = (physical == 6).then_some(0);
        Made { name, physical, converted, pages }
    };
    let words = column(b'w', 6, &empty);
    let features = |known: bool, columns: &[Made<'_>]| {
        let parquet = Parquet::new(file_of(2, columns));
        let parquet = if known { parquet.types_from(fitted) } else { parquet };
        fitted.apply(&parquet.read()?).map(|data| super::features(&data))
    };
    let said = |first, second| {
        let csv = Csv::new(format!("d,n,w,c\n{first}\n{second}\n").into_bytes().leak() as &[u8]);
        super::features(&fitted.apply(&csv.types_from(fitted).read().unwrap()).unwrap())
    };
    let missing = said(",,,7", ",,,8");
    for (d, n) in [((6, &empty), (6, &empty)), ((4, &nothing), (4, &nothing))] {
        let columns = [
            column(b'd', d.0, d.1),
            column(b'n', n.0, n.1),
            column(b'w', 6, &empty),
            column(b'c', 1, &sevens),
        ];
        assert_eq!(features(true, &columns).unwrap(), missing);
        let refused = message(features(false, &columns));
        assert!(refused.contains("read the file with `types_from`"), "{refused}");
    }
    let columns =
        [column(b'd', 6, &dates), column(b'n', 6, &numbers), words, column(b'c', 1, &sevens)];
    assert_eq!(features(true, &columns).unwrap(), said("2024-02-01,2.5,,7", ",,,8"));
}

/// The first column takes its share in many small pages, the second in one large one, which is too
/// much only when the first is through, whatever two threads do meanwhile.
#[test]
fn a_bomb_is_found_in_the_order_of_columns() {
    const PAGES: u32 = 200;
    const ROWS: u32 = 3_000_000;
    // Booleans in a run: the bytes of the coding, its length in front.
    let page = |rows: u32| {
        let count = varint(u64::from(rows) << 1);
        let run = [&count[..], &[0]].concat();
        let mut head = header(4 + run.len() as u8, 0);
        // The rows, and the encoding.
        head.splice(8..11, count.into_iter().chain([0x15, 6]));
        [&head[..], &(run.len() as u32).to_le_bytes(), &run].concat()
    };
    let [small, large] = [page(ROWS / PAGES).repeat(PAGES as usize), page(ROWS)];
    let column = |name, pages| Made { name, physical: 0, converted: None, pages };
    let bytes = file_of(ROWS, &[column(b'a', &small), column(b'b', &large)]);
    for _ in 0..3 {
        let said = message(Parquet::new(bytes.clone()).read());
        assert!(said.contains("column `b`, row group 0: the file unfolds to more than"), "{said}");
    }
    let alone = Parquet::new(file_of(ROWS, &[column(b'b', &large)])).read().unwrap();
    assert_eq!(alone.len(), ROWS as usize);
}
