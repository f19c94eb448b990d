//! The page around the sections: head, policy, contents, script and style.
//!
//! Where in the flow: `render` hands over the sections; the text that comes out is the file.
//!
//! **Invariant:** the page loads nothing. Its content security policy forbids every request and allows
//! exactly the script and the style that are in it, by their hashes: what a text of the data might smuggle in
//! does not run.

use super::text::escape;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Style of the page.
const STYLE: &str = include_str!("page.css");
/// Script of the page.
const SCRIPT: &str = include_str!("page.js");

/// A part of the page.
#[derive(Debug)]
pub(super) struct Section {
    /// For links.
    pub(super) id: &'static str,
    /// Heading.
    pub(super) title: &'static str,
    /// Markup below it.
    pub(super) html: String,
}

/// The whole page. `json` are ids and contents of data for the script.
pub(super) fn page(title: &str, header: &str, sections: &[Section], json: &[(&str, &str)]) -> String {
    let length = sections.iter().map(|section| section.html.len()).sum::<usize>()
        + json.iter().map(|(_, text)| text.len()).sum::<usize>();
    let mut html = String::with_capacity(length + STYLE.len() + SCRIPT.len() + 8192);
    let title = escape(title);
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{}'; script-src '{}'; \
         base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#summary\">Skip to the summary</a>\n<div class=\"page\">\n\
         <nav class=\"contents\" aria-label=\"Contents\"><ol>\n",
        source_hash(STYLE),
        source_hash(SCRIPT),
    );
    for Section { id, title, .. } in sections {
        let _ = writeln!(html, "<li><a href=\"#{id}\">{title}</a></li>");
    }
    let _ = write!(html, "</ol></nav>\n<main>\n<header>{header}</header>\n");
    for Section { id, title, html: body } in sections {
        let _ = write!(
            html,
            "<section id=\"{id}\" aria-labelledby=\"{id}-h\">\n<h2 id=\"{id}-h\">{title}</h2>\n{body}</section>\n"
        );
    }
    html.push_str("</main>\n</div>\n");
    for (id, text) in json {
        let _ = writeln!(html, "<script type=\"application/json\" id=\"{id}\">{text}</script>");
    }
    let _ = write!(html, "<script>{SCRIPT}</script>\n</body>\n</html>\n");
    html
}

/// What a policy allows a script or a style by.
fn source_hash(text: &str) -> String {
    format!("sha256-{}", base64(&Sha256::digest(text.as_bytes())))
}

/// RFC 4648; the only place that needs it.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (text, expected) in cases {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn style_and_script_cannot_end_their_elements() {
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
    }

    #[test]
    fn the_script_makes_no_markup_and_asks_nobody() {
        let words = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "fetch(",
            "XMLHttpRequest",
        ];
        for word in words {
            assert!(!SCRIPT.contains(word), "{word}");
        }
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
