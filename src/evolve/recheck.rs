//! Every rule that needs no model, applied again to exported data.
//!
//! In the flow: `evol check` reads an export, calls [`recheck`] and prints the findings. The run itself is
//! not needed.
//!
//! **Invariant:** what a run with all guards kept has no finding. Rules about how a text was generated (cut
//! off, prompt too long) leave no trace in a text, and do not apply.

use super::eliminate::{self, Child, ChildRules, Outcome};
use super::library::Prompts;
use super::{Error, Operator, Style};
use crate::dataset::{NEAR_DUPLICATE, Record, near_duplicates};
use crate::llm::FinishReason;
use crate::store::{Node, Status};
use serde_json::json;
use std::collections::HashMap;

/// Something that should not be in the data.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Finding {
    /// The id of the record.
    pub id: u64,
    /// Name of the rule or guard that objects.
    pub rule: &'static str,
    /// What it objects to.
    pub detail: serde_json::Value,
    /// The instruction.
    pub instruction: String,
}

/// What was checked, and what was found.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Recheck {
    /// Rows.
    pub rows: usize,
    /// Rows that have constraints.
    pub with_constraints: usize,
    /// Constraints that were checked.
    pub constraints: usize,
    /// Rows that were compared with their parents.
    pub with_parent: usize,
    /// Evolved rows whose parent is missing, so that the guards which compare with it were left out.
    pub without_parent: usize,
    /// In the order of the rows; at most three for each: on the instruction, on the answer, and on other
    /// lineages.
    pub findings: Vec<Finding>,
}

/// Checks `records`; `others` only serve as parents.
///
/// # Errors
/// [`Error::NoOrigin`] for an evolved record without an operator.
pub fn recheck(records: &[Record], others: &[&Record]) -> Result<Recheck, Error> {
    let parents: HashMap<u64, Node> =
        records.iter().chain(others.iter().copied()).map(|record| (record.id, node(record))).collect();
    // Leaks of prompts depend on the style, which an export does not say. Small models, which leak most, are
    // prompted in completion style.
    let mut rules = ChildRules::new(&Prompts::new(Style::Completion, true), true);
    let mut found = Recheck { rows: records.len(), ..Recheck::default() };
    let mut order: Vec<&Record> = records.iter().collect();
    // The order of a run: a record is compared with what its lineage had before it.
    order.sort_by_key(|record| (record.round, record.attempt, record.id));
    for record in order {
        found.with_constraints += usize::from(!record.constraints.is_empty());
        found.constraints += record.constraints.len();
        let node = node(record);
        let mut outcomes = Vec::new();
        match record.parent_id.map(|id| parents.get(&id)) {
            None => {}
            Some(None) => found.without_parent += 1,
            Some(Some(parent)) => {
                found.with_parent += 1;
                outcomes.push(check_child(&rules, record, parent)?);
            }
        }
        rules.learn(record.root_id, &record.instruction, &record.input);
        outcomes.push(eliminate::check_answer(
            &rules.words,
            &node,
            &record.output,
            FinishReason::Stop,
            true,
        )?);
        let objections = outcomes.into_iter().filter_map(|outcome| {
            let rule = outcome.reason?.name();
            let detail = outcome.verdicts.into_iter().next_back()?.detail;
            Some(Finding { id: record.id, rule, detail, instruction: record.instruction.clone() })
        });
        found.findings.extend(objections);
    }
    let instruction_of: HashMap<u64, &str> =
        records.iter().map(|record| (record.id, record.instruction.as_str())).collect();
    found.findings.extend(near_duplicates(records).into_iter().map(|repeat| Finding {
        id: repeat.id,
        rule: NEAR_DUPLICATE,
        detail: json!({ "root_id": repeat.root_id, "similarity": repeat.similarity }),
        instruction: instruction_of[&repeat.id].to_owned(),
    }));
    found.findings.sort_by_key(|finding| finding.id);
    Ok(found)
}

fn check_child(rules: &ChildRules, record: &Record, parent: &Node) -> Result<Outcome, Error> {
    let operator = record.operator.as_deref().and_then(Operator::parse);
    let operator =
        operator.ok_or_else(|| Error::NoOrigin { id: record.id, operator: record.operator.clone() })?;
    let child = Child {
        instruction: record.instruction.clone(),
        input: record.input.clone(),
        lacks_data: false,
        constraints: record.constraints.clone(),
    };
    Ok(rules.check(operator, parent, &child, FinishReason::Stop))
}

fn node(record: &Record) -> Node {
    Node {
        id: record.id,
        parent_id: record.parent_id,
        root_id: record.root_id,
        round: record.round,
        attempt: record.attempt,
        operator: record.operator.clone(),
        instruction: record.instruction.clone(),
        input: record.input.clone(),
        skill: record.skill.clone(),
        difficulty: record.difficulty,
        generation: None,
        status: Status::Kept,
        reason: None,
        constraints: super::constrain::to_json(&record.constraints),
    }
}
