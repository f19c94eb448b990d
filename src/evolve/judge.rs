//! A model's judgement of tasks, by the log-probabilities of labels: whether two ask for the same (rule 1),
//! how hard one is, which of two is harder. Pairs are asked in both orders of presentation.
//!
//! In the flow: `judging` asks about the children of a run; `rounds` calibrates the judge before that.
//!
//! The margin of a pair is the mean over both orders of `ln p(same) - ln p(different)`. A model's margins are
//! shifted (a small one says *same* of nearly everything, or of nothing), but may still be ordered rightly:
//! so the threshold is not 0, but is read off [`library::judge_pairs`], 262 pairs of our own with known
//! labels, once per run:
//!
//! 1. AUC: the probability that a *same* pair has the larger margin than a *different* one.
//! 2. If AUC reaches `min_auc`, the judge is trusted: of the thresholds that call at most
//!    `max_false_elimination` of the *different* pairs the same, the lowest is taken: it finds the most
//!    pairs without gain at the accepted price.
//! 3. Otherwise it is not used, neither for rule 1 nor for difficulty: words decide (`guard::lexical_gain`),
//!    and the run says so.
//!
//! Difficulty is the expected value over the digits 0 to 9, plus 1 (after Deita, Liu et al. 2024, which takes
//! the expectation over six digits).
//!
//! **Invariant:** the verdict on (a, b) is the verdict on (b, a).

use super::library::{self, JudgePrompts, LabelledPair};
use super::prompt::{PromptFile, Slot};
use super::{Error, JudgeConfig};
use crate::llm::{self, Generate, Question};

/// How well the model's margins tell *same* from *different*, and the threshold between them.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Labelled pairs that were scored.
    pub pairs: usize,
    /// Area under the ROC curve: 0.5 is chance, 1 is perfect.
    pub auc: f64,
    /// Expected calibration error: how far the model's own `p(same)` is from the share of pairs that are the
    /// same, in ten bins of it (Naeini et al. 2015). Large for a model whose margins are shifted, which the
    /// threshold makes up for.
    pub ece: f64,
    /// Whether the AUC reached the configured minimum.
    pub trusted: bool,
    /// A pair with a larger margin (nats) is called the same.
    pub threshold: f64,
    /// Share of the *different* pairs that the threshold calls the same.
    pub false_elimination: f64,
    /// Share of the *same* pairs that the threshold finds.
    pub true_elimination: f64,
}

/// Margins of one pair, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Margin {
    /// As given, and with the two tasks exchanged.
    pub(super) orders: [f64; 2],
}

impl Margin {
    pub(super) fn mean(self) -> f64 {
        f64::midpoint(self.orders[0], self.orders[1])
    }
}

/// Scores pairs of tasks; `None` where a prompt did not fit the context.
pub(super) fn margins(
    model: &mut dyn Generate,
    judge: &PromptFile,
    pairs: &[(String, String)],
) -> Result<Vec<Option<Margin>>, Error> {
    let mut questions = Vec::with_capacity(2 * pairs.len());
    for (first, second) in pairs {
        for (first, second) in [(first, second), (second, first)] {
            let value = |slot| if slot == Slot::Second { second.clone() } else { first.clone() };
            questions.push(question(model, judge, questions.len(), value)?);
        }
    }
    let answers = model.score(&questions)?;
    assert_eq!(answers.len(), questions.len(), "one answer for each question");
    Ok(answers
        .chunks_exact(2)
        .map(|both| Some(Margin { orders: [label_margin(&both[0])?, label_margin(&both[1])?] }))
        .collect())
}

/// By how many nats the first of two labels is likelier; `None`: the prompt did not fit the context.
pub(super) fn label_margin(answer: &llm::Answer) -> Option<f64> {
    answer.log_probs.as_ref().map(|log_probs| log_probs[0] - log_probs[1])
}

/// The question that `file` makes of what `value` puts into its slots.
pub(super) fn question(
    model: &dyn Generate,
    file: &PromptFile,
    id: usize,
    value: impl Fn(Slot) -> String,
) -> Result<Question, Error> {
    let prompt = file.render(model, value).ok_or(Error::NoChatTemplate)??;
    Ok(Question { id: id as u64, prompt, labels: file.labels.clone() })
}

/// How hard a task is, and whether it is harder than its parent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rating {
    /// 1 to 10: an expected value.
    pub(super) difficulty: f64,
    /// Probability that the task is the harder one, the mean of both orders.
    pub(super) harder: f64,
}

