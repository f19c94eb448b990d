//! Charts of the evaluation: rates, differences, slices, wins and losses.
//!
//! Where in the flow: see the module above.
//!
//! **Invariant:** a point has its interval as a line.

use crate::eval::result::{Contestant, Estimate, Evaluation, Slice};
use crate::report::chart::{Caption, Mark, Row, Rows};
use crate::report::text::{count, percent, share, words};

/// What items are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Skill.
    Skill,
    /// Difficulty.
    Difficulty,
    /// Kind of constraint.
    Constraint,
}

impl Kind {
    /// The slices of a contestant.
    pub(super) fn of(self, contestant: &Contestant) -> &[Slice] {
        match self {
            Self::Skill => &contestant.by_skill,
            Self::Difficulty => &contestant.by_difficulty,
            Self::Constraint => &contestant.by_constraint,
        }
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Skill => "skill",
            Self::Difficulty => "difficulty",
            Self::Constraint => "constraint",
        }
    }

    /// Names of all slices: difficulties by number, skills by name.
    pub(super) fn names(self, evaluation: &Evaluation) -> Vec<String> {
        let all = evaluation.contestants.iter().flat_map(|contestant| self.of(contestant));
        let mut names: Vec<String> = all.map(|slice| slice.name.clone()).collect();
        names.sort_by_key(|name| (name.parse::<u32>().unwrap_or(u32::MAX), name.clone()));
        names.dedup();
        names
    }
}

