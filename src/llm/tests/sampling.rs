//! Draws against the definitions, written plainly, and against the distribution they must follow.

use crate::llm::{Error, Prompt, Request, Restriction, Sampler, Sampling};
use crate::rng;

const PLAIN: Sampling = Sampling {
    temperature: 1.0,
    top_k: 0,
    top_p: 1.0,
    min_p: 0.0,
    repetition_penalty: 1.0,
    frequency_penalty: 0.0,
    presence_penalty: 0.0,
};

fn logits(key: u64, vocab: u64) -> Vec<f32> {
    (0..vocab).map(|i| (rng::uniform(key, i, 9) * 12.0 - 6.0) as f32).collect()
}

/// A request of which only the rules of drawing matter.
fn request(sampling: &Sampling, restriction: Restriction) -> Request {
    let prompt = Prompt { parts: Vec::new(), shared: 0 };
    let sampling = sampling.clone();
    Request { id: 1, prompt, sampling, stop: Vec::new(), max_tokens: 1, key: 1, sample: 0, restriction }
}

fn draw(logits: &[f32], sampling: &Sampling, generated: &[u32], key: u64) -> u32 {
    let request = request(sampling, Restriction::None);
    Sampler::default().draw(logits, &request, generated, key, 0).unwrap()
}

/// The tokens that 4000 keys draw. A token that the filters leave with a probability of 1 % is missed by all
/// of them with a probability of 0.99^4000 = 3e-18; the filtered tests below only use such logits.
fn support(logits: &[f32], sampling: &Sampling) -> Vec<u32> {
    let mut drawn: Vec<u32> = (0..4000).map(|key| draw(logits, sampling, &[], key)).collect();
    drawn.sort_unstable();
    drawn.dedup();
    drawn
}

/// Logits whose softmax has these probabilities.
fn of_probabilities(probabilities: &[f32]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln()).collect()
}

#[test]
fn greedy_takes_the_largest_and_the_smaller_id_of_equals() {
    let greedy = Sampling { temperature: 0.0, ..PLAIN };
    assert_eq!(draw(&[0.5, 2.0, -1.0, 2.0], &greedy, &[], 3), 1);
    assert_eq!(draw(&[f32::NEG_INFINITY, -5.0], &greedy, &[], 3), 1);
}

/// 40 000 draws of five tokens: a count has a standard deviation of at most sqrt(n/4) = 100; 5 sigma is 500.
#[test]
fn draws_follow_the_softmax() {
    let probabilities = [0.05, 0.4, 0.3, 0.15, 0.1];
    let logits = of_probabilities(&probabilities);
    let mut counts = [0_i32; 5];
    for key in 0..40_000 {
        counts[draw(&logits, &PLAIN, &[], key) as usize] += 1;
    }
    for (count, p) in counts.iter().zip(probabilities) {
        assert!((f64::from(*count) - 40_000.0 * f64::from(p)).abs() <= 500.0, "{counts:?}");
    }
}

#[test]
fn temperature_sharpens() {
    // At 0.5 the ratio 3 : 1 becomes 9 : 1; 10 000 draws, sigma 30, 5 sigma 150.
    let logits = of_probabilities(&[0.75, 0.25]);
    let sharp = Sampling { temperature: 0.5, ..PLAIN };
    let ones = (0..10_000).filter(|&key| draw(&logits, &sharp, &[], key) == 1).count();
    assert!(ones.abs_diff(1000) <= 150, "{ones}");
}

#[test]
fn filters_leave_exactly_what_they_define() {
    let logits = of_probabilities(&[0.05, 0.4, 0.3, 0.15, 0.1]);
    let with = |change: fn(&mut Sampling)| {
        let mut sampling = PLAIN;
        change(&mut sampling);
        support(&logits, &sampling)
    };
    assert_eq!(with(|_| ()), [0, 1, 2, 3, 4]);
    assert_eq!(with(|s| s.top_k = 2), [1, 2]);
    assert_eq!(with(|s| s.top_k = 9), [0, 1, 2, 3, 4]);
    // 0.4 + 0.3 do not reach 0.75, with 0.15 they do.
    assert_eq!(with(|s| s.top_p = 0.75), [1, 2, 3]);
    assert_eq!(with(|s| s.top_p = 0.0), [1]);
    // 0.15 is 0.375 of the largest, 0.1 is 0.25 of it.
    assert_eq!(with(|s| s.min_p = 0.3), [1, 2, 3]);
    // Top-p is of what top-k leaves: 0.4 of 0.7 is 0.57.
    assert_eq!(with(|s| (s.top_k, s.top_p) = (2, 0.55)), [1]);
}

/// The nucleus is found by ranking a growing head; here against ranking everything, at sizes around its
/// steps.
#[test]
fn the_nucleus_is_that_of_a_full_sort() {
    for (case, vocab) in [63, 64, 65, 512, 513, 5000].into_iter().enumerate() {
        let logits = logits(case as u64, vocab);
        for top_p in [0.01, 0.3, 0.9, 0.999] {
            let mut ranked: Vec<usize> = (0..logits.len()).collect();
            ranked.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
            let total: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
            let mut sum = 0.0;
            let size = ranked.iter().position(|&token| {
                sum += f64::from(logits[token]).exp() / total;
                sum >= f64::from(top_p)
            });
            let nucleus = &ranked[..=size.unwrap()];
            let sampling = Sampling { top_p, ..PLAIN };
            for key in 0..50 {
                let token = draw(&logits, &sampling, &[], key) as usize;
                assert!(nucleus.contains(&token), "{vocab} tokens, top_p {top_p}: {token}");
            }
            // The noise that favours the last token of the nucleus must be able to win, so it is in it.
            let best = nucleus.iter().map(|&t| (noisy(&logits, t, 7), t)).max_by(|a, b| a.0.total_cmp(&b.0));
            assert_eq!(draw(&logits, &sampling, &[], 7) as usize, best.unwrap().1);
        }
    }
}

