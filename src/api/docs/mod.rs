//! The documentation as pages under `/docs`: the Markdown of the repository, embedded and rendered once.
//!
//! [`pages`] says what is a page and where it is served, [`links`] where a link leads, [`markdown`] makes the
//! HTML of a page's text. A page needs no script and loads nothing but the style sheet, and its policy allows
//! no more.

mod layout;
mod links;
mod markdown;
mod pages;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::asset::Asset;

/// No script, nothing from elsewhere, and no page may embed one of these.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = include_str!("style.css");

/// All of them, by path. They are few, and which there are is fixed when the server is built.
static PAGES: LazyLock<BTreeMap<String, Asset>> = LazyLock::new(|| {
    let asset = |kind, text: String| Asset::new(kind, POLICY, Sha256::digest(&text), text);
    let mut served =
        BTreeMap::from([("/docs/style.css".to_owned(), asset("text/css; charset=utf-8", STYLE.to_owned()))]);
    for page in pages::all() {
        let html = layout::whole(&page);
        served.insert(page.address, asset(HTML, html));
    }
    served
});

/// The page at a path, with or without a slash at its end.
pub fn find(path: &str) -> Option<&'static Asset> {
    if path.starts_with("/docs") { PAGES.get(path.trim_end_matches('/')) } else { None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn text(page: &Asset) -> &str {
        std::str::from_utf8(&page.body).expect("pages are UTF-8")
    }

    /// The values of an attribute in a page.
    fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
        let begin = format!(" {name}=\"");
        html.split(&begin).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn every_link_leads_somewhere() {
        const ELSEWHERE: &[&str] = &["/", "/openapi.json", "/asyncapi.json", "/tidings.js"];
        let mut broken = Vec::new();
        let mut within = 0;
        for (path, page) in PAGES.iter().filter(|(_, page)| page.kind == HTML) {
            for link in attributes(text(page), "href") {
                let (address, section) = link.split_once('#').unwrap_or((link, ""));
                if link.starts_with("https://") || link == "data:," || ELSEWHERE.contains(&address) {
                    continue;
                }
                let target = if address.is_empty() { Some(page) } else { find(address) };
                let named =
                    |page: &Asset| section.is_empty() || attributes(text(page), "id").contains(&section);
                if !target.is_some_and(named) {
                    broken.push(format!("{path}: {link}"));
                }
                within += 1;
            }
        }
        assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
        assert!(within > 200, "only {within} links were found");
    }

    #[test]
    fn pages_hold_to_their_policy_and_name_things_once() {
        for (path, page) in PAGES.iter().filter(|(_, page)| page.kind == HTML) {
            let html = text(page);
            for forbidden in [" style=\"", "<script", "<style", "<!--", " onclick"] {
                assert!(!html.contains(forbidden), "{path} has {forbidden}");
            }
            let ids = attributes(html, "id");
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{path} has one id twice");
            assert_eq!(html.matches("<h1").count(), 1, "{path}");
            assert_eq!(html.matches("<title>").count(), 1, "{path}");
        }
    }

    #[test]
    fn all_of_the_documentation_is_served() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let name = entry.expect("it can be read").file_name().to_string_lossy().into_owned();
            if let Some(name) = name.strip_suffix(".md").filter(|name| *name != "README") {
                let page = find(&format!("/docs/{}", name.to_lowercase()));
                assert!(page.is_some(), "docs/{name}.md is not on the list in src/api/docs/pages.rs");
                count += 1;
            }
        }
        assert!(count >= 6, "{count} pages");
    }
}
