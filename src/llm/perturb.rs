//! Measures reproducibility: repeats the same requests with changes that must not matter.
//!
//! Where in the flow: `evol doctor --determinism` runs all changes on the user's machine and model; a test
//! runs some of them. The kernels of llama.cpp treat the bits of a row differently from version to version
//! and from machine to machine, so users can measure theirs.
//!
//! It compares hashes of the logits from which tokens were drawn and questions were answered, which is much
//! stricter than comparing texts, and the numbers of embeddings.
//!
//! **Invariant:** the list of requests is a constant, and the engine is the one that runs use.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::engine::{Engine, EngineOptions, Generate as _};
use super::trace::{Rows, Trace};
use super::{DraftPolicy, Error, Part, Prompt, Question, Request, Restriction, Sampling};

/// How many changes to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of them.
    Full,
    /// One of each kind.
    Short,
}

/// The effect of one change.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Perturbed {
    /// Name of the change.
    pub change: String,
    /// Rows that were compared.
    pub rows: usize,
    /// Rows whose bits differed.
    pub differing_rows: usize,
    /// Completions that were compared.
    pub texts: usize,
    /// Completions whose text differed.
    pub differing_texts: usize,
}

/// Runs the requests as usual, then once for each change. `on_result` gets each effect as it is measured, and
/// the number of changes.
///
/// # Errors
/// The model is unusable, or `interrupt` became true.
pub fn perturb(
    model: &Path,
    threads: usize,
    extent: Extent,
    interrupt: &Arc<AtomicBool>,
    on_result: &mut dyn FnMut(&Perturbed, usize),
) -> Result<Vec<Perturbed>, Error> {
    let base = Base { model, threads, interrupt };
    let expected = Change::Nothing.run(&base)?;
    let changes = Change::all(extent);
    let mut found = Vec::with_capacity(changes.len());
    for change in &changes {
        let perturbed = expected.compare(change.name(), &change.run(&base)?);
        on_result(&perturbed, changes.len());
        found.push(perturbed);
    }
    Ok(found)
}

/// What all runs have in common.
#[derive(Debug, Clone, Copy)]
struct Base<'b> {
    model: &'b Path,
    threads: usize,
    interrupt: &'b Arc<AtomicBool>,
}

/// A change that must not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    /// Again in the same engine, which has stored prefixes by then.
    Again,
    Threads(usize),
    Width(usize),
    /// Rows of a batch, which decide the pieces in which prompts are computed.
    Pieces(usize),
    Reversed,
    Shuffled,
    /// Each in a call of its own.
    Alone,
    /// Two calls with half of the list each.
    Halves,
    /// Other requests between them.
    Neighbours,
    /// No prefix is shared.
    Unshared,
    NoDrafts,
    Drafts(usize),
    /// Streamed, as `evol chat` does.
    Conversation,
}

impl Change {
    fn all(extent: Extent) -> Vec<Self> {
        use Change::{
            Again, Alone, Conversation, Drafts, Halves, Neighbours, NoDrafts, Nothing, Pieces, Reversed,
            Shuffled, Threads, Unshared, Width,
        };
        if extent == Extent::Short {
            return vec![
                Again,
                Threads(2),
                Width(1),
                Pieces(33),
                Alone,
                Neighbours,
                Unshared,
                Drafts(3),
                Conversation,
            ];
        }
        let mut all = vec![Nothing, Again];
        all.extend([1, 2, 3].map(Threads));
        all.extend([1, 2, 3, 4, 7, 8, 9, 16, 33].map(Width));
        all.extend([2, 33, 64, 100, 128, 512, 1024].map(Pieces));
        all.extend([Reversed, Shuffled, Alone, Halves, Neighbours, Unshared, NoDrafts]);
        all.extend([1, 2, 4, 7].map(Drafts));
        all.push(Conversation);
        all
    }

    fn name(self) -> String {
        match self {
            Self::Nothing => "nothing, another engine".to_owned(),
            Self::Again => "again, prefixes kept from before".to_owned(),
            Self::Threads(count) => format!("threads: {count}"),
            Self::Width(width) => format!("batch width: {width}"),
            Self::Pieces(rows) => format!("rows per batch: {rows}"),
            Self::Reversed => "order: reversed".to_owned(),
            Self::Shuffled => "order: shuffled".to_owned(),
            Self::Alone => "each alone".to_owned(),
            Self::Halves => "stopped in the middle, resumed".to_owned(),
            Self::Neighbours => "among others".to_owned(),
            Self::Unshared => "no prefix shared".to_owned(),
            Self::NoDrafts => "drafts: none".to_owned(),
            Self::Drafts(length) => format!("drafts: {length} in every batch"),
            Self::Conversation => "streamed as a conversation".to_owned(),
        }
    }

