//! Tests of intervals and p-values against scipy and statsmodels (`tests/oracle/eval_statistics.py`).

use crate::eval::stats::{
    bootstrap, items_needed, length_controlled, mean, paired_difference, ratio, share, sign_test,
};
use serde_json::Value;

fn cases(name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../../tests/data/eval_statistics.json")).unwrap();
    all[name].as_array().unwrap().clone()
}

fn number(case: &Value, field: &str) -> f64 {
    case[field].as_f64().unwrap()
}

fn count(case: &Value, field: &str) -> usize {
    case[field].as_u64().unwrap() as usize
}

fn numbers(case: &Value, field: &str) -> Vec<f64> {
    case[field].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// Both sides compute the same formula in double precision, so they differ only by rounding.
const ROUNDING: f64 = 1e-9;

#[test]
fn wilson_intervals_agree_with_statsmodels() {
    for case in cases("wilson") {
        let found = share(count(&case, "right"), count(&case, "n")).unwrap();
        let (low, high) = (number(&case, "low"), number(&case, "high"));
        assert!(
            (found.low - low).abs() <= ROUNDING && (found.high - high).abs() <= ROUNDING,
            "{case} {found:?}"
        );
        assert!(found.low <= found.value && found.value <= found.high, "{found:?}");
    }
    assert_eq!(share(0, 0), None);
}

#[test]
fn the_sign_test_agrees_with_scipy_and_statsmodels() {
    for case in cases("sign_test") {
        let found = sign_test(count(&case, "wins"), count(&case, "losses"));
        assert!((found / number(&case, "p") - 1.0).abs() <= ROUNDING, "{case} {found}");
    }
    // 2^-n would underflow here.
    let p = sign_test(100_000, 99_000);
    assert!(p > 0.02 && p < 0.03, "{p}");
}

/// The formula is a normal approximation; the stored power of the exact test at that size was simulated. The
/// exact test is conservative, so its power is slightly below 0.8.
#[test]
fn items_needed_agrees_with_the_formula_and_gives_the_planned_power() {
    for case in cases("needed") {
        let found = items_needed(count(&case, "wins"), count(&case, "losses"), count(&case, "n"));
        assert_eq!(found, Some(count(&case, "needed") as u64), "{case}");
        let power = number(&case, "power");
        assert!((0.70..=0.88).contains(&power), "{case}");
    }
    assert_eq!(items_needed(7, 7, 30), None);
    assert_eq!(items_needed(0, 0, 0), None);
    assert!(items_needed(9, 0, 30).is_some(), "nothing but wins has no variance and still an answer");
}

/// Computed by hand: 9 wins and 1 loss of 50 are adjusted to shares of 10 and 2 in 52.
#[test]
fn paired_differences_have_the_interval_of_bonett_and_price() {
    let found = paired_difference(9, 1, 50).unwrap();
    for (found, expected) in [(found.value, 0.16), (found.low, 0.030_15), (found.high, 0.277_54)] {
        assert!((found - expected).abs() <= 1e-4, "{found} {expected}");
    }
    let none = paired_difference(0, 0, 20).unwrap();
    assert!(none.low < 0.0 && none.high > 0.0, "no difference in 20 items is not none at all: {none:?}");
    assert_eq!(paired_difference(0, 0, 0), None);
}

/// Compares 4000 resamples with 200,000. The ends of an interval have a standard error of at least 1.1 % of
/// its width: for the 0.025 quantile of a normal distribution it is sqrt(0.025 * 0.975 / 4000) / 0.0584 =
/// 0.042 standard deviations, and an interval is 3.9 wide. With few distinct values it is more. The limit is
/// 0.06.
#[test]
fn bootstrap_intervals_agree_with_scipy() {
    for case in cases("bootstrap") {
        let found = ratio(&numbers(&case, "parts"), &numbers(&case, "wholes"), 1, "test").unwrap();
        let (low, high) = (number(&case, "low"), number(&case, "high"));
        let tolerance = 0.06 * (high - low);
        assert!((found.value - number(&case, "value")).abs() <= ROUNDING, "{found:?}");
        assert!(
            (found.low - low).abs() <= tolerance && (found.high - high).abs() <= tolerance,
            "{found:?} {low} {high}"
        );
    }
}

#[test]
fn a_bootstrap_depends_on_its_seed_and_needs_items() {
    let values: Vec<f64> = (0..50).map(|at| f64::from(at * at % 97).sqrt()).collect();
    let of = |seed| mean(&values, seed, "x").unwrap();
    assert_eq!(of(1), of(1));
    assert_ne!((of(1).low, of(1).high), (of(2).low, of(2).high));
    assert_eq!(mean(&[], 1, "x"), None);
    assert_eq!(ratio(&[1.0], &[0.0], 1, "x"), None);
    assert_eq!(bootstrap(3, 1, "x", |_| Some(f64::NAN)), None);
}

#[test]
fn the_length_controlled_rate_agrees_with_statsmodels() {
    for case in cases("length_controlled") {
        let found = length_controlled(&numbers(&case, "outcomes"), &numbers(&case, "lengths")).unwrap();
        // Both sides stop when a step is small, and the likelihood is flat there.
        assert!((found - number(&case, "rate")).abs() <= 1e-6, "{case} {found}");
    }
    assert_eq!(length_controlled(&[1.0, 0.0], &[5.0, 5.0]), None, "lengths that do not vary say nothing");
    let separated: Vec<f64> = (0..20).map(|at| f64::from(u8::from(at >= 10))).collect();
    let lengths: Vec<f64> = (0..20).map(|at| f64::from(at) - 9.5).collect();
    assert_eq!(
        length_controlled(&separated, &lengths),
        None,
        "lengths that decide everything have no finite slope"
    );
}
