//! Rust source as text: enough of the grammar to tell code from comments and strings, and to read paths.

/// One file; `code` is `text` with comments, strings and characters blanked out, line for line.
pub struct Source {
    pub path: String,
    pub text: String,
    code: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: blank(text) }
    }

    /// The file without its test modules; none when all of it is tests.
    pub fn outside_tests(path: &str, text: &str) -> Option<Self> {
        let is_tests = path.ends_with("/tests.rs") || path.contains("/tests/");
        let mut source = Self::new(path, text);
        while let Some(begin) = source.code.find("#[cfg(test)]") {
            let end = end_of_item(&source.code, begin);
            blank_range(&mut source.code, begin, end);
            blank_range(&mut source.text, begin, end);
        }
        (!is_tests).then_some(source)
    }

    /// The file's module path, as in `store`, `sqlite`, `log`; a `mod.rs` is its folder.
    pub fn modules(&self) -> Vec<String> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        path.split('/').filter(|part| *part != "mod").map(str::to_owned).collect()
    }

    /// Every path that begins with `crate::`, with its line; groups are spread out.
    pub fn crate_paths(&self) -> Vec<(usize, Vec<String>)> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("crate::") {
            let before = self.code[..at].chars().next_back();
            // `$crate::` of a macro counts; `some_crate::` does not.
            if before.is_none_or(|c| !is_word(c)) {
                let line = self.line_of(at);
                let mut paths = Vec::new();
                spread(&self.code[at + "crate::".len()..], &[], &mut paths);
                found.extend(paths.into_iter().map(|path| (line, path)));
            }
        }
        found
    }

    /// Every path of the crate that the code names, from `crate::`, `super::` or `self::`, as module path
    /// from the root.
    pub fn own_paths(&self) -> Vec<Vec<String>> {
        let mut found: Vec<Vec<String>> = self.crate_paths().into_iter().map(|(_, path)| path).collect();
        for (at, begin) in self.code.match_indices("super::").chain(self.code.match_indices("self::")) {
            let before = self.code[..at].chars().next_back();
            if before.is_none_or(|c| !is_word(c) && c != ':') {
                let mut base = self.modules();
                if begin == "super::" {
                    base.pop();
                }
                spread(&self.code[at + begin.len()..], &base, &mut found);
            }
        }
        found
    }

    /// Every name in the code, with its line.
    pub fn names(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.lines().enumerate();
        lines.flat_map(|(at, line)| {
            line.split(|c| !is_word(c)).filter(|name| !name.is_empty()).map(move |name| (at + 1, name))
        })
    }

    /// Every type that is public without restriction, with its line.
    pub fn public_types(&self) -> Vec<(usize, &str)> {
        let lines = self.code.lines().enumerate();
        let found = lines.filter_map(|(at, line)| {
            let (kind, rest) = line.trim_start().strip_prefix("pub ")?.split_once(' ')?;
            let name = rest.split(|c| !is_word(c)).next()?;
            // A macro's `$name` is no name.
            let named = !name.is_empty();
            (named && matches!(kind, "struct" | "enum" | "trait" | "type" | "union"))
                .then_some((at + 1, name))
        });
        found.collect()
    }

    /// Numbers of the lines whose code has `pattern`.
    pub fn lines_with(&self, pattern: &str) -> Vec<usize> {
        self.code.match_indices(pattern).map(|(at, _)| self.line_of(at)).collect()
    }

    /// The word after each `call`, which ends with its parenthesis, with its line.
    pub fn first_arguments(&self, call: &str) -> Vec<(usize, &str)> {
        let found = self.code.match_indices(call).map(|(at, _)| {
            let rest = self.code[at + call.len()..].trim_start();
            (self.line_of(at), rest.split(|c| !is_word(c)).next().unwrap_or_default())
        });
        found.collect()
    }

    pub fn line(&self, number: usize) -> &str {
        self.text.lines().nth(number - 1).unwrap_or_default()
    }

    /// Whether the line or one of the four above it has a comment.
    pub fn has_comment_near(&self, number: usize) -> bool {
        (number.saturating_sub(4).max(1)..=number).any(|line| !comment_of(self.line(line)).is_empty())
    }

    /// Whether the code names `ident` as a crate: `ident::…`, `use ident`, or an attribute or derive path of
    /// it.
    pub fn names_crate(&self, ident: &str) -> bool {
        self.code.match_indices(ident).any(|(at, _)| {
            let before = self.code[..at].chars().next_back();
            let after = &self.code[at + ident.len()..];
            let begins = before.is_none_or(|c| !is_word(c));
            let as_import = self.code[..at].trim_end().ends_with("use") && after.starts_with([';', ' ']);
            begins && (after.starts_with("::") || as_import)
        })
    }

    fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

/// The comment on a line of Rust, TOML or JavaScript; empty when it has none.
pub fn comment_of(line: &str) -> &str {
    let trimmed = line.trim_start();
    let whole = trimmed.starts_with("//") || trimmed.starts_with("# ") || trimmed.starts_with("* ");
    if whole { trimmed } else { line.find(" // ").map_or("", |at| &line[at..]) }
}