    fn run(self, base: &Base<'_>) -> Result<Outcome, Error> {
        let trace = Arc::<Trace>::default();
        let mut engine = Engine::load(self.options(base))?;
        engine.settings.trace = Some(Arc::clone(&trace));
        engine.settings.share_prefixes = self != Self::Unshared;
        let requests = requests();
        if self == Self::Again {
            engine.generate(&requests)?;
            trace.take();
        }
        let mut texts = BTreeMap::new();
        if self == Self::Conversation {
            for request in &requests {
                let completion = engine.conversation(usize::MAX)?.complete(request, &mut |_| ())?;
                texts.insert(completion.id, completion.text);
            }
        } else {
            for list in self.lists(requests) {
                let completions = engine.generate(&list)?;
                texts.extend(completions.into_iter().map(|completion| (completion.id, completion.text)));
            }
        }
        for list in self.lists(questions()) {
            engine.score(&list)?;
        }
        for list in self.lists((0..).zip(texts_to_embed()).collect()) {
            let prompts: Vec<Prompt> = list.iter().map(|(_, prompt)| prompt.clone()).collect();
            for ((id, _), vector) in list.iter().zip(engine.embed(&prompts)?) {
                trace.note(EMBEDDINGS + id, &vector.unwrap_or_default());
            }
        }
        Ok(Outcome { rows: trace.take(), texts })
    }

    fn options<'b>(self, base: &Base<'b>) -> EngineOptions<'b> {
        let mut options = EngineOptions::new(base.model, base.threads);
        options.interrupt = Arc::clone(base.interrupt);
        match self {
            Self::Threads(count) => options.threads = count,
            Self::Width(width) => options.n_seq = width,
            Self::Pieces(rows) => options.n_batch = rows,
            Self::NoDrafts => options.drafts = DraftPolicy::Off,
            Self::Drafts(length) => options.drafts = DraftPolicy::Always(length),
            _ => {}
        }
        options
    }

    /// The lists of the calls that `list` is divided into.
    fn lists<T: Item>(self, mut list: Vec<T>) -> Vec<Vec<T>> {
        match self {
            Self::Reversed => list.reverse(),
            Self::Shuffled => list.sort_by_key(|item| crate::rng::key(item.id(), "llm.perturb", &[])),
            Self::Alone => return list.into_iter().map(|item| vec![item]).collect(),
            Self::Halves => {
                let rest = list.split_off(list.len() / 2);
                return vec![list, rest];
            }
            Self::Neighbours => {
                let with_another = |(n, item): (u64, T)| [item.stranger(STRANGERS + n), item];
                list = (0..).zip(list).flat_map(with_another).collect();
            }
            _ => {}
        }
        vec![list]
    }
}

/// The results of a run.
#[derive(Debug)]
struct Outcome {
    rows: Rows,
    texts: BTreeMap<u64, String>,
}

impl Outcome {
    /// Counts what differs in `other`; results that only `other` has do not count.
    fn compare(&self, change: String, other: &Self) -> Perturbed {
        let of_id = |(id, rows): (&u64, &Vec<blake3::Hash>)| {
            let others = other.rows.get(id).map_or(&[][..], Vec::as_slice);
            let same = rows.iter().zip(others).filter(|(a, b)| a == b).count();
            // Too many rows are as wrong as too few.
            rows.len().max(others.len()) - same
        };
        let differs = |(id, text): &(&u64, &String)| other.texts.get(*id) != Some(*text);
        Perturbed {
            change,
            rows: self.rows.values().map(Vec::len).sum(),
            differing_rows: self.rows.iter().map(of_id).sum(),
            texts: self.texts.len(),
            differing_texts: self.texts.iter().filter(differs).count(),
        }
    }
}

/// First ids of questions, embeddings and other requests.
const QUESTIONS: u64 = 1 << 16;
const EMBEDDINGS: u64 = 1 << 17;
const STRANGERS: u64 = 1 << 18;

/// A request, question or text, which has an id.
trait Item: Sized {
    fn id(&self) -> u64;
    /// An unrelated one with the id `id`.
    fn stranger(&self, id: u64) -> Self;
}

impl Item for Request {
    fn id(&self) -> u64 {
        self.id
    }

    fn stranger(&self, id: u64) -> Self {
        Self { id, key: id, prompt: stranger(id), max_tokens: 3 + id as usize % 5, ..self.clone() }
    }
}

impl Item for Question {
    fn id(&self) -> u64 {
        self.id
    }

    fn stranger(&self, id: u64) -> Self {
        Self { id, prompt: stranger(id), ..self.clone() }
    }
}

impl Item for (u64, Prompt) {
    fn id(&self) -> u64 {
        self.0
    }

    fn stranger(&self, id: u64) -> Self {
        (id, stranger(id))
    }
}

/// An unrelated prompt; they have many lengths.
fn stranger(id: u64) -> Prompt {
    plain(&["Stranger", &" things happen".repeat(1 + (id as usize * 7) % 40)], 0)
}

fn plain(parts: &[&str], shared: usize) -> Prompt {
    let part = |text: &&str| Part { text: (*text).to_owned(), special: false };
    Prompt { parts: parts.iter().map(part).collect(), shared }
}

