//! Trying the wordings of operators' prompts beside each other: what each of them makes of the same seeds.
//!
//! In the flow: outside runs. `cli` shows the counts, a person reads the children, and the winner becomes the
//! prompt that is embedded. It is how Auto Evol-Instruct (Zeng et al. 2024, arXiv:2406.00770) chooses among
//! prompts, with measured failures instead of a stronger model.
//!
//! **Invariant:** a child is what a run would make with that prompt: the same request, rules and guards.

use super::eliminate::ChildRules;
use super::library::Prompts;
use super::prompt::{PromptError, PromptFile, Slot};
use super::requests::{self, Plan, Requests};
use super::trial::seed_node;
use super::{Error, EvolveConfig, Operator, Policy, Style};
use crate::dataset::Seed;
use crate::llm::Generate;
use crate::store::Verdict;

/// One wording of an operator's prompt.
#[derive(Debug, Clone)]
pub struct Wording {
    /// The operator that it is for, which has the model write.
    pub operator: Operator,
    /// What it is called in tables.
    pub name: String,
    prompt: PromptFile,
}

impl Wording {
    /// The wording in the text of a prompt file.
    ///
    /// # Errors
    /// The text is no prompt file, or does not show the task.
    pub fn parse(operator: Operator, name: &str, source: &str) -> Result<Self, PromptError> {
        let prompt = PromptFile::parse(source)?;
        prompt.check_slots(Slot::Instruction, &[Slot::Input, Slot::Start])?;
        Ok(Self { operator, name: name.to_owned(), prompt })
    }

    /// The wordings that runs use.
    ///
    /// # Errors
    /// [`Error::NoChatTemplate`].
    pub fn embedded(model: &dyn Generate, n_params: Option<u64>, style: Style) -> Result<Vec<Self>, Error> {
        let has_template = model.chat_prompt(&[], 0).is_some();
        let prompts = Prompts::new(style.resolve(n_params, has_template)?, has_template);
        let wording = |(operator, prompt): (Operator, &PromptFile)| Self {
            operator,
            name: "embedded".to_owned(),
            prompt: prompt.clone(),
        };
        Ok(prompts.rewriting().map(wording).collect())
    }
}

/// A child that a wording made.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TriedChild {
    /// Name of the operator.
    pub operator: &'static str,
    /// Name of the wording.
    pub wording: String,
    /// Number of the seed, from 0.
    pub seed: usize,
    /// Number of the sample, from 0; each is hotter than the one before.
    pub sample: u32,
    /// The seed.
    pub parent: TaskText,
    /// What became of it.
    pub child: TaskText,
    /// Name of the rule or guard that rejects it; `None`: it passes.
    pub reason: Option<&'static str>,
    /// What that rule found.
    pub found: serde_json::Value,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens that were generated.
    pub generated_tokens: usize,
}

/// An instruction and its material.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskText {
    /// What is asked.
    pub instruction: String,
    /// Material that belongs to it, may be empty.
    pub input: String,
}

impl TaskText {
    fn new(instruction: &str, input: &str) -> Self {
        Self { instruction: instruction.to_owned(), input: input.to_owned() }
    }
}

/// Makes `samples` children of each seed with `wording`.
///
/// # Errors
/// [`Error::Llm`], [`Error::NoChatTemplate`].
pub fn try_wording(
    model: &mut dyn Generate,
    n_params: Option<u64>,
    wording: &Wording,
    seeds: &[Seed],
    samples: u32,
    config: &EvolveConfig,
) -> Result<Vec<TriedChild>, Error> {
    let has_template = model.chat_prompt(&[], 0).is_some();
    let style = config.style.resolve(n_params, has_template)?;
    let policy = Policy::new(config, style, n_params, model.context_tokens());
    let own = Requests::new(config, style, has_template, policy.max_answer_tokens);
    let rules = ChildRules::new(&own.prompts, true);
    let operator = wording.operator;
    let plans: Vec<Plan> = seeds
        .iter()
        .enumerate()
        .flat_map(|(at, seed)| {
            let parent = seed_node(at, seed);
            (0..samples).map(move |attempt| Plan { id: parent.id, attempt, operator, parent: parent.clone() })
        })
        .collect();
    let mut asked = Vec::with_capacity(plans.len());
    for plan in &plans {
        let mut request = own.instruction_by(model, plan, &wording.prompt)?;
        request.sample = plan.attempt;
        asked.push(request);
    }
    let completions = requests::complete(model, &asked)?;
    let tried = plans.iter().zip(&completions).enumerate().map(|(at, (plan, completion))| {
        let child = own.read_instruction_by(plan, &wording.prompt, completion);
        let outcome = rules.check(operator, &plan.parent, &child, completion.finish_reason);
        let (text, parent) = (TaskText::new, &plan.parent);
        TriedChild {
            operator: operator.name(),
            wording: wording.name.clone(),
            seed: at / samples as usize,
            sample: plan.attempt,
            parent: text(&parent.instruction, &parent.input),
            child: text(&child.instruction, &child.input),
            reason: outcome.reason.map(super::Reason::name),
            found: outcome.verdicts.last().map(|Verdict { detail, .. }| detail.clone()).unwrap_or_default(),
            prompt_tokens: completion.prompt_tokens,
            generated_tokens: completion.completion_tokens,
        }
    });
    Ok(tried.collect())
}
