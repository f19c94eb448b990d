//! What callers ask of a model and what they get back: plain data, no behaviour.
//!
//! Where in the flow: `evolve` builds [`Request`]s and [`Question`]s, [`super::Generate`] answers them with
//! [`Completion`]s and [`Answer`]s.
//!
//! **Invariant:** a request says everything that its result depends on, so that running it again gives the
//! same text.

/// A piece of a prompt. Only `special` text may turn into control tokens: what comes from users, seeds
/// and models never does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Part {
    /// UTF-8 text.
    pub text: String,
    /// Parse control tokens (`<|im_start|>`) in it.
    pub special: bool,
}

/// A prompt: parts are tokenised one by one and joined; the first `shared` parts are common to many
/// requests, and the engine keeps their cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prompt {
    /// In order.
    pub parts: Vec<Part>,
    /// How many leading parts are shared.
    pub shared: usize,
}

/// How a token is drawn; see [`super::Sampler`] for the exact procedure. Temperature 0 is greedy.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Logits are divided by it; 0 takes the likeliest token.
    pub temperature: f32,
    /// Keep this many of the likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the likeliest tokens until their probabilities reach this sum; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this fraction as likely as the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Tokens already generated get less likely by this factor of their logit; 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted from a token's logit for each time that it was generated; 0 is off.
    #[serde(default)]
    pub frequency_penalty: f32,
    /// Subtracted from the logit of each token that was generated at all; 0 is off.
    #[serde(default)]
    pub presence_penalty: f32,
}

impl Default for Sampling {
    /// Draws from the model's own distribution: temperature 1, nothing cut, nothing penalised.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
        }
    }
}

/// Which tokens may be drawn, by id (see [`super::Tokenizer::tokenize`]).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Restriction {
    /// All.
    #[default]
    None,
    /// All but these: an end token in it, for example, makes a completion go on to `max_tokens`.
    Ban(Vec<u32>),
    /// None but these: a label out of a fixed set.
    Only(Vec<u32>),
}

/// One generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The caller's id; results carry it.
    pub id: u64,
    /// What to continue.
    pub prompt: Prompt,
    /// How to draw.
    pub sampling: Sampling,
    /// Generation ends before the first of these; it is not part of the text.
    pub stop: Vec<String>,
    /// Limit on generated tokens.
    pub max_tokens: usize,
    /// Noise is a function of (`key`, the prompt's tokens, `sample`, position, token): see
    /// [`Request::noise_key`].
    pub key: u64,
    /// Which of several completions of one prompt under one key this is.
    pub sample: u32,
    /// Which tokens may be drawn.
    pub restriction: Restriction,
}

impl Request {
    /// The key of this completion's noise, given its prompt's tokens: [`crate::rng::uniform`] takes it with
    /// the position and the token. Equal keys on different prompts, and different samples of one prompt, are
    /// independent; nothing else (order, neighbours, restarts) has a part in it.
    pub(super) fn noise_key(&self, prompt: &[u32]) -> u64 {
        let digest = blake3::hash(bytemuck::cast_slice(prompt));
        let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
        let prompt = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        crate::rng::key(self.key, "llm.noise", &[prompt, u64::from(self.sample)])
    }
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// A stop string came.
    Stop,
    /// An end-of-generation token came.
    EndOfText,
    /// `max_tokens` reached: the text is cut.
    Length,
    /// The prompt (plus `max_tokens`) does not fit the context of a sequence; nothing was generated.
    PromptTooLong,
}

/// The result of a [`Request`].
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The request's.
    pub id: u64,
    /// Valid UTF-8 (a broken sequence is replaced by U+FFFD); not trimmed.
    pub text: String,
    /// Tokens of the prompt, shared ones included.
    pub prompt_tokens: usize,
    /// Tokens generated, the one that ended the generation included.
    pub completion_tokens: usize,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// A question answered by comparing labels: one row of logits, nothing is generated.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The caller's id.
    pub id: u64,
    /// Ends right before the label.
    pub prompt: Prompt,
    /// For each label its aliases (`" Yes"`, `"Yes"`): the first token of each alias counts.
    pub labels: Vec<Vec<String>>,
}

/// Log-probability of each label of a [`Question`], normalised over the labels only (they sum to 1 as
/// probabilities). `None`: the prompt was too long.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The question's.
    pub id: u64,
    /// Natural logarithms, one per label.
    pub log_probs: Option<Vec<f64>>,
}

/// A chat message: role is `system`, `user` or `assistant`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks.
    pub role: String,
    /// What.
    pub content: String,
}
