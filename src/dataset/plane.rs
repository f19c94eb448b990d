//! Vectors as points of a plane: the first two principal components.
//!
//! Where in the flow: the map of a report. The paper draws t-SNE; a linear projection has no parameters,
//! keeps distances that it shows from being invented, and is the same on every machine.
//!
//! **Invariant:** a function of the vectors; signs are chosen so that the largest coordinate of an axis is
//! positive.

use std::collections::BTreeMap;

/// Steps of the power method for each axis: after them an axis is stable to what a picture shows.
const STEPS: usize = 60;

/// The points, by the ids of the vectors; none if there are fewer than three vectors.
pub fn plane(vectors: &BTreeMap<u64, Vec<f32>>) -> Vec<(u64, [f64; 2])> {
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

/// Coordinates of all rows on the axis of their greatest variance, which is taken out of the rows.
fn principal_axis(rows: &mut [Vec<f64>], len: usize) -> Vec<f64> {
    // Any start that is not orthogonal to the axis does.
    let mut axis: Vec<f64> = (0..len).map(|at| 1.0 + (at % 7) as f64).collect();
    for _ in 0..STEPS {
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

    /// A plane in five dimensions, stretched: what comes back has its distances.
    #[test]
    fn points_of_a_plane_keep_their_distances() {
        let (u, v) = ([0.6, 0.8, 0.0, 0.0, 0.0], [0.0, 0.0, 0.6, 0.0, -0.8]);
        let flat: Vec<[f64; 2]> = (0..30).map(|i| [f64::from(i * i % 17), f64::from(i * 3 % 7)]).collect();
        let lift =
            |p: &[f64; 2]| (0..5).map(|k| (3.0 + p[0] * u[k] + p[1] * v[k]) as f32).collect::<Vec<f32>>();
        let vectors: BTreeMap<u64, Vec<f32>> =
            flat.iter().enumerate().map(|(id, p)| (id as u64, lift(p))).collect();
        let found = plane(&vectors);
        let distance = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        for i in 0..30 {
            for j in 0..i {
                let (expected, is) = (distance(flat[i], flat[j]), distance(found[i].1, found[j].1));
                // The vectors are in single precision, about 20 large.
                assert!((expected - is).abs() <= 1e-4, "{i} {j} {expected} {is}");
            }
        }
    }

    #[test]
    fn too_few_or_equal_vectors_have_no_directions() {
        let of = |count: u64| plane(&(0..count).map(|id| (id, vec![1.0_f32, 2.0])).collect());
        assert_eq!(of(2), Vec::new());
        assert_eq!(of(4).iter().map(|(_, point)| *point).collect::<Vec<_>>(), [[0.0, 0.0]; 4]);
    }
}
