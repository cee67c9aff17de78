//! What becomes of raw files is in the model's file, which is distrusted.
#![cfg(all(feature = "images", feature = "audio"))]

use std::fs;
use std::path::Path;

use ironwarp::data::{Files, ImageFolder, LogMel, Media, WavFolder};
use ironwarp::prelude::*;
use serde_json::{Value, json};

/// Two classes of one image each, of an even level.
fn images(folder: &Path) {
    for (class, level) in [("dark", 50), ("light", 200)] {
        fs::create_dir(folder.join(class)).unwrap();
        let image = image::RgbImage::from_pixel(3, 2, image::Rgb([level, 0, 255]));
        image.save(folder.join(class).join("one.png")).unwrap();
    }
}

#[test]
fn a_model_reads_files_as_its_training_did() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path());
    let data = ImageFolder::new(folder.path())
        .size(2, 4)
        .grayscale()
        .normalize(&[0.5], &[0.25])
        .read()
        .unwrap();
    let files = Files::Images {
        height: 2,
        width: 4,
        grayscale: true,
        normalize: Some((vec![0.5], vec![0.25])),
    };
    assert_eq!(data.rows(1..).media().unwrap().files(), &files, "rows of it know it too");
    let model = Model::input(&[1, 2, 4]).flatten().dense(2);
    let mut trainer = Trainer::new(&model, Adam::new(0.01)).device(Device::cpu()).build().unwrap();
    trainer.fit(&data, Fit::epochs(3).batch(2).progress(Progress::Silent)).unwrap();
    let path = folder.path().join("model.safetensors");
    let checkpoint = folder.path().join("checkpoint.safetensors");
    trainer.save(&path).unwrap();
    trainer.save_checkpoint(&checkpoint).unwrap();
    let mut other = Trainer::new(&model, Adam::new(0.01)).device(Device::cpu()).build().unwrap();
    other.resume(&checkpoint).unwrap();
    let expected = trainer.trained().unwrap().predict(&data).unwrap();
    for trained in [
        Trained::load(&path, Device::cpu()).unwrap(),
        Trained::load(&checkpoint, Device::cpu()).unwrap(),
        other.trained().unwrap(),
    ] {
        let media = trained.media().unwrap();
        assert_eq!(
            (media.files(), media.classes()),
            (&files, &["dark", "light"].map(String::from)[..])
        );
        let (names, outputs) = trained.predict_files(folder.path()).unwrap();
        assert_eq!(
            (names, &outputs),
            (vec!["dark/one.png".into(), "light/one.png".into()], &expected)
        );
    }
    let (names, rows) = data.media().unwrap().read(folder.path().join("light/one.png")).unwrap();
    assert_eq!((names, rows.len()), (vec!["one.png".to_string()], 1));
}

#[test]
fn settings_come_back_from_their_text() {
    let folder = tempfile::tempdir().unwrap();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    for name in ["a_1.wav", "b_1.wav"] {
        let mut writer = hound::WavWriter::create(folder.path().join(name), spec).unwrap();
        (0..900).for_each(|i| writer.write_sample((i * 37 % 1001) as i16).unwrap());
        writer.finalize().unwrap();
    }
    let mel = LogMel::new(12).fft(128).hop(50).range(100.0, 3000.5).mfcc(5);
    let sounds = WavFolder::new(folder.path(), "{class}_{index}.wav").log_mel(mel);
    let data = sounds.normalize(-3.25, 1.0 / 3.0).read().unwrap();
    let media = data.media().unwrap();
    let text = serde_json::to_string(media).unwrap();
    assert_eq!(&serde_json::from_str::<Media>(&text).unwrap(), media);
    assert_eq!(media.elements(), Some(data.features()));
    let (_, again) = media.read(folder.path()).unwrap();
    let values = |data: &Dataset| {
        let mut values = vec![0.0; 2 * data.features()];
        data.gather_f32(ironwarp::data::ColumnId::Input(0), &[0, 1], &mut values).unwrap();
        values
    };
    assert_eq!(values(&again), values(&data));
}

#[test]
fn settings_that_are_wrong_are_refused() {
    let image = json!({"images": {"height": 2, "width": 3, "grayscale": false, "normalize": null}});
    let sound = |length: u64| json!({"sounds": {"rate": 8000, "length": length, "log_mel": null, "normalize": null}});
    let read = |files: Value, classes: &[&str]| {
        serde_json::from_value::<Media>(json!({"files": files, "classes": classes}))
    };
    assert!(read(image.clone(), &["a"]).is_ok() && read(sound(5), &["a"]).is_ok());
    for (result, expected) in [
        (read(image.clone(), &[]), "there are no classes"),
        (read(sound(0), &["a"]), "sounds of 0 samples, expected 1 to 67108864"),
        (read(sound(1 << 40), &["a"]), "sounds of 1099511627776 samples"),
        (read(json!({"films": {}}), &["a"]), "unknown variant `films`"),
        (read(json!({"images": {"height": -2}}), &["a"]), "invalid value: integer `-2`"),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // Sizes that the input does not have are refused before a file is looked at.
    let folder = tempfile::tempdir().unwrap();
    images(folder.path());
    let data = ImageFolder::new(folder.path()).read().unwrap();
    let model = Model::input(&[3, 2, 3]).flatten().dense(2);
    let mut trainer = Trainer::new(&model, Adam::new(0.01)).device(Device::cpu()).build().unwrap();
    trainer.fit(&data, Fit::epochs(1).batch(2).progress(Progress::Silent)).unwrap();
    let path = folder.path().join("model.safetensors");
    trainer.save(&path).unwrap();
    let mut file = ironwarp::file::TensorFile::read(&path).unwrap();
    file.metadata.as_mut().unwrap()["media"]["files"]["images"]["width"] = json!(4_000_000_000u32);
    file.write(&path).unwrap();
    let trained = Trained::load(&path, Device::cpu()).unwrap();
    let error = trained.predict_files("absent").unwrap_err().to_string();
    assert!(error.contains("18 elements, its settings of files make others"), "{error}");
    let model = Model::input(1).dense(1);
    let trainer = Trainer::new(&model, Adam::new(0.01)).device(Device::cpu()).build().unwrap();
    let error = trainer.trained().unwrap().predict_files("absent").unwrap_err().to_string();
    assert!(error.contains("was not trained on a folder"), "{error}");
}
