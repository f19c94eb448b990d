//! Prompt lookup: drafting the next tokens of a completion from what it repeats.
//!
//! Where in the flow: before each batch `generate.rs` asks [`Drafts::length`], and decodes that many guessed
//! tokens of every sequence after its known one. A guess that is drawn saves a batch; the others are cut off
//! again.
//!
//! The guess (Saxena 2023, "prompt lookup decoding"): if the last [`NGRAM`] tokens occurred before, in the
//! prompt or in the completion, the tokens that followed them then are guessed to follow now. Rewritings
//! repeat much of what they rewrite.
//!
//! Whether it pays depends on the machine, the weights' format and how many sequences share a batch: another
//! row costs little where reading the weights takes the time, and its full share where arithmetic does. So
//! nothing is assumed. Each worker fits `overhead + rows * per_row` to its own batches, counts how often
//! guesses are drawn, and takes the length with the most expected tokens per second, which is 0 in full
//! batches.
//!
//! **Invariant:** drafts decide how long a completion takes, never what it says: tokens are drawn from the
//! same logits with the same noise. That needs `Determinism::Exact`, where a row has the same bits in any
//! batch; otherwise nothing is drafted.

use std::collections::HashMap;
use std::time::Duration;

/// Whether tokens are drafted, for [`super::EngineOptions::drafts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DraftPolicy {
    /// Never.
    Off,
    /// If the worker's own measurements say that it pays.
    #[default]
    Measured,
    /// This many in every batch: for measuring what drafts change (nothing) and cost.
    Always(usize),
}

impl DraftPolicy {
    /// Tokens that a sequence must have room for beyond its completion.
    pub(super) fn room(self) -> usize {
        if self.is_off() { 0 } else { MAX_LENGTH }
    }

    fn is_off(self) -> bool {
        matches!(self, Self::Off | Self::Always(0))
    }
}

/// Length of the repeated token sequence that makes a guess.
const NGRAM: usize = 3;

/// Longest guess.
const MAX_LENGTH: usize = 8;

/// The source of a completion's guesses.
#[derive(Debug)]
pub(super) struct Lookup {
    /// Prompt and completion so far.
    tokens: Vec<u32>,
    /// For each n-gram the index after its latest occurrence, except for the one at the end.
    next: HashMap<[u32; NGRAM], usize>,
    /// How often guesses of this completion were drawn.
    drawn: Hits,
}

impl Lookup {
    pub(super) fn new(prompt: &[u32], generated: &[u32]) -> Self {
        let (tokens, next) = (Vec::with_capacity(prompt.len() + 64), HashMap::new());
        let mut lookup = Self { tokens, next, drawn: Hits::default() };
        prompt.iter().chain(generated).for_each(|&token| lookup.push(token));
        lookup
    }

    /// Appends a token.
    pub(super) fn push(&mut self, token: u32) {
        if let Some(&ngram) = self.tokens.last_chunk::<NGRAM>() {
            self.next.insert(ngram, self.tokens.len());
        }
        self.tokens.push(token);
    }

    /// At most `length` tokens that may come next.
    pub(super) fn guess(&self, length: usize) -> &[u32] {
        let from = self.tokens.last_chunk::<NGRAM>().and_then(|ngram| self.next.get(ngram));
        from.map_or(&[], |&from| &self.tokens[from..self.tokens.len().min(from + length)])
    }
}

/// How many guesses were drawn, of those that were tried.
#[derive(Debug, Clone, Copy, Default)]
struct Hits {
    drawn: f64,
    tried: f64,
}

impl Hits {
    fn add(&mut self, drawn: usize, tried: usize) {
        self.drawn += drawn as f64;
        self.tried += tried as f64;
    }

    /// The share of guesses that are drawn, with a prior of `weight` guesses at a share of `prior`.
    fn share(self, prior: f64, weight: f64) -> f64 {
        (self.drawn + weight * prior) / (self.tried + weight)
    }
}

