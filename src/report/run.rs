//! The section on what was run, with everything needed to reproduce it.
//!
//! Where in the flow: rendered from the manifest alone.
//!
//! **Invariant:** a hash is shown in full, because a part of it proves nothing.

use super::chart::{Caption, Mark, Row, RowChart};
use super::data::RunManifest;
use super::table::{Table, facts};
use super::text::{duration, escape, words};
use std::fmt::Write as _;

/// Renders the section.
pub(super) fn html(manifest: &RunManifest) -> String {
    let mut html = String::new();
    if manifest.reproduce.trim().is_empty() {
        html.push_str("<p class=\"missing\">The command that reproduces this run was not recorded.</p>\n");
    } else {
        let _ = write!(
            html,
            "<p>This command reproduces the run:</p>\n<div class=\"command\"><pre id=\"reproduce\" \
             tabindex=\"0\">{}</pre><button type=\"button\" data-copy=\"reproduce\">Copy</button></div>\n",
            escape(&manifest.reproduce)
        );
    }
    let code =
        |text: &str| if text.is_empty() { String::new() } else { format!("<code>{}</code>", escape(text)) };
    let mut hashes = Table::new("Inputs that determine the result", &["input", "value"]);
    hashes.row(vec!["seed".to_owned(), code(&manifest.seed.to_string())]);
    hashes.row(vec!["model".to_owned(), escape(&manifest.model_name)]);
    hashes.row(vec!["model SHA-256".to_owned(), code(&manifest.model_sha256)]);
    hashes.row(vec!["evol version".to_owned(), escape(&manifest.evol_version)]);
    for (name, hash) in &manifest.hashes {
        hashes.row(vec![escape(&words(name)), code(hash)]);
    }
    html.push_str(&hashes.html());
    if manifest.config_toml.trim().is_empty() {
        html.push_str("<p class=\"missing\">The configuration was not recorded.</p>\n");
    } else {
        let _ = writeln!(
            html,
            "<details><summary>Resolved configuration</summary><div class=\"command\"><pre id=\"config\" \
             tabindex=\"0\">{}</pre><button type=\"button\" \
             data-copy=\"config\">Copy</button></div></details>",
            escape(&manifest.config_toml)
        );
    }
    html.push_str("<div class=\"charts\">");
    html.push_str(&times(manifest));
    html.push_str("<div>");
    html.push_str(&named_values("Machine", &manifest.machine, "the machine was not recorded"));
    html.push_str(&named_values("Licences", &manifest.licences, "no licences were recorded"));
    html.push_str("</div></div>");
    html
}

fn named_values(title: &str, pairs: &[(String, String)], missing: &str) -> String {
    if pairs.is_empty() {
        return super::chart::missing(&format!("{title}."), missing);
    }
    let pairs: Vec<(String, String)> =
        pairs.iter().map(|(name, value)| (words(name), escape(value))).collect();
    format!("<h3>{title}</h3>\n{}", facts(&pairs))
}

fn times(manifest: &RunManifest) -> String {
    let row = |(stage, seconds): &(String, f64)| Row {
        label: words(stage),
        marks: vec![Mark::Bar { from: 0.0, to: seconds / 60.0, series: 0, outlined: false }],
        value: duration(*seconds),
    };
    let descriptions: Vec<String> =
        manifest.seconds.iter().map(|(stage, s)| format!("{} {}", words(stage), duration(*s))).collect();
    let caption = Caption {
        id: "fig-times",
        title: "Time by stage.".to_owned(),
        note: "Wall time, summed over all processes that worked on the run.".to_owned(),
        description: descriptions.join(", "),
    };
    let rows = manifest.seconds.iter().map(row).collect();
    RowChart { caption, rows, axis: "minutes".to_owned(), axis_includes: vec![0.0], ..RowChart::default() }
        .html("no stage times were recorded")
}
