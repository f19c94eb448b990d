//! The order of things: seeds, rounds, stages, chunks.
//!
//! In the flow: [`super::run`] calls [`run`]; everything it decides is decided from the journal's rows.
//!
//! **Invariant:** a stage's list and its chunks are the same whether the run was interrupted or not; a chunk
//! is done if its rows are there, and it is never done twice.

use super::answering;
use super::constrain::{self, Chosen};
use super::eliminate::{self, Child, ChildRules, Outcome};
use super::guard::Words;
use super::judge;
use super::library::JudgePrompts;
use super::requests::{self, Requests};
use super::times::{Stopwatch, Times};
use super::trial::{self, seed_node};
use super::{
    Calibration, Chunk, Error, Event, EvolveConfig, Model, Operator, Policy, Profile, Reason, Roots, Stage,
    Style, fingerprint, prompt,
};
use crate::llm::{Completion, FinishReason, Generate, Request};
use crate::store::{Generation, Node, Status, Store, Unit, node_id};
use std::collections::{BTreeMap, HashSet};

/// Attempts of a round before its yield is judged.
const YIELD_WINDOW: usize = 50;
/// Entry of `meta` with the [`Calibration`].
pub(super) const CALIBRATION: &str = "judge";
/// Entry of `meta` with the [`Policy`].
pub(super) const POLICY: &str = "policy";
/// Entry of `meta` of a run that was merged: of how many shards.
pub(super) const SHARDS: &str = "shards";
/// Entry of `meta` that is there once all rounds are done.
pub(super) const FINISHED: &str = "finished";

pub(super) fn run(
    model: Model<'_>,
    store: &mut Store,
    roots: Roots<'_>,
    config: &EvolveConfig,
    progress: &mut dyn FnMut(&Event),
) -> Result<Times, Error> {
    config.validate()?;
    if roots.seeds.is_empty() {
        return Err(Error::NoSeeds);
    }
    let Model { generate: model, judge, sha256, recipe, n_params } = model;
    let has_chat_template = model.chat_prompt(&[], 0).is_some();
    let style = config.style.resolve(n_params, has_chat_template)?;
    let judge_style = match &judge {
        None => style,
        Some(judge) => Style::Auto.resolve(judge.n_params, judge.generate.chat_prompt(&[], 0).is_some())?,
    };
    let bound = fingerprint::new(&sha256, style.name(), &recipe, roots, config);
    store.bind(&bound)?;
    progress(&Event::Begun { style, seeds: roots.own().count(), shard: roots.shard });
    let requests = Requests::new(config, style, has_chat_template);
    let policy = Policy::new(config, style, n_params);
    let rules = ChildRules::new(&requests.prompts, policy.guards);
    let mut run = Run {
        model,
        judge: judge.map(|judge| judge.generate),
        judge_prompts: JudgePrompts::new(judge_style),
        store,
        config,
        policy,
        requests,
        rules,
        progress,
        watch: Stopwatch::default(),
    };
    run.plant(roots)?;
    let line = run.calibrate()?;
    run.settle()?;
    run.answer(0, 0)?;
    for round in 1..=run.policy.rounds {
        for attempt in 0..run.policy.attempts {
            run.evolve(round, attempt)?;
            run.judge(round, attempt, &line)?;
            run.answer(round, attempt)?;
            run.check_yield(round)?;
        }
        if line.trusted {
            run.rate(round)?;
        }
    }
    if !super::is_finished(run.store)? {
        run.keep(FINISHED, &true)?;
    }
    Ok(run.watch.times())
}

/// One operator on one parent.
struct Plan {
    id: u64,
    operator: Operator,
    parent: Node,
}

pub(super) struct Run<'a, 'm> {
    pub(super) model: &'m mut dyn Generate,
    /// Where it is not `model`.
    pub(super) judge: Option<&'m mut dyn Generate>,
    pub(super) judge_prompts: JudgePrompts,
    pub(super) store: &'a mut Store,
    pub(super) config: &'a EvolveConfig,
    pub(super) policy: Policy,
    pub(super) requests: Requests,
    pub(super) rules: ChildRules,
    pub(super) progress: &'a mut dyn FnMut(&Event),
    pub(super) watch: Stopwatch,
}

impl Run<'_, '_> {
    /// Makes the seeds round 0.
    fn plant(&mut self, roots: Roots<'_>) -> Result<(), Error> {
        if !self.store.attempts(0, 0)?.is_empty() {
            return Ok(());
        }
        let unit = self.store.begin()?;
        for (index, seed) in roots.own() {
            unit.insert_node(&seed_node(index, seed))?;
        }
        Ok(unit.commit()?)
    }

