//! The table that `println!("{model}")` shows.

use std::fmt;

use super::Network;

/// Layers, output shapes and parameters of a network.
pub struct Summary<'a> {
    network: &'a Network,
}

/// `1234567` as `1 234 567`.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Bytes with a binary unit.
pub(crate) fn bytes(n: usize) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (n.max(1).ilog2() / 10).min(4) as usize;
    match power {
        0 => format!("{n} B"),
        _ => format!("{:.1} {}", n as f64 / 1024f64.powi(power as i32), units[power]),
    }
}

impl<'a> Summary<'a> {
    pub(super) fn new(network: &'a Network) -> Self {
        Summary { network }
    }

    /// Parameters whose layer is `path` or inside it.
    fn parameters_of(&self, path: &str) -> usize {
        let inside = |name: &str| name.strip_prefix(path).is_some_and(|r| r.starts_with('.'));
        let own = self.network.parameters.iter().filter(|p| inside(&p.name));
        own.map(|p| self.network.graph.ty(p.buffer).shape.elements(0)).sum()
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = self.network;
        for (name, id) in &network.inputs {
            writeln!(f, "{name}: {}", network.graph.ty(*id))?;
        }
        let mut rows = vec![["Layer".into(), "Kind".into(), "Output".into(), "Parameters".into()]];
        for layer in &network.layers {
            let name = layer.path.rsplit('.').next().unwrap_or_default();
            let count = match self.parameters_of(&layer.path) {
                0 => "-".to_string(),
                n => grouped(n),
            };
            let name = format!("{}{name}", "  ".repeat(layer.depth));
            rows.push([name, layer.kind.clone(), layer.output.shape.to_string(), count]);
        }
        let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2), width(3)];
        let line = "-".repeat(widths.iter().sum::<usize>() + 6);
        for (i, [name, kind, output, count]) in rows.iter().enumerate() {
            if i < 2 {
                writeln!(f, "{line}")?;
            }
            let [a, b, c, d] = widths;
            writeln!(f, "{name:<a$}  {kind:<b$}  {output:<c$}  {count:>d$}")?;
        }
        writeln!(f, "{line}")?;
        let total = network.parameter_count();
        write!(f, "Parameters {} ({})", grouped(total), bytes(4 * total))
    }
}
