use ironwarp::data::Csv;

use crate::{Refusals, zipped};

#[test]
fn csv() {
    let mut refusals = Refusals::default();
    let mut add = |name: &str, bytes: &[u8]| refusals.add(name, Csv::new(bytes).read());
    add("empty", b"");
    add("header alone", b"a,b\n");
    add("header of numbers", b"1,2\n3,4\n");
    add("short row", b"a,b\n1,2\n3\n");
    add("long row", b"a,b\n1,2\n\n3,4,5\n");
    add("name twice", b"a,a\n1,2\n");
    add("no name", b"a,\n1,2\n");
    add("word among numbers", b"a,b\n1,x\n2,y\n3,z\noops,z\n");
    add("nan", b"a,b\n1,x\nnan,y\n3,z\n");
    add("beyond f64", b"a,b\n1,x\n1e999,y\n3,z\n");
    add("no such day", b"a,b\n2023-02-28,x\n2023-03-01,y\n2023-02-29,z\n");
    add("dates of two kinds", b"a,b\n2023-02-28,x\n2023/03/01,y\n2023-03-02,z\n");
    add("another delimiter", b"a;b\n1,5;2\n");
    add("Latin-1", b"a,b\n1,caf\xe9\n");
    add("UTF-16", b"\xff\xfea\0,\0b\0\n\x001\0,\x002\0\n\0");
    add("zero bytes", b"\0\0\0\0");
    add("quote never closed", b"a,b\n1,\"x\n2,y\n3,z\n");
    let long = format!("a,b\n1,{}\n", "x".repeat((1 << 20) + 1));
    add("field of more than 1 MiB", long.as_bytes());
    let row = format!("a,b\n1,\"{}", "x\n".repeat(33 << 20));
    add("row of more than 64 MiB", row.as_bytes());
    add("row of more than 64 MiB in a bomb", &zipped(row.as_bytes()));
    let whole = zipped(b"a,b\n1,2\n");
    add("gzip cut off", &whole[..whole.len() - 9]);
    let mut flipped = whole.clone();
    let checksum = whole.len() - 8;
    flipped[checksum] ^= 1;
    add("gzip with a wrong checksum", &flipped);
    insta::assert_snapshot!(refusals.text);
}
