//! Tests of [`embedding`](super).
