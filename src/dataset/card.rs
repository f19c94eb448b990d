//! The data set card: a `README.md` with Hugging Face front matter, provenance and composition.
//!
//! Where in the flow: [`super::export()`] writes it beside the training files.
//!
//! **Invariant:** its text depends only on the data that it describes, not on the clock or the machine.

use super::{Record, Rejected};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The provenance of a data set; `None` means unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Card {
    /// The version of evol that generated it.
    pub evol_version: String,
    /// The evolution profile of the run.
    pub profile: Option<String>,
    /// The name of the model, from its file.
    pub model: Option<String>,
    /// SHA-256 of the model file, in lowercase hex.
    pub model_sha256: Option<String>,
    /// The licence of the model, which may cover its output.
    pub model_licence: Option<String>,
    /// `built-in`, or the name of the seed file.
    pub seeds: Option<String>,
    /// The licence of the seeds.
    pub seeds_licence: Option<String>,
}

/// Hugging Face's size categories: each applies below its number of rows.
const SIZES: [(usize, &str); 6] = [
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (usize::MAX, "n>10M"),
];

impl Card {
    /// Formats the card of an export with these rows as Markdown.
    pub(super) fn text(&self, train: &[Record], validation: &[Record], rejected: &[Rejected]) -> String {
        let mut text = self.front_matter(train.len() + validation.len(), !validation.is_empty());
        text.push_str(
            "\n# Evolved instructions\n\nGenerated offline by `evol` with a local model: seed instructions \
             were evolved, filtered and answered. `evol check` re-runs every check that needs no model on \
             these files.\n",
        );
        let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
        let rows = [
            ("evol version", self.evol_version.clone()),
            ("profile", or_unknown(&self.profile)),
            ("model", or_unknown(&self.model)),
            ("SHA-256 of the model file", or_unknown(&self.model_sha256)),
            ("model licence", or_unknown(&self.model_licence)),
            ("seeds", or_unknown(&self.seeds)),
            ("seed licence", or_unknown(&self.seeds_licence)),
        ];
        text.push_str("\n## Provenance\n\n| | |\n|---|---|\n");
        for (name, value) in rows {
            let _ = writeln!(text, "| {name} | {} |", value.replace('|', "\\|").replace('\n', " "));
        }
        text.push_str(
            "\nBoth licences may apply to this data: it contains the seeds, and the rest is model output.\n",
        );
        text.push_str(&composition(train, validation, rejected));
        text.push_str(COLUMNS);
        text
    }

    fn front_matter(&self, rows: usize, has_validation: bool) -> String {
        let size = SIZES.iter().find(|(limit, _)| rows < *limit).map_or("n>10M", |(_, name)| name);
        // Hugging Face takes a single licence. Unless both are the same, refer the reader to the table.
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

/// Formats the composition: rows by round and operator, and rejected rows by reason.
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
    let mut text = "\n## Composition\n\n\
                    | round | operator | train | validation | with checked constraints |\n\
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
        text.push_str("\nEliminated rows in `rejected.jsonl`:\n\n| reason | rows |\n|---|---|\n");
        for (reason, count) in reasons {
            let _ = writeln!(text, "| {reason} | {count} |");
        }
    }
    text
}

const COLUMNS: &str = "
## Columns

Besides its texts, every row has the same columns; a value that is not known is null.

| column | meaning |
|---|---|
| `input` | the part of the user's turn that the instruction works on; may be empty |
| `id` | the row |
| `parent_id` | the instruction that it was evolved from; null for seeds |
| `root_id` | the seed that it descends from |
| `round` | the evolution round; 0 for seeds |
| `attempt` | the attempt within the round |
| `operator` | the evolution operator; null for seeds |
| `skill` | the skill that it exercises |
| `difficulty` | from 1 to 10 |
| `harder` | the probability that it is harder than its parent, from a calibrated judge |
| `constraints` | the constraints that its answer was checked against, as a JSON string |
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
        assert!(text.contains("| model licence | llama3 |") && !text.contains("validation.jsonl\n---"));
        assert!(text.contains("- n<1K") && text.contains("| 0 | (seeds) | 1 | 0 | 0 |"), "{text}");
        let (front, _) = text.trim_start_matches("---\n").split_once("---\n").unwrap();
        assert!(
            front.lines().all(|line| line.contains(": ") || line.ends_with(':') || line.starts_with("- ")),
            "{front}"
        );
    }
}
