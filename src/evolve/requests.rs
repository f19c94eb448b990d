//! The requests to the model, made from what the journal holds, and reading their completions.
//!
//! In the flow: `evolving` and `answering` make requests and write what comes back into the journal; `verify`
//! makes the same requests again.
//!
//! **Invariant:** the one home of generation requests: each is a function of (configuration, style, prompts)
//! and of rows that were written before it, so that it can be made again at any time.

use super::eliminate::{self, Child};
use super::guard::Words;
use super::library::{self, Prompts};
use super::material::{self, Parts};
use super::operator::Method;
use super::prompt::{self, PromptFile, Slot};
use super::{Error, EvolveConfig, Operator, Reason, Stage, Style, limits};
use crate::constraint::{Shape, language_of_request, whole_sentences};
use crate::dataset::user_turn;
use crate::llm::{Completion, FinishReason, Generate, Request, Restriction};
use crate::rng;
use crate::store::{Answer, Generation, Node};

/// By how much the temperature of a further attempt at an instruction is higher: 0.7, 0.85, 1 by default. The
/// same prompt at the same temperature often fails the same way.
const HOTTER_ATTEMPT: f32 = 0.15;
/// By how much the temperature of a further answer is higher.
const HOTTER_SAMPLE: f32 = 0.1;

/// An operator to be applied to a parent.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The id of the child.
    pub(super) id: u64,
    /// Number of the attempt, from 0: further attempts are hotter.
    pub(super) attempt: u32,
    pub(super) operator: Operator,
    pub(super) parent: Node,
}

/// Makes requests, and reads their completions.
#[derive(Debug)]
pub(super) struct Requests {
    config: EvolveConfig,
    /// Never [`Style::Auto`].
    style: Style,
    words: Words,
    pub(super) prompts: Prompts,
    /// The prompt for an answer that was cut.
    brief: PromptFile,
    max_answer_tokens: usize,
}

impl Requests {
    /// `style` is resolved; `max_answer_tokens` is the policy's.
    pub(super) fn new(
        config: &EvolveConfig,
        style: Style,
        has_chat_template: bool,
        max_answer_tokens: usize,
    ) -> Self {
        Self {
            config: config.clone(),
            style,
            words: Words::load(),
            prompts: Prompts::new(style, has_chat_template),
            brief: library::brief_answer(has_chat_template, limits::brief_words(max_answer_tokens)),
            max_answer_tokens,
        }
    }

    /// The request that makes a child; `None` if the model is not needed.
    pub(super) fn child(&self, model: &dyn Generate, plan: &Plan) -> Result<Option<Request>, Error> {
        Ok(match plan.operator.method() {
            Method::Rewrite(_) => Some(self.instruction(model, plan)?),
            Method::Derive | Method::Impose => Some(self.draft(model, plan)?),
            Method::Draw => None,
        })
    }

    /// The request for an instruction, by an operator that has the model rewrite the parent.
    fn instruction(&self, model: &dyn Generate, plan: &Plan) -> Result<Request, Error> {
        let file = self.prompts.operator(plan.operator).expect("the operator has the model rewrite");
        self.instruction_by(model, plan, file)
    }

    /// As [`Requests::instruction`], with another prompt.
    pub(super) fn instruction_by(
        &self,
        model: &dyn Generate,
        plan: &Plan,
        file: &PromptFile,
    ) -> Result<Request, Error> {
        let Plan { id, attempt, operator, parent } = plan;
        let parts = self.parts(parent);
        let value = |slot| match slot {
            Slot::Instruction => parts.request().to_owned(),
            // Completion style works on lines: it shows the first, and carries the others unseen.
            Slot::Input if self.style == Style::Completion => parent.input.clone(),
            Slot::Input => material::join([&parts.material(), &parent.input]),
            Slot::Start => self.start(file, plan).to_owned(),
            Slot::First | Slot::Second => unreachable!("an operator's prompt has slots for one task"),
        };
        let limits = self.config.max_tokens;
        let mut sampling = self.config.sampling.clone();
        sampling.temperature += HOTTER_ATTEMPT * *attempt as f32;
        Ok(Request {
            id: *id,
            prompt: file.render(model, value).ok_or(Error::NoChatTemplate)??,
            sampling,
            stop: file.stop.clone(),
            max_tokens: model.text_tokens(parts.request())?
                + if operator.adds_data() { limits.instruction_with_data } else { limits.instruction },
            key: rng::key(self.config.seed, "evolve.instruction", &[*id]),
            sample: 0,
            restriction: Restriction::None,
        })
    }

    /// The request for the answer to the parent that decides the constraints of its child.
    fn draft(&self, model: &dyn Generate, plan: &Plan) -> Result<Request, Error> {
        let mut request = self.reply(model, &self.prompts.answer, plan.id, &plan.parent)?;
        // The parent was answered already: this is to be another answer.
        request.sampling.temperature += HOTTER_SAMPLE * (1 + plan.attempt) as f32;
        Ok(request)
    }

    /// As the draft in [`Requests::child`], but brief, because the draft was cut. `sample`: the number of
    /// samples of an answer, which is the number of the brief one.
    pub(super) fn brief_draft(
        &self,
        model: &dyn Generate,
        plan: &Plan,
        sample: u32,
    ) -> Result<Request, Error> {
        let draft = self.draft(model, plan)?;
        let prompt = self.reply(model, &self.brief, plan.id, &plan.parent)?.prompt;
        Ok(Request { prompt, stop: self.brief.stop.clone(), sample, ..draft })
    }

