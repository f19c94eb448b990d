//! Plans which common prefixes of a list of prompts are computed once, and in which order the prompts run.
//!
//! Where in the flow: `generate.rs` and `score.rs` plan a list with [`plan`]; `prefill.rs` follows the cuts
//! and stores caches of prefixes in [`Prefixes`], for later calls and other workers.
//!
//! Prompts in lexicographic order are the leaves of their prefix tree in depth-first order, so the common
//! prefix of a range is that of its first and last prompt. A range is cut there if the prefix is long enough
//! to pay for the copy; then its children are planned in the same way.
//!
//! **Invariant:** a plan is a function of the set of prompts, not of their order. At least two rows of every
//! prompt come after its last cut, because single rows use other kernels.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::llama::Saved;

/// Tokens that a cut must save, over all its prompts, to be worth its copies. Copying the cache of a sequence
/// costs a few milliseconds, about as much as computing one token.
const MIN_SAVED: usize = 32;

/// Most cuts of a prompt; each needs a sequence to hold it while its range runs.
pub(super) const MAX_CUTS: usize = 3;

/// Limit on the depth of the tree: prompts that are prefixes of each other could make it as deep as a
/// context.
const MAX_DEPTH: usize = 64;

/// Bytes of cache kept for prefixes between calls.
const KEPT_BYTES: usize = 256 << 20;

/// A tokenised prompt.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) all: Vec<u32>,
    /// Leading tokens that the caller declares to be shared by many prompts, in this call or later ones.
    pub(super) shared: usize,
}

impl Tokens {
    /// The longest prefix that may be taken from a cache.
    pub(super) fn reusable(&self) -> usize {
        self.all.len().saturating_sub(2)
    }
}

/// The order and the cuts of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Indices of prompts in the order to run; those of a group share their last cut.
    pub(super) groups: Vec<Vec<usize>>,
    /// By index of a prompt: lengths of the prefixes to hold, ascending.
    pub(super) cuts: HashMap<usize, Vec<usize>>,
    /// Length of the prefix that all prompts share and hold; 0 if there is none.
    pub(super) common: usize,
}

impl Plan {
    /// A plan without cuts: one group, in the given order.
    pub(super) fn unshared(indices: impl Iterator<Item = usize>) -> Self {
        let group: Vec<usize> = indices.collect();
        let cuts = group.iter().map(|&index| (index, Vec::new())).collect();
        Self { groups: vec![group], cuts, common: 0 }
    }

    /// The tokens of the prefix that all prompts hold; `prompts` are those that the plan was made for.
    pub(super) fn common<'p>(&self, prompts: &'p [Tokens]) -> &'p [u32] {
        self.cuts.keys().next().map_or(&[], |&index| &prompts[index].all[..self.common])
    }

    /// Number of prompts.
    pub(super) fn len(&self) -> usize {
        self.cuts.len()
    }
}

/// Plans the prompts `indices` of `prompts`; without `share` nothing is cut.
pub(super) fn plan(prompts: &[Tokens], indices: impl Iterator<Item = usize>, share: bool) -> Plan {
    if !share {
        return Plan::unshared(indices);
    }
    let mut order: Vec<usize> = indices.collect();
    order.sort_by(|&a, &b| prompts[a].all.cmp(&prompts[b].all).then(a.cmp(&b)));
    let mut plan = Plan::default();
    cut(prompts, &order, &mut Vec::new(), &mut plan, MAX_DEPTH);
    // A cut at the root is the first cut of every prompt.
    let first = |index: &usize| plan.cuts[index].first().copied().unwrap_or(0);
    if let [one, .., other] = order[..] {
        let (length, same) = (first(&one), common_prefix(&prompts[one].all, &prompts[other].all));
        if length <= same && order.iter().all(|index| first(index) == length) {
            plan.common = length;
        }
    }
    plan
}

