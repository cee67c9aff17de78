use std::io::{Cursor, Write};

use ironwarp::data::npy::Npz;
use zip::write::SimpleFileOptions;

use crate::Refusals;
use crate::npy::{file, header};

fn archive(name: &str, member: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file(name, SimpleFileOptions::default()).unwrap();
    writer.write_all(member).unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn npz() {
    let mut refusals = Refusals::default();
    let mut add = |name: &str, bytes: Vec<u8>| {
        refusals.add(name, Npz::parse(bytes).and_then(|mut archive| archive.read("x")));
    };
    let whole = archive("x.npy", &file(&header("(3,)"), b"abc"));
    add("empty", Vec::new());
    add("NPY", file(&header("(3,)"), b"abc"));
    add("cut off", whole[..whole.len() - 30].to_vec());
    add("no such array", archive("../y.npy", &file(&header("(3,)"), b"abc")));
    add("member that is no array", archive("x.npy", b"text"));
    add("member of an absurd size", archive("x.npy", &file(&header("(99999999,)"), b"abc")));
    let bomb = file(&header("(3,)"), &vec![0; 16 << 20]);
    add("bomb", archive("x.npy", &bomb));
    let mut flipped = whole.clone();
    let place = whole.windows(6).position(|w| w == b"NUMPY\x01").map_or(40, |at| at + 60);
    flipped[place] ^= 1;
    add("damaged data", flipped);
    let mut method = whole.clone();
    let central = whole.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    (method[8], method[central + 10]) = (12, 12);
    add("compressed with bzip2", method);
    let mut encrypted = whole;
    encrypted[6] |= 1;
    encrypted[central + 8] |= 1;
    add("encrypted", encrypted);
    insta::assert_snapshot!(refusals.text);
}
