//! The only source of randomness in the program: streams derived from (run seed, purpose, ids).
//!
//! Where in the flow: every module that draws anything calls [`stream`], [`key`] or [`uniform`]. Callers
//! never share a generator: each names its purpose and gets its own stream, so the order in which work is
//! done cannot change a result.
//!
//! **Invariant:** no clock, no thread id, no global state. Equal arguments give equal streams on every
//! machine (`ChaCha8` and BLAKE3 are defined bit by bit).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Returns the generator for `purpose` (a short constant such as `"evolve.operator"`) and `ids` (the node,
/// round or attempt that the draw is for) under the run's `seed`.
pub fn stream(seed: u64, purpose: &str, ids: &[u64]) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(*digest(seed, purpose, ids).as_bytes())
}

/// Returns the first 64 bits of the digest that seeds [`stream`], for use as the key of a generation or of
/// [`uniform`].
pub fn key(seed: u64, purpose: &str, ids: &[u64]) -> u64 {
    let digest = digest(seed, purpose, ids);
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Returns a uniform number in the open interval (0, 1) as a pure function of the generation's `key`, the
/// `position` in the sequence, and the `item` (a token or an element).
///
/// It is counter-based, so sampling and dropout carry no state. The mixer is `SplitMix64`'s finaliser
/// (Steele, Lea, Flood 2014), applied once per argument. The result is the midpoint of one of 2^53 bins,
/// so 0 and 1 never occur; their logarithms would be infinite.
#[inline]
pub fn uniform(key: u64, position: u64, item: u64) -> f64 {
    let bits = mix(mix(mix(key) ^ position.wrapping_mul(0x9E37_79B9_7F4A_7C15))
        ^ item.wrapping_mul(0xD1B5_4A32_D192_ED03));
    ((bits >> 11) as f64 + 0.5) * (1.0 / (1_u64 << 53) as f64)
}

#[inline]
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn digest(seed: u64, purpose: &str, ids: &[u64]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key("evol 2026 random stream");
    hasher.update(&seed.to_le_bytes());
    // Without the length, a longer purpose could produce the same bytes as a shorter one with more ids.
    hasher.update(&(purpose.len() as u64).to_le_bytes());
    hasher.update(purpose.as_bytes());
    for id in ids {
        hasher.update(&id.to_le_bytes());
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn streams_differ_by_every_argument_and_repeat() {
        let draw = |seed, purpose: &str, ids: &[u64]| stream(seed, purpose, ids).next_u64();
        let base = draw(1, "a", &[2, 3]);
        assert_eq!(base, draw(1, "a", &[2, 3]));
        for other in [draw(2, "a", &[2, 3]), draw(1, "b", &[2, 3]), draw(1, "a", &[3, 2]), draw(1, "a", &[2])]
        {
            assert_ne!(base, other);
        }
    }

    /// 4e5 draws: the mean of U(0,1) has standard deviation 0.29/sqrt(n) = 4.6e-4, so 5 sigma is 2.3e-3;
    /// each of ten bins holds n/10 with standard deviation 190, so 5 sigma is 950.
    #[test]
    fn uniform_is_open_and_even_over_items_and_positions() {
        let mut sum = 0.0;
        let mut bins = [0_u32; 10];
        for position in 0..400 {
            for item in 0..1000 {
                let u = uniform(7, position, item);
                assert!(u > 0.0 && u < 1.0);
                sum += u;
                bins[(u * 10.0) as usize] += 1;
            }
        }
        assert!((sum / 4e5 - 0.5).abs() <= 2.3e-3, "mean {}", sum / 4e5);
        assert!(bins.iter().all(|&b| b.abs_diff(40_000) <= 950), "{bins:?}");
    }
}
