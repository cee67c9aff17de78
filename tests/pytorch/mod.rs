//! Reads the fixtures that PyTorch made; `tests/fixtures/README.md` says what is in them.
#![allow(dead_code)] // each test binary uses a part

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};

/// A few thousand roundings of `f64`, relative to max(1, |value|): about 1e-12. Two code paths of
/// PyTorch itself differ by 1.3e-15, an implementation in another order by a few tens of roundings.
const ROUNDINGS: f64 = 4096.0 * f64::EPSILON;

/// A tensor, integers as floats.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) elements: Vec<f64>,
}

/// One case: its parameters and its tensors by role, such as `in.x`.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) parameters: serde_json::Value,
    tensors: BTreeMap<String, Tensor>,
}

impl Case {
    pub(crate) fn find(&self, role: &str) -> Option<&Tensor> {
        self.tensors.get(role)
    }

    pub(crate) fn get(&self, role: &str) -> &Tensor {
        self.find(role).unwrap_or_else(|| panic!("{}: no `{role}`", self.name))
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        let value = self.parameters[name].as_f64();
        value.unwrap_or_else(|| panic!("{}: `{name}` is no number", self.name))
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.parameters[name].as_str().unwrap_or_default()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.parameters[name].as_bool().unwrap_or_default()
    }
}

/// The cases of `tests/fixtures/<family>.safetensors`.
pub(crate) fn cases(family: &str) -> Vec<Case> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let bytes = std::fs::read(format!("{folder}/{family}.safetensors")).expect("the fixture");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a safetensors header");
    let metadata = metadata.metadata().clone().expect("metadata");
    let cases: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&metadata["cases"]).expect("a list of cases");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let mut cases: BTreeMap<String, Case> = cases
        .into_iter()
        .map(|(name, parameters)| {
            (name.clone(), Case { name, parameters, tensors: BTreeMap::new() })
        })
        .collect();
    for (name, view) in file.tensors() {
        let (case, role) = name.rsplit_once('/').expect("a case and a role");
        let words = view.data().chunks_exact(8).map(|b| b.try_into().expect("eight bytes"));
        let elements = match view.dtype() {
            Dtype::F64 => words.map(f64::from_le_bytes).collect(),
            Dtype::I64 => words.map(|b| i64::from_le_bytes(b) as f64).collect(),
            other => panic!("{name}: {other:?}"),
        };
        let tensor = Tensor { shape: view.shape().to_vec(), elements };
        cases.get_mut(case).expect("a listed case").tensors.insert(role.into(), tensor);
    }
    cases.into_values().collect()
}

/// Every element within some roundings of the expected one; infinities and NaN by kind.
#[track_caller]
pub(crate) fn assert_close(what: &str, got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}: number of elements");
    for (i, (&g, &e)) in got.iter().zip(expected).enumerate() {
        let same = g == e || (g.is_nan() && e.is_nan());
        let close = same || (g - e).abs() <= ROUNDINGS * e.abs().max(1.0);
        assert!(close, "{what}: element {i} is {g}, expected {e}");
    }
}
