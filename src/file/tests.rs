//! What can only be tested from inside: a failing system, and forged content with a right hash.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::atomic::{RealSystem, System, Target, save};
use super::{LENGTH_BYTES, MAX_DEPTH, TensorFile, json, record};
use crate::error::FileError;
use crate::tensor::HostTensor;

/// What happens to one call.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It fails at once.
    Fails(ErrorKind),
    /// It does half its work, then fails. Only writes can be halved; other calls fail at once.
    FailsHalfway(ErrorKind),
}

/// The real system, but every write takes at most `longest` bytes and one call meets a fault.
struct FaultySystem {
    longest: usize,
    fault: Option<(usize, Fault)>,
    calls: RefCell<Vec<&'static str>>,
    broken: Cell<bool>,
}

impl FaultySystem {
    fn new(longest: usize, fault: Option<(usize, Fault)>) -> Self {
        FaultySystem { longest, fault, calls: RefCell::default(), broken: Cell::new(false) }
    }

    /// Notes a call; an error if it is to fail at once.
    fn call(&self, name: &'static str) -> io::Result<()> {
        let index = self.calls.borrow().len();
        self.calls.borrow_mut().push(name);
        match self.fault {
            _ if self.broken.get() => Err(ErrorKind::StorageFull.into()),
            Some((at, Fault::FailsHalfway(_))) if at == index && name == "write" => {
                self.broken.set(true);
                Ok(())
            }
            Some((at, Fault::Fails(kind) | Fault::FailsHalfway(kind))) if at == index => {
                Err(kind.into())
            }
            _ => Ok(()),
        }
    }
}

impl System for FaultySystem {
    fn create(&self, target: &Target<'_>) -> io::Result<NamedTempFile> {
        self.call("create")?;
        RealSystem.create(target)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<usize> {
        self.call("write")?;
        let room = if self.broken.get() { bytes.len().div_ceil(2) } else { bytes.len() };
        RealSystem.write(file, &bytes[..room.min(self.longest)])
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.call("sync")?;
        RealSystem.sync(file)
    }

    fn rename(&self, temporary: NamedTempFile, path: &Path) -> io::Result<()> {
        self.call("rename")?;
        RealSystem.rename(temporary, path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.call("sync_folder")?;
        RealSystem.sync_folder(folder)
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder can be listed");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn kind_of(error: &FileError) -> ErrorKind {
    match error {
        FileError::Io { source, .. } => source.kind(),
        other => panic!("not an I/O error: {other}"),
    }
}

#[test]
fn a_save_syncs_the_file_before_the_rename_and_the_folder_after() {
    let folder = tempfile::tempdir().unwrap();
    let system = FaultySystem::new(4, None);
    save(&system, &folder.path().join("model"), b"0123456789").unwrap();
    let expected = ["create", "write", "write", "write", "sync", "rename", "sync_folder"];
    assert_eq!(*system.calls.borrow(), expected);
    assert_eq!(fs::read(folder.path().join("model")).unwrap(), b"0123456789");
}

#[test]
fn whichever_call_fails_the_file_is_old_or_new_and_alone() {
    let kinds = [ErrorKind::StorageFull, ErrorKind::Other, ErrorKind::PermissionDenied];
    let faults = kinds.into_iter().flat_map(|k| [Fault::Fails(k), Fault::FailsHalfway(k)]);
    let (old, new) = (b"the old content".as_slice(), b"new content, and longer".as_slice());
    for fault in faults {
        // Calls as in the test above: creation, six writes of four bytes, and three more.
        for at in 0..10 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("model");
            fs::write(&path, old).unwrap();
            let system = FaultySystem::new(4, Some((at, fault)));
            save(&system, &path, new).expect_err("a call failed");
            let found = fs::read(&path).unwrap();
            let expected = if at == 9 { new } else { old };
            assert_eq!(found, expected, "call {at}, {fault:?}");
            assert_eq!(names_in(folder.path()), ["model"], "call {at}, {fault:?}");
        }
        let system = FaultySystem::new(4, Some((10, fault)));
        save(&system, &tempfile::tempdir().unwrap().path().join("model"), new).unwrap();
        assert_eq!(system.calls.borrow().len(), 10, "every call was failed once");
    }
}

#[test]
fn an_interrupted_write_goes_on_and_a_write_of_nothing_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let interrupted = Fault::Fails(ErrorKind::Interrupted);
    save(&FaultySystem::new(1, Some((3, interrupted))), &path, b"content").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"content");
    let error = save(&FaultySystem::new(0, None), &path, b"other").unwrap_err();
    assert_eq!(kind_of(&error), ErrorKind::WriteZero);
    assert_eq!(fs::read(&path).unwrap(), b"content");
}

