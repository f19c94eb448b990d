//! A `MinHash` index of near duplicates: texts whose sets of character 5-grams have a Jaccard similarity of
//! at least 0.8.
//!
//! Where in the flow: [`super::near_duplicates()`] looks up every record in it before an export, across all
//! lineages.
//!
//! The n-grams are of characters, not of words, because instructions are short (ten words have six word
//! 5-grams, and one changed word changes five of them) and because not every script has spaces.
//!
//! `MinHash` (Broder 1997) with banding finds candidates, and the exact similarity of the stored sets
//! decides. A reported pair is therefore always a true one, and a pair of similarity 0.8 is missed once in
//! 10⁷ (128 hashes in 32 bands of 4). This is our own code because it decides the rows of an export, which
//! must not change with the version of a dependency.
//!
//! **Invariant:** whether a near duplicate is found depends on the set of added texts, not on their order. Of
//! several near duplicates, the one that was added first is reported.

use std::collections::HashMap;

/// Characters per shingle (n-gram).
const SHINGLE: usize = 5;
const BANDS: usize = 32;
/// Hashes per band.
const ROWS: usize = 4;

/// The Jaccard similarity from which two texts are near duplicates.
pub const NEAR_DUPLICATE_SIMILARITY: f64 = 0.8;

/// An index of texts, each with an owner: the lineage that it belongs to.
#[derive(Debug, Default)]
pub struct MinHashIndex {
    /// The sorted shingle hashes of each text, and its owner.
    texts: Vec<(Vec<u32>, u64)>,
    /// Positions in `texts`, by band number and hash of the band.
    bands: HashMap<(u8, u64), Vec<u32>>,
}

impl MinHashIndex {
    /// Adds a text, which should be normalised.
    ///
    /// # Panics
    /// If the index holds 2³² texts already.
    pub fn add(&mut self, text: &str, owner: u64) {
        let shingles = shingles(text);
        let position = u32::try_from(self.texts.len()).expect("fewer than 2^32 texts");
        for key in band_keys(&shingles) {
            self.bands.entry(key).or_default().push(position);
        }
        self.texts.push((shingles, owner));
    }

    /// Finds the first near duplicate of `text` that belongs to another owner than `owner`. Returns its owner
    /// and its similarity.
    pub fn find(&self, text: &str, owner: u64) -> Option<(u64, f64)> {
        let shingles = shingles(text);
        let mut candidates: Vec<u32> =
            band_keys(&shingles).filter_map(|key| self.bands.get(&key)).flatten().copied().collect();
        candidates.sort_unstable();
        candidates.dedup();
        let texts = candidates.into_iter().map(|position| &self.texts[position as usize]);
        texts.filter(|(_, other_owner)| *other_owner != owner).find_map(|(other, other_owner)| {
            let similarity = jaccard(&shingles, other);
            (similarity >= NEAR_DUPLICATE_SIMILARITY).then_some((*other_owner, similarity))
        })
    }
}

/// The hashes of a text's shingles, sorted and without duplicates. A text shorter than a shingle has one:
/// itself.
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

/// Hashes a shingle by FNV-1a with a final mix. 32 bits are enough: even a text with 100,000 shingles has
/// about one collision.
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

/// The keys under which a text is stored in the bands.
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

/// The Jaccard similarity of two sorted lists without duplicates.
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
    fn the_index_finds_what_comparing_all_pairs_finds() {
        let mut rng = rng::stream(3, "near.test", &[]);
        let mut texts: Vec<Vec<u32>> = Vec::new();
        for at in 0..600 {
            let fresh: Vec<u32> = (0..rng.random_range(3..30)).map(|_| rng.random_range(0..5000)).collect();
            let text = if at % 3 == 2 {
                // An earlier text with one word changed.
                let mut copy = texts[rng.random_range(0..texts.len())].clone();
                let place = rng.random_range(0..copy.len());
                copy[place] = rng.random_range(0..5000);
                copy
            } else {
                fresh
            };
            texts.push(text);
        }
        let mut index = MinHashIndex::default();
        let (mut near, mut total) = (0, 0);
        for (at, text) in texts.iter().enumerate() {
            let text = sentence(text);
            let sets: Vec<Vec<u32>> = texts[..at].iter().map(|other| shingles(&sentence(other))).collect();
            let expected =
                sets.iter().any(|other| jaccard(&shingles(&text), other) >= NEAR_DUPLICATE_SIMILARITY);
            assert_eq!(index.find(&text, u64::MAX).is_some(), expected, "{text}");
            near += usize::from(expected);
            total += 1;
            index.add(&text, at as u64);
        }
        assert!(near > 50 && near < total / 2, "{near} of {total}");
    }

    #[test]
    fn a_lineage_does_not_repeat_itself() {
        let mut index = MinHashIndex::default();
        index.add("name three rivers of the north of asia", 1);
        assert_eq!(index.find("name three rivers of the north of asia", 1), None);
        let (owner, similarity) = index.find("name three rivers of the north of asia.", 2).unwrap();
        assert!(owner == 1 && similarity > 0.9);
        assert_eq!(index.find("name four lakes of the south of africa", 2), None);
    }

    #[test]
    fn short_texts_and_other_scripts_are_compared_too() {
        let mut index = MinHashIndex::default();
        for (owner, text) in ["", "a", "数学", "数学を教えてください今日"].into_iter().enumerate()
        {
            assert_eq!(index.find(text, 99), None, "{text}");
            index.add(text, owner as u64);
            assert!(index.find(text, 99).is_some(), "{text}");
        }
    }

    #[test]
    fn jaccard_agrees_with_set_operations() {
        let set = |text: &str| -> BTreeSet<u32> { shingles(text).into_iter().collect() };
        let (a, b) = ("name a river in asia", "name a river in africa");
        let expected = set(a).intersection(&set(b)).count() as f64 / set(a).union(&set(b)).count() as f64;
        assert!((jaccard(&shingles(a), &shingles(b)) - expected).abs() <= 1e-12);
    }
}
