//! Renders a run as one HTML page: what was run, why each row was kept or eliminated, and whether it helped.
//!
//! Where in the flow: the last output of a run. The caller fills [`ReportData`] from the journal, the metrics
//! and the evaluation, and writes the page that [`render`] returns.
//!
//! ```text
//! ReportData ─▶ sections (summary, run, evolution, training, evaluation) ─▶ page ─▶ one file
//!                 └─ chart (plotters, inline SVG)        embed (JSON for page.js) ─┘
//! ```
//!
//! **Invariant:** the page is a pure function of the data. Neither this module nor the page itself uses
//! files, the clock or the network.
//! **Invariant:** no data makes it panic, and no text in the data becomes markup.
//! **Invariant:** missing data is reported in a sentence, never as an empty chart.

mod chart;
mod data;
mod embed;
mod evaluation;
mod evolution;
mod explorer;
mod page;
mod run;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod training;

pub use data::{
    FunnelCell, MapPoint, MemoryFigure, NodeStatus, ReportData, ReportNode, RuleVerdict, RunManifest,
    SpeedPoint, StepPoint, TrainingCurve, ValidationPoint,
};

use page::Section;

/// Maximum size of a page in bytes, because pages are opened on phones and sent by mail.
const MAX_PAGE_BYTES: usize = 4_990_000;

/// Renders `data` as a complete HTML page.
pub fn render(data: &ReportData) -> String {
    let manifest = &data.manifest;
    let page = |nodes: &str, generations: &str, sections: &[Section]| {
        let json = [("data-nodes", nodes), ("data-generations", generations)];
        page::page(&summary::title(manifest), &summary::header(manifest), sections, &json)
    };
    let mut sections = [
        Section { id: "summary", title: "Summary", html: summary::html(data) },
        Section { id: "run", title: "What was run", html: run::html(manifest) },
        Section { id: "funnel", title: "Funnel", html: evolution::funnel(data) },
        Section { id: "lineage", title: "Lineage", html: String::new() },
        Section { id: "lengths", title: "Length and difficulty", html: evolution::lengths(data) },
        Section { id: "diversity", title: "Diversity", html: evolution::diversity(data) },
        Section { id: "speed", title: "Speed and memory", html: training::speed(data) },
        Section { id: "training", title: "Training", html: training::training(data) },
        Section { id: "evaluation", title: "Evaluation", html: evaluation::html(data) },
        Section { id: "examples", title: "Examples", html: String::new() },
    ];
    // The texts get the space that the charts leave.
    let interactive = |cut| [explorer::lineage(data, cut), explorer::examples(data, cut)];
    let frames = interactive(Some(usize::MAX)).concat().len();
    let room = MAX_PAGE_BYTES.saturating_sub(page("", "", &sections).len() + frames);
    let embedded = embed::embed(data, room);
    let [lineage, examples] = interactive(embedded.cut);
    for section in &mut sections {
        match section.id {
            "lineage" => section.html.clone_from(&lineage),
            "examples" => section.html.clone_from(&examples),
            _ => {}
        }
    }
    page(&embedded.nodes, &embedded.generations, &sections)
}
