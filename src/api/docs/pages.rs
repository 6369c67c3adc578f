//! Which files are pages, and at which address each is served.

use rust_embed::Embed;

/// One file, as `Embed` has those of a folder: a debug build reads it from the checkout, so that a line in
/// the changelog needs no build.
#[cfg(debug_assertions)]
macro_rules! text {
    ($path:literal) => {
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)).ok()
    };
}
#[cfg(not(debug_assertions))]
macro_rules! text {
    ($path:literal) => {
        Some(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)).to_owned())
    };
}

#[derive(Embed)]
#[folder = "docs/"]
#[include = "*.md"]
#[include = "adr/*.md"]
#[allow_missing = true]
struct Docs;

#[derive(Embed)]
#[folder = "clients/js/"]
#[include = "README.md"]
#[include = "tidings.js"]
#[include = "tidings.d.ts"]
#[include = "examples/*"]
#[allow_missing = true]
struct Client;

#[derive(Embed)]
#[folder = "config/"]
#[include = "*.toml"]
#[include = "examples/*.toml"]
#[allow_missing = true]
struct Settings;

type ReadText = fn() -> Option<String>;

/// Pages from elsewhere in the repository.
const OTHERS: &[(&str, ReadText)] = &[
    ("CHANGELOG.md", || text!("CHANGELOG.md")),
    ("CODE_OF_CONDUCT.md", || text!("CODE_OF_CONDUCT.md")),
    ("CONTRIBUTING.md", || text!("CONTRIBUTING.md")),
    ("SECURITY.md", || text!("SECURITY.md")),
    ("loadtests/README.md", || text!("loadtests/README.md")),
];

/// Pages that every page's menu names, in this order: path in the repository, name.
pub const MENU: &[(&str, &str)] = &[
    ("docs/README.md", "All pages"),
    ("docs/QUICKSTART.md", "Quick start"),
    ("docs/PROTOCOL.md", "Protocol"),
    ("clients/js/README.md", "JavaScript"),
    ("docs/SEMANTICS.md", "Semantics"),
    ("docs/TESTING.md", "Testing"),
    ("docs/OPERATIONS.md", "Operations"),
    ("config/default.toml", "Settings"),
    ("docs/METRICS.md", "Metrics"),
    ("docs/ARCHITECTURE.md", "Architecture"),
    ("docs/GLOSSARY.md", "Glossary"),
    ("docs/adr", "Decisions"),
];

/// One page before it is laid out.
pub struct PageFile {
    /// The file, from the root of the repository.
    pub path: String,
    /// The address at which it is served.
    pub address: String,
    /// Markdown, or the content of a block of code.
    pub text: String,
}

impl PageFile {
    fn new(path: &str, text: String) -> Self {
        Self { path: path.to_owned(), address: address(path), text }
    }

    /// Whether the file is Markdown; any other is shown as it is.
    pub fn is_prose(&self) -> bool {
        self.path.ends_with(".md") || self.path == "docs/adr"
    }
}

/// The address of a page, by its path in the repository: `docs/PROTOCOL.md` is served at `/docs/protocol`.
pub fn address(path: &str) -> String {
    let name = path.strip_prefix("docs/").unwrap_or(path).to_lowercase();
    let name = name.strip_suffix(".md").unwrap_or(&name);
    match name.strip_suffix("readme") {
        Some(folder) => format!("/docs/{folder}").trim_end_matches('/').to_owned(),
        None => format!("/docs/{name}"),
    }
}

/// Every page there is.
pub fn all() -> Vec<PageFile> {
    let mut pages = Vec::new();
    let mut decisions = String::from(
        "# Decisions\n\nWhat a newcomer would question, each with its options and consequences.\n\n",
    );
    for name in Docs::iter() {
        let Some(text) = read(Docs::get(&name)) else { continue };
        if let Some(file) = name.strip_prefix("adr/") {
            let title = text.lines().next().unwrap_or_default().trim_start_matches("# ").to_owned();
            decisions.push_str(&format!("- [{title}](adr/{file})\n"));
        }
        pages.push(PageFile::new(&format!("docs/{name}"), text));
    }
    pages.push(PageFile::new("docs/adr", decisions));
    for name in Client::iter() {
        pages.extend(read(Client::get(&name)).map(|text| PageFile::new(&format!("clients/js/{name}"), text)));
    }
    for name in Settings::iter() {
        pages.extend(read(Settings::get(&name)).map(|text| PageFile::new(&format!("config/{name}"), text)));
    }
    pages.extend(OTHERS.iter().filter_map(|(path, read)| read().map(|text| PageFile::new(path, text))));
    pages
}

/// Whether a path of the repository is a page.
pub fn is_page(path: &str) -> bool {
    let within = |folder: &str| path.strip_prefix(folder);
    path == "docs/adr"
        || OTHERS.iter().any(|(other, _)| *other == path)
        || within("docs/").is_some_and(|name| Docs::get(name).is_some())
        || within("clients/js/").is_some_and(|name| Client::get(name).is_some())
        || within("config/").is_some_and(|name| Settings::get(name).is_some())
}

fn read(file: Option<rust_embed::EmbeddedFile>) -> Option<String> {
    String::from_utf8(file?.data.into_owned()).ok()
}
