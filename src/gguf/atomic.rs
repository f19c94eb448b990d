//! Atomic replacement of files.
//!
//! Where in the flow: every writer of a model, an adapter or a checkpoint calls [`replace_file`] or
//! [`publish`].
//!
//! **Invariant:** if the process or the machine stops at any point, the path holds the old content or the
//! complete new content. The new bytes are synced to disk before the rename, and the rename is synced
//! before the function returns.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Creates a temporary file beside `path`, lets `fill` write it, and renames it over `path`.
///
/// The temporary name is always `.NAME.partial`, so the next run overwrites the leftover of an interrupted
/// one and leftovers do not accumulate.
///
/// # Errors
/// The file cannot be written. The temporary file is removed, and an existing file at `path` is unchanged.
pub fn replace_file(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("the path has no file name"))?;
    let mut partial_name = std::ffi::OsString::from(".");
    partial_name.push(name);
    partial_name.push(".partial");
    let partial = path.with_file_name(partial_name);
    let write = || {
        let mut writer = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
        fill(&mut writer)?;
        writer.flush()
    };
    write().and_then(|()| publish(&partial, path)).inspect_err(|_| {
        // Report why writing failed, not whether the leftover could be removed.
        let _ = fs::remove_file(&partial);
    })
}

/// Syncs the complete file `partial` and renames it to `path`, which must be in the same folder. For files
/// that another writer, such as llama.cpp, has produced.
///
/// # Errors
/// The file cannot be synced or renamed. `path` then holds its old content or already the new file.
pub fn publish(partial: &Path, path: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    fs::rename(partial, path)?;
    // A rename survives a power cut only once the folder itself is synced.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
