//! Sections on the data that was made: funnel, lengths and difficulty, diversity.
//!
//! Where in the flow: from the counts, the nodes and the points of the map.
//!
//! **Invariant:** lengths and difficulty are those of kept instructions; what was eliminated is in the funnel
//! only.

use super::chart::{Caption, Look, Mark, Plane, Row, Rows, Series};
use super::data::{FunnelCell, NodeStatus, ReportData, ReportNode};
use super::table::Table;
use super::text::{count, escape, fixed, percent, share, wilson, words};
use std::collections::{BTreeMap, HashMap};

/// Reasons that have a bar of their own; the others share one.
const REASONS: usize = 14;
/// Rounds that the map tells apart.
const MAP_ROUNDS: u32 = 5;

/// What became of every attempt.
pub(super) fn funnel(data: &ReportData) -> String {
    if data.funnel.is_empty() {
        return super::chart::missing("The funnel.", "the run has no attempts yet");
    }
    let mut table = Table::new(
        "attempts by round and operator",
        &["round", "operator", "attempts", "kept", "share kept [95 % interval]", "eliminated"],
    );
    for cell in &data.funnel {
        let reasons: Vec<String> = cell
            .eliminated
            .iter()
            .map(|(reason, n)| format!("{} {}", count(*n), escape(&words(reason))))
            .collect();
        table.row(vec![
            cell.round.to_string(),
            escape(&operator(cell)),
            count(cell.attempts),
            count(cell.kept),
            wilson(cell.kept, cell.attempts).map_or(String::new(), |kept| share(&kept)),
            reasons.join(", "),
        ]);
    }
    format!(
        "<div class=\"charts\">{}{}</div>\n{}",
        by_operator(&data.funnel),
        by_reason(&data.funnel),
        table.folded()
    )
}

fn operator(cell: &FunnelCell) -> String {
    cell.operator.as_deref().map_or("seeds".to_owned(), words)
}

fn by_operator(cells: &[FunnelCell]) -> String {
    let mut rows = Vec::new();
    let mut round = None;
    for cell in cells {
        if round != Some(cell.round) {
            round = Some(cell.round);
            if cell.round > 0 {
                rows.push(Row { label: format!("Round {}", cell.round), ..Row::default() });
            }
        }
        let (kept, all) = (cell.kept as f64, cell.attempts as f64);
        let bar = |from, to, outlined| Mark::Bar { from, to, series: usize::from(outlined), outlined };
        let marks = vec![bar(0.0, kept, false), bar(kept, all.max(kept), true)];
        let value = format!("{} of {}", count(cell.kept), count(cell.attempts));
        rows.push(Row { label: operator(cell), marks, value });
    }
    let sum = |number: fn(&FunnelCell) -> u64| cells.iter().map(number).fold(0, u64::saturating_add);
    let (kept, all) = (sum(|cell| cell.kept), sum(|cell| cell.attempts));
    let caption = Caption {
        id: "fig-funnel",
        title: "What was kept, by round and operator.".to_owned(),
        note: "A seed counts as kept if it got an answer that passed.".to_owned(),
        description: format!("{} of {} attempts were kept, seeds included.", count(kept), count(all)),
    };
    let legend = vec![(0, "kept".to_owned()), (1, "not kept".to_owned())];
    let axis = "attempts".to_owned();
    Rows { caption, list: rows, legend, axis, include: vec![0.0], zero: false }.html("there are no attempts")
}

fn by_reason(cells: &[FunnelCell]) -> String {
    let mut by: BTreeMap<&str, u64> = BTreeMap::new();
    for (reason, n) in cells.iter().flat_map(|cell| &cell.eliminated) {
        let sum = by.entry(reason).or_default();
        *sum = sum.saturating_add(*n);
    }
    let mut sorted: Vec<(&str, u64)> = by.into_iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let total = sorted.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(*n));
    let rest = sorted.split_off(sorted.len().min(REASONS));
    let mut named: Vec<(String, u64)> = sorted.into_iter().map(|(reason, n)| (words(reason), n)).collect();
    if !rest.is_empty() {
        let sum = rest.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(*n));
        named.push((format!("{} other reasons", rest.len()), sum));
    }
    let told: Vec<String> = named.iter().map(|(reason, n)| format!("{reason} {}", count(*n))).collect();
    let rows = named.into_iter().map(|(label, n)| Row {
        label,
        marks: vec![Mark::Bar { from: 0.0, to: n as f64, series: 1, outlined: true }],
        value: format!("{} ({})", count(n), percent(n as f64 / total.max(1) as f64)),
    });
    let caption = Caption {
        id: "fig-reasons",
        title: "Why the others were eliminated.".to_owned(),
        note: "The first rule that an attempt failed.".to_owned(),
        description: told.join(", "),
    };
    let axis = "attempts".to_owned();
    Rows { caption, list: rows.collect(), axis, include: vec![0.0], ..Rows::default() }
        .html("nothing was eliminated")
}

