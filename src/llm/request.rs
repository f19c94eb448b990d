//! Requests to a model and their results: plain data.
//!
//! Where in the flow: `evolve` builds [`Request`]s and [`Question`]s, [`super::Generate`] answers them with
//! [`Completion`]s and [`Answer`]s.
//!
//! **Invariant:** a request holds everything that its result depends on, besides the model: running it again
//! gives the same text.

/// A piece of a prompt. Only `special` text may turn into control tokens; text from users, seeds and models
/// is never special.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Part {
    /// UTF-8 text.
    pub text: String,
    /// Whether control tokens (`<|im_start|>`) in it are parsed.
    pub special: bool,
}

/// A prompt: parts are tokenised one by one and joined; the first `shared` parts are common to many
/// requests, and the engine keeps their cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prompt {
    /// The parts, in order.
    pub parts: Vec<Part>,
    /// How many leading parts are shared.
    pub shared: usize,
}

/// How a token is drawn; see [`super::Sampler`] for the exact procedure. Temperature 0 is greedy.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token.
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
    /// The model's own distribution: temperature 1, no filter, no penalty.
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
    /// All tokens.
    #[default]
    None,
    /// All but these. Banning the end token, for example, makes a completion continue to `max_tokens`.
    Ban(Vec<u32>),
    /// Only these, for example the labels of a fixed set.
    Only(Vec<u32>),
}

/// One generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The caller's id; results carry it.
    pub id: u64,
    /// The text to continue.
    pub prompt: Prompt,
    /// How tokens are drawn.
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
    /// The key of this completion's noise, for [`crate::rng::uniform`] with position and token. Noise is
    /// independent for different prompts under one key, and for different samples of a prompt. It does not
    /// depend on anything else, such as order, neighbours or restarts.
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
    /// A stop string was generated.
    Stop,
    /// An end-of-generation token was drawn.
    EndOfText,
    /// `max_tokens` was reached: the text is truncated.
    Length,
    /// The prompt (plus `max_tokens`) does not fit the context of a sequence; nothing was generated.
    PromptTooLong,
}

/// The result of a [`Request`].
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The id of the request.
    pub id: u64,
    /// Valid UTF-8 (a broken sequence is replaced by U+FFFD); not trimmed.
    pub text: String,
    /// Tokens of the prompt, including shared ones.
    pub prompt_tokens: usize,
    /// Tokens generated, including the one that ended the generation.
    pub completion_tokens: usize,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// A question answered by comparing labels: one row of logits, nothing is generated.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The caller's id.
    pub id: u64,
    /// The prompt, which ends right before the label.
    pub prompt: Prompt,
    /// For each label its aliases (`" Yes"`, `"Yes"`): the first token of each alias counts.
    pub labels: Vec<Vec<String>>,
}

/// Log-probability of each label of a [`Question`], normalised over the labels only (they sum to 1 as
/// probabilities). `None`: the prompt was too long.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The id of the question.
    pub id: u64,
    /// Natural logarithms, one per label.
    pub log_probs: Option<Vec<f64>>,
}

/// A chat message: role is `system`, `user` or `assistant`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The role of the speaker.
    pub role: String,
    /// The text.
    pub content: String,
}
