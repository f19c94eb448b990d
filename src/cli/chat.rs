//! `evol chat`: a conversation with a model, in the terminal or through a pipe.
//!
//! **Invariant:** stdout gets answers and nothing else.

use super::args::ChatArgs;
use super::session::Session;
use crate::explain::{Blame, Explain as _};
use crate::llm::{Completion, Conversation, Engine, FinishReason, Message, Request, Restriction, Sampling};
use crate::run::{Error, Result, resolve_model};
use crate::{rng, train};
use serde_json::json;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

/// A conversation.
#[derive(Debug)]
struct ChatPlan {
    /// The base.
    model: PathBuf,
    /// The adapter on it.
    adapter: Option<PathBuf>,
    /// What the system says.
    system: Option<String>,
    /// How answers are drawn.
    sampling: Sampling,
    /// Longest answer.
    max_tokens: usize,
    /// Longest conversation, the answer at hand included.
    context: usize,
}

impl ChatPlan {
    /// Checks `evol chat`.
    ///
    /// # Errors
    /// A number is out of range, or the model is not there.
    fn new(args: &ChatArgs) -> Result<Self> {
        let temperature = args.temperature;
        let out_of_range = |flag, found: String, expected| Err(Error::Flag { flag, found, expected });
        if !(temperature.is_finite() && temperature >= 0.0) {
            return out_of_range("--temperature", temperature.to_string(), "a finite number, 0 or more");
        }
        if args.max_tokens == 0 {
            return out_of_range("--max-tokens", args.max_tokens.to_string(), "at least 1");
        }
        if args.context <= args.max_tokens {
            return out_of_range("--context", args.context.to_string(), "more than `--max-tokens`");
        }
        Ok(Self {
            model: resolve_model(&args.model)?,
            adapter: args.adapter.clone(),
            system: args.system.clone(),
            // The tail of a small model's distribution is noise; both cuts only take it off.
            sampling: Sampling {
                temperature,
                top_k: 0,
                top_p: 0.95,
                min_p: 0.05,
                repetition_penalty: 1.1,
                ..Sampling::default()
            },
            max_tokens: args.max_tokens,
            context: args.context,
        })
    }
}

/// Runs the command.
///
/// # Errors
/// The model or the adapter is unusable, the model has no chat template, or llama.cpp fails.
pub(crate) fn run(args: &ChatArgs, session: &Session) -> Result<()> {
    let plan = ChatPlan::new(args)?;
    let mut options = session.context().engine_options(&plan.model);
    options.adapter = plan.adapter.as_deref().map(|path| (path, 1.0));
    let mut engine = Engine::load(options)?;
    let conversation = engine.conversation(plan.context)?;
    let history = plan.system.iter().map(|text| message("system", text)).collect();
    Chat { plan: &plan, session, conversation, history, turns: 0 }.talk()
}

struct Chat<'a> {
    plan: &'a ChatPlan,
    session: &'a Session,
    conversation: Conversation<'a>,
    /// All turns so far, the system message first.
    history: Vec<Message>,
    turns: u64,
}

impl Chat<'_> {
    fn talk(mut self) -> Result<()> {
        let mut stdin = std::io::stdin().lock();
        let terminal = stdin.is_terminal();
        if terminal {
            self.session.output.note("Ctrl-C ends an answer, Ctrl-D the conversation");
        }
        loop {
            if terminal {
                let _ = write!(std::io::stderr(), "\n> ");
            }
            let mut line = String::new();
            self.session.interrupt.set_idle(true);
            let read =
                stdin.read_line(&mut line).map_err(|source| Error::Read { path: "stdin".into(), source })?;
            self.session.interrupt.set_idle(false);
            if read == 0 {
                return Ok(());
            }
            if !line.trim().is_empty() {
                match self.turn(line.trim()) {
                    Err(error) if terminal && error.blame() == Blame::Interrupted => {
                        self.session.interrupt.acknowledge();
                    }
                    done => done?,
                }
            }
        }
    }

    /// Answers one message. One that does not fit with what was said before starts the conversation anew.
    fn turn(&mut self, text: &str) -> Result<()> {
        self.history.push(message("user", text));
        let mut completion = self.complete()?;
        let first = usize::from(self.plan.system.is_some());
        if completion.finish_reason == FinishReason::PromptTooLong && self.history.len() > first + 1 {
            self.session.output.note("the conversation is full: what was said before is forgotten");
            self.history.drain(first..self.history.len() - 1);
            completion = self.complete()?;
        }
        match completion.finish_reason {
            FinishReason::PromptTooLong => {
                self.session.output.warn(&format!(
                    "the message and an answer of {} tokens do not fit into {} tokens (`--context`): not \
                     answered",
                    self.plan.max_tokens, self.plan.context
                ));
                self.history.pop();
                return Ok(());
            }
            FinishReason::Length => {
                self.session
                    .output
                    .note(&format!("(cut after {} tokens: `--max-tokens`)", self.plan.max_tokens));
            }
            FinishReason::Stop | FinishReason::EndOfText => {}
        }
        if self.session.output.is_json() {
            let line = json!({
                "answer": completion.text,
                "prompt_tokens": completion.prompt_tokens,
                "completion_tokens": completion.completion_tokens,
                "finish_reason": completion.finish_reason,
            });
            self.session.output.data(&format!("{line}\n"))?;
        }
        self.history.push(message("assistant", &completion.text));
        Ok(())
    }

    /// Completes the history; without `--json` the text appears as it is generated.
    fn complete(&mut self) -> Result<Completion> {
        let prompt = self.conversation.chat_prompt(&self.history).ok_or(train::Error::NoTemplate)??;
        let seed = self.session.seed.unwrap_or(0);
        let request = Request {
            id: self.turns,
            prompt,
            sampling: self.plan.sampling.clone(),
            stop: Vec::new(),
            max_tokens: self.plan.max_tokens,
            key: rng::key(seed, "cli.chat", &[self.turns]),
            sample: 0,
            restriction: Restriction::None,
        };
        self.turns += 1;
        let output = self.session.output;
        let mut written = Ok(());
        let completion = self.conversation.complete(&request, &mut |piece| {
            if !output.is_json() && written.is_ok() {
                written = output.data(piece);
            }
        });
        written?;
        let streamed = !output.is_json()
            && !matches!(&completion, Ok(c) if c.finish_reason == FinishReason::PromptTooLong);
        if streamed {
            output.data("\n")?;
        }
        Ok(completion?)
    }
}

fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned() }
}
