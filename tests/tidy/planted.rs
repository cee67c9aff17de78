//! Every rule finds a planted violation, and lets its nearest lawful neighbour pass.

use crate::checks::*;
use crate::modules::cycles;
use crate::source::Source;

const HOUSE: House =
    &[("error", &[]), ("op", &["error"]), ("plan", &["error", "op"]), ("exec", &[])];

fn files(texts: &[(&str, &str)]) -> Vec<Source> {
    texts.iter().map(|(path, text)| Source::new(path, text)).collect()
}

fn complaints_of(rule: impl Fn(&[Source]) -> Vec<String>, path: &str, text: &str) -> usize {
    rule(&files(&[(path, text)])).len()
}

#[test]
fn comments_literals_and_tests_are_not_code() {
    let text =
        "let a = \"x\\\"y\"; // b\nlet c = 'd'; /* e /* f */ g */ let h: &'i str = r#\"j\"k\"#;";
    let source = Source::new("src/a.rs", text);
    assert_eq!(source.code.len(), text.len());
    let words: Vec<_> = crate::source::words(&source.code).map(|(_, word)| word).collect();
    assert_eq!(words, ["let", "a", "let", "c", "let", "h", "i", "str"]);

    let text =
        "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n#[cfg(test)]\nmod c;\nfn d() {}";
    let source = Source::new("src/a.rs", text);
    let words: Vec<_> = crate::source::words(&source.product).map(|(_, word)| word).collect();
    assert_eq!(words, ["fn", "a", "fn", "d"]);
    assert_eq!(Source::new("src/a/tests.rs", text).product.trim(), "");
}

#[test]
fn an_upward_import_is_found() {
    let upward = |text| complaints_of(|f| one_way(f, HOUSE), "src/op/matmul.rs", text);
    assert_eq!(upward("use crate::plan::Plan;"), 1);
    assert_eq!(upward("use crate::{error::Error, plan::{self, Plan}};"), 2);
    assert_eq!(upward("fn f() -> crate::plan::Plan { g() }"), 1);
    assert_eq!(upward("use super::super::plan::Plan;"), 1);
    assert_eq!(upward("use crate::nowhere::Plan;"), 1);
    assert_eq!(upward("use crate::{error::Error, op::shape}; use super::Op;"), 0);
    assert_eq!(upward("/// See [`crate::plan`].\nfn f() {}"), 0);
    assert_eq!(upward("#[cfg(test)]\nmod tests {\n    use crate::plan::Plan;\n}"), 0);
    assert_eq!(complaints_of(|f| one_way(f, HOUSE), "src/new.rs", ""), 1);
}

#[test]
fn an_upward_import_through_a_re_export_is_found() {
    let front =
        ("src/lib.rs", "pub mod plan;\npub use plan::{Error as Refused, build::{Plan, Step}};");
    let upward = |text| one_way(&files(&[front, ("src/op.rs", text)]), HOUSE);
    assert_eq!(upward("use crate::Step;"), ["src/op.rs:1: `op` may not import `plan`"]);
    assert_eq!(upward("use crate::Refused;").len(), 1);
    assert_eq!(upward("use super::Plan;").len(), 1);
    let macros = ("src/plan/rule.rs", "macro_rules! rule { () => {} }");
    assert_eq!(one_way(&files(&[macros, ("src/op.rs", "crate::rule!();")]), HOUSE).len(), 1);
}

#[test]
fn a_ring_of_modules_is_found() {
    let ring = [("src/op.rs", "use crate::plan::A;"), ("src/plan.rs", "use crate::op::B;")];
    assert_eq!(cycles(&files(&ring)).len(), 1);
    assert_eq!(cycles(&files(&ring[..1])).len(), 0);
    assert_eq!(table_is_layered(&[("op", &["plan"]), ("plan", &["op"])]).len(), 1);
    assert_eq!(table_is_layered(HOUSE).len(), 0);
}

#[test]
fn a_device_in_the_plan_is_found() {
    let named =
        |text| complaints_of(|f| unnamed(f, "plan", &["cpu", "device"]), "src/plan/a.rs", text);
    assert_eq!(named("struct CpuPlan { on_device: bool }"), 2);
    assert_eq!(named("// the cpu\nlet a = \"device\"; let cpus = occupy;"), 0);
}

#[test]
fn a_layer_in_an_executor_is_found() {
    let layer = ("src/layer/dense.rs", "pub struct Dense { units: usize }");
    let rule = |text| no_layer_in_exec(&files(&[layer, ("src/exec/cpu/mod.rs", text)])).len();
    assert_eq!(rule("fn f(layer: &Dense) {}"), 1);
    assert_eq!(rule("fn f(step: &Step) { step.layer(); }"), 0);
}

#[test]
fn bindings_outside_exec_cuda_are_found() {
    assert_eq!(complaints_of(bindings_stay_home, "src/train.rs", "use cudarc::driver;"), 1);
    assert_eq!(
        complaints_of(bindings_stay_home, "src/exec/cuda/stream.rs", "use cudarc::driver;"),
        0
    );
}

#[test]
fn a_long_file_and_a_stale_exception_are_found() {
    let long = "\n".repeat(401);
    assert_eq!(complaints_of(|f| short_files(f, &[]), "kernels/a.cuh", &long), 1);
    let listed =
        |text| complaints_of(|f| short_files(f, &[("src/a.rs", 500, "")]), "src/a.rs", text);
    assert_eq!(listed(&long), 0);
    assert_eq!(listed("fn f() {}"), 1);
}

