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
