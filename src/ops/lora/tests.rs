//! Tests of [`lora`](super).

#![expect(clippy::float_cmp, reason = "powers of two and small integers are exact")]

use super::{Branch, Gradients, backward, forward, scratch_len};
use crate::device::Device;
use crate::ops::check::{
    Guarded, assert_close, assert_gradient, assert_thread_independent, convert, cpu, dot, random,
};
use crate::tensor::Real;

/// Inputs of one call; `y` and the gradients start at random values, because the op adds to them.
#[derive(Clone)]
struct Case<T> {
    rows: usize,
    inputs: usize,
    outputs: usize,
    rank: usize,
    dropout: f32,
    x: Vec<T>,
    a: Vec<T>,
    b: Vec<T>,
    y: Vec<T>,
    dy: Vec<T>,
}

struct Outputs<T> {
    t: Vec<T>,
    y: Vec<T>,
    da: Vec<T>,
    db: Vec<T>,
    dx: Vec<T>,
}

impl Case<f32> {
    fn new(rows: usize, inputs: usize, outputs: usize, rank: usize, dropout: f32) -> Self {
        Self {
            rows,
            inputs,
            outputs,
            rank,
            dropout,
            x: random(rows * inputs, 1),
            a: random(rank * inputs, 2),
            b: random(outputs * rank, 3),
            y: random(rows * outputs, 4),
            dy: random(rows * outputs, 5),
        }
    }

    fn widened(&self) -> Case<f64> {
        Case {
            rows: self.rows,
            inputs: self.inputs,
            outputs: self.outputs,
            rank: self.rank,
            dropout: self.dropout,
            x: convert(&self.x),
            a: convert(&self.a),
            b: convert(&self.b),
            y: convert(&self.y),
            dy: convert(&self.dy),
        }
    }
}

impl<T: Real> Case<T> {
    fn branch(&self) -> Branch<'_, T> {
        Branch {
            a: &self.a,
            b: &self.b,
            rank: self.rank,
            in_features: self.inputs,
            out_features: self.outputs,
            scaling: T::from_f64(1.5),
            dropout: self.dropout,
            dropout_key: 77,
        }
    }

    /// Forward and backward; gradients start at A, B and x.
    fn run(&self, device: &Device) -> Outputs<T> {
        let branch = self.branch();
        let mut scratch = Guarded::poisoned(scratch_len(self.rows, self.inputs, self.dropout));
        let (mut t, mut y) = (Guarded::poisoned(self.rows * self.rank), Guarded::from_slice(&self.y));
        forward(device, &branch, self.rows, &self.x, t.as_mut(), y.as_mut(), scratch.as_mut());
        let t = t.into_checked();
        let (mut da, mut db) = (Guarded::from_slice(&self.a), Guarded::from_slice(&self.b));
        let (mut dx, mut u) = (Guarded::from_slice(&self.x), Guarded::poisoned(self.rows * self.rank));
        let gradients = Gradients { da: da.as_mut(), db: db.as_mut(), dx: Some(dx.as_mut()), u: u.as_mut() };
        backward(device, &branch, self.rows, &self.x, &t, &self.dy, gradients, scratch.as_mut());
        scratch.into_checked();
        u.into_checked();
        Outputs {
            t,
            y: y.into_checked(),
            da: da.into_checked(),
            db: db.into_checked(),
            dx: dx.into_checked(),
        }
    }
}

