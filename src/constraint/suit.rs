//! Whether a constraint goes with a request, and the request without its constraints.
//!
//! **Invariant:** what [`super::draw()`] and [`super::derive()`] return for a request suits it.

use super::kinds::Constraint;
use super::request::Request;

/// Whether the constraint can be added to the request: it fits the kind of answer that is wanted, the request
/// does not decide the same thing itself, and a phrase to begin or end with is not a fragment. `request` is
/// without constraints, see [`without`].
pub fn suits(request: &str, constraint: &Constraint) -> bool {
    let any = constraint.erased();
    any.rule.is_whole() && any.kind.suits(&Request::new(request))
}

/// The request without the sentences of these constraints, in any wording: what it was before they were
/// added.
pub fn without(request: &str, constraints: &[Constraint]) -> String {
    let mut rest = request.to_owned();
    for constraint in constraints {
        let wordings = (0..constraint.wordings()).map(|wording| constraint.text(wording));
        if let Some(said) = wordings.filter(|text| rest.contains(text.as_str())).max_by_key(String::len) {
            rest = rest.replacen(&said, "", 1);
        }
    }
    rest.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constraint::kinds::{Json, NoDigits, Title, WordCount};
    use crate::constraint::{Bound, Kind};

    #[test]
    fn a_request_is_found_again_without_its_constraints() {
        let constraints =
            [Constraint::from(WordCount { bound: Bound::AtMost { n: 50 } }), Constraint::from(NoDigits)];
        for wording in 0..4 {
            let text = format!(
                "Name a river. {} {}",
                constraints[0].text(wording),
                constraints[1].text(wording + 1)
            );
            assert_eq!(without(&text, &constraints), "Name a river.");
        }
        assert_eq!(without("Name a river.", &constraints), "Name a river.");
    }

    #[test]
    fn a_fixed_reply_takes_no_constraint_and_an_open_one_takes_most() {
        for constraint in [Title.into(), NoDigits.into(), Json.into()] {
            assert!(!suits("Is it true? Output true or false.", &constraint));
            assert!(suits("Describe a wet morning.", &constraint));
        }
        assert!(!suits(
            "Describe a wet morning in 50 words.",
            &Constraint::from(WordCount { bound: Bound::AtMost { n: 5 } })
        ));
    }

    #[test]
    fn what_the_request_decides_is_not_decided_again() {
        let decided = |request: &str, kind: Kind| (kind.definition().decided)(&Request::new(request));
        for kind in [Kind::WordCount, Kind::WithoutMark, Kind::Keywords, Kind::NoDigits] {
            assert!(decided("Tell a story of 100 words, without commas.", kind), "{kind:?}");
        }
        for &kind in Kind::ALL {
            assert!(!decided("Describe a wet morning.", kind), "{kind:?}");
        }
    }
}
