use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::message;
use crate::data::{Csv, Dataset, Kind, Table};
use crate::error::DataError;

fn read(text: &str) -> Result<Table, DataError> {
    Csv::new(text.as_bytes()).read()
}

fn kinds(table: &Table) -> Vec<Kind> {
    table.columns().iter().map(|column| column.kind()).collect()
}

/// The message without the file's name in front.
fn refusal(text: &str) -> String {
    let message = message(read(text));
    message.strip_prefix("`<memory>`, ").expect("the file is named first").into()
}

#[test]
fn columns_are_typed_by_their_cells() {
    let text = "a,b,c,d\n1,x,,\"1,5\"\n -2.5e3 , y z ,,\"say \"\"hi\"\"\"\n,,,.5\n";
    let table = read(text).unwrap();
    assert_eq!(kinds(&table), [Kind::Number, Kind::Category, Kind::Number, Kind::Category]);
    let cell = |name: &str, row| {
        let column = table.column(name).unwrap();
        (column.number(row), column.word(row))
    };
    assert_eq!(cell("a", 1), (Some(-2500.0), None));
    assert_eq!(cell("a", 2), (None, None));
    assert_eq!(cell("b", 1), (None, Some("y z")));
    assert_eq!(cell("c", 0), (None, None));
    assert_eq!(cell("d", 0), (None, Some("1,5")));
    assert_eq!(cell("d", 1), (None, Some("say \"hi\"")));
    let missing: Vec<usize> = table.columns().iter().map(|column| column.missing()).collect();
    assert_eq!(missing, [1, 1, 3, 0]);
}

#[test]
fn marks_line_ends_blank_lines_and_final_newlines_do_not_matter() {
    let plain = "a,b\n1,x\n2,y\n";
    let variants = [
        "\u{feff}a,b\n1,x\n2,y\n",
        "a,b\r\n1,x\r\n2,y\r\n",
        "\u{feff}a,b\r\n1,x\r\n2,y",
        "a,b\n1,x\n2,y",
        "\n\na,b\n\n1,x\n\r\n2,y\n\n\n",
        "\"a\",\"b\"\n\"1\",\"x\"\n 2 , y \n",
    ];
    let show = |text| format!("{:?}", read(text).unwrap().columns());
    for text in variants {
        assert_eq!(show(text), show(plain), "{text:?}");
    }
}

#[test]
fn settings_of_the_text() {
    let table = Csv::new("1;a\n?;b\n3;-\n".as_bytes())
        .no_header()
        .delimiter(b';')
        .missing_words(&["?", "-"])
        .read()
        .unwrap();
    let names: Vec<&str> = table.columns().iter().map(|column| column.name()).collect();
    assert_eq!(names, ["0", "1"]);
    assert_eq!(kinds(&table), [Kind::Number, Kind::Category]);
    assert!(table.columns()[0].is_missing(1) && table.columns()[1].is_missing(2));

    let zip = "zip\n01\n2\n";
    let table = Csv::new(zip.as_bytes()).categories(&["zip"]).read().unwrap();
    assert_eq!(table.columns()[0].word(0), Some("01"));
    // Fewer numbers than words: a column of words, unless it is said to be numbers.
    let mixed = "m\n1\na\nb\n";
    assert_eq!(kinds(&read(mixed).unwrap()), [Kind::Category]);
    assert_eq!(
        message(Csv::new(mixed.as_bytes()).numbers(&["m"]).read()),
        "`<memory>`, line 3, column `m`: `a` is not a number; if it means that the cell is \
         missing, add it to `missing_words`"
    );
    assert_eq!(
        message(Csv::new(mixed.as_bytes()).numbers(&["n"]).read()),
        "`<memory>`, the header: there is no column `n`"
    );
}

