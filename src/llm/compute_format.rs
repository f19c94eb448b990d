//! Converting a model's weights to the format that this machine computes fastest, with a cache of converted
//! files.
//!
//! Where in the flow: the caller turns a model file and a [`ComputeFormat`] into a [`ComputeFile`] and gives
//! its path to the engine, which does not know about conversion. It pays because some quantized formats have
//! no fast kernels on some processors: the same weights as `f16` or `q8_0` run up to twice as fast
//! (`docs/performance.md`).
//!
//! llama.cpp does the arithmetic (`llama_model_quantize`), and everything around it is here. The source is
//! validated in Rust and loaded for its vocabulary first, because the conversion asserts what loading checks.
//! The result is written under a temporary name, read back, compared with the source (every metadata key,
//! every tensor's name and shape), flushed to disk, and only then renamed. A small JSON file beside it
//! records the SHA-256 of source and result.
//!
//! **Invariant:** a cached file is used only if its bytes have the recorded hash, whatever interrupted an
//! earlier conversion. Processes that convert the same model at the same time wait for each other.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::llama::{Contents, Model};
use super::{BINDINGS, Error, FileType};
use crate::gguf::{GgmlType, Gguf, publish, replace_file};

/// The format of the weights to compute with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ComputeFormat {
    /// The format of the file, without conversion.
    #[serde(rename = "as-is")]
    AsIs,
    /// 8 bits per weight in blocks of 32: almost no loss, and half of `f16`'s memory.
    #[serde(rename = "q8_0")]
    Q8_0,
    /// 16 bits per weight.
    #[serde(rename = "f16")]
    F16,
}

impl ComputeFormat {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::AsIs, Self::Q8_0, Self::F16];

    /// The name in flags, files and journals.
    pub fn name(self) -> &'static str {
        match self {
            Self::AsIs => "as-is",
            Self::Q8_0 => "q8_0",
            Self::F16 => "f16",
        }
    }

    /// The format with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The tensor type and file type of a conversion; `None` if there is none.
    fn target(self) -> Option<(GgmlType, FileType)> {
        match self {
            Self::AsIs => None,
            Self::Q8_0 => Some((GgmlType::Q8_0, FileType::Q8_0)),
            Self::F16 => Some((GgmlType::F16, FileType::F16)),
        }
    }

    /// About how many bytes the weights of `gguf` take in this format.
    pub fn bytes(self, gguf: &Gguf) -> u64 {
        let size = |tensor: crate::gguf::TensorView<'_>| match self.target() {
            Some((target, _)) if tensor.shape.len() > 1 => {
                target.bytes_of(tensor.weights()).unwrap_or(tensor.weights() * 2)
            }
            _ => tensor.data.len(),
        };
        gguf.tensors().map(|tensor| size(tensor) as u64).sum()
    }

    /// Whether converting `gguf` to this format would change no tensor.
    pub fn is_format_of(self, gguf: &Gguf) -> bool {
        self.target().is_none_or(|(target, _)| {
            gguf.tensors().all(|tensor| tensor.shape.len() < 2 || tensor.ggml_type == target)
        })
    }
}

/// A model file to compute with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComputeFile {
    /// The source itself, or a file in the cache.
    pub path: PathBuf,
    /// Lowercase hex SHA-256 of that file.
    pub sha256: String,
    /// Whether this call converted it.
    pub converted: bool,
}

/// The directory of converted models.
#[derive(Debug, Clone)]
pub struct ConversionCache {
    /// The directory, created when it is needed.
    pub folder: PathBuf,
    /// Threads of a conversion.
    pub threads: usize,
}

/// Progress of a conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversionStep {
    /// Another process is converting the same model; this one waits for it.
    Waiting,
    /// The conversion starts.
    Converting,
}

/// The JSON file beside a converted file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    source_sha256: String,
    format: ComputeFormat,
    made_with: String,
    sha256: String,
    bytes: u64,
}

/// How often a waiting process checks for its turn and for an interrupt.
const POLL: Duration = Duration::from_millis(100);

/// Hex digits of the source's hash in a file name.
const NAME_DIGITS: usize = 16;

