//! Tests of scores and comparisons against numbers computed by hand.

use crate::eval::result::{Checked, Generation, NamedOutcomes, Outcomes};
use crate::eval::{Measurements, RecordLikelihood, Side, compare, score_contestant};

fn response(item: usize, skill: &str, strict: &[bool], right: Option<bool>) -> Generation {
    let check =
        |&strict: &bool| Checked { name: "json".to_owned(), strict, loose: true, found: String::new() };
    Generation {
        choice: false,
        item,
        instruction: String::new(),
        skill: Some(skill.to_owned()),
        difficulty: Some(1 + item as u8),
        response: "one two".to_owned(),
        tokens: 3,
        ended: item != 0,
        checks: strict.iter().map(check).collect(),
        right,
    }
}

#[test]
#[expect(clippy::float_cmp, reason = "small fractions, exact in binary")]
fn the_scores_of_a_contestant_are_the_shares_of_its_verdicts() {
    let responses = [
        response(0, "Art", &[true, true], None),
        response(1, "Art", &[true, false], None),
        response(2, "Law", &[], Some(true)),
        response(3, "Law", &[], None),
    ];
    let held_out = [
        RecordLikelihood { log_likelihood: -6.0, tokens: 3 },
        RecordLikelihood { log_likelihood: -2.0, tokens: 1 },
    ];
    let found = score_contestant(Measurements {
        name: "x",
        adapter_sha256: None,
        responses: &responses,
        held_out: &held_out,
        seed: 1,
    });
    let rates = found.constraints.unwrap();
    assert_eq!([rates.prompt_strict.value, rates.prompt_loose.value], [0.5, 1.0]);
    assert_eq!([rates.constraint_strict.value, rates.constraint_loose.value], [0.75, 1.0]);
    assert_eq!(
        (rates.prompt_strict.n, found.exact_match.unwrap().value, found.choice_accuracy),
        (2, 1.0, None)
    );
    assert_eq!((found.words.unwrap().value, found.truncated.unwrap().value), (2.0, 0.25));
    let held_out = found.held_out.unwrap();
    assert_eq!((held_out.records, held_out.tokens, held_out.loss.value), (2, 4, 2.0));
    assert!((held_out.perplexity.value - 2.0_f64.exp()).abs() <= 1e-12);
    let slices: Vec<_> =
        found.by_skill.iter().map(|slice| (slice.name.as_str(), slice.correct.value)).collect();
    assert_eq!(slices, [("Art", 0.5), ("Law", 1.0)]);
    assert_eq!(found.by_difficulty.len(), 3, "what is not scored has no slice");
    let slices: Vec<_> = found
        .by_constraint
        .iter()
        .map(|slice| (slice.name.as_str(), slice.correct.value, slice.correct.n))
        .collect();
    assert_eq!(slices, [("json", 0.75, 4)]);
}

#[test]
#[expect(clippy::float_cmp, reason = "small fractions, exact in binary")]
fn a_comparison_is_paired_item_by_item() {
    let of = |verdicts: &[bool]| -> Vec<Generation> {
        verdicts.iter().enumerate().map(|(item, &met)| response(item % 9, "Art", &[met], None)).collect()
    };
    let (one, other) = (of(&[true, true, true, false, true]), of(&[true, false, false, true, false]));
    let record = |log_likelihood| RecordLikelihood { log_likelihood, tokens: 2 };
    let (better, worse) = ([record(-1.0)], [record(-3.0)]);
    let side = |name, responses, held_out| Side { name, responses, held_out };
    let found = compare(side("a", &one, &better), side("b", &other, &worse), 1);
    let paired = &found.paired[0];
    assert_eq!(
        (paired.metric.as_str(), paired.both, paired.wins, paired.losses, paired.neither),
        ("prompt_strict", 1, 3, 1, 0)
    );
    assert_eq!((paired.difference.value, paired.p_value), (0.4, 0.625));
    assert!(paired.difference.low <= 0.4 && paired.difference.high >= 0.4 && paired.needed.is_some());
    let met = found.constraints.unwrap();
    assert!(met.value == 0.4 && met.low < 0.4 && met.high > 0.4, "{met:?}");
    let total = Outcomes { wins: 3, ties: 1, losses: 1 };
    assert_eq!(found.by_skill, [NamedOutcomes { name: "Art".to_owned(), outcomes: total }]);
    let levels: Vec<(&str, usize)> =
        found.by_difficulty.iter().map(|slice| (slice.name.as_str(), slice.outcomes.wins)).collect();
    assert_eq!(levels.iter().map(|(_, wins)| wins).sum::<usize>(), 3, "{levels:?}");
    assert_eq!(found.held_out_loss.unwrap().value, -1.0);
    assert_eq!(found.relative_score, None, "a ratio to two of five has no interval");
    let (many, others) =
        (of(&[true, true, true, false, true].repeat(9)), of(&[true, false, false, true, false].repeat(9)));
    let score = compare(side("a", &many, &[]), side("b", &others, &[]), 1).relative_score.unwrap();
    assert_eq!((score.overall.unwrap().value, score.by_skill.len()), (200.0, 1));
    assert_eq!(found.paired.len(), 2, "all scored items have constraints: the same is not said again");
}
