//! Measures how fast a model file runs on this machine, and chooses compute format and batch width by that.
//!
//! Where in the flow: [`choose`] serves `--compute-format auto`, [`choose_width`] a run without
//! `--batch-width`, and [`measure`] reports speeds. It times the engine itself, with its own batches, workers
//! and sampling, so the figures are those that a run will see.
//!
//! A choice depends on a clock, so it is made once. It is stored beside the converted models, under a name
//! made of everything that it depends on, and a run records what it used and resumes with that.
//!
//! **Invariant:** measurements affect results of the engine only through the choice of a file and a width.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::compute_format::{ComputeFormat, ConversionCache, ConversionStep, write_json};
use super::{
    BINDINGS, Determinism, Engine, EngineOptions, EngineStats, Error, Generate as _, ModelInfo, Part,
    Progress, Prompt, Request, Restriction, Sampling, Tokenizer, system_info,
};
use crate::gguf::Gguf;

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct MeasureOptions<'p> {
    /// The model, a GGUF file.
    pub model: &'p Path,
    /// As [`EngineOptions::threads`].
    pub threads: usize,
    /// As [`EngineOptions::gpu_layers`].
    pub gpu_layers: u32,
    /// As [`EngineOptions::determinism`], if the file allows it.
    pub determinism: Determinism,
    /// Time for prompts, and again for generated tokens, at each width. A slow model gets one batch of each,
    /// however long it takes.
    pub budget: Duration,
    /// Once true, measuring ends with [`Error::Interrupted`].
    pub interrupt: Arc<AtomicBool>,
}

/// Speeds at one batch width.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Sequences in a batch.
    pub width: usize,
    /// Tokens of prompts per second.
    pub prefill_tokens_per_second: f64,
    /// Generated tokens per second, over all sequences.
    pub decode_rows_per_second: f64,
}

impl Rates {
    /// Tokens per second of a workload with one prompt token for each generated token, which is about what
    /// evolving needs when shared prefixes are reused.
    pub fn mixed(&self) -> f64 {
        2.0 / (1.0 / self.prefill_tokens_per_second + 1.0 / self.decode_rows_per_second)
    }
}

/// Words of a prompt whose prefill is timed.
const PROMPT_WORDS: u64 = 96;
/// Tokens per sequence whose decoding is timed.
const DECODE_TOKENS: usize = 64;
/// How often the time is checked.
const TICK: Duration = Duration::from_millis(5);

/// Measures `options.model` at each of `widths`.
///
/// # Errors
/// The model is unusable, or a width or the number of threads is out of range.
pub fn measure(options: &MeasureOptions<'_>, widths: &[usize]) -> Result<Vec<Rates>, Error> {
    let end = Tokenizer::load(options.model)?.eos();
    widths.iter().map(|&width| Bench::new(options, width, end)?.rates()).collect()
}

/// An engine of one width that is being timed.
struct Bench<'o> {
    options: &'o MeasureOptions<'o>,
    width: usize,
    /// The end token, which is banned, so that sequences do not end early.
    end: u32,
    engine: Engine,
    /// Stops the engine when it has been timed long enough.
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
    /// Prompts made so far; all of them differ.
    made: u64,
}

impl<'o> Bench<'o> {
    fn new(options: &'o MeasureOptions<'o>, width: usize, end: u32) -> Result<Self, Error> {
        let (stop, progress) = (Arc::<AtomicBool>::default(), Arc::<Progress>::default());
        // Like a run, at the level that the file allows.
        let (determinism, _) = options.determinism.resolve(options.model, options.gpu_layers)?;
        let engine = Engine::load(EngineOptions {
            n_seq: width,
            gpu_layers: options.gpu_layers,
            determinism,
            interrupt: Arc::clone(&stop),
            progress: Arc::clone(&progress),
            ..EngineOptions::new(options.model, options.threads)
        })?;
        Ok(Self { options, width, end, engine, stop, progress, made: 0 })
    }

