//! Turns conversations into token samples that say which tokens carry loss.
//!
//! Where in the flow: `dataset::Example` → here → [`super::pack`]. The model's own chat template renders the
//! conversation. The tokens before an answer are exactly the prompt that inference feeds for the same
//! messages, because both come from the same call of the template.
//!
//! Every assistant turn carries loss: the tokens of its content and the token that ends the turn. Role
//! headers, other turns, and what a template writes after the end token (a newline in `ChatML`) carry none.
//!
//! A model without a chat template is refused ([`Error::NoTemplate`]) instead of given an invented format:
//! inference would have to use the same one, and a mismatch degrades a model without any error.
//!
//! **Invariant:** a sample is a whole conversation, unless the user asks for truncation. One that is longer
//! than a row is dropped and counted: a truncated answer teaches the model to stop in the middle, or never to
//! stop.

use super::{Error, Overlong};
use crate::dataset::Example;
use crate::llm::{ChatTemplate, Message, Part, Tokenizer};
use std::collections::BTreeMap;

/// A tokenised conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub(super) tokens: Vec<u32>,
    pub(super) has_loss: Vec<bool>,
    /// Index of its example in the data, for messages.
    pub(super) example: usize,
}

impl Sample {
    /// A sample of at least two tokens; `has_loss[t]` says whether token t is a target. The first token
    /// cannot be one, because nothing before it predicts it. The last one must be, because tokens after the
    /// last target would be computed for nothing.
    ///
    /// # Panics
    /// If any of this does not hold.
    pub fn new(tokens: Vec<u32>, has_loss: Vec<bool>) -> Self {
        assert_eq!(tokens.len(), has_loss.len(), "one flag per token");
        assert!(tokens.len() >= 2, "{} tokens, a sample has at least 2", tokens.len());
        assert!(
            !has_loss[0] && has_loss[has_loss.len() - 1],
            "the loss starts after the first token and ends at the last"
        );
        Self { tokens, has_loss, example: 0 }
    }

    /// All tokens, from the first of the prompt to the end token of the last answer.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// For each token whether it carries loss.
    pub fn has_loss(&self) -> &[bool] {
        &self.has_loss
    }

    /// The tokens that carry loss, in order.
    pub fn targets(&self) -> impl Iterator<Item = u32> {
        self.tokens.iter().zip(&self.has_loss).filter(|(_, has_loss)| **has_loss).map(|(token, _)| *token)
    }

    /// The sample truncated to `positions` fed positions; `None` if none of them is a target.
    fn cut(mut self, positions: usize) -> Option<Self> {
        self.has_loss.truncate(positions + 1);
        let last = self.has_loss.iter().rposition(|&has_loss| has_loss)?;
        self.has_loss.truncate(last + 1);
        self.tokens.truncate(last + 1);
        Some(self)
    }

    /// Positions that the model is fed: every token but the last.
    pub fn positions(&self) -> usize {
        self.tokens.len() - 1
    }
}

/// Why an example is not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// It does not end with an answer that has text.
    NoAnswer,
    /// It does not fit `max_seq_len`.
    TooLong,
}

impl DropReason {
    /// The reason in words, for messages.
    pub fn words(self) -> &'static str {
        match self {
            Self::NoAnswer => "without an answer",
            Self::TooLong => "too long",
        }
    }
}

/// Examples ready for packing, and what became of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// In the order of the examples.
    pub samples: Vec<Sample>,
    /// How many examples were dropped, by reason.
    pub dropped: BTreeMap<DropReason, usize>,
    /// How many samples were cut to the length of a row.
    pub truncated: usize,
}

impl Encoded {
    /// Positions fed in one pass over the samples.
    pub fn positions(&self) -> usize {
        self.samples.iter().map(Sample::positions).sum()
    }

    /// Tokens that carry loss in one pass over the samples.
    pub fn targets(&self) -> usize {
        self.samples.iter().map(|sample| sample.targets().count()).sum()
    }

    /// Fails if no sample is left.
    pub(super) fn require_samples(&self, purpose: &'static str) -> Result<(), Error> {
        if !self.samples.is_empty() {
            return Ok(());
        }
        let count = |reason| self.dropped.get(&reason).copied().unwrap_or(0);
        let (no_answer, too_long) = (count(DropReason::NoAnswer), count(DropReason::TooLong));
        Err(Error::NoSamples { purpose, given: no_answer + too_long, no_answer, too_long })
    }

