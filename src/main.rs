//! The binary: calls [`evol::cli::main`] and returns its exit code.

fn main() -> std::process::ExitCode {
    evol::cli::main()
}
