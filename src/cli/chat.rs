//! `evol chat`: a conversation with a model, in the terminal or through a pipe.
//!
//! **Invariant:** only answers go to stdout.

use super::args::ChatArgs;
use super::session::Session;
use crate::explain::{Blame, Explain as _};
use crate::llm::{Completion, Conversation, Engine, FinishReason, Message, Request, Restriction, Sampling};
use crate::run::{Error, Result, resolve_model};
use crate::{rng, train};
use serde_json::json;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

/// The checked settings of a conversation.
#[derive(Debug)]
struct ChatPlan {
    model: PathBuf,
    adapter: Option<PathBuf>,
    /// The system message.
    system: Option<String>,
    sampling: Sampling,
    /// Maximum length of an answer, in tokens.
    max_tokens: usize,
    /// Maximum length of the conversation including the current answer, in tokens.
    context: usize,
}

impl ChatPlan {
    /// Checks the arguments and resolves the model.
    ///
    /// # Errors
    /// A number is out of range, or the model does not exist.
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
            // The tail of a small model's distribution is noise; `top_p` and `min_p` cut it off.
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
    /// All turns so far, after the system message if there is one.
    history: Vec<Message>,
    turns: u64,
}

impl Chat<'_> {
    fn talk(mut self) -> Result<()> {
        let mut stdin = std::io::stdin().lock();
        let terminal = stdin.is_terminal();
        if terminal {
            self.session.output.note("Press Ctrl-C to stop an answer, Ctrl-D to end the conversation");
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

    /// Answers one message. If the context is too small for the history, earlier turns are forgotten.
    fn turn(&mut self, text: &str) -> Result<()> {
        self.history.push(message("user", text));
        let mut completion = self.complete()?;
        let first = usize::from(self.plan.system.is_some());
        if completion.finish_reason == FinishReason::PromptTooLong && self.history.len() > first + 1 {
            self.session.output.note("the context is full: earlier turns are forgotten");
            self.history.drain(first..self.history.len() - 1);
            completion = self.complete()?;
        }
        match completion.finish_reason {
            FinishReason::PromptTooLong => {
                self.session.output.warn(&format!(
                    "not answered: the message and an answer of {} tokens do not fit into the context of {} \
                     tokens (`--context`)",
                    self.plan.max_tokens, self.plan.context
                ));
                self.history.pop();
                return Ok(());
            }
            FinishReason::Length => {
                self.session
                    .output
                    .note(&format!("(cut off after {} tokens, see `--max-tokens`)", self.plan.max_tokens));
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

    /// Completes the history, and streams the text to stdout unless `--json` is given.
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
