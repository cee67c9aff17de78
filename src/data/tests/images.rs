use std::fs;
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba, RgbaImage};

use super::{features, message, targets};
use crate::data::ImageFolder;

/// A folder of classes: two red-green images of class `b`, one of class `a`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let class = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let (a, b) = (class("a"), class("b"));
    let red = RgbImage::from_fn(2, 1, |x, _| Rgb([255, x as u8 * 51, 0]));
    red.save(a.join("1.png")).unwrap();
    let half = RgbaImage::from_fn(2, 1, |_, _| Rgba([0, 102, 153, 7]));
    half.save(b.join("2.webp")).unwrap();
    let wide = ImageBuffer::<Rgb<u16>, _>::from_fn(2, 1, |x, _| Rgb([x as u16 * 65535, 0, 257]));
    DynamicImage::from(wide).save(b.join("1.PNG")).unwrap();
    folder
}

#[test]
fn rows_are_channels_first_and_sorted() {
    let folder = folder();
    let data = ImageFolder::new(folder.path()).read().unwrap();
    assert_eq!(data.inputs()[0].row_shape, [3, 1, 2]);
    assert_eq!(
        (data.class_names(), targets(&data)),
        (&["a".into(), "b".into()][..], vec![0.0, 1.0, 1.0])
    );
    let rows = [
        [1.0, 1.0, 0.0, 0.2, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 1.0 / 255.0, 1.0 / 255.0],
        [0.0, 0.0, 0.4, 0.4, 0.6, 0.6],
    ];
    assert_eq!(features(&data), rows.concat());
}

#[test]
fn gray_and_normalised() {
    let folder = folder();
    let images = ImageFolder::new(folder.path());
    let gray = images.clone().grayscale().read().unwrap();
    assert_eq!(gray.inputs()[0].row_shape, [1, 1, 2]);
    // 0.299 * 255 = 76.2; with 0.587 * 51 = 29.9 it is 106.2. 0.587 * 102 + 0.114 * 153 = 77.3.
    let levels = [76.0, 106.0, 0.0, 76.0, 77.0, 77.0].map(|level: f32| level / 255.0);
    assert_eq!(features(&gray), levels);
    let shifted = images.normalize(&[0.5, 0.0, 0.2], &[0.5, 1.0, 2.0]).read().unwrap();
    assert_eq!(features(&shifted)[..6], [1.0, 1.0, 0.0, 0.2, -0.1, -0.1]);
}

#[test]
fn shrinking_averages_and_growing_interpolates() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("a")).unwrap();
    let path = folder.path().join("a/1.png");
    GrayImage::from_fn(4, 1, |x, _| Luma([x as u8 * 70])).save(&path).unwrap();
    let read = |height, width| -> Vec<f32> {
        let data = ImageFolder::new(folder.path()).grayscale().size(height, width).read().unwrap();
        assert_eq!(data.inputs()[0].row_shape, [1, height as usize, width as usize]);
        features(&data).iter().map(|level| (level * 255.0).round()).collect()
    };
    // Halved, a triangle of width 4: weights 3, 3, 1 of the nearest.
    assert_eq!(read(1, 2), [50.0, 160.0]);
    assert_eq!(read(2, 4), [0.0, 70.0, 140.0, 210.0, 0.0, 70.0, 140.0, 210.0]);
    // Doubled: quarters between the pixels.
    assert_eq!(read(1, 8), [0.0, 18.0, 53.0, 88.0, 123.0, 158.0, 193.0, 210.0]);
}

#[test]
fn formats_are_told_by_content_and_other_files_passed_over() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    // A JPEG of one level, under another name.
    let bytes = |path: &Path| {
        GrayImage::from_pixel(2, 1, Luma([128])).save(path).unwrap();
        fs::read(path).unwrap()
    };
    let jpeg = bytes(&at("b/3.jpg"));
    fs::remove_file(at("b/3.jpg")).unwrap();
    fs::write(at("b/3.png"), jpeg).unwrap();
    for name in ["README.md", "a/notes.txt", "a/.2.png", "b/Thumbs.db"] {
        fs::write(at(name), "passed over").unwrap();
    }
    fs::create_dir(at(".git")).unwrap();
    let data = ImageFolder::new(folder.path()).read().unwrap();
    assert_eq!((data.len(), data.classes()), (4, 2));
    assert_eq!(features(&data)[18..], [128.0 / 255.0; 6]);
}

#[test]
fn the_first_of_several_bad_files_is_named() {
    let folder = folder();
    for index in 0..40 {
        let name = format!("a/x{index:02}.png");
        fs::write(folder.path().join(name), [index; 20]).unwrap();
    }
    for _ in 0..20 {
        let text = message(ImageFolder::new(folder.path()).size(4, 4).read());
        assert!(text.contains("a/x00.png`, the image: it is damaged or not read: "), "{text}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let folder = folder();
    let images = ImageFolder::new(folder.path());
    assert_eq!(
        message(images.clone().size(0, 4).read()),
        "images: size(0, 4) has not between 1 and 50000000 pixels"
    );
    assert_eq!(
        message(images.clone().grayscale().normalize(&[0.5; 3], &[0.5; 3]).read()),
        "images: normalize has 3 means and 3 deviations for 1 channels"
    );
    assert_eq!(
        message(images.normalize(&[0.5; 3], &[0.5, 0.0, 0.5]).read()),
        "images: normalize needs finite means and deviations above 0"
    );
}
