//! The prompt files and word lists that are embedded in the binary, by style and purpose.
//!
//! In the flow: `requests` renders the prompts, `eliminate` and `guard` read the word lists, `identity`
//! binds a run to the hash. The prompts of operators are named in the operators' own table.
//!
//! All wording and all examples are this project's own.
//!
//! **Invariant:** every byte that is embedded here is part of [`hash`].

use super::prompt::PromptFile;
use super::{Operator, Style};

/// An embedded file.
struct File {
    /// Below `prompts/`.
    path: String,
    content: &'static str,
}

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("prompts/", $path)))),*]
    };
}

/// Path and content of the files that belong to no operator.
const SHARED: &[(&str, &str)] = files![
    "asks_back.txt",
    "boilerplate.txt",
    "chat/answer.txt",
    "chat/answer_brief.txt",
    "chat/difficulty.txt",
    "chat/harder.txt",
    "chat/judge.txt",
    "completion/answer.txt",
    "completion/answer_brief.txt",
    "completion/difficulty.txt",
    "completion/harder.txt",
    "completion/judge.txt",
    "imperatives.txt",
    "judge_pairs.jsonl",
    "personal.txt",
    "scaffold.txt",
    "stop_words.txt",
];

/// Every embedded file, by path.
fn files() -> Vec<File> {
    let shared = SHARED.iter().map(|(path, content)| File { path: (*path).to_owned(), content });
    let of_operators = Operator::rewriting().flat_map(|operator| {
        [Style::Chat, Style::Completion].map(|style| File {
            path: format!("{}/{}.txt", style.name(), operator.name()),
            content: source(operator, style).unwrap_or_default(),
        })
    });
    let mut files: Vec<File> = shared.chain(of_operators).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn file(path: &str) -> &'static str {
    let found = SHARED.iter().find(|(name, _)| *name == path);
    found.unwrap_or_else(|| panic!("no file `{path}` is embedded")).1
}

/// The prompt file of an operator; `None` if the model does not rewrite.
fn source(operator: Operator, style: Style) -> Option<&'static str> {
    let prompts = operator.prompts()?;
    Some(if style == Style::Chat { prompts.chat } else { prompts.completion })
}

/// The prompts of one run.
#[derive(Debug, Clone)]
pub(super) struct Prompts {
    rewriting: Vec<(Operator, PromptFile)>,
    /// The prompt for answers.
    pub(super) answer: PromptFile,
}

/// The prompts of a judge.
#[derive(Debug, Clone)]
pub(super) struct JudgePrompts {
    /// Rule 1: whether two tasks are the same.
    pub(super) same: PromptFile,
    /// How hard a task is, in digits.
    pub(super) difficulty: PromptFile,
    /// Which of two tasks is harder.
    pub(super) harder: PromptFile,
}

impl JudgePrompts {
    /// `style` is resolved.
    pub(super) fn new(style: Style) -> Self {
        let load = |stem| load(style, stem);
        Self { same: load("judge"), difficulty: load("difficulty"), harder: load("harder") }
    }
}

fn load(style: Style, stem: &str) -> PromptFile {
    let path = format!("{}/{stem}.txt", style.name());
    PromptFile::embedded(&path, file(&path))
}

impl Prompts {
    /// `style` is resolved. Answers come through the chat template whenever the model has one: that is how
    /// it was taught to answer, and how it is used after training.
    pub(super) fn new(style: Style, has_chat_template: bool) -> Self {
        let answer_style = if has_chat_template { Style::Chat } else { Style::Completion };
        let parse = |operator: Operator| {
            Some((operator, PromptFile::embedded(operator.name(), source(operator, style)?)))
        };
        Self {
            rewriting: Operator::ALL.into_iter().filter_map(parse).collect(),
            answer: load(answer_style, "answer"),
        }
    }

    /// The operators that have the model rewrite, each with its prompt.
    pub(super) fn rewriting(&self) -> impl Iterator<Item = (Operator, &PromptFile)> {
        self.rewriting.iter().map(|(operator, prompt)| (*operator, prompt))
    }

    /// The prompt of an operator; `None` if the model does not rewrite.
    pub(super) fn operator(&self, operator: Operator) -> Option<&PromptFile> {
        self.rewriting().find(|(other, _)| *other == operator).map(|(_, prompt)| prompt)
    }
}

/// The prompt for an answer in at most about `words` words, in the style of [`Prompts::answer`].
pub(super) fn brief_answer(has_chat_template: bool, words: usize) -> PromptFile {
    let style = if has_chat_template { Style::Chat } else { Style::Completion };
    let path = format!("{}/answer_brief.txt", style.name());
    // No slot: the number is the same for all requests of a run, so it may stand in what they share.
    PromptFile::embedded(&path, &file(&path).replace("{{words}}", &words.to_string()))
}

