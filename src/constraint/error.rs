//! Why JSON, or a set of parameters, is not a valid constraint.
//!
//! **Invariant:** every message names the constraint, what was found and what was expected.

/// Why something is not a valid constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No kind, or an unknown one.
    #[error("`kind` of a constraint is {found}, expected one of: {expected}")]
    Kind {
        /// What was found instead.
        found: String,
        /// The names of all kinds.
        expected: String,
    },
    /// A parameter that cannot be used.
    #[error("`{field}` of constraint `{kind}` is {found}, expected {expected}")]
    Field {
        /// The kind.
        kind: &'static str,
        /// The parameter.
        field: &'static str,
        /// Its value.
        found: String,
        /// What its value should be.
        expected: String,
    },
    /// A parameter that the kind does not have.
    #[error("constraint `{kind}` has the unknown field `{field}`, expected {expected}")]
    UnknownField {
        /// The kind.
        kind: &'static str,
        /// The field.
        field: String,
        /// The parameters that the kind has.
        expected: String,
    },
}
