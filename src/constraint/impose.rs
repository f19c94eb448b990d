//! Giving a response the form that constraints ask for.
//!
//! A small model never writes a table because it was asked to, so sampling finds no answer that has one, and
//! nothing can be learned from. What it says can still be put into a table, by code: the words stay the
//! model's. [`impose()`] chooses constraints whose form code can give, gives it, and keeps those that hold
//! afterwards.
//!
//! A form is given in the order in which a writer would: which sentences are said, how they are laid out,
//! what is emphasised, how the text begins and ends, and what goes around all of it.
//!
//! **Invariant:** what is returned passes every constraint, those that the request had included.
//!
//! **Invariant:** words come from the response and the request, but for keys of JSON, headers of tables,
//! markers, and the phrases that a constraint spells out.
//!
//! **Invariant:** the answer stays in it: what a response says first, all of a list, and every line of a
//! calculation, a rewriting or a program.

use super::draw::{ENDINGS, OPENINGS, draw_from, suitable};
use super::parent::{Shape, Task, content_words};
use super::vocabulary::Postscript;
use super::{Bound, Constraint, Kind, sentence, text};

/// The most parts that a response is cut into: more is no answer for a reader.
const MOST_PARTS: usize = 8;

/// Up to `count` constraints on the form of `response`, and the response in that form. `have` are those that
/// the request states already; they are imposed too where they do not hold. `None`: no form could be given.
pub fn impose(
    seed: u64,
    ids: &[u64],
    request: &str,
    response: &str,
    have: &[Constraint],
    count: usize,
) -> Option<(String, Vec<Constraint>)> {
    let mut wanted = have.to_vec();
    let mut formed = None;
    // One at a time: a form that cannot be given, or that breaks another, is left out.
    let drawn = draw_from(kinds, (seed, ids), request, have, count, |candidate, drawn| {
        wanted.truncate(have.len());
        wanted.extend_from_slice(drawn);
        wanted.push(candidate.clone());
        let with_it = form(request, response, &wanted);
        let fits = with_it.is_some();
        formed = with_it.or(formed.take());
        fits
    });
    Some((formed?, drawn))
}

/// The kinds that are tried. Lists and tables go with any answer that has several things to say, and with
/// some numbers only, so they are tried more often.
fn kinds(task: &Task) -> Vec<Kind> {
    let mut kinds = suitable(task);
    kinds.retain(|&kind| can_impose(kind));
    if !kinds.is_empty() && is_free(task.shape) {
        kinds.extend([Kind::BulletCount, Kind::NumberedCount, Kind::TableRows].repeat(2));
    }
    kinds
}

/// Whether an answer is several things that its writer chose: no result, no given text, no program.
fn is_free(shape: Shape) -> bool {
    matches!(shape, Shape::Open | Shape::List)
}

/// Whether code can give a response that form.
fn can_impose(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::KeywordCount
            | Kind::LetterCount
            | Kind::QuoteCount
            | Kind::PlaceholderCount
            | Kind::NumeralCount
            | Kind::UnitCount
            | Kind::ParagraphStart
            | Kind::Keywords
            | Kind::TwoAnswers
            | Kind::CodeBlock
            | Kind::Language
    )
}

/// The text up to the end of its last whole sentence: what a response that was cut can be used for. Empty if
/// it was cut within code.
pub fn whole_sentences(text: &str) -> &str {
    let end = sentence::last_end(text).unwrap_or(0);
    let whole = &text[..end];
    let fences = whole.lines().filter(|line| line.trim_start().starts_with("```")).count();
    if fences % 2 == 0 { whole } else { "" }
}

/// The response in the form that all `constraints` ask for, if code can give it.
pub(super) fn form(request: &str, response: &str, constraints: &[Constraint]) -> Option<String> {
    // At most three bullet points are met by none, but that is not what was asked for.
    let shows = |constraint: &&Constraint, text: &str| {
        constraint.check(text).passed && constraint.measure(text) != Some(0)
    };
    let holds = |text: &str| constraints.iter().all(|constraint| shows(&constraint, text));
    let response = response.trim();
    text::words(response).next()?;
    if holds(response) {
        return Some(response.to_owned());
    }
    let lacks: Vec<&Constraint> =
        constraints.iter().filter(|constraint| !shows(constraint, response)).collect();
    if let Some(Constraint::OneOf { options }) = lacks.iter().find(|one| one.kind() == Kind::OneOf) {
        // "No doubt about it" is no no.
        let (first, _) = response.split_at(response.find([',', '.', '!', ';'])?);
        return options.iter().find(|option| option.eq_ignore_ascii_case(first)).cloned();
    }
    let shape = Task::of(request).shape;
    // The lines of a program stay as they are.
    let has_code = shape == Shape::Code || !text::Layout::of(response).code.is_empty();
    if has_code && !lacks.iter().all(|constraint| is_around(constraint.kind())) {
        return None;
    }
    let mut body = Body::of(request, response, shape);
    for stage in [Body::select, Body::lay_out, Body::emphasise, Body::frame, Body::wrap] {
        lacks.iter().try_for_each(|constraint| stage(&mut body, constraint))?;
    }
    // Everything is asked again: a form may have broken what held before.
    holds(&body.text).then_some(body.text)
}

