//! Files of one crate that import each other in a loop. There are to be none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;
use syn::visit::Visit;

/// The folders whose sources are looked at, each of one crate.
const CRATES: &[&str] = &[
    "crates/open-channel-proto/src",
    "crates/open-channel-ring/src",
    "crates/open-channel/src",
    "crates/open-channel/tests/processes",
    "crates/open-channel-group/src",
    "crates/open-channel-simulation/src",
    "crates/open-channel-cli/src",
    "crates/open-channel-node/src",
    "bench/src",
    "xtask/src",
];

/// Prints the circles of every crate.
pub(crate) fn run() -> Result<()> {
    let mut found = 0;
    for folder in CRATES {
        for circle in Modules::read(Path::new(folder))?.circles() {
            found += 1;
            println!("{folder}: {}", circle.join(", "));
        }
    }
    if found > 0 {
        bail!("{found} circles of files that import each other");
    }
    println!("no file imports one that imports it");
    Ok(())
}

/// A module's path from the root of its crate, such as `["socket", "message"]`.
type Module = Vec<String>;

/// The modules of one crate that are files, with what each imports.
#[derive(Default)]
struct Modules {
    imports: BTreeMap<Module, BTreeSet<Module>>,
}

impl Modules {
    fn read(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        list(folder, &mut files)?;
        let mut sources = Vec::new();
        for file in files {
            let source =
                std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            sources.push((module(file.strip_prefix(folder)?), source));
        }
        Self::of(&sources)
    }

    fn of(sources: &[(Module, String)]) -> Result<Self> {
        let known: BTreeSet<&Module> = sources.iter().map(|(module, _)| module).collect();
        let mut modules = Self::default();
        for (module, source) in sources {
            let file = syn::parse_file(source).with_context(|| format!("parsing {module:?}"))?;
            let mut paths = Paths { module: module.clone(), found: Vec::new() };
            paths.visit_file(&file);
            let imports = modules.imports.entry(module.clone()).or_default();
            // The longest part of a path that is a file; the root of the crate imports for others
            // only.
            let named = |path: Module| {
                (1..=path.len()).rev().map(|len| path[..len].to_vec()).find(|it| known.contains(it))
            };
            imports.extend(paths.found.into_iter().filter_map(named).filter(|it| it != module));
        }
        Ok(modules)
    }

    fn circles(&self) -> Vec<Vec<String>> {
        let names: Vec<&Module> = self.imports.keys().collect();
        let number = |module: &Module| names.binary_search(&module).unwrap_or_default();
        let mut graph = DiGraphMap::<usize, (), std::hash::RandomState>::new();
        for (module, imports) in &self.imports {
            for import in imports {
                graph.add_edge(number(module), number(import), ());
            }
        }
        let circles = tarjan_scc(&graph).into_iter().filter(|circle| circle.len() > 1);
        circles.map(|circle| circle.into_iter().map(|at| names[at].join("::")).collect()).collect()
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// `socket/message.rs` is `socket::message`, `socket/mod.rs` is `socket`, and `lib.rs` the root.
fn module(file: &Path) -> Module {
    let mut parts: Module =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| matches!(&**last, "mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Every path in a file that begins with `crate`, `super` or `self`.
struct Paths {
    module: Module,
    found: Vec<Module>,
}

impl Paths {
    fn add(&mut self, path: &[String]) {
        let mut absolute = match path.first().map(String::as_str) {
            Some("crate") => Module::new(),
            Some("self" | "super") => self.module.clone(),
            _ => return,
        };
        for part in path.iter().filter(|part| *part != "crate" && *part != "self") {
            if part == "super" {
                absolute.pop();
            } else {
                absolute.push(part.clone());
            }
        }
        self.found.push(absolute);
    }

    fn add_tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |ident: &syn::Ident| [before, &[ident.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.add_tree(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) => self.add(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.add(before),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add_tree(tree, before));
            }
        }
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            if item.content.is_some() {
                self.module.push(item.ident.to_string());
            }
            syn::visit::visit_item_mod(self, item);
            if item.content.is_some() {
                self.module.pop();
            }
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.add_tree(&item.tree, &[]);
        }
    }

    /// The visibility of an item imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&parts);
        syn::visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(sources: &[(&str, &str)]) -> Vec<Vec<String>> {
        let sources: Vec<_> = sources
            .iter()
            .map(|(file, source)| (module(Path::new(file)), (*source).to_owned()))
            .collect();
        Modules::of(&sources).expect("Rust").circles()
    }

    #[test]
    fn a_circle_is_found_however_it_is_written() {
        for back in [
            "use crate::a::A;",
            "use super::a::A;",
            "fn f() -> crate::a::A { todo!() }",
            "use crate::{a::{self, A}, c};",
        ] {
            let sources = [("lib.rs", "mod a;"), ("a.rs", "use crate::b::c::C;"), ("b/c.rs", back)];
            let back = back.replace("super::", "super::super::");
            let mut sources = sources;
            sources[2].1 = &back;
            assert_eq!(circles(&sources).len(), 1, "{back}");
        }
    }

    #[test]
    fn an_import_of_a_test_alone_is_no_arrow() {
        let tests = "#[cfg(test)] mod tests { use crate::a::A; }";
        assert!(circles(&[("a.rs", "use crate::b::B;"), ("b.rs", tests)]).is_empty());
        let seen = "pub(super) struct C; pub(in crate::b) fn f() {}";
        assert!(circles(&[("b/mod.rs", "use crate::b::c::C;"), ("b/c.rs", seen)]).is_empty());
    }

    #[test]
    fn no_file_of_a_crate_imports_one_that_imports_it() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        for folder in CRATES {
            let circles = Modules::read(&root.join(folder)).expect("sources").circles();
            assert!(circles.is_empty(), "{folder}: {circles:?}");
        }
    }
}
