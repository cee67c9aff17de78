//! A table as people hand it in, with a byte order mark, quotes, newlines inside cells, blank lines,
//! both line ends, words for missing cells: every cell is read as it was meant, or the line and
//! column are named where it cannot be.

use ironwarp::data::{Csv, Kind, Table};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

const HEADER: &str = "passenger,\"Age, in years\",fare,port,\"the \"\"note\"\"\"";
const COLUMNS: [&str; 5] = ["passenger", "Age, in years", "fare", "port", "the \"note\""];

/// What the cells of a row mean.
struct Row {
    passenger: f64,
    age: Option<f64>,
    fare: Option<f64>,
    port: Option<&'static str>,
    note: Option<String>,
}

/// The text of a table and what it means; `line` of every row, as an editor counts.
struct Mess {
    text: Vec<u8>,
    rows: Vec<Row>,
    lines: Vec<usize>,
}

fn mess(rows: usize, seed: u64) -> Mess {
    let mut random = Random(seed);
    let mut text = format!("\u{feff}{HEADER}\r\n").into_bytes();
    let mut line = 2;
    let mut mess = Mess { text: Vec::new(), rows: Vec::new(), lines: Vec::new() };
    for place in 0..rows {
        for _ in 0..random.below(8).saturating_sub(6) {
            text.extend(random.pick(&["\n", "\r\n"]).bytes());
            line += 1;
        }
        let (row, cells) = row(place, &mut random);
        mess.lines.push(line);
        text.extend(cells.join(",").bytes());
        line += cells.iter().flat_map(|cell| cell.bytes()).filter(|&byte| byte == b'\n').count();
        text.extend(random.pick(&["\n", "\r\n"]).bytes());
        line += 1;
        mess.rows.push(row);
    }
    mess.text = text;
    mess
}

/// A row, and its cells as they are written.
fn row(place: usize, random: &mut Random) -> (Row, [String; 5]) {
    let missing = |random: &mut Random| random.pick(&["", "NA", "?", "\"\"", " "]).to_string();
    let (age, fare) = (random.below(800) as f64 / 8.0, random.below(1 << 20) as f64 / 1024.0);
    let (age, age_text) = match random.below(5) {
        0 => (None, missing(random)),
        1 => (Some(age), format!("\"{age}\"")),
        2 => (Some(age), format!("  {age}\t")),
        _ => (Some(age), format!("{age}")),
    };
    let (fare, fare_text) = match random.below(20) {
        0 => (None, missing(random)),
        1 => (Some(-fare), format!("-{fare:e}")),
        _ => (Some(fare), format!("{fare}")),
    };
    let port = random.pick(&["Cherbourg", "Queenstown", "Göteborg", "São Tomé", "港"]);
    let (port, port_text) = match random.below(50) {
        0 => (None, missing(random)),
        1 => (Some(port), format!("\"{port}\"")),
        _ => (Some(port), port.to_string()),
    };
    let pieces = ["a", "Mr.", "said \"no\"", ",", "\n", "two\nlines", ";", "'", "Zoë", "1e5"];
    let inner: Vec<&str> = (0..random.below(5)).map(|_| random.pick(&pieces)).collect();
    let note = inner.join(" ").trim().to_string();
    let written = format!("\"{}\"", note.replace('"', "\"\""));
    let note = (!note.is_empty() && note != "1e5").then_some(note);
    let note_text = if note.is_some() { written } else { missing(random) };
    let row = Row { passenger: place as f64, age, fare, port, note };
    (row, [format!("{place}"), age_text, fare_text, port_text, note_text])
}

fn read(text: &[u8]) -> Result<Table, String> {
    Csv::new(text).missing_words(&["NA", "?"]).read().map_err(|error| error.to_string())
}

fn check(mess: &Mess) {
    let table = read(&mess.text).unwrap();
    assert_eq!(table.len(), mess.rows.len());
    let names: Vec<&str> = table.columns().iter().map(|column| column.name()).collect();
    assert_eq!(names, COLUMNS);
    let kinds: Vec<Kind> = table.columns().iter().map(|column| column.kind()).collect();
    let [number, word] = [Kind::Number, Kind::Category];
    assert_eq!(kinds, [number, number, number, word, word]);
    let [passenger, age, fare, port, note] = table.columns() else { panic!("five columns") };
    for (place, row) in mess.rows.iter().enumerate() {
        assert_eq!(passenger.number(place), Some(row.passenger), "row {place}");
        assert_eq!(age.number(place), row.age, "row {place}");
        assert_eq!(fare.number(place), row.fare, "row {place}");
        assert_eq!(port.word(place), row.port, "row {place}");
        assert_eq!(note.word(place), row.note.as_deref(), "row {place}");
    }
}

/// The same text in which one letter is written in Latin-1, or a number is a word.
fn check_refusals(mess: &Mess, row: usize) {
    let line = mess.lines[row];
    let spoil = |from: &str, to: &[u8]| {
        let lines: Vec<&[u8]> = mess.text.split_inclusive(|&byte| byte == b'\n').collect();
        let at: usize = lines[..line - 1].iter().map(|line| line.len()).sum();
        let begin = format!("{row},");
        assert!(mess.text[at..].starts_with(begin.as_bytes()), "row {row} is not on line {line}");
        let end = at + begin.len();
        let mut text = mess.text.clone();
        match from {
            "first" => drop(text.splice(at..end - 1, to.iter().copied())),
            _ => drop(text.splice(end..end, to.iter().copied())),
        }
        read(&text).unwrap_err()
    };
    let latin = spoil("first", b"Andr\xe9");
    assert!(latin.contains(&format!("line {line}, column `passenger`")), "{latin}");
    assert!(latin.contains("not UTF-8"), "{latin}");
    let word = spoil("first", b"seven");
    assert!(word.contains(&format!("line {line}, column `passenger`: `seven` is not")), "{word}");
    let wide = spoil("second", b"1,");
    assert!(wide.contains(&format!("line {line}: 6 fields, but the header has 5")), "{wide}");
}

#[test]
fn a_messy_table_is_read_right_or_refused_with_its_place() {
    for seed in 0..4 {
        let mess = mess(2000, seed);
        check(&mess);
        for row in [0, 1, 777, 1999] {
            check_refusals(&mess, row);
        }
    }
}

/// Prints how long the reading took, and the most memory that the process had.
#[test]
#[ignore = "a million rows; `just nightly` runs it"]
fn a_million_messy_rows_are_read_right() {
    let mess = mess(1_000_000, 9);
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default().to_string()
    };
    let before = peak();
    let start = std::time::Instant::now();
    let table = read(&mess.text).unwrap();
    println!("{} bytes, {} rows in {:?}", mess.text.len(), table.len(), start.elapsed());
    println!("with the table's text and meaning: {before}; after reading: {}", peak());
    drop(table);
    check(&mess);
    check_refusals(&mess, 654_321);
}
