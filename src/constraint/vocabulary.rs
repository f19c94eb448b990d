//! The closed sets that parameters of constraints are taken from.

use super::named::named;

named! {
    /// A language, by its ISO 639-1 code. Those that `whichlang` tells apart.
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
    /// As a sentence names it.
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

    /// The likeliest language of a text that is long enough to tell: some 40 letters.
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

named! {
    /// A punctuation mark that an answer can do without.
    Mark {
        /// `,` and its forms in other scripts.
        Comma = "comma",
        /// `!` and its forms.
        Exclamation = "exclamation_mark",
        /// `?` and its forms.
        Question = "question_mark",
        /// `;` and its forms.
        Semicolon = "semicolon",
        /// `:` and its forms.
        Colon = "colon",
        /// `(`, `)` and their full-width forms.
        Parenthesis = "parenthesis",
        /// The en dash and the em dash; a hyphen is none.
        Dash = "dash",
    }
}

impl Mark {
    /// As a sentence names it, in the plural.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Comma => "commas",
            Self::Exclamation => "exclamation marks",
            Self::Question => "question marks",
            Self::Semicolon => "semicolons",
            Self::Colon => "colons",
            Self::Parenthesis => "parentheses",
            Self::Dash => "dashes",
        }
    }

    /// The characters that are this mark: what a reader of any script takes for it.
    pub fn characters(self) -> &'static [char] {
        match self {
            Self::Comma => &[',', '\u{FF0C}', '\u{3001}', '\u{060C}'],
            Self::Exclamation => &['!', '\u{FF01}', '\u{A1}', '\u{203C}', '\u{2049}', '\u{2048}'],
            Self::Question => &['?', '\u{FF1F}', '\u{BF}', '\u{061F}', '\u{2047}', '\u{2048}', '\u{2049}'],
            Self::Semicolon => &[';', '\u{FF1B}', '\u{061B}'],
            Self::Colon => &[':', '\u{FF1A}'],
            Self::Parenthesis => &['(', ')', '\u{FF08}', '\u{FF09}'],
            Self::Dash => &['\u{2013}', '\u{2014}', '\u{2015}'],
        }
    }
}

named! {
    /// What marks the start of a postscript.
    Postscript {
        /// The first postscript.
        Ps = "P.S.",
        /// The second.
        Pps = "P.P.S.",
    }
}

named! {
    /// What a number counts or measures.
    Unit {
        /// Percentages.
        Percent = "percent",
        /// Kilometres.
        Kilometres = "km",
        /// Kilograms.
        Kilograms = "kg",
        /// Degrees Celsius.
        Celsius = "celsius",
        /// Euros.
        Euros = "euro",
        /// US dollars.
        Dollars = "dollar",
        /// Minutes.
        Minutes = "minute",
        /// Years.
        Years = "year",
    }
}

impl Unit {
    /// The amount as a sentence names it.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Percent => "a percentage (such as 12% or 12 percent)",
            Self::Kilometres => "a distance in kilometres (such as 12 km)",
            Self::Kilograms => "a mass in kilograms (such as 12 kg)",
            Self::Celsius => "a temperature in degrees Celsius (such as 12 °C)",
            Self::Euros => "an amount in euros (such as €12 or 12 euros)",
            Self::Dollars => "an amount in dollars (such as $12 or 12 dollars)",
            Self::Minutes => "a time in minutes (such as 12 minutes or 12 min)",
            Self::Years => "a number of years (such as 12 years)",
        }
    }

    /// What may stand after the number, in lower case, with or without a space between.
    pub(super) fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Percent => &["%", "percent", "per cent"],
            Self::Kilometres => &["km", "kilometre", "kilometres", "kilometer", "kilometers"],
            Self::Kilograms => &["kg", "kilogram", "kilograms", "kilo", "kilos"],
            Self::Celsius => &["°c", "° c", "\u{2103}", "degrees celsius", "degree celsius"],
            Self::Euros => &["€", "euro", "euros", "eur"],
            Self::Dollars => &["$", "dollar", "dollars", "usd"],
            Self::Minutes => &["min", "mins", "minute", "minutes"],
            Self::Years => &["year", "years"],
        }
    }

    /// What may stand before it.
    pub(super) fn prefixes(self) -> &'static [&'static str] {
        match self {
            Self::Euros => &["€", "eur"],
            Self::Dollars => &["$", "usd"],
            _ => &[],
        }
    }
}
