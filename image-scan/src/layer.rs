//! A layer: a tar archive of files, and of whiteouts, which delete files of the layers below but not their bytes.

use std::io::{self, BufRead, Read as _};

use crate::collector::{Location, Scan};
use crate::error::{corrupt, truncated};
use crate::limits::{MAX_PATH, WORK_PER_ENTRY};
use crate::search::Finder;
use crate::tar_entries::{Next, next_entry};

const WHITEOUT: &str = ".wh.";

/// Searches the layer `name`: names, attributes, contents, and the bytes after the last entry.
pub(crate) fn scan<F: Finder>(
    scan: &Scan<'_, F>,
    name: &str,
    mut input: &mut (dyn BufRead + Send),
) -> io::Result<()> {
    let mut is_empty = true;
    loop {
        let entry = match next_entry(input)? {
            Next::Entry(entry) => entry,
            Next::End(rest) if is_empty && !rest.is_empty() => {
                return Err(corrupt("it begins as an empty tar archive, but goes on as something else"));
            }
            Next::End(rest) => {
                let found = scan.search(&mut rest.as_slice().chain(&mut input))?;
                scan.keep(name, || Location::Bytes, found);
                return Ok(());
            }
        };
        is_empty = false;
        scan.budget.spend(WORK_PER_ENTRY + entry.headers.len() as u64)?;
        let path = || kept_path(&entry.path);
        // The path on its own: ustar headers hold it in two pieces.
        let found = scan.search_bytes(&[&entry.path, b"\0", &entry.headers]);
        scan.keep(name, || Location::Headers(path()), found);
        if let Some(deleted) = whiteout(&entry.path) {
            scan.collected().keep_whiteout(name, deleted);
        }
        if entry.size > 0 {
            // With the padding of the last block, which may hold bytes too.
            let mut content = (&mut *input).take(entry.padded());
            file(scan, name, &path, &mut content)?;
            if content.limit() > 0 {
                return Err(truncated());
            }
        }
    }
}

/// Searches the content of the file at `path`, to its end.
fn file<F: Finder>(
    scan: &Scan<'_, F>,
    name: &str,
    path: &dyn Fn() -> String,
    content: &mut dyn BufRead,
) -> io::Result<()> {
    let found = scan.search(content)?;
    scan.keep(name, || Location::File(path()), found);
    Ok(())
}

/// The path that an entry at `path` deletes, as [`deleted`].
fn whiteout(path: &[u8]) -> Option<String> {
    let file = path.rsplit(|byte| *byte == b'/').find(|part| !part.is_empty())?;
    if !file.starts_with(WHITEOUT.as_bytes()) { None } else { deleted(&String::from_utf8_lossy(path)) }
}

/// The path that the whiteout at `path` deletes; with a `/` at its end, all that is below that path.
fn deleted(path: &str) -> Option<String> {
    let path = relative(path);
    let (directory, file) = path.rsplit_once('/').map_or(("", path), |(directory, file)| (directory, file));
    let slash = if directory.is_empty() { "" } else { "/" };
    match file.strip_prefix(WHITEOUT)? {
        ".wh..opq" => Some(format!("{directory}/")),
        // Other names with this prefix are internal to aufs, and delete nothing.
        other if other.starts_with(WHITEOUT) => None,
        other => Some(format!("{directory}{slash}{other}")),
    }
}

/// Whether a whiteout of `deleted` deletes `path`.
pub(crate) fn deletes(deleted: &str, path: &str) -> bool {
    let path = relative(path);
    match deleted.strip_suffix('/') {
        Some("") => true,
        Some(directory) => path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/')),
        None => path.strip_prefix(deleted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    }
}

fn relative(path: &str) -> &str {
    path.trim_start_matches("./").trim_matches('/')
}

fn kept_path(path: &[u8]) -> String {
    // Only the beginning of a long path: each finding in it would read all of it.
    let whole = String::from_utf8_lossy(path.get(..MAX_PATH + 1).unwrap_or(path));
    if path.len() <= MAX_PATH {
        return whole.into_owned();
    }
    let mut kept: String = whole.chars().take(MAX_PATH / 4).collect();
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whiteouts_delete_files_and_directories_with_their_content() {
        let of = |path| deleted(path).unwrap();
        assert!(deletes(&of("app/.wh.npmrc"), "./app/npmrc"));
        assert!(deletes(&of("./.wh.app"), "app/a/b"));
        assert!(!deletes(&of(".wh.app"), "apple"));
        assert!(deletes(&of("app/.wh..wh..opq"), "app/a") && !deletes(&of("app/.wh..wh..opq"), "app"));
        assert!(deletes(&of(".wh..wh..opq"), "anything"));
        assert_eq!(deleted("a/.wh..wh.plnk"), None);
        assert_eq!(deleted("a/b.wh.c"), None);
    }
}
