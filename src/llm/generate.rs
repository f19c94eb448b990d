//! Many completions at once: continuous batching.
//!
//! Where in the flow: [`super::Generate::generate`] of the engine.
//!
//! Prompts wait in the order of their prefix tree. Each free sequence takes the next one and
//! computes it; then one batch decodes a token of every live sequence, and those that ended make room.
//! Live sequences are kept at the numbers 0..live (llama.cpp splits a batch at gaps): when one in the middle
//! ends and nobody waits, the last one moves into its place.
//!
//! **Invariant:** a completion is drawn from its own sequence's logits with its own noise; under
//! `Determinism::Scheduled` the composition of every batch is a function of the request list.

use super::engine::{Engine, Progress};
use super::llama::{Model, Row};
use super::prefill::{self, Prefill};
use super::prefix::{self, Tokens};
use super::sampling::Sampler;
use super::text::Text;
use super::workers::{self, Layout, Worker};
use super::{Completion, Error, FinishReason, Request};

/// A completion in progress.
struct Live<'r> {
    /// Index in the list of requests.
    index: usize,
    request: &'r Request,
    prompt_tokens: usize,
    key: u64,
    generated: Vec<u32>,
    text: Text<'r>,
    ended: Option<FinishReason>,
}

impl<'r> Live<'r> {
    fn new(index: usize, request: &'r Request, prompt: &Tokens) -> Self {
        let (prompt_tokens, text) = (prompt.all.len(), Text::new(&request.stop));
        let key = request.noise_key(&prompt.all);
        Self { index, request, prompt_tokens, key, generated: Vec::new(), text, ended: None }
    }

    /// Draws the next token from the logits after the previous one.
    fn draw(&mut self, model: &Model, sampler: &mut Sampler, logits: &[f32]) -> Result<(), Error> {
        let position = self.generated.len() as u64;
        let token = sampler.draw(logits, self.request, &self.generated, self.key, position)?;
        self.generated.push(token);
        self.ended = if model.is_end(token) {
            Some(FinishReason::EndOfText)
        } else if self.text.push(&model.piece(token, false)) {
            Some(FinishReason::Stop)
        } else if self.generated.len() == self.request.max_tokens {
            Some(FinishReason::Length)
        } else {
            None
        };
        Ok(())
    }

    fn finish(self, reason: FinishReason) -> Completion {
        Completion {
            id: self.request.id,
            text: self.text.finish(),
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.generated.len(),
            finish_reason: reason,
        }
    }
}

/// Completes every request, in order.
pub(super) fn run(engine: &mut Engine, requests: &[Request]) -> Result<Vec<Completion>, Error> {
    engine.settings.check_interrupt()?;
    requests.iter().try_for_each(Request::check)?;
    let tokenize = |request: &Request| prefill::tokenize(&engine.model, request.id, &request.prompt);
    let prompts: Vec<Tokens> = requests.iter().map(tokenize).collect::<Result<_, _>>()?;
    let mut done: Vec<Option<Completion>> = vec![None; requests.len()];
    let mut longest = 0;
    for (index, (request, prompt)) in requests.iter().zip(&prompts).enumerate() {
        let needed = prompt.all.len().saturating_add(request.max_tokens);
        if needed > engine.settings.max_tokens {
            done[index] = Some(Live::new(index, request, prompt).finish(FinishReason::PromptTooLong));
        } else if request.max_tokens == 0 {
            done[index] = Some(Live::new(index, request, prompt).finish(FinishReason::Length));
        } else {
            longest = longest.max(needed);
        }
    }
    let plan = prefix::plan(&prompts, (0..requests.len()).filter(|&index| done[index].is_none()));
    let layout = Layout::new(engine.settings.threads, engine.settings.n_seq.min(plan.len()));
    let shape = layout.shape(engine.settings.clone(), longest);
    let completed = workers::run(engine, layout, &plan, shape, |worker, plan| {
        Batch::new(worker).run(requests, &prompts, plan)
    })?;
    for (index, completion) in completed {
        done[index] = Some(completion);
    }
    Ok(done.into_iter().map(|completion| completion.expect("every request was run")).collect())
}

/// The state of one worker's loop.
struct Batch<'e, 'r> {
    worker: Worker<'e>,
    prefill: Prefill,
    sampler: Sampler,
    /// By sequence.
    live: Vec<Live<'r>>,
    /// With the index of the request.
    done: Vec<(usize, Completion)>,
}

impl<'e, 'r> Batch<'e, 'r> {
    fn new(worker: Worker<'e>) -> Self {
        let prefill = Prefill::new(worker.width);
        Self { worker, prefill, sampler: Sampler::default(), live: Vec::new(), done: Vec::new() }
    }

    fn run(
        mut self,
        requests: &'r [Request],
        prompts: &[Tokens],
        plan: &prefix::Plan,
    ) -> Result<Vec<(usize, Completion)>, Error> {
        loop {
            while self.live.len() < self.worker.width
                && let Some(index) = self.worker.next()
            {
                let live = Live::new(index, &requests[index], &prompts[index]);
                self.admit(live, &prompts[index], &plan.cuts[&index])?;
            }
            if self.live.is_empty() {
                return Ok(self.done);
            }
            self.step()?;
        }
    }

    /// Computes a prompt into the next sequence and draws the first token.
    fn admit(&mut self, mut live: Live<'r>, prompt: &Tokens, cuts: &[usize]) -> Result<(), Error> {
        let sequence = self.live.len();
        let Worker { model, context, settings, .. } = &mut self.worker;
        let row = self.prefill.run(context, settings, prompt, cuts, sequence)?;
        Progress::time(&settings.progress.sampling_ns, || {
            live.draw(model, &mut self.sampler, context.logits(row))
        })?;
        Progress::add(&settings.progress.generated_tokens, 1);
        self.live.push(live);
        self.remove_ended();
        Ok(())
    }

    /// Decodes one token of every live sequence.
    fn step(&mut self) -> Result<(), Error> {
        let Worker { model, context, settings, .. } = &mut self.worker;
        settings.check_interrupt()?;
        let last = |live: &Live<'_>| *live.generated.last().expect("admission draws a token");
        let row = |(sequence, live)| Row { token: last(live), sequence, logits: true };
        let mut rows: Vec<Row> = self.live.iter().enumerate().map(row).collect();
        let progress = &settings.progress;
        Progress::time(&progress.decode_ns, || prefill::step(context, &mut rows))?;
        Progress::add(&progress.decode_batches, 1);
        Progress::add(&progress.generated_tokens, self.live.len());
        Progress::time(&progress.sampling_ns, || {
            let mut live = self.live.iter_mut().enumerate();
            live.try_for_each(|(row, live)| live.draw(model, &mut self.sampler, context.logits(row)))
        })?;
        self.remove_ended();
        Ok(())
    }

    /// Takes ended completions out and closes the gaps, from the back, so that what moves has not ended.
    fn remove_ended(&mut self) {
        for sequence in (0..self.live.len()).rev() {
            let Some(reason) = self.live[sequence].ended else { continue };
            let last = self.live.len() - 1;
            let ended = self.live.swap_remove(sequence);
            if sequence != last {
                self.worker.context.copy_all(last, sequence);
            }
            self.worker.context.truncate(last, 0);
            self.done.push((ended.index, ended.finish(reason)));
            Progress::add(&self.worker.settings.progress.finished, 1);
        }
    }
}