    /// The request for an answer to `node`: the first, or one more because those before it failed.
    pub(super) fn answer(&self, model: &dyn Generate, node: &Node, sample: u32) -> Result<Request, Error> {
        let mut request = self.reply(model, &self.prompts.answer, node.id, node)?;
        request.sampling.temperature += HOTTER_SAMPLE * sample as f32;
        request.sample = sample;
        Ok(request)
    }

    /// The request for a brief answer to `node`, because others were cut. `sample` as in
    /// [`Requests::brief_draft`].
    pub(super) fn brief_answer(
        &self,
        model: &dyn Generate,
        node: &Node,
        sample: u32,
    ) -> Result<Request, Error> {
        Ok(Request { sample, ..self.reply(model, &self.brief, node.id, node)? })
    }

    fn reply(&self, model: &dyn Generate, file: &PromptFile, id: u64, task: &Node) -> Result<Request, Error> {
        let value = |_slot| user_turn(&task.instruction, &task.input);
        Ok(Request {
            id,
            prompt: file.render(model, value).ok_or(Error::NoChatTemplate)??,
            sampling: self.config.answer_sampling.clone(),
            stop: file.stop.clone(),
            max_tokens: self.max_answer_tokens,
            key: rng::key(self.config.seed, "evolve.answer", &[id]),
            sample: 0,
            restriction: Restriction::None,
        })
    }

    /// The instruction in the completion of a request that rewrites.
    pub(super) fn read_instruction(&self, plan: &Plan, completion: &Completion) -> Child {
        let file = self.prompts.operator(plan.operator).expect("the operator has the model rewrite");
        self.read_instruction_by(plan, file, completion)
    }

    /// As [`Requests::read_instruction`], of another prompt.
    pub(super) fn read_instruction_by(
        &self,
        plan: &Plan,
        file: &PromptFile,
        completion: &Completion,
    ) -> Child {
        let Plan { operator, parent, .. } = plan;
        let output = format!("{}{}", self.start(file, plan), completion.text);
        eliminate::read_child(*operator, file.output, parent, self.parts(parent), &output)
    }

    /// The words that are put into the model's mouth.
    fn start<'f>(&self, file: &'f PromptFile, plan: &Plan) -> &'f str {
        let Plan { id, attempt, parent, .. } = plan;
        let key = rng::key(self.config.seed, "evolve.start", &[*id, u64::from(*attempt)]);
        let request = self.parts(parent).request();
        let language = language_of_request(request);
        // Shapes are known by English words.
        let shape = format!("{} {}", language.name(), Shape::of(request).name());
        file.start(&[&shape, language.name()], key)
    }

    /// What is asked in a parent, and what is around it.
    fn parts<'t>(&self, parent: &'t Node) -> Parts<'t> {
        match self.style {
            Style::Completion => Parts::first_line(&parent.instruction),
            Style::Auto | Style::Chat => Parts::of(&parent.instruction, &self.words),
        }
    }
}

/// The answer in the completion of [`Requests::answer`].
pub(super) fn read_answer(completion: &Completion) -> String {
    completion.text.trim().to_owned()
}

/// The answer in the completion of [`Requests::child`] for an operator that answers first. If code gives it
/// a form, an answer that was cut can still be used up to its last whole sentence.
pub(super) fn read_draft(operator: Operator, completion: &Completion) -> String {
    let answer = read_answer(completion);
    let is_cut = completion.finish_reason == FinishReason::Length;
    if operator.may_be_cut() && is_cut { whole_sentences(&answer).to_owned() } else { answer }
}

/// The answer as it is written into the journal.
pub(super) fn answer_row(request: &Request, completion: &Completion) -> Answer {
    Answer {
        text: read_answer(completion),
        generation: generation(request, completion),
        sample: request.sample,
    }
}

/// Whether a draft is to be asked for again, more briefly: it was cut, and nobody can use a part of it.
pub(super) fn is_cut_draft(operator: Operator, finish: FinishReason) -> bool {
    operator.answers_first() && !operator.may_be_cut() && finish == FinishReason::Length
}

/// How a text was generated, as it is written into the journal.
pub(super) fn generation(request: &Request, completion: &Completion) -> Generation {
    Generation {
        prompt_hash: prompt::hash(&request.prompt),
        sampling: request.sampling.clone(),
        key: request.key,
        prompt_tokens: completion.prompt_tokens,
        completion_tokens: completion.completion_tokens,
        finish_reason: completion.finish_reason,
    }
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

/// Whether `stage` works on a node: no stage before it eliminated the node.
pub(super) fn reaches(node: &Node, stage: Stage) -> Result<bool, Error> {
    let Some(reason) = &node.reason else { return Ok(true) };
    Ok(stage_of(node.id, reason)? >= stage)
}

/// The stage whose rules eliminate for `reason`, the reason of node `id`.
pub(super) fn stage_of(id: u64, reason: &str) -> Result<Stage, Error> {
    let unknown = || Error::UnknownReason { id, reason: reason.to_owned() };
    Reason::parse(reason).map(Reason::stage).ok_or_else(unknown)
}
