//! Groups of parameters: who learns at which share of the rate, decays, or stays as it is.

use serde::Serialize;

use crate::error::TrainError;
use crate::layer::value::Parameter;
use crate::model::Network;
use crate::plan::{GroupRequest, UpdateRule};

/// Parameters that are trained otherwise than the rest, chosen by name or shape.
///
/// A parameter belongs to the first group that fits it. Each group is one range of memory; one step
/// updates all that are trained, each by scalars of its own.
///
/// ```
/// use ironwarp::prelude::*;
/// let model = Model::input(8).named("encoder", Dense::new(16)).relu().dense(1);
/// let trainer = Trainer::new(&model, AdamW::new(1e-3))
///     .group(ParameterGroup::vectors().weight_decay_factor(0.0))
///     .group(ParameterGroup::matching("encoder.*").learning_rate_factor(0.1))
///     .build()?;
/// # Ok::<(), ironwarp::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParameterGroup {
    members: Members,
    learning_rate_factor: f64,
    weight_decay_factor: f64,
    frozen: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Members {
    Matching(String),
    Vectors,
    Rest,
}

impl ParameterGroup {
    fn new(members: Members) -> Self {
        ParameterGroup {
            members,
            learning_rate_factor: 1.0,
            weight_decay_factor: 1.0,
            frozen: false,
        }
    }

    /// The parameters whose whole name fits the pattern, in which `*` stands for any text:
    /// `encoder.*`, `*.bias`. [`Network::parameters`] lists the names.
    pub fn matching(pattern: &str) -> Self {
        ParameterGroup::new(Members::Matching(pattern.into()))
    }

    /// The parameters of one dimension: biases, and the scales of norms.
    pub fn vectors() -> Self {
        ParameterGroup::new(Members::Vectors)
    }

    /// Share of the optimizer's learning rate, the schedule's included; default 1.
    pub fn learning_rate_factor(self, factor: f64) -> Self {
        ParameterGroup { learning_rate_factor: factor, ..self }
    }

    /// Share of the optimizer's weight decay; default 1.
    pub fn weight_decay_factor(self, factor: f64) -> Self {
        ParameterGroup { weight_decay_factor: factor, ..self }
    }

    /// Keeps the parameters as they are: they have neither gradient nor optimizer state.
    pub fn frozen(self) -> Self {
        ParameterGroup { frozen: true, ..self }
    }

    /// Rate and share of weight decay of the group's updates.
    pub(super) fn scales(&self) -> (f64, f64) {
        (self.learning_rate_factor, self.weight_decay_factor)
    }

    fn name(&self) -> &str {
        match &self.members {
            Members::Matching(pattern) => pattern,
            Members::Vectors => "vectors",
            Members::Rest => "parameters",
        }
    }

    fn fits(&self, network: &Network, parameter: &Parameter) -> bool {
        match &self.members {
            Members::Matching(pattern) => matches(pattern, &parameter.name),
            Members::Vectors => network.shape(parameter).len() <= 1,
            Members::Rest => true,
        }
    }

    fn problems(&self) -> Vec<String> {
        let factors = [
            ("learning_rate_factor", self.learning_rate_factor),
            ("weight_decay_factor", self.weight_decay_factor),
        ];
        let wrong = factors.into_iter().filter(|(_, f)| !(*f >= 0.0 && f.is_finite()));
        wrong
            .map(|(what, factor)| {
                format!("group `{}`: `{what}` is {factor}, not 0 or more", self.name())
            })
            .collect()
    }
}

/// Whether the name fits the pattern, `*` standing for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            (0..=name.len()).any(|i| name.is_char_boundary(i) && matches(rest, &name[i..]))
        }),
    }
}

/// Gives every parameter to the first group that fits, what is left over to one of its own, and
/// returns the groups with what to lay out for them.
pub(super) fn assign(
    groups: &[ParameterGroup],
    network: &Network,
    rule: &UpdateRule,
) -> Result<(Vec<ParameterGroup>, Vec<GroupRequest>), TrainError> {
    let mut problems: Vec<String> = groups.iter().flat_map(ParameterGroup::problems).collect();
    let mut left: Vec<&Parameter> = network.parameters().iter().collect();
    let (mut kept, mut requests) = (Vec::new(), Vec::new());
    for group in groups.iter().cloned().chain([ParameterGroup::new(Members::Rest)]) {
        let (own, others): (Vec<_>, Vec<_>) = left.iter().partition(|p| group.fits(network, p));
        left = others;
        if own.is_empty() {
            if group.members != Members::Rest {
                let names = network.parameters().iter().take(6).map(|p| format!("`{}`", p.name));
                let names = names.collect::<Vec<_>>().join(", ");
                let name = group.name();
                problems
                    .push(format!("no parameter is left for group `{name}`; there are {names}"));
            }
            continue;
        }
        requests.push(GroupRequest {
            name: group.name().to_string(),
            parameters: own.iter().map(|p| (p.name.clone(), network.shape(p))).collect(),
            rule: (!group.frozen).then(|| rule.clone()),
        });
        kept.push(group);
    }
    match problems.is_empty() {
        true => Ok((kept, requests)),
        false => Err(TrainError::Options(problems.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, fits) in [
            ("encoder.*", "encoder.0.weight", true),
            ("encoder.*", "encoder", false),
            ("encoder.*", "my_encoder.bias", false),
            ("*.bias", "encoder.0.bias", true),
            ("*.bias", "bias", false),
            ("a*b*c", "a.b.b.c", true),
            ("a*b*c", "a.c.b", false),
            ("*", "", true),
            ("", "a", false),
            ("é*", "éa", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} and {name}");
        }
    }
}
