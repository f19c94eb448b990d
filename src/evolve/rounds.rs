//! The order of things: seeds, rounds, stages, chunks.
//!
//! In the flow: [`super::run`] calls [`run`]; everything it decides is decided from the journal's rows.
//!
//! **Invariant:** a stage's list and its chunks are the same whether the run was interrupted or not; a chunk
//! is done if its rows are there, and it is never done twice.

use super::eliminate::{self, ChildRules, Outcome};
use super::fingerprint;
use super::judge::{self, Margin};
use super::library;
use super::prompt;
use super::requests::{self, Requests};
use super::times::{Stopwatch, Times};
use super::{Calibration, Chunk, Error, Event, EvolveConfig, Model, Operator, Reason, Stage};
use crate::dataset::{Seed, user_turn};
use crate::llm::{Completion, Generate, Request};
use crate::store::{Answer, Generation, Node, Status, Store, Unit, node_id};
use serde_json::json;
use std::collections::{BTreeMap, HashSet};

/// Attempts of a round before its yield is judged.
const YIELD_WINDOW: usize = 50;
/// Entry of `meta` with the [`Calibration`].
const CALIBRATION: &str = "judge";

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
    let Model { generate: model, sha256, recipe, n_params } = model;
    let has_chat_template = model.chat_prompt(&[], 0).is_some();
    let style = config.style.resolve(n_params, has_chat_template)?;
    let bound = fingerprint::new(&sha256, style.name(), &recipe, seeds, config);
    store.bind(&bound)?;
    progress(&Event::Begun { style, seeds: seeds.len() });
    let requests = Requests::new(config, style, has_chat_template);
    let rules = ChildRules::new(&requests.prompts);
    let watch = Stopwatch::default();
    let mut run = Run { model, store, config, requests, rules, progress, watch };
    run.plant(seeds)?;
    let calibration = run.calibrate()?;
    run.answer(0, 0)?;
    for round in 1..=config.rounds {
        for attempt in 0..config.attempts {
            run.evolve(round, attempt)?;
            run.judge(round, attempt, &calibration)?;
            run.answer(round, attempt)?;
            run.check_yield(round, attempt)?;
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

struct Run<'a> {
    model: &'a mut dyn Generate,
    store: &'a mut Store,
    config: &'a EvolveConfig,
    requests: Requests,
    rules: ChildRules,
    progress: &'a mut dyn FnMut(&Event),
    watch: Stopwatch,
}

impl Run<'_> {
    /// Makes the seeds round 0.
    fn plant(&mut self, seeds: &[Seed]) -> Result<(), Error> {
        if !self.store.attempts(0, 0)?.is_empty() {
            return Ok(());
        }
        let unit = self.store.begin()?;
        for (index, seed) in seeds.iter().enumerate() {
            let id = node_id(index, 0, 0);
            unit.insert_node(&Node {
                id,
                parent_id: None,
                root_id: id,
                round: 0,
                attempt: 0,
                operator: None,
                instruction: seed.instruction.clone(),
                input: seed.input.clone(),
                skill: seed.skill.clone(),
                difficulty: seed.difficulty,
                generation: None,
                status: Status::Evolved,
                reason: None,
            })?;
        }
        Ok(unit.commit()?)
    }

    /// The judge's calibration: from the journal, or made and written there.
    fn calibrate(&mut self) -> Result<Calibration, Error> {
        let calibration = if let Some(stored) = self.store.meta(CALIBRATION)? {
            serde_json::from_str(&stored).map_err(|_| Error::BadCalibration { found: stored })?
        } else {
            let made = judge::calibrate(self.model, &self.requests.prompts.judge, self.config.judge)?;
            let unit = self.store.begin()?;
            unit.set_meta(CALIBRATION, &serde_json::to_string(&made).expect("plain numbers serialise"))?;
            unit.commit()?;
            made
        };
        (self.progress)(&Event::Calibrated(calibration));
        Ok(calibration)
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
            |plan| there.contains(&plan.id),
            |run, plans| {
                run.evolve_chunk(round, attempt, plans)?;
                run.check_yield(round, attempt)
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
        let (seed, weights) = (self.config.seed, self.config.operators);
        let plan = |parent: Node| {
            let root_index = (parent.root_id / node_id(0, 0, 0) - 1) as usize;
            let operator = weights.draw(seed, parent.root_id, round, attempt);
            Plan { id: node_id(root_index, round, attempt), operator, parent }
        };
        let pool = self.watch.store(|| self.store.pool(round))?;
        Ok(pool.into_iter().filter(|node| !evolved.contains(&node.root_id)).map(plan).collect())
    }

    /// Tells the rules of every instruction that came through the first stage so far.
    fn learn_known(&mut self, round: u32, attempt: u32) -> Result<(), Error> {
        self.rules.clear();
        for earlier_round in 0..=round {
            for earlier_attempt in 0..self.config.attempts {
                if (earlier_round, earlier_attempt) <= (round, attempt) {
                    for node in self.attempts(earlier_round, earlier_attempt)? {
                        if requests::failed_at(&node)? != Some(Stage::Evolve) {
                            self.rules.learn(&node.instruction, &node.input);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn evolve_chunk(&mut self, round: u32, attempt: u32, plans: &[Plan]) -> Result<(), Error> {
        let requests = plans.iter().map(|plan| self.request(plan)).collect::<Result<Vec<_>, _>>()?;
        let completions = requests::complete(self.model, &requests)?;
        let (asking, rules) = (&self.requests, &mut self.rules);
        let read = |(plan, completion): (&Plan, &Completion)| {
            let child = asking.read_instruction(plan.operator, &plan.parent, completion);
            let outcome = rules.check(plan.operator, &plan.parent, &child, completion.finish_reason);
            if outcome.reason.is_none() {
                rules.learn(&child.instruction, &child.input);
            }
            (child, outcome)
        };
        let children: Vec<_> = self.watch.filters(|| plans.iter().zip(&completions).map(read).collect());
        let store = &mut *self.store;
        self.watch.store(|| {
            let unit = store.begin()?;
            let generations = requests.iter().zip(&completions);
            for ((plan, (request, completion)), (child, outcome)) in
                plans.iter().zip(generations).zip(children)
            {
                let in_breadth = plan.operator.is_in_breadth();
                unit.insert_node(&Node {
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
                    generation: Some(generation(request, completion)),
                    status: Status::Evolved,
                    reason: None,
                })?;
                record(&unit, plan.id, &outcome, Status::Evolved)?;
            }
            Ok(unit.commit()?)
        })
    }

    fn request(&self, plan: &Plan) -> Result<Request, Error> {
        self.requests.instruction(self.model, plan.id, plan.operator, &plan.parent)
    }

    /// Asks rule 1 of the children that came through the first stage.
    fn judge(&mut self, round: u32, attempt: u32, line: &Calibration) -> Result<(), Error> {
        let nodes = requests::reached(self.attempts(round, attempt)?, Stage::Judge)?;
        let place = (round, attempt, Stage::Judge);
        self.in_chunks(
            place,
            &nodes,
            |node| node.status != Status::Evolved,
            |run, nodes| {
                let pairs = nodes.iter().map(|node| run.pair(node)).collect::<Result<Vec<_>, _>>()?;
                let margins = judge::margins(run.model, &run.requests.prompts.judge, &pairs)?;
                run.watch.store(|| {
                    let unit = run.store.begin()?;
                    for (node, margin) in nodes.iter().zip(margins) {
                        record(&unit, node.id, &judgement(margin, line), Status::Judged)?;
                    }
                    Ok(unit.commit()?)
                })
            },
        )
    }

    /// A node with its parent, as the judge sees them. Material that was carried over is left out on both
    /// sides: it cannot make a difference, and it can be long.
    fn pair(&self, node: &Node) -> Result<(String, String), Error> {
        let parent = node.parent_id.expect("only children are judged");
        let parent = self.watch.store(|| self.store.node(parent))?.expect("the journal's foreign keys hold");
        if parent.input == node.input {
            return Ok((parent.instruction, node.instruction.clone()));
        }
        Ok((user_turn(&parent.instruction, &parent.input), user_turn(&node.instruction, &node.input)))
    }

    /// Answers what came through the judge (the seeds: all), and asks the rules on answers.
    fn answer(&mut self, round: u32, attempt: u32) -> Result<(), Error> {
        let nodes = requests::reached(self.attempts(round, attempt)?, Stage::Answer)?;
        let stop_words = library::stop_words();
        let place = (round, attempt, Stage::Answer);
        let is_done = |node: &Node| matches!(node.status, Status::Kept | Status::Eliminated);
        self.in_chunks(place, &nodes, is_done, |run, nodes| {
            let requests = nodes
                .iter()
                .map(|node| run.requests.answer(run.model, node))
                .collect::<Result<Vec<_>, _>>()?;
            let completions = requests::complete(run.model, &requests)?;
            let check = |completion: &Completion| {
                eliminate::check_answer(
                    &requests::read_answer(completion),
                    completion.finish_reason,
                    &stop_words,
                )
            };
            let outcomes: Vec<_> = run.watch.filters(|| completions.iter().map(check).collect());
            run.watch.store(|| {
                let unit = run.store.begin()?;
                let generations = requests.iter().zip(&completions);
                for ((node, (request, completion)), outcome) in nodes.iter().zip(generations).zip(outcomes) {
                    let text = requests::read_answer(completion);
                    let answer = Answer { text, generation: generation(request, completion) };
                    unit.insert_answer(node.id, &answer)?;
                    record(&unit, node.id, &outcome, Status::Kept)?;
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
        is_done: impl Fn(&T) -> bool,
        mut work: impl FnMut(&mut Self, &[T]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut done = 0;
        for chunk in items.chunks(self.config.chunk_size) {
            let replayed = is_done(&chunk[0]);
            if !replayed {
                work(self, chunk)?;
            }
            done += chunk.len();
            let total = items.len();
            (self.progress)(&Event::Chunk(Chunk { round, attempt, stage, done, total, replayed }));
        }
        Ok(())
    }

    /// Gives up when nearly all attempts so far are eliminated.
    fn check_yield(&self, round: u32, attempt: u32) -> Result<(), Error> {
        let nodes = self.attempts(round, attempt)?;
        let dead: Vec<&Node> = nodes.iter().filter(|node| node.status == Status::Eliminated).collect();
        let (attempts, alive) = (nodes.len(), nodes.len() - dead.len());
        if attempts < YIELD_WINDOW || alive as f64 >= self.config.min_yield * attempts as f64 {
            return Ok(());
        }
        let mut by_reason: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
        for node in dead {
            by_reason.entry(node.reason.as_deref().unwrap_or_default()).or_default().push(node);
        }
        let most = by_reason.into_iter().max_by_key(|(_, nodes)| nodes.len());
        let (reason, nodes) = most.expect("some attempt was eliminated");
        Err(Error::Hopeless {
            round,
            attempts,
            alive,
            limit: self.config.min_yield,
            reason: reason.to_owned(),
            example_id: nodes[0].id,
            example: nodes[0].instruction.clone(),
        })
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
