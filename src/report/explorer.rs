//! The interactive sections: the lineage explorer and the side-by-side examples.
//!
//! Where in the flow: this module writes empty lists and controls; `embed` provides the texts, and `page.js`
//! fills the lists.
//!
//! **Invariant:** every control has a label. Without JavaScript, a message replaces the empty lists.

use super::data::ReportData;
use super::text::count;

const NO_SCRIPT: &str = "<noscript><p class=\"missing\">This section needs JavaScript.</p></noscript>\n";

/// A note that texts were cut, if they were.
fn cut_note(cut: Option<usize>) -> String {
    cut.map_or(String::new(), |limit| {
        format!(
            "<p class=\"note\">To keep the page small, texts are cut after {} characters. The journal has \
             the full texts.</p>\n",
            count(limit as u64)
        )
    })
}

/// The lineage explorer: every instruction, from its seed to its last descendants.
pub(super) fn lineage(data: &ReportData, cut: Option<usize>) -> String {
    if data.nodes.is_empty() {
        return super::chart::missing("Lineages.", "the journal has no instructions yet");
    }
    format!(
        "<p>Every seed with its descendants. Open one with a click, or with the arrow keys and Enter. Most \
         rules leave a verdict only if an instruction fails them.</p>\n{}{NO_SCRIPT}{}\
         <div class=\"explorer\"><div class=\"forest\">\n\
         <p id=\"x-count\" class=\"found\" role=\"status\"></p>\n\
         <ul id=\"x-tree\" role=\"tree\" aria-label=\"Seeds and their descendants\"></ul>\n\
         <div class=\"pager\" id=\"x-pager\"></div></div>\n\
         <article id=\"x-node\" class=\"node\" tabindex=\"-1\" aria-label=\"The selected instruction\">\
         </article></div>\n",
        cut_note(cut),
        filters("x", &["operator", "fate", "skill"], "Search instructions and answers"),
    )
}

/// The responses of all contestants to the same items, side by side.
pub(super) fn examples(data: &ReportData, cut: Option<usize>) -> String {
    if data.generations.iter().all(|(_, generations)| generations.is_empty()) {
        return super::chart::missing("Examples.", "there are no responses from an evaluation");
    }
    format!(
        "{}{NO_SCRIPT}{}<p id=\"g-count\" class=\"found\" role=\"status\"></p>\n\
         <div id=\"g-list\"></div>\n<div class=\"pager\" id=\"g-pager\"></div>\n",
        cut_note(cut),
        filters("g", &["outcome", "skill"], "Search items and responses"),
    )
}

/// Filter controls whose ids start with `prefix`; the script fills the options.
fn filters(prefix: &str, choices: &[&str], search: &str) -> String {
    let selects: Vec<String> = choices
        .iter()
        .map(|name| {
            let label = name[..1].to_uppercase() + &name[1..];
            format!(
                "<label>{label}<select id=\"{prefix}-{name}\"><option value=\"\">all</option></select>\
                 </label>\n"
            )
        })
        .collect();
    format!(
        "<form class=\"filters\" id=\"{prefix}-form\" role=\"search\">\n<label class=\"wide\">{search}<input \
         type=\"search\" id=\"{prefix}-search\" autocomplete=\"off\" spellcheck=\"false\"></label>\n{}\
         <button type=\"reset\">Clear</button></form>\n",
        selects.concat()
    )
}
