//! Continuous batching: many completions at once.
//!
//! Where in the flow: [`super::Generate::generate`] of the engine.
//!
//! Prompts wait in the order of their prefix tree. Each free sequence takes the next one and computes it.
//! Then one batch decodes a token of every live sequence, and sequences that ended become free. Live
//! sequences have the numbers 0..live, because llama.cpp splits a batch at gaps: if one in the middle ends
//! and no prompt waits, the last one moves into its place. Where it pays, a batch also has rows for guessed
//! tokens (`draft.rs`).
//!
//! **Invariant:** a completion is drawn from its own sequence's logits with its own noise; under
//! `Determinism::Scheduled` the composition of every batch is a function of the request list.

use super::draft::{DraftPolicy, Drafts, Lookup};
use super::llama::{Context, Model, Row};
use super::prefill::{self, Prefill};
use super::prefix::{self, Tokens};
use super::progress::Progress;
use super::sampling::Sampler;
use super::settings::{Call, Settings};
use super::text::Text;
use super::workers::{self, Layout, Worker};
use super::{Completion, Determinism, Error, FinishReason, Request};

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
    /// The source of guesses, if tokens are guessed.
    lookup: Option<Lookup>,
}

impl<'r> Live<'r> {
    fn new(index: usize, request: &'r Request, prompt: &Tokens) -> Self {
        let (prompt_tokens, text) = (prompt.all.len(), Text::new(&request.stop));
        let key = request.noise_key(&prompt.all);
        Self { index, request, prompt_tokens, key, generated: Vec::new(), text, ended: None, lookup: None }
    }

    /// Draws the next token from the logits after the previous one.
    fn draw(&mut self, drawing: &mut Drawing<'_>, logits: &[f32]) -> Result<u32, Error> {
        let Drawing { model, sampler, settings } = drawing;
        let position = self.generated.len() as u64;
        if let Some(trace) = &settings.trace {
            trace.note(self.request.id, logits);
        }
        let token = sampler.draw(logits, self.request, &self.generated, self.key, position)?;
        self.generated.push(token);
        if let Some(lookup) = &mut self.lookup {
            lookup.push(token);
        }
        self.ended = if model.is_end(token) {
            Some(FinishReason::EndOfText)
        } else if self.text.push(&model.piece(token, false)) {
            Some(FinishReason::Stop)
        } else if self.generated.len() == self.request.max_tokens {
            Some(FinishReason::Length)
        } else {
            None
        };
        Ok(token)
    }

    /// The tokens of this sequence in the next batch: the last one, and `length` guesses of what follows.
    fn next_tokens(&self, length: usize) -> Vec<u32> {
        let last = *self.generated.last().expect("admission draws a token");
        let guess = self.lookup.as_ref().map_or(&[][..], |lookup| lookup.guess(length));
        // A sequence with too few guesses repeats its last token, so that all have the same number of rows.
        let filling = std::iter::repeat(last);
        std::iter::once(last).chain(guess.iter().copied().chain(filling).take(length)).collect()
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
pub(super) fn run(call: Call<'_>, requests: &[Request]) -> Result<Vec<Completion>, Error> {
    call.settings.check_interrupt()?;
    requests.iter().try_for_each(Request::check)?;
    let texts = requests.iter().map(|request| (request.id, &request.prompt));
    let prompts = prefill::tokenize(call.model, texts)?;
    let mut done: Vec<Option<Completion>> = vec![None; requests.len()];
    let mut longest = 0;
    for (index, (request, prompt)) in requests.iter().zip(&prompts).enumerate() {
        let needed = prompt.all.len().saturating_add(request.max_tokens);
        if needed > call.settings.max_tokens {
            done[index] = Some(Live::new(index, request, prompt).finish(FinishReason::PromptTooLong));
        } else if request.max_tokens == 0 {
            done[index] = Some(Live::new(index, request, prompt).finish(FinishReason::Length));
        } else {
            longest = longest.max(needed);
        }
    }
    let waiting = (0..requests.len()).filter(|&index| done[index].is_none());
    let plan = prefix::plan(&prompts, waiting, call.settings.share_prefixes);
    let layout = Layout::side_by_side(call.settings.threads, call.settings.n_seq, plan.len());
    let shape = layout.shape(call.settings.clone(), longest + draft_policy(&call.settings).room());
    let completed = workers::run(call, layout, &plan, plan.common(&prompts), shape, |worker, plan| {
        Batch::new(worker).run(requests, &prompts, plan)
    })?;
    for (index, completion) in completed {
        done[index] = Some(completion);
    }
    Ok(done.into_iter().map(|completion| completion.expect("every request was run")).collect())
}

/// The draft policy under these settings.
fn draft_policy(settings: &Settings) -> DraftPolicy {
    match settings.determinism {
        Determinism::Exact => settings.drafts,
        // The number of rows would decide the bytes, and the clock would decide the number of rows.
        Determinism::Scheduled => DraftPolicy::Off,
    }
}

/// What drawing a token needs besides the logits.
struct Drawing<'d> {
    model: &'d Model,
    sampler: &'d mut Sampler,
    settings: &'d Settings,
}

/// The state of one worker's loop.
struct Batch<'e, 'r> {
    worker: Worker<'e>,
    prefill: Prefill,
    sampler: Sampler,
    drafts: Drafts,
    /// Live completions by sequence number.
    live: Vec<Live<'r>>,
    /// Finished completions, with the index of their request.
    done: Vec<(usize, Completion)>,
}

impl<'e, 'r> Batch<'e, 'r> {
    fn new(worker: Worker<'e>) -> Self {
        let prefill = Prefill::new(worker.width);
        let (sampler, drafts) = (Sampler::default(), Drafts::new(draft_policy(worker.settings)));
        Self { worker, prefill, sampler, drafts, live: Vec::new(), done: Vec::new() }
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
        let mut drawing = Drawing { model, sampler: &mut self.sampler, settings };
        let draw = || live.draw(&mut drawing, context.logits(row));
        Progress::time(&settings.progress.sampling_ns, draw)?;
        Progress::add(&settings.progress.generated_tokens, 1);
        if !self.drafts.is_off() {
            live.lookup = Some(Lookup::new(&prompt.all, &live.generated));
        }
        self.live.push(live);
        self.remove_ended();
        Ok(())
    }

