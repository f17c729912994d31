//! Paths that a Rust file names: those of its `use` declarations, and those in code and attributes.

use super::{
    items::{Item, Visibility, closing},
    lexer::{Kind, Language, Token, tokens},
};

/// First segment of a path that begins with `::`, which names another crate.
const OTHER_CRATE: &str = "::";

/// Path that a file names.
#[derive(Clone, Debug)]
pub struct Named {
    pub path: Vec<String>,
    /// Name that a `use` declaration gives it; none for a plain path, a glob and `as _`.
    pub name: Option<String>,
    pub glob: bool,
    pub visibility: Visibility,
    /// Inline modules around it, from the outermost.
    pub inline: Vec<String>,
    pub test: bool,
    pub line: usize,
}

/// Reads every path of a file, from its tokens and its items.
pub fn paths(tokens: &[Token], items: &[Item]) -> Vec<Named> {
    let mut found = Vec::new();
    for item in items.iter().filter(|item| item.keyword == "use") {
        let mut tree = Tree { tokens: &tokens[item.from + 1..item.to], at: 0, leaves: Vec::new() };
        tree.read(&[]);
        let around = Surroundings { visibility: item.visibility, ..surroundings(items, item.from) };
        found.extend(tree.leaves.into_iter().map(|leaf| around.named(leaf, item.test, tokens[item.from].line)));
    }
    found.extend(plain(tokens, items));
    found.extend(attribute_texts(tokens, items));
    found
}

/// Visibility and modules that apply to a path.
struct Surroundings {
    visibility: Visibility,
    inline: Vec<String>,
    test: bool,
}

impl Surroundings {
    fn named(&self, leaf: Leaf, test: bool, line: usize) -> Named {
        let Leaf { path, name, glob } = leaf;
        Named {
            path,
            name,
            glob,
            visibility: self.visibility,
            inline: self.inline.clone(),
            test: self.test || test,
            line,
        }
    }
}

fn surroundings(items: &[Item], at: usize) -> Surroundings {
    let around = || items.iter().filter(|item| item.keyword != "use" && item.from < at && at <= item.to);
    Surroundings {
        visibility: Visibility::Private,
        inline: around().filter(|item| item.keyword == "mod").map(|item| item.name.clone()).collect(),
        test: around().any(|item| item.test),
    }
}

/// Path at the end of a branch of a `use` tree.
struct Leaf {
    path: Vec<String>,
    name: Option<String>,
    glob: bool,
}

struct Tree<'a> {
    tokens: &'a [Token],
    at: usize,
    leaves: Vec<Leaf>,
}

impl Tree<'_> {
    /// Reads one branch: `a::b`, `a::b as c`, `a::*` or `a::{…}`.
    fn read(&mut self, before: &[String]) {
        let mut path = before.to_vec();
        if path.is_empty() && self.takes("::") {
            path.push(OTHER_CRATE.to_owned());
        }
        while let Some(token) = self.tokens.get(self.at) {
            self.at += 1;
            match (token.kind, token.text.as_str()) {
                (_, "{") => return self.list(&path),
                (_, "*") => return self.leaves.push(Leaf { path, name: None, glob: true }),
                (Kind::Name, _) => path.push(token.text.clone()),
                _ => return,
            }
            if !self.takes("::") {
                return self.leaf(path);
            }
        }
    }

    fn list(&mut self, path: &[String]) {
        while self.at < self.tokens.len() && !self.takes("}") {
            self.read(path);
            self.takes(",");
        }
    }

    fn leaf(&mut self, mut path: Vec<String>) {
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let renamed = self.takes("as").then(|| self.tokens[self.at].text.clone());
        self.at += usize::from(renamed.is_some());
        let name = renamed.or_else(|| path.last().cloned()).filter(|name| name != "_");
        self.leaves.push(Leaf { path, name, glob: false });
    }

    fn takes(&mut self, text: &str) -> bool {
        let taken = self.tokens.get(self.at).is_some_and(|token| token.is(text));
        self.at += usize::from(taken);
        taken
    }
}

