//! Helper: sources as the layout rules see them: files found in the tree, comments and strings blanked out,
//! identifiers and the modules that they name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::MODULES;

/// One Rust file: its path from the package's root, its text, and its text without comments and strings.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
    pub(super) code: String,
}

impl Source {
    pub(super) fn new(path: String, text: String) -> Self {
        let code = blank_comments_and_strings(&text);
        Self { path, text, code }
    }

    /// `src/ops/linear/cpu.rs` → `ops`, `src/rng.rs` → `rng`; `None` outside `src` and for `lib`, `main`.
    pub(super) fn module(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        let name = rest.split('/').next()?.trim_end_matches(".rs");
        MODULES.contains(&name).then_some(name)
    }
}

/// Replaces what is inside comments, strings and character literals by spaces; line breaks stay.
fn blank_comments_and_strings(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out: Vec<char> = chars.iter().map(|&c| if c == '\n' { '\n' } else { ' ' }).collect();
    let mut i = 0;
    while i < chars.len() {
        let end = skipped_end(&chars, i);
        if end > i {
            i = end;
        } else {
            out[i] = chars[i];
            i += 1;
        }
    }
    out.into_iter().collect()
}

/// Where the comment or literal that starts at `i` ends; `i` when none starts there.
fn skipped_end(chars: &[char], i: usize) -> usize {
    let at = |k: usize| chars.get(k).copied().unwrap_or('\0');
    let word_before = i > 0 && (chars[i - 1].is_alphanumeric() || chars[i - 1] == '_');
    match at(i) {
        '/' if at(i + 1) == '/' => (i..chars.len()).find(|&k| at(k) == '\n').unwrap_or(chars.len()),
        '/' if at(i + 1) == '*' => {
            (i + 2..chars.len()).find(|&k| at(k) == '*' && at(k + 1) == '/').map_or(chars.len(), |k| k + 2)
        }
        'r' if !word_before && (at(i + 1) == '"' || at(i + 1) == '#') => raw_string_end(chars, i),
        '"' => quoted_end(chars, i, '"'),
        // A lifetime has no closing quote two characters on (or after a backslash).
        '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => quoted_end(chars, i, '\''),
        _ => i,
    }
}

fn raw_string_end(chars: &[char], i: usize) -> usize {
    let hashes = chars[i + 1..].iter().take_while(|&&c| c == '#').count();
    if chars.get(i + 1 + hashes) != Some(&'"') {
        return i; // A raw identifier such as `r#type`.
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    (i + 2 + hashes..chars.len())
        .find(|&k| chars[k..].starts_with(&close))
        .map_or(chars.len(), |k| k + close.len())
}

fn quoted_end(chars: &[char], i: usize, quote: char) -> usize {
    let mut k = i + 1;
    while k < chars.len() && chars[k] != quote {
        k += if chars[k] == '\\' { 2 } else { 1 };
    }
    (k + 1).min(chars.len())
}

/// Identifiers of `code` with what stands directly before and after them.
pub(super) fn identifiers(code: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + code[from..].find(is_word)?;
        let len = code[start..].find(|c| !is_word(c)).unwrap_or(code.len() - start);
        from = start + len;
        Some((code[..start].trim_end(), &code[start..from], code[from..].trim_start()))
    })
}

/// Modules that `code` names: `crate::x` and each `x` of `crate::{x, y::z}`.
pub(super) fn named_modules(code: &str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let compact: String =
        code.split_whitespace().collect::<Vec<_>>().join(" ").replace(" ::", "::").replace(":: ", "::");
    for root in ["crate::", "evol::"] {
        for (at, _) in compact.match_indices(root) {
            if compact[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let rest = &compact[at + root.len()..];
            let heads = rest.strip_prefix('{').map_or_else(|| vec![rest], top_level_items);
            for head in heads {
                let name: String =
                    head.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                found.extend(MODULES.into_iter().find(|m| *m == name));
            }
        }
    }
    found
}

/// The items of a `{a, b::{c, d}}` list whose opening brace was taken off.
fn top_level_items(list: &str) -> Vec<&str> {
    let (mut items, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (i, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&list[start..i]);
                return items;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&list[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    items
}

/// All Rust files under `src`, `tests` and `benches`.
pub(super) fn sources(root: &Path) -> Vec<Source> {
    let found = files(root, &["src", "tests", "benches"], &["rs"]);
    found.into_iter().map(|(path, text)| Source::new(path, text)).collect()
}

/// Path from the root and text of every file under the folders that has one of the extensions.
pub(super) fn files(root: &Path, under: &[&str], extensions: &[&str]) -> Vec<(String, String)> {
    let mut pending: Vec<PathBuf> = under.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = pending.pop() {
        pending.extend(folders(&folder));
        for file in entries(&folder) {
            let extension = file.extension().and_then(|extension| extension.to_str());
            if file.is_file() && extension.is_some_and(|extension| extensions.contains(&extension)) {
                let path =
                    file.strip_prefix(root).expect("found under the root").to_string_lossy().into_owned();
                let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("`{path}`: {e}"));
                found.push((path, text));
            }
        }
    }
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map_or_else(|_| Vec::new(), |dir| dir.map(|e| e.unwrap().path()).collect())
}

pub(super) fn folders(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|p| p.is_dir()).collect()
}
