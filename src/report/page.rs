//! The page around the sections: head, security policy, table of contents, script and style.
//!
//! Where in the flow: `render` passes the sections; the result is the content of the file.
//!
//! **Invariant:** the page makes no requests. Its Content-Security-Policy forbids them all and allows only
//! the page's own script and style, by their hashes, so a script hidden in the data cannot run.

use super::text::escape;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A section of the page.
#[derive(Debug)]
pub(super) struct Section {
    /// The id of the element, for links.
    pub(super) id: &'static str,
    /// The heading.
    pub(super) title: &'static str,
    /// The markup below the heading.
    pub(super) html: String,
}

/// The whole page. `json` lists the ids and contents of the data elements for the script.
pub(super) fn page(title: &str, header: &str, sections: &[Section], json: &[(&str, &str)]) -> String {
    let length = sections.iter().map(|section| section.html.len()).sum::<usize>()
        + json.iter().map(|(_, text)| text.len()).sum::<usize>();
    let mut html = String::with_capacity(length + STYLE.len() + SCRIPT.len() + 8192);
    let title = escape(title);
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{}'; \
         script-src '{}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" \
         content=\"no-referrer\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
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
            "<section id=\"{id}\" aria-labelledby=\"{id}-h\">\n\
             <h2 id=\"{id}-h\">{title}</h2>\n{body}</section>\n"
        );
    }
    html.push_str("</main>\n</div>\n");
    for (id, text) in json {
        let _ = writeln!(html, "<script type=\"application/json\" id=\"{id}\">{text}</script>");
    }
    let _ = write!(html, "<script>{SCRIPT}</script>\n</body>\n</html>\n");
    html
}

/// The source expression by which a Content-Security-Policy allows a script or a style.
fn source_hash(text: &str) -> String {
    format!("sha256-{}", base64(&Sha256::digest(text.as_bytes())))
}

/// Encodes bytes in base64 (RFC 4648). Nothing else needs it, so a dependency would not pay.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * index) & 63) as usize];
            out.push(if index <= group.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_the_rfc() {
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
    fn the_script_creates_no_markup_and_makes_no_requests() {
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
