//! The frames that the script fills: the lineage explorer and the examples side by side.
//!
//! Where in the flow: empty lists and controls here, texts from `embed`, behaviour from `page.js`.
//!
//! **Invariant:** every control has a label; without script the page says so instead of showing empty frames.

use super::data::ReportData;
use super::text::count;

const NO_SCRIPT: &str =
    "<noscript><p class=\"missing\">This part needs the script of the page.</p></noscript>\n";

/// Says where texts were cut.
fn cut_note(cut: Option<usize>) -> String {
    cut.map_or(String::new(), |limit| {
        format!(
            "<p class=\"note\">To keep the page small, texts beyond {} characters are cut; the journal has all of \
             them.</p>\n",
            count(limit as u64)
        )
    })
}

/// Every instruction, from its seed to its leaves.
pub(super) fn lineage(data: &ReportData, cut: Option<usize>) -> String {
    if data.nodes.is_empty() {
        return super::chart::missing("The lineages.", "the journal has no instructions yet");
    }
    format!(
        "<p>Each seed with what was made of it. Open one with a click, or with the arrow keys and Enter. Rules that an \
         instruction passed mostly leave no verdict.</p>\n{}{NO_SCRIPT}{}\
         <div class=\"explorer\"><div class=\"forest\">\n\
         <p id=\"x-count\" class=\"found\" role=\"status\"></p>\n\
         <ul id=\"x-tree\" role=\"tree\" aria-label=\"Seeds and their descendants\"></ul>\n\
         <div class=\"pager\" id=\"x-pager\"></div></div>\n\
         <article id=\"x-node\" class=\"node\" tabindex=\"-1\" aria-label=\"The chosen instruction\"></article></div>\n",
        cut_note(cut),
        filters("x", &["operator", "fate", "skill"], "Search instructions and answers"),
    )
}

/// What the contestants said to the same items.
pub(super) fn examples(data: &ReportData, cut: Option<usize>) -> String {
    if data.generations.iter().all(|(_, generations)| generations.is_empty()) {
        return super::chart::missing("The examples.", "no evaluation has kept its responses");
    }
    format!(
        "{}{NO_SCRIPT}{}<p id=\"g-count\" class=\"found\" role=\"status\"></p>\n\
         <div id=\"g-list\"></div>\n<div class=\"pager\" id=\"g-pager\"></div>\n",
        cut_note(cut),
        filters("g", &["outcome", "skill"], "Search items and responses"),
    )
}

/// Controls whose ids begin with `prefix`; the script fills the choices.
fn filters(prefix: &str, choices: &[&str], search: &str) -> String {
    let selects: Vec<String> = choices
        .iter()
        .map(|name| {
            let label = name[..1].to_uppercase() + &name[1..];
            format!("<label>{label}<select id=\"{prefix}-{name}\"><option value=\"\">all</option></select></label>\n")
        })
        .collect();
    format!(
        "<form class=\"filters\" id=\"{prefix}-form\" role=\"search\">\n<label class=\"wide\">{search}<input \
         type=\"search\" id=\"{prefix}-search\" autocomplete=\"off\" spellcheck=\"false\"></label>\n{}\
         <button type=\"reset\">Clear</button></form>\n",
        selects.concat()
    )
}
