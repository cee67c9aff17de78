//! Model files: what is written, what is read, and what damaged or hostile files lead to.

use half::{bf16, f16};
use ironwarp::error::FileError;
use ironwarp::file::{MAX_DIMENSIONS, MAX_NAME_BYTES, MAX_TENSORS, TensorFile};
use ironwarp::tensor::{Elements, HostTensor};
use safetensors::{Dtype, SafeTensors};
use serde_json::json;

/// A file with every element type, an empty tensor and a scalar.
fn sample() -> TensorFile {
    let tensor = |shape: &[usize], elements| HostTensor::new(shape.to_vec(), elements).unwrap();
    TensorFile {
        tensors: [
            ("a.bytes".into(), tensor(&[3], Elements::U8(vec![0, 127, 255]))),
            ("b.weight".into(), tensor(&[1, 2], Elements::F32(vec![1.5, -0.0]))),
            ("c.half".into(), tensor(&[1], Elements::F16(vec![f16::from_f32(0.1)]))),
            ("d.brain".into(), tensor(&[], Elements::BF16(vec![bf16::MIN_POSITIVE]))),
            ("e.labels".into(), tensor(&[2], Elements::U32(vec![7, u32::MAX]))),
            ("f.empty".into(), tensor(&[2, 0], Elements::F32(vec![]))),
        ]
        .into(),
        metadata: Some(json!({"graph": ["é\n", 0.1], "epoch": 3, "best": null})),
    }
}

/// A file of this header text and data.
fn assemble(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length, header.as_bytes(), data].concat()
}

/// The message of the refusal that `bytes` must lead to.
fn refusal(bytes: &[u8]) -> String {
    match TensorFile::parse("bad.safetensors", bytes) {
        Err(FileError::Malformed { file, message }) => {
            assert_eq!(file, "bad.safetensors");
            message
        }
        other => panic!("expected a malformed file, got {other:?}"),
    }
}

#[test]
fn what_is_written_is_read_and_the_same_content_gives_the_same_bytes() {
    let file = sample();
    let bytes = file.to_bytes().unwrap();
    let back = TensorFile::parse("sample", &bytes).unwrap();
    assert_eq!(back, file);
    assert_eq!(back.to_bytes().unwrap(), bytes);

    // The same metadata, its keys entered in another order.
    let mut other = file.clone();
    other.metadata = Some(json!({"best": null, "epoch": 3, "graph": ["é\n", 0.1]}));
    assert_eq!(other.to_bytes().unwrap(), bytes);
}

#[test]
fn weights_alone_null_metadata_and_nothing_at_all_are_told_apart() {
    for metadata in [None, Some(json!(null)), Some(json!({}))] {
        for tensors in [sample().tensors, Default::default()] {
            let file = TensorFile { tensors, metadata: metadata.clone() };
            assert_eq!(TensorFile::parse("test", &file.to_bytes().unwrap()).unwrap(), file);
        }
    }
}

#[test]
fn the_bytes_are_those_of_the_documented_format() {
    let tensors = [("w".into(), HostTensor::f32(vec![1, 2], vec![1.0, -2.0]).unwrap())].into();
    let bytes =
        TensorFile { tensors, metadata: Some(json!({"b": 1, "a": []})) }.to_bytes().unwrap();
    let header = concat!(
        r#"{"__metadata__":{"ironwarp":"{\"format\":\"ironwarp\",\"#,
        r#""hash\":\"HASH\",\"payload\":{\"a\":[],\"b\":1},\"version\":1}"},"#,
        r#""w":{"data_offsets":[0,8],"dtype":"F32","shape":[1,2]}}"#
    );
    let mut expected = assemble(&header.replace("HASH", &"0".repeat(32)), &[]);
    expected.resize(expected.len().next_multiple_of(64), b' ');
    let length = (expected.len() - 8) as u64;
    expected[..8].copy_from_slice(&length.to_le_bytes());
    expected.extend([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    let hash = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&expected));
    let at = 8 + header.find("HASH").unwrap();
    expected[at..at + 32].copy_from_slice(hash.as_bytes());
    assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&expected));
    assert_eq!(bytes, expected);
}

