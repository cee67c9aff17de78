use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{features, message, targets};
use crate::data::{Dataset, idx};

/// An IDX file of bytes.
fn file(sizes: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
    bytes.extend(elements);
    bytes
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Writes the files into a folder that lives as long as the first part.
fn folder(files: [&[u8]; 2]) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["images", "labels"].map(|name| folder.path().join(name));
    paths.iter().zip(files).for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    let [images, labels] = paths;
    (folder, images, labels)
}

#[test]
fn images_and_labels_plain_or_zipped() {
    let images = file(&[3, 2, 1], &[0, 255, 51, 102, 1, 2]);
    let labels = file(&[3], &[4, 0, 4]);
    for (images, labels) in [(images.clone(), zipped(&labels)), (zipped(&images), labels)] {
        let (_folder, images, labels) = folder([&images, &labels]);
        let data = Dataset::idx(images, labels).unwrap();
        assert_eq!(data.inputs()[0].row_shape, [2, 1]);
        assert_eq!((data.len(), data.features(), data.classes()), (3, 2, 5));
        let expected = [0.0, 1.0, 0.2, 0.4, 1.0 / 255.0, 2.0 / 255.0];
        assert_eq!((features(&data), targets(&data)), (expected.to_vec(), vec![4.0, 0.0, 4.0]));
    }
}

#[test]
fn what_is_parsed_is_what_was_written() {
    let elements: Vec<u8> = (0..=239).collect();
    for sizes in [&[240u32][..], &[12, 20], &[2, 3, 40], &[1, 2, 3, 4, 5, 2, 1, 1], &[240, 1]] {
        for bytes in [file(sizes, &elements), zipped(&file(sizes, &elements))] {
            let array = idx::parse(&bytes).unwrap();
            assert!(array.sizes.iter().zip(sizes).all(|(&a, &b)| a == b as usize));
            assert_eq!((array.sizes.len(), array.elements), (sizes.len(), elements.clone()));
        }
    }
    assert_eq!(idx::parse(&file(&[0, 7], &[])).unwrap().sizes, [0, 7]);
}

#[test]
fn bad_files_are_refused_with_their_place() {
    let mut typed = file(&[1], &[1]);
    typed[2] = 0x0d;
    let huge = "sizes [4294967295, 4294967295, 4294967295] are more than the";
    let cases: Vec<(Vec<u8>, String)> = vec![
        (vec![], "the header: it is cut off".into()),
        (vec![0, 0, 8], "the header: it is cut off".into()),
        (file(&[1, 2], &[])[..9].to_vec(), "the header: it is cut off".into()),
        (
            b"\x89PNG....".to_vec(),
            "the header: it does not begin with two zero bytes; is this an IDX file?".into(),
        ),
        (typed, "the header: elements of type 0x0d are not read, only 0x08 (bytes)".into()),
        (file(&[], &[]), "the header: 0 dimensions, expected 1 to 8".into()),
        (file(&[1; 9], &[1]), "the header: 9 dimensions, expected 1 to 8".into()),
        (
            file(&[2, 2], &[1, 2, 3]),
            "the header: sizes [2, 2] are more than the 15 bytes of the file hold".into(),
        ),
        (file(&[2], &[1, 2, 3]), "the elements: the header claims 2, there are more".into()),
        (file(&[u32::MAX; 3], &[1]), format!("the header: {huge} 17 bytes of the file hold")),
        (
            zipped(&file(&[2, 2], &[1, 2, 3])),
            "the elements: the header claims 4, there are only 3".into(),
        ),
        (
            zipped(&file(&[2], &[1, 2, 3])),
            "the elements: the header claims 2, there are more".into(),
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(message(idx::parse(&bytes)), format!("`<memory>`, {expected}"));
    }
}

#[test]
fn a_bomb_is_told_by_its_header() {
    // 32 MiB of zeros in about 32 KiB, behind a header that claims four bytes.
    let mut bomb = file(&[4], &[]);
    bomb.resize(32 << 20, 0);
    let text = message(idx::parse(&zipped(&bomb)));
    assert_eq!(text, "`<memory>`, the elements: the header claims 4, there are more");
    // A claim that no deflate stream of this length can keep is refused unread.
    let lie = zipped(&file(&[1 << 31], &[0; 100]));
    let held = format!("are more than the {} bytes of the file hold", lie.len());
    assert_eq!(
        message(idx::parse(&lie)),
        format!("`<memory>`, the header: sizes [2147483648] {held}")
    );
}

#[test]
fn damaged_gzip_data_is_noticed_wherever_it_is() {
    let whole = zipped(&file(&[300], &(0..300).map(|i| (i * i % 251) as u8).collect::<Vec<_>>()));
    for length in 2..whole.len() {
        assert!(idx::parse(&whole[..length]).is_err(), "cut to {length} bytes");
    }
    // Everything after the gzip header: deflate data, checksum, length.
    for byte in 10..whole.len() {
        let mut flipped = whole.clone();
        flipped[byte] ^= 4;
        assert!(idx::parse(&flipped).is_err(), "byte {byte} flipped");
    }
    let text = message(idx::parse(&whole[..whole.len() - 1]));
    assert!(text.starts_with("`<memory>`, the elements: the gzip data is truncated or damaged ("));
}

#[test]
fn images_and_labels_must_fit_each_other() {
    let idx = |images: &[u8], labels: &[u8]| {
        let (folder, images, labels) = folder([images, labels]);
        let folder = format!("{}/", folder.path().display());
        message(Dataset::idx(images, labels)).replace(&folder, "")
    };
    let images = file(&[2, 1, 1], &[1, 2]);
    let labels = file(&[3], &[1, 2, 3]);
    assert_eq!(idx(&images, &labels), "`labels`, the header: 3 labels for 2 images");
    assert_eq!(idx(&labels, &labels), "`images`, the header: sizes [3] are not those of images");
    assert_eq!(
        idx(&images, &images),
        "`labels`, the header: sizes [2, 1, 1] are not those of labels"
    );
    assert_eq!(idx(&file(&[0, 2], &[]), &file(&[0], &[])), "column `image` has no rows");
    assert_eq!(message(Dataset::idx("absent.idx", "absent.idx")), "cannot read `absent.idx`");
}
