//! Whether an adapter file fits a base model.
//!
//! Where in the flow: an engine checks its adapter here before loading it, because llama.cpp only reports
//! that loading failed.
//!
//! **Invariant:** everything that llama.cpp would load passes.

use super::Error;
use crate::gguf::Gguf;

/// Checks type, architecture, and that every pair of tensors fits the base tensor that it adapts:
/// `x.lora_a` (R, in) and `x.lora_b` (out, R) for `x` (out, in).
pub(super) fn check(adapter: &Gguf, base: &Gguf) -> Result<(), Error> {
    let mismatch = |reason: String| Error::AdapterMismatch { path: adapter.path().to_owned(), reason };
    for (key, expected) in [
        ("general.type", "adapter"),
        ("adapter.type", "lora"),
        ("general.architecture", base.string("general.architecture")?),
    ] {
        let found = adapter.optional_string(key)?.unwrap_or("missing");
        if found != expected {
            return Err(mismatch(format!("its `{key}` is `{found}`, expected `{expected}`")));
        }
    }
    // For the token embedding `a` and `b` are swapped; llama.cpp checks that case itself.
    let names = adapter.tensors().filter_map(|tensor| tensor.name.strip_suffix(".lora_a"));
    for name in names.filter(|name| *name != "token_embd.weight") {
        let missing = |what: &str| mismatch(format!("{what} has no tensor `{name}`"));
        let weight = base.tensor(name).ok_or_else(|| missing("the model"))?;
        let a = adapter.tensor(&format!("{name}.lora_a")).expect("the name comes from this file");
        let b = adapter.tensor(&format!("{name}.lora_b")).ok_or_else(|| missing("the `lora_b` half"))?;
        let ([out_features, in_features], [r, a_in], [b_out, b_r]) = (weight.shape, a.shape, b.shape) else {
            return Err(mismatch(format!("`{name}` and its pair are not matrices")));
        };
        if a_in != in_features || b_out != out_features || r != b_r {
            return Err(mismatch(format!(
                "`{name}` has shape ({out_features}, {in_features}), \
                 the adapter's pair ({r}, {a_in}) and ({b_out}, {b_r})"
            )));
        }
    }
    Ok(())
}
