//! The funnel: attempts, kept instructions and reasons of elimination, by round and operator.
//!
//! Where in the flow: printed by the commands that show a run, recorded in `summary.json`, drawn in the
//! report.
//!
//! **Invariant:** when a round is done, the kept and eliminated instructions of a cell add up to its
//! attempts.

use crate::report::FunnelCell;
use crate::store::{FunnelRow, Status};
use std::collections::BTreeMap;

/// Sums the journal's counts, which must be ordered by round and operator.
///
/// # Panics
/// Never: a cell is pushed before it is used.
pub fn cells(rows: &[FunnelRow]) -> Vec<FunnelCell> {
    let mut cells: Vec<FunnelCell> = Vec::new();
    for row in rows {
        if cells.last().is_none_or(|cell| (cell.round, &cell.operator) != (row.round, &row.operator)) {
            let (round, operator) = (row.round, row.operator.clone());
            cells.push(FunnelCell { round, operator, attempts: 0, kept: 0, eliminated: BTreeMap::new() });
        }
        let cell = cells.last_mut().expect("one was pushed if there was none");
        cell.attempts += row.count;
        match (&row.reason, row.status) {
            (_, Status::Kept) => cell.kept += row.count,
            (Some(reason), _) => *cell.eliminated.entry(reason.clone()).or_default() += row.count,
            (None, _) => {}
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(
        round: u32,
        operator: Option<&str>,
        status: Status,
        reason: Option<&str>,
        count: u64,
    ) -> FunnelRow {
        let own = |text: Option<&str>| text.map(str::to_owned);
        FunnelRow { round, operator: own(operator), status, reason: own(reason), count }
    }

    #[test]
    fn the_journal_s_counts_add_up_by_round_and_operator() {
        let rows = [
            row(0, None, Status::Eliminated, Some("empty"), 2),
            row(0, None, Status::Kept, None, 8),
            row(1, Some("deepening"), Status::Eliminated, Some("copied"), 1),
            row(1, Some("deepening"), Status::Eliminated, Some("equal"), 2),
            row(1, Some("deepening"), Status::Kept, None, 3),
            row(2, Some("deepening"), Status::Eliminated, Some("copied"), 4),
        ];
        let cells = cells(&rows);
        let counts: Vec<_> = cells.iter().map(|cell| (cell.round, cell.attempts, cell.kept)).collect();
        assert_eq!(counts, [(0, 10, 8), (1, 6, 3), (2, 4, 0)]);
        let reasons: Vec<&String> = cells[1].eliminated.keys().collect();
        assert_eq!(reasons, ["copied", "equal"]);
    }
}
