//! Tokens of Rust, SQL and JavaScript text, as far as the checks need them.

/// Kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Identifier, keyword, number or lifetime.
    Name,
    /// Punctuation: one character, or `::`.
    Mark,
    /// String or character literal; the text is its contents.
    Literal,
    Comment,
    /// Doc comment of Rust with its marker.
    Doc,
}

/// Token with the number of its first line, counted from 1.
#[derive(Clone, Debug)]
pub struct Token {
    pub kind: Kind,
    pub text: String,
    pub line: usize,
}

impl Token {
    /// Tells whether the token is this identifier or this punctuation.
    pub fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Name | Kind::Mark) && self.text == text
    }
}

/// Language of a file, by its extension.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Rust,
    Sql,
    Script,
}

/// Splits a text into tokens; white space is dropped.
pub fn tokens(text: &str, language: Language) -> Vec<Token> {
    let mut lexer = Lexer { text: text.chars().collect(), at: 0, line: 1, language, found: Vec::new(), open: vec![0] };
    while lexer.at < lexer.text.len() {
        lexer.step();
    }
    lexer.found
}

struct Lexer {
    text: Vec<char>,
    at: usize,
    line: usize,
    language: Language,
    found: Vec<Token>,
    /// Open braces, one count for each `${` of a JavaScript template around the present place.
    open: Vec<usize>,
}

impl Lexer {
    fn step(&mut self) {
        let c = self.text[self.at];
        if c.is_whitespace() {
            self.line += usize::from(c == '\n');
            self.at += 1;
        } else if let Some(end) = self.comment() {
            let kind = if self.is_doc() { Kind::Doc } else { Kind::Comment };
            self.push(kind, (self.at, end), end);
        } else if let Some((contents, end)) = self.literal() {
            self.push(Kind::Literal, contents, end);
        } else if c == '\'' && self.language == Language::Rust {
            self.push_name(1);
        } else if c.is_alphanumeric() || c == '_' || c == '$' {
            let raw = self.language == Language::Rust && self.looking_at("r#");
            self.push_name(if raw { 2 } else { 0 });
        } else {
            self.mark(c);
        }
    }

    fn push(&mut self, kind: Kind, (from, to): (usize, usize), end: usize) {
        let text: String = self.text[from..to].iter().collect();
        self.found.push(Token { kind, text, line: self.line });
        self.line += self.text[self.at..end].iter().filter(|c| **c == '\n').count();
        self.at = end;
    }

    fn push_name(&mut self, prefix: usize) {
        let is_part = |c: &char| c.is_alphanumeric() || *c == '_' || *c == '$';
        let length = self.text[self.at + prefix..].iter().take_while(|c| is_part(c)).count();
        let end = (self.at + prefix + length).max(self.at + 1);
        self.push(Kind::Name, (self.at, end), end);
    }

    fn mark(&mut self, c: char) {
        let end = self.at + if self.looking_at("::") { 2 } else { 1 };
        self.push(Kind::Mark, (self.at, end), end);
        match c {
            '{' => *self.open.last_mut().unwrap() += 1,
            '}' if *self.open.last().unwrap() == 0 && self.open.len() > 1 => {
                self.open.pop();
                let (contents, end) = self.template(self.at);
                self.push(Kind::Literal, contents, end);
            }
            '}' => *self.open.last_mut().unwrap() = self.open.last().unwrap().saturating_sub(1),
            _ => {}
        }
    }

    fn looking_at(&self, text: &str) -> bool {
        self.at_place(self.at, text)
    }

    fn at_place(&self, place: usize, text: &str) -> bool {
        text.chars().enumerate().all(|(index, c)| self.text.get(place + index) == Some(&c))
    }

    /// End of the comment that begins here.
    fn comment(&self) -> Option<usize> {
        let line = if self.language == Language::Sql { "--" } else { "//" };
        if self.looking_at(line) {
            let length = self.text[self.at..].iter().take_while(|c| **c != '\n').count();
            return Some(self.at + length);
        }
        self.looking_at("/*").then(|| self.block_comment())
    }

