//! Tokenises prompts, and computes them into caches, starting from the longest prefix that is already
//! computed.
//!
//! Where in the flow: `generate.rs` and `score.rs` run each prompt into a sequence with [`Prefill::run`],
//! along the cuts that `prefix.rs` planned.
//!
//! The batches of a prompt contain nothing else, and go piece by piece between its cuts, so its cache does
//! not depend on its neighbours.
//!
//! **Invariant:** where llama.cpp uses other kernels for single rows, which may round differently
//! ([`Determinism::pads_single_rows`]), no batch has a single row: it is decoded with a copy of itself in an
//! unused sequence.

use super::llama::{Adapter, Context, ContextShape, Model, Row};
use super::prefix::{MAX_CUTS, Tokens};
use super::progress::Progress;
use super::settings::Settings;
use super::{Determinism, Error, Prompt, tokenizer};

/// Sequences that a context has besides those in progress: those that hold prefixes, and two for padding
/// rows, because a padding row takes the sequence after that of its row: one after those in progress, and one
/// after those that hold prefixes.
pub(super) const EXTRA_SEQUENCES: usize = MAX_CUTS + 2;

/// Tokens below which keeping a prefix for later calls is not worth its copy.
const MIN_KEPT: usize = 32;

/// Tokenises the prompts of a list, given with their ids for errors.
pub(super) fn tokenize<'p>(
    model: &Model,
    prompts: impl Iterator<Item = (u64, &'p Prompt)> + Clone,
) -> Result<Vec<Tokens>, Error> {
    let parts =
        prompts.clone().map(|(_, Prompt { parts, shared })| parts.split_at((*shared).min(parts.len())));
    let encoded = tokenizer::encode_list(model, parts)?;
    let check = |((id, _), (all, shared)): ((u64, _), (Vec<u32>, usize))| {
        if all.is_empty() { Err(Error::EmptyPrompt { id }) } else { Ok(Tokens { all, shared }) }
    };
    prompts.zip(encoded).map(check).collect()
}

/// Computes a prefix that all workers need and stores its cache for them; otherwise each would start by
/// computing it. `shape` is that of their contexts, but for the threads.
pub(super) fn prepare(
    model: &Model,
    adapter: Option<&mut Adapter>,
    settings: &Settings,
    shape: ContextShape,
    prefix: &[u32],
) -> Result<(), Error> {
    if prefix.len() < MIN_KEPT || settings.prefixes.get(shape.sequences, prefix).is_some() {
        return Ok(());
    }
    let shape = ContextShape { tokens: prefix.len(), ..shape };
    let mut context = Context::new(model, adapter, shape)?;
    feed(&mut context, settings, prefix, 0, false)?;
    if let Some(saved) = context.save(0) {
        settings.prefixes.put(shape.sequences, prefix, saved);
    }
    Ok(())
}

/// Runs prompts into sequences, and holds the prefixes on the path to the last prompt.
pub(super) struct Prefill {
    /// The first of the sequences that hold prefixes.
    first_holder: usize,
    /// The prefixes that they hold, from the shortest to the longest, each a prefix of the next.
    held: Vec<Vec<u32>>,
}

impl Prefill {
    /// For a context of `width + EXTRA_SEQUENCES` sequences.
    pub(super) fn new(width: usize) -> Self {
        Self { first_holder: width + 1, held: Vec::new() }
    }