    pub(super) fn lengths(&self) -> Vec<usize> {
        self.samples.iter().map(Sample::positions).collect()
    }

    /// Hashes everything that training sees of the samples.
    pub(super) fn hash_into(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&(self.samples.len() as u64).to_le_bytes());
        for sample in &self.samples {
            hasher.update(&(sample.tokens.len() as u64).to_le_bytes());
            for (token, &has_loss) in sample.tokens.iter().zip(&sample.has_loss) {
                hasher.update(&token.to_le_bytes());
                hasher.update(&[u8::from(has_loss)]);
            }
        }
    }
}

/// Tokenises `examples` with the model's own chat template for rows of `max_seq_len` positions; `overlong`
/// says what happens to those that do not fit.
///
/// # Errors
/// The model has no usable template ([`Error::NoTemplate`], [`Error::NoEndOfTurn`],
/// [`Error::TemplateMismatch`]), or rendering or tokenising fails.
pub fn encode(
    tokenizer: &Tokenizer,
    examples: &[Example],
    max_seq_len: usize,
    overlong: Overlong,
) -> Result<Encoded, Error> {
    let template = tokenizer.chat_template()?.ok_or(Error::NoTemplate)?;
    let mut encoded = Encoded::default();
    for (index, example) in examples.iter().enumerate() {
        match encode_one(tokenizer, &template, index, &example.messages)? {
            Ok(sample) if sample.positions() <= max_seq_len => {
                encoded.samples.push(Sample { example: index, ..sample });
            }
            Ok(sample) => match sample.cut(max_seq_len).filter(|_| overlong == Overlong::Truncate) {
                Some(sample) => {
                    encoded.truncated += 1;
                    encoded.samples.push(Sample { example: index, ..sample });
                }
                None => *encoded.dropped.entry(DropReason::TooLong).or_default() += 1,
            },
            Err(reason) => *encoded.dropped.entry(reason).or_default() += 1,
        }
    }
    Ok(encoded)
}

/// Encodes one conversation. The outer error ends the run, because every example would cause it; the inner
/// one drops this example.
fn encode_one(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    example: usize,
    messages: &[Message],
) -> Result<Result<Sample, DropReason>, Error> {
    if messages.len() < 2 || !messages.last().is_some_and(is_answer) {
        return Ok(Err(DropReason::NoAnswer));
    }
    let render = |messages, add_generation_prompt| {
        let parts = template.render(messages, add_generation_prompt);
        parts.map_err(|source| Error::Example { example, source })
    };
    let tokenize = |parts| tokenizer.tokenize(parts).map_err(|source| Error::Example { example, source });
    let parts = render(messages, false)?;
    let mut tokens = tokenize(&parts)?;
    let mut has_loss = vec![false; tokens.len()];
    for (turn, message) in messages.iter().enumerate().filter(|(_, message)| is_answer(message)) {
        let prompt = render(&messages[..turn], true)?;
        let answer =
            answer_part(&parts, &prompt, message).ok_or(Error::TemplateMismatch { example, turn })?;
        // The tokens of the first parts are the first tokens, so these are the bounds of the answer's
        // content.
        let (start, content_end) = (tokenize(&parts[..answer])?.len(), tokenize(&parts[..=answer])?.len());
        let end_token = tokenizer.eos();
        let end = tokens[content_end..].iter().position(|&token| token == end_token);
        let end = content_end + end.ok_or(Error::NoEndOfTurn { end_token })?;
        has_loss[start..=end].fill(true);
    }
    let length = has_loss.iter().rposition(|&has_loss| has_loss).map_or(0, |last| last + 1);
    tokens.truncate(length);
    has_loss.truncate(length);
    Ok(Ok(Sample::new(tokens, has_loss)))
}

fn is_answer(message: &Message) -> bool {
    message.role == "assistant" && !message.content.trim().is_empty()
}

/// The index in `parts`, the whole conversation, of the content of the answer after `prompt`; `None` unless
/// the conversation starts with exactly that prompt and continues with that answer.
fn answer_part(parts: &[Part], prompt: &[Part], answer: &Message) -> Option<usize> {
    let follows = parts.starts_with(prompt);
    let content = parts.get(prompt.len())?;
    // Templates may trim the content.
    let is_content = !content.special && content.text.trim() == answer.content.trim();
    (follows && is_content).then_some(prompt.len())
}
