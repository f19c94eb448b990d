//! Texts as vectors: the mean of the model's last hidden states over a text's tokens, scaled to length 1.
//!
//! Where in the flow: `run::vectors` makes them of instructions, for the clusters of `evol stats` and the map
//! of the report. Cosine similarity is the dot product.
//!
//! Embeddings have contexts of their own, because the others do not compute hidden states.
//!
//! **Invariant:** the vector of a text is a function of the model and the text alone: each text is a batch of
//! its own.

use super::engine::Engine;
use super::llama::{Context, ContextShape, Recipe, Row};
use super::prefill::tokenize;
use super::prefix::{self, Tokens};
use super::progress::Progress;
use super::workers::{self, Layout, Worker};
use super::{Error, Prompt};

impl Engine {
    /// The vector (E) of each prompt, in order; `None` for one that is longer than a sequence may be.
    ///
    /// # Errors
    /// The model failed, or the call was interrupted.
    pub fn embed(&mut self, prompts: &[Prompt]) -> Result<Vec<Option<Vec<f32>>>, Error> {
        self.settings.check_interrupt()?;
        let tokens = tokenize(&self.model, (0..).zip(prompts))?;
        let max_tokens = self.settings.max_tokens;
        let fits = |index: &usize| tokens[*index].all.len() <= max_tokens;
        let plan = prefix::Plan::unshared((0..tokens.len()).filter(fits));
        let longest = (0..tokens.len()).filter(fits).map(|index| tokens[index].all.len()).max().unwrap_or(0);
        let layout = Layout::one_by_one(self.settings.threads, plan.len());
        let shape = |threads| ContextShape {
            sequences: 2,
            tokens: longest,
            // All hidden states of a text are read at once.
            n_batch: longest.max(2),
            threads,
            recipe: Recipe::Embedding,
        };
        let embedded =
            workers::run(self.call(), layout, &plan, &[], shape, |worker, _| embed_share(worker, &tokens))?;
        let mut vectors = vec![None; prompts.len()];
        for (index, vector) in embedded {
            vectors[index] = Some(vector);
        }
        Ok(vectors)
    }
}

fn embed_share(mut worker: Worker<'_>, tokens: &[Tokens]) -> Result<Vec<(usize, Vec<f32>)>, Error> {
    let mut vectors = Vec::new();
    while let Some(index) = worker.next() {
        worker.settings.check_interrupt()?;
        let row = |&token: &u32| Row { token, sequence: 0, logits: true };
        let rows: Vec<Row> = tokens[index].all.iter().map(row).collect();
        let context: &mut Context<'_> = &mut worker.context;
        context.truncate(0, 0);
        context.decode(&rows)?;
        vectors.push((index, mean_direction(context, rows.len())?));
        Progress::add(&worker.settings.progress.prompt_tokens, rows.len());
        Progress::add(&worker.settings.progress.finished, 1);
    }
    Ok(vectors)
}

/// The mean of the hidden states of the first `rows` rows, scaled to length 1; summed in double precision.
fn mean_direction(context: &Context<'_>, rows: usize) -> Result<Vec<f32>, Error> {
    let mut sum = context.hidden_state(0)?.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    for row in 1..rows {
        for (sum, &x) in sum.iter_mut().zip(context.hidden_state(row)?) {
            *sum += f64::from(x);
        }
    }
    let norm = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
    let scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
    Ok(sum.iter().map(|x| (x * scale) as f32).collect())
}
