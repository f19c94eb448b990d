//! Principal component analysis: projects embeddings to two dimensions.
//!
//! Where in the flow: the map of instructions in a report. `WizardLM` draws t-SNE instead; a linear
//! projection has no parameters, never exaggerates a distance, and is the same on every machine.
//!
//! **Invariant:** the result is a pure function of the vectors. The sign of an axis is fixed by making its
//! component of largest magnitude positive.

use std::collections::BTreeMap;

/// Iterations of the power method per axis; an axis is then accurate enough for a picture.
const ITERATIONS: usize = 60;

/// Projects vectors to their first two principal components. Returns the id and the coordinates of each; the
/// result is empty for fewer than three vectors.
pub fn pca_2d(vectors: &BTreeMap<u64, Vec<f32>>) -> Vec<(u64, [f64; 2])> {
    let Some(len) = vectors.values().next().map(Vec::len).filter(|_| vectors.len() >= 3) else {
        return Vec::new();
    };
    let mut rows: Vec<Vec<f64>> =
        vectors.values().map(|vector| vector.iter().map(|&x| f64::from(x)).collect()).collect();
    let mut mean = vec![0.0; len];
    for row in &rows {
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x / rows.len() as f64);
    }
    for row in &mut rows {
        row.iter_mut().zip(&mean).for_each(|(x, mean)| *x -= mean);
    }
    let axes = [principal_axis(&mut rows, len), principal_axis(&mut rows, len)];
    vectors.keys().enumerate().map(|(at, &id)| (id, [axes[0][at], axes[1][at]])).collect()
}

/// Returns the coordinates of all rows along the axis of greatest variance, and removes that component from
/// the rows.
fn principal_axis(rows: &mut [Vec<f64>], len: usize) -> Vec<f64> {
    // Any initial vector works that is not orthogonal to the axis.
    let mut axis: Vec<f64> = (0..len).map(|at| 1.0 + (at % 7) as f64).collect();
    for _ in 0..ITERATIONS {
        let mut next = vec![0.0; len];
        for row in rows.iter() {
            let along = dot(row, &axis);
            next.iter_mut().zip(row).for_each(|(next, x)| *next += along * x);
        }
        let norm = dot(&next, &next).sqrt();
        if norm <= f64::MIN_POSITIVE {
            return vec![0.0; rows.len()];
        }
        axis = next.into_iter().map(|x| x / norm).collect();
    }
    let largest = axis.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(1.0);
    if largest < 0.0 {
        for x in &mut axis {
            *x = -*x;
        }
    }
    let coordinates: Vec<f64> = rows.iter().map(|row| dot(row, &axis)).collect();
    for (row, along) in rows.iter_mut().zip(&coordinates) {
        row.iter_mut().zip(&axis).for_each(|(x, axis)| *x -= along * axis);
    }
    coordinates
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points on a plane in five dimensions keep their distances in the projection.
    #[test]
    fn points_on_a_plane_keep_their_distances() {
        let (u, v) = ([0.6, 0.8, 0.0, 0.0, 0.0], [0.0, 0.0, 0.6, 0.0, -0.8]);
        let flat: Vec<[f64; 2]> = (0..30).map(|i| [f64::from(i * i % 17), f64::from(i * 3 % 7)]).collect();
        let lift =
            |p: &[f64; 2]| (0..5).map(|k| (3.0 + p[0] * u[k] + p[1] * v[k]) as f32).collect::<Vec<f32>>();
        let vectors: BTreeMap<u64, Vec<f32>> =
            flat.iter().enumerate().map(|(id, p)| (id as u64, lift(p))).collect();
        let found = pca_2d(&vectors);
        let distance = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        for i in 0..30 {
            for j in 0..i {
                let (expected, is) = (distance(flat[i], flat[j]), distance(found[i].1, found[j].1));
                // The vectors are in single precision, with components up to about 20.
                assert!((expected - is).abs() <= 1e-4, "{i} {j} {expected} {is}");
            }
        }
    }

    #[test]
    fn too_few_or_equal_vectors_have_no_directions() {
        let equal = |count: u64| pca_2d(&(0..count).map(|id| (id, vec![1.0_f32, 2.0])).collect());
        assert_eq!(equal(2), Vec::new());
        assert_eq!(equal(4).iter().map(|(_, point)| *point).collect::<Vec<_>>(), [[0.0, 0.0]; 4]);
    }
}
