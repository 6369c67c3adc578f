//! The page's fenced blocks, parsed into lines of who sends what.

use std::fs;
use std::path::Path;

/// What an example shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTTP requests and their answers.
    Http,
    /// Frames on one or several WebSocket connections.
    Session,
}

/// Who speaks in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `>`: the client.
    Sent,
    /// `<`: the server.
    Received,
    /// `!`: something that happens to the server.
    Happens,
}

/// One line, its continuations joined to it.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where on the page, from 1.
    pub number: usize,
    /// The user; empty for one that has not said who they are.
    pub who: String,
    /// See [`Way`].
    pub way: Way,
    /// What is said.
    pub text: String,
}

/// One example.
#[derive(Clone, Debug)]
pub struct Block {
    /// What it shows.
    pub kind: Kind,
    /// Settings of a server of its own; empty: the page's one server.
    pub settings: Vec<(String, String)>,
    /// It shows bytes that only the JSON encoding has.
    pub json_only: bool,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// What an example got wrong, and where.
#[derive(Debug)]
pub struct Wrong {
    /// The line on the page.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// The page.
pub fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PROTOCOL.md");
    fs::read_to_string(path).expect("docs/PROTOCOL.md is there")
}

/// Its examples, in order. What is for a shell is left out: the tests of the JavaScript client run it. Panics
/// at a fence of another language.
pub fn blocks() -> Vec<Block> {
    blocks_of(&text())
}

fn blocks_of(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        if info == "sh" {
            lines.find(|(_, line)| line.trim_start().starts_with("```"));
            continue;
        }
        let mut block = opened(index + 1, info);
        loop {
            let (index, line) =
                lines.next().unwrap_or_else(|| panic!("line {}: the fence is never closed", index + 1));
            if line.trim_start().starts_with("```") {
                break;
            }
            take_line(&mut block, index + 1, line);
        }
        blocks.push(block);
    }
    blocks
}

fn opened(number: usize, info: &str) -> Block {
    let mut words = info.split_whitespace();
    let kind = match words.next() {
        Some("http") => Kind::Http,
        Some("session") => Kind::Session,
        other => panic!("line {number}: {other:?} is no kind of example: write http or session"),
    };
    let mut block = Block { kind, settings: Vec::new(), json_only: false, lines: Vec::new() };
    for word in words {
        match word.split_once('=') {
            Some((key, value)) => {
                let variable = format!("TIDINGS__{}", key.to_uppercase().replace('.', "__"));
                block.settings.push((variable, value.to_owned()));
            }
            None if word == "json" => block.json_only = true,
            None => panic!("line {number}: {word:?} is neither json nor a setting"),
        }
    }
    block
}

fn take_line(block: &mut Block, number: usize, line: &str) {
    if line.trim().is_empty() || line.starts_with('#') {
        return;
    }
    if line.starts_with(' ') {
        let last = block.lines.last_mut().unwrap_or_else(|| panic!("line {number}: continues nothing"));
        last.text.push(' ');
        last.text.push_str(line.trim());
        return;
    }
    let at = line.find(['>', '<', '!']).unwrap_or_else(|| panic!("line {number}: says nothing: {line}"));
    let way = match &line[at..=at] {
        ">" => Way::Sent,
        "<" => Way::Received,
        _ => Way::Happens,
    };
    let who = line[..at].to_owned();
    assert!(who.bytes().all(|byte| byte.is_ascii_lowercase()), "line {number}: {who:?} is nobody's name");
    block.lines.push(Line { number, who, way, text: line[at + 1..].trim().to_owned() });
}

#[test]
fn fences_are_cut_into_lines() {
    let blocks = blocks_of(
        "x\n```session json gateway.outbox_bytes=4096\n# why\nada> {\"a\":\n  1}\n< close 1000\n```\ny",
    );
    assert_eq!(blocks.len(), 1);
    let block = &blocks[0];
    assert!(block.json_only && block.kind == Kind::Session);
    assert_eq!(block.settings, [("TIDINGS__GATEWAY__OUTBOX_BYTES".to_owned(), "4096".to_owned())]);
    let said: Vec<_> = block.lines.iter().map(|line| (line.number, &line.who[..], &line.text[..])).collect();
    assert_eq!(said, [(4, "ada", "{\"a\": 1}"), (6, "", "close 1000")]);
}

#[test]
#[should_panic(expected = "is no kind of example")]
fn an_unknown_fence_is_refused() {
    blocks_of("```json\n{}\n```");
}
