//! Limits on a count: at least, at most, exactly, between.
//!
//! **Invariant:** a valid bound allows a count of at least one, and does not allow every count. Other kinds
//! say that something must not occur.

use super::error::Error;

/// The largest number in a bound: more must be a mistake.
pub(super) const MAX_COUNT: u32 = 100_000;

/// A limit on a count. Both ends are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(tag = "relation", rename_all = "snake_case")]
pub enum Bound {
    /// `n` or more.
    AtLeast {
        /// The smallest count that is allowed.
        n: u32,
    },
    /// `n` or fewer.
    AtMost {
        /// The largest count that is allowed.
        n: u32,
    },
    /// `n`.
    Exactly {
        /// The count.
        n: u32,
    },
    /// From `low` to `high`.
    Between {
        /// The smallest count that is allowed.
        low: u32,
        /// The largest count that is allowed.
        high: u32,
    },
}

impl Bound {
    /// The smallest count that is allowed.
    pub fn least(self) -> u32 {
        match self {
            Self::AtLeast { n } | Self::Exactly { n } => n,
            Self::AtMost { .. } => 0,
            Self::Between { low, .. } => low,
        }
    }

    /// The largest count that is allowed.
    pub fn most(self) -> u32 {
        match self {
            Self::AtMost { n } | Self::Exactly { n } => n,
            Self::AtLeast { .. } => u32::MAX,
            Self::Between { high, .. } => high,
        }
    }

    /// Whether the count is allowed.
    pub fn holds(self, count: usize) -> bool {
        (self.least() as usize..=self.most() as usize).contains(&count)
    }

    /// The bound in words; `wording` chooses among ways to say the same.
    pub(super) fn in_words(self, wording: usize, noun: Noun) -> String {
        let amount = |n| noun.amount(n);
        match self {
            Self::AtLeast { n } => match wording % 3 {
                0 => format!("at least {}", amount(n)),
                1 => format!("no fewer than {}", amount(n)),
                _ if noun == TIMES => format!("{} or more", amount(n)),
                _ => format!("{n} or more {}", noun.many),
            },
            Self::AtMost { n } => match wording % 3 {
                0 => format!("at most {}", amount(n)),
                1 => format!("no more than {}", amount(n)),
                _ => format!("not more than {}", amount(n)),
            },
            Self::Exactly { n } => match wording % 3 {
                1 => format!("precisely {}", amount(n)),
                _ => format!("exactly {}", amount(n)),
            },
            Self::Between { low, high } => match wording % 3 {
                1 => format!("from {low} to {high} {}", noun.many),
                _ => format!("between {low} and {high} {}", noun.many),
            },
        }
    }

    /// Whether a response can have such a count.
    ///
    /// # Errors
    ///
    /// The number that makes it impossible or meaningless.
    pub(super) fn validate(self, kind: &'static str) -> Result<(), Error> {
        let field = |field, found: u32, expected: String| {
            Err(Error::Field { kind, field, found: format!("`{found}`"), expected })
        };
        match self {
            Self::AtLeast { n } | Self::AtMost { n } | Self::Exactly { n }
                if !(1..=MAX_COUNT).contains(&n) =>
            {
                field("n", n, format!("1 to {MAX_COUNT}"))
            }
            Self::Between { low, .. } if low == 0 => {
                field("low", low, "1 or more (`at_most` has no lower end)".to_owned())
            }
            Self::Between { low, high } if high <= low || high > MAX_COUNT => {
                field("high", high, format!("more than `low` ({low}) and at most {MAX_COUNT}"))
            }
            _ => Ok(()),
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noun {
    pub(super) one: &'static str,
    pub(super) many: &'static str,
}

/// For uses of something: its amounts are "once" and "3 times".
pub(super) const TIMES: Noun = Noun { one: "time", many: "times" };

pub(super) const WORDS: Noun = Noun { one: "word", many: "words" };

impl Noun {
    pub(super) const fn new(one: &'static str, many: &'static str) -> Self {
        Self { one, many }
    }

    /// A number and the noun: "1 word", "3 words".
    pub(super) fn amount(self, n: impl Into<u64>) -> String {
        match n.into() {
            1 if self == TIMES => "once".to_owned(),
            1 => format!("1 {}", self.one),
            n => format!("{n} {}", self.many),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPLES: Noun = Noun::new("apple", "apples");

    #[test]
    fn a_bound_includes_its_ends() {
        let between = Bound::Between { low: 2, high: 4 };
        let held: Vec<usize> = (0..7).filter(|&n| between.holds(n)).collect();
        assert_eq!(held, [2, 3, 4]);
        assert!(Bound::AtLeast { n: 3 }.holds(3) && !Bound::AtLeast { n: 3 }.holds(2));
        assert!(Bound::AtMost { n: 3 }.holds(0) && !Bound::AtMost { n: 3 }.holds(4));
        assert!(Bound::Exactly { n: 1 }.holds(1) && !Bound::Exactly { n: 1 }.holds(0));
        assert!(Bound::AtLeast { n: 1 }.holds(usize::MAX >> 32));
    }

    #[test]
    fn words_agree_in_number() {
        let words = |bound: Bound, wording| bound.in_words(wording, APPLES);
        assert_eq!(words(Bound::AtLeast { n: 1 }, 0), "at least 1 apple");
        assert_eq!(words(Bound::AtLeast { n: 1 }, 2), "1 or more apples");
        assert_eq!(words(Bound::AtMost { n: 2 }, 1), "no more than 2 apples");
        assert_eq!(words(Bound::Between { low: 1, high: 2 }, 4), "from 1 to 2 apples");
        assert_eq!(Bound::Exactly { n: 1 }.in_words(0, TIMES), "exactly once");
        assert_eq!(Bound::AtLeast { n: 2 }.in_words(2, TIMES), "2 times or more");
    }

    #[test]
    fn a_bound_that_says_nothing_is_refused() {
        let bad = |bound: Bound| bound.validate("word_count").unwrap_err().to_string();
        let expected = "`n` of constraint `word_count` is `0`, expected 1 to 100000";
        assert_eq!(bad(Bound::AtLeast { n: 0 }), expected);
        assert_eq!(bad(Bound::AtMost { n: 0 }), expected);
        assert!(bad(Bound::Between { low: 4, high: 4 }).contains("more than `low` (4)"));
        assert!(bad(Bound::Between { low: 0, high: 4 }).contains("`low`"));
        assert!(Bound::AtMost { n: 1 }.validate("bullet_count").is_ok());
    }
}
