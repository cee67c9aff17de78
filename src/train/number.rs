//! Numbers in JSON. Those it has no form for are texts, so that they come back as they were: `NaN`,
//! `inf`, `-inf`.

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Number {
    Finite(f64),
    Text(String),
}

impl From<f64> for Number {
    fn from(x: f64) -> Number {
        if x.is_finite() { Number::Finite(x) } else { Number::Text(x.to_string()) }
    }
}

impl Number {
    fn value<E: serde::de::Error>(self) -> Result<f64, E> {
        match self {
            Number::Finite(x) => Ok(x),
            Number::Text(text) => text.parse().map_err(|_| E::custom(format!("no number: {text}"))),
        }
    }
}

pub(super) mod optional {
    use super::*;

    pub(in crate::train) fn serialize<S: serde::Serializer>(
        x: &Option<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        x.map(Number::from).serialize(serializer)
    }

    pub(in crate::train) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        Option::<Number>::deserialize(deserializer)?.map(Number::value).transpose()
    }
}

pub(super) mod named {
    use super::*;

    pub(in crate::train) fn serialize<S: serde::Serializer>(
        all: &[(String, f64)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(all.iter().map(|(name, x)| (name, Number::from(*x))))
    }

    pub(in crate::train) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, f64)>, D::Error> {
        let all = Vec::<(String, Number)>::deserialize(deserializer)?;
        all.into_iter().map(|(name, number)| Ok((name, number.value()?))).collect()
    }
}
