//! One tensor of an adapter file, and whether a set of them fits a base.
//!
//! Where in the flow: both readers list the tensors of their file as [`Slot`]s, have them checked here, and
//! copy the numbers only then.
//!
//! **Invariant:** [`fit`] returns only if every tensor of the layout it describes is in the file with the
//! right shape, and no other.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::{BaseShape, Error, LoraWeights, TargetModule};

/// Which of the two matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Half {
    /// `lora_a` (R, in).
    A,
    /// `lora_b` (out, R).
    B,
}

/// The place of one tensor in an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    pub(super) layer: usize,
    pub(super) module: TargetModule,
    pub(super) half: Half,
}

impl Slot {
    /// The name llama.cpp looks for.
    pub(super) fn gguf_name(&self) -> String {
        let half = match self.half {
            Half::A => "lora_a",
            Half::B => "lora_b",
        };
        format!("blk.{}.{}.weight.{half}", self.layer, self.module.gguf_name())
    }

    /// The name PEFT looks for.
    pub(super) fn peft_name(&self) -> String {
        let half = match self.half {
            Half::A => "lora_A",
            Half::B => "lora_B",
        };
        format!("base_model.model.model.layers.{}.{}.{half}.weight", self.layer, self.module.peft_path())
    }

    /// The slot that `name_of` calls `name`: the layer is the only number in a name.
    pub(super) fn named(name: &str, name_of: fn(&Self) -> String) -> Option<Self> {
        let layer = name.split('.').find_map(|part| part.parse().ok())?;
        TargetModule::ALL
            .into_iter()
            .flat_map(|module| [Half::A, Half::B].map(|half| Self { layer, module, half }))
            .find(|slot| name_of(slot) == name)
    }

    /// The tensor's numbers in `weights`, which must adapt this module in this layer.
    pub(super) fn numbers_mut<'a>(&self, weights: &'a mut LoraWeights) -> &'a mut [f32] {
        let (a, b) = weights.pair_mut(self.layer, self.module).expect("a slot of a checked layout");
        match self.half {
            Half::A => a,
            Half::B => b,
        }
    }

    /// Shape of the tensor, slowest axis first.
    fn shape(&self, r: usize, base: &BaseShape) -> [usize; 2] {
        match self.half {
            Half::A => [r, base.in_features(self.module)],
            Half::B => [base.out_features(self.module), r],
        }
    }
}

impl LoraWeights {
    /// Every tensor in the order of [`LoraWeights::data`], with its shape, slowest axis first, as files have
    /// it: they name one alpha for all, because llama.cpp and its converter know no other, so B of a
    /// projection with an alpha of its own is multiplied by what that would have done.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (Slot, [usize; 2], Cow<'_, [f32]>)> {
        self.pairs.iter().flat_map(|pair| {
            let r = pair.rank;
            let slot = |half| Slot { layer: pair.layer, module: pair.module, half };
            let b = &self.data[pair.b.clone()];
            let b = match self.config.alpha_pattern.get(&pair.module) {
                Some(alpha) => b.iter().map(|b| alpha / self.config.lora_alpha * b).collect(),
                None => Cow::Borrowed(b),
            };
            let a = (slot(Half::A), [r, pair.in_features], Cow::Borrowed(&self.data[pair.a.clone()]));
            [a, (slot(Half::B), [pair.out_features, r], b)]
        })
    }
}

/// What an adapter file contains.
pub(super) struct Fit {
    /// Of the tensors, in the order they were listed.
    pub(super) slots: Vec<Slot>,
    /// Of every adapted projection.
    pub(super) ranks: BTreeMap<TargetModule, usize>,
}

impl Fit {
    pub(super) fn target_modules(&self) -> Vec<TargetModule> {
        self.ranks.keys().copied().collect()
    }

    /// The rank of the first projection.
    pub(super) fn r(&self) -> usize {
        *self.ranks.values().next().expect("at least one projection is adapted")
    }

    /// The projections with another rank than `r`.
    pub(super) fn rank_pattern(&self, r: usize) -> BTreeMap<TargetModule, usize> {
        self.ranks.iter().filter(|&(_, &rank)| rank != r).map(|(&module, &rank)| (module, rank)).collect()
    }
}

/// Checks the names and shapes of all tensors of a file against `base`.
pub(super) fn fit(
    path: &Path,
    tensors: &[(&str, &[usize])],
    name_of: fn(&Slot) -> String,
    base: &BaseShape,
) -> Result<Fit, Error> {
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
        // The rank of a projection is what its first matrix says; those of the other layers must agree.
        let rank = match slot.half {
            Half::A => shape.first(),
            Half::B => shape.last(),
        };
        ranks.entry(slot.module).or_insert(rank.copied().unwrap_or(0));
    }
    if ranks.is_empty() {
        return Err(Error::Empty { path: path.to_owned() });
    }
    let halves = [Half::A, Half::B];
    for layer in 0..layers {
        for ((&module, &rank), half) in ranks.iter().flat_map(|entry| halves.map(|half| (entry, half))) {
            let slot = Slot { layer, module, half };
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
    Ok(Fit { slots, ranks })
}
