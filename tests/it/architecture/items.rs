//! Items of a Rust file: definitions, modules and `use` declarations, with visibility and documentation.

use super::lexer::{Kind, Token};

/// Visibility of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    #[default]
    Private,
    /// `pub(super)` and `pub(in …)`.
    Inside,
    Crate,
    Public,
}

/// Braces in which an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    Module,
    Inherent,
    Trait,
    /// Body of a function, a type or a macro.
    Body,
}

/// Item of a file. `from` and `to` are the indexes of its first and last token after attributes and visibility.
#[derive(Clone, Debug)]
pub struct Item {
    /// Keyword that introduces it.
    pub keyword: String,
    pub name: String,
    pub from: usize,
    pub to: usize,
    pub visibility: Visibility,
    pub documented: bool,
    pub home: Home,
    /// `#[cfg(test)]` stands at the item or at a module around it.
    pub test: bool,
}

/// Finds the items of a file in the order of their keywords.
pub fn items(tokens: &[Token]) -> Vec<Item> {
    let mut scanner =
        Scanner { tokens, at: 0, head: Head::default(), pending: None, open: Vec::new(), found: Vec::new() };
    while scanner.at < tokens.len() {
        scanner.step();
    }
    scanner.found
}

/// Index of the mark that closes the one at `open`.
pub fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open).filter(|(_, token)| token.kind == Kind::Mark) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len() - 1
}

/// Attributes and visibility that were read before an item.
#[derive(Default)]
struct Head {
    visibility: Visibility,
    documented: bool,
    test: bool,
}

#[derive(Clone, Copy)]
enum Owner {
    Item(usize),
    Impl { of_trait: bool },
    Nothing,
}

struct Scanner<'a> {
    tokens: &'a [Token],
    at: usize,
    head: Head,
    /// Item or `impl` that waits for its braces, and the number of marks open around it.
    pending: Option<(Owner, usize)>,
    open: Vec<Owner>,
    found: Vec<Item>,
}