    fn block_comment(&self) -> usize {
        let (mut depth, mut at) = (0, self.at);
        while at < self.text.len() {
            if self.at_place(at, "/*") && (depth == 0 || self.language == Language::Rust) {
                depth += 1;
                at += 2;
            } else if self.at_place(at, "*/") {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    break;
                }
            } else {
                at += 1;
            }
        }
        at.min(self.text.len())
    }

    fn is_doc(&self) -> bool {
        let outer = self.looking_at("///") && !self.looking_at("////");
        let block = self.looking_at("/**") && !self.looking_at("/***") && !self.looking_at("/**/");
        self.language == Language::Rust && (outer || block || self.looking_at("//!") || self.looking_at("/*!"))
    }

    /// Contents and end of the string, character or regular expression that begins here.
    fn literal(&mut self) -> Option<((usize, usize), usize)> {
        match self.language {
            Language::Rust => self.rust_literal(),
            Language::Sql => self.looking_at("'").then(|| self.quoted(self.at, '\'', false)),
            Language::Script => self.script_literal(),
        }
    }

    fn rust_literal(&self) -> Option<((usize, usize), usize)> {
        let prefix = self.text[self.at..].iter().take_while(|c| "bcr".contains(**c)).count();
        let start = self.at + prefix;
        let raw = self.text[self.at..start].contains(&'r');
        let hashes = self.text[start..].iter().take_while(|c| **c == '#').count();
        if prefix > 2 || (hashes > 0 && !raw) {
            return None;
        }
        if self.at_place(start + hashes, "\"") {
            return Some(if raw { self.raw_string(start, hashes) } else { self.quoted(start, '"', true) });
        }
        let byte = prefix == 0 || (prefix == 1 && self.looking_at("b"));
        (byte && hashes == 0 && self.is_character(start)).then(|| self.quoted(start, '\'', true))
    }

    /// Tells a character literal from a lifetime.
    fn is_character(&self, at: usize) -> bool {
        self.at_place(at, "'\\") || (self.at_place(at, "'") && self.text.get(at + 2) == Some(&'\''))
    }

    fn raw_string(&self, start: usize, hashes: usize) -> ((usize, usize), usize) {
        let close = format!("\"{}", "#".repeat(hashes));
        let from = start + hashes + 1;
        let to = (from..self.text.len()).find(|at| self.at_place(*at, &close)).unwrap_or(self.text.len());
        ((from, to), (to + close.len()).min(self.text.len()))
    }

    fn quoted(&self, start: usize, quote: char, escapes: bool) -> ((usize, usize), usize) {
        let mut at = start + 1;
        while at < self.text.len() && self.text[at] != quote {
            at += if escapes && self.text[at] == '\\' { 2 } else { 1 };
        }
        let to = at.min(self.text.len());
        ((start + 1, to), (to + 1).min(self.text.len()))
    }

    fn script_literal(&mut self) -> Option<((usize, usize), usize)> {
        match self.text[self.at] {
            quote @ ('"' | '\'') => Some(self.quoted(self.at, quote, true)),
            '`' => Some(self.template(self.at + 1)),
            '/' if self.begins_expression() => Some(self.regular_expression()),
            _ => None,
        }
    }

    /// Piece of a template up to its end or to the next `${`, whose code is read like all other code.
    fn template(&mut self, from: usize) -> ((usize, usize), usize) {
        let mut at = from;
        while at < self.text.len() && self.text[at] != '`' {
            if self.at_place(at, "${") {
                self.open.push(0);
                return ((from, at), at + 2);
            }
            at += if self.text[at] == '\\' { 2 } else { 1 };
        }
        let to = at.min(self.text.len());
        ((from, to), (to + 1).min(self.text.len()))
    }

    /// Tells a regular expression from a division, by the token before.
    fn begins_expression(&self) -> bool {
        let code = self.found.iter().rev().find(|token| token.kind != Kind::Comment);
        code.is_none_or(|token| match token.kind {
            Kind::Mark => !matches!(token.text.as_str(), ")" | "]" | "}"),
            _ => token.is("return"),
        })
    }

    fn regular_expression(&self) -> ((usize, usize), usize) {
        let (mut at, mut class) = (self.at + 1, false);
        while at < self.text.len() && self.text[at] != '\n' && (class || self.text[at] != '/') {
            match self.text[at] {
                '\\' => at += 1,
                '[' => class = true,
                ']' => class = false,
                _ => {}
            }
            at += 1;
        }
        let to = at.min(self.text.len());
        ((self.at + 1, to), (to + 1).min(self.text.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_kind(text: &str, language: Language, kind: Kind) -> Vec<String> {
        tokens(text, language).into_iter().filter(|token| token.kind == kind).map(|token| token.text).collect()
    }

    #[test]
    fn rust_strings_and_comments_are_no_names() {
        let text = r##"let a = ("x \" y", r#"raw " z"#, b'\'', '"', 'c'); // comment
            /* outer /* inner */ still */ fn f<'a>(r#type: &'a str) {}"##;
        let names = of_kind(text, Language::Rust, Kind::Name);
        assert_eq!(names, ["let", "a", "fn", "f", "'a", "r#type", "'a", "str"]);
        assert_eq!(of_kind(text, Language::Rust, Kind::Literal), ["x \\\" y", "raw \" z", "\\'", "\"", "c"]);
    }

    #[test]
    fn rust_docs_are_told_from_comments() {
        let text = "//! room\n/// item\n//// rule\n// note\n/** block */\n/***/";
        assert_eq!(of_kind(text, Language::Rust, Kind::Doc), ["//! room", "/// item", "/** block */"]);
        assert_eq!(of_kind(text, Language::Rust, Kind::Comment), ["//// rule", "// note", "/***/"]);
    }

    #[test]
    fn scripts_have_templates_and_regular_expressions() {
        let text = "const a = `x ${one + `y ${two}`} z`; b.match(/[/'\"`]\\//); c = d / e / 'f'; // g";
        let names = of_kind(text, Language::Script, Kind::Name);
        assert_eq!(names, ["const", "a", "one", "two", "b", "match", "c", "d", "e"]);
    }

    #[test]
    fn lines_are_counted_through_strings() {
        let found = tokens("\"one\ntwo\"\n/* a\nb */ here", Language::Rust);
        assert_eq!(found.last().unwrap().line, 4);
    }
}
