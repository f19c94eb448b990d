//! Tables: rows of markup with a caption, in a frame that scrolls by itself on narrow screens.
//!
//! Where in the flow: sections make cells, which are markup already, and get a whole `table` element.
//!
//! **Invariant:** a row has as many cells as the table has columns; missing ones are a dash.

use super::text::escape;
use std::fmt::Write as _;

/// A table: columns, and rows whose first cell is a heading.
#[derive(Debug, Default)]
pub(super) struct Table {
    caption: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Without rows. Names of columns are plain texts.
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

    /// Whether there is anything in it.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The element, or nothing.
    pub(super) fn html(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        // Focusable, so that it scrolls with the keyboard as well.
        let mut html = format!(
            "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{0}\"><table><caption>{0}</caption>\
             <thead><tr>",
            self.caption
        );
        for column in &self.columns {
            let _ = write!(html, "<th scope=\"col\">{column}</th>");
        }
        html.push_str("</tr></thead><tbody>\n");
        for row in &self.rows {
            html.push_str("<tr>");
            for place in 0..self.columns.len() {
                let cell =
                    row.get(place).map_or("–", |cell| if cell.is_empty() { "–" } else { cell.as_str() });
                let _ = match place {
                    0 => write!(html, "<th scope=\"row\">{cell}</th>"),
                    _ => write!(html, "<td>{cell}</td>"),
                };
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody></table></div>\n");
        html
    }

    /// The same behind a line that opens it.
    pub(super) fn folded(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        format!("<details><summary>Table: {}</summary>{}</details>\n", self.caption, self.html())
    }
}

/// A list of names and what they stand for; values are markup.
pub(super) fn facts(pairs: &[(String, String)]) -> String {
    let mut html = String::from("<dl class=\"facts\">");
    for (name, value) in pairs {
        let value = if value.is_empty() { "–" } else { value };
        let _ = write!(html, "<div><dt>{}</dt><dd>{value}</dd></div>", escape(name));
    }
    html + "</dl>\n"
}