impl Scanner<'_> {
    fn step(&mut self) {
        let token = &self.tokens[self.at];
        match token.kind {
            Kind::Doc => self.doc(&token.text),
            Kind::Mark => self.mark(&token.text),
            Kind::Name => self.name(&token.text),
            Kind::Literal | Kind::Comment => {}
        }
        self.at += 1;
    }

    fn doc(&mut self, text: &str) {
        if text.starts_with("///") || text.starts_with("/**") {
            self.head.documented = true;
        } else if let Some(Owner::Item(module)) = self.open.last() {
            self.found[*module].documented = true;
        }
    }

    fn mark(&mut self, text: &str) {
        match text {
            "#" if self.next_is(1, "[") || (self.next_is(1, "!") && self.next_is(2, "[")) => self.attribute(),
            "(" | "[" => self.open.push(Owner::Nothing),
            "{" => self.open_brace(),
            ")" | "]" => drop(self.open.pop()),
            "}" => self.close_brace(),
            ";" => self.end_of_item(),
            "," => self.head = Head::default(),
            _ => {}
        }
    }

    fn attribute(&mut self) {
        let open = self.at + if self.next_is(1, "[") { 1 } else { 2 };
        let end = closing(self.tokens, open);
        let has = |name: &str| self.tokens[open..end].iter().any(|token| token.is(name));
        self.head.test |= has("cfg") && has("test") && !has("any") && !has("not");
        self.head.documented |= self.tokens[open + 1].is("doc");
        self.at = end;
    }

    fn open_brace(&mut self) {
        let owner = match self.pending {
            Some((owner, height)) if height == self.open.len() => {
                self.pending = None;
                owner
            }
            _ => Owner::Nothing,
        };
        self.open.push(owner);
        self.head = Head::default();
    }

    fn close_brace(&mut self) {
        if let Some(Owner::Item(item)) = self.open.pop() {
            self.found[item].to = self.at;
        }
        self.pending = self.pending.filter(|(_, height)| *height <= self.open.len());
        self.head = Head::default();
    }

    fn end_of_item(&mut self) {
        if let Some((owner, height)) = self.pending
            && height == self.open.len()
        {
            if let Owner::Item(item) = owner {
                self.found[item].to = self.at;
            }
            self.pending = None;
        }
        self.head = Head::default();
    }

    fn name(&mut self, text: &str) {
        match text {
            "pub" => self.visibility(),
            "use" if !self.next_is(1, "<") => self.use_declaration(),
            "impl" if self.pending.is_none() => self.wait_for_braces(Owner::Impl { of_trait: false }),
            "for" if !self.next_is(1, "<") => self.impl_of_trait(),
            "struct" | "enum" | "union" | "trait" | "type" | "fn" | "mod" if self.next_is_name(1) => self.define(1),
            "const" | "static" if self.next_is(1, "mut") && self.next_is(3, ":") && !self.in_type() => self.define(2),
            "const" | "static" if self.next_is_name(1) && self.next_is(2, ":") && !self.in_type() => self.define(1),
            _ => {}
        }
    }

    fn visibility(&mut self) {
        self.head.visibility = match () {
            () if !self.next_is(1, "(") => Visibility::Public,
            () if self.next_is(2, "crate") => Visibility::Crate,
            () => Visibility::Inside,
        };
        if self.next_is(1, "(") {
            self.at = closing(self.tokens, self.at + 1);
        }
    }

    fn use_declaration(&mut self) {
        let end = self.tokens[self.at..].iter().position(|token| token.is(";"));
        let end = end.map_or(self.tokens.len() - 1, |length| self.at + length);
        self.add(String::new(), end);
        self.at = end;
        self.head = Head::default();
    }

    fn impl_of_trait(&mut self) {
        if let Some((Owner::Impl { of_trait }, height)) = &mut self.pending
            && *height == self.open.len()
        {
            *of_trait = true;
        }
    }

    fn define(&mut self, name_after: usize) {
        let name = self.tokens[self.at + name_after].text.clone();
        self.add(name, self.at);
        self.wait_for_braces(Owner::Item(self.found.len() - 1));
    }

    fn add(&mut self, name: String, to: usize) {
        let test = self.head.test || self.in_test();
        let keyword = self.tokens[self.at].text.clone();
        let Head { visibility, documented, .. } = self.head;
        self.found.push(Item { keyword, name, from: self.at, to, visibility, documented, home: self.home(), test });
    }

    fn wait_for_braces(&mut self, owner: Owner) {
        self.pending = Some((owner, self.open.len()));
    }

    fn in_test(&self) -> bool {
        self.open.iter().any(|owner| matches!(owner, Owner::Item(item) if self.found[*item].test))
    }

    fn home(&self) -> Home {
        match self.open.last() {
            None => Home::Module,
            Some(Owner::Impl { of_trait: false }) => Home::Inherent,
            Some(Owner::Impl { of_trait: true }) => Home::Trait,
            Some(Owner::Nothing) => Home::Body,
            Some(Owner::Item(item)) => match self.found[*item].keyword.as_str() {
                "mod" => Home::Module,
                "trait" => Home::Trait,
                _ => Home::Body,
            },
        }
    }

    /// Tells `*const T` and `<const N: usize>` from the definition of a constant.
    fn in_type(&self) -> bool {
        self.at > 0 && ["*", "<", ",", "("].iter().any(|mark| self.tokens[self.at - 1].is(mark))
    }

    fn next_is(&self, distance: usize, text: &str) -> bool {
        self.tokens.get(self.at + distance).is_some_and(|token| token.is(text))
    }

    fn next_is_name(&self, distance: usize) -> bool {
        self.tokens.get(self.at + distance).is_some_and(|token| token.kind == Kind::Name)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::lexer::Language, *};

    fn read(text: &str) -> Vec<Item> {
        items(&super::super::lexer::tokens(text, Language::Rust))
    }

    #[test]
    fn items_are_found_with_their_home() {
        let text =
            "pub struct A<const N: usize>([u8; N]); impl A { pub const fn b(c: impl Fn()) -> u8 { struct D; 0 } }
            impl for_<E> for A { type F = u8; fn g() where H: for<'a> I<'a> {} }
            trait J { fn k(); } mod l { pub static M: u8 = 1; }";
        let found: Vec<(String, Home)> = read(text).into_iter().map(|item| (item.name, item.home)).collect();
        let expected = [
            ("A", Home::Module),
            ("b", Home::Inherent),
            ("D", Home::Body),
            ("F", Home::Trait),
            ("g", Home::Trait),
            ("J", Home::Module),
            ("k", Home::Trait),
            ("l", Home::Module),
            ("M", Home::Module),
        ];
        assert_eq!(found, expected.map(|(name, home)| (name.to_owned(), home)));
    }

    #[test]
    fn visibility_and_documentation_belong_to_the_next_item() {
        let found =
            read("/// A.\n#[derive(B, C)]\npub struct D { /// E.\n pub e: u8 }\npub(crate) fn f() {}\npub fn g() {}");
        let facts: Vec<_> = found.iter().map(|item| (item.visibility, item.documented)).collect();
        assert_eq!(facts, [(Visibility::Public, true), (Visibility::Crate, false), (Visibility::Public, false)]);
    }

    #[test]
    fn test_modules_mark_what_they_hold() {
        let text = "#[cfg(test)] mod a { fn b() {} mod c { fn d() {} } } fn e() {}
            #[cfg(any(test, feature = \"f\"))] fn g() {}";
        let found: Vec<(String, bool)> = read(text).into_iter().map(|item| (item.name, item.test)).collect();
        let expected = [("a", true), ("b", true), ("c", true), ("d", true), ("e", false), ("g", false)];
        assert_eq!(found, expected.map(|(name, test)| (name.to_owned(), test)));
    }
}
