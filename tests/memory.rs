//! What is read or fitted takes memory in proportion to what there is, not to what it could be.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ironwarp::data::{Column, Csv, Dataset, Table, TableColumn, Tokenizer};
use ironwarp::random;

/// Bytes that are held, and the most since somebody asked.
static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
/// One measurement at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Small things that do not grow: buffers of readers, the names of files.
const BESIDE: usize = 1 << 18;

struct Counting;

fn took(bytes: usize) {
    MOST.fetch_max(HELD.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: passed on from the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: passed on from the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        took(size);
        HELD.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: passed on from the caller.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that something holds at once, beside those that were held before it; old and new
/// memory of what grows together.
fn most<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = HELD.load(Ordering::SeqCst);
    MOST.store(before, Ordering::SeqCst);
    let result = work();
    (MOST.load(Ordering::SeqCst) - before, result)
}

/// A `tokenizer.json` of this vocabulary, these merges and a normalizer.
fn tokenizer(vocabulary: &str, merges: &str, normalizer: &str) -> String {
    format!(
        r#"{{"normalizer":{normalizer},"pre_tokenizer":{{"type":"WhitespaceSplit"}},"model":{{"type":"BPE","vocab":{{{vocabulary}}},"merges":[{merges}]}}}}"#
    )
}

/// The entries of all words of up to three letters, of the merges that make them, and of as many signs.
fn small() -> (String, String, String) {
    let letter = |at: u32| char::from(b'a' + (at % 26) as u8);
    let (mut words, mut merges, mut signs) = (String::new(), String::new(), String::new());
    for at in 0..26 + 26 * 26 + 26 * 26 * 26 {
        let token: String = match at {
            0..26 => letter(at).into(),
            26..702 => [letter(at / 26 - 1), letter(at)].iter().collect(),
            _ => [letter((at - 702) / 676), letter(at / 26), letter(at)].iter().collect(),
        };
        let comma = if at == 0 { "" } else { "," };
        write!(words, "{comma}\"{token}\":{at}").unwrap();
        if token.len() > 1 {
            let comma = if merges.is_empty() { "" } else { "," };
            write!(merges, "{comma}\"{} {}\"", &token[..1], &token[1..]).unwrap();
        }
        let sign = char::from_u32(0x4e00 + at).unwrap();
        write!(signs, "{comma}\"{sign}\":{at}").unwrap();
    }
    (words, merges, signs)
}

/// Small entries by the ten thousand, and values that are never used, are no more than the stated
/// multiple of the file's length.
#[test]
fn a_tokenizer_takes_at_most_twelve_times_its_file() {
    let _alone = ALONE.lock();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let (words, merges, signs) = small();
    let many = |piece: &str| vec![piece; 200_000].join(",");
    let ab = r#""a":0,"b":1,"ab":2"#;
    let escaped = r"\u0041".repeat(200_000);
    for (name, text, refusal) in [
        ("a vocabulary", tokenizer(&words, &merges, "null"), None),
        ("signs", tokenizer(&signs, "", "null"), None),
        ("a merge again and again", tokenizer(ab, &many(r#""a b""#), "null"), None),
        ("a token again and again", tokenizer(&many(r#""a":0"#), "", "null"), None),
        ("an empty token again and again", tokenizer(&many(r#""":0"#), "", "null"), None),
        ("an empty merge again and again", tokenizer(r#""":0"#, &many(r#"" ""#), "null"), None),
        ("a long token", tokenizer(&format!(r#""{escaped}":0"#), "", "null"), None),
        (
            "a long merge",
            tokenizer(ab, &format!("[{}]", many("0")), "null"),
            Some("invalid type: integer"),
        ),
        (
            "many texts as a merge",
            tokenizer(ab, &format!("[{}]", many(r#""a""#)), "null"),
            Some("a merge is a text or a pair of texts"),
        ),
        (
            "a normalizer",
            tokenizer(ab, "", &format!("[{}]", many("0"))),
            Some("the normalizer: it is not supported"),
        ),
        (
            "a normalizer of many fields",
            tokenizer(ab, "", &format!("{{{}}}", many(r#""a":{}"#))),
            Some("the normalizer: it is not supported"),
        ),
    ] {
        std::fs::write(&path, &text).unwrap();
        let (bytes, read) = most(|| Tokenizer::read(&path));
        println!("{name}: {:.2} times", bytes as f64 / text.len() as f64);
        assert!(bytes <= 12 * text.len() + BESIDE, "{name}: {bytes} for {}", text.len());
        match (read, refusal) {
            (Ok(read), None) => assert!(!read.tokens().is_empty(), "{name}"),
            (Err(error), Some(text)) => assert!(error.to_string().contains(text), "{error}"),
            (read, _) => panic!("{name}: {:?}", read.map(|_| ())),
        }
    }
}

/// Of many classes the features are as many for each row, in single precision; nothing else is.
#[test]
fn encoding_by_many_classes_takes_what_its_features_take() {
    const ROWS: usize = 20_000;
    const CLASSES: u32 = 200;
    let _alone = ALONE.lock();
    let word = |stream: u32, row: usize, count: u32| {
        Some(format!("{}", random::word(1, stream, 0, row as u64) % count))
    };
    let words = TableColumn::categories("w", (0..ROWS).map(|row| word(0, row, 50)));
    let classes = TableColumn::categories("y", (0..ROWS).map(|row| word(1, row, CLASSES)));
    let recipe = Table::new(vec![words, classes]).unwrap().target("y").unwrap().target_encode(3);
    let (bytes, data) = most(|| recipe.build().unwrap());
    assert_eq!(data.features(), CLASSES as usize);
    let features = ROWS * CLASSES as usize * 4;
    let of_rows = ROWS * 256;
    assert!(bytes < features + of_rows + BESIDE, "{bytes} beside {features} of features");
}

/// Where words are as many as rows, each has a number for each class, and so has each row.
#[test]
fn encoding_many_words_takes_what_their_numbers_take() {
    const ROWS: usize = 20_000;
    const CLASSES: u32 = 50;
    let _alone = ALONE.lock();
    let words = TableColumn::categories("w", (0..ROWS).map(|row| Some(row.to_string())));
    let class = |row| Some(format!("{}", random::word(1, 1, 0, row as u64) % CLASSES));
    let classes = TableColumn::categories("y", (0..ROWS).map(class));
    let recipe = Table::new(vec![words, classes]).unwrap().target("y").unwrap().target_encode(3);
    let (bytes, data) = most(|| recipe.build().unwrap());
    assert_eq!(data.features(), CLASSES as usize);
    // In double precision that of a word, once more when the recipe is kept with the data, that of a
    // row, and what is added up; in single precision the features. Not those of all folds.
    let numbers = ROWS * CLASSES as usize * (4 * 8 + 4);
    let of_rows = ROWS * 256;
    assert!(bytes < numbers + of_rows + BESIDE, "{bytes} beside {numbers} of numbers");
}

/// A wide table of numbers and one of words: what is on its way is a few rows.
#[test]
fn csv_takes_its_text_and_its_cells() {
    let _alone = ALONE.lock();
    let columns = 100_000;
    let header: String = (0..columns).map(|column| format!("c{column},")).collect();
    for (cell, of_cell) in [("1", 8), ("ab", 40)] {
        let row = format!("{}\n", vec![cell; columns].join(","));
        let text = format!("{}\n{}", header.trim_end_matches(','), row.repeat(60));
        let (bytes, table) = most(|| Csv::new(text.as_bytes()).read().unwrap());
        assert_eq!((table.len(), table.columns().len()), (60, columns));
        // Columns grow by doubling, and old and new are held meanwhile; 1 KiB for each column.
        let bound = 2 * text.len() + 60 * columns * 2 * of_cell + columns * 1024 + BESIDE;
        assert!(bytes < bound, "{bytes} of {bound} for {} bytes", text.len());
    }
}

/// Many groups of rows with many classes.
#[test]
fn grouped_folds_take_memory_by_their_rows() {
    const ROWS: usize = 20_000;
    let _alone = ALONE.lock();
    let draw = |stream: u32, row: usize, count: u32| random::word(2, stream, 0, row as u64) % count;
    let labels = (0..ROWS).map(|row| draw(0, row, 1000)).collect();
    let x = Column::numbers("x", &[], vec![0.0; ROWS]);
    let data = Dataset::new(vec![x], vec![Column::indices("y", &[], labels)]).unwrap();
    let data = data.with_groups((0..ROWS).map(|row| draw(1, row, 8000)).collect()).unwrap();
    let (bytes, folds) = most(|| data.k_fold_stratified_grouped(2, 1).unwrap());
    assert!(bytes < ROWS * 256 + BESIDE, "{bytes}");
    assert_eq!(folds.map(|(_, part)| part.len()).sum::<usize>(), ROWS);
}
