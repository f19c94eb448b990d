//! Statistics of a run's rows by round: whether evolution makes instructions longer, more diverse, harder.
//!
//! Where in the flow: `evol stats` and the report show them; no decision depends on them.
//!
//! **Invariant:** they depend on the rows and their embeddings, not on the order of the rows.

use super::clusters::{Clusters, Spread};
use super::normalise::words;
use super::{Record, Rejected};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Statistics of one round. A mean is `None` if no row of the round has a value.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct RoundStats {
    /// The round; 0 for seeds.
    pub round: u32,
    /// Number of kept instructions.
    pub kept: usize,
    /// Number of eliminated attempts.
    pub rejected: usize,
    /// Mean number of words of a kept instruction, including its input.
    pub words: f64,
    /// Mean number of words that a kept child of in-depth evolving has more than its parent.
    pub words_added: Option<f64>,
    /// Distinct-1 of all kept instructions together: distinct words divided by words (Li et al. 2016).
    pub distinct_1: f64,
    /// Distinct-2: distinct word bigrams divided by bigrams.
    pub distinct_2: f64,
    /// Distinct-3: distinct word trigrams divided by trigrams.
    pub distinct_3: f64,
    /// Share of the kept instructions with constraints that code checks.
    pub constrained: f64,
    /// Mean difficulty of the kept instructions, from 1 to 10.
    pub difficulty: Option<f64>,
    /// Mean probability that a kept instruction is harder than its parent, from a calibrated judge.
    pub harder: Option<f64>,
    /// Share of all attempts that were eliminated as copies or duplicates.
    pub duplicates: f64,
    /// Share of the kept instructions that start with the most frequent four words.
    pub same_opening: f64,
    /// Number of embedding clusters that contain an instruction of this round.
    pub clusters: Option<usize>,
    /// Entropy of the round over the embedding clusters, as a share of the maximum.
    pub cluster_entropy: Option<f64>,
}

/// The rejection reasons that mean repetition.
const REPEATS: [&str; 3] = ["copied", "cosmetic_edit", "duplicate"];
/// Number of words that count as the opening of an instruction.
const OPENING: usize = 4;

/// Computes the statistics of every round. `vectors` are the embeddings of kept instructions, by id.
pub fn round_stats(
    records: &[Record],
    rejected: &[Rejected],
    vectors: &BTreeMap<u64, Vec<f32>>,
    seed: u64,
) -> Vec<RoundStats> {
    let lengths: HashMap<u64, usize> = records
        .iter()
        .chain(rejected.iter().map(|row| &row.record))
        .map(|record| (record.id, record_words(record).len()))
        .collect();
    let clusters = Clusters::new(vectors, seed);
    let mut rounds: BTreeMap<u32, (Vec<&Record>, Vec<&Rejected>)> = BTreeMap::new();
    for record in records {
        rounds.entry(record.round).or_default().0.push(record);
    }
    for row in rejected {
        rounds.entry(row.record.round).or_default().1.push(row);
    }
    rounds
        .into_iter()
        .map(|(round, (kept, rejected))| one_round(round, &kept, &rejected, &lengths, &clusters))
        .collect()
}

fn one_round(
    round: u32,
    kept: &[&Record],
    rejected: &[&Rejected],
    lengths: &HashMap<u64, usize>,
    clusters: &Clusters,
) -> RoundStats {
    let texts: Vec<Vec<String>> = kept.iter().map(|record| record_words(record)).collect();
    let in_depth = kept.iter().filter(|record| record.operator.as_deref() != Some("mutation"));
    let added = in_depth.filter_map(|record| {
        let (own, parent) = (lengths.get(&record.id)?, lengths.get(&record.parent_id?)?);
        Some(*own as f64 - *parent as f64)
    });
    let repeats = rejected.iter().filter(|row| REPEATS.contains(&row.reason.as_str())).count();
    let mut openings: HashMap<&[String], usize> = HashMap::new();
    for text in texts.iter().filter(|text| text.len() >= OPENING) {
        *openings.entry(&text[..OPENING]).or_default() += 1;
    }
    let ids: Vec<u64> = kept.iter().map(|record| record.id).collect();
    let spread = clusters.spread(&ids);
    let constrained = kept.iter().filter(|record| !record.constraints.is_empty()).count();
    RoundStats {
        round,
        kept: kept.len(),
        rejected: rejected.len(),
        words: mean(texts.iter().map(|text| text.len() as f64)).unwrap_or(0.0),
        words_added: mean(added),
        distinct_1: distinct(&texts, 1),
        distinct_2: distinct(&texts, 2),
        distinct_3: distinct(&texts, 3),
        constrained: share(constrained, kept.len()),
        difficulty: mean(kept.iter().filter_map(|record| record.difficulty.map(f64::from))),
        harder: mean(kept.iter().filter_map(|record| record.harder)),
        duplicates: share(repeats, kept.len() + rejected.len()),
        same_opening: share(openings.into_values().max().unwrap_or(0), kept.len()),
        clusters: spread.map(|Spread { clusters, .. }| clusters),
        cluster_entropy: spread.map(|Spread { entropy, .. }| entropy),
    }
}

fn record_words(record: &Record) -> Vec<String> {
    words(&super::user_turn(&record.instruction, &record.input))
}

/// Distinct-n: distinct word n-grams divided by all word n-grams (Li et al. 2016).
fn distinct(texts: &[Vec<String>], n: usize) -> f64 {
    let ngrams = texts.iter().flat_map(|text| text.windows(n));
    let distinct: HashSet<&[String]> = ngrams.clone().collect();
    share(distinct.len(), ngrams.count())
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The mean; `None` if there are no numbers.
fn mean(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = numbers.fold((0_usize, 0.0), |(count, sum), number| (count + 1, sum + number));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: u64, parent_id: Option<u64>, instruction: &str) -> Record {
        let round = u32::from(parent_id.is_some());
        let operator = parent_id.map(|_| "deepening".to_owned());
        Record { parent_id, round, operator, instruction: instruction.to_owned(), ..Record::empty(id) }
    }

    #[test]
    fn each_round_has_its_own_statistics() {
        let records = [
            record(1, None, "name a river"),
            record(2, None, "name a lake"),
            Record {
                difficulty: Some(7),
                harder: Some(0.75),
                ..record(11, Some(1), "name a river of asia that flows north")
            },
        ];
        let gone = Rejected {
            record: record(12, Some(2), "name a lake"),
            reason: "copied".to_owned(),
            detail: serde_json::Value::Null,
        };
        let stats = round_stats(&records, &[gone], &BTreeMap::new(), 1);
        assert_eq!(stats.len(), 2);
        let (seeds, first) = (&stats[0], &stats[1]);
        assert_eq!((seeds.kept, seeds.rejected, seeds.words_added), (2, 0, None));
        assert!((seeds.words - 3.0).abs() <= 1e-12 && (seeds.distinct_1 - 4.0 / 6.0).abs() <= 1e-12);
        assert!((seeds.distinct_2 - 3.0 / 4.0).abs() <= 1e-12);
        assert_eq!((first.words_added, first.difficulty, first.harder), (Some(5.0), Some(7.0), Some(0.75)));
        assert!((first.duplicates - 0.5).abs() <= 1e-12 && first.clusters.is_none());
    }
}