    /// Decodes the last token of every live sequence, with its guesses, and draws from the logits.
    fn step(&mut self) -> Result<(), Error> {
        let Worker { model, context, settings, .. } = &mut self.worker;
        settings.check_interrupt()?;
        let lookups: Vec<&Lookup> = self.live.iter().filter_map(|live| live.lookup.as_ref()).collect();
        let guesses = self.drafts.length(&lookups, context.shape().n_batch);
        let tokens: Vec<Vec<u32>> = self.live.iter().map(|live| live.next_tokens(guesses)).collect();
        let row = |sequence| move |&token: &u32| Row { token, sequence, logits: true };
        let mut rows: Vec<Row> =
            tokens.iter().enumerate().flat_map(|(sequence, own)| own.iter().map(row(sequence))).collect();
        let progress = &settings.progress;
        let decode = || prefill::step(context, settings, &mut rows);
        let (decoded, taken) = Progress::timed(&progress.decode_ns, decode);
        decoded?;
        Progress::add(&progress.decode_batches, 1);
        self.drafts.took(rows.len(), taken);
        Progress::time(&progress.sampling_ns, || {
            let mut drawing = Drawing { model, sampler: &mut self.sampler, settings };
            let mut live = self.live.iter_mut().zip(&tokens).enumerate();
            live.try_for_each(|(sequence, (live, own))| {
                draw_row_by_row(live, &mut self.drafts, &mut drawing, context, sequence, own)
            })
        })?;
        self.remove_ended();
        Ok(())
    }

    /// Removes ended completions and closes the gaps. From the back, so that a sequence that moves has not
    /// ended.
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

/// Draws from the decoded rows of a sequence, whose tokens are `tokens`, as long as the drawn token is the
/// one that the next row was decoded for. Cuts the rows after that off the cache.
fn draw_row_by_row(
    live: &mut Live<'_>,
    drafts: &mut Drafts,
    drawing: &mut Drawing<'_>,
    context: &mut Context<'_>,
    sequence: usize,
    tokens: &[u32],
) -> Result<(), Error> {
    let (first_row, guessed) = (sequence * tokens.len(), tokens.len() - 1);
    // Counted before drawing, which changes the guesses. Rows that only fill up do not count.
    let tried = live.lookup.as_ref().map_or(0, |lookup| lookup.guess(guessed).len());
    let mut used = 0;
    loop {
        let token = live.draw(drawing, context.logits(first_row + used))?;
        used += 1;
        if live.ended.is_some() || tokens.get(used) != Some(&token) {
            break;
        }
    }
    let progress = &drawing.settings.progress;
    Progress::add(&progress.generated_tokens, used);
    Progress::add(&progress.drafted_tokens, guessed);
    Progress::add(&progress.accepted_tokens, used - 1);
    context.truncate(sequence, context.tokens(sequence) - (tokens.len() - used));
    if let Some(lookup) = live.lookup.as_mut().filter(|_| tried > 0) {
        drafts.saw(lookup, tried, (used - 1).min(tried));
    }
    Ok(())
}
