use ironwarp::data::read_text;

use crate::{Refusals, zipped};

#[test]
fn text() {
    let mut refusals = Refusals::default();
    let mut add =
        |name: &str, bytes: &[u8]| refusals.add_file(name, "text", bytes, |p| read_text(p));
    add("Latin-1", b"one\ntwo\ncaf\xe9 three");
    add("UTF-16", b"\xff\xfeo\0n\0e\0");
    add("UTF-8 cut off in a character", b"one \xe2\x82");
    let whole = zipped(b"one two three");
    add("gzip cut off", &whole[..whole.len() - 4]);
    add("gzip of bytes that are no text", &zipped(b"one\n\x80"));
    refusals.add("no file", read_text("absent"));
    insta::assert_snapshot!(refusals.text);
}
