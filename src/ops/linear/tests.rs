//! Tests of [`linear`](super).
