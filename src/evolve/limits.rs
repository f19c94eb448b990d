//! How long an answer may be, and which seeds are too long for the model's context.
//!
//! In the flow: `policy` takes the limit on answers from here, `requests` the words of a brief one. `rounds`
//! looks for long seeds before anything is generated, and `evol doctor` before a run.
//!
//! **Invariant:** a function of the configuration, the model's size, its context and its tokens. Nothing is
//! generated, and no seed is changed or left out.

use super::requests::{Plan, Requests};
use super::trial::seed_node;
use super::{Error, EvolveConfig, Operator, Policy, Roots};
use crate::dataset::Seed;
use crate::llm::Generate;
use crate::store::Node;

/// The limit on answers of a small model, or one of unknown size: about 200 words of English, where the
/// prompt for answers asks for 120.
const SMALL: usize = 256;

/// From how many parameters on an answer may have how many tokens. At 256 a model of 1.5B lost 17 of 30
/// seeds; what lies above is chosen, not measured.
const BY_SIZE: [(u64, usize); 2] = [(1_000_000_000, 1024), (400_000_000, 768)];

/// Tokens of the limit for each word that a brief answer is asked for. A word has 1.3 tokens in English and
/// up to 3 in other languages and in code, and models write more words than they are asked for.
const TOKENS_FOR_A_WORD: usize = 4;

/// The fewest words that an answer is asked for: with fewer, hardly any task can be answered.
const FEWEST_WORDS: usize = 10;

/// Long seeds that are named; the others are only counted.
const NAMED: usize = 5;

/// The most tokens of an answer where the user sets none, and why, in words.
pub(super) fn answer_tokens(n_params: Option<u64>, context: usize) -> (usize, String) {
    let size =
        n_params.map_or("an unknown number of".to_owned(), |n| format!("{:.2} billion", n as f64 / 1e9));
    let of_size = BY_SIZE.into_iter().find(|&(from, _)| n_params.is_some_and(|n| n >= from));
    let of_size = of_size.map_or(SMALL, |(_, tokens)| tokens);
    let half = (context / 2).max(1);
    if half < of_size {
        return (half, format!("half of the model's context of {context}"));
    }
    (of_size, format!("the model has {size} parameters"))
}

/// How many words a brief answer is asked for, if an answer has at most `max_tokens`.
pub(super) fn brief_words(max_tokens: usize) -> usize {
    (max_tokens / TOKENS_FOR_A_WORD).max(FEWEST_WORDS)
}

/// Seeds that are too long for the model's context.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LongSeeds {
    /// Seeds that were counted.
    pub seeds: usize,
    /// Tokens of the context.
    pub context: usize,
    /// The most tokens of an answer.
    pub max_answer_tokens: usize,
    /// Seeds that some operator in use cannot rewrite: prompt, seed and a new instruction do not fit.
    pub to_rewrite: TooLong,
    /// Seeds that cannot be answered: the seed and an answer do not fit.
    pub to_answer: TooLong,
}

/// Which seeds are too long for a purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct TooLong {
    /// How many.
    pub count: usize,
    /// The first few of them: their numbers in the list of seeds, from 1.
    pub first: Vec<usize>,
    /// Tokens that the longest one would need.
    pub longest: usize,
}

impl TooLong {
    fn add(&mut self, index: usize, needed: usize) {
        self.count += 1;
        self.longest = self.longest.max(needed);
        if self.first.len() < NAMED {
            self.first.push(index + 1);
        }
    }

    /// `seeds 4, 17, …; the longest needs 2613`.
    fn named(&self) -> String {
        let numbers: Vec<String> = self.first.iter().map(usize::to_string).collect();
        let (seeds, more) = match (self.count, self.count > self.first.len()) {
            (1, _) => ("seed", ""),
            (_, false) => ("seeds", ""),
            (_, true) => ("seeds", ", …"),
        };
        format!("{seeds} {}{more}; the longest needs {}", numbers.join(", "), self.longest)
    }
}

