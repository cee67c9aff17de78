//! Seeds, mutated: readers may refuse such bytes but neither panic nor take much memory. The
//! fuzz targets do the same without end.

use crate::data::{Csv, Impute, Recipe, Table, idx, npy};
use crate::error::DataError;

const SEEDS: [&[u8]; 9] = [
    b"a,b,y\n1,x,0\n2,,1\n3,\"y\"\"z\",0\n4,x,1\n",
    b"\xef\xbb\xbfa;b\r\n1e5;nan\r\n-.5;\"q\r\nq\"\r\n",
    b"0.5,1\n\n2,3\n4,5",
    b"d,b,y\n2024-02-29T12:30+02:00,x,0.5\n1999-12-31,,1.5\n,y,2.5\n2000-01-01 00:00:01.5,x,9\n",
    b"\0\0\x08\x01\0\0\0\x04\x01\x02\x03\x04",
    b"\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x02\x01\x02\x03\x04",
    b"\0\0\x08\x02\xff\xff\xff\xff\0\0\0\x02\x01",
    // "a,b\n1,x\n2,y\n" with gzip, stored and compressed.
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x0c\0\xf3\xffa,b\n1,x\n2,y\n\0\0\0\0\x0c\0\0\0",
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x4b\xd4\x49\xe2\x32\xd4\xa9\xe0\x32\xd2\xa9\xe4\x02\0",
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    const SPICE: &[u8] = b",\"\n\r;\0\xff\x1f\x8b0ae.-\xef\x7f\x80";
    let place = random.below(bytes.len() + 1);
    match random.below(5) {
        0 => bytes.insert(place, SPICE[random.below(SPICE.len())]),
        1 if place < bytes.len() => bytes[place] = SPICE[random.below(SPICE.len())],
        2 if place < bytes.len() => bytes[place] ^= 1 << random.below(8),
        3 => bytes.truncate(place),
        _ => {
            let tail = bytes[place..].to_vec();
            bytes.extend(tail);
        }
    }
}

/// Everything that can be done to a table of two columns or more.
fn use_table(table: Table) -> Result<(), DataError> {
    let name = table.columns()[table.columns().len() - 1].name().to_string();
    let recipes: [fn(Recipe) -> Recipe; 4] = [
        |r| r,
        |r| r.standardize().drop_missing(),
        |r| r.classification().ordinal(),
        |r| {
            let filled = r.impute(Impute::MostFrequent).impute(Impute::Neighbours(2));
            filled.target_encode(1).cyclic_dates().whiten(&[], None).polynomial(&[])
        },
    ];
    for change in recipes {
        let recipe = change(table.clone().target(&name)?);
        if let Ok((train, test)) = recipe.split(0.5, 1) {
            assert_eq!(train.features(), test.features());
            assert_eq!(train.preprocessing(), test.preprocessing());
        }
    }
    Ok(())
}

#[test]
fn mutated_bytes_are_read_or_refused() {
    let mut random = Random(1);
    let (mut tables, mut arrays, mut refusals) = (0, 0, 0);
    for _ in 0..20_000 {
        let mut bytes = SEEDS[random.below(SEEDS.len())].to_vec();
        for _ in 0..random.below(4) {
            mutate(&mut bytes, &mut random);
        }
        let csv = match random.below(3) {
            0 => Csv::new(&bytes[..]).no_header(),
            1 => Csv::new(&bytes[..]).delimiter(b';'),
            _ => Csv::new(&bytes[..]),
        };
        match csv.in_blocks(1 + random.below(30)).read() {
            Ok(table) => {
                tables += 1;
                use_table(table).expect("the column is there");
            }
            Err(error) => {
                refusals += 1;
                assert!(error.to_string().starts_with("`<memory>`, "), "{error}");
            }
        }
        if let Ok(array) = idx::parse(&bytes) {
            arrays += 1;
            assert_eq!(array.elements.len(), array.sizes.iter().product::<usize>());
        }
    }
    // The seeds are worth mutating only if both outcomes are common.
    assert!(tables > 1000 && arrays > 1000 && refusals > 1000, "{tables} {arrays} {refusals}");
}

