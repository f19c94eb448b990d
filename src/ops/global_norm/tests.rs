//! Tests of [`global_norm`](super).
