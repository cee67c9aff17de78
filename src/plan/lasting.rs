//! Lasting memory: parameters, gradients, optimizer state and control scalars, laid out from model
//! and optimizer alone, so that all plans of a run share it.
//!
//! Parameters are ordered by group. A group is one contiguous range, padded with zeros to a
//! multiple of 256 bytes. Groups of one rule lie one behind the other, and gradients and each state
//! have the same layout, so one step updates them all; all gradients are one range, so one reduction
//! is their norm.

use crate::op::{BufferId, Graph, Role};
use crate::tensor::{Shape, TensorType};

use super::{ALIGNMENT, StateRule, UpdateRule};

/// Elements of `f32` in one aligned unit.
const UNIT: usize = ALIGNMENT / 4;

/// A group of parameters that share one update rule and its scalars.
#[derive(Clone, Debug)]
pub struct GroupRequest {
    /// Name of the group.
    pub name: String,
    /// Names and shapes of its parameters.
    pub parameters: Vec<(String, Vec<usize>)>,
    /// How they are updated; `None` for frozen ones, which have neither gradient nor state.
    pub rule: Option<UpdateRule>,
}

/// One parameter and its places.
#[derive(Clone, Debug)]
pub struct LastingParameter {
    /// Name.
    pub name: String,
    /// Sizes.
    pub shape: Vec<usize>,
    /// The parameter itself.
    pub parameter: BufferId,
    /// Its gradient; `None` if frozen.
    pub gradient: Option<BufferId>,
    /// Its states, in the rule's order.
    pub states: Vec<BufferId>,
    /// First element in the buffer that holds it with its group.
    pub element: usize,
}

/// A group and its places.
#[derive(Clone, Debug)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Elements, padding included.
    pub elements: usize,
    /// The rule's scalars.
    pub scalars: Vec<BufferId>,
    /// The rule; `None` if frozen.
    pub rule: Option<UpdateRule>,
    /// The parameters, in order.
    pub parameters: Vec<LastingParameter>,
}

/// All groups of one rule: what one step updates.
#[derive(Clone, Debug)]
pub struct Update {
    /// Names of the groups, joined by ` + `.
    pub name: String,
    /// The groups, in order.
    pub groups: Vec<usize>,
    /// Where the range of each group ends, in elements.
    pub ends: Vec<usize>,
    /// The rule.
    pub rule: UpdateRule,
    /// The parameters of all groups as one buffer.
    pub parameter: BufferId,
    /// All gradients.
    pub gradient: BufferId,
    /// All states, in the rule's order.
    pub states: Vec<BufferId>,
    /// The rule's scalars; of each, one element for each group.
    pub scalars: Vec<BufferId>,
}

/// The layout of lasting memory.
#[derive(Clone, Debug)]
pub struct Lasting {
    /// Its buffers; every plan begins with them.
    pub graph: Graph,
    /// The groups, in the order asked for.
    pub groups: Vec<Group>,
    /// Those that are trained, by rule.
    pub updates: Vec<Update>,
    /// The gradients of all updates, one behind the other. `None` if nothing is updated.
    pub gradients: Option<BufferId>,
    /// One element: 0 until a step is not finite, then 1, and no step changes anything until it is
    /// written to 0 again. `None` if nothing is updated.
    pub halted: Option<BufferId>,
    /// Byte offset of each buffer.
    pub offsets: Vec<usize>,
    /// Bytes in all.
    pub bytes: usize,
}

impl Lasting {
    /// Lays out the groups, and control scalars of these names beside those of the rules.
    pub fn new(groups: &[GroupRequest], scalars: &[String]) -> Lasting {
        let mut lasting = Lasting {
            graph: Graph::default(),
            groups: groups.iter().map(begin_group).collect(),
            updates: vec![],
            gradients: None,
            halted: None,
            offsets: vec![],
            bytes: 0,
        };
        let trained = lasting.groups.iter().filter(|g| g.rule.is_some());
        let elements = trained.map(|g| g.elements).sum();
        if elements > 0 {
            let graph = &mut lasting.graph;
            lasting.gradients = Some(graph.add("gradients", vector(elements), Role::Gradient));
            lasting.halted = Some(graph.add("halted", vector(1), Role::State));
        }
        let mut sets: Vec<Vec<usize>> = vec![];
        for (i, group) in groups.iter().enumerate() {
            match sets.iter_mut().find(|set| groups[set[0]].rule == group.rule) {
                Some(set) => set.push(i),
                None => sets.push(vec![i]),
            }
        }
        sets.into_iter().for_each(|set| lasting.place(groups, set));
        lasting.add_control(scalars);
        lasting.assign();
        lasting
    }