#[test]
fn bad_files_are_refused_with_their_place() {
    let missing = "if it means that the cell is missing, add it to `missing_words`";
    let cases: Vec<(&str, String)> = vec![
        ("", "line 1: the file is empty".into()),
        ("\n\n", "line 1: the file is empty".into()),
        ("a,b\n", "line 1: there are no rows after the header".into()),
        ("a,b\n1,2\n3\n", "line 3: 1 fields, but the header has 2".into()),
        ("a,b\r\n1,2\r\n\r\n3,4,5\r\n", "line 4: 3 fields, but the header has 2".into()),
        ("a,b\n1,\"x\ny\"\n3\n", "line 4: 1 fields, but the header has 2".into()),
        ("a,b\n1,2\n\"x\n\ny\",3,4", "line 3: 3 fields, but the header has 2".into()),
        (
            "1,2\n3,4\n",
            "line 1: the header is all numbers; if the file has none, call `no_header()`".into(),
        ),
        ("a,\n1,2\n", "the table: a column has no name".into()),
        ("a,a\n1,2\n", "the table: two columns are named `a`".into()),
        ("a\n1\nnan\n", format!("line 3, column `a`: `nan` is not a finite number; {missing}")),
        ("a\n1\n-inf\n", format!("line 3, column `a`: `-inf` is not a finite number; {missing}")),
        ("a\n1e400\n", format!("line 2, column `a`: `1e400` is not a finite number; {missing}")),
        (
            "a\n1\n2\n0x10\n",
            "line 4, column `a`: `0x10` is not a number, while most cells of the column are; add \
             it to `missing_words`, or say `categories(&[\"a\"])`"
                .into(),
        ),
        ("a,b\n1,x\n2,\"y\n3,z\n", "line 3: a quote in this row is not closed".into()),
        ("a,b\n1,x\n2,\"y\n3,z", "line 3: a quote in this row is not closed".into()),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(text), expected, "{text:?}");
    }
}

#[test]
fn long_and_odd_cells_are_shortened_and_escaped() {
    let long = "x".repeat(39) + "é and more";
    let shown = "x".repeat(39) + "...";
    let text = refusal(&format!("a\n1\n2\n{long}\n"));
    assert!(text.starts_with(&format!("line 4, column `a`: `{shown}` is not a number")), "{text}");
    let text = refusal("a\n1\n2\n\"\u{1b}[2J\tx\"\n");
    assert!(text.starts_with("line 4, column `a`: `\\u{1b}[2J\\tx` is not a number"), "{text}");
}

#[test]
fn hostile_column_names_are_shortened_and_escaped_too() {
    let name = "\u{1b}]0;".to_string() + &"n".repeat(100);
    let shown = "\\u{1b}]0;".to_string() + &"n".repeat(36) + "...";
    let text = refusal(&format!("{name},b\nnan,1\n"));
    assert!(text.starts_with(&format!("line 2, column `{shown}`: `nan`")), "{text}");
    let absent = message(read(&format!("{name},b\n1,2\n")).and_then(|table| table.target("c")));
    assert!(absent.ends_with(&format!("the columns are `{shown}`, `b`")), "{absent}");
}

#[test]
fn text_must_be_utf8() {
    let bytes = |bytes: &'static [u8]| message(Csv::new(bytes).read());
    assert_eq!(
        bytes(b"a,b\n1,ok\n2,caf\xe9\n"),
        "`<memory>`, line 3, column `b`: `caf\u{fffd}` is not UTF-8 text"
    );
    assert_eq!(
        bytes(b"a,\xff\n1,2\n"),
        "`<memory>`, line 1, column `1`: `\u{fffd}` is not UTF-8 text"
    );
}

#[test]
fn fields_and_rows_without_end_are_refused() {
    let longest = "x".repeat(1 << 20);
    let table = read(&format!("a\n{longest}\n")).unwrap();
    assert_eq!(table.columns()[0].word(0).map(str::len), Some(1 << 20));
    assert_eq!(
        refusal(&format!("a\nb\n{longest}x\n")),
        "line 3, column `a`: the field is 1048577 bytes long, more than 1 MiB"
    );
    let wide = ",".repeat(1 << 20);
    for csv in [Csv::new(wide.as_bytes()), Csv::new(wide.as_bytes()).no_header()] {
        let said = message(csv.read());
        assert_eq!(said, "`<memory>`, line 1: there are more than 1048576 columns");
    }
    // A quote that swallows 10 GB: the reader gives up after 64 MiB.
    let endless = "a\n\"".as_bytes().chain(io::repeat(b'x').take(10 << 30));
    assert_eq!(
        message(Csv::new(endless).read()),
        "`<memory>`, line 2: the row is longer than 64 MiB; is a quote not closed?"
    );
}

