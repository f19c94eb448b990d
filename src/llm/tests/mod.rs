//! Tests of the parts of `llm` that need no model. Those that need one are in `tests/it/llm_*.rs`.

mod sampling;
mod template;
mod text;
