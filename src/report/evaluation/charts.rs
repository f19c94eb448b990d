//! Charts of the evaluation: rates, differences, slices, wins and losses.
//!
//! Where in the flow: part of the evaluation section.
//!
//! **Invariant:** every estimate is drawn with its interval.

use crate::eval::result::{Contestant, Estimate, Evaluation, Slice};
use crate::report::chart::{Caption, Mark, Row, RowChart};
use crate::report::text::{count, percent, share, words};

/// A property that items or constraints are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grouping {
    /// Items by skill.
    Skill,
    /// Items by difficulty.
    Difficulty,
    /// Constraints by kind.
    Constraint,
}

impl Grouping {
    /// The slices of a contestant in this grouping.
    pub(super) fn slices(self, contestant: &Contestant) -> &[Slice] {
        match self {
            Self::Skill => &contestant.by_skill,
            Self::Difficulty => &contestant.by_difficulty,
            Self::Constraint => &contestant.by_constraint,
        }
    }

    /// The name of the property.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Skill => "skill",
            Self::Difficulty => "difficulty",
            Self::Constraint => "constraint",
        }
    }

    /// The names of all slices: difficulties in numerical order, others in alphabetical order.
    pub(super) fn names(self, evaluation: &Evaluation) -> Vec<String> {
        let all = evaluation.contestants.iter().flat_map(|contestant| self.slices(contestant));
        let mut names: Vec<String> = all.map(|slice| slice.name.clone()).collect();
        names.sort_by_key(|name| (name.parse::<u32>().unwrap_or(u32::MAX), name.clone()));
        names.dedup();
        names
    }
}

