//! The tensor formats of ggml: ids, names and block sizes.
//!
//! Where in the flow: [`super::parse`] computes the size of every tensor from this table before it reads
//! any tensor data.
//!
//! **Invariant:** the table lists every format that the bundled llama.cpp accepts in a file, with its
//! sizes (`tests/it/gguf_engine.rs` compares it with `ggml_get_type_traits`). A model that is only run and
//! never trained may use any of them.

use std::fmt;

macro_rules! ggml_types {
    ($($variant:ident = $id:literal, $name:literal, $weights:literal per $bytes:literal;)*) => {
        /// A tensor format. Discriminants are ggml's type ids.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "named as in ggml")]
        #[expect(non_camel_case_types, reason = "named as in ggml")]
        pub enum GgmlType { $($variant = $id,)* }

        impl GgmlType {
            /// Every format, in order of its id.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The format with this id; `None` for ids that ggml has removed or not assigned.
            pub fn from_id(id: u32) -> Option<Self> {
                match id { $($id => Some(Self::$variant),)* _ => None }
            }

            /// ggml's name, such as `q4_1`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Number of weights in one block; a row is a whole number of blocks.
            pub const fn block_weights(self) -> usize {
                match self { $(Self::$variant => $weights,)* }
            }

            /// Size of one block in bytes.
            pub const fn block_bytes(self) -> usize {
                match self { $(Self::$variant => $bytes,)* }
            }
        }
    };
}

ggml_types! {
    F32 = 0, "f32", 1 per 4;
    F16 = 1, "f16", 1 per 2;
    Q4_0 = 2, "q4_0", 32 per 18;
    Q4_1 = 3, "q4_1", 32 per 20;
    Q5_0 = 6, "q5_0", 32 per 22;
    Q5_1 = 7, "q5_1", 32 per 24;
    Q8_0 = 8, "q8_0", 32 per 34;
    Q8_1 = 9, "q8_1", 32 per 36;
    Q2_K = 10, "q2_K", 256 per 84;
    Q3_K = 11, "q3_K", 256 per 110;
    Q4_K = 12, "q4_K", 256 per 144;
    Q5_K = 13, "q5_K", 256 per 176;
    Q6_K = 14, "q6_K", 256 per 210;
    Q8_K = 15, "q8_K", 256 per 292;
    IQ2_XXS = 16, "iq2_xxs", 256 per 66;
    IQ2_XS = 17, "iq2_xs", 256 per 74;
    IQ3_XXS = 18, "iq3_xxs", 256 per 98;
    IQ1_S = 19, "iq1_s", 256 per 50;
    IQ4_NL = 20, "iq4_nl", 32 per 18;
    IQ3_S = 21, "iq3_s", 256 per 110;
    IQ2_S = 22, "iq2_s", 256 per 82;
    IQ4_XS = 23, "iq4_xs", 256 per 136;
    I8 = 24, "i8", 1 per 1;
    I16 = 25, "i16", 1 per 2;
    I32 = 26, "i32", 1 per 4;
    I64 = 27, "i64", 1 per 8;
    F64 = 28, "f64", 1 per 8;
    IQ1_M = 29, "iq1_m", 256 per 56;
    BF16 = 30, "bf16", 1 per 2;
    TQ1_0 = 34, "tq1_0", 256 per 54;
    TQ2_0 = 35, "tq2_0", 256 per 66;
    MXFP4 = 39, "mxfp4", 32 per 17;
    NVFP4 = 40, "nvfp4", 64 per 36;
    Q1_0 = 41, "q1_0", 128 per 18;
    Q2_0 = 42, "q2_0", 64 per 18;
}

impl GgmlType {
    /// The formats that [`super::dequantize`] decodes, which are the ones that can be trained on.
    pub const TRAINABLE: [Self; 15] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ4_NL,
        Self::IQ4_XS,
    ];

    /// Whether [`super::dequantize`] decodes this format.
    pub fn is_trainable(self) -> bool {
        Self::TRAINABLE.contains(&self)
    }

    /// Size in bytes of `weights` consecutive weights; `None` if that is not a whole number of blocks or the
    /// size overflows.
    pub fn bytes_of(self, weights: usize) -> Option<usize> {
        if !weights.is_multiple_of(self.block_weights()) {
            return None;
        }
        (weights / self.block_weights()).checked_mul(self.block_bytes())
    }
}

impl fmt::Display for GgmlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
