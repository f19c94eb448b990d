//! `evol tree`: shows how an instruction evolved, from its seed to its leaves.

use super::args::TreeArgs;
use super::session::Session;
use crate::run::{Error, Result};
use crate::store::{Generation, History, Store, Verdict};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Maximum characters of an instruction on a line; `--json` has all.
const SHOWN_CHARS: usize = 100;

/// Runs the command.
///
/// # Errors
/// The run does not exist, or has no such node.
pub(crate) fn run(args: &TreeArgs, session: &Session) -> Result<()> {
    let store = Store::open(&args.run)?;
    let roots = match args.id {
        Some(id) => match store.node(id)? {
            Some(node) => vec![node.root_id],
            None => return Err(Error::NoSuchNode { id, run: args.run.clone() }),
        },
        None => store.attempts(0, 0)?.into_iter().map(|seed| seed.id).collect(),
    };
    // One family at a time, so that memory is bounded by the largest family.
    for root in roots {
        let family = store.family(root)?;
        if session.output.is_json() {
            for history in &family {
                session.output.data(&format!("{}\n", to_json(history)))?;
            }
        } else {
            session.output.data(&draw(&family))?;
        }
    }
    Ok(())
}

fn to_json(history: &History) -> Value {
    let node = &history.node;
    json!({
        "id": node.id, "parent_id": node.parent_id, "root_id": node.root_id,
        "round": node.round, "attempt": node.attempt, "operator": node.operator,
        "instruction": node.instruction, "input": node.input,
        "skill": node.skill, "difficulty": node.difficulty, "constraints": node.constraints,
        "status": node.status, "reason": node.reason,
        "generation": node.generation.as_ref().map(generation_json),
        "verdicts": history.verdicts.iter().map(|v| json!({
            "rule": v.rule, "passed": v.passed, "detail": v.detail,
        })).collect::<Vec<_>>(),
        "answer": history.answer.as_ref().map(|a| json!({
            "text": a.text, "sample": a.sample, "generation": generation_json(&a.generation),
        })),
    })
}

fn generation_json(generation: &Generation) -> Value {
    json!({
        "prompt_hash": generation.prompt_hash, "sampling": generation.sampling,
        "key": format!("{:016x}", generation.key),
        "prompt_tokens": generation.prompt_tokens, "completion_tokens": generation.completion_tokens,
        "finish_reason": generation.finish_reason,
    })
}

/// A family as a tree, parents above their children. `family` is ordered by id, so parents come first.
fn draw(family: &[History]) -> String {
    let mut text = String::new();
    for root in family.iter().filter(|h| h.node.parent_id.is_none()) {
        draw_node(family, root, "", "", &mut text);
    }
    text
}

fn draw_node(family: &[History], history: &History, first: &str, rest: &str, text: &mut String) {
    let node = &history.node;
    let children: Vec<&History> = family.iter().filter(|h| h.node.parent_id == Some(node.id)).collect();
    let origin = node
        .operator
        .as_ref()
        .map_or_else(|| "seed".to_owned(), |operator| format!("round {} {operator}", node.round));
    let fate = node
        .reason
        .as_ref()
        .map_or_else(|| node.status.name().to_owned(), |reason| format!("{}: {reason}", node.status.name()));
    let _ = writeln!(text, "{first}{} {origin}: {fate}", node.id);
    let bar = if children.is_empty() { "  " } else { "│ " };
    let _ = writeln!(text, "{rest}{bar}{}", shorten(&node.instruction));
    if !history.verdicts.is_empty() {
        let verdicts: Vec<String> = history.verdicts.iter().map(verdict).collect();
        let _ = writeln!(text, "{rest}{bar}rules: {}", verdicts.join(", "));
    }
    if let Some(answer) = &history.answer {
        let _ = writeln!(text, "{rest}{bar}answer: {}", shorten(&answer.text));
    }
    for (index, child) in children.iter().enumerate() {
        let (branch, below) =
            if index + 1 == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw_node(family, child, &format!("{rest}{branch}"), &format!("{rest}{below}"), text);
    }
}

fn verdict(verdict: &Verdict) -> String {
    format!("{} {}", verdict.rule, if verdict.passed { "passed" } else { "FAILED" })
}

/// The beginning of `text` on one line.
fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SHOWN_CHARS {
        return line;
    }
    line.chars().take(SHOWN_CHARS - 1).chain(['…']).collect()
}
