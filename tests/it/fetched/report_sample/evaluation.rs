//! Helper: the evaluation of the made-up run: three contestants, one of them better.

use super::{ADDED, ASKS, Dice, HOSTILE, SKILLS, THINGS, answer};
use evol::eval::result::{
    Checked, Comparison, ConstraintRates, Contestant, Estimate, Evaluation, Generation, HeldOut, Judge,
    NamedOutcomes, Outcomes, Paired, Preference, RelativeScore, Slice, SuiteInfo,
};

fn estimate(share: f64, n: usize) -> Estimate {
    let half = 1.96 * (share * (1.0 - share) / n as f64).sqrt();
    Estimate { value: share, low: (share - half).max(0.0), high: (share + half).min(1.0), n }
}

const CONTESTANTS: [(&str, f64); 3] = [("base", 0.0), ("seeds", 0.015), ("evolved", 0.072)];

/// `plus` is how much better it is than the base.
fn contestant(name: &str, plus: f64, dice: &mut Dice) -> Contestant {
    Contestant {
        name: name.into(),
        adapter_sha256: (plus > 0.0)
            .then(|| "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into()),
        constraints: Some(ConstraintRates {
            prompt_strict: estimate(0.212 + plus, 541),
            prompt_loose: estimate(0.236 + plus, 541),
            constraint_strict: estimate(0.331 + plus, 834),
            constraint_loose: estimate(0.359 + plus, 834),
        }),
        exact_match: Some(estimate(0.055 + plus / 6.0, 200)),
        choice_accuracy: Some(estimate(0.41 + plus / 4.0, 300)),
        held_out: Some(HeldOut {
            records: 23,
            tokens: 1884,
            loss: Estimate {
                value: 1.09 - plus * 3.0,
                low: 1.02 - plus * 3.0,
                high: 1.16 - plus * 3.0,
                n: 23,
            },
            perplexity: Estimate {
                value: 2.97 - plus * 8.0,
                low: 2.77 - plus * 8.0,
                high: 3.19 - plus * 8.0,
                n: 23,
            },
        }),
        words: Some(Estimate { value: 121.0 - plus * 400.0, low: 112.0 - plus * 400.0, high: 130.0, n: 541 }),
        truncated: Some(estimate(0.11 - plus / 2.0, 541)),
        by_skill: SKILLS
            .iter()
            .map(|skill| Slice {
                name: (*skill).into(),
                correct: estimate(0.15 + plus + 0.3 * dice.share(), 30 + dice.below(60)),
            })
            .collect(),
        by_difficulty: (1..=9)
            .map(|level| Slice {
                name: level.to_string(),
                correct: estimate((0.55 + plus - 0.055 * f64::from(level)).max(0.01), 40 + dice.below(90)),
            })
            .collect(),
        by_constraint: ["bullet_count", "keywords", "length_constraints:number_words"]
            .map(|kind| Slice { name: kind.into(), correct: estimate(0.3 + plus, 278) })
            .to_vec(),
    }
}

pub(super) fn evaluation(dice: &mut Dice) -> Evaluation {
    let contestants = CONTESTANTS.map(|(name, plus)| contestant(name, plus, dice));
    Evaluation {
        evol_version: "0.1.0".into(),
        suite: SuiteInfo {
            name: "built-in".into(),
            sha256: "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9".into(),
            items: 1041,
            verifiable: 541,
            constraints: 834,
            exact: 200,
            choice: 300,
            contaminated: 3,
        },
        seed: 1,
        max_tokens: 512,
        temperature: 0.0,
        model_sha256: "5a1395716f7913741cc51d98581b9b1228d80987a9f7d3664106742eb06bba83".into(),
        contestants: contestants.to_vec(),
        comparisons: vec![
            comparison("seeds", "base", 0.006, 0.41),
            comparison("evolved", "base", 0.043, 0.0031),
            comparison("evolved", "seeds", 0.037, 0.012),
        ],
        judge: Some(Judge {
            model_sha256: "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b".into(),
            same_family: true,
            calibration_pairs: 120,
            calibration_accuracy: estimate(0.82, 120),
            calibration_flip_rate: estimate(0.13, 120),
            trusted: true,
        }),
        pooled: Vec::new(),
    }
}

fn comparison(name: &str, against: &str, difference: f64, p: f64) -> Comparison {
    let paired = |metric: &str, n: usize, factor: f64, p_value: f64| {
        let wins = (n as f64 * (0.06 + difference * factor)) as usize;
        let losses = (n as f64 * 0.06) as usize;
        let value = difference * factor;
        Paired {
            metric: metric.into(),
            both: n / 5,
            wins,
            losses,
            neither: n - n / 5 - wins - losses,
            difference: Estimate { value, low: value - 0.025, high: value + 0.025, n },
            p_value,
            needed: Some((2.8 / difference.max(1e-3)) as u64 * 20),
        }
    };
    let outcomes = Outcomes { wins: 260, ties: 611, losses: 170 };
    Comparison {
        name: name.into(),
        against: against.into(),
        paired: vec![
            paired("correct", 1041, 1.0, p),
            paired("prompt_strict", 541, 1.4, p * 1.5),
            paired("prompt_loose", 541, 1.3, p * 2.0),
            paired("exact_match", 200, 0.3, 0.73),
            paired("choice_accuracy", 300, 0.4, 0.61),
        ],
        constraints: Some(Estimate {
            value: difference,
            low: difference - 0.02,
            high: difference + 0.02,
            n: 541,
        }),
        held_out_loss: Some(Estimate {
            value: -difference * 3.0,
            low: -difference * 3.0 - 0.04,
            high: 0.01,
            n: 23,
        }),
        by_skill: SKILLS.iter().map(|skill| NamedOutcomes { name: (*skill).into(), outcomes }).collect(),
        by_difficulty: vec![NamedOutcomes { name: "3".into(), outcomes }],
        relative_score: Some(RelativeScore {
            overall: Some(Estimate { value: 100.0 + difference * 400.0, low: 97.0, high: 131.0, n: 1041 }),
            by_skill: SKILLS
                .iter()
                .map(|skill| Slice {
                    name: (*skill).into(),
                    correct: Estimate { value: 104.0, low: 81.0, high: 137.0, n: 60 },
                })
                .collect(),
        }),
        preference: Some(Preference {
            total: outcomes,
            win_rate: estimate(0.543, 1041),
            length_controlled: Some(estimate(0.531, 1041)),
            flip_rate: estimate(0.14, 1041),
            p_value: 0.0002,
            needed: Some(640),
            by_skill: SKILLS.iter().map(|skill| NamedOutcomes { name: (*skill).into(), outcomes }).collect(),
            by_difficulty: vec![NamedOutcomes { name: "3".into(), outcomes }],
        }),
    }
}

pub(super) fn generations(dice: &mut Dice) -> Vec<(String, Vec<Generation>)> {
    let items: Vec<(String, &str, u8)> = (0..60)
        .map(|item| {
            let text = match item {
                1 => HOSTILE.to_owned(),
                _ => format!("{} {}. {}", dice.of(&ASKS), dice.of(&THINGS), dice.of(&ADDED).0),
            };
            (text, *dice.of(&SKILLS), 1 + dice.below(9) as u8)
        })
        .collect();
    CONTESTANTS
        .map(|(name, plus)| {
            let said = items.iter().enumerate().map(|(item, (instruction, skill, difficulty))| {
                let met = dice.share() < 0.4 + 4.0 * plus;
                let checked = Checked {
                    name: "number_words".into(),
                    strict: met,
                    loose: met || dice.share() < 0.2,
                    found: format!("{} words", 40 + dice.below(90)),
                };
                Generation {
                    choice: false,
                    item,
                    instruction: instruction.clone(),
                    skill: Some((*skill).to_owned()),
                    difficulty: Some(*difficulty),
                    response: if item == 1 { HOSTILE.to_owned() } else { answer(dice) },
                    tokens: 40 + dice.below(200),
                    ended: dice.share() < 0.9,
                    checks: if item % 5 == 4 { Vec::new() } else { vec![checked] },
                    right: (item % 5 == 4).then_some(met),
                }
            });
            (name.to_owned(), said.collect())
        })
        .to_vec()
}