/// Metadata that a conversion changes: the file type, and how a model in several files was split.
const OWN_KEYS: [&str; 5] =
    ["general.file_type", "general.quantization_version", "split.no", "split.count", "split.tensors.count"];

impl ConversionCache {
    /// Returns `source` in `format`, converting it unless the cache has it. `source_sha256` is the hash of
    /// the source's bytes.
    ///
    /// # Errors
    /// The source is unusable, the cache cannot be written, or llama.cpp cannot convert the model; nothing is
    /// left behind then. [`Error::Interrupted`] while waiting for another process.
    pub fn get(
        &self,
        source: &Path,
        source_sha256: &str,
        format: ComputeFormat,
        interrupt: &AtomicBool,
        on_step: &mut dyn FnMut(ConversionStep),
    ) -> Result<ComputeFile, Error> {
        let gguf = Gguf::open(source)?;
        gguf.check_for_llama_cpp()?;
        if format.is_format_of(&gguf) {
            let sha256 = source_sha256.to_owned();
            return Ok(ComputeFile { path: source.to_owned(), sha256, converted: false });
        }
        let path = self.path_of(source_sha256, format);
        if path.to_str().is_none() {
            return Err(Error::Path { path });
        }
        fs::create_dir_all(&self.folder).map_err(Error::cache(&self.folder, "make"))?;
        let _lock = self.lock(&path, interrupt, on_step)?;
        if let Some(sha256) = trusted(&path, source_sha256, format) {
            return Ok(ComputeFile { path, sha256, converted: false });
        }
        on_step(ConversionStep::Converting);
        // Loading checks what the conversion would abort on, and sends llama.cpp's log to `tracing`.
        drop(Model::load(source, Contents::Vocabulary)?);
        let partial = path.with_file_name(format!(".{}.partial", file_name(&path)));
        let result = self
            .convert(&gguf, format, &partial)
            .and_then(|sha256| store(&partial, &path, Record::new(source_sha256, format, sha256, &partial)?));
        if result.is_err() {
            // The reason for the failure matters, not whether the leftover could be removed.
            let _ = fs::remove_file(&partial);
        }
        Ok(ComputeFile { path, sha256: result?, converted: true })
    }

    /// Path of the converted file.
    fn path_of(&self, source_sha256: &str, format: ComputeFormat) -> PathBuf {
        let digits = &source_sha256[..NAME_DIGITS.min(source_sha256.len())];
        self.folder.join(format!("{digits}-{}-llama.cpp-{}.gguf", format.name(), BINDINGS.1))
    }

    /// Waits until no other process converts to `path`. The operating system releases the lock when its
    /// process ends; the empty lock file stays.
    fn lock(
        &self,
        path: &Path,
        interrupt: &AtomicBool,
        on_step: &mut dyn FnMut(ConversionStep),
    ) -> Result<File, Error> {
        let name = self.folder.join(format!(".{}.lock", file_name(path)));
        let lock = File::create(&name).map_err(Error::cache(&name, "make"))?;
        let mut told = false;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::Error(source)) => return Err(Error::cache(&name, "lock")(source)),
                Err(TryLockError::WouldBlock) if interrupt.load(Ordering::Relaxed) => {
                    return Err(Error::Interrupted);
                }
                Err(TryLockError::WouldBlock) => {
                    if !std::mem::replace(&mut told, true) {
                        on_step(ConversionStep::Waiting);
                    }
                    std::thread::sleep(POLL);
                }
            }
        }
    }

    /// Writes `source` in `format` to `partial` and checks it. Returns its SHA-256.
    fn convert(&self, source: &Gguf, format: ComputeFormat, partial: &Path) -> Result<String, Error> {
        let failed = |reason: String| Error::Convert { path: source.path().to_owned(), format, reason };
        // One format for all matrices, without llama.cpp's mixtures by layer.
        let target = format.target().map(|(_, target)| target);
        let quantized =
            target.is_some_and(|target| target.quantize(source.path(), partial, self.threads, true));
        let checked = Gguf::open(partial)
            .map_err(|error| error.to_string())
            .and_then(|converted| difference(source, &converted, format).map_or(Ok(converted), Err));
        match checked {
            Ok(converted) if quantized => Ok(converted.sha256()?),
            checked => {
                // llama.cpp does not say why it could not write. Writing as many bytes from here finds out.
                fill(partial, format.bytes(source)).map_err(Error::cache(&self.folder, "write to"))?;
                Err(failed(checked.err().unwrap_or_else(|| "llama.cpp refuses it".to_owned())))
            }
        }
    }
}

