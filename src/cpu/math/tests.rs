use super::*;

/// Difference from the exact result in units of its last place (2^-149 and up).
fn ulps(got: f32, exact: f64) -> f64 {
    let rounded = exact as f32;
    if got.is_nan() || rounded.is_nan() {
        return if got.is_nan() && rounded.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got.is_infinite() || rounded.is_infinite() {
        // One past the largest number is where infinity would stand.
        let end = |v: f64| if v.is_infinite() { 2f64.powi(128).copysign(v) } else { v };
        return (end(f64::from(got)) - end(exact).clamp(-2f64.powi(128), 2f64.powi(128))).abs()
            / 2f64.powi(104);
    }
    if got == 0.0
        && rounded == 0.0
        && exact == 0.0
        && got.is_sign_negative() != exact.is_sign_negative()
    {
        return f64::INFINITY;
    }
    let exponent = ((exact.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    (f64::from(got) - exact).abs() / 2f64.powi(exponent.max(-126) - 23)
}

/// The largest error over all inputs whose bits are a multiple of `stride`.
fn sweep(stride: usize, f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> (f64, f32) {
    let mut worst = (0.0, 0.0);
    for bits in (0..=u64::from(u32::MAX)).step_by(stride) {
        let x = f32::from_bits(bits as u32);
        let error = ulps(f(x), exact(f64::from(x)));
        if error > worst.0 {
            worst = (error, x);
        }
    }
    worst
}

fn check(name: &str, bound: f64, f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) {
    // A prime, so that all exponents and significands come up.
    let (worst, at) = sweep(1009, f, exact);
    println!("{name}: {worst:.3} ulp at {at:e}");
    assert!(worst <= bound, "{name}({at:e}) is {worst} ulp off, more than {bound}");
}

/// 2 / sqrt(pi) e^(-x^2) times the sum of 2^n x^(2n + 1) / (1 * 3 * ... * (2n + 1)), whose terms
/// are all positive, so nothing cancels.
fn exact_erf(x: f64) -> f64 {
    let a = x.abs();
    if x.is_nan() || a > 5.0 {
        return if x.is_nan() { x } else { x.signum() };
    }
    let (mut term, mut sum, mut n) = (a, a, 0.0);
    while term > sum * 1e-17 {
        n += 1.0;
        term *= 2.0 * a * a / (2.0 * n + 1.0);
        sum += term;
    }
    (std::f64::consts::FRAC_2_SQRT_PI * (-a * a).exp() * sum).copysign(x)
}

fn exact_softplus(x: f64) -> f64 {
    if x.is_nan() { x } else { x.max(0.0) + (-x.abs()).exp().ln_1p() }
}

fn exact_sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn exponentials_and_logarithms_keep_their_bounds() {
    check("exp", EXP_ULP, exp, f64::exp);
    check("expm1", EXPM1_ULP, expm1, f64::exp_m1);
    check("log", LOG_ULP, log, f64::ln);
    check("log1p", LOG1P_ULP, log1p, f64::ln_1p);
}

#[test]
fn sigmoids_keep_their_bounds() {
    check("tanh", TANH_ULP, tanh, f64::tanh);
    check("sigmoid", SIGMOID_ULP, sigmoid, exact_sigmoid);
    check("softplus", SOFTPLUS_ULP, softplus, exact_softplus);
    check("erf", ERF_ULP, erf, exact_erf);
}

#[test]
fn trigonometry_keeps_its_bounds_for_every_size_of_argument() {
    check("sin", SIN_ULP, sin, f64::sin);
    check("cos", COS_ULP, cos, f64::cos);
    // The float nearest to a multiple of pi / 2, relative to its size.
    let x = 16_367_173.0 * 2f32.powi(72);
    assert!(cos(x).abs() < 2e-9 || sin(x).abs() < 2e-9);
    assert!(ulps(sin(x), f64::from(x).sin()) <= SIN_ULP);
    assert!(ulps(cos(x), f64::from(x).cos()) <= COS_ULP);
}

/// (x, y) pairs: all combinations of special values, and products that cover the range of results.
#[test]
fn pow_keeps_its_bound() {
    let (mut worst, mut at) = (0.0, (0.0, 0.0));
    let mut see = |x: f32, y: f32| {
        let error = ulps(pow(x, y), f64::from(x).powf(f64::from(y)));
        if error > worst {
            (worst, at) = (error, (x, y));
        }
    };
    for i in 0..1500u32 {
        let x = f32::from_bits(i.wrapping_mul(2_863_311));
        for j in 0..1500u32 {
            // An exponent that leads to a result of every size, and one of every size.
            let size = x.abs().log2().abs().max(1e-6);
            see(x, (j as f32 - 750.0) / 4.9 / size);
            see(x, f32::from_bits(j.wrapping_mul(2_863_319)));
        }
    }
    println!("pow: {worst:.3} ulp at {at:?}");
    assert!(worst <= POW_ULP, "pow{at:?} is {worst} ulp off");
}

#[test]
fn pow_has_the_special_cases_of_the_standard() {
    let inf = f32::INFINITY;
    let values = [
        0.0,
        0.5,
        1.0,
        1.5,
        2.0,
        3.0,
        1e-45,
        1e30,
        8_388_607.5,
        16_777_215.0,
        16_777_216.0,
        3e9,
        inf,
        f32::MAX,
    ];
    let signed: Vec<f32> = values.iter().flat_map(|&v| [v, -v]).chain([f32::NAN]).collect();
    for &x in &signed {
        for &y in &signed {
            let (got, exact) = (pow(x, y), x.powf(y));
            assert!(
                (got.is_nan() && exact.is_nan())
                    || (got.is_sign_negative() == exact.is_sign_negative()
                        && ulps(got, f64::from(x).powf(f64::from(y))) <= POW_ULP),
                "pow({x:e}, {y:e}) is {got:e}, not {exact:e}"
            );
        }
    }
}

#[test]
fn ends_and_zeros_are_exact() {
    let inf = f32::INFINITY;
    let odd: [fn(f32) -> f32; 5] = [expm1, log1p, tanh, erf, sin];
    for f in odd {
        assert_eq!(f(0.0).to_bits(), 0.0f32.to_bits());
        assert_eq!(f(-0.0).to_bits(), (-0.0f32).to_bits());
        assert_eq!(f(1e-45), 1e-45);
        assert!(f(f32::NAN).is_nan());
    }
    assert_eq!((exp(0.0), exp(-0.0), exp(inf), exp(-inf)), (1.0, 1.0, inf, 0.0));
    assert_eq!((exp(88.722_83), exp(88.722_84)), (3.402_798_5e38, inf));
    assert_eq!((exp(-103.972_08), exp(-103.972_084)), (1e-45, 0.0));
    assert_eq!((expm1(inf), expm1(-inf)), (inf, -1.0));
    assert_eq!((log(0.0), log(-0.0), log(1.0), log(inf)), (-inf, -inf, 0.0, inf));
    assert!(log(-1e-45).is_nan() && log(-inf).is_nan());
    assert_eq!((log1p(-1.0), log1p(inf)), (-inf, inf));
    assert!(log1p(-1.000_000_1).is_nan() && log1p(-inf).is_nan());
    assert_eq!((tanh(inf), tanh(-inf), erf(inf), erf(-inf)), (1.0, -1.0, 1.0, -1.0));
    assert_eq!((sigmoid(inf), sigmoid(-inf), sigmoid(0.0)), (1.0, 0.0, 0.5));
    assert_eq!((softplus(inf), softplus(-inf)), (inf, 0.0));
    assert!(sin(inf).is_nan() && cos(-inf).is_nan());
    assert_eq!((cos(0.0), cos(-0.0)), (1.0, 1.0));
}