    /// Reads the weights from disk and fills the processor's caches.
    fn warm_up(&mut self) -> Result<(), Error> {
        self.time(1, 2, Duration::ZERO, |stats| stats.prompt_tokens).map(drop)
    }

    fn rates(&mut self) -> Result<Rates, Error> {
        self.warm_up()?;
        let budget = self.options.budget;
        let prefill = self.time(PROMPT_WORDS, 1, budget, |stats| stats.prompt_tokens)?;
        let decode = self.time(1, DECODE_TOKENS, budget, |stats| stats.decode_batches)?;
        Ok(Rates {
            width: self.width,
            prefill_tokens_per_second: prefill.prompt.per_second(),
            decode_rows_per_second: decode.generated.per_second(),
        })
    }

    /// Runs lists of requests until `counter` has grown for `budget`.
    fn time(
        &mut self,
        words: u64,
        max_tokens: usize,
        budget: Duration,
        counter: fn(&EngineStats) -> u64,
    ) -> Result<Timed, Error> {
        let Timed { prompt: mut prefill, generated: mut decode } = Timed::default();
        let mut spent = Duration::ZERO;
        loop {
            let requests: Vec<Request> = (0..self.width).map(|_| self.request(words, max_tokens)).collect();
            let before = self.progress.stats();
            let started = Instant::now();
            self.run(&requests, budget.saturating_sub(spent), counter)?;
            let wall = started.elapsed().as_secs_f64();
            let after = self.progress.stats();
            spent += started.elapsed();
            // Workers run in parallel: the ratio of their summed times divides the wall time.
            let busy = |stats: &EngineStats| stats.prefill_ns + stats.decode_ns + stats.sampling_ns;
            let share = |part: u64| wall * part as f64 / (busy(&after) - busy(&before)).max(1) as f64;
            prefill
                .add(after.prompt_tokens - before.prompt_tokens, share(after.prefill_ns - before.prefill_ns));
            let decoding = after.decode_ns + after.sampling_ns - before.decode_ns - before.sampling_ns;
            // The first token of each sequence is drawn with its prompt.
            let drawn = after.generated_tokens - before.generated_tokens;
            decode.add(drawn.saturating_sub(requests.len() as u64), share(decoding));
            if spent >= budget {
                return Ok(Timed { prompt: prefill, generated: decode });
            }
        }
    }

    /// Runs one list, and stops it `time` after the counter has started to grow.
    fn run(
        &mut self,
        requests: &[Request],
        time: Duration,
        counter: fn(&EngineStats) -> u64,
    ) -> Result<(), Error> {
        let (stop, progress, interrupt) = (&self.stop, &self.progress, &self.options.interrupt);
        let engine = &mut self.engine;
        let done = AtomicBool::new(false);
        stop.store(false, Ordering::Relaxed);
        let before = counter(&progress.stats());
        let result = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut since: Option<Instant> = None;
                while !done.load(Ordering::Relaxed) {
                    if since.is_none() && counter(&progress.stats()) > before {
                        since = Some(Instant::now());
                    }
                    let enough = !time.is_zero() && since.is_some_and(|since| since.elapsed() >= time);
                    if enough || interrupt.load(Ordering::Relaxed) {
                        stop.store(true, Ordering::Relaxed);
                    }
                    std::thread::sleep(TICK);
                }
            });
            let result = engine.generate(requests);
            done.store(true, Ordering::Relaxed);
            result
        });
        match result {
            Err(Error::Interrupted) if !interrupt.load(Ordering::Relaxed) => Ok(()),
            other => other.map(drop),
        }
    }

    /// A request whose prompt shares nothing with others.
    fn request(&mut self, words: u64, max_tokens: usize) -> Request {
        let id = self.made;
        self.made += 1;
        let word =
            |index: u64| WORDS[(crate::rng::key(id, "llm.measure", &[index]) % WORDS.len() as u64) as usize];
        let mut text = format!("{id}");
        for index in 0..words {
            text.push(' ');
            text.push_str(word(index));
        }
        Request {
            id,
            prompt: Prompt { parts: vec![Part { text, special: false }], shared: 0 },
            sampling: Sampling { top_p: 0.95, min_p: 0.05, ..Sampling::default() },
            stop: Vec::new(),
            max_tokens,
            key: id,
            sample: 0,
            restriction: Restriction::Ban(vec![self.end]),
        }
    }
}

