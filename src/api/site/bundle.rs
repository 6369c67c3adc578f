//! What is served of the web client's files: each with the hash of its content and a compressed copy, and the
//! page that names them all.
//!
//! `build/web.rs` includes this file and puts the result into release builds. Debug builds make it from the
//! disk.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// The page's name.
pub const PAGE: &str = "index.html";
/// Before it the page is given the map of its modules.
const ENTRY: &str = "<script type=\"module\"";
/// The module that the page begins with.
const FIRST: &str = "app.js";
/// Stands in the page itself in place of this link: a first visit then waits for one file less.
const STYLES: (&str, &str) = ("style.css", "<link rel=\"stylesheet\" href=\"/style.css\">");
/// Hexadecimal digits of a file's hash.
pub const HASH_DIGITS: usize = 16;

/// A file as it is served.
#[derive(Debug, PartialEq, Eq)]
pub struct BundledFile {
    /// Its path below the folder.
    pub name: String,
    /// Of its content.
    pub hash: String,
    pub media_type: &'static str,
    pub plain: Vec<u8>,
    /// `None` where it saves nothing.
    pub gzip: Option<Vec<u8>>,
}

/// All files, and what of the page itself a browser may use: hashes, as a content security policy names them.
#[derive(Debug, PartialEq, Eq)]
pub struct Bundle {
    pub assets: Vec<BundledFile>,
    /// Of the one script.
    pub script: String,
    /// Of the styles.
    pub styles: String,
}

/// The bundle of a checkout.
///
/// # Errors
/// Says which file cannot be read or served.
pub fn of(checkout: &Path) -> Result<Bundle, String> {
    let mut files = Vec::new();
    read(&checkout.join("web"), "", &mut files)?;
    // The module that speaks the protocol is the published client's, and the page imports the same file.
    let client = checkout.join("clients/js/tidings.js");
    let bytes = fs::read(&client).map_err(|error| format!("{}: {error}", client.display()))?;
    files.push(("tidings.js".to_owned(), bytes));
    make(files)
}

/// The files of a folder and its folders. A file whose name could mean something in a path is left out.
fn read(folder: &Path, prefix: &str, files: &mut Vec<(String, Vec<u8>)>) -> Result<(), String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| is_plain(name)) else {
            continue;
        };
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            read(&path, &format!("{name}/"), files)?;
        } else {
            files.push((name, fs::read(&path).map_err(wrong)?));
        }
    }
    Ok(())
}

fn is_plain(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// Modules import each other by their plain names. The page's import map leads to the names with hashes, so
/// no module is changed, and a change of one renames only that one.
fn make(mut files: Vec<(String, Vec<u8>)>) -> Result<Bundle, String> {
    files.sort();
    let page = taken(&mut files, PAGE)?;
    let sheet = taken(&mut files, STYLES.0)?;
    let mut assets =
        files.into_iter().map(|(name, bytes)| bundled(name, bytes)).collect::<Result<Vec<_>, _>>()?;
    let (page, script) = complete(page, &assets)?;
    let (before, after) = page.split_once(STYLES.1).ok_or("index.html links no styles")?;
    let page = format!("{before}<style>{sheet}</style>{after}");
    assets.push(bundled(PAGE.to_owned(), page.into_bytes())?);
    Ok(Bundle { assets, script, styles: named_by_hash(&sheet) })
}

fn taken(files: &mut Vec<(String, Vec<u8>)>, wanted: &str) -> Result<String, String> {
    let at = files.iter().position(|(name, _)| name == wanted);
    let (_, bytes) = files.remove(at.ok_or_else(|| format!("there is no {wanted}"))?);
    String::from_utf8(bytes).map_err(|error| format!("{wanted}: {error}"))
}

fn named_by_hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

fn bundled(name: String, plain: Vec<u8>) -> Result<BundledFile, String> {
    let hash = Sha256::digest(&plain).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let gzip =
        encoder.write_all(&plain).and_then(|()| encoder.finish()).map_err(|error| error.to_string())?;
    let media_type = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webmanifest") => "application/manifest+json",
        Some("json") => "application/json",
        Some("woff2") => "font/woff2",
        _ => return Err(format!("{name}: say in src/api/site/bundle.rs what it is")),
    };
    let gzip = Some(gzip).filter(|gzip| gzip.len() < plain.len());
    Ok(BundledFile { name, hash: hash[..HASH_DIGITS].to_owned(), media_type, plain, gzip })
}

/// The page with the hashed names, the map of its modules, and the hash of that map.
fn complete(page: String, assets: &[BundledFile]) -> Result<(String, String), String> {
    let (before, after) = page.split_once(ENTRY).ok_or("index.html begins no module")?;
    let modules = || assets.iter().filter(|asset| asset.name.ends_with(".js"));
    let entries: Vec<String> =
        modules().map(|module| format!("\"/{}\":\"/{}\"", module.name, hashed(module))).collect();
    let map = format!("{{\"imports\":{{{}}}}}", entries.join(","));
    let script = named_by_hash(&map);
    // Known at once, or the browser would find one after the other. The largest takes longest: it comes first
    // and gets the connection that is open already.
    let at_once = needed(assets)?;
    let mut at_once: Vec<_> = modules().filter(|module| at_once.contains(&module.name)).collect();
    at_once.sort_by_key(|module| Reverse(module.plain.len()));
    let link =
        |module: &BundledFile| format!("<link rel=\"modulepreload\" href=\"/{}\">\n  ", hashed(module));
    let preloads: String = at_once.into_iter().map(link).collect();
    let mut page = format!("{before}<script type=\"importmap\">{map}</script>\n  {preloads}{ENTRY}{after}");
    for asset in assets {
        for attribute in ["href", "src"] {
            let plain = format!("{attribute}=\"/{}\"", asset.name);
            page = page.replace(&plain, &format!("{attribute}=\"/{}\"", hashed(asset)));
        }
    }
    Ok((page, script))
}

/// The first module, what it imports, and so on; what a module imports later is not among them.
fn needed(assets: &[BundledFile]) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::from([FIRST.to_owned()]);
    let mut next = vec![FIRST.to_owned()];
    while let Some(name) = next.pop() {
        let module = assets.iter().find(|asset| asset.name == name);
        let module = module.ok_or_else(|| format!("{name} is imported, and there is no such file"))?;
        for line in String::from_utf8_lossy(&module.plain).lines().filter(|line| line.starts_with("import "))
        {
            let path = line.split_once(" from '").and_then(|(_, rest)| rest.split_once('\''));
            let (path, _) = path.ok_or_else(|| format!("{name}: write on one line, '…': {line}"))?;
            let path = beside(&name, path);
            if found.insert(path.clone()) {
                next.push(path);
            }
        }
    }
    Ok(found)
}

/// The file that a module at `from` imports as `path`.
fn beside(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// The name under which a browser may keep it for ever.
pub fn hashed(asset: &BundledFile) -> String {
    let (stem, kind) = asset.name.rsplit_once('.').unwrap_or((&asset.name, ""));
    format!("{stem}-{}.{kind}", asset.hash)
}
