//! A layer: a tar archive of files, and of whiteouts, which delete files of the layers below but not their bytes.

use std::io::{self, BufRead, Read as _};

use crate::collector::{Scan, Spot};
use crate::error::cut;
use crate::limits::MAX_PATH;
use crate::search::Finder;
use crate::tar_entries::next_entry;

const WHITEOUT: &str = ".wh.";

/// Searches the layer `name`: names, attributes, contents, and what comes after the last entry.
pub(crate) fn scan<F: Finder>(
    scan: &Scan<'_, F>,
    name: &str,
    input: &mut (dyn BufRead + Send),
) -> io::Result<()> {
    while let Some(entry) = next_entry(input)? {
        let path = || kept_path(&entry.path);
        // The path by itself: the oldest headers have it in two pieces.
        let found = scan.search_bytes(&[&entry.path, b"\0", &entry.headers]);
        scan.keep(name, || Spot::Headers(path()), found);
        if entry.path.windows(WHITEOUT.len()).any(|window| window == WHITEOUT.as_bytes())
            && let Some(deleted) = deleted(&String::from_utf8_lossy(&entry.path))
        {
            scan.gathered().keep_whiteout(name, deleted);
        }
        if entry.size > 0 {
            // What fills the last block is searched with the content: somebody may have left something there.
            let mut content = (&mut *input).take(entry.padded());
            let found = scan.search(&mut content)?;
            if content.limit() > 0 {
                return Err(cut());
            }
            scan.keep(name, || Spot::File(path()), found);
        }
    }
    let found = scan.search(input)?;
    scan.keep(name, || Spot::Bytes, found);
    Ok(())
}

/// What the whiteout at `path` deletes; a path that ends in `/` stands for all that is below it.
fn deleted(path: &str) -> Option<String> {
    let path = relative(path);
    let (directory, file) = path.rsplit_once('/').map_or(("", path), |(directory, file)| (directory, file));
    let slash = if directory.is_empty() { "" } else { "/" };
    match file.strip_prefix(WHITEOUT)? {
        ".wh..opq" => Some(format!("{directory}/")),
        // Other names of this kind are aufs's own, and delete nothing.
        other if other.starts_with(WHITEOUT) => None,
        other => Some(format!("{directory}{slash}{other}")),
    }
}

/// Whether the whiteout of `deleted` takes `path` away.
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
    let whole = String::from_utf8_lossy(path);
    if whole.len() <= MAX_PATH {
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
    fn whiteouts_delete_files_directories_and_all_that_is_in_them() {
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
