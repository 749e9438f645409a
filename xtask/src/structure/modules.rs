//! The module tree of a crate, read from its files. Modules for tests are left out.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Item, ItemMod, Lit, Meta, Token, UseTree, Visibility};

use super::packages::Package;
use crate::failure::{Result, While, failure};

/// Index of a module in [`CrateTree::modules`]; 0 is the crate's root.
pub(super) type ModuleId = usize;

/// The modules of one crate.
pub(super) struct CrateTree {
    pub(super) package: String,
    pub(super) modules: Vec<Module>,
}

/// One module. A module that has another file on each platform is one module with several files.
pub(super) struct Module {
    pub(super) parent: Option<ModuleId>,
    /// Children by name.
    pub(super) children: HashMap<String, ModuleId>,
    pub(super) files: Vec<SourceFile>,
    /// Names of items defined here, with the index of their file.
    pub(super) items: HashMap<String, usize>,
    /// Names that `use` brings in, with the path that each stands for.
    pub(super) aliases: HashMap<String, Vec<String>>,
    /// Paths of `use path::*`.
    pub(super) globs: Vec<Vec<String>>,
    /// Names of children that are `pub`.
    pub(super) public_children: Vec<String>,
    /// Paths that `pub use` makes public.
    pub(super) public_uses: Vec<Vec<String>>,
}

/// One file of a module, parsed.
pub(super) struct SourceFile {
    /// Relative to the workspace, with `/`.
    pub(super) path: String,
    pub(super) lines: usize,
    pub(super) syntax: syn::File,
}

