//! Replaying a run: the same requests to the model again, and a comparison of what comes back with the
//! journal, byte by byte.
//!
//! In the flow: `cli` loads the run's model and hands it over with the journal; requests come from
//! `requests`, where the run's own came from.
//!
//! What is compared of a generation: the request (hash of the prompt, key, sampling), the text as the run
//! read it, and how many tokens it had and why it ended. Where results depend on the list that a request
//! stands in, the run's own lists are made again and replayed whole. A brief answer is known by its number
//! (see [`crate::store::Answer::sample`]), and is asked for by the brief prompt.
//!
//! **Invariant:** the journal is only read. A difference is a finding, not an error.

use super::coded::Coding;
use super::guard::Words;
use super::journal::{SHARDS, policy};
use super::library;
use super::operator::Method;
use super::prompt;
use super::requests::{self, Plan, Requests};
use super::{Error, EvolveConfig, Operator, Policy, Stage, Style};
use crate::identity::Identity;
use crate::llm::{Completion, Generate, Request};
use crate::rng;
use crate::store::{Generation, Node, Store};
use std::collections::HashSet;

/// Which generations to replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// All generations.
    All,
    /// Those of some nodes, drawn by a seed.
    Sample {
        /// Number of nodes.
        nodes: usize,
        /// The seed that draws them.
        seed: u64,
    },
}

/// The part of a generation that is not as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The program makes another request now.
    Request,
    /// The instruction of a child.
    Instruction,
    /// The material that belongs to it.
    Input,
    /// The answer.
    Answer,
    /// The texts are equal, but not the number of tokens or why generation ended.
    End,
}

/// A generation that came out differently.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The node.
    pub node_id: u64,
    /// [`Stage::Evolve`] for its instruction, or the answer that its constraints were derived from;
    /// [`Stage::Answer`] for its answer.
    pub stage: Stage,
    /// What differs first.
    pub field: Field,
    /// Position of the difference, in bytes.
    pub byte: usize,
    /// The text around that position in the journal.
    pub recorded: String,
    /// The text around it in the replay.
    pub replayed: String,
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verification {
    /// Generations in the journal: instructions and answers.
    pub generations: usize,
    /// Generations that were replayed and compared.
    pub compared: usize,
    /// Bytes of text that were compared.
    pub bytes: u64,
    /// Compared generations that differ.
    pub differing: usize,
    /// Each of them, in the order of the run.
    pub differences: Vec<Difference>,
}

/// A generation of the run.
struct Generated {
    node: Node,
    purpose: Purpose,
    /// The recorded result; `None` where the journal does not keep it: an answer that failed before another
    /// was tried.
    recorded: Option<Recorded>,
}

/// What a generation was for.
enum Purpose {
    /// A child: its instruction, or the answer to its parent that decides its constraints.
    Child(Box<Plan>),
    /// The same answer, but brief, because the first was cut.
    BriefDraft(Box<Plan>, u32),
    /// An answer, after `sample` others had failed.
    Answer { sample: u32 },
    /// A brief answer, because one of those before it was cut.
    BriefAnswer { sample: u32 },
}

/// Generations that the run made in one call, and those that followed from it.
#[derive(Default)]
struct List {
    asked: Vec<Generated>,
    /// Brief drafts, in a second call: those that the journal has, and those that may have been made, as the
    /// journal does not have the child's answer. The latter were made if the first draft was cut.
    again: Vec<Generated>,
}

impl List {
    fn all(&self) -> impl Iterator<Item = &Generated> {
        self.asked.iter().chain(&self.again)
    }

    fn into_all(self) -> impl Iterator<Item = Generated> {
        self.asked.into_iter().chain(self.again)
    }
}

/// What the journal has of a generation.
struct Recorded {
    /// In the order of comparison.
    texts: Vec<RecordedText>,
    generation: Generation,
    /// Which of several answers it is; 0 for an instruction.
    sample: u32,
}

struct RecordedText {
    field: Field,
    text: String,
}

/// Turns a completion into texts, as the run did.
#[derive(Clone, Copy)]
struct Reader<'a> {
    requests: &'a Requests,
    coding: Coding<'a>,
}

