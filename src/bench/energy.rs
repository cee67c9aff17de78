//! Joules, where the machine tells them: of the CPU, the running average power limit's counters that
//! Linux shows under `/sys/class/powercap`; of a GPU, what NVML says.

use std::fs;
use std::path::{Path, PathBuf};

use crate::exec::Device;
use crate::exec::cuda::CardEnergy;

const FOLDER: &str = "/sys/class/powercap";

/// What counts a device's energy.
pub(super) enum Energy {
    Cpu(Packages),
    Card(CardEnergy),
}

/// The energy counters of all processor packages.
pub(super) struct Packages {
    packages: Vec<Package>,
}

struct Package {
    counter: PathBuf,
    /// Microjoules after which the counter begins anew.
    range: u64,
    last: u64,
    total: u64,
}

impl Energy {
    /// Of a device, if it tells: of the CPU only where all of the counters can be read.
    pub(super) fn of(device: &Device) -> Option<Energy> {
        match device.card_energy() {
            None => Some(Energy::Cpu(Packages::below(Path::new(FOLDER))?)),
            Some(energy) => Some(Energy::Card(energy.ok()?)),
        }
    }

    /// Joules since this was made.
    pub(super) fn joules(&mut self) -> Option<f64> {
        match self {
            Energy::Cpu(packages) => packages.joules(),
            Energy::Card(card) => card.joules(),
        }
    }
}

impl Packages {
    fn below(folder: &Path) -> Option<Packages> {
        let mut packages = vec![];
        for entry in fs::read_dir(folder).ok()?.flatten() {
            // `intel-rapl:0` is a package; `intel-rapl:0:1` is a part of it.
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with("intel-rapl:") || name.matches(':').count() != 1 {
                continue;
            }
            let counter = entry.path().join("energy_uj");
            let range = number(&entry.path().join("max_energy_range_uj"))?;
            packages.push(Package { last: number(&counter)?, counter, range, total: 0 });
        }
        (!packages.is_empty()).then_some(Packages { packages })
    }

    fn joules(&mut self) -> Option<f64> {
        for package in &mut self.packages {
            let now = number(&package.counter)?;
            let wrapped = if now < package.last { package.range } else { 0 };
            package.total += now + wrapped - package.last;
            package.last = now;
        }
        Some(self.packages.iter().map(|p| p.total).sum::<u64>() as f64 / 1e6)
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_added_and_counters_begin_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, file: &str, value: u64| {
            let package = folder.path().join(name);
            fs::create_dir_all(&package).expect("a folder");
            fs::write(package.join(file), format!("{value}\n")).expect("a file");
        };
        assert!(Packages::below(folder.path()).is_none(), "no package");
        for (name, value) in [("intel-rapl:0", 900), ("intel-rapl:1", 50), ("intel-rapl:0:0", 7)] {
            write(name, "energy_uj", value);
            write(name, "max_energy_range_uj", 1000);
        }
        let mut energy = Packages::below(folder.path()).expect("two packages");
        assert_eq!(energy.joules(), Some(0.0));
        write("intel-rapl:0", "energy_uj", 100);
        write("intel-rapl:1", "energy_uj", 51);
        assert_eq!(energy.joules(), Some(201e-6));
        fs::remove_file(folder.path().join("intel-rapl:1/energy_uj")).expect("it is there");
        assert_eq!(energy.joules(), None, "not available, never less");
    }
}
