use half::f16;

use super::{features, message, targets};
use crate::data::npy::{self, ElementType, Npy};
use crate::data::{Column, Dataset, Task, Values};

/// An NPY file as NumPy writes it.
fn file(element: &str, fortran: bool, sizes: &str, elements: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let header =
        format!("{{'descr': '{element}', 'fortran_order': {fortran}, 'shape': {sizes}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(elements);
    bytes
}

fn numbers(column: &Column) -> &[f32] {
    match &*column.values {
        Values::F32(values) => values,
        _ => panic!("these should be numbers"),
    }
}

fn indices(column: &Column) -> &[u32] {
    match &*column.values {
        Values::U32(values) => values,
        _ => panic!("these should be indices"),
    }
}

/// The same values in both byte orders.
macro_rules! both_orders {
    ($type:ty, $letters:literal, $values:expr) => {{
        let values: &[$type] = &$values;
        let (mut little, mut big) = (Vec::new(), Vec::new());
        values.iter().for_each(|value| little.extend(value.to_le_bytes()));
        values.iter().for_each(|value| big.extend(value.to_be_bytes()));
        let sizes = format!("({},)", values.len());
        let read = |order: &str, bytes: &[u8]| -> Npy {
            npy::parse(&file(&format!("{order}{}", $letters), false, &sizes, bytes)).unwrap()
        };
        [read("<", &little), read(">", &big)]
    }};
}

#[test]
fn every_type_in_both_byte_orders() {
    let check = |arrays: [Npy; 2], expected: &[f32]| {
        for array in arrays {
            let column = array.numbers("x").unwrap();
            assert_eq!(numbers(&column), expected, "{:?}", array.element());
        }
    };
    check(both_orders!(i8, "i1", [-128, 5]), &[-128.0, 5.0]);
    check(both_orders!(i16, "i2", [-300, 5]), &[-300.0, 5.0]);
    check(both_orders!(i32, "i4", [-70_000, 5]), &[-70_000.0, 5.0]);
    check(both_orders!(i64, "i8", [-(1 << 40), 5]), &[-1_099_511_627_776.0, 5.0]);
    check(both_orders!(u8, "u1", [255, 5]), &[255.0, 5.0]);
    check(both_orders!(u16, "u2", [65_535, 5]), &[65_535.0, 5.0]);
    check(both_orders!(u32, "u4", [1 << 31, 5]), &[2_147_483_648.0, 5.0]);
    check(both_orders!(u64, "u8", [1 << 63, 5]), &[9_223_372_036_854_775_808.0, 5.0]);
    check(both_orders!(f32, "f4", [0.1, -5.0]), &[0.1, -5.0]);
    check(both_orders!(f64, "f8", [0.1, -5.0]), &[0.1, -5.0]);
    let half = [f16::from_f32(0.1), f16::from_f32(-5.0)];
    check(both_orders!(f16, "f2", half), &[0.099_975_586, -5.0]);
    check(both_orders!(u8, "b1", [0, 1]), &[0.0, 1.0]);
}

#[test]
fn indices_are_checked_whatever_their_width() {
    for array in both_orders!(i64, "i8", [0, 4_294_967_295]) {
        assert_eq!(indices(&array.indices("y").unwrap()), [0, u32::MAX]);
    }
    let [array, _] = both_orders!(i16, "i2", [3, 2, -1]);
    let text = "`<memory>`, the elements: column `y`, row 2: -1 is not an index from 0 to \
                4294967295; for numbers say `numbers`";
    assert_eq!(message(array.indices("y")), text);
    let [array, _] = both_orders!(f32, "f4", [1.0]);
    let text = "`<memory>`, the elements: column `y`: floats are no indices; say `numbers`";
    assert_eq!(message(array.indices("y")), text);
}

#[test]
fn what_becomes_of_inputs_and_targets() {
    let [bytes, _] = both_orders!(u8, "u1", [0, 51, 255]);
    assert_eq!(numbers(&bytes.input("x").unwrap()), [0.0, 0.2, 1.0]);
    assert_eq!(indices(&bytes.target("x").unwrap()), [0, 51, 255]);
    let [truths, _] = both_orders!(u8, "b1", [0, 1]);
    assert_eq!(truths.element(), ElementType::Bool);
    assert_eq!(numbers(&truths.input("x").unwrap()), [0.0, 1.0]);
    let target = truths.target("y").unwrap();
    assert_eq!(indices(&target), [0, 1]);
    assert_eq!(target.categories, ["false", "true"]);
    let [tokens, _] = both_orders!(i64, "i8", [7, 9]);
    assert_eq!(indices(&tokens.input("x").unwrap()), [7, 9]);
}

#[test]
fn fortran_order_is_turned_into_rows() {
    let c_order: Vec<u8> = (0..24).collect();
    let place = |[i, j, k]: [u8; 3]| i + 2 * (j + 3 * k);
    let mut fortran = vec![0; 24];
    for (value, index) in c_order.iter().enumerate() {
        let [i, j, k] = [index / 12, index / 4 % 3, index % 4];
        fortran[usize::from(place([i, j, k]))] = value as u8;
    }
    let expected: Vec<f32> = (0..24u8).map(f32::from).collect();
    for (order, bytes) in [(false, c_order), (true, fortran)] {
        let array = npy::parse(&file("|u1", order, "(2, 3, 4)", &bytes)).unwrap();
        let column = array.numbers("x").unwrap();
        assert_eq!((numbers(&column), &*column.row_shape), (&*expected, &[3, 4][..]));
    }
}

#[test]
fn two_files_make_a_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let floats: Vec<u8> = [1.5f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let x = path("x.npy", &file("<f4", false, "(2, 2)", &floats));
    let y = path("y.npy", &file("|i1", false, "(2,)", &[2, 0]));
    let data = Dataset::npy(&x, &y).unwrap();
    assert_eq!(data.task(), Task::Classification { classes: 3 });
    assert_eq!((features(&data), targets(&data)), (vec![1.5, 2.0, 3.0, 4.0], vec![2.0, 0.0]));
}

#[cfg(feature = "npz")]
mod archive {
    use std::io::{Cursor, Write};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::data::npy::Npz;

    fn archive(members: &[(&str, Vec<u8>)], method: zip::CompressionMethod) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(method).large_file(true);
        for (name, bytes) in members {
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn arrays_are_found_by_name() {
        for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
            let members = [
                ("image.npy", file("|u1", false, "(2, 1, 2)", &[0, 51, 102, 255])),
                ("class.npy", file("|u1", false, "(2,)", &[1, 0])),
                ("other.txt", b"not an array".to_vec()),
            ];
            let bytes = archive(&members, method);
            assert_eq!(Npz::parse(bytes.clone()).unwrap().names(), ["image", "class"]);
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            let data = Dataset::npz(file.path(), &["image"], &["class"]).unwrap();
            assert_eq!((&*data.inputs()[0].name, &*data.targets()[0].name), ("image", "class"));
            assert_eq!(
                (features(&data), targets(&data)),
                (vec![0.0, 0.2, 0.4, 1.0], vec![1.0, 0.0])
            );
        }
    }

    #[test]
    fn a_bomb_is_told_by_its_header() {
        // 32 MiB of zeros behind a header that claims four bytes.
        let mut bomb = file("|u1", false, "(4,)", &[]);
        bomb.resize(32 << 20, 0);
        let bytes = archive(&[("x.npy", bomb)], zip::CompressionMethod::Deflated);
        assert!(bytes.len() < 64 << 10);
        let text = "`<memory>/x.npy`, the elements: the header claims 4 bytes, there are more";
        assert_eq!(message(Npz::parse(bytes).unwrap().read("x")), text);
    }

    #[test]
    fn damage_is_noticed_wherever_it_is_in_the_data() {
        let elements: Vec<u8> = (0..300u32).map(|i| (i * i % 251) as u8).collect();
        let member = file("|u1", false, "(300,)", &elements);
        for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
            let whole = archive(&[("x.npy", member.clone())], method);
            // Behind the name and the sizes of 64 bits in the member's own header.
            let start = 30 + "x.npy".len() + 20;
            for byte in start..start + 250 {
                let mut flipped = whole.clone();
                flipped[byte] ^= 4;
                let read = Npz::parse(flipped).and_then(|mut archive| archive.read("x"));
                assert!(read.is_err(), "byte {byte} flipped");
            }
        }
    }
}