#[test]
fn mutated_arrays_are_read_or_refused() {
    let seeds = [("<f4", "(2, 3)", 24), (">i2", "(3,)", 6), ("|b1", "(1, 2, 2)", 4)];
    let mut random = Random(2);
    let (mut arrays, mut refusals) = (0, 0);
    for _ in 0..20_000 {
        let (element, sizes, bytes) = seeds[random.below(seeds.len())];
        let order = ["False", "True"][random.below(2)];
        let header =
            format!("{{'descr': '{element}', 'fortran_order': {order}, 'shape': {sizes}}}");
        let length = [header.len() as u8, 0];
        let mut file = [b"\x93NUMPY\x01\0", &length[..], header.as_bytes()].concat();
        file.extend((0..bytes).map(|_| random.below(256) as u8));
        for _ in 0..random.below(4) {
            mutate(&mut file, &mut random);
        }
        match npy::parse(&file) {
            Ok(array) => {
                arrays += 1;
                let column = array.numbers("x").expect("no seed is without axes");
                assert_eq!(column.values.len(), array.sizes().iter().product::<usize>());
                array.target("y").ok();
            }
            Err(error) => {
                refusals += 1;
                assert!(error.to_string().starts_with("`<memory>`, "), "{error}");
            }
        }
    }
    assert!(arrays > 1000 && refusals > 1000, "{arrays} {refusals}");
}

/// Mutates a file of a folder and has it read again and again; both outcomes must be common.
#[cfg(any(feature = "images", feature = "audio"))]
fn mutate_file(
    path: &std::path::Path,
    seeds: &[Vec<u8>],
    read: impl Fn() -> Result<crate::data::Dataset, DataError>,
) {
    let mut random = Random(3);
    let (mut rows, mut refusals) = (0, 0);
    for _ in 0..3000 {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..random.below(4) {
            mutate(&mut bytes, &mut random);
        }
        std::fs::write(path, bytes).unwrap();
        match read() {
            Ok(_) => rows += 1,
            Err(error) => {
                refusals += 1;
                assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            }
        }
    }
    assert!(rows > 300 && refusals > 300, "{rows} {refusals}");
}

#[cfg(feature = "images")]
#[test]
fn mutated_images_are_read_or_refused() {
    use image::ImageFormat;

    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("a")).unwrap();
    let image = image::RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8 * 28, y as u8 * 36, 5]));
    let seeds = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP].map(|format| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    });
    mutate_file(&folder.path().join("a/1.png"), &seeds, || {
        crate::data::ImageFolder::new(folder.path()).size(3, 4).read()
    });
}

#[cfg(feature = "audio")]
#[test]
fn mutated_sounds_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let seeds = [(8, 1), (16, 2), (24, 1), (32, 3)].map(|(bits, channels)| {
        let sample_format = hound::SampleFormat::Int;
        let spec =
            hound::WavSpec { channels, sample_rate: 8000, bits_per_sample: bits, sample_format };
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        (0..channels * 10).for_each(|i| writer.write_sample(i32::from(i) - 15).unwrap());
        writer.finalize().unwrap();
        bytes.into_inner()
    });
    mutate_file(&folder.path().join("a_1.wav"), &seeds, || {
        crate::data::WavFolder::new(folder.path(), "{class}_{n}.wav").length(20).read()
    });
}

#[cfg(feature = "parquet")]
#[test]
fn mutated_parquet_files_are_read_or_refused() {
    use crate::data::Parquet;

    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet");
    let seeds = ["int96", "nested", "zstd_v2", "deltas", "snappy", "plain_v2"]
        .map(|name| std::fs::read(folder.join(name).with_extension("parquet")).unwrap());
    let mut random = Random(4);
    let (mut tables, mut refusals) = (0, 0);
    for _ in 0..4000 {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..random.below(4) {
            // The end of the file says how long the footer is: most changes leave it where it is.
            let place = random.below(bytes.len());
            match random.below(20) {
                0 => mutate(&mut bytes, &mut random),
                few => bytes[place] ^= 1 << (few % 8),
            }
        }
        match Parquet::new(bytes).read() {
            Ok(_) => tables += 1,
            Err(error) => {
                refusals += 1;
                assert!(error.to_string().starts_with("`<memory>`, "), "{error}");
            }
        }
    }
    assert!(tables > 500 && refusals > 500, "{tables} {refusals}");
}