/// Least, quartiles and greatest without the outer twentieths; `None` of nothing.
fn spread(mut numbers: Vec<f64>) -> Option<[f64; 5]> {
    numbers.sort_by(f64::total_cmp);
    let last = numbers.len().checked_sub(1)?;
    let at = |share: f64| {
        let place = share * last as f64;
        let (low, high) = (numbers[place.floor() as usize], numbers[place.ceil() as usize]);
        low + (high - low) * place.fract()
    };
    Some([at(0.05), at(0.25), at(0.5), at(0.75), at(0.95)])
}

fn length(text: &str) -> f64 {
    text.split_whitespace().count() as f64
}

/// Whether evolution makes instructions longer and harder.
pub(super) fn lengths(data: &ReportData) -> String {
    if !data.nodes.iter().any(|node| node.status == NodeStatus::Kept) {
        return super::chart::missing("Lengths and difficulty.", "no instruction was kept");
    }
    let words = |node: &ReportNode| Some(length(&node.instruction) + length(&node.input));
    let answer = |node: &ReportNode| node.answer.as_deref().map(length);
    let difficulty = |node: &ReportNode| node.difficulty.map(f64::from);
    let charts = [
        by_round(data, "fig-words", "Words of an instruction,", "words", &words, ""),
        by_round(
            data,
            "fig-answers",
            "Words of an answer,",
            "words",
            &answer,
            "no kept instruction has an answer",
        ),
        by_round(
            data,
            "fig-difficulty",
            "Difficulty",
            "difficulty, 1 to 10, as the model rates it",
            &difficulty,
            "nothing was rated: the judge is not trusted with it, or it was turned off",
        ),
    ];
    format!("<div class=\"charts\">{}</div>\n", charts.concat())
}

fn by_round(
    data: &ReportData,
    id: &'static str,
    what: &str,
    axis: &str,
    number: &dyn Fn(&ReportNode) -> Option<f64>,
    why: &str,
) -> String {
    let mut rounds: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for node in data.nodes.iter().filter(|node| node.status == NodeStatus::Kept) {
        rounds.entry(node.round).or_default().extend(number(node));
    }
    let mut rows = Vec::new();
    let mut told = Vec::new();
    for (round, numbers) in rounds {
        let of = numbers.len();
        let Some([least, low, middle, high, most]) = spread(numbers) else { continue };
        let label = if round == 0 { "seeds".to_owned() } else { format!("round {round}") };
        told.push(format!("{label}: median {}", fixed(middle, 1)));
        let inner = Some((low, high));
        let marks = vec![Mark::Dot { value: middle, ends: (least, most), inner, series: 0 }];
        rows.push(Row { label, marks, value: format!("n = {}", count(of as u64)) });
    }
    let caption = Caption {
        id,
        title: format!("{what} by round."),
        note: "Median, quartiles (thick) and 5th to 95th percentile (thin) of what was kept.".to_owned(),
        description: told.join("; "),
    };
    Rows { caption, list: rows, axis: axis.to_owned(), include: vec![0.0], ..Rows::default() }.html(why)
}

/// Where instructions lie beside each other.
pub(super) fn diversity(data: &ReportData) -> String {
    let rounds: HashMap<u64, u32> = data.nodes.iter().map(|node| (node.id, node.round)).collect();
    let mut by: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
    for point in &data.map {
        let round = rounds.get(&point.id).copied().unwrap_or(0).min(MAP_ROUNDS);
        by.entry(round).or_default().push((point.x, point.y));
    }
    let told: Vec<String> =
        by.iter().map(|(round, points)| format!("round {round}: {} points", points.len())).collect();
    let series = by.into_iter().map(|(round, points)| Series {
        name: match round {
            0 => "seeds".to_owned(),
            MAP_ROUNDS => format!("round {round} and later"),
            _ => format!("round {round}"),
        },
        place: round as usize,
        look: Look::Points,
        points,
    });
    let method =
        data.map_method.as_deref().unwrap_or("Points that are close stand for instructions that are alike");
    let caption = Caption {
        id: "fig-map",
        title: "Map of the kept instructions.".to_owned(),
        note: format!("{}. Directions mean nothing.", method.trim_end_matches('.')),
        description: told.join("; "),
    };
    Plane { caption, series: series.collect(), bare: true, ..Plane::default() }
        .html("no vectors were computed for the instructions of this run")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_between_the_numbers() {
        assert_eq!(spread(vec![]), None);
        assert_eq!(spread(vec![2.0]), Some([2.0; 5]));
        let five = spread((0..=20).map(f64::from).collect());
        assert_eq!(five, Some([1.0, 5.0, 10.0, 15.0, 19.0]));
    }
}
