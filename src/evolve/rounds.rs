//! The order of things: seeds, rounds, stages, chunks.
//!
//! In the flow: [`super::run`] calls [`run`]; everything it decides is decided from the journal's rows.
//!
//! **Invariant:** a stage's list and its chunks are the same whether the run was interrupted or not; a chunk
//! is done if its rows are there, and it is never done twice.

use super::eliminate::{self, Child, ChildRules, Outcome};
use super::judge::{self, Margin};
use super::library::JudgePrompts;
use super::requests::{self, Requests};
use super::times::{Stopwatch, Times};
use super::trial::{self, seed_node};
use super::{
    Calibration, Chunk, Error, Event, EvolveConfig, Model, Operator, Policy, Profile, Reason, Stage, Style,
    constrain, fingerprint, guard, prompt,
};
use crate::dataset::{DIFFICULTY, Seed, user_turn};
use crate::llm::{Completion, FinishReason, Generate, Request};
use crate::store::{Answer, Generation, Node, Status, Store, Unit, Verdict, node_id};
use serde_json::json;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Attempts of a round before its yield is judged.
const YIELD_WINDOW: usize = 50;
/// Entry of `meta` with the [`Calibration`].
pub(super) const CALIBRATION: &str = "judge";
/// Entry of `meta` with the [`Policy`].
pub(super) const POLICY: &str = "policy";
pub(super) fn run(
    model: Model<'_>,
    store: &mut Store,
    seeds: &[Seed],
    config: &EvolveConfig,
    progress: &mut dyn FnMut(&Event),
) -> Result<Times, Error> {
    config.validate()?;
    if seeds.is_empty() {
        return Err(Error::NoSeeds);
    }
    let Model { generate: model, judge, sha256, recipe, n_params } = model;
    let has_chat_template = model.chat_prompt(&[], 0).is_some();
    let style = config.style.resolve(n_params, has_chat_template)?;
    let judge_style = match &judge {
        None => style,
        Some(judge) => Style::Auto.resolve(judge.n_params, judge.generate.chat_prompt(&[], 0).is_some())?,
    };
    let bound = fingerprint::new(&sha256, style.name(), &recipe, seeds, config);
    store.bind(&bound)?;
    progress(&Event::Begun { style, seeds: seeds.len() });
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
    run.plant(seeds)?;
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
    Ok(run.watch.times())
}

/// One operator on one parent.
struct Plan {
    id: u64,
    operator: Operator,
    parent: Node,
}

struct Run<'a, 'm> {
    model: &'m mut dyn Generate,
    /// Where it is not `model`.
    judge: Option<&'m mut dyn Generate>,
    judge_prompts: JudgePrompts,
    store: &'a mut Store,
    config: &'a EvolveConfig,
    policy: Policy,
    requests: Requests,
    rules: ChildRules,
    progress: &'a mut dyn FnMut(&Event),
    watch: Stopwatch,
}

