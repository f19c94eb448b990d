//! Helper: llama.cpp as the reference for logits: a model in a context whose numbers are all f32, one
//! sequence at a time, every position's logits; and llama.cpp's own quantiser, which also makes f32 copies.
//!
//! The raw bindings are used because the safe ones have no quantiser.
//!
//! **Invariant:** a [`Reference`] owns its model and context and frees them once.

#![expect(unsafe_code, reason = "llama.cpp is called through the raw bindings")]

use std::ffi::{CString, c_char, c_void};
use std::path::Path;
use std::ptr;

use llama_cpp_sys_2 as sys;

/// A loaded model, with or without an adapter.
pub(crate) struct Reference {
    model: *mut sys::llama_model,
    context: *mut sys::llama_context,
    max_tokens: usize,
}

/// Decodes every weight of `from` and writes them as f32 to `to`.
pub(crate) fn write_f32_copy(from: &Path, to: &Path) {
    start();
    let (from, to) = (c_path(from), c_path(to));
    // SAFETY: the paths are C strings that outlive the call, and the parameters are llama.cpp's defaults with
    // plain values changed.
    let status = unsafe {
        let mut params = sys::llama_model_quantize_default_params();
        params.ftype = sys::LLAMA_FTYPE_ALL_F32;
        params.allow_requantize = true;
        params.nthread = 2;
        sys::llama_model_quantize(from.as_ptr(), to.as_ptr(), &raw const params)
    };
    assert_eq!(status, 0, "llama.cpp could not make an f32 copy");
}

impl Reference {
    /// Loads the model for sequences of at most `max_tokens`.
    pub(crate) fn load(model: &Path, adapter: Option<&Path>, max_tokens: usize) -> Self {
        start();
        let path = c_path(model);
        // SAFETY: the path is a C string that outlives the call; the results are checked before use.
        unsafe {
            let model = sys::llama_model_load_from_file(path.as_ptr(), sys::llama_model_default_params());
            assert!(!model.is_null(), "llama.cpp does not load the model");
            let context = sys::llama_init_from_model(model, context_params(max_tokens));
            assert!(!context.is_null(), "llama.cpp makes no context");
            if let Some(adapter) = adapter {
                // The model owns the adapter and frees it with itself.
                let mut adapter = sys::llama_adapter_lora_init(model, c_path(adapter).as_ptr());
                assert!(!adapter.is_null(), "llama.cpp does not load the adapter");
                let mut scale = 1.0;
                let set = sys::llama_set_adapters_lora(context, &raw mut adapter, 1, &raw mut scale);
                assert_eq!(set, 0, "llama.cpp does not apply the adapter");
            }
            Self { model, context, max_tokens }
        }
    }

    /// Tokens of a text, control tokens included.
    pub(crate) fn tokenize(&self, text: &str) -> Vec<u32> {
        let mut tokens = vec![0; text.len() + 8];
        // SAFETY: the vocabulary belongs to a live model; text and tokens are given with their lengths.
        let count = unsafe {
            let vocab = sys::llama_model_get_vocab(self.model);
            let (text, len) = (text.as_ptr().cast::<c_char>(), text.len() as i32);
            sys::llama_tokenize(vocab, text, len, tokens.as_mut_ptr(), tokens.len() as i32, true, true)
        };
        tokens.truncate(usize::try_from(count).expect("a text has at most as many tokens as bytes"));
        tokens.into_iter().map(i32::cast_unsigned).collect()
    }

    /// Logits of all positions, (T, V).
    pub(crate) fn logits(&mut self, tokens: &[u32]) -> Vec<f32> {
        let count = tokens.len();
        assert!(count <= self.max_tokens, "{count} tokens in a context for {}", self.max_tokens);
        let mut ids: Vec<i32> = tokens.iter().map(|&id| id.cast_signed()).collect();
        let mut positions: Vec<i32> = (0..count as i32).collect();
        let mut sequence = 0;
        let mut sequences = vec![&raw mut sequence; count];
        let (mut sequence_counts, mut wanted) = (vec![1; count], vec![1; count]);
        let batch = sys::llama_batch {
            n_tokens: count as i32,
            token: ids.as_mut_ptr(),
            embd: ptr::null_mut(),
            pos: positions.as_mut_ptr(),
            n_seq_id: sequence_counts.as_mut_ptr(),
            seq_id: sequences.as_mut_ptr(),
            logits: wanted.as_mut_ptr(),
        };
        // SAFETY: every list of the batch has `count` elements and outlives the call; sequence 0 exists in
        // every context. With all `count` outputs wanted, llama.cpp's buffer holds that many rows of logits,
        // and they are copied before the context is used again.
        unsafe {
            sys::llama_memory_clear(sys::llama_get_memory(self.context), true);
            assert_eq!(sys::llama_decode(self.context, batch), 0, "llama.cpp does not decode");
            let vocab = sys::llama_vocab_n_tokens(sys::llama_model_get_vocab(self.model)) as usize;
            let logits = sys::llama_get_logits(self.context);
            std::slice::from_raw_parts(logits, count * vocab).to_vec()
        }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // SAFETY: both were made in `load` and are freed here only, the context before its model.
        unsafe {
            sys::llama_free(self.context);
            sys::llama_model_free(self.model);
        }
    }
}

/// One sequence in one batch, f32 wherever llama.cpp lets us choose.
fn context_params(max_tokens: usize) -> sys::llama_context_params {
    // SAFETY: returns a plain value.
    let mut params = unsafe { sys::llama_context_default_params() };
    params.n_ctx = max_tokens as u32;
    params.n_batch = max_tokens as u32;
    params.n_ubatch = max_tokens as u32;
    params.n_seq_max = 1;
    // ggml's threads spin while they wait for each other, and other tests run at the same time.
    params.n_threads = 1;
    params.n_threads_batch = 1;
    params.flash_attn_type = sys::LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.type_k = sys::GGML_TYPE_F32;
    params.type_v = sys::GGML_TYPE_F32;
    params
}

/// Starts llama.cpp (again, if another test has: it does no harm) and silences it.
fn start() {
    unsafe extern "C" fn silent(_: sys::ggml_log_level, _: *const c_char, _: *mut c_void) {}
    // SAFETY: the callback ignores its arguments and lives as long as the program.
    unsafe {
        sys::llama_log_set(Some(silent), ptr::null_mut());
        sys::llama_backend_init();
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.to_str().expect("paths of tests are UTF-8")).expect("a path has no zero byte")
}
