//! The language of a response (`language:response_language`), which the rules about case need as well.
//!
//! Source: arXiv:2311.07911; measured against lm-eval 0.4.13 with langdetect 1.0.9. That detector is a random
//! walk over the n-grams of a text, so other detectors disagree with it on short or mixed texts; the crate
//! `langdetect` reproduces the walk. lm-eval does not seed it. Here and in the test oracle the seed is 0, as
//! langdetect's documentation recommends.
//!
//! **Invariant:** the same text always has the same language.

use langdetect::{DetectorFactory, Seed};

use super::Error;
use super::arguments::{Arguments, list};

/// The languages that an instruction may require.
const LANGUAGES: [&str; 30] = [
    "ar", "bg", "bn", "de", "en", "es", "fa", "fi", "fr", "gu", "he", "hi", "it", "ja", "kn", "ko", "ml",
    "mr", "ne", "pa", "pl", "pt", "ru", "sw", "ta", "te", "th", "uk", "ur", "vi",
];

/// The whole response must be in this language.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule(&'static str);

impl Rule {
    /// `language:response_language`.
    pub(super) fn parse(arguments: &Arguments<'_>) -> Result<Self, Error> {
        let code = arguments.text("language")?;
        let known = LANGUAGES.iter().find(|language| **language == code);
        known
            .map(|code| Self(code))
            .ok_or_else(|| arguments.wrong("language", format!("one of: {}", list(&LANGUAGES))))
    }

    /// Whether the response follows the rule.
    pub(super) fn follows(self, response: &str) -> bool {
        is_in(response, self.0)
    }
}

/// Whether a text is detected as `language`. A text whose language cannot be detected counts as any language.
pub(super) fn is_in(text: &str, language: &str) -> bool {
    let detected = DetectorFactory::builtin().create().and_then(|mut detector| {
        detector.seed = Seed::Int(0);
        detector.append(text);
        detector.detect()
    });
    detected.map_or(true, |detected| detected == language)
}
