//! A stored graph is distrusted: whatever its numbers and names say, it is refused or is as sound as
//! one that was traced. The file's hash does not help here, since who forges a graph can hash it.

#[path = "common/training.rs"]
mod training;

use ironwarp::data::{Column, Dataset};
use ironwarp::file::TensorFile;
use ironwarp::model::Network;
use ironwarp::op::Registry;
use ironwarp::prelude::*;
use ironwarp::random;
use serde_json::{Value as Json, json};
use training::{cpu, trainer};

fn model() -> Model {
    let residual = |x: &Value| x + &x.layer(Dense::new(x.last())).layer(Activation::Gelu);
    let model = Model::indices(3).embedding(7, 4).layer_norm().dropout(0.1).layer(residual);
    model.rms_norm().flatten().layer(|x: &Value| x.max(&[1], true) + x.mean(&[1], true)).dense(2)
}

/// A number of draws from one seed.
struct Random(u32, u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.1 += 1;
        let u = f64::from(random::uniform(5, self.0, 0, self.1));
        ((u * end as f64) as usize).min(end - 1)
    }
}

/// All places of a document, as pointers.
fn places(json: &Json, path: String, all: &mut Vec<String>) {
    let inner: Vec<(String, &Json)> = match json {
        Json::Object(map) => map.iter().map(|(k, v)| (k.replace('/', "~1"), v)).collect(),
        Json::Array(items) => items.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        _ => vec![],
    };
    for (name, value) in inner {
        places(value, format!("{path}/{name}"), all);
    }
    all.push(path);
}

/// Replaces one to three places by something else, often by another part of the document.
fn mutate(json: &mut Json, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let mut all = vec![];
        places(json, String::new(), &mut all);
        let other = json.pointer(&all[random.below(all.len())]).cloned();
        let new = match random.below(12) {
            0 => json!(0),
            1 => json!(1),
            2 => json!(u64::MAX),
            3 => json!(1u64 << 40),
            4 => json!(-1),
            5 => json!(1e300),
            6 => json!(null),
            7 => json!([]),
            8 => json!("matmul"),
            _ => other.expect("its place"),
        };
        if let Some(place) = json.pointer_mut(&all[random.below(all.len())]) {
            *place = new;
        }
    }
}

#[test]
fn mutated_graphs_are_refused_or_sound() {
    let whole = model().network().expect("a model").to_json();
    let mut sound = 0;
    for stream in 0..6000 {
        let mut json = whole.clone();
        mutate(&mut json, &mut Random(stream, 0));
        let Ok(network) = Network::from_json(json, &Registry::standard()) else { continue };
        sound += 1;
        assert!(!network.summary().to_string().is_empty());
        let stored = network.to_json();
        let again = Network::from_json(stored.clone(), &Registry::standard()).expect("sound");
        assert_eq!(again.to_json(), stored, "stream {stream}");
    }
    assert!(sound > 100, "too wild to find anything: {sound}");
}

#[test]
fn files_with_mutated_graphs_are_refused_or_predict() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model");
    trainer(&model(), Adam::new(0.1)).save(&path).expect("a file");
    let whole = TensorFile::read(&path).expect("a file");
    let column = Column::indices("x", &[3], vec![0, 1, 2, 3, 4, 6]);
    let data = Dataset::new(vec![column], vec![]).expect("data");
    let mut predicted = 0;
    for stream in 0..1500 {
        let mut metadata = whole.metadata.clone().expect("a graph");
        mutate(&mut metadata["network"], &mut Random(stream, 1 << 32));
        let file = TensorFile { tensors: whole.tensors.clone(), metadata: Some(metadata) };
        file.write(&path).expect("a file");
        if let Ok(model) = Trained::load(&path, cpu(1)) {
            predicted += usize::from(model.predict(&data).is_ok());
        }
    }
    assert!(predicted > 20, "too wild to find anything: {predicted}");
}