#[test]
fn a_long_kernel_is_found() {
    let long = |text: &str| complaints_of(|f| short_kernels(f, 3), "kernels/a.cu", text);
    assert_eq!(long("extern \"C\" {\n__global__ void a() {\n\n\n}\n}"), 1);
    assert_eq!(long("namespace n {\n__global__ void a() {\n\n}\n\n\n}"), 0);
}

#[test]
fn unlisted_and_unreasoned_unsafe_are_found() {
    let rule =
        |listed: Reasons, text| complaints_of(|f| unsafe_has_reasons(f, listed), "src/a.rs", text);
    let listed: Reasons = &[("src/a.rs", "raw parts")];
    assert_eq!(rule(&[], "// SAFETY: in bounds\nlet a = unsafe { b() };"), 1);
    assert_eq!(rule(&[], "#![allow(unsafe_code)]"), 1);
    assert_eq!(rule(listed, "let a = 1;"), 1);
    assert_eq!(rule(listed, "let a = unsafe { b() };"), 1);
    assert_eq!(rule(listed, "// SAFETY: other\nlet b = 1;\nlet a = unsafe { b() };"), 1);
    assert_eq!(rule(listed, "unsafe impl Send for A {}"), 1);
    assert_eq!(rule(listed, "unsafe extern \"C\" { fn f(); }"), 1);
    assert_eq!(rule(listed, "/// # Safety\n/// Any.\npub unsafe fn f() {}\nunsafe trait T {}"), 0);
    assert_eq!(rule(listed, "// SAFETY: long\n// reason\nlet a =\n    unsafe { b() };"), 0);
    assert_eq!(rule(listed, "type F = unsafe fn(*const f32);"), 0);
}

#[test]
fn panics_are_found() {
    let rule = |text| complaints_of(|f| no_panics(f, &[]), "src/a.rs", text);
    assert_eq!(rule("let a = b.unwrap();"), 1);
    assert_eq!(rule("let a = b.expect(\"fine\");"), 1);
    assert_eq!(rule("let a = b.expect(&text);"), 1);
    assert_eq!(rule("let a = b\n    .expect(\n        \"invariant: sorted\",\n    );"), 0);
    assert_eq!(rule("panic!(\"no\")"), 1);
    assert_eq!(rule("match a { _ => unreachable!() }"), 1);
    assert_eq!(rule("unreachable!(\"invariant: sorted\")"), 0);
    assert_eq!(rule("#[cfg(test)]\nfn f() { a.unwrap(); panic!() }"), 0);
    assert_eq!(complaints_of(|f| no_panics(f, &[("src/a.rs", 1, "")]), "src/a.rs", "panic!()"), 0);
    assert_eq!(complaints_of(|f| no_panics(f, &[("src/a.rs", 1, "")]), "src/a.rs", ""), 1);
    for left in ["todo!()", "unimplemented!()", "dbg!(a)"] {
        assert_eq!(complaints_of(|f| no_panics(f, &[]), "examples/a.rs", left), 1);
    }
    assert_eq!(complaints_of(|f| no_panics(f, &[]), "examples/a.rs", "a.unwrap()"), 0);
}

#[test]
fn a_kernel_without_its_twin_is_found() {
    assert_eq!(complaints_of(twins, "kernels/norm.cu", ""), 1);
    assert!(twins(&files(&[("kernels/norm.cu", ""), ("src/op/norm.rs", "")])).is_empty());
    assert!(twins(&files(&[("kernels/norm.cu", ""), ("src/op/norm/mod.rs", "")])).is_empty());
    assert_eq!(complaints_of(twins, "kernels/prelude.cuh", ""), 0);
}

#[test]
fn a_guessed_tolerance_is_found() {
    let rule =
        |text| complaints_of(|f| no_guessed_tolerances(f, &["tests/b.rs"]), "tests/a.rs", text);
    assert_eq!(rule("let atol = 1e-6;"), 1);
    assert_eq!(rule("const RELATIVE_TOLERANCE: f64 = 0.001;"), 1);
    assert_eq!(rule("close(Bound { rtol: 1e-3_f32, steps: 2 })"), 1);
    assert_eq!(rule("let atol = 4.0 * f32::EPSILON;"), 0);
    assert_eq!(rule("let tolerance = bounds::sum(k); let rate = 1e-3; assert!(rtol == 0.5);"), 0);
    assert_eq!(
        complaints_of(
            |f| no_guessed_tolerances(f, &["tests/b.rs"]),
            "tests/b.rs",
            "let atol = 1e-6;"
        ),
        0
    );
}

#[test]
fn unclean_text_is_found() {
    let forbidden = [String::from("/secret/")];
    let rule = |path, text| complaints_of(|f| clean_text(f, &forbidden), path, text);
    assert_eq!(rule("README.md", "see /secret/place"), 1);
    assert_eq!(rule("README.md", "see ../secret/place and a/secret/b"), 0);
    assert_eq!(rule("src/a.rs", "fn f() {\n\tg();\n}"), 1);
    assert_eq!(rule("docs/a.md", "a\u{1b}[0m"), 1);
    assert_eq!(rule("docs/a.md", "a\n\tb"), 0);
}