/// Before anything is known, half of all guesses are drawn.
const PRIOR_SHARE: f64 = 0.5;
/// That prior has the weight of this many guesses.
const PRIOR_WEIGHT: f64 = 4.0;

/// How many guesses of its own a completion needs before they count as much as those of all.
const OWN_WEIGHT: f64 = 4.0;

/// Decay of earlier measurements per batch. About the last hundred count, because batches take longer as
/// sequences grow.
const MEMORY: f64 = 0.99;

/// Sums for a straight line through (rows, seconds) by least squares.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

/// Seconds of a batch: `overhead + rows * per_row`.
#[derive(Debug, Clone, Copy)]
struct BatchTime {
    overhead: f64,
    per_row: f64,
}

impl Line {
    fn add(&mut self, x: f64, y: f64) {
        let Self { n, x: sum_x, y: sum_y, xx, xy } = self;
        for (sum, value) in [(n, 1.0), (sum_x, x), (sum_y, y), (xx, x * x), (xy, x * y)] {
            *sum = *sum * MEMORY + value;
        }
    }

    /// The line, or `None` until batches of different lengths were measured.
    fn fit(self) -> Option<BatchTime> {
        let spread = self.n * self.xx - self.x * self.x;
        if self.n < 4.0 || spread < 0.1 * self.n * self.n {
            return None;
        }
        let slope = (self.n * self.xy - self.x * self.y) / spread;
        // A noisy clock can make a row look faster than nothing.
        let slope = slope.clamp(1e-9, self.y / self.x);
        Some(BatchTime { overhead: self.y / self.n - slope * self.x / self.n, per_row: slope })
    }
}

/// A worker's decision on draft lengths, batch by batch.
#[derive(Debug)]
pub(super) struct Drafts {
    policy: DraftPolicy,
    /// Guesses of all completions.
    drawn: Hits,
    seconds: Line,
}

impl Drafts {
    pub(super) fn new(policy: DraftPolicy) -> Self {
        Self { policy, drawn: Hits::default(), seconds: Line::default() }
    }

    /// Whether sequences need a [`Lookup`] at all.
    pub(super) fn is_off(&self) -> bool {
        self.policy.is_off()
    }

    /// How many guessed rows each sequence gets in the next batch, which has at most `max_rows` rows.
    ///
    /// All get the same number, even those without a guess: otherwise llama.cpp computes the batch in parts.
    pub(super) fn length(&self, sequences: &[&Lookup], max_rows: usize) -> usize {
        let live = sequences.len();
        let longest = MAX_LENGTH.min((max_rows / live.max(1)).saturating_sub(1));
        match self.policy {
            DraftPolicy::Off => 0,
            DraftPolicy::Always(length) => length.min(longest),
            DraftPolicy::Measured => {
                let Some(BatchTime { overhead, per_row }) = self.seconds.fit() else {
                    return self.probe(live, longest);
                };
                let rate = |length: usize| {
                    let tokens: f64 = sequences.iter().map(|lookup| self.expected(lookup, length)).sum();
                    tokens / (overhead + per_row * (live * (1 + length)) as f64)
                };
                let (best, rate_of_best) = (1..=longest)
                    .map(|length| (length, rate(length)))
                    .max_by(|a, b| a.1.total_cmp(&b.1))
                    .unwrap_or((0, 0.0));
                if rate_of_best > rate(0) { best } else { 0 }
            }
        }
    }

    /// As long as every batch had the same number of rows, a batch of another length is needed to measure the
    /// cost of a row. A full batch cannot be extended.
    fn probe(&self, live: usize, longest: usize) -> usize {
        if live <= 2 && self.seconds.n > 4.0 { longest.min(4) } else { 0 }
    }

    /// Expected tokens of a sequence from a batch with `length` guesses.
    fn expected(&self, lookup: &Lookup, length: usize) -> f64 {
        let share = lookup.drawn.share(self.drawn.share(PRIOR_SHARE, PRIOR_WEIGHT), OWN_WEIGHT);
        (0..=lookup.guess(length).len()).map(|guesses| share.powi(guesses as i32)).sum()
    }