    /// The judge's calibration: from the journal, or made and written there.
    fn calibrate(&mut self) -> Result<Calibration, Error> {
        let calibration = if let Some(made) = super::calibration(self.store)? {
            made
        } else {
            let prompt = &self.judge_prompts.same;
            let count = self.config.judge.pairs;
            let pairs = match &mut self.judge {
                Some(judge) => judge::judge_labelled(*judge, prompt, count)?,
                None => judge::judge_labelled(self.model, prompt, count)?,
            };
            let made = judge::calibration(&pairs, self.config.judge);
            self.keep(CALIBRATION, &made)?;
            made
        };
        (self.progress)(&Event::Calibrated(calibration));
        Ok(calibration)
    }

    /// Completes the policy: from the journal, or by a trial.
    fn settle(&mut self) -> Result<(), Error> {
        if let Some(settled) = super::policy(self.store)? {
            self.policy = settled;
        } else {
            if self.config.profile == Profile::Auto {
                let operators = self.policy.to_try(self.config);
                let trial = trial::run(self.model, &self.requests, self.config, &self.policy, &operators)?;
                self.policy.fit(self.config, &trial);
            }
            let policy = self.policy.clone();
            self.keep(POLICY, &policy)?;
        }
        (self.progress)(&Event::Settled(self.policy.clone()));
        Ok(())
    }

    fn keep(&mut self, name: &str, value: &impl serde::Serialize) -> Result<(), Error> {
        let unit = self.store.begin()?;
        unit.set_meta(name, &serde_json::to_string(value).expect("plain data serialises"))?;
        Ok(unit.commit()?)
    }

    /// Generates the children of one attempt of one round, and asks the rules that need no model.
    fn evolve(&mut self, round: u32, attempt: u32) -> Result<(), Error> {
        let plans = self.plan(round, attempt)?;
        self.learn_known(round, attempt)?;
        let there: HashSet<u64> = self.attempts(round, attempt)?.iter().map(|node| node.id).collect();
        let place = (round, attempt, Stage::Evolve);
        self.in_chunks(
            place,
            &plans,
            |_, plan| Ok(there.contains(&plan.id)),
            |run, plans| {
                run.evolve_chunk(round, attempt, plans)?;
                run.check_yield(round)
            },
        )
    }

    /// What one attempt of a round does: every pool node that has no kept child in this round yet, by root.
    fn plan(&self, round: u32, attempt: u32) -> Result<Vec<Plan>, Error> {
        let mut evolved = HashSet::new();
        for earlier in 0..attempt {
            let nodes = self.attempts(round, earlier)?;
            evolved.extend(nodes.iter().filter(|node| node.status == Status::Kept).map(|node| node.root_id));
        }
        let (seed, weights) = (self.config.seed, self.policy.operators);
        let plan = |parent: Node| {
            let root_index = (parent.root_id / node_id(0, 0, 0) - 1) as usize;
            let constrained = !parent.constraints.is_empty();
            let operator = weights.draw(seed, parent.root_id, round, attempt, constrained);
            Plan { id: node_id(root_index, round, attempt), operator, parent }
        };
        let pool = self.watch.store(|| self.store.pool(round))?;
        Ok(pool.into_iter().filter(|node| !evolved.contains(&node.root_id)).map(plan).collect())
    }

