//! Groups of instructions by the vectors that a model gives them: how wide a set is.
//!
//! Where in the flow: a figure of `stats`. The paper shows the same by t-SNE and k-means with 20 clusters
//! (`WizardLM`, section 4); the groups are made of the vectors themselves here, and counted instead of drawn.
//!
//! **Invariant:** a function of the vectors and the seed.

use crate::rng;
use rand::RngExt;
use std::collections::BTreeMap;

/// The paper's number.
const CLUSTERS: usize = 20;
/// Steps of Lloyd's algorithm; it hardly moves after ten.
const STEPS: usize = 25;

/// The group of each instruction.
#[derive(Debug, Default)]
pub(super) struct Clusters(BTreeMap<u64, usize>);

impl Clusters {
    /// k-means with the seeding of Arthur and Vassilvitskii (2007). No groups for fewer vectors than there
    /// should be.
    pub(super) fn new(vectors: &BTreeMap<u64, Vec<f32>>, seed: u64) -> Self {
        if vectors.len() < CLUSTERS {
            return Self::default();
        }
        let points: Vec<&[f32]> = vectors.values().map(Vec::as_slice).collect();
        let mut centres = first_centres(&points, seed);
        let mut groups = vec![0; points.len()];
        for _ in 0..STEPS {
            let nearest: Vec<usize> = points.iter().map(|point| nearest(point, &centres).0).collect();
            if nearest == groups {
                break;
            }
            groups = nearest;
            for (group, centre) in centres.iter_mut().enumerate() {
                let members = points.iter().zip(&groups).filter(|(_, own)| **own == group);
                let mut sum = vec![0.0_f64; centre.len()];
                let mut count = 0_usize;
                for (point, _) in members {
                    count += 1;
                    sum.iter_mut().zip(*point).for_each(|(sum, x)| *sum += f64::from(*x));
                }
                // A centre without members stays where it is.
                if count > 0 {
                    *centre = sum.into_iter().map(|sum| (sum / count as f64) as f32).collect();
                }
            }
        }
        Self(vectors.keys().copied().zip(groups).collect())
    }

    /// Of the groups those that have one of `ids`, and the entropy over them as a share of that of even ones.
    pub(super) fn spread(&self, ids: &[u64]) -> Option<(usize, f64)> {
        let mut counts = [0_usize; CLUSTERS];
        ids.iter().filter_map(|id| self.0.get(id)).for_each(|&group| counts[group] += 1);
        let all: usize = counts.iter().sum();
        if all == 0 {
            return None;
        }
        let shares = counts.iter().filter(|count| **count > 0).map(|&count| count as f64 / all as f64);
        let entropy: f64 = shares.clone().map(|p| -p * p.ln()).sum();
        Some((shares.count(), entropy / (CLUSTERS as f64).ln()))
    }
}

fn first_centres(points: &[&[f32]], seed: u64) -> Vec<Vec<f32>> {
    let mut rng = rng::stream(seed, "dataset.clusters", &[]);
    let mut centres = vec![points[rng.random_range(0..points.len())].to_vec()];
    while centres.len() < CLUSTERS {
        let distances: Vec<f64> = points.iter().map(|point| nearest(point, &centres).1).collect();
        let mut left = rng.random::<f64>() * distances.iter().sum::<f64>();
        let drawn = distances.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        // Where all points are centres already, any will do.
        centres.push(points[drawn.unwrap_or(points.len() - 1)].to_vec());
    }
    centres
}

/// The nearest centre and the square of its distance.
fn nearest(point: &[f32], centres: &[Vec<f32>]) -> (usize, f64) {
    let distance = |centre: &Vec<f32>| -> f64 {
        point.iter().zip(centre).map(|(a, b)| f64::from(a - b) * f64::from(a - b)).sum()
    };
    let distances = centres.iter().map(distance).enumerate();
    distances.min_by(|a, b| a.1.total_cmp(&b.1)).expect("there are centres")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_lie_apart_are_found_and_their_spread_is_measured() {
        // 25 points around each of 20 corners.
        let mut vectors = BTreeMap::new();
        for id in 0..500_u64 {
            let mut point = vec![0.0_f32; 20];
            point[(id % 20) as usize] = 10.0 + (id / 20) as f32 * 0.01;
            vectors.insert(id, point);
        }
        let clusters = Clusters::new(&vectors, 7);
        let all: Vec<u64> = (0..500).collect();
        let (count, entropy) = clusters.spread(&all).unwrap();
        assert!(count >= 18 && entropy > 0.95, "{count}, {entropy}");
        let one: Vec<u64> = (0..500).filter(|id| id % 20 == 3).collect();
        assert_eq!(clusters.spread(&one), Some((1, 0.0)));
        assert_eq!(clusters.spread(&[9999]), None);
        assert_eq!(Clusters::new(&BTreeMap::from([(1, vec![1.0])]), 7).spread(&[1]), None);
        // Points that are all the same are one group.
        let same: BTreeMap<u64, Vec<f32>> = (0..40).map(|id| (id, vec![1.0, 2.0])).collect();
        assert_eq!(Clusters::new(&same, 7).spread(&all[..40]).unwrap().0, 1);
    }
}