fn noisy(logits: &[f32], token: usize, key: u64) -> f64 {
    f64::from(logits[token]) - (-rng::uniform(key, 0, token as u64).ln()).ln()
}

#[test]
fn the_penalty_divides_positive_and_multiplies_other_logits_once_per_token() {
    let greedy = Sampling { temperature: 0.0, repetition_penalty: 2.0, ..PLAIN };
    // 3.0 becomes 1.5, below 2.0; a second occurrence changes nothing, or 1.0 would win.
    assert_eq!(draw(&[3.0, 2.0, 1.0], &greedy, &[0, 0], 1), 1);
    assert_eq!(draw(&[3.0, 1.4, 1.0], &greedy, &[0, 0, 0], 1), 0);
    // -1.0 becomes -2.0, below -1.5.
    assert_eq!(draw(&[-1.0, -1.5], &greedy, &[0], 1), 1);
}

#[test]
fn noise_depends_on_key_and_position_and_nothing_else() {
    let logits = logits(1, 300);
    let mut sampler = Sampler::default();
    let plain = request(&PLAIN, Restriction::None);
    let mut at = |key, position| sampler.draw(&logits, &plain, &[], key, position).unwrap();
    let first: Vec<u32> = (0..20).map(|position| at(5, position)).collect();
    let again: Vec<u32> = (0..20).map(|position| at(5, position)).collect();
    let other: Vec<u32> = (0..20).map(|position| at(6, position)).collect();
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert!(first.iter().any(|token| *token != first[0]), "positions draw alike: {first:?}");
}

#[test]
fn what_is_not_a_number_is_an_error() {
    let drawn =
        Sampler::default().draw(&[1.0, f32::NAN, 2.0], &request(&PLAIN, Restriction::None), &[], 1, 0);
    assert!(matches!(drawn, Err(Error::NotANumber { token: 1 })), "{drawn:?}");
    for bad in [
        Sampling { temperature: f32::NAN, ..PLAIN },
        Sampling { temperature: -0.1, ..PLAIN },
        Sampling { top_p: 1.1, ..PLAIN },
        Sampling { min_p: -1.0, ..PLAIN },
        Sampling { repetition_penalty: 0.0, ..PLAIN },
    ] {
        assert!(matches!(bad.check(), Err(Error::Sampling { .. })), "{bad:?}");
    }
    PLAIN.check().unwrap();
}

#[test]
fn frequency_and_presence_are_subtracted() {
    let greedy = Sampling { temperature: 0.0, ..PLAIN };
    let present = Sampling { presence_penalty: 1.0, ..greedy.clone() };
    // 3.0 becomes 2.0, once, however often it came.
    assert_eq!(draw(&[3.0, 2.5, 1.5], &present, &[0, 0, 0], 1), 1);
    assert_eq!(draw(&[3.0, 1.9], &present, &[0, 0, 0], 1), 0);
    let frequent = Sampling { frequency_penalty: 0.4, ..greedy };
    assert_eq!(draw(&[3.0, 2.5], &frequent, &[0], 1), 0);
    assert_eq!(draw(&[3.0, 2.5], &frequent, &[0, 0], 1), 1);
}

#[test]
fn restrictions_hold_against_any_logit() {
    let logits = [9.0, 1.0, 1.5, 0.0];
    let draws = |restriction: Restriction| -> Vec<u32> {
        let request = request(&PLAIN, restriction);
        let draw = |key| Sampler::default().draw(&logits, &request, &[], key, 0).unwrap();
        let mut drawn: Vec<u32> = (0..4000).map(draw).collect();
        drawn.sort_unstable();
        drawn.dedup();
        drawn
    };
    assert_eq!(draws(Restriction::Ban(vec![0, 99])), [1, 2, 3]);
    assert_eq!(draws(Restriction::Only(vec![3, 1])), [1, 3]);
    let nothing = request(&PLAIN, Restriction::Ban(vec![0, 1, 2, 3]));
    let drawn = Sampler::default().draw(&logits, &nothing, &[], 1, 0);
    assert!(matches!(drawn, Err(Error::NothingToDraw { id: 1 })), "{drawn:?}");
    assert!(matches!(
        request(&PLAIN, Restriction::Only(Vec::new())).check(),
        Err(Error::NothingToDraw { .. })
    ));
}

#[test]
fn noise_keys_differ_by_prompt_and_sample_and_repeat() {
    let first = request(&PLAIN, Restriction::None);
    let second = Request { sample: 1, ..first.clone() };
    let keys = [first.noise_key(&[1, 2]), first.noise_key(&[1, 3]), second.noise_key(&[1, 2])];
    assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2], "{keys:?}");
    assert_eq!(keys[0], first.noise_key(&[1, 2]));
}
