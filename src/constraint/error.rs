//! What can be wrong with a constraint that was written by hand or by another program.
//!
//! **Invariant:** every message names the constraint, what was found and what was expected.

/// Why something is no constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No kind, or one that is not known.
    #[error("`kind` of a constraint is {found}, expected one of: {}", known_kinds())]
    Kind {
        /// What stands there.
        found: String,
    },
    /// A parameter that cannot be used.
    #[error("`{field}` of constraint `{kind}` is {found}, expected {expected}")]
    Field {
        /// The kind.
        kind: &'static str,
        /// The parameter.
        field: &'static str,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: String,
    },
    /// A parameter that the kind does not have.
    #[error("constraint `{kind}` has the unknown field `{field}`, expected {expected}")]
    UnknownField {
        /// The kind.
        kind: &'static str,
        /// The word.
        field: String,
        /// The parameters that there are.
        expected: String,
    },
}

fn known_kinds() -> String {
    let names: Vec<String> = super::Kind::ALL.iter().map(|kind| format!("`{}`", kind.name())).collect();
    names.join(", ")
}
