//! k-means clusters of instruction embeddings, a measure of how diverse a data set is.
//!
//! Where in the flow: used by `stats`. `WizardLM` (section 4) shows diversity by t-SNE and k-means with 20
//! clusters. Here the embeddings themselves are clustered, and the clusters are counted instead of drawn.
//!
//! **Invariant:** the result is a pure function of the embeddings and the seed.

use crate::rng;
use rand::RngExt;
use std::collections::BTreeMap;

/// The number of clusters in `WizardLM`.
const CLUSTERS: usize = 20;
/// Maximum number of iterations of Lloyd's algorithm; little changes after ten.
const ITERATIONS: usize = 25;

/// The cluster of each instruction, by id.
#[derive(Debug, Default)]
pub(super) struct Clusters(BTreeMap<u64, usize>);

/// How a set of instructions is spread over the clusters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    /// Number of clusters that contain an instruction of the set.
    pub(super) clusters: usize,
    /// Entropy of the set over the clusters, as a share of the maximum; 1 if all are equally full.
    pub(super) entropy: f64,
}

impl Clusters {
    /// Clusters `vectors` by k-means++ (Arthur and Vassilvitskii 2007). With fewer vectors than clusters the
    /// result is empty.
    pub(super) fn new(vectors: &BTreeMap<u64, Vec<f32>>, seed: u64) -> Self {
        if vectors.len() < CLUSTERS {
            return Self::default();
        }
        let points: Vec<&[f32]> = vectors.values().map(Vec::as_slice).collect();
        let mut centres = initial_centres(&points, seed);
        let mut clusters = vec![0; points.len()];
        for _ in 0..ITERATIONS {
            let nearest: Vec<usize> = points.iter().map(|point| nearest(point, &centres).0).collect();
            if nearest == clusters {
                break;
            }
            clusters = nearest;
            for (cluster, centre) in centres.iter_mut().enumerate() {
                let members = points.iter().zip(&clusters).filter(|(_, own)| **own == cluster);
                let mut sum = vec![0.0_f64; centre.len()];
                let mut count = 0_usize;
                for (point, _) in members {
                    count += 1;
                    sum.iter_mut().zip(*point).for_each(|(sum, x)| *sum += f64::from(*x));
                }
                // A cluster without members keeps its centre.
                if count > 0 {
                    *centre = sum.into_iter().map(|sum| (sum / count as f64) as f32).collect();
                }
            }
        }
        Self(vectors.keys().copied().zip(clusters).collect())
    }

    /// How the instructions `ids` are spread over the clusters; `None` if none of them is in a cluster.
    pub(super) fn spread(&self, ids: &[u64]) -> Option<Spread> {
        let mut counts = [0_usize; CLUSTERS];
        ids.iter().filter_map(|id| self.0.get(id)).for_each(|&cluster| counts[cluster] += 1);
        let all: usize = counts.iter().sum();
        if all == 0 {
            return None;
        }
        let shares = counts.iter().filter(|count| **count > 0).map(|&count| count as f64 / all as f64);
        let entropy: f64 = shares.clone().map(|p| -p * p.ln()).sum();
        Some(Spread { clusters: shares.count(), entropy: entropy / (CLUSTERS as f64).ln() })
    }
}

/// Draws the initial centres: each with a probability proportional to its squared distance from the nearest
/// centre drawn so far (k-means++).
fn initial_centres(points: &[&[f32]], seed: u64) -> Vec<Vec<f32>> {
    let mut rng = rng::stream(seed, "dataset.clusters", &[]);
    let mut centres = vec![points[rng.random_range(0..points.len())].to_vec()];
    while centres.len() < CLUSTERS {
        let distances: Vec<f64> = points.iter().map(|point| nearest(point, &centres).1).collect();
        let mut left = rng.random::<f64>() * distances.iter().sum::<f64>();
        let drawn = distances.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        // If every point coincides with a centre, all distances are 0 and any point will do.
        centres.push(points[drawn.unwrap_or(points.len() - 1)].to_vec());
    }
    centres
}

/// The index of the nearest centre, and the square of its distance.
fn nearest(point: &[f32], centres: &[Vec<f32>]) -> (usize, f64) {
    let distance = |centre: &Vec<f32>| -> f64 {
        point.iter().zip(centre).map(|(a, b)| f64::from(a - b) * f64::from(a - b)).sum()
    };
    let distances = centres.iter().map(distance).enumerate();
    distances.min_by(|a, b| a.1.total_cmp(&b.1)).expect("at least one centre")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separated_clusters_are_found_and_their_spread_is_measured() {
        // 25 points around each of 20 corners.
        let mut vectors = BTreeMap::new();
        for id in 0..500_u64 {
            let mut point = vec![0.0_f32; 20];
            point[(id % 20) as usize] = 10.0 + (id / 20) as f32 * 0.01;
            vectors.insert(id, point);
        }
        let clusters = Clusters::new(&vectors, 7);
        let all: Vec<u64> = (0..500).collect();
        let spread = clusters.spread(&all).unwrap();
        assert!(spread.clusters >= 18 && spread.entropy > 0.95, "{spread:?}");
        let one: Vec<u64> = (0..500).filter(|id| id % 20 == 3).collect();
        assert_eq!(clusters.spread(&one), Some(Spread { clusters: 1, entropy: 0.0 }));
        assert_eq!(clusters.spread(&[9999]), None);
        assert_eq!(Clusters::new(&BTreeMap::from([(1, vec![1.0])]), 7).spread(&[1]), None);
        // Identical points form one cluster.
        let same: BTreeMap<u64, Vec<f32>> = (0..40).map(|id| (id, vec![1.0, 2.0])).collect();
        assert_eq!(Clusters::new(&same, 7).spread(&all[..40]).unwrap().clusters, 1);
    }
}