/// The order in which a list of tokenised prompts runs, as indices: for measuring the planner.
pub fn work_order(prompts: Vec<Vec<u32>>) -> Vec<usize> {
    let prompts: Vec<Tokens> = prompts.into_iter().map(|all| Tokens { all, shared: 0 }).collect();
    plan(&prompts, 0..prompts.len(), true).groups.concat()
}

/// Plans a range of prompts that share the prefixes `held` (lengths).
fn cut(prompts: &[Tokens], range: &[usize], held: &mut Vec<usize>, plan: &mut Plan, depth: usize) {
    let [first, .., last] = range else {
        plan.groups.extend(range.first().map(|&only| vec![only]));
        for &only in range {
            plan.cuts.insert(only, with_declared(&prompts[only], held));
        }
        return;
    };
    let common = common_prefix(&prompts[*first].all, &prompts[*last].all);
    let shortest = range.iter().map(|&index| prompts[index].reusable()).min().unwrap_or(0);
    let length = common.min(shortest);
    let saved = length.saturating_sub(held.last().copied().unwrap_or(0)) * (range.len() - 1);
    let pays = saved >= MIN_SAVED && held.len() < MAX_CUTS;
    if pays {
        held.push(length);
    }
    let children: Vec<&[usize]> =
        range.chunk_by(|&a, &b| prompts[a].all.get(common) == prompts[b].all.get(common)).collect();
    // Prompts that share nothing more form one group.
    let mut together = Vec::new();
    for child in children {
        let same = child.len() > 1 && prompts[child[0]].all.len() == common;
        if child.len() > 1 && !same && held.len() < MAX_CUTS && depth > 0 {
            cut(prompts, child, held, plan, depth - 1);
        } else {
            for &index in child {
                plan.cuts.insert(index, with_declared(&prompts[index], held));
                together.push(index);
            }
        }
    }
    if !together.is_empty() {
        plan.groups.push(together);
    }
    if pays {
        held.pop();
    }
}

/// The cuts of a prompt: those that pay within the list, and the one that the caller declared.
fn with_declared(tokens: &Tokens, held: &[usize]) -> Vec<usize> {
    let mut cuts = held.to_vec();
    let declared = tokens.shared.min(tokens.reusable());
    if declared >= MIN_SAVED && cuts.len() < MAX_CUTS && cuts.last().is_none_or(|&last| last < declared) {
        cuts.push(declared);
    }
    cuts
}

/// How many leading tokens are the same.
pub(super) fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Stored caches of prefixes; the least recently used are dropped above [`KEPT_BYTES`].
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    store: Mutex<Store>,
}

#[derive(Debug, Default)]
struct Store {
    entries: HashMap<Key, Entry>,
    bytes: usize,
    /// Counts uses, for the order of dropping.
    uses: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    /// Sequences of the context that saved it: llama.cpp restores it only to a context with as many.
    sequences: usize,
    tokens: Vec<u32>,
}

#[derive(Debug)]
struct Entry {
    saved: Arc<Saved>,
    last_use: u64,
}

