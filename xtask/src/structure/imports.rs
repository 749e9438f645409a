//! Which file of a crate imports from which: each path in a file, resolved to the file that defines what it names.
//!
//! What a module takes from the modules around it (`super::`) is left out: a submodule is a part of its parent, which
//! declares it and uses it. What a parent takes from its submodules counts, so a circle through other modules shows.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};
use syn::{Item, ItemMod};

use super::modules::{CrateTree, ModuleId, SourceFile, is_for_tests};

/// Longest chain of re-exports that is followed.
const MAX_DEPTH: usize = 16;

/// From each file to those that it imports from.
pub(super) struct Imports(pub(super) BTreeMap<String, Vec<String>>);

impl Imports {
    pub(super) fn of(tree: &CrateTree) -> Self {
        let mut imports = BTreeMap::new();
        for (id, module) in tree.modules.iter().enumerate() {
            for file in &module.files {
                let mut targets: Vec<String> = paths_in(file)
                    .iter()
                    .filter_map(|path| resolve(tree, id, path, MAX_DEPTH))
                    .filter(|(target, _)| *target != id && !is_ancestor(tree, *target, id))
                    .map(|(_, path)| path.to_owned())
                    .collect();
                targets.sort();
                targets.dedup();
                imports.insert(file.path.clone(), targets);
            }
        }
        Self(imports)
    }
}

fn is_ancestor(tree: &CrateTree, ancestor: ModuleId, mut of: ModuleId) -> bool {
    while let Some(parent) = tree.modules.get(of).and_then(|module| module.parent) {
        if parent == ancestor {
            return true;
        }
        of = parent;
    }
    false
}

/// Every path that a file names, outside of tests: in `use` items and in code.
pub(super) fn paths_in(file: &SourceFile) -> Vec<Vec<String>> {
    let mut collector = Collector(Vec::new());
    for item in &file.syntax.items {
        collector.visit_item(item);
    }
    collector.0
}

struct Collector(Vec<Vec<String>>);

impl<'ast> Visit<'ast> for Collector {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Const(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        // A re-export is not a use: the files that import through it import from the file that it names.
        let is_reexport = matches!(item, Item::Use(item) if !matches!(item.vis, syn::Visibility::Inherited));
        if !is_for_tests(attributes) && !is_reexport {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_use_tree(&mut self, tree: &'ast syn::UseTree) {
        let mut prefix = Vec::new();
        self.add_tree(tree, &mut prefix);
    }

    /// What a macro or attribute makes of its tokens is not known; paths in them count as they stand.
    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.add_tokens(&invocation.tokens.to_string());
        visit::visit_macro(self, invocation);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.add_tokens(&list.tokens.to_string());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
}

impl Collector {
    /// `tokens` as the compiler prints them: `super :: file :: MAX_FILE`.
    fn add_tokens(&mut self, tokens: &str) {
        let joined = tokens.replace(" :: ", "::");
        let is_part = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
        for word in joined.split(|char| !is_part(char)).filter(|word| word.contains("::")) {
            self.0.push(word.split("::").filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect());
        }
    }

    fn add_tree(&mut self, tree: &syn::UseTree, prefix: &mut Vec<String>) {
        use syn::UseTree::{Glob, Group, Name, Path, Rename};
        match tree {
            Path(path) => {
                prefix.push(path.ident.to_string());
                self.add_tree(&path.tree, prefix);
                prefix.pop();
            }
            Group(group) => group.items.iter().for_each(|tree| self.add_tree(tree, prefix)),
            Name(syn::UseName { ident, .. }) | Rename(syn::UseRename { ident, .. }) => {
                let mut path = prefix.clone();
                if ident != "self" {
                    path.push(ident.to_string());
                }
                self.0.push(path);
            }
            Glob(_) => self.0.push(prefix.clone()),
        }
    }
}

/// The module and the file that define what `path` names in the module `from`; `None` for what another crate defines.
fn resolve<'t>(
    tree: &'t CrateTree,
    from: ModuleId,
    path: &[String],
    depth: usize,
) -> Option<(ModuleId, &'t str)> {
    let depth = depth.checked_sub(1)?;
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => descend(tree, 0, rest, depth),
        "self" => descend(tree, from, rest, depth),
        "super" => descend(tree, tree.modules.get(from)?.parent?, rest, depth),
        _ => descend(tree, from, path, depth),
    }
}

fn descend<'t>(
    tree: &'t CrateTree,
    from: ModuleId,
    path: &[String],
    depth: usize,
) -> Option<(ModuleId, &'t str)> {
    let module = tree.modules.get(from)?;
    let Some((first, rest)) = path.split_first() else {
        // A glob import of the module: its first file stands for it.
        return module.files.first().map(|file| (from, file.path.as_str()));
    };
    if first == "super" {
        return descend(tree, module.parent?, rest, depth);
    }
    if let Some(&child) = module.children.get(first) {
        // An import of a module counts where an item of it is named.
        return if rest.is_empty() { None } else { descend(tree, child, rest, depth) };
    }
    if let Some(&file) = module.items.get(first) {
        return module.files.get(file).map(|file| (from, file.path.as_str()));
    }
    if let Some(alias) = module.aliases.get(first)
        && alias.first() != Some(first)
    {
        let whole: Vec<String> = alias.iter().chain(rest).cloned().collect();
        return resolve(tree, from, &whole, depth);
    }
    module.globs.iter().filter(|glob| !glob.is_empty()).find_map(|glob| {
        let whole: Vec<String> = glob.iter().chain(path).cloned().collect();
        resolve(tree, from, &whole, depth.checked_sub(1)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_macros_and_attributes_count() {
        let text = "#[error(\"{}\", super::file::MAX)] struct E; fn f() { log!(\"{}\", crate::a::B); }";
        let syntax = syn::parse_file(text).unwrap();
        let paths = paths_in(&SourceFile { path: String::new(), lines: 1, syntax });
        for wanted in [&["super", "file", "MAX"][..], &["crate", "a", "B"]] {
            assert!(paths.iter().any(|path| path == wanted), "{wanted:?} is not in {paths:?}");
        }
    }

    #[test]
    fn test_modules_and_reexports_do_not_count() {
        let text = "#[cfg(test)] mod tests { use crate::a::A; } pub(crate) use b::B;";
        let syntax = syn::parse_file(text).unwrap();
        assert!(paths_in(&SourceFile { path: String::new(), lines: 1, syntax }).is_empty());
    }
}
