//! One conversation: text is streamed as it is generated, and the cache grows with the conversation.
//!
//! Where in the flow: `evol chat` holds a [`Conversation`] and asks it for one completion per turn. The
//! prompt of a turn repeats all turns before it; the part that is in the cache is not computed again.
//!
//! **Invariant:** the cache holds exactly the tokens of `cached`, and the pieces passed to `on_text` add up
//! to the completion's text.

use super::engine::Engine;
use super::llama::{Context, Model, Row};
use super::prefill::{self, feed};
use super::progress::Progress;
use super::sampling::Sampler;
use super::settings::Settings;
use super::text::Text;
use super::{ChatTemplate, Completion, Error, FinishReason, Message, Prompt, Request, engine, tokenizer};

/// A sequence that keeps its cache between turns.
pub struct Conversation<'e> {
    model: &'e Model,
    template: Option<&'e ChatTemplate>,
    context: Context<'e>,
    settings: Settings,
    sampler: Sampler,
    cached: Vec<u32>,
}

impl Engine {
    /// Starts a conversation of at most `max_tokens` tokens, prompts and answers together, or the engine's
    /// own limit if that is lower.
    ///
    /// # Errors
    /// There is not enough memory for it.
    pub fn conversation(&mut self, max_tokens: usize) -> Result<Conversation<'_>, Error> {
        let Self { model, adapter, template, settings } = self;
        let max_tokens = max_tokens.min(settings.max_tokens);
        let settings = Settings { max_tokens, ..settings.for_one_call() };
        // The second sequence is for the row that pads a batch of one.
        let shape = settings.shape(2, max_tokens, settings.threads);
        let context = Context::new(model, adapter.as_mut(), shape)?;
        let (sampler, cached) = (Sampler::default(), Vec::new());
        Ok(Conversation { model, template: template.as_ref(), context, settings, sampler, cached })
    }
}

impl Conversation<'_> {
    /// As [`super::Generate::chat_prompt`], with nothing shared.
    pub fn chat_prompt(&self, messages: &[Message]) -> Option<Result<Prompt, Error>> {
        engine::chat_prompt(self.template, messages, 0)
    }

    /// Completes one request; `on_text` gets the text piece by piece.
    ///
    /// # Errors
    /// As [`super::Generate::generate`]; the conversation can continue after [`Error::Interrupted`].
    pub fn complete(
        &mut self,
        request: &Request,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Completion, Error> {
        request.check()?;
        let prompt = tokenizer::encode(self.model, &request.prompt.parts)?;
        if prompt.is_empty() {
            return Err(Error::EmptyPrompt { id: request.id });
        }
        let mut text = Text::new(&request.stop);
        let mut generated: Vec<u32> = Vec::new();
        let reason = if prompt.len().saturating_add(request.max_tokens) > self.settings.max_tokens {
            FinishReason::PromptTooLong
        } else if request.max_tokens == 0 {
            FinishReason::Length
        } else {
            let row = self.catch_up(&prompt)?;
            let key = request.noise_key(&prompt);
            self.answer(request, key, row, &mut generated, &mut text, on_text)?
        };
        let rest = text.rest();
        if !rest.is_empty() {
            on_text(&rest);
        }
        Ok(Completion {
            id: request.id,
            text: text.finish(),
            prompt_tokens: prompt.len(),
            completion_tokens: generated.len(),
            finish_reason: reason,
        })
    }

    /// Brings the cache up to `prompt`. Returns the row of its last token.
    fn catch_up(&mut self, prompt: &[u32]) -> Result<usize, Error> {
        let same = self.cached.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        // The logits of the last row are needed, and two rows are computed, as for every other prompt.
        let kept = same.min(prompt.len().saturating_sub(2));
        self.context.truncate(0, kept);
        self.cached.truncate(kept);
        Progress::add(&self.settings.progress.reused_prompt_tokens, kept);
        let fed = feed(&mut self.context, &self.settings, &prompt[kept..], 0, true);
        match &fed {
            Ok(_) => self.cached.extend_from_slice(&prompt[kept..]),
            // An unknown part of the prompt may be in the cache.
            Err(_) => self.context.truncate(0, kept),
        }
        fed
    }

    fn answer(
        &mut self,
        request: &Request,
        key: u64,
        mut row: usize,
        generated: &mut Vec<u32>,
        text: &mut Text<'_>,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<FinishReason, Error> {
        loop {
            let logits = self.context.logits(row);
            if let Some(trace) = &self.settings.trace {
                trace.note(request.id, logits);
            }
            let position = generated.len() as u64;
            let token = self.sampler.draw(logits, request, generated, key, position)?;
            generated.push(token);
            Progress::add(&self.settings.progress.generated_tokens, 1);
            if self.model.is_end(token) {
                return Ok(FinishReason::EndOfText);
            }
            let stopped = text.push(&self.model.piece(token, false));
            let settled = text.settled();
            if !settled.is_empty() {
                on_text(&settled);
            }
            if stopped {
                return Ok(FinishReason::Stop);
            }
            if generated.len() == request.max_tokens {
                return Ok(FinishReason::Length);
            }
            self.settings.check_interrupt()?;
            let mut rows = vec![Row { token, sequence: 0, logits: true }];
            prefill::step(&mut self.context, &self.settings, &mut rows)?;
            self.cached.push(token);
            row = 0;
        }
    }
}