/// Kinds that only add something before or after a response.
fn is_around(kind: Kind) -> bool {
    matches!(kind, Kind::Title | Kind::StartPhrase | Kind::EndPhrase | Kind::RepeatRequest | Kind::Postscript)
}

/// A response while it gets its form. Each stage looks at one constraint; `None`: it cannot be met.
struct Body<'a> {
    request: &'a str,
    shape: Shape,
    /// What is said, in order: the items of its list if it is one, or else its sentences. Empty: it is
    /// neither, but a table, a list in a list, or an essay with a list in it, and cannot be taken apart
    /// without loss.
    parts: Vec<String>,
    /// What the parts stand behind, if they are items.
    mark: Option<Mark>,
    /// As it stands.
    text: String,
}

/// What an item of a list begins with, from its number.
type Mark = fn(usize) -> String;
const BULLET: Mark = |_| "- ".to_owned();
const NUMBER: Mark = |number| format!("{number}. ");

impl<'a> Body<'a> {
    fn of(request: &'a str, response: &str, shape: Shape) -> Self {
        let (parts, mark) = take_apart(response);
        Self { request, shape, parts, mark, text: response.to_owned() }
    }

    fn list(&self, mark: Mark) -> String {
        let line = |(at, part): (usize, &String)| format!("{}{part}", mark(at + 1));
        self.parts.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Leaves out sentences: those that a constraint forbids, or the last ones of too long a text.
    fn select(&mut self, constraint: &Constraint) -> Option<()> {
        let before = self.parts.clone();
        match constraint {
            Constraint::LongestSentence { .. }
            | Constraint::ForbiddenWords { .. }
            | Constraint::WithoutMark { .. }
            | Constraint::NoDigits => {
                self.parts.retain(|part| constraint.check(part).passed);
                // What is left of a text that is full of it is no answer.
                (2 * self.parts.len() > before.len() && is_free(self.shape)).then_some(())?;
            }
            Constraint::WordCount { bound } => {
                self.keep_while(*bound, |parts| text::words(&parts.join(" ")).count());
            }
            Constraint::SentenceCount { bound } => self.keep_while(*bound, <[String]>::len),
            Constraint::BulletCount { bound }
            | Constraint::NumberedCount { bound }
            | Constraint::TableRows { bound } => {
                if self.mark.is_none() {
                    self.parts.truncate(MOST_PARTS);
                }
                self.keep_while(*bound, <[String]>::len);
            }
            _ => return Some(()),
        }
        if self.parts != before {
            let may_end_sooner = is_free(self.shape) || matches!(self.shape, Shape::Short | Shape::YesNo);
            (may_end_sooner && self.mark.is_none()).then_some(())?;
        }
        (self.parts.first()? == before.first()?).then_some(())?;
        self.text = self.mark.map_or_else(|| self.parts.join(" "), |mark| self.list(mark));
        Some(())
    }

    /// Keeps as many parts from the start as the bound allows.
    fn keep_while(&mut self, bound: Bound, measure: impl Fn(&[String]) -> usize) {
        while self.parts.len() > 1 && measure(&self.parts) > bound.most() as usize {
            self.parts.pop();
        }
    }

    /// Makes a list, a table, paragraphs or sections of the parts.
    fn lay_out(&mut self, constraint: &Constraint) -> Option<()> {
        let text = match constraint {
            Constraint::BulletCount { .. } | Constraint::BulletWords { .. } => self.list(BULLET),
            Constraint::NumberedCount { .. } => self.list(NUMBER),
            Constraint::TableRows { .. } => self.table(),
            Constraint::ParagraphCount { bound } => self.groups(*bound)?.join("\n\n"),
            Constraint::DividedParagraphs { bound } => self.groups(*bound)?.join("\n\n***\n\n"),
            Constraint::SectionCount { marker, bound } => {
                let section = |(at, group): (usize, &String)| format!("{marker} {}\n{group}", at + 1);
                self.groups(*bound)?.iter().enumerate().map(section).collect::<Vec<_>>().join("\n\n")
            }
            Constraint::HeadingCount { bound } => {
                let section = |group: &String| Some(format!("## {}\n{group}", heading(group, 2)?));
                self.groups(*bound)?.iter().map(section).collect::<Option<Vec<_>>>()?.join("\n\n")
            }
            _ => return Some(()),
        };
        self.text = text;
        (!self.parts.is_empty()).then_some(())
    }

    /// Two columns: what comes before a colon and what follows it, or else number and text.
    fn table(&self) -> String {
        let clean = |cell: &str| cell.replace('|', "/").trim().to_owned();
        let split = |part: &String| {
            let (name, rest) = part.split_once(": ")?;
            (text::words(name).count() <= 6).then(|| (clean(name), clean(rest)))
        };
        let named: Option<Vec<(String, String)>> = self.parts.iter().map(split).collect();
        let numbered = || {
            let row = |(at, part): (usize, &String)| ((at + 1).to_string(), clean(part));
            self.parts.iter().enumerate().map(row).collect()
        };
        let head = if named.is_some() { "| Item | Description |" } else { "| No. | Point |" };
        let rows = named.unwrap_or_else(numbered);
        let rows: Vec<String> = rows.iter().map(|(name, rest)| format!("| {name} | {rest} |")).collect();
        format!("{head}\n| --- | --- |\n{}", rows.join("\n"))
    }

    /// The parts in groups of nearly equal size, as few as the bound allows but not one alone.
    fn groups(&self, bound: Bound) -> Option<Vec<String>> {
        let count = bound.least().max(2).min(bound.most()) as usize;
        let parts = self.parts.len();
        (1..=parts.min(MOST_PARTS)).contains(&count).then(|| {
            let group = |at: usize| self.parts[at * parts / count..(at + 1) * parts / count].join(" ");
            (0..count).map(group).collect()
        })
    }

    /// Marks words that say what the text is about.
    fn emphasise(&mut self, constraint: &Constraint) -> Option<()> {
        self.text = match constraint {
            Constraint::HighlightCount { bound } => {
                mark_words(&self.text, bound.least().max(1), |word| format!("*{word}*"))?
            }
            Constraint::CapitalWordCount { bound } => {
                mark_words(&self.text, bound.least().max(1), str::to_uppercase)?
            }
            _ => return Some(()),
        };
        Some(())
    }

    /// Adds what comes first and what comes last.
    fn frame(&mut self, constraint: &Constraint) -> Option<()> {
        let body = &self.text;
        self.text = match constraint {
            // Phrases that were read off another answer do not go with this one.
            Constraint::StartPhrase { phrase } if !OPENINGS.contains(&phrase.as_str()) => return None,
            Constraint::EndPhrase { phrase } if !ENDINGS.contains(&phrase.as_str()) => return None,
            Constraint::StartPhrase { phrase } => {
                format!("{phrase}:{}{body}", if starts_in_prose(body) { " " } else { "\n\n" })
            }
            Constraint::EndPhrase { phrase } => {
                let last = body.lines().last().unwrap_or("");
                let joint =
                    if starts_in_prose(last) && body.ends_with(['.', '!', '?']) { " " } else { "\n\n" };
                format!("{body}{joint}{phrase}")
            }
            Constraint::Title => format!("<<{}>>\n\n{body}", heading(self.request, 4)?),
            Constraint::Postscript { marker: Postscript::Ps } => {
                let may_move = self.parts.len() >= 3 && is_free(self.shape);
                let last = self.parts.last().filter(|_| may_move)?;
                let rest = body.strip_suffix(last.as_str())?.trim_end();
                // No item is left without its text.
                rest.ends_with(['.', '!', '?', '"']).then_some(())?;
                (text::words(rest.lines().last()?).count() >= 2).then_some(())?;
                format!("{rest}\n\nP.S. {last}")
            }
            Constraint::RepeatRequest { request } => format!("{request}\n\n{body}"),
            _ => return Some(()),
        };
        Some(())
    }

    /// Changes or encloses the whole.
    fn wrap(&mut self, constraint: &Constraint) -> Option<()> {
        let json = |text: &str| serde_json::to_string(text).expect("a string is JSON");
        self.text = match constraint {
            Constraint::LowerCase => self.text.to_lowercase(),
            Constraint::UpperCase => self.text.to_uppercase(),
            Constraint::Quoted => format!("\"{}\"", self.text.replace('"', "'")),
            Constraint::Json => format!("{{\"answer\": {}}}", json(&self.text)),
            Constraint::JsonKeys { keys } => {
                let pair = |key: &str| {
                    let value = match key {
                        "answer" => json(&self.text),
                        "title" => json(&heading(self.request, 4)?),
                        "summary" => json(self.parts.first()?),
                        "keywords" => serde_json::to_string(&content_words(&self.text).get(..3)?).ok()?,
                        // What is the reason, or an example, only a reader knows.
                        _ => return None,
                    };
                    Some(format!("  {}: {value}", json(key)))
                };
                // Whatever else is asked for, the answer is in it.
                let unasked = (!keys.iter().any(|key| key == "answer")).then_some("answer");
                let keys = keys.iter().map(String::as_str).chain(unasked);
                format!("{{\n{}\n}}", keys.map(pair).collect::<Option<Vec<_>>>()?.join(",\n"))
            }
            _ => return Some(()),
        };
        Some(())
    }
}

/// The items of a response that is a list, with their mark, or the sentences of one that is prose.
fn take_apart(response: &str) -> (Vec<String>, Option<Mark>) {
    let layout = text::Layout::of(response);
    let items = |item: fn(&str) -> Option<&str>| -> Vec<String> {
        layout.prose.iter().filter_map(|line| item(line)).map(str::to_owned).collect()
    };
    let (numbered, bullets) = (items(text::numbered), items(text::bullet));
    let is_other = |line: &&str| text::heading(line).is_some() || line.contains('|');
    if !layout.code.is_empty() || layout.prose.iter().any(is_other) {
        return (Vec::new(), None);
    }
    let (parts, mark) = match (numbered.len(), bullets.len()) {
        (0, 0) => (sentence::sentences(response), None),
        (2.., 0) => (numbered, Some(NUMBER)),
        (0, 2..) => (bullets, Some(BULLET)),
        _ => return (Vec::new(), None),
    };
    let words = |text: &str| text::words(text).count();
    let said: usize = parts.iter().map(|part| words(part)).sum();
    // Lines beside the items may introduce them, and no more.
    if mark.is_some() && 2 * said < words(response) {
        return (Vec::new(), None);
    }
    (parts.iter().map(|part| plain(part)).filter(|part| words(part) >= 2).collect(), mark)
}

/// An item without the emphasis of its name.
fn plain(item: &str) -> String {
    let bare = item.strip_prefix("**").and_then(|rest| rest.split_once("**"));
    bare.map_or_else(|| item.to_owned(), |(name, rest)| format!("{name}{rest}"))
}

/// A title of up to `most` words from what a text is about.
fn heading(text: &str, most: usize) -> Option<String> {
    let words = content_words(text);
    let title: Vec<String> = words.iter().take(most).map(|word| capitalised(word)).collect();
    (!title.is_empty()).then(|| title.join(" "))
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Whether a text begins with words, and not with the mark of a list, a heading or a table.
fn starts_in_prose(text: &str) -> bool {
    let line = text.lines().next().unwrap_or("");
    text::bullet(line).is_none()
        && text::numbered(line).is_none()
        && text::heading(line).is_none()
        && !line.starts_with(['|', '<', '`'])
}

/// The text with `count` different words of those that it is about marked, spread over it.
fn mark_words(text: &str, count: u32, mark: impl Fn(&str) -> String) -> Option<String> {
    let about = content_words(text);
    let mut found: Vec<(usize, &str)> = Vec::new();
    // No part of a name in code, a formula, an address: a word between spaces, but for punctuation.
    for token in text.split_whitespace().filter(|token| !token.contains(['`', '\\', '*', '_'])) {
        let word = token.trim_matches(|c: char| !text::is_word_char(c));
        let lower = word.to_lowercase();
        if about.contains(&lower) && !found.iter().any(|(_, other)| other.eq_ignore_ascii_case(word)) {
            found.push((word.as_ptr() as usize - text.as_ptr() as usize, word));
        }
    }
    let count = count as usize;
    let mut marked = text.to_owned();
    if found.len() < count {
        return None;
    }
    // From the last, so that places before it stay.
    for at in (0..count).rev() {
        let (start, word) = found[(2 * at + 1) * found.len() / (2 * count)];
        marked.replace_range(start..start + word.len(), &mark(word));
    }
    Some(marked)
}
