//! Checks constraints from a pipe: reads lines of `{"constraint": {...}, "response": "..."}` and writes one
//! verdict per line, as `{"passed": true, "loose": true, "found": "..."}`. `ifeval_oracle.py`
//! compares these verdicts with those of `IFEval`.

use evol::constraint::Constraint;
use std::io::{self, BufRead, Write};

/// One line of input.
#[derive(serde::Deserialize)]
struct Line {
    constraint: Constraint,
    response: String,
}

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let Line { constraint, response } = serde_json::from_str(&line?)?;
        let check = constraint.check(&response);
        let loose = constraint.check_loose(&response).passed;
        let verdict = serde_json::json!({ "passed": check.passed, "loose": loose, "found": check.found });
        writeln!(out, "{verdict}")?;
    }
    out.flush()
}