    /// All parameters, by group.
    pub fn parameters(&self) -> impl Iterator<Item = &LastingParameter> {
        self.groups.iter().flat_map(|g| &g.parameters)
    }

    /// A control scalar by name.
    pub fn scalar(&self, name: &str) -> Option<BufferId> {
        self.graph.find(&format!("control/{name}"))
    }

    /// Gives groups of one rule their buffers.
    fn place(&mut self, requests: &[GroupRequest], set: Vec<usize>) {
        let names: Vec<_> = set.iter().map(|&i| &*requests[i].name).collect();
        let (name, rule) = (names.join(" + "), requests[set[0]].rule.clone());
        let mut end = 0;
        let ends: Vec<usize> = set
            .iter()
            .map(|&i| {
                end += self.groups[i].elements;
                end
            })
            .collect();
        let first = self.updates.iter().filter_map(|u| u.ends.last()).sum();
        let graph = &mut self.graph;
        let parameter = graph.add(format!("group/{name}"), vector(end), Role::Parameter);
        let gradient = rule.as_ref().and(self.gradients).map(|all| {
            let name = format!("group/{name}.gradient");
            graph.add_within(name, vector(end), Role::Gradient, all, first)
        });
        let own = rule.as_ref().map_or(&[][..], |r| &r.states);
        let state = |s: &StateRule| format!("group/{name}.{}", s.name);
        let states: Vec<_> =
            own.iter().map(|s| graph.add(state(s), vector(end), Role::State)).collect();
        for (&i, end) in set.iter().zip(&ends) {
            let mut element = end - self.groups[i].elements;
            for (name, shape) in &requests[i].parameters {
                let ty = TensorType::f32(Shape::fixed(shape));
                let mut view = |suffix: &str, role, parent| {
                    graph.add_within(format!("{name}{suffix}"), ty.clone(), role, parent, element)
                };
                self.groups[i].parameters.push(LastingParameter {
                    name: name.clone(),
                    shape: shape.clone(),
                    parameter: view("", Role::Parameter, parameter),
                    gradient: gradient.map(|g| view(".gradient", Role::Gradient, g)),
                    states: own
                        .iter()
                        .zip(&states)
                        .map(|(s, &id)| view(&format!(".{}", s.name), Role::State, id))
                        .collect(),
                    element,
                });
                element += padded(shape);
            }
        }
        if let (Some(rule), Some(gradient)) = (rule, gradient) {
            let (groups, scalars) = (set, vec![]);
            let update = Update { name, groups, ends, rule, parameter, gradient, states, scalars };
            self.updates.push(update);
        }
    }

    fn add_control(&mut self, names: &[String]) {
        let own = self.updates.iter().map(|u| u.rule.scalars.len() * u.groups.len());
        let count = own.sum::<usize>() + names.len();
        if count == 0 {
            return;
        }
        let Lasting { graph, groups, updates, .. } = self;
        let control = graph.add("control", vector(count), Role::Control);
        let mut element = 0;
        for update in updates {
            for scalar in &update.rule.scalars {
                let (name, width) =
                    (format!("control/{}/{scalar}", update.name), update.ends.len());
                let all = graph.add_within(&name, vector(width), Role::Control, control, element);
                for (i, &group) in update.groups.iter().enumerate() {
                    let Group { name: own, scalars, .. } = &mut groups[group];
                    let name = format!("{name} of {own}");
                    scalars.push(graph.add_within(name, vector(1), Role::Control, all, i));
                }
                update.scalars.push(all);
                element += width;
            }
        }
        for (i, name) in names.iter().enumerate() {
            let name = format!("control/{name}");
            graph.add_within(name, vector(1), Role::Control, control, element + i);
        }
    }