impl Run<'_, '_> {
    /// Makes the seeds round 0.
    fn plant(&mut self, seeds: &[Seed]) -> Result<(), Error> {
        if !self.store.attempts(0, 0)?.is_empty() {
            return Ok(());
        }
        let unit = self.store.begin()?;
        for (index, seed) in seeds.iter().enumerate() {
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
        let (seed, most) = (self.config.seed, self.policy.max_constraints);
        let read = |(plan, generation): (&Plan, &Option<(Request, Completion)>)| {
            let completion = generation.as_ref().map(|(_, completion)| completion);
            let child = child(asking, (seed, most), plan, completion)?;
            // What was generated for derived constraints is an answer, and is judged as one.
            let finish = completion.filter(|_| !plan.operator.is_by_code()).map(|done| done.finish_reason);
            let finish = finish.unwrap_or(FinishReason::Stop);
            let outcome = rules.check(plan.operator, &plan.parent, &child, finish);
            if outcome.reason.is_none() {
                rules.learn(plan.parent.root_id, &child.instruction, &child.input);
            }
            Ok::<_, Error>((child, outcome))
        };
        let children =
            self.watch.filters(|| plans.iter().zip(&generations).map(read).collect::<Result<Vec<_>, _>>())?;
        let store = &mut *self.store;
        self.watch.store(|| {
            let unit = store.begin()?;
            for ((plan, generation), (child, outcome)) in plans.iter().zip(generations).zip(children) {
                let derived = plan.operator == Operator::DerivedConstraints;
                let (own, answer) = if derived { (None, generation) } else { (generation, None) };
                unit.insert_node(&node_of(plan, (round, attempt), child, own))?;
                if let Some((request, completion)) = answer.filter(|_| outcome.reason.is_none()) {
                    unit.insert_answer(plan.id, &answer_of(&request, &completion))?;
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
            Operator::DerivedConstraints => {
                Some(self.requests.derivation(self.model, plan.id, &plan.parent)?)
            }
            operator => Some(self.requests.instruction(self.model, plan.id, operator, &plan.parent)?),
        })
    }

    /// Asks rule 1 of the children that came through the first stage: the judge where it can be trusted, else words.
    /// What code added is new by construction.
    fn judge(&mut self, round: u32, attempt: u32, line: &Calibration) -> Result<(), Error> {
        let nodes = requests::reached(self.attempts(round, attempt)?, Stage::Judge)?;
        let place = (round, attempt, Stage::Judge);
        self.in_chunks(
            place,
            &nodes,
            |_, node| Ok(node.status != Status::Evolved),
            |run, nodes| {
                let mut outcomes: HashMap<u64, Outcome> = HashMap::new();
                let mut asked = Vec::new();
                let mut pairs = Vec::new();
                for node in nodes {
                    let operator = operator_of(node)?;
                    if operator.is_by_code() {
                        outcomes.insert(node.id, Outcome::new());
                    } else if line.trusted {
                        asked.push(node.id);
                        pairs.push(run.pair(node)?);
                    } else {
                        outcomes.insert(node.id, run.lexical(operator, node)?);
                    }
                }
                let margins = match &mut run.judge {
                    Some(judge) => judge::margins(*judge, &run.judge_prompts.same, &pairs)?,
                    None => judge::margins(run.model, &run.judge_prompts.same, &pairs)?,
                };
                let judged = margins.into_iter().map(|margin| judgement(margin, line));
                outcomes.extend(asked.into_iter().zip(judged));
                run.watch.store(|| {
                    let unit = run.store.begin()?;
                    for node in nodes {
                        record(&unit, node.id, &outcomes[&node.id], Status::Judged)?;
                    }
                    Ok(unit.commit()?)
                })
            },
        )
    }

    /// Rule 1 by words.
    fn lexical(&self, operator: Operator, node: &Node) -> Result<Outcome, Error> {
        let parent = self.parent(node)?;
        let child = Child {
            instruction: node.instruction.clone(),
            input: node.input.clone(),
            lacks_data: false,
            constraints: Vec::new(),
        };
        let objection = guard::lexical_gain(&self.rules.case(operator, &parent, &child));
        Ok(objection.map_or_else(Outcome::new, |objection| Outcome::of(Reason::NoGain, false, objection)))
    }

    fn parent(&self, node: &Node) -> Result<Node, Error> {
        let parent = node.parent_id.expect("only children are judged");
        Ok(self.watch.store(|| self.store.node(parent))?.expect("the journal's foreign keys hold"))
    }

    /// A node with its parent, as the judge sees them. Material that was carried over is left out on both
    /// sides: it cannot make a difference, and it can be long.
    fn pair(&self, node: &Node) -> Result<(String, String), Error> {
        let parent = self.parent(node)?;
        if parent.input == node.input {
            return Ok((parent.instruction, node.instruction.clone()));
        }
        Ok((user_turn(&parent.instruction, &parent.input), user_turn(&node.instruction, &node.input)))
    }

    /// Answers what came through the judge (the seeds: all), and asks the rules on answers.
    fn answer(&mut self, round: u32, attempt: u32) -> Result<(), Error> {
        let nodes = requests::reached(self.attempts(round, attempt)?, Stage::Answer)?;
        let place = (round, attempt, Stage::Answer);
        let is_done = |_: &Self, node: &Node| Ok(matches!(node.status, Status::Kept | Status::Eliminated));
        self.in_chunks(place, &nodes, is_done, |run, nodes| {
            let answers = run.answers(nodes)?;
            run.watch.store(|| {
                let unit = run.store.begin()?;
                for (node, Answered { answer, outcome, is_new }) in nodes.iter().zip(answers) {
                    if is_new {
                        unit.insert_answer(node.id, &answer)?;
                    }
                    record(&unit, node.id, &outcome, Status::Kept)?;
                }
                Ok(unit.commit()?)
            })
        })
    }

    /// For each node the first answer that passes, or else the last: in waves, one for each sample, of those that have
    /// none yet.
    fn answers(&mut self, nodes: &[Node]) -> Result<Vec<Answered>, Error> {
        let mut answered: Vec<Option<Answered>> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let there = self.watch.store(|| self.store.answer(node.id))?;
            let check = |answer: Answer| {
                let outcome = self.check_answer(node, &answer.text, answer.generation.finish_reason)?;
                Ok::<_, Error>(Answered { answer, outcome, is_new: false })
            };
            answered.push(there.map(check).transpose()?);
        }
        for sample in 0..self.policy.answer_samples {
            let is_open = |answered: &Option<Answered>| {
                answered.as_ref().is_none_or(|found| found.is_new && found.outcome.reason.is_some())
            };
            let open: Vec<usize> = (0..nodes.len()).filter(|&at| is_open(&answered[at])).collect();
            if open.is_empty() {
                break;
            }
            let requests = open
                .iter()
                .map(|&at| self.requests.answer(self.model, &nodes[at], sample))
                .collect::<Result<Vec<_>, _>>()?;
            let completions = requests::complete(self.model, &requests)?;
            for ((at, request), completion) in open.into_iter().zip(&requests).zip(&completions) {
                let answer = answer_of(request, completion);
                let outcome = self.check_answer(&nodes[at], &answer.text, completion.finish_reason)?;
                answered[at] = Some(Answered { answer, outcome, is_new: true });
            }
        }
        Ok(answered.into_iter().map(|answered| answered.expect("at least one sample")).collect())
    }

    fn check_answer(&self, node: &Node, answer: &str, finish: FinishReason) -> Result<Outcome, Error> {
        self.watch
            .filters(|| eliminate::check_answer(&self.rules.words, node, answer, finish, self.policy.guards))
    }

    /// Has the judge say how hard the round's kept instructions are, and whether they are harder than their parents.
    fn rate(&mut self, round: u32) -> Result<(), Error> {
        let mut kept = Vec::new();
        for attempt in 0..self.policy.attempts {
            kept.extend(
                self.attempts(round, attempt)?.into_iter().filter(|node| node.status == Status::Kept),
            );
        }
        let is_rated = |run: &Self, node: &Node| {
            let verdicts = run.watch.store(|| run.store.verdicts(node.id))?;
            Ok(verdicts.iter().any(|verdict| verdict.rule == DIFFICULTY))
        };
        self.in_chunks((round, 0, Stage::Rate), &kept, is_rated, |run, nodes| {
            let pairs = nodes.iter().map(|node| run.pair(node)).collect::<Result<Vec<_>, _>>()?;
            let ratings = match &mut run.judge {
                Some(judge) => judge::rate(*judge, &run.judge_prompts, &pairs)?,
                None => judge::rate(run.model, &run.judge_prompts, &pairs)?,
            };
            run.watch.store(|| {
                let unit = run.store.begin()?;
                for (node, rating) in nodes.iter().zip(ratings) {
                    let detail = rating.map(|r| json!({ "difficulty": r.difficulty, "harder": r.harder }));
                    let detail = detail.unwrap_or_default();
                    unit.insert_verdict(
                        node.id,
                        &Verdict { rule: DIFFICULTY.to_owned(), passed: true, detail },
                    )?;
                    if let Some(rating) = rating {
                        unit.set_difficulty(node.id, rating.difficulty.round() as u8)?;
                    }
                }
                Ok(unit.commit()?)
            })
        })
    }

    /// The nodes of an attempt, by id.
    fn attempts(&self, round: u32, attempt: u32) -> Result<Vec<Node>, Error> {
        Ok(self.watch.store(|| self.store.attempts(round, attempt))?)
    }

    /// Does the chunks of a stage that are not done, in order. A chunk is committed whole, so its first item
    /// speaks for it.
    fn in_chunks<T>(
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

    /// Gives up when nearly all attempts of the round so far are eliminated, or too many of them are no text at all.
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

/// The most frequent reason of eliminated nodes, and the first of them as an example: its id and its instruction.
fn most_frequent(nodes: Vec<&Node>) -> (String, u64, String) {
    let mut by_reason: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in nodes {
        by_reason.entry(node.reason.as_deref().unwrap_or_default()).or_default().push(node);
    }
    let most = by_reason.into_iter().max_by_key(|(_, nodes)| nodes.len());
    let (reason, nodes) = most.expect("some attempt was eliminated");
    (reason.to_owned(), nodes[0].id, nodes[0].instruction.clone())
}

/// An answer of one node, and what the rules say about it.
struct Answered {
    answer: Answer,
    outcome: Outcome,
    /// It is not in the journal yet.
    is_new: bool,
}

/// A policy as it lies in the journal.
pub(super) fn policy_from(stored: &str) -> Result<Policy, Error> {
    serde_json::from_str(stored).map_err(|error| Error::BadPolicy { reason: error.to_string() })
}

/// The child that code makes of `parent`: drawn constraints, or those that `answer` meets.
pub(super) fn constrained(
    seed: u64,
    id: u64,
    operator: Operator,
    parent: &Node,
    answer: &str,
    most: usize,
) -> Result<Child, Error> {
    let mut constraints = constrain::of(parent)?;
    let new = constrain::choose((seed, id), operator, &parent.instruction, &constraints, answer, most);
    let instruction = if new.is_empty() {
        parent.instruction.clone()
    } else {
        constrain::add(seed, id, &parent.instruction, &new)
    };
    constraints.extend(new);
    Ok(Child { instruction, input: parent.input.clone(), lacks_data: false, constraints })
}

/// The child that a plan and what was generated for it make.
fn child(
    asking: &Requests,
    (seed, most): (u64, usize),
    plan: &Plan,
    completion: Option<&Completion>,
) -> Result<Child, Error> {
    let Plan { id, operator, parent } = plan;
    match completion {
        Some(completion) if !operator.is_by_code() => {
            Ok(asking.read_instruction(*operator, parent, completion))
        }
        completion => {
            let answer = completion.map(requests::read_answer).unwrap_or_default();
            constrained(seed, *id, *operator, parent, &answer, most)
        }
    }
}

fn operator_of(node: &Node) -> Result<Operator, Error> {
    let operator = node.operator.as_deref().and_then(Operator::parse);
    operator.ok_or_else(|| Error::NoOrigin { id: node.id, operator: node.operator.clone() })
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

fn answer_of(request: &Request, completion: &Completion) -> Answer {
    Answer {
        text: requests::read_answer(completion),
        generation: generation(request, completion),
        sample: request.sample,
    }
}

/// Rule 1 on the margin of a pair.
fn judgement(margin: Option<Margin>, line: &Calibration) -> Outcome {
    let Some(margin) = margin else { return Outcome::of(Reason::NotJudged, false, json!(null)) };
    let detail = json!({
        "margin": margin.mean(),
        "parent_first": margin.orders[0],
        "child_first": margin.orders[1],
        "threshold": line.threshold,
    });
    Outcome::of(Reason::NoGain, margin.mean() <= line.threshold, detail)
}

/// Writes the verdicts of a stage, and where they leave the node.
fn record(unit: &Unit<'_>, id: u64, outcome: &Outcome, passed: Status) -> Result<(), Error> {
    for verdict in &outcome.verdicts {
        unit.insert_verdict(id, verdict)?;
    }
    match outcome.reason {
        Some(reason) => unit.set_status(id, Status::Eliminated, Some(reason.name()))?,
        None => unit.set_status(id, passed, None)?,
    }
    Ok(())
}

fn generation(request: &Request, completion: &Completion) -> Generation {
    Generation {
        prompt_hash: prompt::hash(&request.prompt),
        sampling: request.sampling.clone(),
        key: request.key,
        prompt_tokens: completion.prompt_tokens,
        completion_tokens: completion.completion_tokens,
        finish_reason: completion.finish_reason,
    }
}
