//! Tables with a caption, in a frame that scrolls on narrow screens, and lists of facts.
//!
//! Where in the flow: sections pass cells, which are already markup, and get a complete element.
//!
//! **Invariant:** a row has as many cells as the table has columns; missing cells are shown as a dash.

use super::text::escape;
use std::fmt::Write as _;

/// A table whose first cell in each row is a heading.
#[derive(Debug, Default)]
pub(super) struct Table {
    caption: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table without rows. The caption and the column names are plain text.
    pub(super) fn new(caption: &str, columns: &[&str]) -> Self {
        Self {
            caption: escape(caption),
            columns: columns.iter().map(|column| escape(column)).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. Cells are markup.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Whether the table has no rows.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Renders the table; empty if it has no rows.
    pub(super) fn html(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        // The frame can be focused, so that it can be scrolled with the keyboard.
        let mut html = format!(
            "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{0}\">\
             <table><caption>{0}</caption><thead><tr>",
            self.caption
        );
        for column in &self.columns {
            let _ = write!(html, "<th scope=\"col\">{column}</th>");
        }
        html.push_str("</tr></thead><tbody>\n");
        for row in &self.rows {
            html.push_str("<tr>");
            for column in 0..self.columns.len() {
                let cell =
                    row.get(column).map_or("–", |cell| if cell.is_empty() { "–" } else { cell.as_str() });
                let _ = match column {
                    0 => write!(html, "<th scope=\"row\">{cell}</th>"),
                    _ => write!(html, "<td>{cell}</td>"),
                };
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody></table></div>\n");
        html
    }

    /// Renders the table folded behind a line that opens it; empty if it has no rows.
    pub(super) fn folded(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        format!("<details><summary>Table: {}</summary>{}</details>\n", self.caption, self.html())
    }
}

/// Renders a list of names and values; the values are markup.
pub(super) fn facts(pairs: &[(String, String)]) -> String {
    let mut html = String::from("<dl class=\"facts\">");
    for (name, value) in pairs {
        let value = if value.is_empty() { "–" } else { value };
        let _ = write!(html, "<div><dt>{}</dt><dd>{value}</dd></div>", escape(name));
    }
    html + "</dl>\n"
}