/// About 60 tokens.
const RULES: &str = "Rewrite the task so that it asks for more. Keep its subject, add one requirement, \
and write nothing but the new task.\n\nTask: Name three rivers.\nNew task: Name three rivers of Asia and say \
for each into which sea it flows.\n\nTask:";

/// About 16 tokens; forty of them are more than 512, where llama.cpp starts to split the keys of a single
/// row.
const LINE: &str = " The ferry leaves the harbour at seven and comes back before the market closes.";

/// Short and long prompts that share much, little and nothing, at temperature 0 and above.
fn requests() -> Vec<Request> {
    let long = LINE.repeat(40);
    let mut prompts: Vec<Prompt> =
        ["Describe a clock.", "List four tools.", "Add 17 and 25.", "Explain rain."]
            .iter()
            .map(|task| plain(&[RULES, " ", task, "\nNew task:"], 1))
            .collect();
    prompts.push(plain(&[&long, " Because of the wind"], 1));
    prompts.push(plain(&[&long, " Nobody asked why"], 1));
    prompts.push(plain(&["Once upon a time"], 0));
    prompts.push(plain(&["1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 3,"], 0));
    prompts.push(plain(&["The capital of France is"], 0));
    // The same prompt again, with noise of its own.
    prompts.push(plain(&["The capital of France is"], 0));
    let warm = Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.02, ..Sampling::default() };
    let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
    (0..)
        .zip(prompts)
        .map(|(id, prompt)| Request {
            id,
            prompt,
            sampling: if id % 3 == 1 { greedy.clone() } else { warm.clone() },
            stop: if id == 6 { vec!["\n\n".to_owned()] } else { Vec::new() },
            max_tokens: 6 + id as usize % 7,
            key: 11,
            sample: id as u32,
            restriction: Restriction::None,
        })
        .collect()
}

fn questions() -> Vec<Question> {
    let labels = vec![vec![" yes".to_owned(), " Yes".to_owned()], vec![" no".to_owned(), " No".to_owned()]];
    (QUESTIONS..)
        .zip(["Is water wet?", "Is two more than three?", "Do rivers flow uphill?"])
        .map(|(id, question)| {
            let prompt = plain(&[RULES, " ", question, "\nAnswer:"], 1);
            Question { id, prompt, labels: labels.clone() }
        })
        .collect()
}

fn texts_to_embed() -> impl Iterator<Item = Prompt> {
    ["A recipe for bread.", "The orbit of Mars.", LINE].into_iter().map(|text| plain(&[text], 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_difference_is_counted() {
        let outcome = |rows: &[(u64, &[f32])], texts: &[(u64, &str)]| {
            let trace = Trace::default();
            for (id, values) in rows {
                values.iter().for_each(|&value| trace.note(*id, &[value]));
            }
            Outcome {
                rows: trace.take(),
                texts: texts.iter().map(|(id, text)| (*id, (*text).to_owned())).collect(),
            }
        };
        let expected = outcome(&[(1, &[1.0, 2.0]), (2, &[3.0])], &[(1, "a"), (2, "b")]);
        let found = |other: &Outcome| {
            let Perturbed { rows, differing_rows, texts, differing_texts, .. } =
                expected.compare(String::new(), other);
            assert_eq!((rows, texts), (3, 2));
            (differing_rows, differing_texts)
        };
        assert_eq!(found(&expected), (0, 0));
        assert_eq!(
            found(&outcome(&[(1, &[1.0, 2.0]), (2, &[3.0]), (9, &[0.0])], &[(1, "a"), (2, "b")])),
            (0, 0)
        );
        assert_eq!(found(&outcome(&[(1, &[1.0, -2.0]), (2, &[3.0])], &[(1, "a"), (2, "c")])), (1, 1));
        assert_eq!(found(&outcome(&[(1, &[1.0]), (2, &[3.0, 4.0])], &[(1, "a")])), (2, 1));
        assert_eq!(found(&outcome(&[], &[])), (3, 2));
        // Bits, not values.
        let zero = outcome(&[(1, &[0.0])], &[]);
        assert_eq!(zero.compare(String::new(), &outcome(&[(1, &[-0.0])], &[])).differing_rows, 1);
    }

    #[test]
    fn a_change_asks_everything_in_some_order() {
        let ids = |list: &[Request]| list.iter().map(|request| request.id).collect::<Vec<_>>();
        let usual = ids(&requests());
        for change in Change::all(Extent::Full) {
            let mut asked: Vec<u64> = change.lists(requests()).iter().flat_map(|list| ids(list)).collect();
            asked.retain(|&id| id < STRANGERS);
            asked.sort_unstable();
            assert_eq!(asked, usual, "{change:?}");
        }
        assert_eq!(Change::Alone.lists(requests()).len(), usual.len());
        assert_ne!(ids(&Change::Shuffled.lists(requests())[0]), usual);
    }
}
