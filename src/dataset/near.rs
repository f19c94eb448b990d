//! Near duplicates: texts whose sets of character 5-grams have a Jaccard similarity of at least 0.8.
//!
//! Where in the flow: [`super::near_repeats`] asks about every record before it is exported, across all
//! lineages.
//!
//! Characters instead of words, because instructions are short (ten words have six word 5-grams, and one
//! changed word spoils five of them) and because not every script has spaces.
//!
//! `MinHash` (Broder 1997) with banding finds candidates, the exact similarity of the stored sets decides, so
//! that a reported pair is never a false one; a true one of similarity 0.8 is missed once in 10⁷ (128 hashes
//! in 32 bands of 4). Our own code rather than a crate: what is found decides rows of an export, which must
//! not change with the version of a dependency.
//!
//! **Invariant:** the answer depends on the texts that were added, and not on their order, but for which of
//! several near duplicates is named: the first that was added.

use std::collections::HashMap;

/// Characters of a shingle.
const SHINGLE: usize = 5;
const BANDS: usize = 32;
const ROWS: usize = 4;

/// Similarity from which two texts are near duplicates.
pub const NEAR: f64 = 0.8;

/// Texts with an owner each: the lineage that they belong to.
#[derive(Debug, Default)]
pub struct NearIndex {
    /// Sorted hashes of shingles, and the owner.
    texts: Vec<(Vec<u32>, u64)>,
    /// By band and its hash: places in `texts`.
    bands: HashMap<(u8, u64), Vec<u32>>,
}

impl NearIndex {
    /// Adds a text, which should be normalised.
    ///
    /// # Panics
    /// If there are 2³² texts already.
    pub fn add(&mut self, text: &str, owner: u64) {
        let shingles = shingles(text);
        let place = u32::try_from(self.texts.len()).expect("fewer than 2^32 texts");
        for key in band_keys(&shingles) {
            self.bands.entry(key).or_default().push(place);
        }
        self.texts.push((shingles, owner));
    }

    /// The owner of the first text that is nearly `text` and not `owner`'s, and how similar it is.
    pub fn find(&self, text: &str, owner: u64) -> Option<(u64, f64)> {
        let shingles = shingles(text);
        let mut candidates: Vec<u32> =
            band_keys(&shingles).filter_map(|key| self.bands.get(&key)).flatten().copied().collect();
        candidates.sort_unstable();
        candidates.dedup();
        candidates.into_iter().map(|place| &self.texts[place as usize]).find_map(|(other, of)| {
            if *of == owner {
                return None;
            }
            let similarity = jaccard(&shingles, other);
            (similarity >= NEAR).then_some((*of, similarity))
        })
    }
}

/// Hashes of the shingles of a text, sorted, each once. A text that is shorter than one is its own shingle.
fn shingles(text: &str) -> Vec<u32> {
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut hashes: Vec<u32> = if starts.len() <= SHINGLE {
        vec![hash(text.as_bytes())]
    } else {
        starts.windows(SHINGLE + 1).map(|w| hash(&text.as_bytes()[w[0]..w[SHINGLE]])).collect()
    };
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// FNV-1a, mixed; 32 bits, so that two of a million different shingles of one text meet.
fn hash(bytes: &[u8]) -> u32 {
    let fnv = bytes.iter().fold(0xCBF2_9CE4_8422_2325_u64, |state, &byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (mix(fnv) >> 32) as u32
}

/// The finaliser of `SplitMix64` (Steele et al. 2014).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The keys under which a text lies.
fn band_keys(shingles: &[u32]) -> impl Iterator<Item = (u8, u64)> {
    let mut least = [u32::MAX; BANDS * ROWS];
    for &shingle in shingles {
        for (at, least) in least.iter_mut().enumerate() {
            *least = (*least).min((mix((at as u64 + 1) << 32 | u64::from(shingle)) >> 32) as u32);
        }
    }
    (0..BANDS).map(move |band| {
        let rows = &least[band * ROWS..][..ROWS];
        (band as u8, rows.iter().fold(band as u64, |state, &row| mix(state ^ u64::from(row))))
    })
}

/// Similarity of two sorted lists.
fn jaccard(a: &[u32], b: &[u32]) -> f64 {
    let (mut i, mut j, mut common) = (0, 0, 0_usize);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => (i, j, common) = (i + 1, j + 1, common + 1),
        }
    }
    common as f64 / (a.len() + b.len() - common) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;
    use rand::RngExt;
    use std::collections::BTreeSet;

    fn sentence(words: &[u32]) -> String {
        words.iter().map(|word| format!("w{:x}", word * 7919)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_found_is_what_comparing_all_pairs_finds() {
        let mut rng = rng::stream(3, "near.test", &[]);
        let mut texts: Vec<Vec<u32>> = Vec::new();
        for at in 0..600 {
            let fresh: Vec<u32> = (0..rng.random_range(3..30)).map(|_| rng.random_range(0..5000)).collect();
            let text = if at % 3 == 2 {
                // An earlier one with one word changed.
                let mut copy = texts[rng.random_range(0..texts.len())].clone();
                let place = rng.random_range(0..copy.len());
                copy[place] = rng.random_range(0..5000);
                copy
            } else {
                fresh
            };
            texts.push(text);
        }
        let mut index = NearIndex::default();
        let (mut near, mut of) = (0, 0);
        for (at, text) in texts.iter().enumerate() {
            let text = sentence(text);
            let sets: Vec<Vec<u32>> = texts[..at].iter().map(|other| shingles(&sentence(other))).collect();
            let expected = sets.iter().any(|other| jaccard(&shingles(&text), other) >= NEAR);
            assert_eq!(index.find(&text, u64::MAX).is_some(), expected, "{text}");
            near += usize::from(expected);
            of += 1;
            index.add(&text, at as u64);
        }
        assert!(near > 50 && near < of / 2, "{near} of {of}");
    }

    #[test]
    fn a_lineage_does_not_repeat_itself() {
        let mut index = NearIndex::default();
        index.add("name three rivers of the north of asia", 1);
        assert_eq!(index.find("name three rivers of the north of asia", 1), None);
        let (owner, similarity) = index.find("name three rivers of the north of asia.", 2).unwrap();
        assert!(owner == 1 && similarity > 0.9);
        assert_eq!(index.find("name four lakes of the south of africa", 2), None);
    }

    #[test]
    fn short_texts_and_other_scripts_are_compared_too() {
        let mut index = NearIndex::default();
        for (owner, text) in ["", "a", "数学", "数学を教えてください今日"].into_iter().enumerate()
        {
            assert_eq!(index.find(text, 99), None, "{text}");
            index.add(text, owner as u64);
            assert!(index.find(text, 99).is_some(), "{text}");
        }
    }

    #[test]
    fn similarity_is_that_of_sets() {
        let set = |text: &str| -> BTreeSet<u32> { shingles(text).into_iter().collect() };
        let (a, b) = ("name a river in asia", "name a river in africa");
        let expected = set(a).intersection(&set(b)).count() as f64 / set(a).union(&set(b)).count() as f64;
        assert!((jaccard(&shingles(a), &shingles(b)) - expected).abs() <= 1e-12);
    }
}
