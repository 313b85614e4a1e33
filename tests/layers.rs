//! `src/lib.rs` declares the rooms bottom-up, and a room uses only rooms declared above it.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{Visit, visit_item_mod};

#[test]
fn no_room_uses_one_that_is_declared_below_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms = declared_rooms(&source);
    let mut found = Vec::new();
    for (rank, room) in rooms.iter().enumerate() {
        for (file, depth) in files_of(&source, room) {
            let text = fs::read_to_string(&file).expect("a file of the tree");
            let name = file.strip_prefix(&source).expect("below it").display().to_string();
            found.extend(upward_paths(&text, depth, &rooms, rank).into_iter().map(|upward| {
                format!(
                    "src/{name}:{}: `{room}` uses `{}`, which is declared below it",
                    upward.line, upward.room
                )
            }));
        }
    }
    assert!(found.is_empty(), "paths that lead upward:\n{}", found.join("\n"));
}

#[test]
fn an_upward_path_is_found_wherever_it_hides() {
    let rooms = ["event", "hub", "http"].map(str::to_owned);
    let upward = |text: &str| {
        let found = upward_paths(text, 2, &rooms, 1);
        found.into_iter().map(|upward| (upward.line, upward.room)).collect::<Vec<_>>()
    };
    for text in [
        "use crate::http;",
        "use crate::http::Edge as Other;",
        "use crate::{event::Lsn, hub::{self, Hub}, http::{Edge}};",
        "use super::super::http::Edge;",
        "mod tests { use super::super::super::http::Edge; }",
        "fn f() -> crate::http::Edge { todo() }",
        "fn f() { crate::http::start() }",
        "impl crate::http::Edge for Hub {}",
        "fn f<T: Into<crate::http::Edge>>() {}",
        "pub(in crate::http) struct Hub;",
        "fn f() { assert_eq!(1, crate::http::PORT) }",
        "fn f() { vec![(super::super::http::PORT, { crate :: event :: x })] }",
        "macro_rules! m { () => { $crate::http::PORT } }",
        "#[derive(X)] #[y(with = crate::http::z)] struct Hub;",
    ] {
        assert_eq!(upward(text), [(1, "http".to_owned())], "{text}");
    }
    for text in [
        "use crate::event::Lsn;",
        "use crate::hub::Hub;",
        "use super::http;",
        "use http::Request;",
        "pub(crate) struct Hub;",
        "mod tests { use super::super::http; }",
        "// crate::http\nconst TEXT: &str = \"crate::http\";",
    ] {
        assert_eq!(upward(text), [], "{text}");
    }
    assert_eq!(upward("fn f() {}\n\nuse crate::http;"), [(3, "http".to_owned())]);
}

/// The rooms, in the order of their `mod` lines.
fn declared_rooms(source: &Path) -> Vec<String> {
    let text = fs::read_to_string(source.join("lib.rs")).expect("the library has a root");
    let file = syn::parse_file(&text).expect("it compiles");
    let rooms: Vec<_> = file
        .items
        .iter()
        .filter_map(|item| match item {
            syn::Item::Mod(module) => Some(module.ident.to_string()),
            _ => None,
        })
        .collect();
    assert!(!rooms.is_empty(), "no `mod` line in src/lib.rs");
    rooms
}

/// The files of a room, each with how deep its module lies below the crate's root.
fn files_of(source: &Path, room: &str) -> Vec<(PathBuf, usize)> {
    let front = source.join(format!("{room}.rs"));
    assert!(front.is_file(), "the room `{room}` has no {}", front.display());
    let mut files = vec![(front, 1)];
    let mut folders = vec![(source.join(room), 2)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("a folder of the tree").path();
            if path.is_dir() {
                folders.push((path, depth + 1));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push((path, depth));
            }
        }
    }
    files
}

struct Upward {
    line: usize,
    room: String,
}

/// The paths in a file that lead to a room below the one at `rank`.
fn upward_paths(text: &str, depth: usize, rooms: &[String], rank: usize) -> Vec<Upward> {
    let file = syn::parse_file(text).expect("the tree compiles");
    let mut search = Search { depth, rooms, rank, found: Vec::new() };
    search.visit_file(&file);
    search.found
}

struct Search<'a> {
    depth: usize,
    rooms: &'a [String],
    rank: usize,
    found: Vec<Upward>,
}

impl Search<'_> {
    /// Judges a path by its segments from the first one on; those before the first room lead to the root.
    fn judge(&mut self, segments: &[proc_macro2::Ident]) {
        let supers = segments.iter().take_while(|segment| *segment == "super").count();
        let to_root = match segments.first() {
            Some(first) if first == "crate" => 1,
            _ if supers == self.depth => supers,
            _ => return,
        };
        let Some(target) = segments.get(to_root) else { return };
        let name = target.to_string();
        if self.rooms.iter().position(|room| *room == name).is_some_and(|rank| rank > self.rank) {
            self.found.push(Upward { line: target.span().start().line, room: name });
        }
    }

    fn judge_tree(&mut self, before: &[proc_macro2::Ident], tree: &syn::UseTree) {
        let with = |ident: &proc_macro2::Ident| [before, std::slice::from_ref(ident)].concat();
        match tree {
            syn::UseTree::Path(path) => {
                let segments = with(&path.ident);
                // A room is named once for all that is taken from it.
                if self.names_room(&segments) {
                    self.judge(&segments);
                } else {
                    self.judge_tree(&segments, &path.tree);
                }
            }
            syn::UseTree::Name(name) => self.judge(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.judge(&with(&rename.ident)),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.judge_tree(before, tree)),
            syn::UseTree::Glob(_) => {}
        }
    }

    fn names_room(&self, segments: &[proc_macro2::Ident]) -> bool {
        match segments {
            [first, _] if first == "crate" => true,
            [supers @ .., _] => supers.len() == self.depth && supers.iter().all(|segment| segment == "super"),
            [] => false,
        }
    }

    /// Macros hide their paths from the parser: `a :: b :: c` is looked for among the tokens.
    fn judge_tokens(&mut self, tokens: TokenStream) {
        let mut path = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.judge(&std::mem::take(&mut path));
                    }
                    path.push(ident);
                    colons = 0;
                }
                other => {
                    self.judge(&std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.judge_tokens(group.stream());
                    }
                }
            }
        }
        self.judge(&path);
    }
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.judge_tree(&[], &item.tree);
        for attribute in &item.attrs {
            self.visit_attribute(attribute);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.clone()).collect();
        self.judge(&segments);
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.visit_path(&item.path);
        self.judge_tokens(item.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.judge_tokens(list.tokens.clone());
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let inside = usize::from(item.content.is_some());
        self.depth += inside;
        visit_item_mod(self, item);
        self.depth -= inside;
    }
}