/// Paths of two segments or more outside `use` declarations.
fn plain(tokens: &[Token], items: &[Item]) -> Vec<Named> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.is(text));
    let declared = |at: usize| items.iter().any(|item| item.keyword == "use" && item.from <= at && at <= item.to);
    (0..tokens.len())
        .filter(|at| tokens[*at].kind == Kind::Name && is(at + 1, "::") && !(*at > 0 && is(at - 1, "::")))
        .filter(|at| !declared(*at))
        .map(|at| {
            let leaf = Leaf { path: path_at(tokens, at), name: None, glob: false };
            surroundings(items, at).named(leaf, false, tokens[at].line)
        })
        .collect()
}

fn path_at(tokens: &[Token], mut at: usize) -> Vec<String> {
    let mut path = vec![tokens[at].text.clone()];
    while let [mark, name] = &tokens[(at + 1).min(tokens.len())..(at + 3).min(tokens.len())]
        && mark.is("::")
        && name.kind == Kind::Name
    {
        path.push(name.text.clone());
        at += 2;
    }
    path
}

/// Paths in the strings of serde attributes, such as `#[serde(with = "crate::clock::human_duration")]`.
fn attribute_texts(tokens: &[Token], items: &[Item]) -> Vec<Named> {
    let starts = tokens.windows(3).enumerate();
    let starts = starts.filter(|(_, three)| three[0].is("#") && three[1].is("[") && three[2].is("serde"));
    let literals = starts.flat_map(|(at, _)| at..closing(tokens, at + 1)).filter(|at| {
        let text = tokens[*at].text.as_str();
        tokens[*at].kind == Kind::Literal && ["crate::", "super::", "self::"].iter().any(|root| text.starts_with(root))
    });
    literals
        .map(|at| {
            let inner = super::lexer::tokens(&tokens[at].text, Language::Rust);
            let leaf = Leaf { path: path_at(&inner, 0), name: None, glob: false };
            surroundings(items, at).named(leaf, false, tokens[at].line)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths_of_text(text: &str) -> Vec<Named> {
        let mut found = tokens(text, Language::Rust);
        found.retain(|token| token.kind != Kind::Comment);
        paths(&found, &super::super::items::items(&found))
    }

    fn joined(text: &str) -> Vec<String> {
        paths_of_text(text).iter().map(|named| named.path.join("::") + if named.glob { "::*" } else { "" }).collect()
    }

    #[test]
    fn use_lists_are_read_with_all_their_branches() {
        let text = "pub use crate::{a::{self, B as C, d::*}, e}; use ::f::g; use super::super::h as _;";
        let found = joined(text);
        assert_eq!(found, ["crate::a", "crate::a::B", "crate::a::d::*", "crate::e", "::::f::g", "super::super::h"]);
        let names: Vec<_> = paths_of_text(text).into_iter().map(|named| named.name.unwrap_or_default()).collect();
        assert_eq!(names, ["a", "C", "", "e", "g", ""]);
    }

    #[test]
    fn plain_paths_and_attributes_are_read() {
        let text = "#[arg(value_parser = crate::a::b)] #[serde(with = \"crate::c\")] fn d() -> impl Fn() + use<> {
            crate::e::f::<crate::g::H>(<I as super::J>::K) }";
        assert_eq!(joined(text), ["crate::a::b", "crate::e::f", "crate::g::H", "super::J", "crate::c"]);
    }

    #[test]
    fn comments_and_strings_are_not_read() {
        assert!(joined("/// [`crate::a`]\n// crate::b\nconst C: &str = \"crate::d\"; /* crate::e */").is_empty());
    }

    #[test]
    fn inline_modules_are_remembered() {
        let found = paths_of_text("#[cfg(test)] mod tests { mod a { fn b() { super::super::c() } } }");
        assert_eq!(found[0].inline, ["tests", "a"]);
        assert!(found[0].test);
    }
}
