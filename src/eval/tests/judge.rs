//! Tests of the judge with scripted models: both orders, ties, calibration.

use crate::eval::result::Generation;
use crate::eval::{Pair, calibrate, judge, preference};
use crate::llm::{Answer, Completion, Error, Generate, Message, Part, Prompt, Question, Request};

/// A judge that computes its margin for the response shown first by a rule.
struct Scripted(fn(&str, &str) -> f64);

impl Generate for Scripted {
    fn chat_prompt(&self, messages: &[Message], _: usize) -> Option<Result<Prompt, Error>> {
        let parts =
            messages.iter().map(|message| Part { text: message.content.clone(), special: false }).collect();
        Some(Ok(Prompt { parts, shared: 0 }))
    }

    fn text_tokens(&self, text: &str) -> Result<usize, Error> {
        Ok(text.len() / 4)
    }

    fn context_tokens(&self) -> usize {
        2048
    }

    fn generate(&mut self, _: &[Request]) -> Result<Vec<Completion>, Error> {
        Ok(Vec::new())
    }

    fn score(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Error> {
        let answer = |question: &Question| {
            let text = &question.prompt.parts[0].text;
            let (_, responses) = text.split_once("[Response A]\n").unwrap();
            let (a, rest) = responses.split_once("\n\n[Response B]\n").unwrap();
            let (b, _) = rest.rsplit_once("\n\nWhich response").unwrap();
            let margin = self.0(a, b);
            let p = 1.0 / (1.0 + (-margin).exp());
            Answer { id: question.id, log_probs: Some(vec![p.ln(), (1.0 - p).ln()]) }
        };
        Ok(questions.iter().map(answer).collect())
    }
}

fn prefers_long(a: &str, b: &str) -> f64 {
    (a.len() as f64 - b.len() as f64) / 50.0
}

fn prefers_first(_: &str, _: &str) -> f64 {
    1.0
}

fn generations(texts: &[&str]) -> Vec<Generation> {
    let generation = |(item, text): (usize, &&str)| Generation {
        choice: false,
        item,
        instruction: "x".to_owned(),
        skill: Some("Art".to_owned()),
        difficulty: Some(10),
        response: (*text).to_owned(),
        tokens: 1,
        ended: true,
        checks: Vec::new(),
        right: None,
    };
    texts.iter().enumerate().map(generation).collect()
}

fn preferred(rule: fn(&str, &str) -> f64, one: &[&str], other: &[&str]) -> crate::eval::result::Preference {
    let pairs: Vec<Pair<'_>> =
        one.iter().zip(other).map(|(first, second)| Pair { instruction: "x", first, second }).collect();
    let margins = judge(&mut Scripted(rule), &pairs).unwrap();
    preference(&generations(one), &generations(other), &margins, 1).unwrap()
}

#[test]
fn a_win_needs_both_orders() {
    let (one, other) = (["long long", "b", "cc"], ["short", "a longer one", "c"]);
    let found = preferred(prefers_long, &one, &other);
    assert_eq!((found.total.wins, found.total.ties, found.total.losses), (2, 0, 1));
    assert_eq!((found.flip_rate.value, found.by_skill[0].outcomes), (0.0, found.total));
    assert_eq!(found.by_difficulty[0].name, "10");
    let flipped = preferred(prefers_first, &one, &other);
    assert_eq!((flipped.total.ties, flipped.flip_rate.value, flipped.win_rate.value), (3, 1.0, 0.5));
    assert_eq!((flipped.p_value, flipped.needed), (1.0, None));
}

#[test]
#[expect(clippy::float_cmp, reason = "the opposite of a number")]
fn swapping_the_pair_negates_the_margins() {
    let pair = |first, second| Pair { instruction: "x", first, second };
    let margins = judge(&mut Scripted(prefers_long), &[pair("aaaa", "b"), pair("b", "aaaa")]).unwrap();
    let (one, other) = (margins[0].unwrap(), margins[1].unwrap());
    assert_eq!(one, [-other[1], -other[0]]);
}

/// Neither a judge that always prefers the response shown first nor one that goes by length passes.
#[test]
fn a_biased_judge_fails_the_calibration() {
    let first = calibrate(&mut Scripted(prefers_first)).unwrap().unwrap();
    assert!(!first.is_trusted() && first.accuracy.value <= 0.0 && first.flip_rate.value >= 1.0, "{first:?}");
    let long = calibrate(&mut Scripted(prefers_long)).unwrap().unwrap();
    assert!(!long.is_trusted(), "length alone tells the cut ones, and half of the others: {long:?}");
    assert!(long.pairs == 78 && long.accuracy.value > 0.5, "{long:?}");
}
