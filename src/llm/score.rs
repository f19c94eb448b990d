//! Answers questions by comparing the probabilities of labels: one row of logits each, without generating.
//!
//! Where in the flow: [`super::Generate::score`] of the engine; `evolve` judges with it.
//!
//! The model may start a label with the first token of any of its aliases. The probabilities of these tokens
//! are added up, and the sums normalised over the labels. No generated text is parsed.
//!
//! **Invariant:** the probabilities of a question's labels sum to 1, and the result for a question is a
//! function of the question alone.

use super::llama::Model;
use super::prefill::{self, Prefill};
use super::prefix::{self, Tokens};
use super::progress::Progress;
use super::settings::Call;
use super::workers::{self, Layout, Worker};
use super::{Answer, Error, Question, tokenizer};

/// Scores every question, in order.
pub(super) fn run(call: Call<'_>, questions: &[Question]) -> Result<Vec<Answer>, Error> {
    call.settings.check_interrupt()?;
    let texts = questions.iter().map(|question| (question.id, &question.prompt));
    let prompts = prefill::tokenize(call.model, texts)?;
    let labels = questions
        .iter()
        .zip(&prompts)
        .map(|(question, prompt)| label_tokens(call.model, question, &prompt.all))
        .collect::<Result<Vec<_>, _>>()?;
    let mut answers: Vec<Answer> =
        questions.iter().map(|question| Answer { id: question.id, log_probs: None }).collect();
    let max_tokens = call.settings.max_tokens;
    let fits = |prompt: &Tokens| prompt.all.len() <= max_tokens;
    let longest = prompts.iter().filter(|prompt| fits(prompt)).map(|prompt| prompt.all.len()).max();
    let fitting = (0..prompts.len()).filter(|&index| fits(&prompts[index]));
    let plan = prefix::plan(&prompts, fitting, call.settings.share_prefixes);
    // Questions generate nothing, so several in progress at once would gain nothing.
    let layout = Layout::one_by_one(call.settings.threads, plan.len());
    let shape = layout.shape(call.settings.clone(), longest.unwrap_or(0));
    let scored = workers::run(call, layout, &plan, plan.common(&prompts), shape, |worker, plan| {
        let progress = worker.settings.progress.clone();
        Progress::time(&progress.score_ns, || score_share(worker, questions, &prompts, &labels, plan))
    })?;
    for (index, log_probs) in scored {
        answers[index].log_probs = Some(log_probs);
    }
    Ok(answers)
}

fn score_share(
    mut worker: Worker<'_>,
    questions: &[Question],
    prompts: &[Tokens],
    labels: &[Vec<Vec<u32>>],
    plan: &prefix::Plan,
) -> Result<Vec<(usize, Vec<f64>)>, Error> {
    let mut prefill = Prefill::new(worker.width);
    let mut scored = Vec::new();
    while let Some(index) = worker.next() {
        let (prompt, cuts) = (&prompts[index], &plan.cuts[&index]);
        let row = prefill.run(&mut worker.context, worker.settings, prompt, cuts, 0)?;
        let logits = worker.context.logits(row);
        if let Some(trace) = &worker.settings.trace {
            trace.note(questions[index].id, logits);
        }
        scored.push((index, log_probs(logits, &labels[index])?));
        Progress::add(&worker.settings.progress.finished, 1);
    }
    Ok(scored)
}

/// For each label the first tokens of its aliases, each once.
fn label_tokens(model: &Model, question: &Question, prompt: &[u32]) -> Result<Vec<Vec<u32>>, Error> {
    let mut labels: Vec<Vec<u32>> = Vec::new();
    let mut seen: Vec<(u32, usize, &str)> = Vec::new();
    for (index, aliases) in question.labels.iter().enumerate() {
        let mut tokens = Vec::new();
        for alias in aliases {
            let token = first_token(model, prompt, alias)?;
            match seen.iter().find(|(other, ..)| *other == token) {
                Some((_, label, first)) if *label != index => {
                    let (first, second) = ((*first).to_owned(), alias.clone());
                    return Err(Error::LabelOverlap { first, second, token });
                }
                Some(_) => {}
                None => {
                    seen.push((token, index, alias));
                    tokens.push(token);
                }
            }
        }
        if tokens.is_empty() {
            return Err(Error::EmptyLabel { label: format!("number {}", index + 1) });
        }
        labels.push(tokens);
    }
    Ok(labels)
}

/// The token that follows the prompt if the model says `alias`.
fn first_token(model: &Model, prompt: &[u32], alias: &str) -> Result<u32, Error> {
    let mut tokens = prompt[prompt.len() - 1..].to_vec();
    tokenizer::append(model, &mut tokens, alias, false)?;
    tokens.get(1).copied().ok_or_else(|| Error::EmptyLabel { label: alias.to_owned() })
}

/// Natural logarithms of the probabilities, normalised over the labels.
fn log_probs(logits: &[f32], labels: &[Vec<u32>]) -> Result<Vec<f64>, Error> {
    let mut sums = Vec::with_capacity(labels.len());
    for tokens in labels {
        let of_label: Vec<f64> = tokens.iter().map(|&token| f64::from(logits[token as usize])).collect();
        if let Some(at) = of_label.iter().position(|logit| logit.is_nan()) {
            return Err(Error::NotANumber { token: tokens[at] as usize });
        }
        sums.push(log_sum_exp(&of_label));
    }
    let total = log_sum_exp(&sums);
    Ok(sums.into_iter().map(|sum| sum - total).collect())
}

fn log_sum_exp(values: &[f64]) -> f64 {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + values.iter().map(|value| (value - max).exp()).sum::<f64>().ln()
}
