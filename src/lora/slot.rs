//! The tensors of an adapter file, and the check that they fit a base.
//!
//! Where in the flow: both readers pass the names and shapes in their file to [`check_layout`] and copy the
//! numbers only after it succeeds.
//!
//! **Invariant:** [`check_layout`] succeeds only if the file has every tensor of the layout it returns, with
//! the right shape, and no other tensor.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::{BaseShape, Error, LoraWeights, TargetModule};

/// One of the two factors of the low-rank product `B A`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Factor {
    /// `lora_a` (R, in).
    A,
    /// `lora_b` (out, R).
    B,
}

/// The position of one tensor in an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    pub(super) layer: usize,
    pub(super) module: TargetModule,
    pub(super) factor: Factor,
}

impl Slot {
    /// The name that llama.cpp expects.
    pub(super) fn gguf_name(&self) -> String {
        let factor = match self.factor {
            Factor::A => "lora_a",
            Factor::B => "lora_b",
        };
        format!("blk.{}.{}.weight.{factor}", self.layer, self.module.gguf_name())
    }

    /// The name that PEFT expects.
    pub(super) fn peft_name(&self) -> String {
        let factor = match self.factor {
            Factor::A => "lora_A",
            Factor::B => "lora_B",
        };
        format!("base_model.model.model.layers.{}.{}.{factor}.weight", self.layer, self.module.peft_path())
    }

    /// Finds the slot whose name by `name_of` is `name`. The layer is the only number in a name.
    pub(super) fn named(name: &str, name_of: fn(&Self) -> String) -> Option<Self> {
        let layer = name.split('.').find_map(|part| part.parse().ok())?;
        TargetModule::ALL
            .into_iter()
            .flat_map(|module| [Factor::A, Factor::B].map(|factor| Self { layer, module, factor }))
            .find(|slot| name_of(slot) == name)
    }

    /// This tensor's numbers in `weights`, which must have an adapter on this layer and module.
    pub(super) fn numbers_mut<'a>(&self, weights: &'a mut LoraWeights) -> &'a mut [f32] {
        let (a, b) = weights.pair_mut(self.layer, self.module).expect("a slot of a checked layout");
        match self.factor {
            Factor::A => a,
            Factor::B => b,
        }
    }

    /// Shape of the tensor, slowest axis first.
    fn shape(&self, r: usize, base: &BaseShape) -> [usize; 2] {
        match self.factor {
            Factor::A => [r, base.in_features(self.module)],
            Factor::B => [base.out_features(self.module), r],
        }
    }
}

impl LoraWeights {
    /// Every tensor as it is written to a file, with its shape (slowest axis first), in the order of
    /// [`LoraWeights::data`].
    ///
    /// A file has a single alpha, because llama.cpp and its converter support no more. B of a projection with
    /// its own alpha is therefore multiplied by the ratio of the two, which gives the same scaling.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (Slot, [usize; 2], Cow<'_, [f32]>)> {
        self.pairs.iter().flat_map(|pair| {
            let r = pair.rank;
            let slot = |factor| Slot { layer: pair.layer, module: pair.module, factor };
            let b = &self.data[pair.b.clone()];
            let b = match self.config.alpha_pattern.get(&pair.module) {
                Some(alpha) => b.iter().map(|b| alpha / self.config.lora_alpha * b).collect(),
                None => Cow::Borrowed(b),
            };
            let a = (slot(Factor::A), [r, pair.in_features], Cow::Borrowed(&self.data[pair.a.clone()]));
            [a, (slot(Factor::B), [pair.out_features, r], b)]
        })
    }
}

/// The checked contents of an adapter file.
pub(super) struct FileLayout {
    /// The slot of each tensor, in file order.
    pub(super) slots: Vec<Slot>,
    /// The rank of each adapted projection; not empty.
    pub(super) ranks: BTreeMap<TargetModule, usize>,
}

impl FileLayout {
    pub(super) fn target_modules(&self) -> Vec<TargetModule> {
        self.ranks.keys().copied().collect()
    }

    /// The rank of the first adapted projection, which becomes the default rank.
    pub(super) fn r(&self) -> usize {
        *self.ranks.values().next().expect("at least one projection is adapted")
    }

    /// The projections whose rank is not `r`.
    pub(super) fn rank_pattern(&self, r: usize) -> BTreeMap<TargetModule, usize> {
        self.ranks.iter().filter(|&(_, &rank)| rank != r).map(|(&module, &rank)| (module, rank)).collect()
    }
}

/// Checks the names and shapes of all tensors of a file against `base`; `name_of` gives a slot's name in the
/// file's format.
pub(super) fn check_layout(
    path: &Path,
    tensors: &[(&str, &[usize])],
    name_of: fn(&Slot) -> String,
    base: &BaseShape,
) -> Result<FileLayout, Error> {
    let layers = base.num_hidden_layers;
    let mut slots = Vec::with_capacity(tensors.len());
    let mut shapes = HashMap::new();
    let mut ranks = BTreeMap::new();
    for &(name, shape) in tensors {
        let slot = Slot::named(name, name_of).filter(|slot| slot.layer < layers);
        let Some(slot) = slot else {
            return Err(Error::UnknownTensor { path: path.to_owned(), tensor: name.to_owned(), layers });
        };
        slots.push(slot);
        shapes.insert(slot, shape);
        // The first tensor of a projection decides its rank; the loop below compares all others with it.
        let rank = match slot.factor {
            Factor::A => shape.first(),
            Factor::B => shape.last(),
        };
        ranks.entry(slot.module).or_insert(rank.copied().unwrap_or(0));
    }
    if ranks.is_empty() {
        return Err(Error::Empty { path: path.to_owned() });
    }
    let factors = [Factor::A, Factor::B];
    for layer in 0..layers {
        for ((&module, &rank), factor) in ranks.iter().flat_map(|entry| factors.map(|factor| (entry, factor)))
        {
            let slot = Slot { layer, module, factor };
            let expected = slot.shape(rank, base);
            let (path, tensor) = (path.to_owned(), name_of(&slot));
            match shapes.get(&slot) {
                None => return Err(Error::MissingTensor { path, tensor, expected }),
                Some(found) if **found != expected => {
                    return Err(Error::Shape { path, tensor, found: found.to_vec(), expected });
                }
                Some(_) => {}
            }
        }
    }
    Ok(FileLayout { slots, ranks })
}