#[test]
fn errors_keep_their_kind_and_give_advice() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (ErrorKind::StorageFull, "free some space"),
        (ErrorKind::QuotaExceeded, "free some space"),
        (ErrorKind::FileTooLarge, "free some space"),
        (ErrorKind::ReadOnlyFilesystem, "make it writable"),
    ];
    for (kind, advice) in cases {
        let system = FaultySystem::new(9, Some((1, Fault::Fails(kind))));
        let error = save(&system, &folder.path().join("model"), b"content").unwrap_err();
        assert_eq!(kind_of(&error), kind);
        let FileError::Io { action, source, .. } = error else { unreachable!() };
        assert_eq!(action, "write");
        assert!(source.to_string().contains(advice), "{source}");
    }
}

#[test]
fn canonical_json_is_sorted_compact_and_exact() {
    let value = json!({"b": [1, -2, 0.1, 1e300, -0.0, u64::MAX], "a": {"z": null, "é\n": true}});
    let mut text = String::new();
    json::write_canonical(&value, &mut text).unwrap();
    let expected = r#"{"a":{"z":null,"é\n":true},"b":[1,-2,0.1,1e+300,-0.0,18446744073709551615]}"#;
    assert_eq!(text, expected);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
}

#[test]
fn numbers_come_back_to_the_bit() {
    let mut random = SplitMix(1);
    let numbers: Vec<f64> =
        (0..20_000).map(|_| f64::from_bits(random.next())).filter(|v| v.is_finite()).collect();
    let metadata = Some(json!(numbers));
    let bytes = TensorFile { metadata, ..TensorFile::default() }.to_bytes().unwrap();
    let back = TensorFile::parse("test", &bytes).unwrap().metadata.unwrap();
    for (number, back) in numbers.iter().zip(back.as_array().unwrap()) {
        assert_eq!(number.to_bits(), back.as_f64().unwrap().to_bits(), "{number:e}");
    }
}

#[test]
fn the_deepest_metadata_can_be_read_and_deeper_is_refused() {
    let nested = |depth: usize| (1..depth).fold(json!([]), |value, _| json!([value]));
    let file = |depth| TensorFile { metadata: Some(nested(depth)), ..TensorFile::default() };
    let deepest = file(MAX_DEPTH);
    assert_eq!(TensorFile::parse("test", &deepest.to_bytes().unwrap()).unwrap(), deepest);
    let message = file(MAX_DEPTH + 1).to_bytes().unwrap_err().to_string();
    assert!(message.contains("nests deeper than 100"), "{message}");
}

/// A file of this header text and data.
fn assemble(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length, header.as_bytes(), data].concat()
}

