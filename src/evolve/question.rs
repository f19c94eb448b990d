//! Questions with two labels about a task, and how well a model answers them.
//!
//! In the flow: outside runs, for choosing the wording of a judge's question: `cli` asks labelled tasks and
//! shows the area under the curve.
//!
//! **Invariant:** the margin of a task is a function of the model, the wording and the task.

use super::judge::{draw_line, label_margin, question};
use super::prompt::{PromptError, PromptFile, Slot};
use super::{Calibration, Error, JudgeConfig, TaskText};
use crate::dataset::user_turn;
use crate::llm::Generate;
use serde::{Deserialize, Serialize};

/// A task, or a parent and its child, with the right answer to a question about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelledTask {
    /// The parent, for questions about a pair.
    #[serde(default)]
    pub parent: Option<TaskText>,
    /// The task that the question is about.
    #[serde(alias = "task")]
    pub child: TaskText,
    /// Whether the first label is right.
    pub label: bool,
    /// What makes it so.
    pub kind: String,
}

/// A question in words: a prompt file with two labels.
#[derive(Debug, Clone)]
pub struct QuestionWording {
    prompt: PromptFile,
}

impl QuestionWording {
    /// The wording in the text of a prompt file.
    ///
    /// # Errors
    /// The text is no prompt file, or has not two labels.
    pub fn parse(source: &str) -> Result<Self, PromptError> {
        let prompt = PromptFile::parse(source)?;
        if prompt.labels.len() != 2 {
            return Err(PromptError { line: 1, problem: "a question needs two `labels`".to_owned() });
        }
        let about_a_pair = [Slot::First, Slot::Input];
        prompt
            .check_slots(Slot::Instruction, &[Slot::Input])
            .or_else(|_| prompt.check_slots(Slot::Second, &about_a_pair))?;
        Ok(Self { prompt })
    }

    /// For each task, by how many nats the first label is likelier than the second; `None` where the prompt
    /// does not fit the context.
    ///
    /// # Errors
    /// [`Error::Llm`], [`Error::NoChatTemplate`].
    pub fn ask(&self, model: &mut dyn Generate, tasks: &[LabelledTask]) -> Result<Vec<Option<f64>>, Error> {
        let whole = |task: &TaskText| user_turn(&task.instruction, &task.input);
        let mut questions = Vec::with_capacity(tasks.len());
        for (at, task) in tasks.iter().enumerate() {
            let value = |slot| match slot {
                Slot::First => task.parent.as_ref().map(whole).unwrap_or_default(),
                Slot::Input => task.child.input.clone(),
                Slot::Second | Slot::Instruction => whole(&task.child),
                Slot::Start => unreachable!("checked when it was parsed"),
            };
            questions.push(question(model, &self.prompt, at, value)?);
        }
        Ok(model.score(&questions)?.iter().map(label_margin).collect())
    }
}

