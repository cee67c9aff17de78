//! The page for people, on machines that are described here.

use super::*;

fn bare() -> Diagnosis {
    let missing = |title, name| Missing { title, name, looked: vec![] };
    Diagnosis {
        version: "0.1.0".into(),
        driver: LibraryReport::missing(&missing("the NVIDIA driver", "libcuda.so.1"), DRIVER_FIX),
        nvrtc: LibraryReport::missing(&missing("NVRTC", "libnvrtc.so.13"), &nvrtc_fix(None)),
        nvml: LibraryReport::missing(
            &missing("NVIDIA's management library", "libnvidia-ml.so.1"),
            "it comes with the driver",
        ),
        cards: vec![],
        no_cards: None,
        cache: CacheReport {
            folder: Some("/cache/ironwarp/kernels".into()),
            kernels: 0,
            bytes: 0,
            problem: None,
        },
        optional: [("cuBLASLt", "libcublasLt.so.13"), ("NCCL", "libnccl.so.2")]
            .map(|(name, file)| {
                let report = LibraryReport::missing(&missing(name, file), "it is not needed yet");
                (name.to_string(), report)
            })
            .into(),
        looked: vec![Place::Loader.to_string(), "/usr/lib64".into()],
    }
}

fn equipped() -> Diagnosis {
    let card = Card { index: 0, name: "Card".into(), capability: (9, 0), memory: 80 << 30 };
    Diagnosis {
        driver: found("/usr/lib64/libcuda.so.1".as_ref(), (13, 0)),
        nvrtc: found("/opt/libnvrtc.so.13".as_ref(), (13, 5)),
        nvml: LibraryReport {
            version: Some("580.65.06".into()),
            path: Some("/usr/lib64/libnvidia-ml.so.1".into()),
            problem: None,
        },
        optional: ["cuBLASLt", "NCCL"]
            .map(|name| {
                let path = Some(format!("/opt/{name}.so").into());
                (name.to_string(), LibraryReport { version: None, path, problem: None })
            })
            .into(),
        cards: vec![CardReport { card, architecture: Some("sm_90a".into()), problem: None }],
        looked: vec![],
        ..bare()
    }
}

#[test]
fn nothing_installed_fits_one_screen() {
    let text = bare().to_string();
    assert!(text.lines().count() <= 24);
    assert!(!bare().is_ready());
    insta::assert_snapshot!(text);
}

#[test]
fn everything_installed() {
    assert!(equipped().is_ready());
    insta::assert_snapshot!(equipped());
}

#[test]
fn one_problem_of_a_needed_part_is_enough_to_fail() {
    let problem = || Some(Problem::new("wrong", "right it"));
    let spoilt = |spoil: &dyn Fn(&mut Diagnosis)| {
        let mut diagnosis = equipped();
        spoil(&mut diagnosis);
        assert!(diagnosis.to_string().contains("right it"));
        diagnosis.is_ready()
    };
    assert!(!spoilt(&|d| d.driver.problem = problem()));
    assert!(!spoilt(&|d| d.nvrtc.problem = problem()));
    assert!(!spoilt(&|d| d.cards[0].problem = problem()));
    assert!(!spoilt(&|d| {
        d.cards.clear();
        d.no_cards = problem();
    }));
    assert!(spoilt(&|d| d.nvml.problem = problem()));
    for name in ["cuBLASLt", "NCCL"] {
        assert!(spoilt(&|d| d.optional.get_mut(name).unwrap().problem = problem()));
    }
    assert!(spoilt(&|d| d.cache.problem = problem()));
}

#[test]
fn this_machine_can_be_looked_at() {
    let diagnosis = Diagnosis::of_this_machine();
    let json = serde_json::to_value(&diagnosis).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(diagnosis.nvrtc.problem.is_none(), nvrtc().is_ok(), "{diagnosis}");
    assert_eq!(diagnosis.driver.path.is_some(), library::driver().is_ok());
    for (name, library) in library::optional() {
        let path = library.ok().map(|library| library.path);
        assert_eq!(json["optional"][name]["path"], serde_json::to_value(&path).unwrap());
        assert_eq!(json["optional"][name]["problem"].is_null(), path.is_some());
        assert!(diagnosis.to_string().contains(name));
    }
}
