//! Errors in constraints: JSON or parameters that are not valid.
//!
//! **Invariant:** every message names the constraint, what was found and what was expected.

/// Why JSON or a set of parameters is not a valid constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The kind is missing or unknown.
    #[error("`kind` of a constraint is {found}, expected one of: {expected}")]
    Kind {
        /// The value found.
        found: String,
        /// The names of all kinds.
        expected: String,
    },
    /// A parameter is missing, or its value is not allowed.
    #[error("`{field}` of constraint `{kind}` is {found}, expected {expected}")]
    Field {
        /// The kind.
        kind: &'static str,
        /// The parameter.
        field: &'static str,
        /// The value found.
        found: String,
        /// The allowed values.
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
