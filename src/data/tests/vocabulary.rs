use std::io::Write;

use super::{features, message, targets};
use crate::data::{Task, Vocabulary, read_text};

#[test]
fn a_text_comes_back_from_its_tokens() {
    let text = "Größe: 5 µm,\n\tok\r\n";
    let vocabulary = Vocabulary::of_characters(text).unwrap();
    assert_eq!(vocabulary.decode(&vocabulary.encode(text).unwrap()).unwrap(), text);
    let characters: String = vocabulary.characters().iter().collect();
    assert_eq!(Vocabulary::of_characters(&characters).unwrap(), vocabulary);
}

#[test]
fn targets_are_the_tokens_after_the_inputs() {
    let vocabulary = Vocabulary::of_characters("abcdefg").unwrap();
    let rows = |length, stride| {
        let data = vocabulary.windows("abcdefg", length, stride).unwrap();
        assert_eq!(data.inputs()[0].row_shape, [length]);
        assert_eq!(data.task(), Task::Classification { classes: 7 });
        assert_eq!(data.class_names()[1], "b");
        let read = |values: Vec<f32>| -> Vec<u32> { values.iter().map(|&x| x as u32).collect() };
        let text = |tokens: Vec<u32>| vocabulary.decode(&tokens).unwrap();
        (text(read(features(&data))), text(read(targets(&data))))
    };
    assert_eq!(rows(3, 3), ("abcdef".into(), "bcdefg".into()));
    assert_eq!(rows(3, 2), ("abccde".into(), "bcddef".into()));
    assert_eq!(rows(6, 1), ("abcdef".into(), "bcdefg".into()));
    assert_eq!(rows(4, 4), ("abcd".into(), "bcde".into()));
    assert_eq!(rows(1, 5), ("af".into(), "bg".into()));
}

#[test]
fn what_cannot_be_windows_is_refused() {
    let vocabulary = Vocabulary::of_characters("ab\n").unwrap();
    assert_eq!(
        message(vocabulary.windows("abab", 4, 4)),
        "windows of length 4 need 4 tokens and the one after them, the text has 4"
    );
    assert_eq!(
        message(vocabulary.windows("abab", 2, 0)),
        "windows of length 2 and stride 0: both must be above 0"
    );
    assert_eq!(
        message(vocabulary.encode("ab\nb\u{1b}")),
        "text, line 2: `\\u{1b}` is not in the vocabulary of 3 characters; make it of all texts"
    );
    assert_eq!(
        message(vocabulary.decode(&[0, 3])),
        "token 3 at 1 is not in the vocabulary of 3 characters"
    );
    assert_eq!(
        message(Vocabulary::of_characters("")),
        "a vocabulary of an empty text has no tokens"
    );
}

#[test]
fn files_of_text_plain_or_zipped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    std::fs::write(&path, "\u{feff}one\ntwo").unwrap();
    assert_eq!(read_text(&path).unwrap(), "one\ntwo");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(b"one\ntwo").unwrap();
    std::fs::write(&path, encoder.finish().unwrap()).unwrap();
    assert_eq!(read_text(&path).unwrap(), "one\ntwo");
    std::fs::write(&path, b"one\ntw\xff").unwrap();
    let text = format!("`{}`, line 2, byte 6: 0xff is not UTF-8 text", path.display());
    assert_eq!(message(read_text(&path)), text);
}
