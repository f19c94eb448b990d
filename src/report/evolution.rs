//! The sections on evolution: funnel, lengths and difficulty, diversity.
//!
//! Where in the flow: rendered from the counts, the nodes and the points of the map.
//!
//! **Invariant:** lengths, difficulty and diversity are of kept instructions; eliminated ones are only in the
//! funnel.

use super::chart::{Caption, Look, Mark, Row, RowChart, Series, XyChart};
use super::data::{FunnelCell, NodeStatus, ReportData, ReportNode};
use super::table::Table;
use super::text::{count, escape, fixed, percent, share, wilson, words};
use std::collections::{BTreeMap, HashMap};

/// Number of reasons with a bar of their own; the others share one.
const REASONS: usize = 14;
/// Number of rounds that the map distinguishes; later ones share a colour.
const MAP_ROUNDS: u32 = 5;

/// The funnel: how many attempts were kept, and why the others were eliminated.
pub(super) fn funnel(data: &ReportData) -> String {
    if data.funnel.is_empty() {
        return super::chart::missing("Funnel.", "the run has no attempts yet");
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
        title: "Kept attempts by round and operator.".to_owned(),
        note: "A seed counts as kept if its answer passed all rules.".to_owned(),
        description: format!("{} of {} attempts were kept, including seeds.", count(kept), count(all)),
    };
    let legend = vec![(0, "kept".to_owned()), (1, "not kept".to_owned())];
    let axis = "attempts".to_owned();
    RowChart { caption, rows, legend, axis, axis_includes: vec![0.0], zero_line: false }
        .html("there are no attempts")
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
    let descriptions: Vec<String> =
        named.iter().map(|(reason, n)| format!("{reason} {}", count(*n))).collect();
    let rows = named.into_iter().map(|(label, n)| Row {
        label,
        marks: vec![Mark::Bar { from: 0.0, to: n as f64, series: 1, outlined: true }],
        value: format!("{} ({})", count(n), percent(n as f64 / total.max(1) as f64)),
    });
    let caption = Caption {
        id: "fig-reasons",
        title: "Reasons for elimination.".to_owned(),
        note: "The first rule that each attempt failed.".to_owned(),
        description: descriptions.join(", "),
    };
    let axis = "attempts".to_owned();
    RowChart { caption, rows: rows.collect(), axis, axis_includes: vec![0.0], ..RowChart::default() }
        .html("nothing was eliminated")
}

/// The 5th, 25th, 50th, 75th and 95th percentile; `None` if there are no numbers.
fn percentiles(mut numbers: Vec<f64>) -> Option<[f64; 5]> {
    numbers.sort_by(f64::total_cmp);
    let last = numbers.len().checked_sub(1)?;
    let at = |share: f64| {
        let position = share * last as f64;
        let (low, high) = (numbers[position.floor() as usize], numbers[position.ceil() as usize]);
        low + (high - low) * position.fract()
    };
    Some([at(0.05), at(0.25), at(0.5), at(0.75), at(0.95)])
}

fn word_count(text: &str) -> f64 {
    text.split_whitespace().count() as f64
}

/// Lengths and difficulty by round: whether evolution makes instructions longer and harder.
pub(super) fn lengths(data: &ReportData) -> String {
    if !data.nodes.iter().any(|node| node.status == NodeStatus::Kept) {
        return super::chart::missing("Length and difficulty.", "no instruction was kept");
    }
    let words = |node: &ReportNode| Some(word_count(&node.instruction) + word_count(&node.input));
    let answer = |node: &ReportNode| node.answer.as_deref().map(word_count);
    let difficulty = |node: &ReportNode| node.difficulty.map(f64::from);
    let charts = [
        by_round(data, "fig-words", "Instruction length", "words", &words, ""),
        by_round(data, "fig-answers", "Answer length", "words", &answer, "no kept instruction has an answer"),
        by_round(
            data,
            "fig-difficulty",
            "Difficulty",
            "difficulty from 1 to 10, rated by the model",
            &difficulty,
            "there are no ratings: the judge did not pass its calibration, or rating was turned off",
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
    let mut descriptions = Vec::new();
    for (round, numbers) in rounds {
        let n = numbers.len();
        let Some([p5, p25, median, p75, p95]) = percentiles(numbers) else { continue };
        let label = if round == 0 { "seeds".to_owned() } else { format!("round {round}") };
        descriptions.push(format!("{label}: median {}", fixed(median, 1)));
        let inner = Some((p25, p75));
        let marks = vec![Mark::Dot { value: median, ends: (p5, p95), inner, series: 0 }];
        rows.push(Row { label, marks, value: format!("n = {}", count(n as u64)) });
    }
    let caption = Caption {
        id,
        title: format!("{what} by round."),
        note: "Median, quartiles (thick) and 5th to 95th percentile (thin) of kept instructions.".to_owned(),
        description: descriptions.join("; "),
    };
    RowChart { caption, rows, axis: axis.to_owned(), axis_includes: vec![0.0], ..RowChart::default() }
        .html(why)
}

/// Diversity: a map of the kept instructions on which similar ones are close.
pub(super) fn diversity(data: &ReportData) -> String {
    let rounds: HashMap<u64, u32> = data.nodes.iter().map(|node| (node.id, node.round)).collect();
    let mut by: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
    for point in &data.map {
        let round = rounds.get(&point.id).copied().unwrap_or(0).min(MAP_ROUNDS);
        by.entry(round).or_default().push((point.x, point.y));
    }
    let descriptions: Vec<String> =
        by.iter().map(|(round, points)| format!("round {round}: {} points", points.len())).collect();
    let series = by.into_iter().map(|(round, points)| Series {
        name: match round {
            0 => "seeds".to_owned(),
            MAP_ROUNDS => format!("round {round} and later"),
            _ => format!("round {round}"),
        },
        index: round as usize,
        look: Look::Points,
        points,
    });
    let method = data.map_method.as_deref().unwrap_or("Points that are close stand for similar instructions");
    let caption = Caption {
        id: "fig-map",
        title: "Map of the kept instructions.".to_owned(),
        note: format!("{}. The axes have no meaning.", method.trim_end_matches('.')),
        description: descriptions.join("; "),
    };
    XyChart { caption, series: series.collect(), bare: true, ..XyChart::default() }
        .html("no embeddings were computed for the instructions of this run")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_interpolated() {
        assert_eq!(percentiles(vec![]), None);
        assert_eq!(percentiles(vec![2.0]), Some([2.0; 5]));
        let five = percentiles((0..=20).map(f64::from).collect());
        assert_eq!(five, Some([1.0, 5.0, 10.0, 15.0, 19.0]));
    }
}