#[test]
fn the_reference_reader_opens_our_files() {
    let file = sample();
    let bytes = file.to_bytes().unwrap();
    let (header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!((header + 8) % 64, 0, "the data is aligned");
    assert_eq!(metadata.metadata().as_ref().unwrap().len(), 1);
    let reference = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(reference.len(), file.tensors.len());
    let weight = reference.tensor("b.weight").unwrap();
    assert_eq!((weight.dtype(), weight.shape()), (Dtype::F32, [1, 2].as_slice()));
    assert_eq!(weight.data(), [0, 0, 0xc0, 0x3f, 0, 0, 0, 0x80]);
    let types = [
        ("a.bytes", Dtype::U8),
        ("c.half", Dtype::F16),
        ("d.brain", Dtype::BF16),
        ("e.labels", Dtype::U32),
    ];
    let data = bytes.as_ptr_range().start as usize + 8 + header;
    for (name, dtype) in types {
        let view = reference.tensor(name).unwrap();
        assert_eq!(view.dtype(), dtype);
        let offset = view.data().as_ptr() as usize - data;
        assert_eq!(offset * 8 % dtype.bitsize(), 0, "{name} is aligned to its type");
    }
}

#[test]
fn files_of_other_tools_load_as_weights_only() {
    // The bytes that Python's `safetensors.torch.save` makes of two arrays and its usual metadata.
    let header = concat!(
        r#"{"__metadata__":{"format":"pt"},"weight":{"dtype":"F32","shape":[2,1],"#,
        r#""data_offsets":[0,8]},"bias":{"dtype":"F16","shape":[1],"data_offsets":[8,10]}}"#
    );
    let mut padded = header.to_string();
    padded.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let bytes = assemble(&padded, &[0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0x3c]);
    let file = TensorFile::parse("python", &bytes).unwrap();
    assert_eq!(file.metadata, None);
    assert_eq!(file.tensors["weight"], HostTensor::f32(vec![2, 1], vec![1.0, 2.0]).unwrap());
    let one = Elements::F16(vec![f16::ONE]);
    assert_eq!(file.tensors["bias"], HostTensor::new(vec![1], one).unwrap());

    // What the reference writer makes.
    let data = 3.5f32.to_le_bytes();
    let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![], &data).unwrap();
    let bytes = safetensors::serialize([("x", view)], None).unwrap();
    let file = TensorFile::parse("reference", &bytes).unwrap();
    assert_eq!(file.tensors["x"], HostTensor::f32(vec![], vec![3.5]).unwrap());
}

#[test]
fn every_truncation_is_refused() {
    let bytes = sample().to_bytes().unwrap();
    for length in 0..bytes.len() {
        let message = refusal(&bytes[..length]);
        assert!(message.contains("truncated"), "at {length}: {message}");
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let bytes = sample().to_bytes().unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let result = TensorFile::parse("flipped", &bytes);
        assert!(result.is_err(), "bit {} of byte {} went unnoticed", bit % 8, bit / 8);
    }
}

#[test]
fn bytes_cut_out_put_in_or_appended_are_found() {
    let bytes = sample().to_bytes().unwrap();
    for at in 0..=bytes.len() {
        let mut longer = bytes.clone();
        longer.insert(at, b' ');
        TensorFile::parse("longer", &longer).unwrap_err();
        if at < bytes.len() {
            let mut shorter = bytes.clone();
            shorter.remove(at);
            TensorFile::parse("shorter", &shorter).unwrap_err();
        }
    }
    let message = refusal(&[bytes, vec![0]].concat());
    assert!(message.contains("1 bytes follow the last tensor"), "{message}");
}

#[test]
fn absurd_header_lengths_are_refused() {
    for length in [0, 1, 2, 7, 100, (16 << 20) + 1, 1 << 40, 1 << 63, u64::MAX - 7, u64::MAX] {
        for rest in [b"".as_slice(), b"{}", b"  {}"] {
            if length == 2 && rest == b"{}" {
                continue;
            }
            refusal(&[&u64::to_le_bytes(length), rest].concat());
        }
    }
    assert_eq!(TensorFile::parse("empty", &assemble("{}", b"")).unwrap(), TensorFile::default());
}

