//! Tokens are those of Hugging Face's tokenizers; `tests/fixtures/tokenizer/make.py` made the files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ironwarp::data::Tokenizer;
use serde_json::Value;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer").join(name)
}

#[test]
fn tokens_are_those_of_tokenizers() {
    let lines = std::fs::read_to_string(file("expected.jsonl")).unwrap();
    let mut names = BTreeSet::new();
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let [name, text, decoded] = ["file", "text", "decoded"].map(|x| case[x].as_str().unwrap());
        let tokenizer = Tokenizer::read(file(&format!("{name}.json"))).unwrap();
        let expected: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        let found = tokenizer.encode(text).unwrap();
        assert_eq!(found, expected, "{name}: {text:?}");
        assert_eq!(tokenizer.decode(&found).unwrap(), decoded, "{name}: {text:?}");
        if name.starts_with("bytes") && name != "bytes_prefix" {
            assert_eq!(decoded, text, "every byte is encoded");
        }
        names.insert(name.to_string());
    }
    assert_eq!((names.len(), lines.lines().count()), (6, 90));
}

#[test]
fn windows_are_rows_of_tokens() {
    let tokenizer = Tokenizer::read(file("bytes.json")).unwrap();
    let text = "The rows are added to the rows, in order.<|end|>";
    let data = tokenizer.windows(text, 4, 2).unwrap();
    let count = tokenizer.encode(text).unwrap().len();
    assert_eq!((data.len(), data.classes()), ((count - 5) / 2 + 1, tokenizer.tokens().len()));
    assert_eq!(data.class_names()[0], "<|end|>");
}

#[test]
fn what_is_not_in_the_vocabulary_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let text = std::fs::read_to_string(file("whitespace.json")).unwrap();
    std::fs::write(&path, text.replace("\"unk_token\":\"<unk>\"", "\"unk_token\":null")).unwrap();
    let tokenizer = Tokenizer::read(&path).unwrap();
    let count = tokenizer.tokens().len();
    let error = tokenizer.encode("rows\n\nadded ☃ rows").unwrap_err().to_string();
    assert_eq!(error, format!("text, line 3: `☃` is not in the vocabulary of {count} tokens"));
    let error = tokenizer.decode(&[3, 9999]).unwrap_err().to_string();
    assert_eq!(error, format!("token 9999 at 1 is not in the vocabulary of {count} tokens"));
}

#[test]
fn a_long_piece_is_encoded_in_reasonable_time() {
    // A merge at a time over all of it would take hours.
    let tokenizer = Tokenizer::read(file("bytes_whole.json")).unwrap();
    let text = "rows and sums ".repeat(20_000);
    let tokens = tokenizer.encode(&text).unwrap();
    assert!(tokens.len() < text.len() / 2);
    assert_eq!(tokenizer.decode(&tokens).unwrap(), text);
}
