//! A generator that follows a script instead of a model: for tests of the rounds.
//!
//! **Invariant:** a result depends on the script's seed and on the *whole* list that was given, so that a
//! run which cuts its lists differently after a resume gets other texts, and is found out.

use crate::llm::{
    Answer, Completion, Error, FinishReason, Generate, Message, Part, Prompt, Question, Request,
};
use crate::rng;
use rand::RngExt;

/// The faults, each in about the share of `fault_rate / 9` of all generations.
const FAULTS: u32 = 9;
/// The fault of saying nothing.
pub(super) const NOTHING: u32 = 2;

/// See the file's header.
#[derive(Debug)]
pub(super) struct Scripted {
    pub(super) seed: u64,
    /// Share of generations that go wrong.
    pub(super) fault_rate: f64,
    /// What goes wrong then, if it is always the same.
    pub(super) only_fault: Option<u32>,
    /// Whether there is a chat template.
    pub(super) has_template: bool,
    /// The call (counted from 1) that is interrupted.
    pub(super) interrupt_at: Option<usize>,
    /// Calls so far.
    pub(super) calls: usize,
    /// Ids of all requests so far.
    pub(super) requested: Vec<u64>,
}

impl Scripted {
    pub(super) fn new(seed: u64, fault_rate: f64) -> Self {
        Self {
            seed,
            fault_rate,
            only_fault: None,
            has_template: true,
            interrupt_at: None,
            calls: 0,
            requested: Vec::new(),
        }
    }

    fn call(&mut self) -> Result<(), Error> {
        self.calls += 1;
        if self.interrupt_at == Some(self.calls) { Err(Error::Interrupted) } else { Ok(()) }
    }

    fn complete(&self, request: &Request, list: u64) -> Completion {
        let mut draw = rng::stream(self.seed, "scripted", &[request.key, list]);
        let wrong = draw.random::<f64>() < self.fault_rate;
        let drawn = draw.random_range(0..FAULTS);
        let fault = if wrong { self.only_fault.unwrap_or(drawn) } else { FAULTS };
        let number: u64 = draw.random_range(0..1_000_000_000);
        let prompt: String = request.prompt.parts.iter().map(|part| part.text.as_str()).collect();
        let good = format!("Do this with {number} in mind, and say why.\nData:\n{number},1\n");
        let (text, finish_reason) = match fault {
            0 => (good, FinishReason::Length),
            1 => (String::new(), FinishReason::PromptTooLong),
            NOTHING => (" \n ".to_owned(), FinishReason::EndOfText),
            3 => (" . the, and ...".to_owned(), FinishReason::Stop),
            4 => (parent_in(&prompt), FinishReason::Stop),
            5 => (format!("As said in the given prompt: {number}"), FinishReason::Stop),
            6 => (format!("Broken \u{FFFD} {number}"), FinishReason::Stop),
            7 => (format!("I am sorry, {number} is too hard for me."), FinishReason::EndOfText),
            8 => ("Always the same thing again".to_owned(), FinishReason::Stop),
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

/// The last task that a completion prompt shows: the line before its last, after the label.
fn parent_in(prompt: &str) -> String {
    let task = prompt.lines().rev().nth(1).and_then(|line| line.split_once(": "));
    task.map_or("", |(_label, task)| task).to_owned()
}

/// A number for a whole list.
fn list_key(ids: impl Iterator<Item = u64>) -> u64 {
    rng::key(0, "list", &ids.collect::<Vec<_>>())
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

    fn generate(&mut self, requests: &[Request]) -> Result<Vec<Completion>, Error> {
        self.call()?;
        self.requested.extend(requests.iter().map(|request| request.id));
        let list = list_key(requests.iter().map(|request| request.key));
        Ok(requests.iter().map(|request| self.complete(request, list)).collect())
    }

    fn score(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Error> {
        self.call()?;
        let length = |question: &Question| {
            question.prompt.parts.iter().map(|part| part.text.len() as u64).sum::<u64>()
        };
        let list = list_key(questions.iter().map(length));
        let answer = |question: &Question| {
            let mut draw = rng::stream(self.seed, "scripted.score", &[question.id, length(question), list]);
            let p: f64 = draw.random_range(0.01..0.99);
            let judged = draw.random::<f64>() >= self.fault_rate / f64::from(FAULTS);
            Answer { id: question.id, log_probs: judged.then(|| vec![p.ln(), (1.0 - p).ln()]) }
        };
        Ok(questions.iter().map(answer).collect())
    }
}