    /// Fills `sequence` with a prompt, cutting it at `cuts`. Returns the row of its last token, whose logits
    /// can then be read. The sequence after it must be unused.
    pub(super) fn run(
        &mut self,
        context: &mut Context<'_>,
        settings: &Settings,
        tokens: &Tokens,
        cuts: &[usize],
        sequence: usize,
    ) -> Result<usize, Error> {
        let reusable = &tokens.all[..tokens.reusable()];
        while self.held.last().is_some_and(|held| !reusable.starts_with(held)) {
            self.held.pop();
            context.truncate(self.first_holder + self.held.len(), 0);
        }
        // Prefixes that were held or stored before this prompt count as reused.
        let mut cached = self.held.last().map_or(0, Vec::len);
        cached = cached.max(self.restore(context, settings, tokens, cuts));
        for &cut in cuts {
            let from = self.held.last().map_or(0, Vec::len);
            if cut > from && self.held.len() < MAX_CUTS {
                self.hold(context, settings, &tokens.all[..cut])?;
            }
        }
        context.truncate(sequence, 0);
        let held = self.held.last().map_or(0, Vec::len);
        if held > 0 {
            context.copy_all(self.first_holder + self.held.len() - 1, sequence);
        }
        Progress::add(&settings.progress.reused_prompt_tokens, cached);
        feed(context, settings, &tokens.all[held..], sequence, true)
    }

    /// Restores the longest cut that an earlier call or another worker has computed. Returns its length.
    fn restore(
        &mut self,
        context: &mut Context<'_>,
        settings: &Settings,
        tokens: &Tokens,
        cuts: &[usize],
    ) -> usize {
        let held = self.held.last().map_or(0, Vec::len);
        if settings.determinism != Determinism::Exact || self.held.len() == MAX_CUTS {
            return 0;
        }
        let sequences = context.shape().sequences;
        for &cut in cuts.iter().rev().take_while(|&&cut| cut > held) {
            let Some(saved) = settings.prefixes.get(sequences, &tokens.all[..cut]) else { continue };
            if context.restore(&saved, self.first_holder + self.held.len()) {
                self.held.push(tokens.all[..cut].to_vec());
                return cut;
            }
        }
        0
    }

    /// Computes `prefix` into the next holding sequence, starting from the last one held.
    fn hold(&mut self, context: &mut Context<'_>, settings: &Settings, prefix: &[u32]) -> Result<(), Error> {
        let level = self.held.len();
        let holder = self.first_holder + level;
        let from = self.held.last().map_or(0, Vec::len);
        context.truncate(holder, 0);
        if level > 0 {
            context.copy_all(holder - 1, holder);
        }
        feed(context, settings, &prefix[from..], holder, false)?;
        self.held.push(prefix.to_vec());
        // In another call the cuts may differ, and so the pieces in which a prefix is computed. Only under
        // `exact` does that not change the bits.
        if settings.determinism == Determinism::Exact
            && prefix.len() - from >= MIN_KEPT
            && let Some(saved) = context.save(holder)
        {
            settings.prefixes.put(context.shape().sequences, prefix, saved);
        }
        Ok(())
    }
}

/// Appends tokens to a sequence in pieces of nearly equal length. Returns the row of the last token in the
/// last piece.
pub(super) fn feed(
    context: &mut Context<'_>,
    settings: &Settings,
    tokens: &[u32],
    sequence: usize,
    logits: bool,
) -> Result<usize, Error> {
    let pieces = tokens.len().div_ceil(settings.n_batch.min(context.shape().n_batch));
    let mut last_row = 0;
    for piece in 0..pieces {
        settings.check_interrupt()?;
        let (start, end) = (tokens.len() * piece / pieces, tokens.len() * (piece + 1) / pieces);
        let mut rows: Vec<Row> = (start..end)
            .map(|i| Row { token: tokens[i], sequence, logits: logits && i + 1 == tokens.len() })
            .collect();
        Progress::add(&settings.progress.prompt_tokens, rows.len());
        last_row = rows.len() - 1;
        Progress::time(&settings.progress.prefill_ns, || step(context, settings, &mut rows))?;
    }
    Ok(last_row)
}

/// Decodes rows; a single row is padded with a copy of itself if it needs that.
pub(super) fn step(context: &mut Context<'_>, settings: &Settings, rows: &mut Vec<Row>) -> Result<(), Error> {
    let ([only], true) = (rows.as_slice(), settings.pad_single_rows) else { return context.decode(rows) };
    let pad = Row { sequence: only.sequence + 1, ..*only };
    rows.push(pad);
    context.decode(rows)?;
    context.truncate(pad.sequence, 0);
    Ok(())
}