/// How well margins tell the labels apart: as if the judge were to find the tasks of the second label, at the
/// price of a share of those of the first.
pub fn calibration_of(tasks: &[LabelledTask], margins: &[Option<f64>], config: JudgeConfig) -> Calibration {
    let of = |label: bool| -> Vec<f64> {
        let both = tasks.iter().zip(margins).filter(|(task, _)| task.label == label);
        both.filter_map(|(_, margin)| margin.map(|margin| -margin)).collect()
    };
    draw_line(&of(false), &of(true), config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evolve::Wording;

    fn task(label: bool) -> LabelledTask {
        let child = TaskText { instruction: "Name a river.".to_owned(), input: String::new() };
        LabelledTask { parent: None, child, label, kind: String::new() }
    }

    #[test]
    fn the_line_loses_a_twentieth_of_the_good_tasks() {
        // Good tasks have the margins 0 to 19, bad ones -1, 0.5 and 5; one is too long to be asked about.
        let mut tasks: Vec<LabelledTask> = (0..20).map(|_| task(true)).collect();
        let mut margins: Vec<Option<f64>> = (0..20).map(|n| Some(f64::from(n))).collect();
        tasks.extend([false, false, false, false].map(task));
        margins.extend([Some(-1.0), Some(0.5), Some(5.0), None]);
        let found = calibration_of(&tasks, &margins, JudgeConfig::default());
        assert_eq!((found.pairs, found.false_elimination.to_bits()), (23, 0.05_f64.to_bits()));
        // Margins below 1 are rejected: one good task, and two of three bad ones.
        assert!((found.threshold + 1.0).abs() <= 1e-12, "{found:?}");
        assert!((found.true_elimination - 2.0 / 3.0).abs() <= 1e-12, "{found:?}");
        // Of 60 pairs 20, 19 and 14 and a half are in order.
        assert!((found.auc - 53.5 / 60.0).abs() <= 1e-12, "{found:?}");
    }

    #[test]
    fn a_question_needs_two_labels() {
        assert!(QuestionWording::parse("--- user\n{{instruction}}").is_err());
        assert!(QuestionWording::parse("labels: [[\"yes\"], [\"no\"]]\n--- user\nWell?").is_err());
        let start = "labels: [[\"yes\"], [\"no\"]]\n--- user\n{{instruction}}{{start}}";
        assert!(QuestionWording::parse(start).is_err());
        let two = "labels: [[\"yes\"], [\"no\"]]\n--- user\n{{instruction}}";
        assert!(QuestionWording::parse(two).is_ok());
    }

    /// The files for people who fit a new model: all can be used.
    #[test]
    fn the_files_under_benches_are_prompts_questions_and_labelled_tasks() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/prompts");
        let files = |folder: &str| -> Vec<String> {
            let entries = std::fs::read_dir(root.join(folder)).unwrap();
            entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
        };
        for operator in crate::evolve::Operator::rewriting() {
            let wordings = files(&format!("chat/{}", operator.name()));
            assert!(wordings.len() >= 6, "{} has {}", operator.name(), wordings.len());
            assert!(wordings.iter().all(|source| Wording::parse(operator, "", source).is_ok()));
        }
        assert!(files("questions").iter().all(|source| QuestionWording::parse(source).is_ok()));
        for text in files("labelled") {
            let tasks: Vec<LabelledTask> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let yes = tasks.iter().filter(|task| task.label).count();
            assert!(tasks.len() >= 60 && yes.abs_diff(tasks.len() - yes) <= 2, "{yes} of {}", tasks.len());
        }
    }

    /// A child that a person has read.
    #[derive(Deserialize)]
    struct Read {
        operator: String,
        wording: String,
        reason: Option<String>,
        generated_tokens: usize,
        good: bool,
    }

    /// `docs/evolution.md` says of wordings what the children that were read say.
    #[test]
    fn the_table_of_wordings_is_counted_from_children_that_were_read() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(root.join("benches/prompts/read.jsonl")).unwrap();
        let doc = std::fs::read_to_string(root.join("docs/evolution.md")).unwrap();
        let mut counts = std::collections::BTreeMap::<(String, String), [usize; 4]>::new();
        for line in text.lines() {
            let read: Read = serde_json::from_str(line).unwrap();
            assert!(!read.good || read.reason.is_none(), "{line}");
            let count = counts.entry((read.operator, read.wording)).or_default();
            let adds = [1, usize::from(read.reason.is_none()), usize::from(read.good), read.generated_tokens];
            count.iter_mut().zip(adds).for_each(|(sum, add)| *sum += add);
        }
        assert!(counts.len() >= 12);
        for ((operator, wording), [all, passed, good, tokens]) in counts {
            let tokens = (tokens as f64 / all as f64).round();
            let row = format!("| `{operator}` | `{wording}` | {all} | {passed} | {good} | {tokens} |");
            assert!(doc.contains(&row), "docs/evolution.md lacks {row}");
        }
    }
}
