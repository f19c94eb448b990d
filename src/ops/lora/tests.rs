//! Tests of [`lora`](super).

#![expect(clippy::float_cmp, reason = "powers of two and small integers are exact")]

use super::{Branch, Gradient, add_dropped_input, backward, down, down_input, scratch_len, total_rank, up};
use crate::device::CpuPool;
use crate::ops::check::{
    Guarded, assert_close, assert_gradient, assert_thread_independent, convert, cpu, dot, random,
};
use crate::ops::matmul::LowRank;
use crate::tensor::{MatrixMut, Real, gemm};

/// A projection: its factors and the gradient of its output.
#[derive(Clone)]
struct Projection<T> {
    outputs: usize,
    /// 0: no adapter.
    rank: usize,
    a: Vec<T>,
    b: Vec<T>,
    dy: Vec<T>,
}

/// (out, rank) of every projection.
type Shapes = &'static [(usize, usize)];

/// Projections that read the same x.
#[derive(Clone)]
struct Case<T> {
    rows: usize,
    inputs: usize,
    dropout: f32,
    x: Vec<T>,
    projections: Vec<Projection<T>>,
}

struct Outputs<T> {
    t: Vec<T>,
    /// Of every projection; zeros without an adapter.
    y: Vec<Vec<T>>,
    da: Vec<Vec<T>>,
    db: Vec<Vec<T>>,
    dx: Vec<T>,
}

impl Case<f32> {
    /// `shapes`: (out, rank) of every projection.
    fn new(rows: usize, inputs: usize, shapes: &[(usize, usize)], dropout: f32) -> Self {
        let projections = shapes.iter().zip(1..).map(|(&(outputs, rank), seed)| Projection {
            outputs,
            rank,
            a: random(rank * inputs, 10 * seed),
            b: random(outputs * rank, 10 * seed + 1),
            dy: random(rows * outputs, 10 * seed + 2),
        });
        Self { rows, inputs, dropout, x: random(rows * inputs, 1), projections: projections.collect() }
    }

    fn widened(&self) -> Case<f64> {
        let wide = |p: &Projection<f32>| Projection {
            outputs: p.outputs,
            rank: p.rank,
            a: convert(&p.a),
            b: convert(&p.b),
            dy: convert(&p.dy),
        };
        Case {
            rows: self.rows,
            inputs: self.inputs,
            dropout: self.dropout,
            x: convert(&self.x),
            projections: self.projections.iter().map(wide).collect(),
        }
    }
}

/// `onto += plus`.
fn add<T: Real>(plus: Option<LowRank<'_, T>>, onto: &mut [T], columns: usize) {
    if let Some(LowRank { alpha, left, right }) = plus {
        let rows = left.rows();
        gemm(alpha, left, right, T::ONE, MatrixMut::new(onto, rows, columns));
    }
}

impl<T: Real> Case<T> {
    fn branches(&self) -> Vec<Option<Branch<'_, T>>> {
        let mut branches = Vec::new();
        for (p, dropout_key) in self.projections.iter().zip(77..) {
            let branch = Branch {
                a: &p.a,
                b: &p.b,
                rank: p.rank,
                in_features: self.inputs,
                out_features: p.outputs,
                scaling: T::from_f64(1.5),
                dropout: self.dropout,
                dropout_key,
            };
            branches.push(Some(branch).filter(|branch| branch.rank > 0));
        }
        branches
    }

    /// Forward and backward; gradients start at A, B and x.
    fn run(&self, pool: &CpuPool) -> Outputs<T> {
        let branches = self.branches();
        let (rows, rank) = (self.rows, total_rank(&branches));
        let mut scratch = Guarded::poisoned(scratch_len(rows, self.inputs, rank, self.dropout));
        let mut t = Guarded::poisoned(rows * rank);
        down(pool, &branches, rows, &self.x, t.as_mut(), scratch.as_mut());
        let t = t.into_checked();
        let mut y: Vec<Vec<T>> = self.projections.iter().map(|p| vec![T::ZERO; rows * p.outputs]).collect();
        for (i, p) in self.projections.iter().enumerate() {
            add(up(&branches, i, rows, &t), &mut y[i], p.outputs);
        }
        let start = |of: fn(&Projection<T>) -> &[T]| -> Vec<Guarded<T>> {
            self.projections.iter().map(|p| Guarded::from_slice(of(p))).collect()
        };
        let (mut da, mut db) = (start(|p| &p.a), start(|p| &p.b));
        let mut gradients: Vec<_> = da
            .iter_mut()
            .zip(&mut db)
            .zip(&branches)
            .map(|((da, db), branch)| branch.map(|_| Gradient { da: da.as_mut(), db: db.as_mut() }))
            .collect();
        let dy: Vec<&[T]> = self.projections.iter().map(|p| &p.dy[..]).collect();
        let mut u = Guarded::poisoned(rows * rank);
        backward(pool, &branches, rows, &self.x, &t, &dy, &mut gradients, u.as_mut(), scratch.as_mut());
        let u = u.into_checked();
        let mut dx = Guarded::from_slice(&self.x);
        for i in 0..branches.len() {
            add(down_input(&branches, i, rows, &u), dx.as_mut(), self.inputs);
            add_dropped_input(pool, &branches, i, rows, &u, dx.as_mut(), scratch.as_mut());
        }
        let checked = |all: Vec<Guarded<T>>| all.into_iter().map(Guarded::into_checked).collect();
        Outputs { t, y, da: checked(da), db: checked(db), dx: dx.into_checked() }
    }
}