#[test]
fn files_plain_or_zipped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all("\u{feff}a,b\n1,x\n2,y\n".as_bytes()).unwrap();
    let zipped = encoder.finish().unwrap();
    std::fs::write(&path, &zipped).unwrap();
    let table = Csv::open(&path).unwrap().read().unwrap();
    assert_eq!((table.len(), kinds(&table)), (2, vec![Kind::Number, Kind::Category]));

    std::fs::write(&path, &zipped[..zipped.len() - 3]).unwrap();
    let text = message(Csv::open(&path).unwrap().read());
    let expected = format!("`{}`, line 4: the gzip data is truncated or damaged (", path.display());
    assert!(text.starts_with(&expected), "{text}");
    let text = message(Csv::open(folder.path()).and_then(|csv| csv.read().map(|_| ())));
    assert_eq!(text, format!("cannot read `{}`", folder.path().display()));
    assert_eq!(message(Dataset::csv("absent.csv").map(|_| ())), "cannot read `absent.csv`");
}

#[test]
fn a_reader_that_fails_is_an_error_of_reading() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5))
        }
    }
    for good in [0, 1, 3, 10, 100_000] {
        let text = "a\n".to_string() + &"1\n".repeat(good);
        let reader = io::Cursor::new(text.into_bytes()).take(good as u64).chain(Failing);
        let error = Csv::new(reader).read().err().unwrap();
        assert!(matches!(error, DataError::Read { .. }), "{error}");
    }
}

#[test]
fn one_byte_at_a_time_reads_the_same() {
    struct Drip<'a>(&'a [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(out.len()).min(1);
            self.0.read(&mut out[..count])
        }
    }
    let text = "\u{feff}a,b\r\n1,\"x\r\ny\"\r\n\r\n2,z\r\n3\r\n";
    assert_eq!(message(Csv::new(Drip(text.as_bytes())).read()), message(read(text)));
    assert_eq!(refusal(text), "line 6: 1 fields, but the header has 2");
}

/// Cells as another library reads them, without the space around them; `None` if rows differ in
/// length. It takes the first row for a row.
fn rows_of_the_csv_crate(text: &str) -> Option<Vec<Vec<String>>> {
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let rows = reader.records().map(|record| record.ok());
    rows.map(|row| Some(row?.iter().map(|cell| cell.trim().to_string()).collect())).collect()
}

#[test]
fn cells_are_those_of_the_csv_crate_for_blocks_of_any_size() {
    const PIECES: [&str; 14] =
        ["a", "12", "-1.5", ",", ",", ",", "\n", "\n", "\r\n", "\"", "\"\"", " ", "\r", "\u{e9}"];
    let mut state = 1u32;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % bound
    };
    let (mut tables, mut unclosed) = (0, 0);
    for _ in 0..4000 {
        let text: String = (0..below(24)).map(|_| PIECES[below(PIECES.len())]).collect();
        let read = |block: usize| {
            let csv = Csv::new(text.as_bytes()).no_header().categories(&["0"]);
            csv.in_blocks(block).read()
        };
        let table = match (read(1 + below(9)), read(64)) {
            (Ok(table), Ok(whole)) => {
                let show = |table: &Table| format!("{:?}", table.columns());
                assert_eq!(show(&table), show(&whole), "{text:?}");
                table
            }
            (one, other) => {
                let said = message(one);
                assert_eq!(said, message(other), "{text:?}");
                unclosed += u32::from(said.contains("not closed"));
                let uneven = said.contains("fields, but the first row has");
                assert!(!uneven || rows_of_the_csv_crate(&text).is_none(), "{text:?}: {said}");
                continue;
            }
        };
        let expected = rows_of_the_csv_crate(&text).unwrap_or_else(|| panic!("{text:?}"));
        let first: Vec<&str> = expected.iter().map(|row| row[0].as_str()).collect();
        let words: Vec<&str> =
            (0..table.len()).map(|row| table.columns()[0].word(row).unwrap_or("")).collect();
        assert_eq!(words, first, "{text:?}");
        for (index, column) in table.columns().iter().enumerate().skip(1) {
            for (row, cells) in expected.iter().enumerate() {
                let number = column.number(row).map(|number| number.to_string());
                let cell = column.word(row).map(String::from).or(number).unwrap_or_default();
                assert_eq!(cell, cells[index], "{text:?}");
            }
        }
        tables += 1;
    }
    assert!(tables > 800 && unclosed > 40, "{tables} {unclosed}");
}

