use std::fs::read;
use std::path::Path;

use ironwarp::data::Parquet;

use crate::Refusals;

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet");
    read(folder.join(name)).unwrap()
}

/// The file with other bytes in place of these, the first that it has.
fn replaced(file: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let place = file.windows(from.len()).position(|bytes| bytes == from).expect("it has them");
    [&file[..place], to, &file[place + from.len()..]].concat()
}

#[test]
fn parquet() {
    let mut refusals = Refusals::default();
    let mut add = |name: &str, bytes: Vec<u8>| {
        let small = ["id", "tags"];
        let ignored: &[&str] = if name.contains("ignored") { &small } else { &[] };
        refusals.add(name, Parquet::new(bytes).ignore(ignored).read());
    };
    let whole = fixture("int96.parquet");
    let end = whole.len() - 8;
    add("empty", Vec::new());
    add("CSV", fixture("table.csv"));
    add("cut off", whole[..whole.len() - 30].to_vec());
    add("without its beginning", whole[2000..].to_vec());
    add("wrong magic", [b"PAR2", &whole[4..]].concat());
    add("encrypted", [&whole[..end + 4], b"PARE"].concat());
    add("a footer longer than the file", [&whole[..end], &[255; 4], b"PAR1"].concat());
    add("a footer of zeros", [&whole[..end], &[0; 64], &[64, 0, 0, 0], b"PAR1"].concat());
    add("nested", fixture("nested.parquet"));
    add("ignored where it is not", fixture("int96.parquet"));
    let text = fixture("plain.parquet");
    add("no UTF-8", replaced(&text, b"street 7, no. 15", b"street 7, n\xff. 15"));
    let mut flipped = fixture("snappy.parquet");
    flipped[40] ^= 0x55;
    add("damaged page", flipped);
    let pages = fixture("deltas.parquet");
    add("damaged values", replaced(&pages, &pages[2000..2040], &[0xff; 40]));
    insta::assert_snapshot!(refusals.text);
}
