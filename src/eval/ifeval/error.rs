//! Errors in the instructions of an `IFEval` suite.
//!
//! **Invariant:** every message names the instruction, what was found and what was expected.

/// Why an id and its arguments are not a valid instruction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The reference implementation has no instruction with this id.
    #[error("instruction id is `{found}`, expected one of: {}", super::registry::ids())]
    Instruction {
        /// The id found.
        found: String,
    },
    /// An argument is missing, or its value is not allowed.
    #[error("argument `{argument}` of instruction `{id}` is {found}, expected {expected}")]
    Argument {
        /// The instruction.
        id: &'static str,
        /// The argument.
        argument: &'static str,
        /// The value found.
        found: String,
        /// The allowed values.
        expected: String,
    },
    /// An argument that the instruction does not have.
    #[error("instruction `{id}` has the unknown argument `{argument}`, expected {expected}")]
    UnknownArgument {
        /// The instruction.
        id: &'static str,
        /// The unknown argument.
        argument: String,
        /// The arguments that the instruction has.
        expected: String,
    },
}
