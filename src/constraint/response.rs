//! A response, measured once for all the kinds that derive constraints from it.

use super::bound::Bound;
use super::language::{Language, detect};
use super::pick::around;
use super::request::{Request, content_words};
use super::sentence;
use super::text::{self, Layout};
use rand::Rng;

/// Words from which on it says something about a response that it does without something.
pub(super) const MIN_WORDS: usize = 25;

/// A response, and what kinds need to know about it.
pub(super) struct Response<'a> {
    pub(super) text: &'a str,
    pub(super) request: &'a Request<'a>,
    pub(super) layout: Layout<'a>,
    pub(super) sentences: Vec<String>,
    pub(super) words: usize,
    pub(super) language: Option<Language>,
    /// Request and response are in English, as our wordings are: of any other response, only the language and
    /// the layout can be stated.
    pub(super) is_english: bool,
    /// English sentences with no list, heading or table among them.
    pub(super) is_prose: bool,
    /// Words that say what the response is about and that the request does not have, if it is in English.
    pub(super) own_words: Vec<String>,
}

impl<'a> Response<'a> {
    pub(super) fn new(request: &'a Request<'a>, text: &'a str) -> Self {
        let language = detect(text);
        let is_english = language == Some(Language::English) && !request.is_foreign;
        let layout = Layout::of(text);
        let sentences = sentence::sentences(text);
        let has_structure = layout.prose.iter().any(|line| {
            text::bullet(line).is_some()
                || text::numbered(line).is_some()
                || text::heading(line).is_some()
                || line.contains('|')
        });
        let is_new = |word: &String| !request.content.contains(word);
        let content = if is_english { content_words(text) } else { Vec::new() };
        Self {
            text,
            request,
            words: text::words(text).count(),
            language,
            is_english,
            is_prose: is_english && !has_structure && !sentences.is_empty(),
            own_words: content.into_iter().filter(is_new).collect(),
            layout,
            sentences,
        }
    }

    /// Whether the response is long enough to state what it does without.
    pub(super) fn is_long(&self) -> bool {
        self.words >= MIN_WORDS
    }
}

/// A bound that holds for the count, if it is `least` or more.
pub(super) fn bound_around(count: usize, least: u32, rng: &mut dyn Rng) -> Option<Bound> {
    let n = u32::try_from(count).unwrap_or(0);
    (n >= least).then(|| around(n, rng))
}
