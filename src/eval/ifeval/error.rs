//! What can be wrong with an instruction in a file of rows.
//!
//! **Invariant:** every message names the instruction, what was found and what was expected.

/// Why an id and its arguments are no instruction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An id that the reference does not register.
    #[error("instruction id is `{found}`, expected one of: {}", super::registry::ids())]
    Instruction {
        /// What stands there.
        found: String,
    },
    /// An argument that is absent or cannot be used.
    #[error("argument `{argument}` of instruction `{id}` is {found}, expected {expected}")]
    Argument {
        /// The instruction.
        id: &'static str,
        /// The argument.
        argument: &'static str,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: String,
    },
    /// An argument that the instruction does not have.
    #[error("instruction `{id}` has the unknown argument `{argument}`, expected {expected}")]
    UnknownArgument {
        /// The instruction.
        id: &'static str,
        /// The word.
        argument: String,
        /// The arguments that there are.
        expected: String,
    },
}
