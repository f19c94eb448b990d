//! Questions with two labels about a task, and how well a model answers them.
//!
//! In the flow: outside runs, for choosing the wording of a judge's question: `cli` asks labelled tasks and
//! shows the area under the curve.
//!
//! **Invariant:** the margin of a task is a function of the model, the wording and the task.

use super::judge::{auc, label_margin, question};
use super::prompt::{PromptError, PromptFile, Slot};
use super::{Error, TaskText};
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
        if prompt.labels.len() == 2 {
            return Ok(Self { prompt });
        }
        Err(PromptError { line: 1, problem: "a question needs two `labels`".to_owned() })
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
                Slot::Start => String::new(),
                Slot::Second | Slot::Instruction => whole(&task.child),
            };
            questions.push(question(model, &self.prompt, at, value)?);
        }
        Ok(model.score(&questions)?.iter().map(label_margin).collect())
    }
}

/// How well margins tell the labels apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Separation {
    /// The probability that a task of the first label has the larger margin; 0.5 is chance.
    pub auc: f64,
    /// Share of the tasks of the second label that are rejected when a twentieth of those of the first are.
    pub found: f64,
    /// The margin below which that is.
    pub threshold: f64,
}

/// Share of good tasks that may be lost.
const ACCEPTED_LOSS: f64 = 0.05;

/// The separation of labelled tasks by their margins.
pub fn separation(tasks: &[LabelledTask], margins: &[Option<f64>]) -> Separation {
    let of = |label: bool| -> Vec<f64> {
        let both = tasks.iter().zip(margins);
        both.filter(|(task, _)| task.label == label).filter_map(|(_, margin)| *margin).collect()
    };
    let (mut good, bad) = (of(true), of(false));
    good.sort_by(f64::total_cmp);
    let threshold = good.get((good.len() as f64 * ACCEPTED_LOSS) as usize).copied().unwrap_or(f64::MIN);
    let found = bad.iter().filter(|margin| **margin < threshold).count() as f64 / bad.len().max(1) as f64;
    Separation { auc: auc(&good, &bad), found, threshold }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(label: bool) -> LabelledTask {
        let child = TaskText { instruction: "Name a river.".to_owned(), input: String::new() };
        LabelledTask { parent: None, child, label, kind: String::new() }
    }

    #[test]
    fn the_threshold_loses_a_twentieth_of_the_good_tasks() {
        // Good tasks have the margins 0 to 19, bad ones -1, 0.5 and 5; one is too long to be asked about.
        let mut tasks: Vec<LabelledTask> = (0..20).map(|_| task(true)).collect();
        let mut margins: Vec<Option<f64>> = (0..20).map(|n| Some(f64::from(n))).collect();
        tasks.extend([false, false, false, false].map(task));
        margins.extend([Some(-1.0), Some(0.5), Some(5.0), None]);
        let Separation { auc, found, threshold } = separation(&tasks, &margins);
        assert!((threshold - 1.0).abs() <= 1e-12 && (found - 2.0 / 3.0).abs() <= 1e-12);
        // Of 60 pairs 20, 19 and 14 and a half are in order.
        assert!((auc - 53.5 / 60.0).abs() <= 1e-12, "{auc}");
    }

    #[test]
    fn a_question_needs_two_labels() {
        assert!(QuestionWording::parse("--- user\n{{instruction}}").is_err());
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
            assert!(wordings.iter().all(|source| PromptFile::parse(source).is_ok()));
        }
        assert!(files("questions").iter().all(|source| QuestionWording::parse(source).is_ok()));
        for text in files("labelled") {
            let tasks: Vec<LabelledTask> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let yes = tasks.iter().filter(|task| task.label).count();
            assert!(tasks.len() >= 60 && yes.abs_diff(tasks.len() - yes) <= 2, "{yes} of {}", tasks.len());
        }
    }
}