/// Rates tasks, given as (parent, child); `None` where a prompt did not fit the context.
pub(super) fn rate(
    model: &mut dyn Generate,
    prompts: &JudgePrompts,
    pairs: &[(String, String)],
) -> Result<Vec<Option<Rating>>, Error> {
    let difficulties = pairs.iter().enumerate();
    let questions = difficulties
        .map(|(id, (_, child))| question(model, &prompts.difficulty, id, |_slot| child.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    let digits = model.score(&questions)?;
    assert_eq!(digits.len(), pairs.len(), "one answer for each question");
    let orders = margins(model, &prompts.harder, pairs)?;
    let rating = |(answer, margin): (&llm::Answer, Option<Margin>)| {
        let log_probs = answer.log_probs.as_ref()?;
        let expected: f64 = log_probs.iter().enumerate().map(|(digit, p)| digit as f64 * p.exp()).sum();
        // The margin says how much likelier it is that the first task is the harder one; the child is the
        // second task of the first order.
        let [parent_first, child_first] = margin?.orders;
        let harder = f64::midpoint(probability(-parent_first), probability(child_first));
        Some(Rating { difficulty: 1.0 + expected, harder })
    };
    Ok(digits.iter().zip(orders).map(rating).collect())
}

/// The probability of the first of two labels, from the difference of their log-probabilities.
fn probability(margin: f64) -> f64 {
    1.0 / (1.0 + (-margin).exp())
}

/// A labelled pair as a model sees it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct JudgedPair {
    /// What makes the two tasks the same, or different.
    pub kind: String,
    /// Whether they are the same.
    pub same: bool,
    /// How much likelier *same* is than *different* to the model, in nats; absent if the pair does not fit
    /// its context.
    pub margin: Option<f64>,
}

/// Scores labelled pairs: `count` of them, or all there are.
pub(super) fn judge_labelled(
    model: &mut dyn Generate,
    judge: &PromptFile,
    count: usize,
) -> Result<Vec<JudgedPair>, Error> {
    let labelled = spread(library::judge_pairs(), count);
    let pairs: Vec<_> = labelled.iter().map(|pair| (pair.first.clone(), pair.second.clone())).collect();
    let margins = margins(model, judge, &pairs)?;
    let judged = |(LabelledPair { kind, same, .. }, margin): (LabelledPair, Option<Margin>)| JudgedPair {
        kind,
        same,
        margin: margin.map(Margin::mean),
    };
    Ok(labelled.into_iter().zip(margins).map(judged).collect())
}

/// `count` of the pairs, half of them the same, evenly over the list, which is ordered by kind.
fn spread(pairs: Vec<LabelledPair>, count: usize) -> Vec<LabelledPair> {
    let (same, different): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|pair| pair.same);
    let half = |pairs: Vec<LabelledPair>, count: usize| -> Vec<LabelledPair> {
        let (all, count) = (pairs.len(), count.min(pairs.len()));
        let picked = |at: &usize| (at * count) / all != ((at + 1) * count) / all;
        pairs.into_iter().enumerate().filter(|(at, _)| picked(at)).map(|(_, pair)| pair).collect()
    };
    let mut spread = half(same, count.div_ceil(2));
    spread.extend(half(different, count / 2));
    spread
}

/// The calibration that follows from judged pairs.
pub(super) fn calibration(pairs: &[JudgedPair], config: JudgeConfig) -> Calibration {
    let of = |same: bool| -> Vec<f64> {
        pairs.iter().filter(|pair| pair.same == same).filter_map(|pair| pair.margin).collect()
    };
    draw_line(&of(true), &of(false), config)
}

/// Bins of the calibration error.
const BINS: usize = 10;

fn calibration_error(same: &[f64], different: &[f64]) -> f64 {
    let mut bins = [(0_usize, 0_usize, 0.0); BINS];
    for (margins, is_same) in [(same, 1), (different, 0)] {
        for &margin in margins {
            let p = probability(margin);
            let (count, positive, sum) = &mut bins[((p * BINS as f64) as usize).min(BINS - 1)];
            (*count, *positive, *sum) = (*count + 1, *positive + is_same, *sum + p);
        }
    }
    let all = (same.len() + different.len()).max(1) as f64;
    bins.iter().map(|(_, positive, sum)| (*positive as f64 - sum).abs() / all).sum()
}