    /// Records that a batch of `rows` rows took `time`.
    pub(super) fn took(&mut self, rows: usize, time: Duration) {
        self.seconds.add(rows as f64, time.as_secs_f64());
    }

    /// Records that the first `drawn` of `guessed` tokens were drawn.
    pub(super) fn saw(&mut self, lookup: &mut Lookup, guessed: usize, drawn: usize) {
        // The first that was not drawn counts as tried, those after it do not.
        let tried = guessed.min(drawn + 1);
        lookup.drawn.add(drawn, tried);
        self.drawn.add(drawn, tried);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: f64 = 1e-3;

    /// Batches of 1 to 16 rows that take `overhead + per_row * rows` milliseconds.
    fn measured(overhead: f64, per_row: f64) -> Drafts {
        let mut drafts = Drafts::new(DraftPolicy::Measured);
        for rows in (1..=16).rev().cycle().take(64) {
            drafts.took(rows, Duration::from_secs_f64((overhead + per_row * rows as f64) * MS));
        }
        drafts
    }

    /// Ends with the three tokens that it began with.
    fn repeating() -> Lookup {
        Lookup::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], &[1, 2, 3])
    }

    #[test]
    fn the_latest_repetition_goes_on_as_it_did() {
        let lookup = repeating();
        assert_eq!(lookup.guess(4), [4, 5, 6, 7]);
        assert_eq!(lookup.guess(100).len(), 13, "what follows, the repetition itself included");
        let mut lookup = Lookup::new(&[1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3], &[]);
        assert_eq!(lookup.guess(1), [5], "the latest one, not the first");
        lookup.push(9);
        assert!(lookup.guess(1).is_empty());
        assert!(Lookup::new(&[1, 2], &[]).guess(3).is_empty());
    }

    #[test]
    fn the_line_through_measurements_is_found() {
        let BatchTime { overhead, per_row } = measured(10.0, 2.0).seconds.fit().unwrap();
        assert!((overhead - 10.0 * MS).abs() < 1e-6 && (per_row - 2.0 * MS).abs() < 1e-6);
        let mut same = Line::default();
        (0..50).for_each(|_| same.add(4.0, 1.0));
        assert!(same.fit().is_none(), "one length says nothing about another");
    }

    #[test]
    fn guesses_are_made_where_rows_are_cheap_and_guesses_good() {
        let one = repeating();
        let sixteen = [&one; 16];
        let mut cheap = measured(10.0, 1.0);
        assert!(cheap.length(&[&one], 256) >= 2);
        assert_eq!(cheap.length(&sixteen, 256), 0, "a full batch has no time to waste");
        assert_eq!(measured(1.0, 10.0).length(&[&one], 256), 0, "a row costs as much as a batch");
        let mut unlucky = repeating();
        (0..20).for_each(|_| cheap.saw(&mut unlucky, 4, 0));
        assert_eq!(cheap.length(&[&unlucky], 256), 0);
        let mut lucky = repeating();
        (0..40).for_each(|_| cheap.saw(&mut lucky, 4, 4));
        assert_eq!(cheap.length(&[&lucky], 256), MAX_LENGTH);
    }

    #[test]
    fn a_batch_is_never_longer_than_it_may_be() {
        let drafts = Drafts::new(DraftPolicy::Always(7));
        let lookup = repeating();
        let lookups = [&lookup; 5];
        assert_eq!(drafts.length(&lookups, 256), 7);
        assert_eq!(drafts.length(&lookups, 17), 2);
        assert_eq!(drafts.length(&lookups, 5), 0);
        assert_eq!(Drafts::new(DraftPolicy::Off).length(&lookups, 256), 0);
        assert_eq!(Drafts::new(DraftPolicy::Measured).length(&lookups, 256), 0, "nothing measured");
    }
}
