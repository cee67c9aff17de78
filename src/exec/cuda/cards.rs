//! The cards that the driver offers, and whether driver, compiler and card fit together.

#![allow(unsafe_code)]

use std::sync::OnceLock;

use cudarc::driver::sys::CUdevice_attribute as Attribute;
use cudarc::driver::{DriverError, result};
use serde::Serialize;

use super::compile::{Architecture, Compiler};
use super::library::driver;
use super::nvrtc::{Form, nvrtc};
use super::places::OWN_VARIABLE;

/// A card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Card {
    /// Its number, as in `cuda:0`.
    pub index: usize,
    /// Its name, such as "NVIDIA H200".
    pub name: String,
    /// Compute capability, such as (9, 0).
    pub capability: (u32, u32),
    /// Bytes of memory.
    pub memory: u64,
}

/// What is wrong and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl Problem {
    pub(super) fn new(what: impl Into<String>, fix: impl Into<String>) -> Problem {
        Problem { what: what.into(), fix: fix.into() }
    }
}

/// The oldest compute capability that kernels are compiled for in the tests.
const OLDEST_CARD: (u32, u32) = (7, 5);

/// What to do without a driver.
pub(super) const DRIVER_FIX: &str =
    "install it with your distribution's tools; start a container with `--gpus all`";

/// What to do without NVRTC, for the newest major version of CUDA that the driver supports.
pub(super) fn nvrtc_fix(driver_major: Option<u32>) -> String {
    let package = match driver_major {
        Some(..=12) => "nvidia-cuda-nvrtc-cu12",
        _ => "nvidia-cuda-nvrtc",
    };
    format!(
        "`pip install {package}` in an active environment, or name its folder in {OWN_VARIABLE}"
    )
}

/// The card of this number and the compiler for it, if driver and NVRTC are there and all three fit
/// together.
pub(super) fn usable(index: usize) -> Result<(Card, Compiler), Problem> {
    let driver = driver().map_err(|missing| Problem::new(missing.to_string(), DRIVER_FIX))?;
    let cards = cards()?;
    let card = cards.get(index).ok_or_else(|| {
        let (number, plural) = (cards.len(), if cards.len() == 1 { "" } else { "s" });
        Problem::new(
            format!("there is no card {index}: the driver offers {number} card{plural}"),
            "count from 0, and see what CUDA_VISIBLE_DEVICES says",
        )
    })?;
    let nvrtc = nvrtc().map_err(|why| Problem::new(why, nvrtc_fix(Some(driver.cuda.0))))?;
    let architecture = fit(card.capability, driver.cuda, nvrtc.version, &nvrtc.architectures)?;
    Ok((card.clone(), Compiler::new(nvrtc, architecture, false)))
}

/// The architecture that NVRTC compiles for, if the driver can load what it makes.
pub(super) fn fit(
    capability: (u32, u32),
    driver: (u32, u32),
    nvrtc: (u32, u32),
    known: &[u32],
) -> Result<Architecture, Problem> {
    let named = |(major, minor): (u32, u32)| format!("{major}.{minor}");
    let older = "`pip install nvidia-cuda-nvrtc-cu12`";
    if capability < OLDEST_CARD {
        return Err(Problem::new(
            format!("the card has compute capability {}, and 7.5 is needed", named(capability)),
            "train on the CPU, or on a newer card (Turing, of 2018, or later)",
        ));
    }
    if nvrtc.0 > driver.0 {
        return Err(Problem::new(
            format!("NVRTC {} is newer than the driver, of CUDA {}", named(nvrtc), named(driver)),
            format!("update the driver, or install an older NVRTC: {older}"),
        ));
    }
    let Some(architecture) = Architecture::new(capability, known) else {
        let oldest = known.first().map_or((0, 0), |oldest| (oldest / 10, oldest % 10));
        return Err(Problem::new(
            format!(
                "the card has compute capability {}, and NVRTC {} begins at {}",
                named(capability),
                named(nvrtc),
                named(oldest)
            ),
            format!("install an older NVRTC: {older}"),
        ));
    };
    if architecture.form == Form::Ptx && nvrtc > driver {
        return Err(Problem::new(
            format!(
                "NVRTC {} does not know compute capability {}, and the driver, of CUDA {}, does \
                 not read its PTX",
                named(nvrtc),
                named(capability),
                named(driver)
            ),
            "update both the driver and NVRTC",
        ));
    }
    Ok(architecture)
}

/// All cards, at least one; the driver is started once. Call it only where the driver is there.
pub(super) fn cards() -> Result<&'static [Card], Problem> {
    static CARDS: OnceLock<Result<Vec<Card>, DriverError>> = OnceLock::new();
    let fix = "see whether `nvidia-smi` lists the card and what CUDA_VISIBLE_DEVICES says; after \
               an update of the driver, restart the machine";
    match CARDS.get_or_init(list) {
        Ok(cards) if cards.is_empty() => Err(Problem::new("the driver offers no card", fix)),
        Ok(cards) => Ok(cards),
        Err(error) => {
            let text = error.error_string().map(|text| text.to_string_lossy().into_owned());
            let text = text.unwrap_or_else(|_| format!("{:?}", error.0));
            Err(Problem::new(format!("the driver does not start: {text}"), fix))
        }
    }
}

fn list() -> Result<Vec<Card>, DriverError> {
    result::init()?;
    (0..result::device::get_count()?).map(card).collect()
}

fn card(index: i32) -> Result<Card, DriverError> {
    let device = result::device::get(index)?;
    // SAFETY: the driver gave this device.
    let attribute = |which| unsafe { result::device::get_attribute(device, which) };
    let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    Ok(Card {
        index: index.unsigned_abs() as usize,
        name: result::device::get_name(device)?,
        capability: (major.unsigned_abs(), minor.unsigned_abs()),
        // SAFETY: as above.
        memory: unsafe { result::device::total_mem(device)? } as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [u32; 4] = [75, 80, 90, 120];

    #[test]
    fn driver_compiler_and_card_fit_or_the_problem_names_their_versions() {
        let fit = |card, driver, nvrtc| {
            fit(card, driver, nvrtc, &KNOWN).map(|a| a.name).map_err(|problem| problem.what)
        };
        assert_eq!(fit((9, 0), (13, 0), (13, 5)), Ok("sm_90a".into()));
        assert_eq!(fit((8, 0), (13, 0), (12, 8)), Ok("sm_80".into()));
        assert_eq!(fit((8, 9), (13, 0), (12, 8)), Ok("compute_80".into()));
        let text = fit((9, 0), (12, 8), (13, 5)).unwrap_err();
        assert_eq!(text, "NVRTC 13.5 is newer than the driver, of CUDA 12.8");
        let text = super::fit((7, 5), (13, 0), (13, 0), &KNOWN[1..]).unwrap_err().what;
        assert_eq!(text, "the card has compute capability 7.5, and NVRTC 13.0 begins at 8.0");
        let text = fit((7, 0), (13, 0), (12, 8)).unwrap_err();
        assert_eq!(text, "the card has compute capability 7.0, and 7.5 is needed");
        let text = fit((8, 9), (13, 0), (13, 5)).unwrap_err();
        assert!(text.contains("does not know compute capability 8.9"), "{text}");
    }

    #[test]
    fn the_package_follows_the_driver() {
        assert!(nvrtc_fix(Some(12)).contains("nvrtc-cu12`"));
        assert!(nvrtc_fix(Some(13)).contains("nvrtc`"));
        assert!(nvrtc_fix(None).contains("nvrtc`"));
    }
}
