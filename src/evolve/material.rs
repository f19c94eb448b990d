//! Request and material: which part of an instruction asks, and which part is what it asks about.
//!
//! In the flow: `requests` shows the model the request and the material apart; `eliminate` puts a changed
//! request back among the material.
//!
//! People write a task in one field: a request, and below or above it a text, code, a table or options. A
//! small model that is to change the request loses such material, so code keeps it. What is material is told
//! by its form: fences, tables, options, quotations, code, and paragraphs that the request announces.
//!
//! **Invariant:** the request is a range of the instruction; what is around it never changes.

use super::guard::{Words, asks};

/// An instruction and where its request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts<'t> {
    instruction: &'t str,
    /// Bytes of the request, without white space around it.
    start: usize,
    end: usize,
}

impl<'t> Parts<'t> {
    /// The parts of an instruction.
    pub(super) fn of(instruction: &'t str, words: &Words) -> Self {
        let (start, end) = request(instruction, words);
        let text = &instruction[start..end];
        let end = start + text.trim_end().len();
        let start = end - text.trim().len();
        Self { instruction, start, end }
    }

    /// The first line as the request.
    pub(super) fn first_line(instruction: &'t str) -> Self {
        Self { instruction, start: 0, end: instruction.find('\n').unwrap_or(instruction.len()) }
    }

    /// What is asked.
    pub(super) fn request(&self) -> &'t str {
        &self.instruction[self.start..self.end]
    }

    /// What is around the request, without white space at its ends.
    pub(super) fn material(&self) -> String {
        let (above, below) = (&self.instruction[..self.start], &self.instruction[self.end..]);
        // White space before the first line of code belongs to the code.
        join([above.trim(), below.trim_start_matches(['\n', '\r']).trim_end()])
    }

    /// The instruction with another request.
    pub(super) fn with_request(&self, request: &str) -> String {
        format!("{}{request}{}", &self.instruction[..self.start], &self.instruction[self.end..])
    }

    /// The instruction with sentences behind its request, before the material.
    pub(super) fn with_addition(&self, addition: &str) -> String {
        self.with_request(&add_sentences(self.request(), addition))
    }
}

/// A text with sentences behind it: on the line of a text of one line, else in a paragraph of their own,
/// because a text of several lines may end in code or a list.
pub(super) fn add_sentences(text: &str, sentences: &str) -> String {
    let text = text.trim_end();
    // A colon announces the material, which comes after the sentences.
    let text = text.strip_suffix([':', '\u{FF1A}']).unwrap_or(text);
    let between = match text.chars().next_back() {
        _ if text.contains('\n') => "\n\n",
        Some('.' | '!' | '?' | '"' | '\u{201D}') => " ",
        Some('\u{3002}' | '\u{FF1F}' | '\u{FF01}') => "",
        Some(c) if is_wide(c) => "\u{3002}",
        _ => ". ",
    };
    format!("{text}{between}{sentences}")
}

/// Materials one below the other, without those that are empty.
pub(super) fn join<const N: usize>(parts: [&str; N]) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// Whether a character is of a script that is written without spaces.
fn is_wide(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}')
}

/// Bytes of the request of an instruction, white space included.
fn request(instruction: &str, words: &Words) -> (usize, usize) {
    let paragraphs = paragraphs(instruction);
    let text = |&(start, end): &(usize, usize)| &instruction[start..end];
    let (Some(first), Some(last)) = (paragraphs.first(), paragraphs.last()) else {
        return (0, instruction.len());
    };
    let requests = |paragraph| !is_material(text(paragraph)) && asks(text(paragraph), words);
    if first != last && !requests(first) && requests(last) {
        return (last.0, instruction.len());
    }
    // A paragraph may go over into material, line by line.
    if let Some(cut) = material_below(text(first)) {
        return (0, first.0 + cut);
    }
    let announced = announces(text(first));
    let material = paragraphs[1..]
        .iter()
        .find(|paragraph| is_material(text(paragraph)) || (announced && !requests(paragraph)));
    (0, material.map_or(instruction.len(), |paragraph| paragraph.0))
}

/// Byte ranges of the paragraphs of a text: runs of lines that are not blank. A fenced block is not divided.
fn paragraphs(text: &str) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let (mut at, mut in_fence, mut open) = (0, false, false);
    for line in text.split_inclusive('\n') {
        let is_blank = line.trim().is_empty() && !in_fence;
        match found.last_mut() {
            _ if is_blank => open = false,
            Some(last) if open => last.1 = at + line.len(),
            _ => {
                found.push((at, at + line.len()));
                open = true;
            }
        }
        in_fence ^= line.trim_start().starts_with("```");
        at += line.len();
    }
    found
}

/// Where the lines of material start within a paragraph whose first line is none.
fn material_below(paragraph: &str) -> Option<usize> {
    let (first, rest) = paragraph.split_once('\n')?;
    if is_material_line(first) {
        return None;
    }
    if announces(first) {
        return Some(first.len() + 1);
    }
    let mut at = first.len() + 1;
    for line in rest.split_inclusive('\n') {
        if is_material_line(line) {
            return Some(at);
        }
        at += line.len();
    }
    None
}