impl LongSeeds {
    /// What a user should know, a sentence each; none if all seeds fit.
    pub fn warnings(&self) -> Vec<String> {
        let Self { seeds, context, max_answer_tokens, to_rewrite, to_answer } = self;
        let mut warnings = Vec::new();
        if to_answer.count > 0 {
            warnings.push(format!(
                "{} of {seeds} seeds are longer than the context of {context} tokens allows beside an answer \
                 of {max_answer_tokens} ({}): they are not answered; `--max-answer-tokens` sets the limit",
                to_answer.count,
                to_answer.named(),
            ));
        }
        if to_rewrite.count > 0 {
            warnings.push(format!(
                "{} of {seeds} seeds are longer than the context of {context} tokens allows beside a prompt \
                 and a new instruction ({}): they cannot be rewritten by every operator",
                to_rewrite.count,
                to_rewrite.named(),
            ));
        }
        warnings
    }
}

/// Which of `seeds` are too long for the model, as a run with this configuration would find them.
///
/// # Errors
/// [`Error::NoChatTemplate`]; [`Error::Llm`] if a seed cannot be tokenised.
pub fn long_seeds(
    model: &dyn Generate,
    n_params: Option<u64>,
    seeds: &[Seed],
    config: &EvolveConfig,
) -> Result<LongSeeds, Error> {
    let has_chat_template = model.chat_prompt(&[], 0).is_some();
    let style = config.style.resolve(n_params, has_chat_template)?;
    let policy = Policy::new(config, style, n_params, model.context_tokens());
    let requests = Requests::new(config, style, has_chat_template, policy.max_answer_tokens);
    find(model, &requests, &policy, Roots::all(seeds))
}

/// As [`long_seeds`], for a run.
pub(super) fn find(
    model: &dyn Generate,
    requests: &Requests,
    policy: &Policy,
    roots: Roots<'_>,
) -> Result<LongSeeds, Error> {
    let context = model.context_tokens();
    let in_use = |operator: &Operator| policy.operators.get(*operator) > 0.0;
    let rewriting: Vec<Operator> = Operator::rewriting().filter(in_use).collect();
    let count = Counting { model, requests, rewriting };
    // Rendering and tokenising every prompt would take minutes for a large file. No text has more tokens
    // than bytes, and a seed stands in a request twice at most: as text, and in the limit on its child.
    let shortest = Seed { instruction: "x".to_owned(), input: String::new(), skill: None, difficulty: None };
    let shortest = seed_node(0, &shortest);
    let overhead = count.to_answer(&shortest)?.max(count.to_rewrite(&shortest)?);
    let mut found = LongSeeds {
        seeds: 0,
        context,
        max_answer_tokens: policy.max_answer_tokens,
        to_rewrite: TooLong::default(),
        to_answer: TooLong::default(),
    };
    for (index, seed) in roots.own() {
        found.seeds += 1;
        if overhead + 2 * (seed.instruction.len() + seed.input.len() + 2) <= context {
            continue;
        }
        let node = seed_node(index, seed);
        for (needed, too_long) in [
            (count.to_answer(&node)?, &mut found.to_answer),
            (count.to_rewrite(&node)?, &mut found.to_rewrite),
        ] {
            if needed > context {
                too_long.add(index, needed);
            }
        }
    }
    Ok(found)
}

/// Counts the tokens that requests need.
struct Counting<'a> {
    model: &'a dyn Generate,
    requests: &'a Requests,
    /// The operators in use that have the model rewrite.
    rewriting: Vec<Operator>,
}

