use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use ironwarp::data::ImageFolder;

use crate::Refusals;

fn image(width: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = GrayImage::from_fn(width, 30, |x, y| Luma([(x * 31 + y * 17) as u8]));
    let image = DynamicImage::from(image);
    let image = if format == ImageFormat::WebP { image.into_rgb8().into() } else { image };
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn images() {
    let mut refusals = Refusals::default();
    let mut add = |name: &str, files: &[(&str, &[u8])]| {
        refusals.add_folder(name, files, |folder| ImageFolder::new(folder).read());
    };
    let png = image(30, ImageFormat::Png);
    add("no classes", &[("1.png", &png)]);
    add("class without images", &[("a/1.png", &png), ("b/1.tiff", b"II*\0"), ("b/2.gif", b"")]);
    add("folder in a class", &[("a/1.png", &png), ("a/b/1.png", &png)]);
    add("empty file", &[("a/1.png", b"")]);
    add("text", &[("a/1.png", b"this is no image")]);
    add("GIF named PNG", &[("a/1.png", b"GIF89a\x01\0\x01\0\0\0\0;")]);
    add("PNG cut off", &[("a/1.png", &png[..png.len() / 2])]);
    let mut flipped = png.clone();
    flipped[60] ^= 1;
    add("PNG with a wrong checksum", &[("a/1.png", &flipped)]);
    let jpeg = image(30, ImageFormat::Jpeg);
    add("JPEG cut off in its header", &[("a/1.jpg", &jpeg[..100])]);
    let webp = image(30, ImageFormat::WebP);
    add("WebP cut off", &[("a/1.webp", &webp[..webp.len() / 2])]);
    let other = image(31, ImageFormat::Png);
    add("another size", &[("a/1.png", &png), ("b/1.png", &other)]);
    // A header of 65535 x 65535 pixels; its checksum is right.
    let mut bomb = png[..33].to_vec();
    bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let mut checksum = flate2::Crc::new();
    checksum.update(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
    bomb.extend(&png[33..]);
    add("bomb", &[("a/1.png", &bomb)]);
    refusals.add("no folder", ImageFolder::new("absent").read());
    insta::assert_snapshot!(refusals.text);
}
