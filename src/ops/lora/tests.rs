//! Tests of [`lora`](super).
