//! `numeral_count`, `unit_count` and `no_digits`: numbers in digits.

use super::interface::{
    AnyRule, Body, Bound, Check, Definition, Error, Fact, Fields, Noun, Origin, Request, Response, Rng, Rule,
    Shape, Stage, plain_count, show, text,
};
use crate::constraint::named::named;
use crate::constraint::pick::at_least;
use crate::constraint::response::MIN_WORDS;

const NUMBERS: Noun = Noun::new("number", "numbers");

/// Phrases about numbers: the task decides them.
const DECIDED: &str = "number, numbers, digit, digits, date, dates, year, how many, how much, how long, \
     when, percent, price, prices, budget, score, calculate, cost, costs, temperature";

plain_count! {
    /// Numbers written in digits.
    NumeralCount counts |response| text::numerals(response).len(), needs |n| n
}

impl Origin for NumeralCount {
    const KIND: Definition = Definition {
        name: "numeral_count",
        noun: NUMBERS,
        wordings: &[
            "Write {amount} in digits.",
            "The answer must contain {amount} written as figures (such as 12).",
            "In the answer I want {amount}, in digits and not in words.",
        ],
        facts: &[Fact::FitsJson, Fact::NeedsDigits, Fact::GivenByMaterial],
        decided: |request| request.mentions(DECIDED),
        rank: |request| request.rank(&[(Shape::Calculation, 4), (Shape::Open, 19)]),
        derive_rank: 25,
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { bound: fields.bound()? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { bound: at_least(2..=4, rng) })
    }

    fn derive(response: &Response<'_>, _: &mut dyn Rng) -> Option<Self> {
        let n = if response.is_english { text::numerals(response.text).len() as u32 } else { 0 };
        (n >= 2).then_some(Self { bound: Bound::AtLeast { n } })
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
    /// The amount in a wording.
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
    fn suffixes(self) -> &'static [&'static str] {
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

    /// What may stand before the number, in lower case.
    fn prefixes(self) -> &'static [&'static str] {
        match self {
            Self::Euros => &["€", "eur"],
            Self::Dollars => &["$", "usd"],
            _ => &[],
        }
    }
}

/// Words in a request that go with numbers of a unit.
const UNITS: [(&str, Unit); 7] = [
    ("distance, distances, journey, route, road, railway, river, marathon", Unit::Kilometres),
    ("weight, mass, heavy, kilograms", Unit::Kilograms),
    ("temperature, temperatures, weather, climate, heat", Unit::Celsius),
    ("price, prices, budget, cost, costs, money, salary, rent, market", Unit::Euros),
    ("recipe, bake, cook, exercise, workout, schedule, meeting", Unit::Minutes),
    ("history, century, war, empire, lifetime, career", Unit::Years),
    ("share, rate, risk, population, survey, economy, inflation", Unit::Percent),
];

/// Numbers with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct UnitCount {
    /// What the numbers count or measure.
    pub unit: Unit,
    /// How many numbers.
    #[serde(flatten)]
    pub bound: Bound,
}

/// Numerals next to a form of the unit.
fn with_unit(response: &str, unit: Unit) -> usize {
    let lower = response.to_lowercase();
    let follows = |rest: &str| {
        let rest = rest.trim_start_matches([' ', '\u{A0}', '\u{202F}', '-']);
        let is_whole = |form: &str| {
            let ends_as_word = form.ends_with(char::is_alphabetic);
            rest.strip_prefix(form)
                .is_some_and(|after| !ends_as_word || !after.starts_with(text::is_word_char))
        };
        unit.suffixes().iter().any(|form| is_whole(form))
    };
    let precedes = |before: &str| {
        let before = before.trim_end_matches([' ', '\u{A0}', '\u{202F}']);
        unit.prefixes().iter().any(|form| {
            let starts_as_word = form.starts_with(char::is_alphabetic);
            let rest = before.strip_suffix(form);
            rest.is_some_and(|rest| !starts_as_word || !rest.ends_with(text::is_word_char))
        })
    };
    let numerals = text::numerals(&lower).into_iter();
    numerals.filter(|(number, at)| follows(&lower[at + number.len()..]) || precedes(&lower[..*at])).count()
}

