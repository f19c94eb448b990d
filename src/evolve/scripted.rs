//! A generator that follows a script instead of a model: for tests of the rounds.
//!
//! **Invariant:** a result depends on the script's seed and on the *whole* list that was given, so that a run
//! which cuts its lists differently after a resume gets other texts, and is found out; unless it is to be as
//! a model at `exact`, whose results depend on the request alone.

use super::library;
use crate::llm::{
    Answer, Completion, Error, FinishReason, Generate, Message, Part, Prompt, Question, Request,
};
use crate::rng;
use rand::RngExt;
use std::collections::HashMap;

/// The faults that the paper's rules find, each in about the share of `fault_rate / 9` of all generations.
const FAULTS: u32 = 9;
/// Faults, with those that guards find.
const ALL_FAULTS: u32 = 24;
/// Marks every text that must not be kept, unless the text is a copy.
pub(super) const BAD: &str = "zqbad";
/// The fault of a completion that is cut off.
pub(super) const CUT: u32 = 0;
/// The fault of an empty completion.
pub(super) const NOTHING: u32 = 2;

/// The generator; see the header of this file.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a script, each of its own")]
pub(super) struct Scripted {
    pub(super) seed: u64,
    /// Share of generations that go wrong.
    pub(super) fault_rate: f64,
    /// The fault, if it is always the same.
    pub(super) only_fault: Option<u32>,
    /// Whether only answers go wrong.
    pub(super) only_answers: bool,
    /// Whether the faults that guards find are among them, and good children are good by the guards.
    pub(super) has_all_faults: bool,
    /// Whether the judge tells labelled pairs apart.
    pub(super) judges_well: bool,
    /// Whether there is a chat template.
    pub(super) has_template: bool,
    /// Whether a result depends on its request alone.
    pub(super) is_exact: bool,
    /// Tokens of its context.
    pub(super) context: usize,
    /// The call (counted from 1) that is interrupted.
    pub(super) interrupt_at: Option<usize>,
    /// Calls so far.
    pub(super) calls: usize,
    /// Ids of all requests so far.
    pub(super) requested: Vec<u64>,
    /// Questions so far.
    pub(super) scored: usize,
    /// Labelled pairs, and whether they are the same.
    pub(super) labels: HashMap<(String, String), bool>,
}

impl Scripted {
    pub(super) fn new(seed: u64, fault_rate: f64) -> Self {
        Self {
            seed,
            fault_rate,
            only_fault: None,
            only_answers: false,
            has_all_faults: false,
            judges_well: true,
            has_template: true,
            is_exact: false,
            context: 2048,
            interrupt_at: None,
            calls: 0,
            requested: Vec::new(),
            scored: 0,
            labels: library::judge_pairs()
                .into_iter()
                .flat_map(|p| [((p.first.clone(), p.second.clone()), p.same), ((p.second, p.first), p.same)])
                .collect(),
        }
    }

    fn call(&mut self) -> Result<(), Error> {
        self.calls += 1;
        if self.interrupt_at == Some(self.calls) { Err(Error::Interrupted) } else { Ok(()) }
    }