    /// Tells the rules of every instruction that came through the first stage so far.
    fn learn_known(&mut self, round: u32, attempt: u32) -> Result<(), Error> {
        self.rules.clear();
        for earlier_round in 0..=round {
            for earlier_attempt in 0..self.policy.attempts {
                if (earlier_round, earlier_attempt) <= (round, attempt) {
                    for node in self.attempts(earlier_round, earlier_attempt)? {
                        if requests::failed_at(&node)? != Some(Stage::Evolve) {
                            self.rules.learn(node.root_id, &node.instruction, &node.input);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn evolve_chunk(&mut self, round: u32, attempt: u32, plans: &[Plan]) -> Result<(), Error> {
        let asked = plans.iter().map(|plan| self.request(plan)).collect::<Result<Vec<_>, _>>()?;
        let requests: Vec<Request> = asked.iter().flatten().cloned().collect();
        let mut completions = requests::complete(self.model, &requests)?.into_iter();
        let generations: Vec<Option<(Request, Completion)>> = asked
            .into_iter()
            .map(|request| request.map(|request| (request, completions.next().expect("one for each"))))
            .collect();
        let (asking, rules) = (&self.requests, &mut self.rules);
        let (seed, most, guards) = (self.config.seed, self.policy.max_constraints, self.policy.guards);
        let read = |(plan, generation): (&Plan, &Option<(Request, Completion)>)| {
            let completion = generation.as_ref().map(|(_, completion)| completion);
            let choice = Choice { seed, most, words: &rules.words, guards };
            let (child, formed) = child(asking, choice, plan, completion)?;
            // What was generated before the constraints is an answer, and is judged as one.
            let finish = completion.filter(|_| !plan.operator.is_by_code()).map(|done| done.finish_reason);
            let finish = finish.unwrap_or(FinishReason::Stop);
            let outcome = rules.check(plan.operator, &plan.parent, &child, finish);
            if outcome.reason.is_none() {
                rules.learn(plan.parent.root_id, &child.instruction, &child.input);
            }
            Ok::<_, Error>((child, formed, outcome))
        };
        let children =
            self.watch.filters(|| plans.iter().zip(&generations).map(read).collect::<Result<Vec<_>, _>>())?;
        let store = &mut *self.store;
        self.watch.store(|| {
            let unit = store.begin()?;
            for ((plan, generation), (child, formed, outcome)) in plans.iter().zip(generations).zip(children)
            {
                let is_answer = plan.operator.answers_first();
                let (own, answer) = if is_answer { (None, generation) } else { (generation, None) };
                unit.insert_node(&node_of(plan, (round, attempt), child, own))?;
                if let Some((request, completion)) = answer.filter(|_| outcome.reason.is_none()) {
                    let mut answer = answering::answer_of(&request, &completion);
                    answer.text = formed.unwrap_or(answer.text);
                    unit.insert_answer(plan.id, &answer)?;
                }
                record(&unit, plan.id, &outcome, Status::Evolved)?;
            }
            Ok(unit.commit()?)
        })
    }

    /// What is asked of the model for a plan; `None`: nothing.
    fn request(&self, plan: &Plan) -> Result<Option<Request>, Error> {
        Ok(match plan.operator {
            Operator::VerifiableConstraints => None,
            operator if operator.answers_first() => {
                Some(self.requests.derivation(self.model, plan.id, &plan.parent)?)
            }
            operator => Some(self.requests.instruction(self.model, plan.id, operator, &plan.parent)?),
        })
    }

    /// The nodes of an attempt, by id.
    pub(super) fn attempts(&self, round: u32, attempt: u32) -> Result<Vec<Node>, Error> {
        Ok(self.watch.store(|| self.store.attempts(round, attempt))?)
    }

    /// Does the chunks of a stage that are not done, in order. A chunk is committed whole, so its first item
    /// speaks for it.
    pub(super) fn in_chunks<T>(
        &mut self,
        (round, attempt, stage): (u32, u32, Stage),
        items: &[T],
        is_done: impl Fn(&Self, &T) -> Result<bool, Error>,
        mut work: impl FnMut(&mut Self, &[T]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut done = 0;
        for chunk in items.chunks(self.config.chunk_size) {
            let replayed = is_done(self, &chunk[0])?;
            if !replayed {
                work(self, chunk)?;
            }
            done += chunk.len();
            let total = items.len();
            (self.progress)(&Event::Chunk(Chunk { round, attempt, stage, done, total, replayed }));
        }
        Ok(())
    }

    /// Gives up when nearly all attempts of the round so far are eliminated, or too many of them are no text
    /// at all.
    fn check_yield(&self, round: u32) -> Result<(), Error> {
        let mut nodes = Vec::new();
        for attempt in 0..self.policy.attempts {
            nodes.extend(self.attempts(round, attempt)?);
        }
        let attempts = nodes.len();
        if attempts < YIELD_WINDOW {
            return Ok(());
        }
        let reason_of = |node: &Node| node.reason.as_deref().and_then(Reason::parse);
        let failed: Vec<&Node> =
            nodes.iter().filter(|node| reason_of(node).is_some_and(Reason::is_an_error)).collect();
        let limit = self.config.max_errors;
        if failed.len() as f64 > limit * attempts as f64 {
            let count = failed.len();
            let (reason, example_id, example) = most_frequent(failed);
            return Err(Error::Failing {
                round,
                attempts,
                failed: count,
                limit,
                reason,
                example_id,
                example,
            });
        }
        // An instruction that is tried again counts once: what is alive of its attempts is the last.
        let roots: HashSet<u64> = nodes.iter().map(|node| node.root_id).collect();
        let is_dead = |node: &&Node| node.status == Status::Eliminated;
        let alive = attempts - nodes.iter().filter(is_dead).count();
        let limit = self.config.min_yield;
        if alive as f64 >= limit * roots.len() as f64 {
            return Ok(());
        }
        let (reason, example_id, example) = most_frequent(nodes.iter().filter(is_dead).collect());
        Err(Error::Hopeless { round, attempts, alive, limit, reason, example_id, example })
    }
}

/// The most frequent reason of eliminated nodes, and the first of them as an example: its id and its
/// instruction.
fn most_frequent(nodes: Vec<&Node>) -> (String, u64, String) {
    let mut by_reason: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in nodes {
        by_reason.entry(node.reason.as_deref().unwrap_or_default()).or_default().push(node);
    }
    let most = by_reason.into_iter().max_by_key(|(_, nodes)| nodes.len());
    let (reason, nodes) = most.expect("some attempt was eliminated");
    (reason.to_owned(), nodes[0].id, nodes[0].instruction.clone())
}

/// A policy as it lies in the journal.
pub(super) fn policy_from(stored: &str) -> Result<Policy, Error> {
    serde_json::from_str(stored).map_err(|error| Error::BadPolicy { reason: error.to_string() })
}

/// What decides which constraints are added.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice<'a> {
    pub(super) seed: u64,
    /// New constraints, at most.
    pub(super) most: usize,
    pub(super) words: &'a Words,
    /// Whether all guards are asked.
    pub(super) guards: bool,
}

/// The child that code makes of `parent`: drawn constraints, those that `answer` meets, or those that it
/// meets in the form that code gave it, which is the second.
pub(super) fn constrained(
    Choice { seed, most, words, guards }: Choice<'_>,
    id: u64,
    operator: Operator,
    parent: &Node,
    answer: &str,
) -> Result<(Child, Option<String>), Error> {
    let mut constraints = constrain::of(parent)?;
    let Chosen { constraints: new, answer: formed } =
        constrain::choose((seed, id), operator, &parent.instruction, &constraints, answer, most);
    // A form would hide what is wrong with an answer. As it is, it is eliminated for that.
    let formed = if formed.is_some() {
        let plain = Node { constraints: Vec::new(), ..parent.clone() };
        let outcome = eliminate::check_answer(words, &plain, answer, FinishReason::Stop, guards)?;
        formed.filter(|_| outcome.reason.is_none())
    } else {
        None
    };
    let instruction = if new.is_empty() {
        parent.instruction.clone()
    } else {
        constrain::add(seed, id, &parent.instruction, &new)
    };
    constraints.extend(new);
    Ok((Child { instruction, input: parent.input.clone(), lacks_data: false, constraints }, formed))
}

/// The child that a plan and what was generated for it make; see [`constrained`].
fn child(
    asking: &Requests,
    choice: Choice<'_>,
    plan: &Plan,
    completion: Option<&Completion>,
) -> Result<(Child, Option<String>), Error> {
    let Plan { id, operator, parent } = plan;
    match completion {
        Some(completion) if !operator.is_by_code() => {
            Ok((asking.read_instruction(*operator, parent, completion), None))
        }
        completion => {
            let answer = completion.map(|done| requests::read_draft(*operator, done)).unwrap_or_default();
            constrained(choice, *id, *operator, parent, &answer)
        }
    }
}

fn node_of(
    plan: &Plan,
    (round, attempt): (u32, u32),
    child: Child,
    generated: Option<(Request, Completion)>,
) -> Node {
    let in_breadth = plan.operator.is_in_breadth();
    Node {
        id: plan.id,
        parent_id: Some(plan.parent.id),
        root_id: plan.parent.root_id,
        round,
        attempt,
        operator: Some(plan.operator.name().to_owned()),
        instruction: child.instruction,
        input: child.input,
        skill: plan.parent.skill.clone(),
        // A seed's difficulty says nothing about a harder version of it.
        difficulty: plan.parent.difficulty.filter(|_| in_breadth),
        generation: generated.map(|(request, completion)| generation(&request, &completion)),
        status: Status::Evolved,
        reason: None,
        constraints: constrain::to_json(&child.constraints),
    }
}

/// Writes the verdicts of a stage, and where they leave the node.
pub(super) fn record(unit: &Unit<'_>, id: u64, outcome: &Outcome, passed: Status) -> Result<(), Error> {
    for verdict in &outcome.verdicts {
        unit.insert_verdict(id, verdict)?;
    }
    match outcome.reason {
        Some(reason) => unit.set_status(id, Status::Eliminated, Some(reason.name()))?,
        None => unit.set_status(id, passed, None)?,
    }
    Ok(())
}

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