/// Words that are one token in most vocabularies.
const WORDS: [&str; 16] = [
    "river", "stone", "market", "letter", "garden", "engine", "winter", "paper", "window", "music", "bridge",
    "forest", "number", "village", "kitchen", "history",
];

/// Tokens of prompts and generated tokens, and their times.
#[derive(Debug, Clone, Copy, Default)]
struct Timed {
    prompt: Speed,
    generated: Speed,
}

/// A count and the seconds that it took.
#[derive(Debug, Clone, Copy, Default)]
struct Speed {
    count: u64,
    seconds: f64,
}

impl Speed {
    fn add(&mut self, count: u64, seconds: f64) {
        self.count += count;
        self.seconds += seconds;
    }

    fn per_second(self) -> f64 {
        self.count as f64 / self.seconds.max(1e-9)
    }
}

/// A format with its speeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The format.
    pub format: ComputeFormat,
    /// Its speeds at the given width.
    pub rates: Rates,
}

/// The result of [`choose`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The format to use.
    pub format: ComputeFormat,
    /// What was measured, in the order of [`ComputeFormat::ALL`].
    pub candidates: Vec<Candidate>,
}

/// How much faster than the unconverted file a format must be, because a conversion costs disk and memory,
/// and measurements on a busy machine vary.
const MARGIN: f64 = 1.1;

/// Each format is measured this often, in turns, and its best result counts, because other load can only make
/// it slower.
const TURNS: usize = 2;

/// Chooses the fastest format of `options.model` at batch width `width` among those whose weights fit into
/// `max_bytes`. Converted models go to `cache`. Measures the first time, and reads the stored choice later.
///
/// # Errors
/// As [`measure`] and [`ConversionCache::get`].
pub fn choose(
    options: &MeasureOptions<'_>,
    sha256: &str,
    width: usize,
    max_bytes: Option<u64>,
    cache: &ConversionCache,
    on_step: &mut dyn FnMut(ConversionStep),
) -> Result<Choice, Error> {
    let place = choice_path(options, sha256, width, max_bytes, &cache.folder);
    if let Some(choice) = fs::read_to_string(&place).ok().and_then(|text| serde_json::from_str(&text).ok()) {
        return Ok(choice);
    }
    let gguf = Gguf::open(options.model)?;
    let fits = |format: ComputeFormat| max_bytes.is_none_or(|max| format.bytes(&gguf) <= max);
    let is_other = |format: ComputeFormat| !format.is_format_of(&gguf) && fits(format);
    let formats = ComputeFormat::ALL.into_iter().filter(|&f| f == ComputeFormat::AsIs || is_other(f));
    let mut files = Vec::new();
    for format in formats {
        let file = cache.get(options.model, sha256, format, &options.interrupt, on_step)?;
        files.push((format, file.path));
    }
    let choice = compare(options, width, &files)?;
    fs::create_dir_all(&cache.folder).map_err(Error::cache(&cache.folder, "make"))?;
    write_json(&place, &choice)?;
    Ok(choice)
}

fn compare(
    options: &MeasureOptions<'_>,
    width: usize,
    files: &[(ComputeFormat, PathBuf)],
) -> Result<Choice, Error> {
    let mut candidates: Vec<Candidate> = Vec::new();
    // A single candidate needs no measurement.
    let turns = if files.len() > 1 { TURNS } else { 0 };
    for _ in 0..turns {
        for (format, path) in files {
            for rates in measure(&MeasureOptions { model: path, ..options.clone() }, &[width])? {
                match candidates.iter_mut().find(|candidate| candidate.format == *format) {
                    Some(known) if known.rates.mixed() >= rates.mixed() => {}
                    Some(known) => known.rates = rates,
                    None => candidates.push(Candidate { format: *format, rates }),
                }
            }
        }
    }
    Ok(Choice { format: fastest(&candidates), candidates })
}

