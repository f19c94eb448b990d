//! Counts whose bound is their only parameter.

/// Declares such a kind: its struct and its [`Rule`](crate::constraint::rule::Rule). `counts` is followed by
/// the function that counts, `needs` by the least number of words that a count takes; other methods of the
/// rule may follow in braces.
macro_rules! plain_count {
    (
        $(#[$doc:meta])*
        $kind:ident counts $count:expr, needs $words:expr $(, and { $($more:tt)* })?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
        pub struct $kind {
            /// How many.
            #[serde(flatten)]
            pub bound: $crate::constraint::bound::Bound,
        }

        impl $crate::constraint::rule::Rule for $kind {
            fn check(&self, response: &str) -> $crate::constraint::rule::Check {
                let count: fn(&str) -> usize = $count;
                $crate::constraint::rule::Check::counted(count(response), self.bound, Self::KIND.noun)
            }

            fn bound(&self) -> Option<$crate::constraint::bound::Bound> {
                Some(self.bound)
            }

            fn count(&self, response: &str) -> Option<usize> {
                let count: fn(&str) -> usize = $count;
                Some(count(response))
            }

            fn least_words(&self) -> usize {
                let words: fn(usize) -> usize = $words;
                words(self.bound.least() as usize)
            }

            $($($more)*)?
        }
    };
}

pub(super) use plain_count;