impl Prefixes {
    /// The cache after exactly these tokens, for a context of `sequences` sequences.
    pub(super) fn get(&self, sequences: usize, tokens: &[u32]) -> Option<Arc<Saved>> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.uses += 1;
        let now = store.uses;
        let entry = store.entries.get_mut(&Key { sequences, tokens: tokens.to_vec() })?;
        entry.last_use = now;
        Some(Arc::clone(&entry.saved))
    }

    /// Stores the cache after `tokens`, from a context of `sequences` sequences.
    pub(super) fn put(&self, sequences: usize, tokens: &[u32], saved: Saved) {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Key { sequences, tokens: tokens.to_vec() };
        if saved.bytes() > KEPT_BYTES || store.entries.contains_key(&key) {
            return;
        }
        while store.bytes + saved.bytes() > KEPT_BYTES {
            let oldest = store.entries.iter().min_by_key(|(_, entry)| entry.last_use);
            let oldest = oldest.map(|(key, _)| key.clone());
            let Some(dropped) = oldest.and_then(|key| store.entries.remove(&key)) else { return };
            store.bytes -= dropped.saved.bytes();
        }
        store.uses += 1;
        store.bytes += saved.bytes();
        let last_use = store.uses;
        store.entries.insert(key, Entry { saved: Arc::new(saved), last_use });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(all: Vec<u32>) -> Tokens {
        Tokens { all, shared: 0 }
    }

    /// `count` prompts behind `prefix`, each with `own` different tokens.
    fn behind(prefix: &[u32], count: u32, own: u32) -> Vec<Tokens> {
        let rest = |i: u32| (0..own).map(move |j| 1000 + i * own + j);
        (0..count).map(|i| tokens(prefix.iter().copied().chain(rest(i)).collect())).collect()
    }

    #[test]
    fn what_many_share_is_cut_once_and_nested_cuts_follow() {
        let outer: Vec<u32> = (0..50).collect();
        let inner: Vec<u32> = (0..90).collect();
        let mut prompts = behind(&outer, 3, 5);
        prompts.extend(behind(&inner, 3, 7));
        prompts.push(tokens(vec![7, 8, 9]));
        assert_eq!(plan(&prompts, 0..6, true).common, 50);
        let plan = plan(&prompts, 0..prompts.len(), true);
        assert_eq!(plan.common, 0, "the last one shares nothing");
        for index in 0..3 {
            assert_eq!(plan.cuts[&index], [50], "{plan:?}");
            assert_eq!(plan.cuts[&(index + 3)], [50, 90], "{plan:?}");
        }
        assert_eq!(plan.cuts[&6], Vec::<usize>::new());
        let mut groups = plan.groups.clone();
        groups.sort();
        assert_eq!(groups, [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    }

    #[test]
    fn equal_prompts_keep_two_rows_and_short_prefixes_are_not_worth_it() {
        let equal: Vec<Tokens> = (0..4).map(|_| tokens((0..40).collect())).collect();
        let plan_of_equal = plan(&equal, 0..4, true);
        assert_eq!(plan_of_equal.groups, [vec![0, 1, 2, 3]]);
        assert!(plan_of_equal.cuts.values().all(|cuts| *cuts == [38]), "{plan_of_equal:?}");
        let short = behind(&[1, 2, 3], 4, 6);
        assert!(plan(&short, 0..4, true).cuts.values().all(Vec::is_empty));
    }

    #[test]
    fn a_declared_prefix_is_a_cut_even_for_one_prompt() {
        let prompt = Tokens { all: (0..60).collect(), shared: 45 };
        assert_eq!(plan(&[prompt], 0..1, true).cuts[&0], [45]);
        let all = Tokens { all: (0..60).collect(), shared: 60 };
        assert_eq!(plan(&[all], 0..1, true).cuts[&0], [58]);
    }

    proptest! {
        /// Every prompt is planned once, cuts ascend, are shared by whole groups and leave two rows.
        #[test]
        fn plans_are_sound(lists in prop::collection::vec(prop::collection::vec(0_u32..3, 1..80), 0..30)) {
            let prompts: Vec<Tokens> = lists.into_iter().map(tokens).collect();
            let plan = plan(&prompts, 0..prompts.len(), true);
            let mut planned: Vec<usize> = plan.groups.concat();
            planned.sort_unstable();
            for prompt in &prompts {
                prop_assert_eq!(&prompt.all[..plan.common], &prompts[0].all[..plan.common]);
            }
            prop_assert_eq!(planned, (0..prompts.len()).collect::<Vec<_>>());
            for group in &plan.groups {
                let cuts = &plan.cuts[&group[0]];
                prop_assert!(cuts.is_sorted_by(|a, b| a < b) && cuts.len() <= MAX_CUTS);
                for index in group {
                    prop_assert_eq!(&plan.cuts[index], cuts);
                    let last = cuts.last().copied().unwrap_or(0);
                    prop_assert!(last <= prompts[*index].reusable());
                    prop_assert_eq!(&prompts[*index].all[..last], &prompts[group[0]].all[..last]);
                }
            }
        }
    }
}
