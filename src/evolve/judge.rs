//! Rule 1, no gain: the model says whether parent and child ask for the same, by the log-probabilities of
//! two labels, in both orders of presentation.
//!
//! The margin of a pair is the mean over both orders of `ln p(same) - ln p(different)`. A model's margins are
//! shifted (a small one says *same* of nearly everything, or of nothing), but may still be ordered rightly:
//! so the threshold is not 0, but is read off [`library::judge_pairs`], 48 pairs of our own with known labels,
//! once per run:
//!
//! 1. AUC: the probability that a *same* pair has the larger margin than a *different* one.
//! 2. If AUC reaches `min_auc`, the judge is trusted: of the thresholds that call at most
//!    `max_false_elimination` of the *different* pairs the same, the lowest is taken: it finds the most
//!    pairs without gain at the accepted price.
//! 3. Otherwise it is not trusted, and the threshold lies above *every* different pair: only what is more
//!    alike to the model than anything known to differ is eliminated. The run says so.
//!
//! **Invariant:** the verdict on (a, b) is the verdict on (b, a).

use super::library::{self, LabelledPair};
use super::prompt::{PromptFile, Slot};
use super::{Error, JudgeConfig};
use crate::llm::{self, Generate, Question};

/// How well the model's margins tell *same* from *different*, and where the line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Labelled pairs that were scored.
    pub pairs: usize,
    /// Area under the ROC curve: 0.5 is chance, 1 is perfect.
    pub auc: f64,
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
            let value = |slot| match slot {
                Slot::First => first.clone(),
                Slot::Second => second.clone(),
                Slot::Instruction | Slot::Input => unreachable!("a judge's prompt has two slots for tasks"),
            };
            let prompt = judge.render(model, value).ok_or(Error::NoChatTemplate)??;
            questions.push(Question { id: questions.len() as u64, prompt, labels: judge.labels.clone() });
        }
    }
    let answers = model.score(&questions)?;
    assert_eq!(answers.len(), questions.len(), "one answer for each question");
    let margin =
        |answer: &llm::Answer| answer.log_probs.as_ref().map(|log_probs| log_probs[0] - log_probs[1]);
    Ok(answers
        .chunks_exact(2)
        .map(|both| Some(Margin { orders: [margin(&both[0])?, margin(&both[1])?] }))
        .collect())
}

/// Scores the labelled pairs and draws the line.
pub(super) fn calibrate(
    model: &mut dyn Generate,
    judge: &PromptFile,
    config: JudgeConfig,
) -> Result<Calibration, Error> {
    let labelled = library::judge_pairs();
    let pairs: Vec<_> = labelled.iter().map(|pair| (pair.first.clone(), pair.second.clone())).collect();
    let margins = margins(model, judge, &pairs)?;
    let of = |same: bool| {
        let label = move |(pair, margin): (&LabelledPair, &Option<Margin>)| {
            margin.filter(|_| pair.same == same).map(Margin::mean)
        };
        labelled.iter().zip(&margins).filter_map(label).collect::<Vec<f64>>()
    };
    Ok(draw_line(&of(true), &of(false), config))
}

/// The rule in this file's header, on the margins of *same* and *different* pairs.
fn draw_line(same: &[f64], different: &[f64], config: JudgeConfig) -> Calibration {
    let above = |margins: &[f64], threshold: f64| {
        margins.iter().filter(|margin| **margin > threshold).count() as f64 / margins.len().max(1) as f64
    };
    let auc = auc(same, different);
    let trusted = auc >= config.min_auc;
    let accepted = if trusted { config.max_false_elimination } else { 0.0 };
    // Only the margins of different pairs matter: between two of them the false eliminations stay the same,
    // and the lower end finds at least as many pairs. "Above" is strict, so each is a threshold itself. A
    // model too short for every pair gives no margins, and then nothing is ever called the same.
    let lowest =
        different.iter().copied().filter(|&t| above(different, t) <= accepted).min_by(f64::total_cmp);
    let threshold = lowest.unwrap_or(f64::MAX);
    Calibration {
        pairs: same.len() + different.len(),
        auc,
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
    fn a_judge_that_cannot_tell_is_held_above_every_different_pair() {
        let line = draw_line(&[0.5, 1.0, 9.0], &[0.7, 0.8, 1.1], JudgeConfig::default());
        assert!(!line.trusted && line.auc < 0.75);
        assert_eq!((line.threshold, line.false_elimination), (1.1, 0.0));
        let none = draw_line(&[], &[], JudgeConfig::default());
        assert!(!none.trusted && none.threshold == f64::MAX);
    }

    #[test]
    fn auc_counts_ties_half() {
        assert_eq!(auc(&[1.0, 2.0], &[1.0, 0.0]), 3.5 / 4.0);
        assert_eq!(auc(&[5.0], &[1.0]), 1.0);
    }

    #[test]
    fn the_labelled_pairs_are_many_and_balanced() {
        let pairs = library::judge_pairs();
        assert!(pairs.len() >= 48);
        assert_eq!(pairs.iter().filter(|pair| pair.same).count() * 2, pairs.len());
    }
}