/// Files beside or below `path` that are test modules only, because it declares them so: `#[cfg(test)] mod
/// name;`.
pub fn test_files(path: &str, text: &str) -> Vec<String> {
    let folder = path.trim_end_matches(".rs").trim_end_matches("/mod").trim_end_matches("/lib");
    let declared =
        text.split("#[cfg(test)]").skip(1).filter_map(|after| after.trim_start().strip_prefix("mod "));
    let names = declared.filter_map(|after| after.lines().next()?.strip_suffix(';'));
    names.map(|name| format!("{folder}/{name}.rs")).collect()
}

/// Names of the dependencies of all kinds in a manifest.
pub fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = matches!(line.trim(), "[dependencies]" | "[dev-dependencies]" | "[build-dependencies]");
        } else if let Some((name, _)) = line.split_once('=').filter(|_| inside && !line.starts_with('#')) {
            names.push(name.trim().trim_end_matches(".workspace").to_owned());
        }
    }
    names
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Reads `a::b::{c, d::e}` after `prefix` into `paths`; answers what follows.
fn spread<'a>(text: &'a str, prefix: &[String], paths: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = prefix.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            rest = group.trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                rest = spread(rest, &path, paths).trim_start();
                let alias_or_comma = rest.find([',', '}']).unwrap_or(rest.len());
                rest = rest[alias_or_comma..].trim_start_matches(',').trim_start();
            }
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        if length == 0 {
            break;
        }
        path.push(rest[..length].to_owned());
        rest = &rest[length..];
        match rest.strip_prefix("::") {
            Some(more) => rest = more,
            None => break,
        }
    }
    paths.push(path);
    rest
}

/// Where the item that begins at `begin` ends: at its closing brace, or at a semicolon before any brace.
fn end_of_item(code: &str, begin: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[begin..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return begin + at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return begin + at + 1,
            _ => {}
        }
    }
    code.len()
}

fn blank_range(text: &mut String, begin: usize, end: usize) {
    let blanked: String =
        text[begin..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
    text.replace_range(begin..end, &blanked);
}

/// Comments, strings and characters as spaces, byte for byte, so that lines and columns stay.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match &bytes[at..] {
            [b'/', b'/', ..] => find(bytes, at, b"\n"),
            [b'/', b'*', ..] => find(bytes, at + 2, b"*/") + 2,
            [b'r', b'"' | b'#', ..]
                if at == 0 || !is_word(char::from(bytes[at - 1])) || bytes[at - 1] == b'b' =>
            {
                raw_string_end(bytes, at)
            }
            [b'"', ..] => quoted_end(bytes, at, b'"'),
            [b'\'', b'\\', ..] | [b'\'', _, b'\'', ..] => quoted_end(bytes, at, b'\''),
            // A character of several bytes; a lifetime never has one.
            [b'\'', byte, ..] if *byte >= 0x80 => quoted_end(bytes, at, b'\''),
            _ => at,
        };
        let end = end.min(bytes.len());
        out[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end.max(at + 1);
    }
    // What is not ASCII stands only in comments and strings in this tree; anything else becomes a blank too.
    out.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { ' ' }).collect()
}

fn find(bytes: &[u8], from: usize, needle: &[u8]) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.windows(needle.len()).position(|window| window == needle).map_or(bytes.len(), |at| from + at)
}

/// After `r"…"` or `r#"…"#`; the same place for a raw identifier such as `r#type`.
fn raw_string_end(bytes: &[u8], at: usize) -> usize {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(at + 1 + hashes) != Some(&b'"') {
        return at;
    }
    let closing: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    find(bytes, at + 2 + hashes, &closing) + closing.len()
}

fn quoted_end(bytes: &[u8], at: usize, quote: u8) -> usize {
    let mut next = at + 1;
    while next < bytes.len() && bytes[next] != quote {
        next += if bytes[next] == b'\\' { 2 } else { 1 };
    }
    next + 1
}

#[test]
fn comments_and_strings_are_no_code() {
    let source = Source::new(
        "src/a/b.rs",
        "use crate::x::{y, z::{self as q, w}};\n// crate::no\nlet s = \"crate::no\"; let r = r#\"crate::no\"#; let c = '\"';\nfn f<'a>() { crate::v::g(); } /* crate::no */ my_crate::no();\n",
    );
    let paths: Vec<String> =
        source.crate_paths().iter().map(|(line, path)| format!("{line} {}", path.join("::"))).collect();
    assert_eq!(paths, ["1 x::y", "1 x::z::self", "1 x::z::w", "4 v::g"]);
    assert_eq!(source.modules(), ["a", "b"]);
    let calls = Source::new("src/a.rs", "f(); // mark!(No)\nmark!(One);\nmark!(\n    Two,\n    x > 1\n);\n");
    assert_eq!(calls.first_arguments("mark!("), [(2, "One"), (3, "Two")]);
}

#[test]
fn test_modules_are_left_out() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { x.unwrap(); }\n}\n#[cfg(test)]\nmod more;\nfn c() { y.unwrap(); }\n";
    let source = Source::outside_tests("src/a.rs", text).unwrap();
    assert_eq!(source.lines_with(".unwrap()"), [8]);
    assert!(Source::outside_tests("src/a/tests.rs", text).is_none());
    assert_eq!(test_files("src/a/mod.rs", text), ["src/a/more.rs"]);
}