/// The fastest format, unless the unconverted file is nearly as fast.
fn fastest(candidates: &[Candidate]) -> ComputeFormat {
    let speed = |format| {
        candidates.iter().find(|candidate| candidate.format == format).map_or(0.0, |c| c.rates.mixed())
    };
    let best = candidates.iter().map(|c| c.format).max_by(|&a, &b| speed(a).total_cmp(&speed(b)));
    match best {
        Some(best) if speed(best) >= MARGIN * speed(ComputeFormat::AsIs) => best,
        _ => ComputeFormat::AsIs,
    }
}

/// Batch widths to choose from, ascending.
const WIDTHS: [usize; 6] = [8, 16, 32, 64, 128, 240];

/// How much faster a batch of twice the width must be to be worth twice the memory for caches.
const WIDTH_MARGIN: f64 = 1.05;

/// Tokens per sequence for estimating memory: a long prompt with a long answer.
const USUAL_TOKENS: usize = 2048;

/// Chooses the smallest batch width beyond which a wider batch is at most a twentieth faster, among those
/// whose caches fit into `max_bytes`. Measures the first time, and reads the choice stored in `folder` later.
///
/// # Errors
/// As [`measure`].
pub fn choose_width(
    options: &MeasureOptions<'_>,
    sha256: &str,
    max_bytes: Option<u64>,
    folder: &Path,
) -> Result<usize, Error> {
    let info = ModelInfo::read(&Gguf::open(options.model)?)?;
    let sequence_bytes = info.cache_bytes_per_token * info.n_ctx_train.min(USUAL_TOKENS) as u64;
    let fits = |width: usize| max_bytes.is_none_or(|max| width as u64 * sequence_bytes <= max);
    let widths: Vec<usize> = WIDTHS.into_iter().filter(|&width| width == WIDTHS[0] || fits(width)).collect();
    let place = remembered(options, sha256, "width", &format!("{widths:?}"), folder);
    let known = fs::read_to_string(&place).ok().and_then(|text| serde_json::from_str(&text).ok());
    if let Some(width) = known.filter(|width| widths.contains(width)) {
        return Ok(width);
    }
    let end = Tokenizer::load(options.model)?.eos();
    let width = saturation(&widths, |width| {
        let mut bench = Bench::new(options, width, end)?;
        bench.warm_up()?;
        let timed = bench.time(1, DECODE_TOKENS, options.budget, |stats| stats.decode_batches)?;
        Ok(timed.generated.per_second())
    })?;
    // If the choice cannot be stored, the next run measures again; that is no reason to fail.
    let _ = fs::create_dir_all(folder).map(|()| write_json(&place, &width));
    Ok(width)
}

/// The first of `widths` after which the next one is not clearly faster.
fn saturation(widths: &[usize], mut rate: impl FnMut(usize) -> Result<f64, Error>) -> Result<usize, Error> {
    let (&first, wider) = widths.split_first().expect("there is always one width");
    if wider.is_empty() {
        return Ok(first);
    }
    let mut best = (first, rate(first)?);
    for &width in wider {
        let faster = rate(width)?;
        if faster >= WIDTH_MARGIN * best.1 {
            best = (width, faster);
        } else {
            break;
        }
    }
    Ok(best.0)
}