/// Empty, single, odd around vector and tile sizes, and the `up` projection of `SmolLM2` at rank 16.
fn cases() -> Vec<Case<f32>> {
    [
        (0, 32, 5, 4),
        (1, 1, 1, 1),
        (31, 33, 127, 8),
        (33, 31, 129, 3),
        (127, 128, 257, 16),
        (257, 129, 1, 65),
        (512, 576, 1536, 16),
    ]
    .into_iter()
    .flat_map(|(rows, inputs, outputs, rank)| {
        [0.0, 0.1].map(|dropout| Case::new(rows, inputs, outputs, rank, dropout))
    })
    .collect()
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

#[test]
fn gradients_of_x_a_and_b() {
    for dropout in [0.0, 0.3] {
        for (rows, inputs, outputs, rank) in [(1, 1, 1, 1), (5, 7, 9, 3), (3, 33, 4, 2)] {
            let case = Case::new(rows, inputs, outputs, rank, dropout).widened();
            let device = cpu(1);
            let loss = |case: &Case<f64>| dot(&case.run(&device).y, &case.dy);
            let out = case.run(&device);
            // What was there before is taken off again: gradients must have been added to it.
            assert_gradient("x", &case.x, &minus(&out.dx, &case.x), |x| {
                loss(&Case { x: x.to_vec(), ..case.clone() })
            });
            assert_gradient("A", &case.a, &minus(&out.da, &case.a), |a| {
                loss(&Case { a: a.to_vec(), ..case.clone() })
            });
            assert_gradient("B", &case.b, &minus(&out.db, &case.b), |b| {
                loss(&Case { b: b.to_vec(), ..case.clone() })
            });
        }
    }
}

#[test]
fn f32_matches_f64() {
    for case in cases() {
        let what = format!("({}, {}, {}, {})", case.rows, case.inputs, case.outputs, case.rank);
        let (narrow, wide) = (case.run(&cpu(2)), case.widened().run(&cpu(2)));
        assert_close(&format!("t {what}"), &narrow.t, &wide.t);
        assert_close(&format!("y {what}"), &narrow.y, &wide.y);
        assert_close(&format!("dA {what}"), &narrow.da, &wide.da);
        assert_close(&format!("dB {what}"), &narrow.db, &wide.db);
        assert_close(&format!("dx {what}"), &narrow.dx, &wide.dx);
    }
}

#[test]
fn threads_do_not_change_bits() {
    for case in cases() {
        assert_thread_independent("lora", |device| {
            let Outputs { t, y, da, db, dx } = case.run(device);
            [t, y, da, db, dx].concat()
        });
    }
}

/// With A and B the identity the branch is `s · dropout(x)`. Of 40 000 elements p = 0.25 are dropped, with a standard
/// deviation of 87: 5 sigma are 435.
#[test]
fn dropout_drops_p_and_scales_the_rest() {
    let (rows, width) = (1250, 32);
    let identity: Vec<f64> = (0..width * width).map(|i| f64::from(i % (width + 1) == 0)).collect();
    let branch = Branch {
        a: &identity,
        b: &identity,
        rank: width,
        in_features: width,
        out_features: width,
        scaling: 1.0,
        dropout: 0.25,
        dropout_key: 1,
    };
    let run = |dropout_key| {
        let mut y = vec![0.0; rows * width];
        let (mut t, mut scratch) = (y.clone(), y.clone());
        let branch = Branch { dropout_key, ..branch };
        forward(&cpu(2), &branch, rows, &vec![3.0; rows * width], &mut t, &mut y, &mut scratch);
        y
    };
    let y = run(1);
    assert!(y.iter().all(|&y| y == 0.0 || y == 4.0));
    let dropped = y.iter().filter(|&&y| y == 0.0).count();
    assert!(dropped.abs_diff(10_000) <= 435, "{dropped} of 40000 dropped");
    assert_eq!(y, run(1), "the mask is a function of its key");
    assert_ne!(y, run(2), "another key, another mask");
}

#[test]
fn without_dx_the_other_gradients_are_the_same() {
    let case = Case::new(33, 31, 17, 4, 0.1);
    let full = case.run(&cpu(1));
    let (mut da, mut db) = (case.a.clone(), case.b.clone());
    let (mut u, mut scratch) = (vec![0.0; full.t.len()], vec![0.0; case.x.len()]);
    let gradients = Gradients { da: &mut da, db: &mut db, dx: None, u: &mut u };
    backward(&cpu(1), &case.branch(), case.rows, &case.x, &full.t, &case.dy, gradients, &mut scratch);
    assert_eq!((da, db), (full.da, full.db));
}

#[test]
#[should_panic(expected = "dropout 1 outside [0, 1)")]
fn full_dropout_is_refused() {
    Case::new(1, 1, 1, 1, 1.0).run(&cpu(1));
}
