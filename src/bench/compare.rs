//! Compares two measurements.
//!
//! Where in the flow: `cli` reads a history and shows the [`Comparison`].
//!
//! **Invariant:** a comparison lists every difference in model, machine, version and settings that may
//! explain the results.

use super::{Error, Record, Settings};
use serde::Serialize;
use std::path::Path;

/// The comparison of two records.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The numbers of the records in the history, from 1.
    pub numbers: [usize; 2],
    /// The times of the measurements.
    pub times: [String; 2],
    /// The differences in model, machine, version and settings, which may explain the ratios.
    pub differences: Vec<String>,
    /// The results, one per line.
    pub lines: Vec<Line>,
}

/// One result of both records.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The name of the result, with its unit.
    pub name: String,
    /// The values in both records; `None` if a record does not have it.
    pub values: [Option<f64>; 2],
    /// The second value divided by the first; `None` if either is missing or the first is 0.
    pub ratio: Option<f64>,
}

impl Line {
    fn new(name: impl Into<String>, values: [Option<f64>; 2]) -> Self {
        let ratio = match values {
            [Some(first), Some(second)] if first != 0.0 => Some(second / first),
            _ => None,
        };
        Self { name: name.into(), values, ratio }
    }
}

/// Compares the records with the given numbers (from 1), or by default the last record with the previous one
/// of the same model. `path` names the history in errors.
///
/// # Errors
/// [`Error::NoSuchRecord`] for a number that does not exist; [`Error::NoPair`] if there is no pair to choose.
pub fn compare(records: &[Record], numbers: Option<[usize; 2]>, path: &Path) -> Result<Comparison, Error> {
    let numbers = match numbers {
        Some(numbers) => numbers,
        None => last_pair(records, path)?,
    };
    for found in numbers {
        if !(1..=records.len()).contains(&found) {
            return Err(Error::NoSuchRecord { path: path.to_owned(), found, count: records.len() });
        }
    }
    let pair = numbers.map(|number| &records[number - 1]);
    Ok(Comparison {
        numbers,
        times: pair.map(|record| record.time.clone()),
        differences: differences(pair),
        lines: lines(pair),
    })
}

fn last_pair(records: &[Record], path: &Path) -> Result<[usize; 2], Error> {
    let no_pair = |reason| Error::NoPair { path: path.to_owned(), reason };
    let Some((last, earlier)) = records.split_last() else {
        return Err(no_pair("it is empty".to_owned()));
    };
    match earlier.iter().rposition(|record| record.model.sha256 == last.model.sha256) {
        Some(index) => Ok([index + 1, records.len()]),
        None => Err(no_pair(format!("the last one, of `{}`, is the only one of its model", last.model.file))),
    }
}

fn differences(pair: [&Record; 2]) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |property: &str, values: [String; 2]| {
        let [first, second] = values;
        if first != second {
            found.push(format!("{property}: {first} and {second}"));
        }
    };
    let short = |sha256: &str| sha256.chars().take(12).collect::<String>();
    check("model", pair.map(|record| format!("{} ({})", record.model.file, short(&record.model.sha256))));
    check("version", pair.map(|record| record.evol_version.clone()));
    check("platform", pair.map(|record| record.machine.platform.clone()));
    check("processor", pair.map(|r| r.machine.cpu.clone().unwrap_or_else(|| "unknown".to_owned())));
    check("available threads", pair.map(|record| record.machine.available_threads.to_string()));
    check("llama.cpp's instruction sets", pair.map(|record| record.machine.llama_cpp.join(" ")));
    check("determinism", pair.map(|r| r.figures.evolution.determinism.name().to_owned()));
    let mut setting = |name: &str, read: fn(&Settings) -> String| {
        check(name, pair.map(|record| read(&record.settings)));
    };
    setting("number of seed instructions", |s| s.seeds.to_string());
    setting("rounds", |s| s.rounds.to_string());
    setting("seed", |s| s.seed.to_string());
    setting("token limits", |s| format!("{:?}", s.max_tokens));
    setting("batch width", |s| s.batch_width.to_string());
    setting("compute format", |s| s.compute_format.clone());
    setting("GPU layers", |s| s.gpu_layers.to_string());
    setting("threads", |s| s.threads.to_string());
    setting("repeats", |s| s.repeats.to_string());
    found
}

