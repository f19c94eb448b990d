//! Files that are complete or absent.
//!
//! Where in the flow: everything that writes a model, an adapter or a checkpoint goes through
//! [`replace_file`] or [`publish`].
//!
//! **Invariant:** whenever the process or the machine stops, the name holds the old content or the whole
//! new content: the new bytes are on disk before the rename, and the rename before the function returns.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes a file by `fill` into a temporary file beside `path`, then renames it over `path`.
///
/// The temporary name is fixed (`.NAME.partial`), so what an interrupted run left behind is overwritten
/// by the next one instead of piling up.
///
/// # Errors
/// The file cannot be written; nothing is left behind, and an existing file is untouched.
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
        // What is worth telling is why writing failed, not whether the leftover could be removed.
        let _ = fs::remove_file(&partial);
    })
}

/// Gives the whole file `partial`, in the same folder, its name: for files that somebody else has written.
///
/// # Errors
/// The disk refuses; `path` is as it was, or already the new file.
pub fn publish(partial: &Path, path: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    fs::rename(partial, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
