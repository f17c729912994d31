//! Modules of the crate, and the way from a path to the modules that hold what it names, through re-exports and
//! renamings.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Source,
    imports::Named,
    items::{Home, Visibility},
};

/// Modules by their names, such as `domain::ids`; the name of the root is empty.
pub struct Modules<'a> {
    by_name: BTreeMap<String, Module<'a>>,
}

#[derive(Default)]
struct Module<'a> {
    path: &'a str,
    /// `use` declarations.
    uses: Vec<&'a Named>,
    items: BTreeSet<&'a str>,
}

/// Modules on the way of a path.
#[derive(Default)]
pub struct Trace {
    /// Modules that define what is named, or that re-export it.
    pub holders: BTreeSet<String>,
    /// Modules that the path names themselves.
    pub ends: BTreeSet<String>,
    /// Names behind `crate::` that are no module and no item of the root.
    pub unknown: BTreeSet<String>,
    seen: BTreeSet<(String, String)>,
    /// Globs that are being followed, by module and path: two in one module lead to each other.
    globs: BTreeSet<(String, String)>,
}

impl<'a> Modules<'a> {
    pub fn of(sources: &'a [Source]) -> Self {
        let mut by_name: BTreeMap<String, Module<'a>> = BTreeMap::new();
        by_name.entry(String::new()).or_default();
        for source in sources.iter().filter(|source| source.is_rust() && source.module() != "main") {
            by_name.entry(source.module()).or_default().path = &source.path;
            for named in source.named.iter().filter(|named| named.name.is_some() || named.glob) {
                let module = by_name.entry(module_of(source, named)).or_default();
                module.path = &source.path;
                module.uses.push(named);
            }
            let items = source.items.iter().filter(|item| item.home == Home::Module && item.keyword != "mod");
            by_name.entry(source.module()).or_default().items.extend(items.map(|item| item.name.as_str()));
        }
        Self { by_name }
    }

    /// File that holds a module.
    pub fn path(&self, module: &str) -> &'a str {
        self.by_name.get(module).map_or("", |module| module.path)
    }

    /// Follows a path that is written in a module.
    pub fn trace(&self, module: &str, named: &Named) -> Trace {
        let mut trace = Trace::default();
        let path: Vec<&str> = named.path.iter().map(String::as_str).collect();
        self.follow(module, &path, &mut trace);
        if named.glob && trace.ends.contains("") {
            trace.unknown.insert("*".to_owned());
        }
        trace
    }

    /// Follows each name that other rooms can import from a module by a glob.
    pub fn trace_public_names(&self, module: &str) -> Trace {
        let mut trace = Trace::default();
        let uses = self.by_name.get(module).map_or(&[][..], |module| &module.uses);
        for named in uses.iter().filter(|named| leaves_the_room(named)) {
            let path: Vec<&str> = named.path.iter().map(String::as_str).collect();
            self.follow(module, &path, &mut trace);
        }
        trace
    }

    fn follow(&self, module: &str, path: &[&str], trace: &mut Trace) {
        match path {
            ["crate", rest @ ..] => self.descend("", rest, trace),
            ["self", rest @ ..] => self.descend(module, rest, trace),
            ["super", rest @ ..] => self.follow_up(parent(module), rest, trace),
            _ => self.descend(module, path, trace),
        }
    }

    fn follow_up(&self, module: &str, rest: &[&str], trace: &mut Trace) {
        match rest {
            ["super", rest @ ..] => self.follow_up(parent(module), rest, trace),
            _ => self.descend(module, rest, trace),
        }
    }

    fn descend(&self, module: &str, path: &[&str], trace: &mut Trace) {
        let [name, rest @ ..] = path else {
            trace.holders.insert(module.to_owned());
            trace.ends.insert(module.to_owned());
            return;
        };
        let child = join(module, name);
        let is_child = self.by_name.contains_key(&child);
        if is_child {
            self.descend(&child, rest, trace);
        }
        let renamed = (!is_child || rest.is_empty()) && self.follow_uses(module, path, trace);
        if !is_child && !renamed {
            self.find_item(module, path, trace);
        }
    }

    /// Follows the `use` declarations of a module that bring in the first name of the path.
    fn follow_uses(&self, module: &str, path: &[&str], trace: &mut Trace) -> bool {
        let uses = self.by_name.get(module).map_or(&[][..], |module| &module.uses);
        let targets: Vec<&&Named> = uses.iter().filter(|named| named.name.as_deref() == Some(path[0])).collect();
        if targets.is_empty() || !trace.seen.insert((module.to_owned(), path[0].to_owned())) {
            return false;
        }
        trace.holders.insert(module.to_owned());
        for target in targets {
            let whole: Vec<&str> = target.path.iter().map(String::as_str).chain(path[1..].iter().copied()).collect();
            self.follow(module, &whole, trace);
        }
        true
    }

    /// Ends at an item of the module, or at what its globs bring in.
    fn find_item(&self, module: &str, path: &[&str], trace: &mut Trace) {
        trace.holders.insert(module.to_owned());
        if self.declares(module, path[0]) {
            return;
        }
        if module.is_empty() {
            trace.unknown.insert(path[0].to_owned());
        }
        for target in self.glob_targets(module, trace) {
            let unknown = join(&target, path[0]);
            let named_there = self.by_name.contains_key(&unknown) || self.brings_in(&target, path[0]);
            if (named_there || self.declares(&target, path[0])) && trace.seen.insert((target.clone(), unknown)) {
                trace.unknown.remove(path[0]);
                self.descend(&target, path, trace);
            }
        }
    }

    fn glob_targets(&self, module: &str, trace: &mut Trace) -> BTreeSet<String> {
        let mut inner = Trace { globs: std::mem::take(&mut trace.globs), ..Trace::default() };
        let uses = self.by_name.get(module).map_or(&[][..], |module| &module.uses);
        for glob in uses.iter().filter(|named| named.glob) {
            let path: Vec<&str> = glob.path.iter().map(String::as_str).collect();
            let at = (module.to_owned(), path.join("::"));
            if trace.seen.insert(at.clone()) && inner.globs.insert(at.clone()) {
                self.follow(module, &path, &mut inner);
                inner.globs.remove(&at);
            }
        }
        trace.globs = inner.globs;
        inner.ends
    }

    fn declares(&self, module: &str, name: &str) -> bool {
        self.by_name.get(module).is_some_and(|module| module.items.contains(name))
    }

    fn brings_in(&self, module: &str, name: &str) -> bool {
        let uses = self.by_name.get(module).map_or(&[][..], |module| &module.uses);
        uses.iter().any(|named| named.name.as_deref() == Some(name))
    }
}

/// Module in which a path is written.
pub fn module_of(source: &Source, named: &Named) -> String {
    named.inline.iter().fold(source.module(), |module, name| join(&module, name))
}

/// Room of a module; none for the root.
pub fn room_of(module: &str) -> Option<&str> {
    module.split("::").next().filter(|room| !room.is_empty())
}

/// Tells whether other rooms can import the name that a `use` declaration gives.
pub fn leaves_the_room(named: &Named) -> bool {
    matches!(named.visibility, Visibility::Public | Visibility::Crate)
}

fn parent(module: &str) -> &str {
    module.rsplit_once("::").map_or("", |(parent, _)| parent)
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}
