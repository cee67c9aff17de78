use ironwarp::data::idx;

use crate::{Refusals, zipped};

#[test]
fn idx() {
    let mut refusals = Refusals::default();
    let mut add = |name: &str, bytes: &[u8]| refusals.add(name, idx::parse(bytes));
    add("empty", b"");
    add("PNG", b"\x89PNG\r\n\x1a\n");
    add("header cut off", b"\0\0\x08\x02\0\0\0\x01");
    add("floats", b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0");
    add("no dimensions", b"\0\0\x08\0");
    add("nine dimensions", b"\0\0\x08\x09");
    add("one element short", b"\0\0\x08\x01\0\0\0\x03ab");
    add("one element too many", b"\0\0\x08\x01\0\0\0\x03abcd");
    add("sizes whose product overflows", &[b"\0\0\x08\x08".as_slice(), &[0xff; 32]].concat());
    add("claim beyond what gzip can hold", &zipped(b"\0\0\x08\x01\x7f\xff\xff\xff"));
    let bomb = [b"\0\0\x08\x01\0\0\0\x03".as_slice(), &vec![0; 16 << 20]].concat();
    add("bomb", &zipped(&bomb));
    insta::assert_snapshot!(refusals.text);
}