fn lines(pair: [&Record; 2]) -> Vec<Line> {
    let evolution = pair.map(|record| &record.figures.evolution);
    let line = |name: &str, read: fn(&super::Evolution) -> Option<f64>| Line::new(name, evolution.map(read));
    let mut lines = vec![
        line("instructions kept per hour", |e| Some(e.kept_per_hour)),
        line("answers per hour", |e| Some(e.answers_per_hour)),
        line("tokens generated per second", |e| Some(e.tokens_per_second)),
        line("tokens per kept instruction", |e| e.tokens_per_kept),
        line("judgements per second", |e| Some(e.judgements_per_second)),
        line("prefix reuse, share", |e| Some(e.prefix_reuse)),
        line("peak memory, MiB", |e| e.peak_memory_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20))),
        line("wall time of the evolution, s", |e| Some(e.wall_seconds)),
    ];
    let shares = evolution.map(|e| e.shares.named());
    for ((name, first), (_, second)) in shares[0].into_iter().zip(shares[1]) {
        lines.push(Line::new(format!("share of {name}"), [Some(first), Some(second)]));
    }
    let mut widths: Vec<usize> =
        pair.iter().flat_map(|r| r.figures.rates.iter().map(|rate| rate.width)).collect();
    widths.sort_unstable();
    widths.dedup();
    for width in widths {
        let rates = pair.map(|record| record.figures.rates.iter().find(|rate| rate.width == width));
        let prefill = rates.map(|rate| rate.map(|rate| rate.prefill_tokens_per_second));
        let decode = rates.map(|rate| rate.map(|rate| rate.decode_rows_per_second));
        lines.push(Line::new(format!("prefill at width {width}, tokens/s"), prefill));
        lines.push(Line::new(format!("decode at width {width}, rows/s"), decode));
    }
    let cost = pair.map(|record| record.figures.exact.as_ref().map(|exact| exact.cost));
    lines.push(Line::new("cost of `exact`, relative to `scheduled`", cost));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Evolution, Figures, MachineEntry, ModelEntry, Rate, Shares, history};
    use crate::llm::Determinism;

    fn record(sha256: &str, kept_per_hour: f64, widths: &[usize]) -> Record {
        let shares = Shares {
            prefill: 0.2,
            decode: 0.5,
            sampling: 0.0,
            judge: 0.1,
            filters: 0.05,
            store: 0.05,
            other: 0.1,
        };
        let evolution = Evolution {
            determinism: Determinism::Exact,
            attempts: 4,
            kept: 3,
            answers: 7,
            wall_seconds: 10.0,
            generated_tokens: 300,
            prompt_tokens: 200,
            reused_prompt_tokens: 600,
            judgements: 100,
            tokens_per_second: 30.0,
            kept_per_hour,
            answers_per_hour: 2520.0,
            tokens_per_kept: None,
            prefix_reuse: 0.75,
            judgements_per_second: 100.0,
            shares,
            peak_memory_bytes: Some(1 << 28),
        };
        let rate = |&width| Rate { width, prefill_tokens_per_second: 400.0, decode_rows_per_second: 80.0 };
        Record {
            format: history::FORMAT,
            time: "2026-01-02T03:04:05Z".to_owned(),
            evol_version: "0.1.0".to_owned(),
            model: ModelEntry { file: format!("{sha256}.gguf"), sha256: sha256.to_owned() },
            machine: MachineEntry {
                platform: "x86_64 linux".to_owned(),
                cpu: None,
                available_threads: 2,
                llama_cpp: vec!["AVX2".to_owned()],
            },
            settings: Settings { seeds: 4, threads: 2, ..Settings::default() },
            figures: Figures {
                evolution,
                rates: widths.iter().map(rate).collect(),
                exact: None,
                not_exact_because: None,
            },
        }
    }

    #[test]
    fn by_default_the_last_two_records_of_one_model_are_compared() {
        let path = Path::new("h.jsonl");
        let records = [record("a", 10.0, &[1]), record("b", 20.0, &[1]), record("a", 30.0, &[1, 8])];
        let comparison = compare(&records, None, path).unwrap();
        assert_eq!((comparison.numbers, comparison.differences.as_slice()), ([1, 3], &[][..]));
        let line = |name: &str| comparison.lines.iter().find(|line| line.name == name).unwrap();
        assert_eq!(line("instructions kept per hour").ratio, Some(3.0));
        assert_eq!(line("tokens per kept instruction").values, [None, None]);
        assert_eq!(line("decode at width 8, rows/s").values, [None, Some(80.0)]);
        assert_eq!(line("decode at width 8, rows/s").ratio, None);
        let alone = compare(&records[..2], None, path).unwrap_err().to_string();
        assert!(alone.contains("`h.jsonl`") && alone.contains("`b.gguf`"), "{alone}");
        assert!(compare(&[], None, path).unwrap_err().to_string().contains("it is empty"));
    }

    #[test]
    fn missing_numbers_are_refused_and_differences_are_named() {
        let path = Path::new("h.jsonl");
        let mut records = [record("a", 10.0, &[1]), record("b", 20.0, &[1])];
        records[1].settings.threads = 1;
        for asked in [[0, 1], [1, 3]] {
            let refused = compare(&records, Some(asked), path).unwrap_err();
            assert!(matches!(refused, Error::NoSuchRecord { count: 2, .. }), "{refused}");
        }
        let comparison = compare(&records, Some([2, 1]), path).unwrap();
        assert_eq!(comparison.differences, ["model: b.gguf (b) and a.gguf (a)", "threads: 1 and 2"]);
        assert_eq!(comparison.lines[0].ratio, Some(0.5));
    }
}
