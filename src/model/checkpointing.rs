//! Gradient checkpointing: which activations backward recomputes instead of forward keeping them.
//!
//! Where in the flow: a setting of `train`, by which the workspace divides the layers into segments.
//!
//! **Invariant:** it decides memory and time, never a bit of the result.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// What is recomputed: `none`, `feed-forward`, `layer`, or `every-K`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum GradientCheckpointing {
    /// Every layer keeps what backward needs: fastest.
    #[default]
    None,
    /// Feed-forward blocks are recomputed. They take two thirds of a LLaMA layer's memory, and recomputing
    /// them, without their last product, costs half a forward pass.
    FeedForward,
    /// Only the stream between layers is kept, and every layer but the last is recomputed: smallest.
    Layer,
    /// The same by segments of this many layers. With L layers, √L take the least memory if a layer keeps
    /// much more than the stream between two.
    Every(NonZeroUsize),
}

impl GradientCheckpointing {
    /// Layers of a segment.
    pub(super) fn segment_length(self, layers: usize) -> usize {
        match self {
            Self::None | Self::FeedForward => layers.max(1),
            Self::Layer => 1,
            Self::Every(length) => length.get().min(layers.max(1)),
        }
    }

    /// Feed-forward blocks whose activations are kept at a time.
    pub(super) fn feed_forward_slots(self, layers: usize) -> usize {
        if self == Self::FeedForward { 1 } else { self.segment_length(layers) }
    }
}

impl fmt::Display for GradientCheckpointing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::FeedForward => f.write_str("feed-forward"),
            Self::Layer => f.write_str("layer"),
            Self::Every(length) => write!(f, "every-{length}"),
        }
    }
}

impl FromStr for GradientCheckpointing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "feed-forward" => Ok(Self::FeedForward),
            "layer" => Ok(Self::Layer),
            _ => text
                .strip_prefix("every-")
                .and_then(|length| length.parse().ok())
                .map(Self::Every)
                .ok_or_else(|| {
                    format!("`{text}` is not `none`, `feed-forward`, `layer` or `every-K` with K at least 1")
                }),
        }
    }
}

impl From<GradientCheckpointing> for String {
    fn from(value: GradientCheckpointing) -> Self {
        value.to_string()
    }
}

impl TryFrom<String> for GradientCheckpointing {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::GradientCheckpointing;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in ["none", "feed-forward", "layer", "every-1", "every-12"] {
            assert_eq!(text.parse::<GradientCheckpointing>().unwrap().to_string(), text);
        }
        for text in ["", "every", "every-0", "every--1", "every-x", "Layer", "layers"] {
            assert!(text.parse::<GradientCheckpointing>().is_err(), "{text}");
        }
    }
}
