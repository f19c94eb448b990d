//! A response while it gets its form: taken apart, laid out again, framed.
//!
//! `impose` runs the stages; each kind says in its file what it does at which stage, with the methods here.
//!
//! **Invariant:** `None` means that the form cannot be given without loss; the caller drops the attempt.

use super::bound::Bound;
use super::request::{Request, Shape, content_words};
use super::{sentence, text};

/// The most parts that a response is cut into: nobody would read more.
const MOST_PARTS: usize = 8;

/// The steps in which a form is given, in a writer's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// A fixed reply takes the place of the response; no other stage follows.
    Reply,
    /// Which parts are said.
    Select,
    /// How they are laid out.
    LayOut,
    /// Which words stand out.
    Emphasise,
    /// What comes before and after. A kind with this stage alone leaves the lines of the response as they
    /// are, so it goes with code.
    Frame,
    /// What is done to all of it: case, quotation marks, JSON.
    Wrap,
}

/// What an item of a list begins with, from its number.
pub(super) type Mark = fn(usize) -> String;
pub(super) const BULLET: Mark = |_| "- ".to_owned();
pub(super) const NUMBER: Mark = |number| format!("{number}. ");

/// A response while it gets its form.
pub(super) struct Body<'a> {
    pub(super) request: &'a Request<'a>,
    /// What is said, in order: the items of its list if it is one, or else its sentences. Empty: it is
    /// neither, but a table, a list in a list, or an essay with a list in it, and cannot be taken apart
    /// without loss.
    pub(super) parts: Vec<String>,
    /// What each part follows, if they are items of a list.
    mark: Option<Mark>,
    /// The response in its present form.
    pub(super) text: String,
}

impl<'a> Body<'a> {
    pub(super) fn new(request: &'a Request<'a>, response: &str) -> Self {
        let (parts, mark) = take_apart(response);
        Self { request, parts, mark, text: response.to_owned() }
    }

    /// Leaves out the parts that are not allowed.
    pub(super) fn leave_out(&mut self, is_allowed: impl Fn(&str) -> bool) -> Option<()> {
        let before = self.parts.clone();
        self.parts.retain(|part| is_allowed(part));
        // If most of the text has to go, what is left is not an answer.
        (2 * self.parts.len() > before.len() && self.request.is_free()).then_some(())?;
        self.say_selected(&before)
    }

    /// Keeps as many parts from the start as the bound allows.
    pub(super) fn keep_parts(&mut self, bound: Bound) -> Option<()> {
        self.keep_while(bound, <[String]>::len)
    }

    /// Keeps as many parts from the start as the bound allows, for a list or a table of them.
    pub(super) fn keep_items(&mut self, bound: Bound) -> Option<()> {
        let before = self.parts.clone();
        if self.mark.is_none() {
            self.parts.truncate(MOST_PARTS);
        }
        self.shorten(bound, <[String]>::len);
        self.say_selected(&before)
    }

    /// Keeps as many parts from the start as a bound on some measure of them allows.
    pub(super) fn keep_while(&mut self, bound: Bound, measure: impl Fn(&[String]) -> usize) -> Option<()> {
        let before = self.parts.clone();
        self.shorten(bound, measure);
        self.say_selected(&before)
    }

    fn shorten(&mut self, bound: Bound, measure: impl Fn(&[String]) -> usize) {
        while self.parts.len() > 1 && measure(&self.parts) > bound.most() as usize {
            self.parts.pop();
        }
    }

    /// Makes a text of the parts that are left, if the answer is still among them.
    fn say_selected(&mut self, before: &[String]) -> Option<()> {
        if self.parts != before {
            let may_end_sooner =
                self.request.is_free() || matches!(self.request.shape, Shape::Short | Shape::YesNo);
            (may_end_sooner && self.mark.is_none()).then_some(())?;
        }
        (self.parts.first()? == before.first()?).then_some(())?;
        self.text = self.mark.map_or_else(|| self.parts.join(" "), |mark| self.list(mark));
        Some(())
    }

    /// Makes a list of the parts.
    pub(super) fn lay_out_list(&mut self, mark: Mark) -> Option<()> {
        self.lay_out(self.list(mark))
    }

    /// Uses `text` as the new layout of the parts, if there are any.
    pub(super) fn lay_out(&mut self, text: String) -> Option<()> {
        self.text = text;
        (!self.parts.is_empty()).then_some(())
    }

    fn list(&self, mark: Mark) -> String {
        let line = |(at, part): (usize, &String)| format!("{}{part}", mark(at + 1));
        self.parts.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The parts in groups of nearly equal size, as few as the bound allows but not one alone.
    pub(super) fn groups(&self, bound: Bound) -> Option<Vec<String>> {
        let count = bound.least().max(2).min(bound.most()) as usize;
        let parts = self.parts.len();
        (1..=parts.min(MOST_PARTS)).contains(&count).then(|| {
            let group = |at: usize| self.parts[at * parts / count..(at + 1) * parts / count].join(" ");
            (0..count).map(group).collect()
        })
    }

    /// Marks as many words as the bound asks for, among those that say what the text is about.
    pub(super) fn mark_words(&mut self, bound: Bound, mark: impl Fn(&str) -> String) -> Option<()> {
        self.text = mark_words(&self.text, bound.least().max(1), mark)?;
        Some(())
    }

    /// A title for the answer, from the words of the request.
    pub(super) fn title(&self) -> Option<String> {
        heading(self.request.text, 4)
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
    // Lines outside the items may introduce them, but not say more than they do.
    if mark.is_some() && 2 * said < words(response) {
        return (Vec::new(), None);
    }
    (parts.iter().map(|part| plain(part)).filter(|part| words(part) >= 2).collect(), mark)
}

/// An item whose name is no longer emphasised: `**Rain**: falls` becomes `Rain: falls`.
fn plain(item: &str) -> String {
    let bare = item.strip_prefix("**").and_then(|rest| rest.split_once("**"));
    bare.map_or_else(|| item.to_owned(), |(name, rest)| format!("{name}{rest}"))
}

/// A title of up to `most` words from what a text is about.
pub(super) fn heading(text: &str, most: usize) -> Option<String> {
    let words = content_words(text);
    let title: Vec<String> = words.iter().take(most).map(|word| capitalised(word)).collect();
    (!title.is_empty()).then(|| title.join(" "))
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Whether a text begins with words, and not with the mark of a list, a heading or a table.
pub(super) fn starts_in_prose(text: &str) -> bool {
    let line = text.lines().next().unwrap_or("");
    text::bullet(line).is_none()
        && text::numbered(line).is_none()
        && text::heading(line).is_none()
        && !line.starts_with(['|', '<', '`'])
}

/// The text with `count` different words marked: words that say what it is about, spread over it.
fn mark_words(text: &str, count: u32, mark: impl Fn(&str) -> String) -> Option<String> {
    let about = content_words(text);
    let mut found: Vec<(usize, &str)> = Vec::new();
    // A word between spaces, apart from punctuation: not a part of a name in code, a formula or an address.
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
    // From the last, so that earlier positions stay valid.
    for at in (0..count).rev() {
        let (start, word) = found[(2 * at + 1) * found.len() / (2 * count)];
        marked.replace_range(start..start + word.len(), &mark(word));
    }
    Some(marked)
}