impl CrateTree {
    pub(super) fn read(workspace: &Path, package: &Package) -> Result<Self> {
        let mut tree = Self { package: package.name.clone(), modules: Vec::new() };
        let root = &package.root_file;
        let directory = root.parent().unwrap_or(workspace).to_path_buf();
        tree.add(workspace, None, std::slice::from_ref(root), &directory)?;
        Ok(tree)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &SourceFile> {
        self.modules.iter().flat_map(|module| &module.files)
    }

    pub(super) fn lines(&self) -> usize {
        self.files().map(|file| file.lines).sum()
    }

    /// Reads a module and those in it. `directory` is where the files of its children lie.
    fn add(
        &mut self,
        workspace: &Path,
        parent: Option<ModuleId>,
        files: &[PathBuf],
        directory: &Path,
    ) -> Result<ModuleId> {
        let id = self.modules.len();
        self.modules.push(Module::new(parent));
        for (index, path) in files.iter().enumerate() {
            let text = fs::read_to_string(path).while_doing(format_args!("read {}", path.display()))?;
            let syntax = syn::parse_file(&text)
                .map_err(|error| failure!("cannot parse {}: {error}", path.display()))?;
            for item in &syntax.items {
                self.note(workspace, id, index, item, path, directory)?;
            }
            let shown = path.strip_prefix(workspace).unwrap_or(path).to_string_lossy().replace('\\', "/");
            let file = SourceFile { path: shown, lines: text.lines().count(), syntax };
            self.modules[id].files.push(file);
        }
        Ok(id)
    }

    fn note(
        &mut self,
        workspace: &Path,
        id: ModuleId,
        file: usize,
        item: &Item,
        path: &Path,
        directory: &Path,
    ) -> Result<()> {
        let name = match item {
            Item::Mod(module) => return self.note_module(workspace, id, module, path, directory),
            Item::Use(item) => {
                let is_public = matches!(item.vis, Visibility::Public(_));
                self.modules[id].note_use(&item.tree, &mut Vec::new(), is_public);
                return Ok(());
            }
            Item::Const(item) => &item.ident,
            Item::Enum(item) => &item.ident,
            Item::Fn(item) => &item.sig.ident,
            Item::Static(item) => &item.ident,
            Item::Struct(item) => &item.ident,
            Item::Trait(item) => &item.ident,
            Item::Type(item) => &item.ident,
            Item::Union(item) => &item.ident,
            Item::Macro(item) => match &item.ident {
                Some(name) => name,
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        self.modules[id].items.entry(name.to_string()).or_insert(file);
        Ok(())
    }

    fn note_module(
        &mut self,
        workspace: &Path,
        id: ModuleId,
        module: &ItemMod,
        path: &Path,
        directory: &Path,
    ) -> Result<()> {
        if is_for_tests(&module.attrs) || module.content.is_some() {
            return Ok(());
        }
        let name = module.ident.to_string();
        // `#[path]` counts from the directory of the file that says it.
        let beside = path.parent().unwrap_or(directory);
        let mut files: Vec<PathBuf> =
            named_paths(&module.attrs).iter().map(|named| beside.join(named)).collect();
        let is_named = !files.is_empty();
        if !is_named {
            let flat = directory.join(format!("{name}.rs"));
            files.push(if flat.exists() { flat } else { directory.join(&name).join("mod.rs") });
        }
        if let Some(&known) = self.modules[id].children.get(&name) {
            return Err(failure!("{}: the module {name} stands there twice ({known})", path.display()));
        }
        // The children of a module with `#[path]` lie beside its file, those of others in a directory of its name.
        let below = match files.first().and_then(|file| file.parent()) {
            Some(beside) if is_named => beside.to_path_buf(),
            _ => directory.join(&name),
        };
        let child = self.add(workspace, Some(id), &files, &below)?;
        let this = &mut self.modules[id];
        if matches!(module.vis, Visibility::Public(_)) {
            this.public_children.push(name.clone());
        }
        this.children.insert(name, child);
        Ok(())
    }
}

impl Module {
    fn new(parent: Option<ModuleId>) -> Self {
        Self {
            parent,
            children: HashMap::new(),
            files: Vec::new(),
            items: HashMap::new(),
            aliases: HashMap::new(),
            globs: Vec::new(),
            public_children: Vec::new(),
            public_uses: Vec::new(),
        }
    }

    fn note_use(&mut self, tree: &UseTree, prefix: &mut Vec<String>, is_public: bool) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.note_use(&path.tree, prefix, is_public);
                prefix.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.note_use(tree, prefix, is_public);
                }
            }
            UseTree::Name(name) => self.note_alias(name.ident.to_string(), &name.ident, prefix, is_public),
            UseTree::Rename(name) => self.note_alias(name.rename.to_string(), &name.ident, prefix, is_public),
            UseTree::Glob(_) => self.globs.push(prefix.clone()),
        }
    }

    fn note_alias(&mut self, alias: String, ident: &syn::Ident, prefix: &[String], is_public: bool) {
        let mut path = prefix.to_vec();
        let mut alias = alias;
        if ident == "self" {
            // `use a::b::{self}`
            if alias == "self" {
                alias = path.last().cloned().unwrap_or_default();
            }
        } else {
            path.push(ident.to_string());
        }
        if is_public {
            self.public_uses.push(path.clone());
        }
        self.aliases.insert(alias, path);
    }
}

/// Whether `attributes` keep an item to test builds.
pub(super) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            condition == "test" || condition.starts_with("all (test") || condition.contains("\"testing\"")
        }
        _ => false,
    })
}

/// The files that `#[path = "…"]` and `#[cfg_attr(…, path = "…")]` name.
fn named_paths(attributes: &[Attribute]) -> Vec<String> {
    let text = |value: &Expr| match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    };
    let mut paths = Vec::new();
    for attribute in attributes {
        match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("path") => paths.extend(text(&pair.value)),
            Meta::List(list) if list.path.is_ident("cfg_attr") => {
                let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
                let Ok(parts) = list.parse_args_with(parser) else { continue };
                for part in parts {
                    if let Meta::NameValue(pair) = part
                        && pair.path.is_ident("path")
                    {
                        paths.extend(text(&pair.value));
                    }
                }
            }
            _ => {}
        }
    }
    paths
}
