//! What is asked of the model, made from what the journal holds, and how its replies are read.
//!
//! In the flow: `rounds` asks and writes the replies into the journal; `verify` asks the same again.
//!
//! **Invariant:** the one home of generation requests: each is a function of (configuration, style, prompts)
//! and of rows that were there before it, so that it can be made again at any time.

use super::eliminate::{self, Child};
use super::library::Prompts;
use super::prompt::Slot;
use super::{Error, EvolveConfig, Operator, Reason, Stage, Style};
use crate::constraint::whole_sentences;
use crate::dataset::user_turn;
use crate::llm::{Completion, FinishReason, Generate, Request, Restriction};
use crate::rng;
use crate::store::{MAX_ATTEMPTS, Node};

/// By how much the temperature of a further attempt at an instruction is higher: 0.7, 0.85, 1 by default. The
/// same prompt at the same temperature often fails the same way.
const HOTTER_ATTEMPT: f32 = 0.15;
/// The same of a further answer.
const HOTTER_SAMPLE: f32 = 0.1;

/// The attempt that a node is.
fn attempt_of(id: u64) -> u64 {
    id % u64::from(MAX_ATTEMPTS)
}

/// Makes requests, and reads what comes back.
#[derive(Debug)]
pub(super) struct Requests {
    config: EvolveConfig,
    /// Never [`Style::Auto`].
    style: Style,
    pub(super) prompts: Prompts,
}

impl Requests {
    pub(super) fn new(config: &EvolveConfig, style: Style, has_chat_template: bool) -> Self {
        Self { config: config.clone(), style, prompts: Prompts::new(style, has_chat_template) }
    }

    /// For the instruction of node `id`: `operator` on `parent`.
    pub(super) fn instruction(
        &self,
        model: &dyn Generate,
        id: u64,
        operator: Operator,
        parent: &Node,
    ) -> Result<Request, Error> {
        let file = self.prompts.operator(operator);
        let (shown, _) = eliminate::split_instruction(self.style, &parent.instruction);
        let value = |slot| match slot {
            Slot::Instruction => shown.to_owned(),
            Slot::Input => parent.input.clone(),
            Slot::First | Slot::Second => unreachable!("an operator's prompt has slots for one task"),
        };
        let with_data = operator == Operator::ComplicateInput;
        let limits = self.config.max_tokens;
        let mut sampling = self.config.sampling.clone();
        sampling.temperature += HOTTER_ATTEMPT * attempt_of(id) as f32;
        Ok(Request {
            id,
            prompt: file.render(model, value).ok_or(Error::NoChatTemplate)??,
            sampling,
            stop: file.stop.clone(),
            max_tokens: if with_data { limits.instruction_with_data } else { limits.instruction },
            key: rng::key(self.config.seed, "evolve.instruction", &[id]),
            sample: 0,
            restriction: Restriction::None,
        })
    }

    /// For an answer to `node`: the first, or one more because those before it failed.
    pub(super) fn answer(&self, model: &dyn Generate, node: &Node, sample: u32) -> Result<Request, Error> {
        let mut request = self.reply(model, node.id, &node.instruction, &node.input)?;
        request.sampling.temperature += HOTTER_SAMPLE * sample as f32;
        request.sample = sample;
        Ok(request)
    }

    /// For the answer to `parent` that the constraints of its child `id` are derived from.
    pub(super) fn derivation(&self, model: &dyn Generate, id: u64, parent: &Node) -> Result<Request, Error> {
        let mut request = self.reply(model, id, &parent.instruction, &parent.input)?;
        // The parent was answered already: this is to be another answer.
        request.sampling.temperature += HOTTER_SAMPLE * (1 + attempt_of(id)) as f32;
        Ok(request)
    }

    fn reply(&self, model: &dyn Generate, id: u64, instruction: &str, input: &str) -> Result<Request, Error> {
        let file = &self.prompts.answer;
        let value = |_slot| user_turn(instruction, input);
        Ok(Request {
            id,
            prompt: file.render(model, value).ok_or(Error::NoChatTemplate)??,
            sampling: self.config.answer_sampling.clone(),
            stop: file.stop.clone(),
            max_tokens: self.config.max_tokens.answer,
            key: rng::key(self.config.seed, "evolve.answer", &[id]),
            sample: 0,
            restriction: Restriction::None,
        })
    }

    /// The instruction in the reply to [`Requests::instruction`].
    pub(super) fn read_instruction(
        &self,
        operator: Operator,
        parent: &Node,
        completion: &Completion,
    ) -> Child {
        eliminate::read_child(operator, self.style, parent, &completion.text)
    }
}

/// The answer in the reply to [`Requests::answer`].
pub(super) fn read_answer(completion: &Completion) -> String {
    completion.text.trim().to_owned()
}

/// The answer in the reply to [`Requests::derivation`]. One that gets a form from code can do without its
/// end.
pub(super) fn read_draft(operator: Operator, completion: &Completion) -> String {
    let answer = read_answer(completion);
    let is_cut = completion.finish_reason == FinishReason::Length;
    if operator.may_be_cut() && is_cut { whole_sentences(&answer).to_owned() } else { answer }
}

/// Completes requests and checks that the model kept its contract.
pub(super) fn complete(model: &mut dyn Generate, requests: &[Request]) -> Result<Vec<Completion>, Error> {
    let completions = model.generate(requests)?;
    assert!(
        completions.iter().map(|completion| completion.id).eq(requests.iter().map(|request| request.id)),
        "{} completions do not follow the order of {} requests",
        completions.len(),
        requests.len()
    );
    Ok(completions)
}

/// Those nodes of an attempt that no stage before `stage` eliminated: what `stage` works on.
pub(super) fn reached(attempt: Vec<Node>, stage: Stage) -> Result<Vec<Node>, Error> {
    let mut reached = Vec::new();
    for node in attempt {
        if failed_at(&node)?.is_none_or(|failed| failed >= stage) {
            reached.push(node);
        }
    }
    Ok(reached)
}

/// The stage whose rules eliminated a node.
pub(super) fn failed_at(node: &Node) -> Result<Option<Stage>, Error> {
    let stage = |reason: &String| {
        let unknown = || Error::UnknownReason { id: node.id, reason: reason.clone() };
        Reason::parse(reason).map(Reason::stage).ok_or_else(unknown)
    };
    node.reason.as_ref().map(stage).transpose()
}