impl Counting<'_> {
    fn to_answer(&self, node: &Node) -> Result<usize, Error> {
        let request = self.requests.answer(self.model, node, 0)?;
        Ok(self.model.prompt_tokens(&request.prompt)? + request.max_tokens)
    }

    /// What the operator needs that needs most.
    fn to_rewrite(&self, node: &Node) -> Result<usize, Error> {
        let mut most = 0;
        for &operator in &self.rewriting {
            let plan = Plan { id: node.id, attempt: 0, operator, parent: node.clone() };
            if let Some(request) = self.requests.child(self.model, &plan)? {
                most = most.max(self.model.prompt_tokens(&request.prompt)? + request.max_tokens);
            }
        }
        Ok(most)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::Scripted;
    use super::super::{Event, tests};
    use super::*;

    #[test]
    fn a_larger_model_gives_longer_answers_and_half_of_the_context_is_the_most() {
        let tokens = |n_params, context| answer_tokens(n_params, context).0;
        let sizes = [None, Some(135_000_000), Some(494_000_000), Some(999_999_999), Some(1_000_000_000)];
        assert_eq!(sizes.map(|n_params| tokens(n_params, 8192)), [256, 256, 768, 768, 1024]);
        assert_eq!(
            [2048, 2047, 512, 300, 1].map(|context| tokens(sizes[4], context)),
            [1024, 1023, 256, 150, 1]
        );
        let (_, why) = answer_tokens(Some(1_540_000_000), 32_768);
        assert_eq!(why, "the model has 1.54 billion parameters");
        assert_eq!(answer_tokens(None, 300).1, "half of the model's context of 300");
    }

    #[test]
    fn a_brief_answer_is_asked_for_in_fewer_words_than_the_limit_has_tokens() {
        assert_eq!([1024, 768, 256, 1].map(brief_words), [256, 192, 64, 10]);
    }

    fn config() -> EvolveConfig {
        let mut config = tests::config(0);
        config.max_tokens.answer = Some(100);
        config
    }

    /// Two short seeds, one that is long, and one that has long material.
    fn seeds() -> Vec<Seed> {
        let mut seeds = tests::seeds(4);
        seeds[2].instruction = "Explain how it works. ".repeat(200);
        seeds[3].input = "Row 7: 12, 13.\n".repeat(200);
        seeds
    }

    fn find(context: usize, seeds: &[Seed]) -> LongSeeds {
        let model = Scripted { context, ..Scripted::new(0, 0.0) };
        long_seeds(&model, Some(135_000_000), seeds, &config()).unwrap()
    }

    #[test]
    fn a_seed_is_too_long_from_the_first_token_that_does_not_fit() {
        let seeds = seeds();
        let found = find(1000, &seeds);
        assert_eq!((found.seeds, found.max_answer_tokens), (4, 100));
        assert_eq!((found.to_answer.count, &found.to_answer.first[..]), (1, &[3][..]));
        // The material is not shown where it is rewritten, but the request is shown and written again.
        assert_eq!((found.to_rewrite.count, &found.to_rewrite.first[..]), (1, &[3][..]));
        let (answer, rewrite) = (found.to_answer.longest, found.to_rewrite.longest);
        assert!(answer > 1100 && rewrite > 2200, "{found:?}");
        let counts = |context| {
            let found = find(context, &seeds);
            [found.to_answer.count, found.to_rewrite.count]
        };
        assert_eq!([counts(answer - 1), counts(answer)], [[1, 1], [0, 1]]);
        assert_eq!([counts(rewrite - 1), counts(rewrite)], [[0, 1], [0, 0]]);
        assert!(find(rewrite, &seeds).warnings().is_empty());
    }

    #[test]
    fn the_user_is_warned_before_anything_is_generated() {
        let seeds: Vec<Seed> = (0..7).map(|_| seeds()[2].clone()).chain(seeds()).collect();
        let warnings = find(1000, &seeds).warnings();
        let start = "8 of 11 seeds are longer than the context of 1000 tokens allows beside an answer of 100 \
                     (seeds 1, 2, 3, 4, 5, …; the longest needs ";
        assert!(warnings.len() == 2 && warnings[0].starts_with(start), "{warnings:?}");
        let (_dir, mut store) = tests::new_store();
        let mut model = Scripted { context: 1000, interrupt_at: Some(1), ..Scripted::new(0, 0.0) };
        let mut events = Vec::new();
        let mut note = |event: &Event| events.push(event.clone());
        tests::go(&mut model, &mut store, &seeds, &config(), &mut note).unwrap_err();
        let [Event::Started { max_answer_tokens: 100, .. }, Event::LongSeeds(long)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(long.warnings(), warnings);
    }
}
