use ironwarp::data::Tokenizer;
use serde_json::{Value, json};

use crate::Refusals;

/// A whole file, with one part of it replaced.
fn with(place: &str, value: Value) -> Vec<u8> {
    let mut file = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [{"id": 3, "content": "<|end|>", "single_word": false, "lstrip": false,
                          "rstrip": false, "normalized": false, "special": true}],
        "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
                  "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]},
    });
    if !place.is_empty() {
        *file.pointer_mut(place).expect("a part of the file") = value;
    }
    file.to_string().into_bytes()
}

#[test]
fn tokenizer() {
    let mut refusals = Refusals::default();
    let mut add = |name: &str, bytes: &[u8]| {
        refusals.add_file(name, "tokenizer.json", bytes, |path| Tokenizer::read(path));
    };
    let whole = with("", Value::Null);
    add("cut off", &whole[..whole.len() / 2]);
    add("no object", b"[1, 2]");
    add("no model", br#"{"version": "1.0"}"#);
    add("not UTF-8", b"{\"version\": \"\xff\"}");
    for (name, place, value) in [
        ("another version", "/version", json!("2.0")),
        ("truncation", "/truncation", json!({"max_length": 5})),
        ("padding", "/padding", json!({"strategy": "BatchLongest"})),
        ("a normalizer", "/normalizer", json!({"type": "NFC"})),
        ("no pre-tokenizer", "/pre_tokenizer", Value::Null),
        ("another pre-tokenizer", "/pre_tokenizer", json!({"type": "Whitespace"})),
        (
            "several pre-tokenizers",
            "/pre_tokenizer",
            json!({"type": "Sequence", "pretokenizers": []}),
        ),
        (
            "a byte level with another field",
            "/pre_tokenizer",
            json!({"type": "ByteLevel", "add_prefix_space": true, "pattern": "x"}),
        ),
        (
            "a byte level without its decoder",
            "/pre_tokenizer",
            json!({"type": "ByteLevel", "add_prefix_space": false}),
        ),
        ("a template", "/post_processor", json!({"type": "TemplateProcessing"})),
        ("another decoder", "/decoder", json!({"type": "WordPiece"})),
        ("another model", "/model/type", json!("WordPiece")),
        (
            "an unknown field",
            "/model",
            json!({"type": "BPE", "vocab": {"a": 0}, "merges": [], "suffix": "x"}),
        ),
        ("dropout", "/model/dropout", json!(0.1)),
        ("an unknown token that is none", "/model/unk_token", json!("<unk>")),
        ("an id twice", "/model/vocab/b", json!(0)),
        ("an id left out", "/model/vocab/ab", json!(9)),
        ("a negative id", "/model/vocab/ab", json!(-1)),
        ("a merge of three", "/model/merges/0", json!("a b a")),
        ("a merge of one", "/model/merges/0", json!(["a"])),
        ("a merge of no token", "/model/merges/0", json!(["a", "c"])),
        ("a merge into no token", "/model/merges/0", json!(["b", "a"])),
        ("an added token that is stripped", "/added_tokens/0/lstrip", json!(true)),
        ("an added token without text", "/added_tokens/0/content", json!("")),
        ("an added token of another's number", "/added_tokens/0/id", json!(1)),
        ("an added token with two numbers", "/added_tokens/0/content", json!("ab")),
    ] {
        add(name, &with(place, value));
    }
    insta::assert_snapshot!(refusals.text);
}