    fn assign(&mut self) {
        self.offsets = vec![0; self.graph.buffers.len()];
        for i in 0..self.graph.buffers.len() {
            let buffer = &self.graph.buffers[i];
            self.offsets[i] = match buffer.within {
                Some((parent, element)) => self.offsets[parent.index()] + 4 * element,
                None => {
                    let offset = self.bytes;
                    self.bytes += buffer.ty.bytes(0).next_multiple_of(ALIGNMENT);
                    offset
                }
            };
        }
    }
}

fn vector(elements: usize) -> TensorType {
    TensorType::f32(Shape::fixed(&[elements]))
}

/// Elements of a parameter, padding included.
fn padded(shape: &[usize]) -> usize {
    shape.iter().product::<usize>().next_multiple_of(UNIT)
}

/// A group that has no buffers yet.
fn begin_group(request: &GroupRequest) -> Group {
    let elements = request.parameters.iter().map(|(_, shape)| padded(shape)).sum::<usize>();
    Group {
        name: request.name.clone(),
        elements: elements.max(UNIT),
        scalars: vec![],
        rule: request.rule.clone(),
        parameters: vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str, sizes: &[usize], rule: Option<&UpdateRule>) -> GroupRequest {
        let parameters = sizes.iter().enumerate().map(|(i, &n)| (format!("{name}.{i}"), vec![n]));
        GroupRequest { name: name.into(), parameters: parameters.collect(), rule: rule.cloned() }
    }

    #[test]
    fn groups_of_one_rule_are_one_range() {
        let plain = UpdateRule::new(&[], &["rate"], |g, s, p, _| (p - g * &s[0], vec![]));
        let kept = UpdateRule::new(&[("old", 0.0)], &["a", "b"], |g, s, p, _| {
            (p - g * &s[0] - &s[1], vec![p.clone()])
        });
        let groups = [
            request("first", &[65, 3], Some(&kept)),
            request("frozen", &[5], None),
            request("other", &[1], Some(&plain)),
            request("last", &[64], Some(&kept)),
        ];
        let lasting = Lasting::new(&groups, &["normalizer".into()]);
        let [kept, plain] = &lasting.updates[..] else { panic!("two rules") };
        assert_eq!(
            (&*kept.name, &kept.groups[..], &kept.ends[..]),
            ("first + last", &[0, 3][..], &[192, 256][..])
        );
        assert_eq!(
            (&*plain.name, &plain.groups[..], &plain.ends[..]),
            ("other", &[2][..], &[64][..])
        );
        let at = |id: BufferId| lasting.offsets[id.index()];
        let gradients = lasting.gradients.expect("something is trained");
        assert_eq!(lasting.graph.ty(gradients).shape, Shape::fixed(&[320]));
        assert_eq!([kept, plain].map(|u| at(u.gradient) - at(gradients)), [0, 4 * 256]);
        // Each parameter, gradient and state at the same place of its buffer.
        let place = |p: &LastingParameter| {
            let own = p.gradient.into_iter().chain(p.states.iter().copied());
            let all = own.zip([kept.gradient, kept.states[0]]).map(|(id, all)| at(id) - at(all));
            assert!(all.eq([4 * p.element; 2]), "`{}`", p.name);
            (at(p.parameter) - at(kept.parameter)) / 4
        };
        let [first, frozen, _, last] = &lasting.groups[..] else { panic!("four groups") };
        let places = first.parameters.iter().chain(&last.parameters).map(place);
        assert_eq!(places.collect::<Vec<_>>(), [0, 128, 192]);
        assert_eq!((frozen.parameters[0].gradient, frozen.scalars.len()), (None, 0));
        // Of each scalar the groups' values lie together.
        let control = lasting.graph.find("control").expect("scalars");
        let element = |id: &BufferId| (at(*id) - at(control)) / 4;
        let scalars = lasting.groups.iter().flat_map(|g| &g.scalars).map(element);
        assert_eq!(scalars.collect::<Vec<_>>(), [0, 2, 4, 1, 3]);
        assert_eq!(lasting.scalar("normalizer").map(|id| element(&id)), Some(5));
    }
}
