//! Puts the web client into the binary: hashed, compressed, and with the page that names all of it.
//!
//! A debug build reads it from the checkout instead, so that a change of the page needs no build, unless
//! `TIDINGS_EMBED_WEB` is set.

#[path = "../src/api/site/bundle.rs"]
mod bundle;

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes `web.rs` with everything that is served, and sets `embedded_web`, unless the build is for debugging.
pub fn embed() {
    println!("cargo::rustc-check-cfg=cfg(embedded_web)");
    println!("cargo::rerun-if-changed=src/api/site/bundle.rs");
    println!("cargo::rerun-if-env-changed=TIDINGS_EMBED_WEB");
    let debug = env::var_os("PROFILE").is_some_and(|profile| profile == "debug");
    if debug && env::var_os("TIDINGS_EMBED_WEB").is_none() {
        return;
    }
    println!("cargo::rustc-cfg=embedded_web");
    println!("cargo::rerun-if-changed=web");
    println!("cargo::rerun-if-changed=clients/js/tidings.js");
    let checkout =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the checkout is"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where to write"));
    let made = bundle::of(&checkout).unwrap_or_else(|error| panic!("the web client: {error}"));
    fs::write(out.join("web.rs"), source(&made, &out)).expect("web.rs is written");
}

/// The files as a table in Rust, with their contents beside it.
fn source(made: &bundle::Bundle, out: &Path) -> String {
    let mut text =
        format!("pub const SCRIPT: &str = {:?};\npub const STYLES: &str = {:?};\n", made.script, made.styles);
    text.push_str("pub const FILES: &[(&str, &str, &str, &[u8], Option<&[u8]>)] = &[\n");
    for (nth, asset) in made.assets.iter().enumerate() {
        let plain = kept(out, &format!("{nth}.plain"), &asset.plain);
        let gzip = asset.gzip.as_ref().map(|gzip| kept(out, &format!("{nth}.gzip"), gzip));
        let gzip = gzip.map_or_else(|| "None".to_owned(), |gzip| format!("Some({gzip})"));
        let (name, hash, media_type) = (&asset.name, &asset.hash, asset.media_type);
        writeln!(text, "    ({name:?}, {hash:?}, {media_type:?}, {plain}, {gzip}),")
            .expect("a text takes all");
    }
    text.push_str("];\n");
    text
}

fn kept(out: &Path, name: &str, bytes: &[u8]) -> String {
    let path = out.join(name);
    fs::write(&path, bytes).expect("written");
    format!("include_bytes!({:?})", path.display().to_string())
}
