//! How often each operator is drawn, and the draw.
//!
//! In the flow: a configuration or a profile gives the weights; `evolving` draws an operator for each root.
//!
//! **Invariant:** the draw for a root depends on the run's seed, the root, round and attempt, and on whether
//! the parent has constraints.
//! **Invariant:** an operator that is not named has weight 0, on the command line and in files alike.

use super::Operator;
use crate::rng;
use rand::RngExt;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use std::collections::BTreeMap;

/// How often each operator is drawn, relative to the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatorWeights([(Operator, f64); Operator::ALL.len()]);

impl OperatorWeights {
    /// The weights of the operators in `named`; the others have weight 0.
    pub fn new(named: impl IntoIterator<Item = (Operator, f64)>) -> Self {
        let mut weights = Self(Operator::ALL.map(|operator| (operator, 0.0)));
        for (operator, weight) in named {
            weights.set(operator, weight);
        }
        weights
    }

    /// The paper's weights: its six operators in equal shares.
    pub fn wizardlm() -> Self {
        Self(Operator::ALL.map(|operator| (operator, operator.wizardlm_weight())))
    }

    /// The weights of the profile `verified`: rewriting operators in equal shares, and two of those that add
    /// constraints by code at double weight.
    pub fn verified() -> Self {
        Self(Operator::ALL.map(|operator| (operator, operator.verified_weight())))
    }

    /// The weight of one operator.
    pub fn get(&self, operator: Operator) -> f64 {
        let found = self.0.iter().find(|(other, _)| *other == operator);
        found.map_or(0.0, |(_, weight)| *weight)
    }

    /// Sets the weight of one operator.
    pub fn set(&mut self, operator: Operator, weight: f64) {
        for entry in self.0.iter_mut().filter(|(other, _)| *other == operator) {
            entry.1 = weight;
        }
    }

    /// Whether something can be drawn: every weight finite and not negative, one positive.
    pub(super) fn is_drawable(&self) -> bool {
        let weights = self.0.map(|(_, weight)| weight);
        weights.iter().all(|w| w.is_finite() && *w >= 0.0) && weights.iter().any(|w| *w > 0.0)
    }

    /// The operator for the seed `root_id` in `round` at `attempt`: one that was not tried in this round
    /// before, as long as there is one. A parent with constraints only gets more of them: rewriting could
    /// change the sentences that state them.
    pub(super) fn draw(
        &self,
        seed: u64,
        root_id: u64,
        round: u32,
        attempt: u32,
        constrained: bool,
    ) -> Operator {
        assert!(self.is_drawable(), "weights {self:?} were checked with the configuration");
        let drawable = |operator: &Operator| self.get(*operator) > 0.0;
        let mut allowed: Vec<Operator> = Operator::ALL.into_iter().filter(drawable).collect();
        if constrained && allowed.iter().any(|operator| operator.is_by_code()) {
            allowed.retain(|operator| operator.is_by_code());
        }
        let mut left = allowed.clone();
        let mut drawn = allowed[0];
        for attempt in 0..=attempt {
            if left.is_empty() {
                left.clone_from(&allowed);
            }
            let ids = [root_id, u64::from(round), u64::from(attempt)];
            let total: f64 = left.iter().map(|&operator| self.get(operator)).sum();
            let mut point = rng::stream(seed, "evolve.operator", &ids).random::<f64>() * total;
            // The last one also takes what rounding leaves over.
            let place = left.iter().position(|&operator| {
                point -= self.get(operator);
                point < 0.0
            });
            drawn = left.remove(place.unwrap_or(left.len() - 1));
        }
        drawn
    }
}

impl Serialize for OperatorWeights {
    /// Every operator by name, in the order of the table.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(operator, weight)| (operator.name(), weight)))
    }
}

impl<'de> Deserialize<'de> for OperatorWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(BTreeMap::<Operator, f64>::deserialize(deserializer)?))
    }
}

/// For the configuration's field: a table that names no operator leaves the weights to the profile.
pub(super) fn deserialize_named<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<OperatorWeights>, D::Error> {
    let named = Option::<BTreeMap<Operator, f64>>::deserialize(deserializer)?;
    Ok(named.filter(|named| !named.is_empty()).map(OperatorWeights::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_that_is_not_named_has_weight_0() {
        let read = |text: &str| serde_json::from_str::<OperatorWeights>(text);
        let mutation = OperatorWeights::new([(Operator::Mutation, 1.0)]);
        assert_eq!(read(r#"{"mutation": 1}"#).unwrap(), mutation);
        let others = Operator::ALL.into_iter().filter(|&operator| operator != Operator::Mutation);
        assert!(others.map(|operator| mutation.get(operator)).all(|weight| weight <= 0.0));
        let error = read(r#"{"rewording": 1}"#).unwrap_err().to_string();
        assert!(error.contains("`rewording`") && error.contains("`deepening`"), "{error}");
    }

    #[test]
    fn weights_that_were_written_are_read_back() {
        let weights = OperatorWeights::new([(Operator::Deepening, 0.25), (Operator::Mutation, 1.0 / 3.0)]);
        let text = serde_json::to_string(&weights).unwrap();
        assert_eq!(serde_json::from_str::<OperatorWeights>(&text).unwrap(), weights);
        let names: Vec<usize> =
            Operator::ALL.map(|operator| text.find(&format!("\"{}\":", operator.name())).unwrap()).into();
        assert!(names.is_sorted(), "{text}");
    }
}