    fn complete(&self, request: &Request, list: u64) -> Completion {
        let of_list = if self.is_exact { u64::from(request.sample) } else { list };
        let mut draw = rng::stream(self.seed, "scripted", &[request.key, of_list]);
        let prompt: String = request.prompt.parts.iter().map(|part| part.text.as_str()).collect();
        let is_answer = prompt.starts_with("<system>");
        let wrong = draw.random::<f64>() < self.fault_rate && (is_answer || !self.only_answers);
        let faults = if self.has_all_faults { ALL_FAULTS } else { FAULTS };
        let drawn = draw.random_range(0..faults);
        let fault = if wrong { self.only_fault.unwrap_or(drawn) } else { u32::MAX };
        let number: u64 = draw.random_range(0..1_000_000_000);
        let parent = parent_in(&prompt);
        let good = match (self.has_all_faults, is_answer) {
            (false, _) => format!("Do this with {number} in mind, and say why.\nData:\n{number},1\n"),
            (true, true) => good_answer(number, draw.random_range(0..4)),
            (true, false) if prompt.contains("same field") => {
                format!("Which bridges of town {number} were built of stone and why?")
            }
            (true, false) => {
                let parent = parent.trim_end_matches('.');
                format!("{parent}, and compare it with case {number} in two paragraphs.\nData:\n{number},1\n")
            }
        };
        let place = match prompt.rsplit_once("<user>") {
            Some((_, task)) if is_answer => Place::Answer(task),
            _ if prompt.contains("same field") => Place::Breadth,
            _ => Place::Depth,
        };
        let (text, finish_reason) = match fault {
            CUT => (format!("{good} {BAD}"), FinishReason::Length),
            1 => (String::new(), FinishReason::PromptTooLong),
            NOTHING => (" \n ".to_owned(), FinishReason::EndOfText),
            3 => (" . the, and ...".to_owned(), FinishReason::Stop),
            4 => (parent, FinishReason::Stop),
            // An answer may say that.
            5 if is_answer => (format!("As said in the given prompt: {number} rivers."), FinishReason::Stop),
            5 => (format!("As said in the given prompt: {BAD} {number}"), FinishReason::Stop),
            6 => (format!("Broken {BAD} \u{FFFD} {number}"), FinishReason::Stop),
            7 => (format!("I am sorry, {number} is too hard for me. {BAD}"), FinishReason::EndOfText),
            8 => ("Always the same thing again".to_owned(), FinishReason::Stop),
            9..ALL_FAULTS => (fault_of_guards(fault, &parent, &good, number, place), FinishReason::Stop),
            _ => (good, FinishReason::Stop),
        };
        Completion {
            id: request.id,
            text,
            prompt_tokens: prompt.len() / 4,
            completion_tokens: draw.random_range(1..100),
            finish_reason,
        }
    }
}

/// An answer that passes the guards, and meets constraints of one kind or another.
fn good_answer(number: u64, form: u32) -> String {
    match form {
        0 => format!("Rivers of region {number} flow north, because the plateau tilts that way."),
        1 => format!("- stone bridge {number}\n- iron gate\n- wooden tower\n\nThat is all."),
        2 => format!(
            "Here is my answer: *{number}* matters most.\n\nIt was built slowly. People often change \
             it later."
        ),
        _ => format!("first, the old town has {number} wells; many of them are dry today and some are deep"),
    }
}

/// What kind of text is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place<'t> {
    Depth,
    Breadth,
    /// To this task.
    Answer(&'t str),
}

/// A text with a fault that guards find, in the order of their table, or a copy across lineages.
fn fault_of_guards(fault: u32, parent: &str, good: &str, number: u64, place: Place<'_>) -> String {
    let stem = parent.trim_end_matches('.');
    let in_breadth = place == Place::Breadth;
    if let Place::Answer(task) = place {
        return match fault {
            9 => format!("As an AI language model I have no {BAD} {number}."),
            10 => format!("Please provide the text {number}. {BAD}"),
            11 => format!("{BAD} goes round and round and round {number}. ").repeat(9),
            12 if task.contains("rivers") => {
                format!("Der Fluss {number} fließt nach Norden, weil die Ebene sich dorthin neigt, {BAD}.")
            }
            13 => format!("Sure! What do you mean by {BAD} {number}?"),
            // The task again.
            14 => task.to_owned(),
            _ => good.to_owned(),
        };
    }
    // What is wrong with a harder version may be right with another task.
    let bad = if in_breadth { "" } else { BAD };
    match fault {
        9 => format!("{stem} with {number} steps {BAD}, though I do not have access to them."),
        10 => format!("{stem} and {BAD} and {BAD} and {BAD} and {BAD} and {BAD} {number}."),
        11 => format!("The {BAD} of {number} is a long and quiet thing that nobody has seen."),
        12 => format!("{stem} with {number} steps. Answer: it is {BAD}."),
        13 => format!("{stem} {BAD}."),
        14 if in_breadth => format!("{stem} quickly {number}"),
        14 => format!("Do with {number} {bad} whatever the weather wants in winter."),
        15 => format!("Write about the weather of {bad} {number} in deep winter, with snow."),
        16 => format!(
            "{stem}: {bad} {}",
            (0..80).map(|n| format!("{number}w{n}")).collect::<Vec<_>>().join(" ")
        ),
        17 => format!("Correct the following paragraph {BAD} number {number} and explain changes."),
        18 => format!("{stem} in at least 90 words and at most 20 words, {BAD} {number}."),
        19 => {
            format!("Écris un poème {bad} sur la mer en hiver avec des rimes, et explique le choix {number}.")
        }
        // The same task in all lineages but for a letter.
        20 => format!(
            "Explain in full how the great bridges of stone near the old harbour were built by hand {}",
            number % 7
        ),
        22 => format!("{stem} and say how {number} makes you feel, {BAD}."),
        21 => format!("Name the capital {BAD} of {number}? It is a city."),
        _ => parent.to_owned(),
    }
}