/// Replays generations of the journal. `whole_lists`: the bytes depend on the list that a request stands in
/// ([`crate::llm::Determinism::Scheduled`]), so the run's own lists are replayed, as many as hold the sample.
/// `progress` gets how many are done, and of how many.
///
/// # Errors
/// [`Error::NothingToVerify`], [`Error::OtherPrompts`], [`Error::BadIdentity`] where the journal cannot be
/// replayed by this program; [`Error::Llm`] when the model fails or is interrupted.
pub fn verify(
    model: &mut dyn Generate,
    store: &Store,
    selection: Selection,
    whole_lists: bool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Verification, Error> {
    let identity = store.identity()?;
    if identity.is_empty() {
        return Err(Error::NothingToVerify);
    }
    if whole_lists && let Some(shards) = store.meta(SHARDS)? {
        return Err(Error::OfShards { shards });
    }
    let (config, style) = settings(&identity)?;
    let Some(policy) = policy(store)? else { return Err(Error::NothingToVerify) };
    let has_chat_template = model.chat_prompt(&[], 0).is_some();
    let requests = Requests::new(&config, style, has_chat_template, policy.max_answer_tokens);
    let words = Words::load();
    let reader = Reader { requests: &requests, coding: Coding::new(config.seed, &policy, &words) };
    let mut lists = generation_lists(store, &config, &policy)?;
    let count =
        |lists: &[List]| lists.iter().flat_map(List::all).filter(|one| one.recorded.is_some()).count();
    let generations = count(&lists);
    if !whole_lists {
        // What cannot be compared need not be made again.
        for list in &mut lists {
            list.asked.retain(|one| one.recorded.is_some());
            list.again.retain(|one| one.recorded.is_some());
        }
        lists.retain(|list| list.all().next().is_some());
    }
    if generations == 0 {
        return Err(Error::NothingToVerify);
    }
    let lists = match selection {
        Selection::All => lists,
        Selection::Sample { nodes, seed } if whole_lists => sample_lists(lists, nodes, seed),
        Selection::Sample { nodes, seed } => sample_nodes(lists, nodes, seed, config.chunk_size),
    };
    let total = count(&lists);
    let mut found =
        Verification { generations, compared: 0, bytes: 0, differing: 0, differences: Vec::new() };
    progress(0, total);
    for List { asked, mut again } in lists {
        let cut = replay(&asked, reader, model, &mut found)?;
        again.retain(|one| one.recorded.is_some() || cut.contains(&one.node.id));
        replay(&again, reader, model, &mut found)?;
        progress(found.compared, total);
    }
    found.differing = found.differences.len();
    Ok(found)
}

/// Makes the generations of one call again and compares them. Returns the nodes whose draft was cut.
fn replay(
    list: &[Generated],
    reader: Reader<'_>,
    model: &mut dyn Generate,
    found: &mut Verification,
) -> Result<HashSet<u64>, Error> {
    let mut cut = HashSet::new();
    if list.is_empty() {
        return Ok(cut);
    }
    let requested =
        list.iter().map(|one| one.request(reader.requests, model)).collect::<Result<Vec<_>, _>>()?;
    let completions = requests::complete(model, &requested)?;
    for ((one, request), completion) in list.iter().zip(&requested).zip(&completions) {
        if let Purpose::Child(plan) = &one.purpose
            && requests::is_cut_draft(plan.operator, completion.finish_reason)
        {
            cut.insert(one.node.id);
        }
        let Some(recorded) = &one.recorded else { continue };
        found.bytes += recorded.texts.iter().map(|recorded| recorded.text.len() as u64).sum::<u64>();
        found.differences.extend(one.compare(recorded, reader, request, completion)?);
        found.compared += 1;
    }
    Ok(cut)
}

/// Configuration and style from the journal, if this program still has the prompts.
fn settings(identity: &Identity) -> Result<(EvolveConfig, Style), Error> {
    let value = |name: &str| {
        identity.get(name).ok_or_else(|| Error::BadIdentity { reason: format!("`{name}` is missing") })
    };
    let (recorded, own) = (value("prompts.blake3")?.to_owned(), library::hash());
    if recorded != own {
        return Err(Error::OtherPrompts { recorded, own });
    }
    let name = value("prompts.style")?;
    let style = [Style::Chat, Style::Completion].into_iter().find(|style| style.name() == name);
    let style = style.ok_or_else(|| Error::BadIdentity { reason: format!("`prompts.style` is `{name}`") })?;
    Ok((EvolveConfig::from_identity(identity)?, style))
}

/// All generations as the run made them: a list for each call, in the order of the calls.
fn generation_lists(store: &Store, config: &EvolveConfig, policy: &Policy) -> Result<Vec<List>, Error> {
    let mut lists = Vec::new();
    let samples = policy.answer_samples;
    for round in 0..=policy.rounds {
        for attempt in 0..if round == 0 { 1 } else { policy.attempts } {
            let nodes = store.attempts(round, attempt)?;
            for chunk in nodes.chunks(config.chunk_size) {
                let mut list = List::default();
                for node in chunk {
                    Generated::child(store, node, samples, &mut list)?;
                }
                lists.push(list);
            }
            let mut reached = Vec::new();
            for node in &nodes {
                if requests::reaches(node, Stage::Answer)? {
                    reached.push(node);
                }
            }
            for chunk in reached.chunks(config.chunk_size) {
                // The last wave is of brief answers.
                for sample in 0..=samples {
                    let answers = chunk.iter().map(|node| Generated::answer(store, node, sample, samples));
                    let asked = answers.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
                    lists.push(List { asked, again: Vec::new() });
                }
            }
        }
    }
    lists.retain(|list| list.all().next().is_some());
    Ok(lists)
}

/// The generations of `nodes` nodes, in lists of `length`.
fn sample_nodes(lists: Vec<List>, nodes: usize, seed: u64, length: usize) -> Vec<List> {
    let mut ids: Vec<u64> = lists.iter().flat_map(List::all).map(|one| one.node.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.sort_by_key(|&id| rng::key(seed, "verify.nodes", &[id]));
    let drawn: HashSet<u64> = ids.into_iter().take(nodes).collect();
    let all = lists.into_iter().flat_map(List::into_all);
    let mut rest: Vec<Generated> = all.filter(|one| drawn.contains(&one.node.id)).collect();
    let mut lists = Vec::new();
    while !rest.is_empty() {
        let behind = rest.split_off(length.min(rest.len()));
        lists.push(List { asked: std::mem::replace(&mut rest, behind), again: Vec::new() });
    }
    lists
}

/// Whole lists, as many as it takes to have that many nodes.
fn sample_lists(lists: Vec<List>, nodes: usize, seed: u64) -> Vec<List> {
    let mut order: Vec<usize> = (0..lists.len()).collect();
    order.sort_by_key(|&index| rng::key(seed, "verify.lists", &[index as u64]));
    let mut held = HashSet::new();
    let mut drawn = HashSet::new();
    for index in order {
        if held.len() >= nodes {
            break;
        }
        held.extend(lists[index].all().map(|one| one.node.id));
        drawn.insert(index);
    }
    let picked = lists.into_iter().enumerate().filter(|(index, _)| drawn.contains(index));
    picked.map(|(_, list)| list).collect()
}

impl Generated {
    /// Adds to `list` what the stage of evolving generated for `node`: nothing for a seed, or where
    /// constraints were drawn. `samples`: those of an answer.
    fn child(store: &Store, node: &Node, samples: u32, list: &mut List) -> Result<(), Error> {
        let Some(parent_id) = node.parent_id else { return Ok(()) };
        let operator = node.operator.as_deref().and_then(Operator::parse);
        let (Some(parent), Some(operator)) = (store.node(parent_id)?, operator) else {
            return Err(Error::NoOrigin { id: node.id, operator: node.operator.clone() });
        };
        let plan = Box::new(Plan { id: node.id, attempt: node.attempt, operator, parent });
        let text = |field, text: &str| RecordedText { field, text: text.to_owned() };
        let instruction = text(Field::Instruction, &node.instruction);
        let of = |purpose, recorded| Self { node: node.clone(), purpose, recorded };
        match operator.method() {
            Method::Draw => {}
            Method::Derive | Method::Impose => {
                let mut recorded = Recorded::answer(store, node)?;
                if let Some(recorded) = &mut recorded {
                    recorded.texts.push(instruction);
                }
                let is_known = recorded.is_some();
                let brief = recorded.take_if(|recorded| recorded.sample == samples);
                if brief.is_some() || (!is_known && !operator.may_be_cut()) {
                    list.again.push(of(Purpose::BriefDraft(plan.clone(), samples), brief));
                }
                list.asked.push(of(Purpose::Child(plan), recorded));
            }
            Method::Rewrite(_) => {
                let Some(generation) = node.generation.clone() else { return Ok(()) };
                let texts = vec![instruction, text(Field::Input, &node.input)];
                list.asked.push(of(Purpose::Child(plan), Some(Recorded { texts, generation, sample: 0 })));
            }
        }
        Ok(())
    }

    /// What the stage of answering generated for `node` in the wave `sample`, the last of which is number
    /// `samples` and brief; `None`: nothing.
    fn answer(store: &Store, node: &Node, sample: u32, samples: u32) -> Result<Option<Self>, Error> {
        let operator = node.operator.as_deref().and_then(Operator::parse);
        let answered_first = operator.is_some_and(Operator::answers_first);
        let kept = store.answer(node.id)?.filter(|answer| !answered_first && answer.sample >= sample);
        let Some(kept) = kept else { return Ok(None) };
        let recorded = if kept.sample == sample { Recorded::answer(store, node)? } else { None };
        let is_brief = sample == samples;
        let purpose = if is_brief { Purpose::BriefAnswer { sample } } else { Purpose::Answer { sample } };
        Ok(Some(Self { node: node.clone(), purpose, recorded }))
    }

    fn stage(&self) -> Stage {
        match self.purpose {
            Purpose::Child(_) | Purpose::BriefDraft(..) => Stage::Evolve,
            Purpose::Answer { .. } | Purpose::BriefAnswer { .. } => Stage::Answer,
        }
    }

    fn request(&self, requests: &Requests, model: &dyn Generate) -> Result<Request, Error> {
        match &self.purpose {
            Purpose::Child(plan) => {
                Ok(requests.child(model, plan)?.expect("a drawn child is no generation of the run"))
            }
            Purpose::BriefDraft(plan, sample) => requests.brief_draft(model, plan, *sample),
            Purpose::Answer { sample } => requests.answer(model, &self.node, *sample),
            Purpose::BriefAnswer { sample } => requests.brief_answer(model, &self.node, *sample),
        }
    }

    /// The texts that the program makes of a completion now, in the order of [`Recorded::texts`].
    fn read(&self, reader: Reader<'_>, completion: &Completion) -> Result<Vec<String>, Error> {
        Ok(match &self.purpose {
            Purpose::Child(plan) | Purpose::BriefDraft(plan, _) if plan.operator.is_by_code() => {
                let answer = requests::read_draft(plan.operator, completion);
                let new = reader.coding.child(plan, &answer)?;
                vec![new.formed_answer.unwrap_or(answer), new.child.instruction]
            }
            Purpose::Child(plan) | Purpose::BriefDraft(plan, _) => {
                let child = reader.requests.read_instruction(plan, completion);
                vec![child.instruction, child.input]
            }
            Purpose::Answer { .. } | Purpose::BriefAnswer { .. } => {
                vec![requests::read_answer(completion)]
            }
        })
    }

    /// The first difference, if there is one.
    fn compare(
        &self,
        recorded: &Recorded,
        reader: Reader<'_>,
        request: &Request,
        completion: &Completion,
    ) -> Result<Option<Difference>, Error> {
        let Recorded { texts, generation, .. } = recorded;
        let Generation { prompt_hash, sampling, key, .. } = generation;
        let recorded = format!("{prompt_hash} {key:016x} {sampling:?}");
        let now = format!("{} {:016x} {:?}", prompt::hash(&request.prompt), request.key, request.sampling);
        let mut pairs = vec![(Field::Request, recorded, now)];
        let replayed = self.read(reader, completion)?;
        let texts = texts.iter().zip(replayed);
        pairs.extend(texts.map(|(recorded, now)| (recorded.field, recorded.text.clone(), now)));
        let end = |finish, tokens| format!("{finish:?} after {tokens} tokens");
        pairs.push((
            Field::End,
            end(generation.finish_reason, generation.completion_tokens),
            end(completion.finish_reason, completion.completion_tokens),
        ));
        let Some((field, recorded, now)) = pairs.into_iter().find(|(_, recorded, now)| recorded != now)
        else {
            return Ok(None);
        };
        let byte = first_difference(&recorded, &now);
        Ok(Some(Difference {
            node_id: self.node.id,
            stage: self.stage(),
            field,
            byte,
            recorded: excerpt(&recorded, byte),
            replayed: excerpt(&now, byte),
        }))
    }
}

impl Recorded {
    /// `None`: there is no answer.
    fn answer(store: &Store, node: &Node) -> Result<Option<Self>, Error> {
        let recorded = |answer: crate::store::Answer| Self {
            texts: vec![RecordedText { field: Field::Answer, text: answer.text }],
            generation: answer.generation,
            sample: answer.sample,
        };
        Ok(store.answer(node.id)?.map(recorded))
    }
}

fn first_difference(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// Characters shown on each side of a difference.
const AROUND: usize = 32;

/// What stands around byte `at`, cut at characters.
fn excerpt(text: &str, at: usize) -> String {
    let at = (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let before: Vec<char> = text[..at].chars().rev().take(AROUND + 1).collect();
    let after: Vec<char> = text[at..].chars().take(AROUND + 1).collect();
    let mut shown = String::new();
    if before.len() > AROUND {
        shown.push('…');
    }
    shown.extend(before.iter().take(AROUND).rev());
    shown.extend(after.iter().take(AROUND));
    if after.len() > AROUND {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_shows_the_difference_and_cuts_between_characters() {
        let (a, b) = ("ä".repeat(50), format!("{}x{}", "ä".repeat(40), "ä".repeat(40)));
        let at = first_difference(&a, &b);
        assert_eq!(at, 80);
        assert_eq!(excerpt(&a, at), format!("…{}", "ä".repeat(42)));
        assert_eq!(excerpt(&b, at), format!("…{}x{}…", "ä".repeat(32), "ä".repeat(31)));
        // `é` and `è` share their first byte.
        assert_eq!(excerpt("caf\u{e9}", first_difference("caf\u{e9}", "caf\u{e8}")), "caf\u{e9}");
        assert_eq!(excerpt("", 0), "");
    }
}
