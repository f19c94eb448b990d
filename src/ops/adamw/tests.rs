//! Tests of [`adamw`](super).