/// The last task that a completion prompt shows: the line before its last, after the label.
fn parent_in(prompt: &str) -> String {
    let task = prompt.lines().rev().nth(1).and_then(|line| line.split_once(": "));
    task.map_or("", |(_label, task)| task).to_owned()
}

/// The two tasks of a judge's question.
fn pair_in(question: &Question) -> Option<(String, String)> {
    let prompt: String = question.prompt.parts.iter().map(|part| part.text.as_str()).collect();
    let (_, pair) = prompt.rsplit_once("Task 1:")?;
    let (first, second) = pair.split_once("Task 2:")?;
    let second = second.strip_suffix("\nVerdict:").unwrap_or(second);
    Some((first.trim().to_owned(), second.trim().to_owned()))
}

/// A number that depends on the whole list.
fn list_key(ids: impl Iterator<Item = u64>) -> u64 {
    rng::key(0, "list", &ids.collect::<Vec<_>>())
}

/// Numbers that depend on a question's text.
fn text_key(question: &Question) -> [u64; 3] {
    let text: String = question.prompt.parts.iter().map(|part| part.text.as_str()).collect();
    [rng::key(0, &text, &[]), 0, 0]
}

impl Generate for Scripted {
    fn chat_prompt(&self, messages: &[Message], shared_messages: usize) -> Option<Result<Prompt, Error>> {
        let part = |message: &Message| Part {
            text: format!("<{}>{}", message.role, message.content),
            special: false,
        };
        let parts = messages.iter().map(part).collect();
        self.has_template.then_some(Ok(Prompt { parts, shared: shared_messages }))
    }

    fn text_tokens(&self, text: &str) -> Result<usize, Error> {
        Ok(text.len() / 4)
    }

    fn context_tokens(&self) -> usize {
        self.context
    }

    fn generate(&mut self, requests: &[Request]) -> Result<Vec<Completion>, Error> {
        self.call()?;
        self.requested.extend(requests.iter().map(|request| request.id));
        let list = list_key(requests.iter().map(|request| request.key));
        Ok(requests.iter().map(|request| self.complete(request, list)).collect())
    }

    fn score(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Error> {
        self.call()?;
        self.scored += questions.len();
        let length = |question: &Question| {
            question.prompt.parts.iter().map(|part| part.text.len() as u64).sum::<u64>()
        };
        let list = list_key(questions.iter().map(length));
        let answer = |question: &Question| {
            let ids = if self.is_exact { text_key(question) } else { [question.id, length(question), list] };
            let mut draw = rng::stream(self.seed, "scripted.score", &ids);
            let mut weights: Vec<f64> =
                question.labels.iter().map(|_| draw.random_range(0.01..0.99)).collect();
            if let Some(&same) =
                pair_in(question).and_then(|pair| self.labels.get(&pair)).filter(|_| self.judges_well)
            {
                weights[usize::from(same)] *= 0.2;
            }
            let total: f64 = weights.iter().sum();
            let judged = draw.random::<f64>() >= self.fault_rate / f64::from(FAULTS);
            let log_probs = judged.then(|| weights.iter().map(|weight| (weight / total).ln()).collect());
            Answer { id: question.id, log_probs }
        };
        Ok(questions.iter().map(answer).collect())
    }
}