#[test]
fn forged_records_are_refused() {
    let forge = |record: &str| {
        let header = format!("{{\"__metadata__\":{{\"ironwarp\":{}}}}}", json::quoted(record));
        assemble(&header, &[])
    };
    let zeros = "0".repeat(32);
    let records = [
        // A hash too short to be there, at the very end of the file.
        r#"{"format":"ironwarp","hash":"","version":1}"#.into(),
        r#"{"format":"ironwarp","hash":"00","version":1}"#.into(),
        format!(r#"{{"format":"ironwarp","hash":"{zeros}","version":1}}"#),
        format!(r#"{{"format":"ironwarp","hash":"{zeros}"}}"#),
        format!(r#"{{"format":"ironwarp","hash":"{zeros}","version":0}}"#),
        format!(r#"{{"format":"ironwarp","hash":"{zeros}","version":"1"}}"#),
        r#"{"version":1}"#.into(),
        "[]".into(),
        "".into(),
    ];
    for record in records {
        let error = TensorFile::parse("test", &forge(&record)).unwrap_err();
        assert!(matches!(error, FileError::Malformed { .. }), "{record}: {error}");
    }
    let newer = forge(r#"{"something":"else","version":7}"#);
    let error = TensorFile::parse("test", &newer).unwrap_err();
    assert!(matches!(error, FileError::TooNew { found: 7, max: 1, .. }), "{error}");
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Changes a place of the text: a flipped bit, something removed, something put in.
fn mutate(text: &mut Vec<u8>, random: &mut SplitMix) {
    const PIECES: [&[u8]; 14] = [
        b"0",
        b"1",
        b"8",
        b"18446744073709551615",
        b"-1",
        b"1e3",
        b",",
        b"\"",
        b"[",
        b"]",
        b"{",
        b" ",
        b"\\u0000",
        b"\"F32\"",
    ];
    let at = random.below(text.len().max(1)).min(text.len());
    let end = (at + random.below(4)).min(text.len());
    match random.below(3) {
        0 if at < text.len() => text[at] ^= 1 << random.below(8),
        1 => drop(text.drain(at..end)),
        _ => drop(text.splice(at..end, PIECES[random.below(14)].iter().copied())),
    }
}

#[test]
fn mutated_files_are_refused_or_read_as_the_reference_reads_them() {
    let ours = TensorFile {
        tensors: [
            ("a".into(), HostTensor::f32(vec![2, 2], vec![1.0, -2.0, f32::NAN, 0.5]).unwrap()),
            ("b".into(), HostTensor::f32(vec![1, 0], vec![]).unwrap()),
        ]
        .into(),
        metadata: Some(json!({"graph": ["x", 1.5]})),
    };
    let plain = r#"{"w":{"dtype":"U8","shape":[8,1],"data_offsets":[0,8]},
                    "v":{"dtype":"BF16","shape":[],"data_offsets":[8,10]}}"#;
    let seeds = [ours.to_bytes().unwrap(), assemble(plain, &[7; 10])];
    let mut random = SplitMix(2);
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..60_000 {
        let seed = &seeds[round % 2];
        let length = super::header::length(seed, seed.len() as u64).unwrap();
        let (header, data) = seed[LENGTH_BYTES..].split_at(length);
        let (mut header, mut data) = (header.to_vec(), data.to_vec());
        for _ in 0..=random.below(3) {
            // Most changes meet the header, where the grammar is.
            mutate(if random.below(8) == 0 { &mut data } else { &mut header }, &mut random);
        }
        let mut length = (header.len() as u64).to_le_bytes();
        if random.below(16) == 0 {
            length[random.below(8)] ^= 1 << random.below(8);
        }
        let mut bytes = [&length, header.as_slice(), &data].concat();
        if round % 2 == 0 && random.below(8) != 0 && bytes.len() > 200 {
            record::seal(&mut bytes);
        }
        match TensorFile::parse("test", &bytes) {
            Ok(file) => {
                accepted += 1;
                assert_read_alike(&file, &bytes);
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().len() < 1500, "{error}");
            }
        }
    }
    assert!(accepted > 1000 && refused > 1000, "{accepted} accepted, {refused} refused");
}

/// Whatever is accepted, the safetensors crate accepts too, with the same tensors; and it can be
/// written and read again.
fn assert_read_alike(file: &TensorFile, bytes: &[u8]) {
    let reference = safetensors::SafeTensors::deserialize(bytes).expect("the reference reads it");
    assert_eq!(reference.len(), file.tensors.len());
    for (name, view) in reference.iter() {
        let tensor = &file.tensors[name];
        let mut found = Vec::new();
        super::elements::encode(tensor.elements(), &mut found);
        assert_eq!((view.shape(), view.data()), (tensor.shape(), found.as_slice()), "{name:?}");
    }
    let written = file.to_bytes().expect("what was read can be written");
    let again = TensorFile::parse("test", &written).expect("what was written can be read");
    assert_eq!(again.to_bytes().unwrap(), written);
}