impl Rule for UnitCount {
    fn check(&self, response: &str) -> Check {
        Check::counted(with_unit(response, self.unit), self.bound, Self::KIND.noun)
    }

    fn bound(&self) -> Option<Bound> {
        Some(self.bound)
    }

    fn count(&self, response: &str) -> Option<usize> {
        Some(with_unit(response, self.unit))
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("unit", self.unit.in_words().to_owned())]
    }

    fn subject(&self) -> Option<String> {
        Some(self.unit.name().to_owned())
    }

    fn least_words(&self) -> usize {
        self.bound.least() as usize * 2
    }
}

impl Origin for UnitCount {
    const KIND: Definition = Definition {
        name: "unit_count",
        noun: NUMBERS,
        wordings: &[
            "Give {unit}: {amount} of that form in all.",
            "State {unit}; the answer must have {amount} like that.",
            "Be concrete and name {unit}, with {amount} of the kind.",
        ],
        facts: &[Fact::English, Fact::NeedsDigits, Fact::GivenByMaterial],
        rank: |request| request.rank(&[(Shape::Open, 20)]),
        derive_rank: 26,
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { unit: fields.named("unit", Unit::ALL, Unit::name)?, bound: fields.bound()? })
    }

    fn draw(request: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        let &(_, unit) = UNITS.iter().find(|(words, _)| request.mentions(words))?;
        Some(Self { unit, bound: at_least(1..=2, rng) })
    }

    fn derive_all(response: &Response<'_>, _: &mut dyn Rng) -> Vec<Self> {
        let units = if response.is_english { Unit::ALL } else { &[] };
        let counted = units.iter().map(|&unit| (unit, with_unit(response.text, unit) as u32));
        let stated = counted.filter(|&(_, n)| n >= 1);
        stated.map(|(unit, n)| Self { unit, bound: Bound::AtLeast { n } }).collect()
    }
}

/// No digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct NoDigits;

impl Rule for NoDigits {
    fn check(&self, response: &str) -> Check {
        match response.split_whitespace().find(|word| word.contains(char::is_numeric)) {
            Some(word) => Check::new(false, format!("found a digit in {}", show(word))),
            None => Check::new(true, "found no digits"),
        }
    }

    fn rules_out(&self, other: AnyRule<'_>) -> Option<&'static str> {
        let has_digits = |text: &&str| text.contains(char::is_numeric);
        let needs_them = other.has(Fact::NeedsDigits) || other.rule.fixed_texts().iter().any(has_digits);
        needs_them.then_some("it needs digits")
    }

    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        body.leave_out(|part| self.check(part).passed)
    }
}

impl Origin for NoDigits {
    const KIND: Definition = Definition {
        name: "no_digits",
        wordings: &[
            "Use no digits; spell numbers out.",
            "The answer must not contain a single digit.",
            "Write every number in words, so that there are no figures in the text.",
        ],
        facts: &[Fact::FitsTwoAnswers, Fact::GivenByMaterial],
        decided: |request| request.mentions(DECIDED) || request.text.contains(char::is_numeric),
        rank: |request| request.rank(&[(Shape::List, 20), (Shape::Open, 28)]),
        derive_rank: 30,
        stages: &[Stage::Select],
        ..Definition::BASE
    };

    fn read(_: &mut Fields) -> Result<Self, Error> {
        Ok(Self)
    }

    fn draw(_: &Request<'_>, _: &mut dyn Rng) -> Option<Self> {
        Some(Self)
    }

    /// Only a long text: most short ones have no digits anyway.
    fn derive(response: &Response<'_>, _: &mut dyn Rng) -> Option<Self> {
        (response.words >= 2 * MIN_WORDS).then_some(Self)
    }
}
