use ironwarp::data::npy;

use crate::Refusals;

/// A file of format version 1 with this header.
pub(crate) fn file(header: &str, elements: &[u8]) -> Vec<u8> {
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), elements].concat()
}

/// The header of unsigned bytes of these sizes.
pub(crate) fn header(sizes: &str) -> String {
    format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {sizes}, }}\n")
}

#[test]
fn npy() {
    let mut refusals = Refusals::default();
    let mut add = |name: &str, bytes: &[u8]| refusals.add(name, npy::parse(bytes));
    add("empty", b"");
    add("pickle", b"\x80\x04\x95\x0b\0\0\0\0\0\0\0");
    add("version 9", b"\x93NUMPY\x09\0\x01\0\0\0{");
    add("header cut off", &file(&header("(3,)"), b"abc")[..40]);
    add("header of 4 GiB", b"\x93NUMPY\x02\0\xff\xff\xff\xff{");
    let mut named = |name: &str, text: &str| add(name, &file(text, b"abc"));
    named("type that is no letters", "{'descr': '\u{fffd}'}");
    named("no dictionary", "[1, 2]");
    named("nested without end", &"{(".repeat(4000));
    named("quote not closed", "{'descr: |u1}");
    named("no sizes", "{'descr': '|u1', 'fortran_order': False}");
    named("unknown key", "{'descr': '|u1', 'order': False, 'shape': (3,)}");
    named("order 1", "{'descr': '|u1', 'fortran_order': 1, 'shape': (3,)}");
    named("complex", "{'descr': '<c8', 'fortran_order': False, 'shape': (3,)}");
    named("objects", "{'descr': '|O', 'fortran_order': False, 'shape': (3,)}");
    named("records", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}");
    named("negative size", &header("(-3,)"));
    named("size beyond 64 bits", &header("(99999999999999999999,)"));
    named("sizes whose product overflows", &header("(4294967296, 4294967296, 4294967296)"));
    named("65 axes", &header(&format!("({})", "1,".repeat(65))));
    named("text after the dictionary", &format!("{} + 1", header("(3,)")));
    named("one element short", &header("(4,)"));
    named("one element too many", &header("(2,)"));
    let scalar = npy::parse(&file(&header("()"), b"a")).unwrap();
    refusals.add("no axis", scalar.numbers("x"));
    let text = file(&header("(3,)"), b"abc");
    let latin = [&text[..20], b"\xe9", &text[21..]].concat();
    refusals.add("header in Latin-1", npy::parse(&latin));
    insta::assert_snapshot!(refusals.text);
}
