//! The card of a data set: `README.md` in the form that Hugging Face reads, with what the data was made from.
//!
//! Where in the flow: written beside the files of an export.
//!
//! **Invariant:** a function of what it describes: no clock, no machine.

use super::{Record, Rejected};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is known about where a data set comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Card {
    /// Version of the program.
    pub evol_version: String,
    /// Profile of the run.
    pub profile: Option<String>,
    /// The model's name, where its file says one.
    pub model: Option<String>,
    /// Lowercase hex SHA-256 of its file.
    pub model_sha256: Option<String>,
    /// Its licence, which may bind what it writes.
    pub model_licence: Option<String>,
    /// `built-in`, or a file.
    pub seeds: Option<String>,
    /// Their licence.
    pub seeds_licence: Option<String>,
}

/// Hugging Face's bins of the number of rows.
const SIZES: [(usize, &str); 6] = [
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (usize::MAX, "n>10M"),
];

impl Card {
    /// The card of an export with these rows.
    pub(super) fn text(&self, train: &[Record], validation: &[Record], rejected: &[Rejected]) -> String {
        let mut text = self.front_matter(train.len() + validation.len(), !validation.is_empty());
        text.push_str(
            "\n# Evolved instructions\n\nMade by `evol`, offline, with a local model: seed instructions were evolved, \
             filtered and answered. `evol check` repeats every check on these files.\n",
        );
        let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "not known".to_owned());
        let rows = [
            ("evol", self.evol_version.clone()),
            ("profile", known(&self.profile)),
            ("model", known(&self.model)),
            ("model, SHA-256 of the file", known(&self.model_sha256)),
            ("licence of the model", known(&self.model_licence)),
            ("seeds", known(&self.seeds)),
            ("licence of the seeds", known(&self.seeds_licence)),
        ];
        text.push_str("\n## Where it comes from\n\n| | |\n|---|---|\n");
        for (what, value) in rows {
            let _ = writeln!(text, "| {what} | {} |", value.replace('|', "\\|").replace('\n', " "));
        }
        text.push_str(
            "\nBoth licences may bind you: that of the seeds, which are part of the data, and that of the model, whose \
             output it is.\n",
        );
        text.push_str(&composition(train, validation, rejected));
        text.push_str(COLUMNS);
        text
    }

    fn front_matter(&self, rows: usize, has_validation: bool) -> String {
        let size = SIZES.iter().find(|(limit, _)| rows < *limit).map_or("n>10M", |(_, name)| name);
        // One licence can be named where both are the same; else a reader must look.
        let same = self.model_licence.is_some() && self.model_licence == self.seeds_licence;
        let licence = self.model_licence.as_deref().filter(|_| same).unwrap_or("other").to_lowercase();
        let mut text = format!("---\nlicense: {licence}\n");
        if licence == "other" {
            text.push_str("license_name: see-below\n");
        }
        text.push_str("task_categories:\n- text-generation\n");
        let _ = writeln!(text, "size_categories:\n- {size}");
        text.push_str(
            "tags:\n- synthetic\n- instruction-tuning\n- evol-instruct\nconfigs:\n- config_name: default\n",
        );
        text.push_str("  data_files:\n  - split: train\n    path: train.jsonl\n");
        if has_validation {
            text.push_str("  - split: validation\n    path: validation.jsonl\n");
        }
        text + "---\n"
    }
}

/// Rows by round and operator, rejected ones by reason.
fn composition(train: &[Record], validation: &[Record], rejected: &[Rejected]) -> String {
    let mut groups: BTreeMap<(u32, &str), [usize; 3]> = BTreeMap::new();
    for (column, records) in [train, validation].into_iter().enumerate() {
        for record in records {
            let operator = record.operator.as_deref().unwrap_or("(seeds)");
            let counts = groups.entry((record.round, operator)).or_default();
            counts[column] += 1;
            counts[2] += usize::from(!record.constraints.is_empty());
        }
    }
    let mut text =
        "\n## What is in it\n\n| round | operator | train | validation | with checked constraints |\n\
                    |---|---|---|---|---|\n"
            .to_owned();
    for ((round, operator), [train, validation, constrained]) in groups {
        let _ = writeln!(text, "| {round} | {operator} | {train} | {validation} | {constrained} |");
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rejected {
        *reasons.entry(row.reason.as_str()).or_default() += 1;
    }
    if !reasons.is_empty() {
        text.push_str(
            "\n`rejected.jsonl` has what was eliminated, by reason:\n\n| reason | rows |\n|---|---|\n",
        );
        for (reason, count) in reasons {
            let _ = writeln!(text, "| {reason} | {count} |");
        }
    }
    text
}

const COLUMNS: &str = "
## Columns

Besides the texts, every row has its lineage: `id`; `parent_id`, what it was evolved from; `root_id`, its seed; `round`,
0 for seeds; `attempt`; `operator`; `skill` and `difficulty` (1 to 10), where known; `harder`, the probability that it is
harder than its parent, where a judge that passed its calibration said so; `constraints`, what its answer was checked
for, as JSON. `input` is the part of the user's turn that is material.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_matter_names_a_licence_only_if_it_is_the_same() {
        let card = |model: &str, seeds: &str| Card {
            model_licence: Some(model.to_owned()),
            seeds_licence: Some(seeds.to_owned()),
            ..Card::default()
        };
        assert!(
            card("Apache-2.0", "Apache-2.0")
                .text(&[], &[], &[])
                .starts_with("---\nlicense: apache-2.0\ntask")
        );
        let text = card("llama3", "Apache-2.0").text(&[Record::empty(1)], &[], &[]);
        assert!(text.starts_with("---\nlicense: other\nlicense_name: see-below\n"), "{text}");
        assert!(
            text.contains("| licence of the model | llama3 |") && !text.contains("validation.jsonl\n---")
        );
        assert!(text.contains("- n<1K") && text.contains("| 0 | (seeds) | 1 | 0 | 0 |"), "{text}");
        let (front, _) = text.trim_start_matches("---\n").split_once("---\n").unwrap();
        assert!(
            front.lines().all(|line| line.contains(": ") || line.ends_with(':') || line.starts_with("- ")),
            "{front}"
        );
    }
}
