//! Reads the numbered lines of an untrusted text file.
//!
//! Where in the flow: the first step of reading seeds, training data, test sets and exports.
//!
//! **Invariant:** at most [`MAX_LINE_BYTES`] of an over-long line are held in memory, and the lines after it
//! are read normally.

use super::error::Reason;
use std::io::{self, BufRead, Read};

/// Length of the longest accepted line in bytes. An instruction with its answer has a few kilobytes, a long
/// conversation a few hundred.
pub(super) const MAX_LINE_BYTES: usize = 4 << 20;

/// A line that is not blank.
#[derive(Debug)]
pub(super) struct Line {
    /// Counted from 1, blank lines included.
    pub(super) number: usize,
    /// The text without its line end (`\n` or `\r\n`) and, on the first line, without a byte order mark.
    pub(super) text: Result<String, Reason>,
}

/// Reads all lines that are not blank.
pub(super) fn read_lines(mut reader: impl BufRead) -> io::Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        // The extra byte is for the line end.
        if reader.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        if bytes.len() > MAX_LINE_BYTES && bytes.last() != Some(&b'\n') {
            reader.skip_until(b'\n')?;
            lines.push(Line { number, text: Err(Reason::TooLong { limit: MAX_LINE_BYTES }) });
            continue;
        }
        let text = decode(&bytes, number == 1);
        if !matches!(&text, Ok(text) if text.trim().is_empty()) {
            lines.push(Line { number, text });
        }
    }
    Ok(lines)
}

fn decode(line: &[u8], first: bool) -> Result<String, Reason> {
    let text = std::str::from_utf8(line).map_err(|e| Reason::NotUtf8 { byte: e.valid_up_to() + 1 })?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let text = if first { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
    Ok(text.to_owned())
}