/// Names of the measures that are shares, and each contestant's.
pub(super) fn shares(contestant: &Contestant) -> [(&'static str, Option<Estimate>); 6] {
    let rates = contestant.constraints;
    [
        ("items, strict", rates.map(|r| r.prompt_strict)),
        ("items, loose", rates.map(|r| r.prompt_loose)),
        ("constraints, strict", rates.map(|r| r.constraint_strict)),
        ("constraints, loose", rates.map(|r| r.constraint_loose)),
        ("exact match", contestant.exact_match),
        ("choices", contestant.choice_accuracy),
    ]
}

/// The legend of all contestants.
fn names(evaluation: &Evaluation) -> Vec<(usize, String)> {
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

/// Pass rates of all contestants.
pub(super) fn rates(evaluation: &Evaluation) -> String {
    let mut rows = Vec::new();
    let mut told = Vec::new();
    for place in 0..6 {
        let of = |contestant: &Contestant| shares(contestant)[place].1;
        let found: Vec<(usize, &Contestant, Estimate)> = (evaluation.contestants.iter().enumerate())
            .filter_map(|(series, contestant)| Some((series, contestant, of(contestant)?)))
            .collect();
        let Some((_, first, estimate)) = found.first() else { continue };
        let label = shares(first)[place].0;
        for (_, contestant, estimate) in &found {
            told.push(format!("{label}, {}: {}", contestant.name, share(estimate)));
        }
        rows.push(Row {
            label: label.to_owned(),
            marks: found.iter().map(|(series, _, estimate)| dot(*series, estimate, 100.0)).collect(),
            value: format!("n = {}", count(estimate.n as u64)),
        });
    }
    let caption = Caption {
        id: "fig-rates",
        title: "Share that was right.".to_owned(),
        note: "Lines are 95 % intervals. Strict takes the response as it stands, loose without its first or last line \
               and asterisks."
            .to_owned(),
        description: told.join("; "),
    };
    let axis = "per cent".to_owned();
    Rows { caption, list: rows, legend: names(evaluation), axis, include: vec![0.0], zero: false }
        .html("nothing in the suite can be scored")
}

/// Paired differences: what an interval across zero cannot tell.
pub(super) fn differences(evaluation: &Evaluation) -> String {
    let mut rows = Vec::new();
    let mut told = Vec::new();
    for comparison in &evaluation.comparisons {
        if comparison.paired.is_empty() {
            continue;
        }
        let pair = format!("{} against {}", comparison.name, comparison.against);
        // The colour of the one that is asked about.
        let series = evaluation.contestants.iter().position(|c| c.name == comparison.name).unwrap_or(0);
        rows.push(Row { label: pair.clone(), ..Row::default() });
        for test in &comparison.paired {
            let [value, low, high] = [test.difference.value, test.difference.low, test.difference.high]
                .map(|number| crate::report::text::signed(100.0 * number, 1));
            told.push(format!("{pair}, {}: {value} [{low}, {high}]", words(&test.metric)));
            rows.push(Row {
                label: words(&test.metric),
                marks: vec![dot(series, &test.difference, 100.0)],
                value: format!("{value} [{low}, {high}]"),
            });
        }
    }
    let caption = Caption {
        id: "fig-differences",
        title: "Difference between contestants.".to_owned(),
        note: "The same items, paired. An interval across zero is no difference that this suite can show."
            .to_owned(),
        description: told.join("; "),
    };
    let axis = "percentage points".to_owned();
    Rows { caption, list: rows, axis, include: vec![0.0], zero: true, ..Rows::default() }
        .html("there are not two contestants to compare")
}

/// Colours of outcomes: blue, grey, vermilion.
const WIN: usize = 0;
const TIE: usize = 5;
const LOSS: usize = 1;

/// Wins, ties and losses, of the checks and of the judge.
pub(super) fn outcomes(evaluation: &Evaluation) -> String {
    let mut headed = String::new();
    let mut rows = Vec::new();
    let mut told = Vec::new();
    let mut bar = |label: &str, pair: &str, [wins, ties, losses]: [usize; 3]| {
        let all = wins.saturating_add(ties).saturating_add(losses);
        if all == 0 {
            return;
        }
        if headed != pair {
            pair.clone_into(&mut headed);
            rows.push(Row { label: headed.clone(), ..Row::default() });
        }
        let share = |n: usize| 100.0 * n as f64 / all as f64;
        let (w, t) = (share(wins), share(ties));
        let mark = |from, to, series, outlined| Mark::Bar { from, to, series, outlined };
        told.push(format!("{pair}, {label}: {wins} wins, {ties} ties, {losses} losses"));
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
        note: "By the checks, where a tie is an item that both or neither got right; and by the judge, if one was asked."
            .to_owned(),
        description: told.join("; "),
    };
    let legend =
        [(WIN, "win"), (TIE, "tie"), (LOSS, "loss")].map(|(series, name)| (series, name.to_owned())).to_vec();
    let axis = "per cent of the items".to_owned();
    Rows { caption, list: rows, legend, axis, include: vec![0.0, 100.0], zero: false }
        .html("nothing was compared")
}

/// Shares by skill, difficulty or kind of constraint.
pub(super) fn slices(evaluation: &Evaluation, kind: Kind) -> String {
    let mut told = Vec::new();
    let row = |name: String| {
        let mut n = 0;
        let mut marks = Vec::new();
        for (series, contestant) in evaluation.contestants.iter().enumerate() {
            if let Some(slice) = kind.of(contestant).iter().find(|slice| slice.name == name) {
                n = n.max(slice.correct.n);
                marks.push(dot(series, &slice.correct, 100.0));
                told.push(format!("{name}, {}: {}", contestant.name, percent(slice.correct.value)));
            }
        }
        Row { label: words(&name), marks, value: format!("n = {}", count(n as u64)) }
    };
    let rows = kind.names(evaluation).into_iter().map(row).collect();
    let (id, title) = match kind {
        Kind::Skill => ("fig-skill", "Share that was right, by skill."),
        Kind::Difficulty => ("fig-level", "Share that was right, by difficulty."),
        Kind::Constraint => ("fig-constraint", "Share of constraints that were met, by kind."),
    };
    let caption = Caption {
        id,
        title: title.to_owned(),
        note: "Strict. Lines are 95 % intervals; few items make long ones.".to_owned(),
        description: told.join("; "),
    };
    let axis = "per cent".to_owned();
    Rows { caption, list: rows, legend: names(evaluation), axis, include: vec![0.0, 100.0], zero: false }
        .html(&format!("the items of the suite have no {}", kind.name()))
}