/// Two tasks, and whether they ask for the same.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LabelledPair {
    pub(super) first: String,
    pub(super) second: String,
    pub(super) same: bool,
    /// What makes them the same, or different.
    pub(super) kind: String,
}

/// The pairs that the judge is calibrated on.
pub(super) fn judge_pairs() -> Vec<LabelledPair> {
    let parse = |line| serde_json::from_str(line).expect("the embedded pairs are valid");
    file("judge_pairs.jsonl").lines().map(parse).collect()
}

/// Rule 4: phrases, in lower case.
pub(super) fn scaffold_phrases() -> Vec<String> {
    entries("scaffold.txt").map(str::to_lowercase).collect()
}

/// Verbs that requests start with.
pub(super) fn imperatives() -> std::collections::HashSet<&'static str> {
    entries("imperatives.txt").flat_map(str::split_whitespace).collect()
}

/// Phrases with which models talk about themselves or refuse.
pub(super) fn boilerplate() -> Vec<&'static str> {
    entries("boilerplate.txt").collect()
}

/// Phrases that ask about the reader's life.
pub(super) fn personal() -> Vec<&'static str> {
    entries("personal.txt").collect()
}

/// Phrases that ask for what a task lacks.
pub(super) fn asks_back() -> Vec<&'static str> {
    entries("asks_back.txt").collect()
}

/// Rule 3: words, in lower case.
pub(super) fn stop_words() -> std::collections::HashSet<&'static str> {
    entries("stop_words.txt").flat_map(str::split_whitespace).collect()
}

fn entries(path: &str) -> impl Iterator<Item = &'static str> {
    file(path).lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

/// BLAKE3 over every embedded file, 32 hexadecimal digits.
pub(super) fn hash() -> String {
    let mut hasher = blake3::Hasher::new();
    for File { path, content } in files() {
        for text in [path.as_str(), content] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evolve::prompt::Slot;
    use crate::evolve::scripted::Scripted;

    /// Every file of `prompts/` is embedded: one that is not would be edited without effect.
    #[test]
    fn every_prompt_file_is_embedded() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/evolve/prompts");
        let mut on_disk = Vec::new();
        for entry in std::fs::read_dir(&root).unwrap() {
            let path = entry.unwrap().path();
            let below: Vec<_> = if path.is_dir() {
                std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect()
            } else {
                vec![path]
            };
            on_disk.extend(below.iter().map(|p| p.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()));
        }
        on_disk.sort();
        assert_eq!(on_disk, files().into_iter().map(|file| file.path).collect::<Vec<_>>());
    }

    #[test]
    fn every_prompt_shows_the_task_once_after_what_is_shared_and_takes_it_as_text() {
        let model = Scripted::new(0, 0.0);
        let task = "Name {{input}} and {{first}}.";
        for style in [Style::Chat, Style::Completion] {
            let prompts = Prompts::new(style, style == Style::Chat);
            let judge = JudgePrompts::new(style);
            let judges = [&judge.same, &judge.difficulty, &judge.harder];
            let rewriting = prompts.rewriting().map(|(_, file)| file);
            for file in rewriting.chain([&prompts.answer]).chain(judges) {
                let value = |slot| match slot {
                    Slot::Input | Slot::Start => String::new(),
                    Slot::Instruction | Slot::First | Slot::Second => task.to_owned(),
                };
                let prompt = file.render(&model, value).unwrap().unwrap();
                let (shared, own) = prompt.parts.split_at(prompt.shared);
                assert!(shared.iter().all(|part| !part.text.contains(task)));
                let own: String = own.iter().map(|part| part.text.as_str()).collect();
                // Two labels are about two tasks.
                let tasks = if file.labels.len() == 2 { 2 } else { 1 };
                assert_eq!(own.matches(task).count(), tasks, "{own}");
                assert!(!own.ends_with(' '), "a space at the end is no token that a model has learnt");
            }
            assert_eq!(judges.map(|file| file.labels.len()), [2, 10, 2]);
        }
    }

    #[test]
    fn scaffold_phrases_are_none_of_the_words_of_honest_tasks() {
        let phrases = scaffold_phrases();
        assert!(phrases.iter().any(|phrase| phrase == "rewritten prompt"));
        for seed in crate::dataset::builtin_seeds() {
            let text = crate::dataset::user_turn(&seed.instruction, &seed.input).to_lowercase();
            for phrase in &phrases {
                assert!(!crate::evolve::text::has_phrase(&text, phrase), "`{phrase}` in {text:?}");
            }
        }
    }
}