/// The rule in this file's header, on the margins of *same* and *different* pairs.
pub(super) fn draw_line(same: &[f64], different: &[f64], config: JudgeConfig) -> Calibration {
    let above = |margins: &[f64], threshold: f64| {
        margins.iter().filter(|margin| **margin > threshold).count() as f64 / margins.len().max(1) as f64
    };
    let auc = auc(same, different);
    let trusted = auc >= config.min_auc;
    let accepted = config.max_false_elimination;
    // Only the margins of different pairs matter: between two of them the false eliminations stay the same,
    // and the lower end finds at least as many pairs. "Above" is strict, so each is a threshold itself. A
    // model too short for every pair gives no margins, and then nothing is ever called the same.
    let lowest =
        different.iter().copied().filter(|&t| above(different, t) <= accepted).min_by(f64::total_cmp);
    let threshold = lowest.unwrap_or(f64::MAX);
    Calibration {
        pairs: same.len() + different.len(),
        auc,
        ece: calibration_error(same, different),
        trusted,
        threshold,
        false_elimination: above(different, threshold),
        true_elimination: above(same, threshold),
    }
}

/// The probability that a *same* pair has a larger margin than a *different* one, ties counting half
/// (Mann-Whitney). Chance if there is nothing to compare.
fn auc(same: &[f64], different: &[f64]) -> f64 {
    if same.is_empty() || different.is_empty() {
        return 0.5;
    }
    let wins: f64 = same
        .iter()
        .flat_map(|s| {
            different.iter().map(move |d| {
                if s > d {
                    1.0
                } else if s < d {
                    0.0
                } else {
                    0.5
                }
            })
        })
        .sum();
    wins / (same.len() * different.len()) as f64
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "small fractions and copied numbers, exact in binary")]
mod tests {
    use super::*;

    #[test]
    fn the_line_accepts_the_configured_share_of_false_eliminations() {
        let same = [3.0, 2.5, 2.0, 1.4, 0.2];
        let mut different = [0.0; 20];
        different[..3].copy_from_slice(&[2.2, 1.5, 1.0]);
        let line = draw_line(&same, &different, JudgeConfig::default());
        // One of twenty is 5 %: 2.2 may be above the line, 1.5 may not.
        assert!(line.trusted && line.auc > 0.9);
        assert_eq!((line.threshold, line.false_elimination, line.true_elimination), (1.5, 0.05, 0.6));
    }

    #[test]
    fn a_judge_that_cannot_tell_is_not_trusted() {
        let line = draw_line(&[0.5, 1.0, 9.0], &[0.7, 0.8, 1.1], JudgeConfig::default());
        assert!(!line.trusted && line.auc < 0.75);
        let none = draw_line(&[], &[], JudgeConfig::default());
        assert!(!none.trusted && none.threshold == f64::MAX);
    }

    #[test]
    fn the_calibration_error_is_the_distance_between_claim_and_share() {
        // Sure and right; sure and wrong; undecided and half right.
        assert!(calibration_error(&[30.0], &[-30.0]) <= 1e-12);
        assert!((calibration_error(&[-30.0], &[30.0]) - 1.0).abs() <= 1e-12);
        assert!(calibration_error(&[0.0], &[0.0]) <= 1e-12);
        // A model that says 0.9 of everything, of which half is so.
        let margin = 9.0_f64.ln();
        assert!((calibration_error(&[margin], &[margin]) - 0.4).abs() <= 1e-12);
        assert_eq!(calibration_error(&[], &[]), 0.0);
    }

    #[test]
    fn auc_counts_ties_half() {
        assert_eq!(auc(&[1.0, 2.0], &[1.0, 0.0]), 3.5 / 4.0);
        assert_eq!(auc(&[5.0], &[1.0]), 1.0);
    }

    #[test]
    fn a_part_of_the_pairs_is_balanced_and_of_many_kinds() {
        for count in [10, 11, 40, 261, 262, 1000] {
            let part = spread(library::judge_pairs(), count);
            assert_eq!(part.len(), count.min(262));
            let same = part.iter().filter(|pair| pair.same).count();
            assert_eq!(same, part.len().div_ceil(2));
            let kinds: std::collections::BTreeSet<&str> =
                part.iter().map(|pair| pair.kind.as_str()).collect();
            assert!(kinds.len() * 2 >= count.min(13), "{count}: {kinds:?}");
        }
    }

    #[test]
    fn the_labelled_pairs_are_many_and_balanced() {
        let pairs = library::judge_pairs();
        assert!(pairs.len() >= 200);
        assert_eq!(pairs.iter().filter(|pair| pair.same).count() * 2, pairs.len());
    }
}