/// Whether a request says that material comes after it.
fn announces(request: &str) -> bool {
    let low = request.trim_end().to_lowercase();
    low.ends_with([':', '\u{FF1A}'])
        || low.split(|c: char| !c.is_alphanumeric()).any(|word| matches!(word, "following" | "below"))
}

/// Whether a paragraph has the form of material.
fn is_material(paragraph: &str) -> bool {
    paragraph.lines().next().is_some_and(is_material_line)
}

/// Whether a line is a fence, a row of a table, an option, a quotation, data or code.
fn is_material_line(line: &str) -> bool {
    let trimmed = line.trim();
    let is_indented = line.starts_with("    ") || line.starts_with('\t');
    let starts = ["```", ">", "|", "{", "[", "<", "$ ", "#include", "//", "/*", "import ", "def ", "\"\"\""];
    let ends = [";", "{", "}", "});", "=>"];
    !trimmed.is_empty()
        && (is_indented
            || starts.iter().any(|start| trimmed.starts_with(start))
            || ends.iter().any(|end| trimmed.ends_with(end))
            || is_option(trimmed)
            || is_quotation(trimmed)
            || trimmed.matches(',').count() >= 3 && !trimmed.contains(", "))
}

/// Whether a line is one of the options of a question: `A) …`, `(b) …`, `C. …`.
fn is_option(line: &str) -> bool {
    let line = line.strip_prefix('(').unwrap_or(line);
    let mut characters = line.chars();
    let letter = characters.next().is_some_and(|c| matches!(c, 'a'..='h' | 'A'..='H'));
    letter
        && characters.next().is_some_and(|c| matches!(c, ')' | '.' | ':'))
        && characters.next() == Some(' ')
}

/// Whether a line is all between quotation marks.
fn is_quotation(line: &str) -> bool {
    let marks = [('"', '"'), ('\u{201C}', '\u{201D}'), ('\u{00AB}', '\u{00BB}'), ('\u{201E}', '\u{201C}')];
    marks.into_iter().any(|(open, close)| line.starts_with(open) && line.len() > 2 && line.ends_with(close))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_parts(instruction: &str, request: &str, material: &str) {
        let words = Words::load();
        let parts = Parts::of(instruction, &words);
        assert_eq!((parts.request(), parts.material().as_str()), (request, material), "{instruction}");
        assert_eq!(parts.with_request(request), instruction);
    }

    #[test]
    fn material_is_told_by_its_form_and_by_what_announces_it() {
        assert_parts("Name a river.", "Name a river.", "");
        assert_parts("  Name a river.\n", "Name a river.", "");
        assert_parts("Fix this:\nfor x in y\n    print x", "Fix this:", "for x in y\n    print x");
        assert_parts(
            "Why is it slow?\n\n```sql\nSELECT 1\n\nFROM t\n```",
            "Why is it slow?",
            "```sql\nSELECT 1\n\nFROM t\n```",
        );
        assert_parts(
            "Sum up the following text.\n\nFog is wet.\n\nIt is cold.",
            "Sum up the following text.",
            "Fog is wet.\n\nIt is cold.",
        );
        assert_parts("Which is a river?\nA) Rhine\nB) Etna", "Which is a river?", "A) Rhine\nB) Etna");
        assert_parts(
            "Fog is wet. It comes at night.\n\nSum that up in a line.",
            "Sum that up in a line.",
            "Fog is wet. It comes at night.",
        );
        assert_parts(
            "Who is oldest?\n\n| a | b |\n|---|---|\n| 1 | 2 |",
            "Who is oldest?",
            "| a | b |\n|---|---|\n| 1 | 2 |",
        );
    }

    #[test]
    fn a_request_of_several_paragraphs_is_whole() {
        let text = "Write a letter to my landlord.\n\nThe heating is broken since May.\n\nAsk for a date.";
        assert_parts(text, text, "");
        let text = "Plan a week of meals.\nNo fish.\nTwo of them cold.";
        assert_parts(text, text, "");
    }

    #[test]
    fn an_addition_stands_behind_the_request_and_before_the_material() {
        let words = Words::load();
        let add = |text, addition| Parts::of(text, &words).with_addition(addition);
        assert_eq!(add("Name a river.", "Say why."), "Name a river. Say why.");
        assert_eq!(add("Name a river", "Say why."), "Name a river. Say why.");
        assert_eq!(add("Fix this:\n\n```\nx\n```", "Say why."), "Fix this. Say why.\n\n```\nx\n```");
        assert_eq!(add("说出一条河。", "解释原因。"), "说出一条河。解释原因。");
        assert_eq!(add("说出一条河", "解释原因。"), "说出一条河。解释原因。");
        assert_eq!(add("Plan meals.\n\nNo fish.", "Two courses."), "Plan meals.\n\nNo fish.\n\nTwo courses.");
        assert_eq!(
            add("Fog is wet.\n\nSum that up.", "Use verbs."),
            "Fog is wet.\n\nSum that up. Use verbs."
        );
    }
}
