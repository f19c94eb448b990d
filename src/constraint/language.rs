//! Languages, and which one a text is in.

use super::named::named;
use super::text;

named! {
    /// A language that `whichlang` recognises, by its ISO 639-1 code.
    Language {
        /// Arabic.
        Arabic = "ar",
        /// Chinese.
        Chinese = "zh",
        /// Dutch.
        Dutch = "nl",
        /// English.
        English = "en",
        /// French.
        French = "fr",
        /// German.
        German = "de",
        /// Hindi.
        Hindi = "hi",
        /// Italian.
        Italian = "it",
        /// Japanese.
        Japanese = "ja",
        /// Korean.
        Korean = "ko",
        /// Portuguese.
        Portuguese = "pt",
        /// Russian.
        Russian = "ru",
        /// Spanish.
        Spanish = "es",
        /// Swedish.
        Swedish = "sv",
        /// Turkish.
        Turkish = "tr",
        /// Vietnamese.
        Vietnamese = "vi",
    }
}

impl Language {
    /// Its English name.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Arabic => "Arabic",
            Self::Chinese => "Chinese",
            Self::Dutch => "Dutch",
            Self::English => "English",
            Self::French => "French",
            Self::German => "German",
            Self::Hindi => "Hindi",
            Self::Italian => "Italian",
            Self::Japanese => "Japanese",
            Self::Korean => "Korean",
            Self::Portuguese => "Portuguese",
            Self::Russian => "Russian",
            Self::Spanish => "Spanish",
            Self::Swedish => "Swedish",
            Self::Turkish => "Turkish",
            Self::Vietnamese => "Vietnamese",
        }
    }

    /// The most likely language of a text. Reliable from about 40 letters.
    pub fn most_likely(text: &str) -> Self {
        match whichlang::detect_language(text) {
            whichlang::Lang::Ara => Self::Arabic,
            whichlang::Lang::Cmn => Self::Chinese,
            whichlang::Lang::Nld => Self::Dutch,
            whichlang::Lang::Eng => Self::English,
            whichlang::Lang::Fra => Self::French,
            whichlang::Lang::Deu => Self::German,
            whichlang::Lang::Hin => Self::Hindi,
            whichlang::Lang::Ita => Self::Italian,
            whichlang::Lang::Jpn => Self::Japanese,
            whichlang::Lang::Kor => Self::Korean,
            whichlang::Lang::Por => Self::Portuguese,
            whichlang::Lang::Rus => Self::Russian,
            whichlang::Lang::Spa => Self::Spanish,
            whichlang::Lang::Swe => Self::Swedish,
            whichlang::Lang::Tur => Self::Turkish,
            whichlang::Lang::Vie => Self::Vietnamese,
        }
    }
}

/// Letters below which a text in Latin script may be in any language.
const MIN_LETTERS: usize = 12;

/// The language of a text, if it has enough letters to show it. In a script that few languages share, one is
/// enough. Code blocks do not count.
pub(super) fn detect(response: &str) -> Option<Language> {
    let prose = text::Layout::of(response).prose.join("\n").to_lowercase();
    let letters = prose.chars().filter(|c| c.is_alphabetic());
    let is_latin = letters.clone().all(|c| c <= '\u{24F}');
    let enough = if is_latin { MIN_LETTERS } else { 1 };
    let shows = letters.count() >= enough;
    shows.then(|| Language::most_likely(&prose))
}
