//! The projections that can carry an adapter, and the base dimensions that decide an adapter's shapes.
//!
//! Where in the flow: `cli` parses names into [`TargetModule`], `model` and `train` use the enum, and the
//! file formats turn it back into names.
//!
//! **Invariant:** this is the only file that knows the names of projections.

use std::fmt;
use std::str::FromStr;

use super::Error;

/// A linear projection that can carry an adapter, in the order of tensors within a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "PEFT's names")]
pub enum TargetModule {
    QProj,
    KProj,
    VProj,
    OProj,
    GateProj,
    UpProj,
    DownProj,
}

impl TargetModule {
    /// All seven projections, in the order of their tensors within a layer.
    pub const ALL: [Self; 7] =
        [Self::QProj, Self::KProj, Self::VProj, Self::OProj, Self::GateProj, Self::UpProj, Self::DownProj];

    /// The name in configurations and in PEFT's `target_modules`, such as `q_proj`.
    pub const fn peft_name(self) -> &'static str {
        match self {
            Self::QProj => "q_proj",
            Self::KProj => "k_proj",
            Self::VProj => "v_proj",
            Self::OProj => "o_proj",
            Self::GateProj => "gate_proj",
            Self::UpProj => "up_proj",
            Self::DownProj => "down_proj",
        }
    }

    /// The path within a layer of the Hugging Face model, such as `self_attn.q_proj`.
    pub const fn peft_path(self) -> &'static str {
        match self {
            Self::QProj => "self_attn.q_proj",
            Self::KProj => "self_attn.k_proj",
            Self::VProj => "self_attn.v_proj",
            Self::OProj => "self_attn.o_proj",
            Self::GateProj => "mlp.gate_proj",
            Self::UpProj => "mlp.up_proj",
            Self::DownProj => "mlp.down_proj",
        }
    }

    /// The name within a block of a GGUF file, such as `attn_q`.
    pub const fn gguf_name(self) -> &'static str {
        match self {
            Self::QProj => "attn_q",
            Self::KProj => "attn_k",
            Self::VProj => "attn_v",
            Self::OProj => "attn_output",
            Self::GateProj => "ffn_gate",
            Self::UpProj => "ffn_up",
            Self::DownProj => "ffn_down",
        }
    }
}

impl fmt::Display for TargetModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.peft_name())
    }
}

impl FromStr for TargetModule {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|module| module.peft_name() == name);
        found.ok_or_else(|| Error::UnknownModule { found: name.to_owned() })
    }
}

/// The dimensions of a base model that decide the shapes of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "Hugging Face's names")]
pub struct BaseShape {
    pub num_hidden_layers: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
}

impl BaseShape {
    /// Number of columns of the base weight.
    pub fn in_features(&self, module: TargetModule) -> usize {
        match module {
            TargetModule::OProj => self.num_attention_heads * self.head_dim,
            TargetModule::DownProj => self.intermediate_size,
            _ => self.hidden_size,
        }
    }

    /// Number of rows of the base weight.
    pub fn out_features(&self, module: TargetModule) -> usize {
        match module {
            TargetModule::QProj => self.num_attention_heads * self.head_dim,
            TargetModule::KProj | TargetModule::VProj => self.num_key_value_heads * self.head_dim,
            TargetModule::OProj | TargetModule::DownProj => self.hidden_size,
            TargetModule::GateProj | TargetModule::UpProj => self.intermediate_size,
        }
    }
}
