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
    /// Noise is a function of (`key`, position, token): see [`crate::rng::uniform`].
    pub key: u64,
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