#[test]
fn a_column_that_turns_out_to_be_words_keeps_what_was_written() {
    let mut text = "n,code\n".to_string();
    (0..3000).for_each(|row| text += &format!("{row}.50,{:03}\n", row % 10));
    (0..4000).for_each(|row| text += &format!("{row},\"x\"\"{}\"\n", row % 3));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("codes.csv");
    std::fs::write(&path, &text).unwrap();
    // From a file, from memory, and from memory at once.
    let tables = [
        Csv::open(&path).unwrap().in_blocks(1000).read().unwrap(),
        Csv::new(text.as_bytes()).in_blocks(1000).read().unwrap(),
        read(&text).unwrap(),
    ];
    for table in &tables {
        assert_eq!(kinds(table), [Kind::Number, Kind::Category]);
        assert_eq!(table.columns()[1].word(7), Some("007"));
        assert_eq!(table.columns()[1].word(3001), Some("x\"1"));
        assert_eq!(table.columns()[0].number(2999), Some(2999.5));
        assert_eq!(table.len(), 7000);
    }
    let some = Csv::open(&path).unwrap().in_blocks(1000).head(2950).read().unwrap();
    assert_eq!((some.len(), kinds(&some)), (2950, vec![Kind::Number, Kind::Number]));
    let late = text + "1,x,y\n";
    let said = message(Csv::new(late.as_bytes()).in_blocks(1000).read());
    assert_eq!(said, "`<memory>`, line 7002: 3 fields, but the header has 2");
    assert_eq!(Csv::new(late.as_bytes()).head(7000).read().unwrap().len(), 7000);
}

#[test]
fn delimiters_that_numbers_hold_and_that_nothing_can_be() {
    for (delimiter, text) in [(b'.', "a.b\n1.5\n-2.x\n"), (b'-', "a-b\n1-5\n2-x\n")] {
        let table = Csv::new(text.as_bytes()).delimiter(delimiter).read().unwrap();
        assert_eq!(kinds(&table), [Kind::Number, Kind::Category]);
        assert_eq!(table.columns()[1].word(0), Some("5"));
    }
    for delimiter in [b'"', b'\n', b'\r'] {
        let said = message(Csv::new("a,b\n1,2\n".as_bytes()).delimiter(delimiter).read());
        assert_eq!(said, "the delimiter can be neither a quote nor the end of a line");
    }
}

#[test]
fn numbers_that_stand_for_missing_cells() {
    let text = "a,b\n-999,1\n5,-999.0\n-999.0,2\n";
    let table = Csv::new(text.as_bytes()).missing_words(&["-999", "?"]).read().unwrap();
    let numbers = |column: usize| (0..3).map(|row| table.columns()[column].number(row)).collect();
    let [a, b]: [Vec<_>; 2] = [numbers(0), numbers(1)];
    assert_eq!(a, [None, Some(5.0), Some(-999.0)], "words are compared as they are written");
    assert_eq!(b, [Some(1.0), Some(-999.0), Some(2.0)]);
}

#[test]
fn the_digits_are_read_whole() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.csv.gz");
    let digits = Dataset::csv(path).unwrap().no_header().target("64").unwrap().build().unwrap();
    assert_eq!((digits.len(), digits.features(), digits.classes()), (1797, 64, 10));
    assert_eq!(super::targets(&digits)[..4], [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(super::features(&digits)[..8], [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0]);
    assert_eq!(
        message(Dataset::csv(path).unwrap().read()),
        format!(
            "`{path}`, line 1: the header is all numbers; if the file has none, call `no_header()`"
        )
    );
}

#[test]
fn another_delimiter_is_guessed() {
    let hint = |c: &str| format!("; if `{c}` stands between fields, say so: `delimiter`, or");
    let target = |text: &'static str| message(Csv::new(text.as_bytes()).target("b"));
    for (text, c) in [("a;b\n1;2\n", ";"), ("a\tb\n1\t2\n", "tab"), ("a|b\n1|2\n", "|")] {
        let said = target(text);
        assert!(said.contains("there is no column `b`") && said.contains(&hint(c)), "{said}");
    }
    let said = target("a;b\n1,5;2\n");
    assert!(said.contains("line 2: 2 fields, but the header has 1; if `;`"), "{said}");
    let said = message(Csv::new("a,b\n1,2\n".as_bytes()).delimiter(b';').target("b"));
    assert!(said.contains(&hint(",")), "{said}");
    assert!(
        !target("a\n1\n").contains("stands between") && !target("a,c;d\n1,2\n").contains("if `")
    );
}