#[test]
fn hostile_headers_are_refused_for_what_they_are() {
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    let f32s = |n: usize, offsets: &str| entry("F32", &format!("[{n}]"), offsets);
    let two = |a: &str, b: &str| format!(r#"{{"a":{a},"b":{b}}}"#);
    let one = |a: &str| format!(r#"{{"a":{a}}}"#);
    let good = f32s(1, "[0,4]");
    let cases = [
        // Sizes.
        (one(&entry("F32", "[274877906944]", "[0,1099511627776]")), "truncated"),
        (one(&entry("F32", "[274877906944]", "[0,8]")), "takes 1099511627776 bytes"),
        (one(&entry("F32", "[18446744073709551615]", "[0,8]")), "larger than any memory"),
        (one(&entry("F32", "[4294967296,4294967296]", "[0,0]")), "larger than any memory"),
        (one(&entry("F32", "[0,18446744073709551615]", "[0,0]")), "larger than any memory"),
        (one(&entry("F32", "[3]", "[0,8]")), "takes 12 bytes, its data has 8"),
        (one(&entry("F32", "[-2]", "[0,8]")), "expected usize"),
        (one(&entry("F32", "[2.0]", "[0,8]")), "expected usize"),
        (one(&entry("F32", "[18446744073709551616]", "[0,8]")), "expected usize"),
        (one(&entry("U8", &format!("[{}8]", "1,".repeat(64)), "[0,8]")), "64 dimensions"),
        // Places.
        (one(&f32s(2, "[8,0]")), "before its start"),
        (one(&f32s(2, "[18446744073709551608,0]")), "before its start"),
        (two(&f32s(1, "[0,4]"), &f32s(1, "[0,4]")), "overlaps"),
        (two(&f32s(2, "[0,8]"), &f32s(1, "[4,8]")), "overlaps"),
        (two(&good, &f32s(0, "[8,8]")), "leaves a hole"),
        (one(&f32s(1, "[4,8]")), "leaves a hole"),
        (one(&good), "4 bytes follow the last tensor"),
        // Types.
        (one(&entry("F64", "[1]", "[0,8]")), "not one of F32, F16, BF16, U32, U8"),
        (one(&entry("f32", "[2]", "[0,8]")), "not one of F32, F16, BF16, U32, U8"),
        // Duplicates.
        (format!(r#"{{"a":{good},"a":{good}}}"#), "twice"),
        (format!(r#"{{"a":{good},"\u0061":{good}}}"#), "twice"),
        (r#"{"__metadata__":{"k":"1","k":"2"}}"#.into(), "twice"),
        (r#"{"__metadata__":{},"__metadata__":{}}"#.into(), "twice"),
        (r#"{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#.into(), "dup"),
        // Grammar.
        (r#"{"a":{"dtype":"F32","shape":[2]}}"#.into(), "missing field `data_offsets`"),
        (r#"{"__metadata__":{"k":1}}"#.into(), "expected a string"),
        (r#"{"__metadata__":"x"}"#.into(), "an object of strings"),
        (r#"{"a":[]}"#.into(), "header: "),
        ("[]".into(), "does not start with `{`"),
        (" {}".into(), "does not start with `{`"),
        ("{}{}".into(), "trailing characters"),
        (format!("{{\"a\":{}", "[".repeat(100_000)), "header: "),
    ];
    for (header, expected) in cases {
        let message = refusal(&assemble(&header, &[0; 8]));
        assert!(message.contains(expected), "{header:.100}: {message}");
        assert!(message.len() < 1500, "{header:.100}: a message of {} bytes", message.len());
    }
    let mut invalid = assemble(&one(&f32s(2, "[0,8]")), &[0; 8]);
    TensorFile::parse("valid", &invalid).unwrap();
    invalid[10] = 0xff;
    refusal(&invalid);
}

#[test]
fn names_that_confuse_are_refused_and_shown_escaped() {
    let long = "n".repeat(MAX_NAME_BYTES + 1);
    let names = ["", "a\0", "a\nb", "\u{1b}[2J", "a\u{202e}b", "\u{2066}", "\u{85}", &long];
    for name in names {
        let quoted = json!(name).to_string();
        let header = format!(r#"{{{quoted}:{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#);
        let message = refusal(&assemble(&header, &[0]));
        let plain = |c: char| !c.is_control() && !matches!(c, '\u{202e}' | '\u{2066}');
        assert!(message.chars().all(plain) && message.len() < 400, "{message:?}");

        let tensor = HostTensor::f32(vec![], vec![0.0]).unwrap();
        let file = TensorFile { tensors: [(name.into(), tensor)].into(), metadata: None };
        file.to_bytes().expect_err("what can't be read is not written");
    }
    // Names never become paths, so these are as good as any.
    for name in ["../../etc/passwd", "/", "größe.重み", &long[1..]] {
        let tensor = HostTensor::f32(vec![], vec![0.0]).unwrap();
        let file = TensorFile { tensors: [(name.into(), tensor)].into(), metadata: None };
        assert_eq!(TensorFile::parse("test", &file.to_bytes().unwrap()).unwrap(), file);
    }
}

#[test]
fn limits_hold_for_reading_and_writing() {
    let header = |tensors: usize| {
        let entries: Vec<_> = (0..tensors)
            .map(|i| format!(r#""{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#))
            .collect();
        format!("{{{}}}", entries.join(","))
    };
    let most = TensorFile::parse("most", &assemble(&header(MAX_TENSORS), b"")).unwrap();
    assert_eq!(most.tensors.len(), MAX_TENSORS);
    let written = most.to_bytes().unwrap();
    assert_eq!(TensorFile::parse("most", &written).unwrap(), most);
    let message = refusal(&assemble(&header(MAX_TENSORS + 1), b""));
    assert!(message.contains("more than 100000 tensors"), "{message}");
    let message = refusal(&assemble(&header(1_000_000), b""));
    assert!(message.contains("the limit is 16777216"), "{message}");

    let mut more = most;
    more.tensors.insert("x".into(), HostTensor::f32(vec![], vec![0.0]).unwrap());
    let message = more.to_bytes().unwrap_err().to_string();
    assert!(message.contains("more than 100000 tensors"), "{message}");

    let metadata = Some(json!("x".repeat(16 << 20)));
    let message = TensorFile { metadata, ..sample() }.to_bytes().unwrap_err().to_string();
    assert!(message.contains("the limit is 16777216"), "{message}");

    let flat = HostTensor::f32(vec![1; MAX_DIMENSIONS + 1], vec![0.0]).unwrap();
    let file = TensorFile { tensors: [("flat".into(), flat)].into(), metadata: None };
    let message = file.to_bytes().unwrap_err().to_string();
    assert!(message.contains("tensor \"flat\""), "{message}");
}

#[test]
fn a_file_of_a_newer_version_asks_for_an_update() {
    let bytes = sample().to_bytes().unwrap();
    let text = br#"\"version\":1}"#;
    let at = bytes.windows(text.len()).position(|part| part == text).unwrap() + text.len() - 2;
    let mut newer = bytes.clone();
    newer[at] = b'2';
    let error = TensorFile::parse("new.safetensors", &newer).unwrap_err();
    let expected =
        "`new.safetensors` has format version 2, this build reads up to 1; update the crate";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn values_that_are_not_finite_are_named() {
    let mut file = sample();
    assert_eq!(file.first_non_finite(), None);
    let bad = Elements::F16(vec![f16::ONE, f16::INFINITY]);
    file.tensors.insert("h".into(), HostTensor::new(vec![2], bad).unwrap());
    assert_eq!(file.first_non_finite(), Some(("h", 1)));
    let bad = Elements::BF16(vec![bf16::NAN]);
    file.tensors.insert("g".into(), HostTensor::new(vec![1], bad).unwrap());
    assert_eq!(file.first_non_finite(), Some(("g", 0)));
    let bad = HostTensor::f32(vec![3], vec![0.0, 1.0, f32::NEG_INFINITY]).unwrap();
    file.tensors.insert("b.weight".into(), bad);
    assert_eq!(file.first_non_finite(), Some(("b.weight", 2)));
    let back = TensorFile::parse("test", &file.to_bytes().unwrap()).unwrap();
    assert_eq!(back.first_non_finite(), Some(("b.weight", 2)));
}
