//! What Markdown files refer to exists: relative links in all of them, and paths of the source tree in those that
//! describe it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Result, While, failure};

/// Documents that name files and directories of the checkout, in backquotes.
const NAME_PATHS: [&str; 3] = ["CONTRIBUTING.md", "RELEASING.md", "docs/ARCHITECTURE.md"];

/// Directories that exist only after a build.
const BUILT: [&str; 2] = ["target", "dist"];

pub(super) fn check(root: &Path) -> Result<()> {
    let mut broken = Vec::new();
    for document in documents(root)? {
        let shown = document.strip_prefix(root).unwrap_or(&document).display().to_string();
        let text = read(&document)?;
        for link in links(&text) {
            if !link_leads_somewhere(&document, link)? {
                broken.push(format!("{shown}: the link {link} leads nowhere"));
            }
        }
        if NAME_PATHS.contains(&shown.as_str()) {
            let missing = text.lines().flat_map(|line| missing_paths(root, line));
            broken.extend(missing.map(|path| format!("{shown}: there is no {path}")));
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(failure!("{}", broken.join("\n"))) }
}

/// The Markdown files of the checkout's root and of docs/.
fn documents(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for dir in [root.to_path_buf(), root.join("docs")] {
        for entry in fs::read_dir(&dir).while_doing(format_args!("read {}", dir.display()))? {
            let path = entry.while_doing(format_args!("read {}", dir.display()))?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).while_doing(format_args!("read {}", file.display()))
}

/// Targets of links that are not addresses.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://"))
        .collect()
}

/// Whether the file of `link` exists, and has a heading for its anchor.
fn link_leads_somewhere(document: &Path, link: &str) -> Result<bool> {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() {
        document.to_path_buf()
    } else {
        document.parent().unwrap_or(document).join(file)
    };
    if anchor.is_empty() || !target.is_file() {
        return Ok(target.exists());
    }
    Ok(anchors(&read(&target)?).contains(anchor))
}

/// The anchors that GitHub gives to headings: lower case, spaces as hyphens, no punctuation.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        in_code ^= line.starts_with("```");
        if in_code || !line.starts_with('#') {
            continue;
        }
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        anchors.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
    }
    anchors
}

/// The paths in `line` that do not exist. Those after the first may be relative to it, or to its directory `src`.
fn missing_paths<'a>(root: &Path, line: &'a str) -> Vec<&'a str> {
    let paths = paths(line);
    let first = root.join(paths.first().unwrap_or(&""));
    let bases = [root.to_path_buf(), first.join("src"), first];
    paths.into_iter().filter(|path| !bases.iter().any(|base| base.join(path).exists())).collect()
}

/// What is written in backquotes and looks like a path of the checkout: it has a slash or the suffix of a source
/// file. Absolute paths, patterns, options and addresses are something else.
fn paths(line: &str) -> Vec<&str> {
    let code = line.split('`').enumerate().filter(|(index, _)| index % 2 == 1).map(|(_, code)| code);
    code.filter(|code| is_path(code)).collect()
}

fn is_path(code: &str) -> bool {
    let has_form = code.contains('/') || [".rs", ".md", ".toml"].iter().any(|suffix| code.ends_with(suffix));
    let is_other = code.contains(|c: char| c.is_whitespace() || "*<>{}$=:@".contains(c))
        || code.starts_with(['/', '~', '-']);
    let is_built = BUILT.iter().any(|dir| Path::new(code).starts_with(dir));
    has_form && !is_other && !is_built
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_other_code() {
        let line = "See `src/main.rs`, `docs/` and `Cargo.toml`; not `/etc/hosts`, `~/.netrc`, `--x=a/b`, `a/*.rs`, \
                    `target/debug`, `cargo test`, `https://a/b` or src/lib.rs. `.ci/run`";
        assert_eq!(paths(line), ["src/main.rs", "docs/", "Cargo.toml", ".ci/run"]);
    }

    #[test]
    fn later_paths_may_be_relative_to_the_first() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(missing_paths(root, "`xtask/` has `lint/` and `none.rs`"), ["none.rs"]);
        assert_eq!(missing_paths(root, "`nowhere/` has `lint/`"), ["nowhere/", "lint/"]);
    }

    #[test]
    fn anchors_are_made_of_headings_outside_of_code() {
        let text = "# git over https\n```sh\n# a comment\n```\n## When it doesn't work: `test`\n";
        let expected = ["git-over-https", "when-it-doesnt-work-test"].map(str::to_owned);
        assert_eq!(anchors(text), BTreeSet::from(expected));
    }

    #[test]
    fn addresses_are_no_relative_links() {
        assert_eq!(links("[a](docs/A.md#b) [c](https://example.org/) [d](#e)"), ["docs/A.md#b", "#e"]);
    }
}
