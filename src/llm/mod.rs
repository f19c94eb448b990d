//! The local model behind llama.cpp: loading, chat template, batch engine, sampling, label scores.

use std::path::Path;

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

/// How a token is drawn. Temperature 0 is greedy.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the field's standard names")]
pub struct Sampling { pub temperature: f32, pub top_k: usize, pub top_p: f32, pub min_p: f32, pub repetition_penalty: f32 }

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
    /// Noise is a function of (`key`, position, token): see `rng::uniform`.
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
    /// Tokens generated.
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

/// (Owner: full thiserror enum with hint().)
#[derive(Debug, thiserror::Error)]
#[error("llm")]
pub enum Error {
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

/// What the evolve stage needs of a model. The real one is [`Engine`]; tests of evolve use a scripted one.
pub trait Generate {
    /// Renders a conversation for generation (ends where the assistant's answer starts); `None`: the model
    /// has no chat template. `shared_messages` leading messages are shared among requests.
    fn chat_prompt(&self, messages: &[Message], shared_messages: usize) -> Option<Result<Prompt, Error>>;
    /// Completes every request. The result is in the order of `requests` and a function of that list alone.
    ///
    /// # Errors
    /// The model failed, or the run was interrupted; nothing is returned then.
    fn generate(&mut self, requests: &[Request]) -> Result<Vec<Completion>, Error>;
    /// Scores every question, in order.
    ///
    /// # Errors
    /// As `generate`.
    fn score(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Error>;
}

/// A model's own chat template (Jinja, from the GGUF), rendered with its text kept apart from content.
#[derive(Debug)]
pub struct ChatTemplate {}

impl ChatTemplate {
    /// Renders; `add_generation_prompt` as in Hugging Face. Content parts are not `special`.
    ///
    /// # Errors
    /// The template fails or drops a message.
    pub fn render(&self, _messages: &[Message], _add_generation_prompt: bool) -> Result<Vec<Part>, Error> { todo!() }
}

/// A vocabulary without weights (what the trainer needs).
#[derive(Debug)]
pub struct Tokenizer {}

impl Tokenizer {
    /// Loads the vocabulary only.
    ///
    /// # Errors
    /// The file is unusable.
    pub fn load(_path: &Path) -> Result<Self, Error> { todo!() }
    /// Tokens of the parts, one after the other, BOS first if the model adds one and the template did not.
    ///
    /// # Errors
    /// A part cannot be tokenised.
    pub fn tokenize(&self, _parts: &[Part]) -> Result<Vec<u32>, Error> { todo!() }
    /// Text of tokens, control tokens shown.
    pub fn detokenize(&self, _tokens: &[u32]) -> String { todo!() }
    /// The chat template in the file, if any.
    ///
    /// # Errors
    /// It does not parse.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, Error> { todo!() }
    /// Token that ends a turn.
    pub fn eos(&self) -> u32 { todo!() }
}