/// Empty, single, odd around vector and tile sizes, one branch and several, one without an adapter, ranks
/// that differ, and q, k and v of `SmolLM2` at rank 16.
fn cases() -> Vec<Case<f32>> {
    let shapes: [(usize, usize, Shapes); 7] = [
        (0, 32, &[(5, 4), (3, 2)]),
        (1, 1, &[(1, 1)]),
        (31, 33, &[(127, 8), (5, 0), (3, 5)]),
        (33, 31, &[(129, 3), (1, 1)]),
        (127, 128, &[(257, 16)]),
        (257, 129, &[(1, 65), (31, 0)]),
        (512, 576, &[(576, 16), (192, 16), (192, 16)]),
    ];
    let with = |dropout| shapes.map(|(rows, inputs, shapes)| Case::new(rows, inputs, shapes, dropout));
    [0.0, 0.1].into_iter().flat_map(with).collect()
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

#[test]
fn gradients_of_x_a_and_b() {
    let shapes: [(usize, usize, Shapes); 3] =
        [(1, 1, &[(1, 1)]), (5, 7, &[(9, 3), (4, 0), (2, 1)]), (3, 33, &[(4, 2), (6, 2)])];
    for (rows, inputs, shapes) in shapes {
        for dropout in [0.0, 0.3] {
            let case = Case::new(rows, inputs, shapes, dropout).widened();
            let pool = cpu(1);
            let loss = |case: &Case<f64>| -> f64 {
                let y = case.run(&pool).y;
                y.iter().zip(&case.projections).map(|(y, p)| dot(y, &p.dy)).sum()
            };
            let out = case.run(&pool);
            // What was there before is taken off again: gradients must have been added to it.
            assert_gradient("x", &case.x, &minus(&out.dx, &case.x), |x| {
                loss(&Case { x: x.to_vec(), ..case.clone() })
            });
            for (i, p) in case.projections.iter().enumerate() {
                let changed = |change: &dyn Fn(&mut Projection<f64>)| {
                    let mut case = case.clone();
                    change(&mut case.projections[i]);
                    loss(&case)
                };
                assert_gradient("A", &p.a, &minus(&out.da[i], &p.a), |a| changed(&|p| p.a = a.to_vec()));
                assert_gradient("B", &p.b, &minus(&out.db[i], &p.b), |b| changed(&|p| p.b = b.to_vec()));
            }
        }
    }
}

#[test]
fn f32_matches_f64() {
    for case in cases() {
        let what = format!("({}, {}, dropout {})", case.rows, case.inputs, case.dropout);
        let (narrow, wide) = (case.run(&cpu(2)), case.widened().run(&cpu(2)));
        assert_close(&format!("t {what}"), &narrow.t, &wide.t);
        assert_close(&format!("y {what}"), &narrow.y.concat(), &wide.y.concat());
        assert_close(&format!("dA {what}"), &narrow.da.concat(), &wide.da.concat());
        assert_close(&format!("dB {what}"), &narrow.db.concat(), &wide.db.concat());
        assert_close(&format!("dx {what}"), &narrow.dx, &wide.dx);
    }
}

#[test]
fn threads_do_not_change_bits() {
    for case in cases() {
        assert_thread_independent("lora", |pool| {
            let Outputs { t, y, da, db, dx } = case.run(pool);
            [t, y.concat(), da.concat(), db.concat(), dx].concat()
        });
    }
}

/// With A and B the identity the branch is `s · dropout(x)`. Of 40 000 elements p = 0.25 are dropped, with a
/// standard deviation of 87: 5 sigma are 435.
#[test]
fn dropout_drops_p_and_scales_the_rest() {
    let (rows, width) = (1250, 32);
    let identity: Vec<f64> = (0..width * width).map(|i| f64::from(i % (width + 1) == 0)).collect();
    let run = |keys: [u64; 2]| {
        let branches = keys.map(|dropout_key| {
            Some(Branch {
                a: &identity[..],
                b: &identity[..],
                rank: width,
                in_features: width,
                out_features: width,
                scaling: 1.0,
                dropout: 0.25,
                dropout_key,
            })
        });
        let mut t = vec![0.0; rows * 2 * width];
        let mut scratch = vec![0.0; rows * width];
        down(&cpu(2), &branches, rows, &vec![3.0; rows * width], &mut t, &mut scratch);
        [0, 1].map(|i| {
            let mut y = vec![0.0; rows * width];
            add(up(&branches, i, rows, &t), &mut y, width);
            y
        })
    };
    let [y, other] = run([1, 2]);
    assert!(y.iter().all(|&y| y == 0.0 || y == 4.0));
    let dropped = y.iter().filter(|&&y| y == 0.0).count();
    assert!(dropped.abs_diff(10_000) <= 435, "{dropped} of 40000 dropped");
    assert_ne!(y, other, "another key, another mask, also beside each other");
    assert_eq!(run([1, 2])[0], y, "the mask is a function of its key");
}

#[test]
#[should_panic(expected = "dropout 1 outside [0, 1)")]
fn full_dropout_is_refused() {
    Case::new(1, 1, &[(1, 1)], 1.0).run(&cpu(1));
}