/// Where a choice is stored; the name is made of everything that the choice depends on.
fn remembered(options: &MeasureOptions<'_>, sha256: &str, what: &str, among: &str, folder: &Path) -> PathBuf {
    let MeasureOptions { threads, gpu_layers, determinism, .. } = options;
    let conditions = format!(
        "{sha256} {} {BINDINGS:?} {threads} {gpu_layers} {} {} {} {among}",
        system_info().join(" "),
        determinism.name(),
        // `exact` may have been resolved to `scheduled`, which has another speed.
        Determinism::Exact.recipe(*gpu_layers),
        Determinism::Scheduled.recipe(*gpu_layers),
    );
    let digest = blake3::hash(conditions.as_bytes()).to_hex();
    folder.join(format!("{}-{what}-{}.json", &sha256[..16.min(sha256.len())], &digest[..16]))
}

/// Where the choice of a format is stored.
fn choice_path(
    options: &MeasureOptions<'_>,
    sha256: &str,
    width: usize,
    max_bytes: Option<u64>,
    folder: &Path,
) -> PathBuf {
    // Not free memory itself, which differs each time, but which formats fit into it.
    let fitting = Gguf::open(options.model).map_or(0, |gguf| {
        let fits = |format: &ComputeFormat| max_bytes.is_none_or(|max| format.bytes(&gguf) <= max);
        ComputeFormat::ALL.iter().filter(|format| fits(format)).count()
    });
    remembered(options, sha256, "auto", &format!("{width} {fitting}"), folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(format: ComputeFormat, prefill: f64, decode: f64) -> Candidate {
        let rates = Rates { width: 8, prefill_tokens_per_second: prefill, decode_rows_per_second: decode };
        Candidate { format, rates }
    }

    #[test]
    fn the_file_as_it_is_wins_unless_another_is_clearly_faster() {
        use ComputeFormat::{AsIs, F16, Q8_0};
        let base = candidate(AsIs, 100.0, 100.0);
        assert_eq!(fastest(&[]), AsIs);
        assert_eq!(fastest(&[base]), AsIs);
        assert_eq!(fastest(&[base, candidate(Q8_0, 109.0, 109.0)]), AsIs);
        assert_eq!(fastest(&[base, candidate(Q8_0, 111.0, 111.0)]), Q8_0);
        assert_eq!(fastest(&[base, candidate(Q8_0, 150.0, 150.0), candidate(F16, 160.0, 170.0)]), F16);
        // Fast on prompts and slow on the rest is slow.
        assert_eq!(fastest(&[base, candidate(F16, 10_000.0, 50.0)]), AsIs);
    }

    #[test]
    fn a_batch_is_as_wide_as_it_gets_clearly_faster() {
        let rates = |widths: &[usize], rates: &[f64]| {
            let mut rates = rates.iter();
            saturation(widths, |_| Ok(*rates.next().expect("no more than needed is measured"))).unwrap()
        };
        assert_eq!(rates(&[8], &[]), 8, "nothing to compare");
        assert_eq!(rates(&[8, 16, 32], &[100.0, 104.0]), 8);
        assert_eq!(rates(&[8, 16, 32, 64], &[100.0, 120.0, 130.0, 131.0]), 32);
        assert_eq!(rates(&[8, 16], &[100.0, 120.0]), 16);
        // A rate that is no number is not faster.
        assert_eq!(rates(&[8, 16, 32], &[100.0, f64::NAN, 500.0]), 8);
    }

    #[test]
    fn a_choice_is_kept_under_its_conditions() {
        let options = |threads| MeasureOptions {
            model: Path::new("absent.gguf"),
            threads,
            gpu_layers: 0,
            determinism: Determinism::Exact,
            budget: Duration::ZERO,
            interrupt: Arc::default(),
        };
        let path = |sha256: &str, threads, width| {
            choice_path(&options(threads), sha256, width, None, Path::new("cache"))
        };
        assert_eq!(path("ab", 1, 8), path("ab", 1, 8));
        assert_ne!(path("ab", 1, 8), path("ac", 1, 8));
        assert_ne!(path("ab", 1, 8), path("ab", 2, 8));
        assert_ne!(path("ab", 1, 8), path("ab", 1, 9));
    }
}