/// The measures that are shares, with their names.
pub(super) fn shares(contestant: &Contestant) -> [(&'static str, Option<Estimate>); 6] {
    let rates = contestant.constraints;
    [
        ("items, strict", rates.map(|r| r.prompt_strict)),
        ("items, loose", rates.map(|r| r.prompt_loose)),
        ("constraints, strict", rates.map(|r| r.constraint_strict)),
        ("constraints, loose", rates.map(|r| r.constraint_loose)),
        ("exact match", contestant.exact_match),
        ("multiple choice", contestant.choice_accuracy),
    ]
}

/// The legend: the series number and name of each contestant.
fn legend(evaluation: &Evaluation) -> Vec<(usize, String)> {
    evaluation.contestants.iter().map(|contestant| contestant.name.clone()).enumerate().collect()
}

fn dot(series: usize, estimate: &Estimate, factor: f64) -> Mark {
    Mark::Dot {
        value: estimate.value * factor,
        ends: (estimate.low * factor, estimate.high * factor),
        inner: None,
        series,
    }
}

/// Shares of right items and met constraints of all contestants.
pub(super) fn rates(evaluation: &Evaluation) -> String {
    let mut rows = Vec::new();
    let mut descriptions = Vec::new();
    for measure in 0..6 {
        let share_of = |contestant: &Contestant| shares(contestant)[measure].1;
        let found: Vec<(usize, &Contestant, Estimate)> = (evaluation.contestants.iter().enumerate())
            .filter_map(|(series, contestant)| Some((series, contestant, share_of(contestant)?)))
            .collect();
        let Some((_, first, estimate)) = found.first() else { continue };
        let label = shares(first)[measure].0;
        for (_, contestant, estimate) in &found {
            descriptions.push(format!("{label}, {}: {}", contestant.name, share(estimate)));
        }
        rows.push(Row {
            label: label.to_owned(),
            marks: found.iter().map(|(series, _, estimate)| dot(*series, estimate, 100.0)).collect(),
            value: format!("n = {}", count(estimate.n as u64)),
        });
    }
    let caption = Caption {
        id: "fig-rates",
        title: "Share of right items and met constraints.".to_owned(),
        note: "Lines are 95 % intervals. “Strict” checks the unchanged response, “loose” also accepts it \
               without its first or last line or without asterisks."
            .to_owned(),
        description: descriptions.join("; "),
    };
    let axis = "per cent".to_owned();
    RowChart { caption, rows, legend: legend(evaluation), axis, axis_includes: vec![0.0], zero_line: false }
        .html("no item of the suite can be scored")
}

/// Paired differences between contestants.
pub(super) fn differences(evaluation: &Evaluation) -> String {
    let mut rows = Vec::new();
    let mut descriptions = Vec::new();
    for comparison in &evaluation.comparisons {
        if comparison.paired.is_empty() {
            continue;
        }
        let pair = format!("{} against {}", comparison.name, comparison.against);
        // The colour of the first contestant of the comparison.
        let series = evaluation.contestants.iter().position(|c| c.name == comparison.name).unwrap_or(0);
        rows.push(Row { label: pair.clone(), ..Row::default() });
        for test in &comparison.paired {
            let [value, low, high] = [test.difference.value, test.difference.low, test.difference.high]
                .map(|number| crate::report::text::signed(100.0 * number, 1));
            descriptions.push(format!("{pair}, {}: {value} [{low}, {high}]", words(&test.metric)));
            rows.push(Row {
                label: words(&test.metric),
                marks: vec![dot(series, &test.difference, 100.0)],
                value: format!("{value} [{low}, {high}]"),
            });
        }
    }
    let caption = Caption {
        id: "fig-differences",
        title: "Differences between contestants.".to_owned(),
        note: "Paired by item. If an interval includes zero, this suite shows no difference.".to_owned(),
        description: descriptions.join("; "),
    };
    let axis = "percentage points".to_owned();
    RowChart { caption, rows, axis, axis_includes: vec![0.0], zero_line: true, ..RowChart::default() }
        .html("the evaluation has fewer than two contestants")
}

// The series numbers of blue, grey and vermilion.
const WIN: usize = 0;
const TIE: usize = 5;
const LOSS: usize = 1;

/// Wins, ties and losses by the checks and by the judge.
pub(super) fn outcomes(evaluation: &Evaluation) -> String {
    let mut heading = String::new();
    let mut rows = Vec::new();
    let mut descriptions = Vec::new();
    let mut bar = |label: &str, pair: &str, [wins, ties, losses]: [usize; 3]| {
        let all = wins.saturating_add(ties).saturating_add(losses);
        if all == 0 {
            return;
        }
        if heading != pair {
            pair.clone_into(&mut heading);
            rows.push(Row { label: heading.clone(), ..Row::default() });
        }
        let share = |n: usize| 100.0 * n as f64 / all as f64;
        let (w, t) = (share(wins), share(ties));
        let mark = |from, to, series, outlined| Mark::Bar { from, to, series, outlined };
        descriptions.push(format!("{pair}, {label}: {wins} wins, {ties} ties, {losses} losses"));
        rows.push(Row {
            label: label.to_owned(),
            marks: vec![mark(0.0, w, WIN, false), mark(w, w + t, TIE, true), mark(w + t, 100.0, LOSS, false)],
            value: format!("{wins} / {ties} / {losses}"),
        });
    };
    for comparison in &evaluation.comparisons {
        let pair = format!("{} against {}", comparison.name, comparison.against);
        if let Some(test) = comparison.paired.iter().find(|test| test.metric == "correct") {
            bar("checks", &pair, [test.wins, test.both.saturating_add(test.neither), test.losses]);
        }
        if let Some(preference) = &comparison.preference {
            let total = preference.total;
            bar("judge", &pair, [total.wins, total.ties, total.losses]);
        }
    }
    let caption = Caption {
        id: "fig-outcomes",
        title: "Wins, ties and losses.".to_owned(),
        note: "By the checks, where a tie is an item that both or neither got right, and by the judge, if \
               there was one."
            .to_owned(),
        description: descriptions.join("; "),
    };
    let legend =
        [(WIN, "win"), (TIE, "tie"), (LOSS, "loss")].map(|(series, name)| (series, name.to_owned())).to_vec();
    let axis = "per cent of items".to_owned();
    RowChart { caption, rows, legend, axis, axis_includes: vec![0.0, 100.0], zero_line: false }
        .html("there is no comparison")
}

/// Scores by skill, difficulty or kind of constraint.
pub(super) fn slices(evaluation: &Evaluation, grouping: Grouping) -> String {
    let mut descriptions = Vec::new();
    let row = |name: String| {
        let mut n = 0;
        let mut marks = Vec::new();
        for (series, contestant) in evaluation.contestants.iter().enumerate() {
            if let Some(slice) = grouping.slices(contestant).iter().find(|slice| slice.name == name) {
                n = n.max(slice.correct.n);
                marks.push(dot(series, &slice.correct, 100.0));
                descriptions.push(format!("{name}, {}: {}", contestant.name, percent(slice.correct.value)));
            }
        }
        Row { label: words(&name), marks, value: format!("n = {}", count(n as u64)) }
    };
    let rows = grouping.names(evaluation).into_iter().map(row).collect();
    let (id, title) = match grouping {
        Grouping::Skill => ("fig-skill", "Share of right items by skill."),
        Grouping::Difficulty => ("fig-level", "Share of right items by difficulty."),
        Grouping::Constraint => ("fig-constraint", "Share of met constraints by kind."),
    };
    let caption = Caption {
        id,
        title: title.to_owned(),
        note: "Checked strictly. Lines are 95 % intervals; they are wide where there are few items."
            .to_owned(),
        description: descriptions.join("; "),
    };
    let axis = "per cent".to_owned();
    RowChart {
        caption,
        rows,
        legend: legend(evaluation),
        axis,
        axis_includes: vec![0.0, 100.0],
        zero_line: false,
    }
    .html(&format!("the items of the suite have no {}", grouping.name()))
}