/// Moves a checked file into the cache, with its record.
fn store(partial: &Path, path: &Path, record: Record) -> Result<String, Error> {
    publish(partial, path).map_err(Error::cache(path, "write"))?;
    write_json(&record_path(path), &record)?;
    Ok(record.sha256)
}

/// Replaces the JSON file at `path`.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).expect("numbers and text under text keys") + "\n";
    replace_file(path, |file| file.write_all(text.as_bytes())).map_err(Error::cache(path, "write"))
}

impl Record {
    fn new(source_sha256: &str, format: ComputeFormat, sha256: String, file: &Path) -> Result<Self, Error> {
        let bytes = fs::metadata(file).map_err(Error::cache(file, "examine"))?.len();
        Ok(Self { source_sha256: source_sha256.to_owned(), format, made_with: made_with(), sha256, bytes })
    }
}

fn made_with() -> String {
    format!("llama-cpp-sys-2 {}", BINDINGS.1)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn record_path(path: &Path) -> PathBuf {
    path.with_file_name(format!("{}.json", file_name(path)))
}

/// The hash of the file at `path`, if it is complete and was made from this source in this format.
fn trusted(path: &Path, source_sha256: &str, format: ComputeFormat) -> Option<String> {
    let record: Record = serde_json::from_str(&fs::read_to_string(record_path(path)).ok()?).ok()?;
    let is_ours =
        record.source_sha256 == source_sha256 && record.format == format && record.made_with == made_with();
    let is_whole = fs::metadata(path).is_ok_and(|metadata| metadata.len() == record.bytes);
    if !is_ours || !is_whole {
        return None;
    }
    let sha256 = Gguf::open(path).and_then(|gguf| gguf.sha256()).ok()?;
    (sha256 == record.sha256).then_some(sha256)
}

/// How `converted` differs from what `source` should have become in `format`, if it does.
fn difference(source: &Gguf, converted: &Gguf, format: ComputeFormat) -> Option<String> {
    let kept = |key: &str| !OWN_KEYS.contains(&key);
    for (key, value) in source.metadata().iter().filter(|(key, _)| kept(key)) {
        if converted.value(key) != Some(value) {
            return Some(format!("the result has another `{key}`"));
        }
    }
    let (target, _) = format.target()?;
    for tensor in source.tensors() {
        let Some(new) = converted.tensor(tensor.name) else {
            return Some(format!("the result has no tensor `{}`", tensor.name));
        };
        // Vectors and small tables keep their type; rows that are no whole number of blocks become `f16`.
        let expected =
            new.ggml_type == target || new.ggml_type == GgmlType::F16 || new.ggml_type == tensor.ggml_type;
        if new.shape != tensor.shape || !expected {
            return Some(format!(
                "`{}` is {:?} {} in the result, expected {:?} {target}",
                tensor.name, new.shape, new.ggml_type, tensor.shape
            ));
        }
    }
    let names = |gguf: &Gguf| gguf.tensors().map(|tensor| tensor.name.to_owned()).collect::<HashSet<_>>();
    (names(source) != names(converted)).then(|| "the result has tensors of its own".to_owned())
}

/// Writes `bytes` zeros to `path`, to find out why that much could not be written.
fn fill(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_serde_and_parse_back() {
        for format in ComputeFormat::ALL {
            assert_eq!(serde_json::to_value(format).unwrap(), format.name());
            assert_eq!(ComputeFormat::parse(format.name()), Some(format));
        }
        assert_eq!(ComputeFormat::parse("q4_k"), None);
    }

    #[test]
    fn a_full_disk_is_told_in_the_systems_words() {
        let Err(error) = fill(Path::new("/dev/full"), 1 << 20) else { panic!("/dev/full took it") };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
