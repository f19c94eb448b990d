//! llama.cpp's quantiser, and the file types that it can write.
//!
//! Where in the flow: `compute_format` converts with it, and `merge` quantises a merged model.
//!
//! **Invariant:** callers have validated the source and opened it with llama.cpp, so the quantiser's
//! assertions hold.

use std::ffi::CString;
use std::path::Path;

use llama_cpp_sys_2 as sys;

macro_rules! file_types {
    ($($variant:ident = $ftype:ident, $name:literal;)*) => {
        /// The type of a model file as a whole: `general.file_type`, with the names of `llama-quantize`.
        /// Types that need an importance matrix (`iq1`, `iq2`, `iq3_xxs`, `q2_k_s`) are left out.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "named as in llama.cpp")]
        #[expect(non_camel_case_types, reason = "named as in llama.cpp")]
        pub enum FileType { $($variant,)* }

        impl FileType {
            /// All types, by size and age.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name, such as `q4_k_m`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Its number in `general.file_type`.
            pub fn id(self) -> u32 {
                match self { $(Self::$variant => sys::$ftype as u32,)* }
            }
        }
    };
}

file_types! {
    F32 = LLAMA_FTYPE_ALL_F32, "f32";
    F16 = LLAMA_FTYPE_MOSTLY_F16, "f16";
    BF16 = LLAMA_FTYPE_MOSTLY_BF16, "bf16";
    Q8_0 = LLAMA_FTYPE_MOSTLY_Q8_0, "q8_0";
    Q6_K = LLAMA_FTYPE_MOSTLY_Q6_K, "q6_k";
    Q5_K_M = LLAMA_FTYPE_MOSTLY_Q5_K_M, "q5_k_m";
    Q5_K_S = LLAMA_FTYPE_MOSTLY_Q5_K_S, "q5_k_s";
    Q5_1 = LLAMA_FTYPE_MOSTLY_Q5_1, "q5_1";
    Q5_0 = LLAMA_FTYPE_MOSTLY_Q5_0, "q5_0";
    Q4_K_M = LLAMA_FTYPE_MOSTLY_Q4_K_M, "q4_k_m";
    Q4_K_S = LLAMA_FTYPE_MOSTLY_Q4_K_S, "q4_k_s";
    IQ4_NL = LLAMA_FTYPE_MOSTLY_IQ4_NL, "iq4_nl";
    IQ4_XS = LLAMA_FTYPE_MOSTLY_IQ4_XS, "iq4_xs";
    Q4_1 = LLAMA_FTYPE_MOSTLY_Q4_1, "q4_1";
    Q4_0 = LLAMA_FTYPE_MOSTLY_Q4_0, "q4_0";
    Q3_K_L = LLAMA_FTYPE_MOSTLY_Q3_K_L, "q3_k_l";
    Q3_K_M = LLAMA_FTYPE_MOSTLY_Q3_K_M, "q3_k_m";
    Q3_K_S = LLAMA_FTYPE_MOSTLY_Q3_K_S, "q3_k_s";
    Q2_K = LLAMA_FTYPE_MOSTLY_Q2_K, "q2_k";
}

impl FileType {
    /// The type with this number in `general.file_type`.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|file_type| file_type.id() == id)
    }

    /// The type with this name, in upper or lower case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|file_type| file_type.name().eq_ignore_ascii_case(name))
    }

    /// Has llama.cpp write the model `source` in this type to `target`, with all matrices alike if `pure`.
    /// Returns whether it succeeded; llama.cpp gives no reason for a failure.
    pub fn quantize(self, source: &Path, target: &Path, threads: usize, pure: bool) -> bool {
        let text = |path: &Path| path.to_str().and_then(|text| CString::new(text).ok());
        let (Some(source), Some(target)) = (text(source), text(target)) else { return false };
        #[expect(unsafe_code, reason = "the bindings have no safe function for it")]
        // SAFETY: both paths are NUL-terminated and outlive the call; the parameters are llama.cpp's defaults
        // with plain numbers changed, so every pointer in them is null; exceptions end inside the function.
        // The source was validated and opened by llama.cpp before (an invariant of this module), so that no
        // assertion on its content is left.
        unsafe {
            let mut params = sys::llama_model_quantize_default_params();
            params.ftype = self.id() as sys::llama_ftype;
            params.nthread = threads as i32;
            params.allow_requantize = true;
            params.pure_ = pure;
            sys::llama_model_quantize(source.as_ptr(), target.as_ptr(), &raw const params) == 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FileType;

    #[test]
    fn names_and_numbers_lead_back() {
        for &file_type in FileType::ALL {
            assert_eq!(FileType::from_id(file_type.id()), Some(file_type));
            assert_eq!(FileType::parse(&file_type.name().to_uppercase()), Some(file_type));
        }
        assert_eq!((FileType::from_id(19), FileType::parse("iq2_xxs")), (None, None));
    }
}
