//! Tests of [`cross_entropy`](super).
