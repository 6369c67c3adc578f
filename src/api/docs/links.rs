//! The targets of a page's links once the pages are served, and the names of sections in addresses.

use super::pages::{address, is_page};

/// Where a link on the page at `from` leads. `None`: to a file that is not served, so it is text.
pub fn resolve(from: &str, link: &str) -> Option<String> {
    if link.starts_with("https://") || link.starts_with('#') {
        return Some(link.to_owned());
    }
    // The address of a server on the reader's machine is that of the one which serves the page.
    if let Some(path) = link.strip_prefix("http://127.0.0.1:8080") {
        return Some(if path.is_empty() { "/".to_owned() } else { path.to_owned() });
    }
    let (file, section) = link.split_once('#').unwrap_or((link, ""));
    let path = join(from, file);
    let page = match path.as_str() {
        "docs/openapi.json" => "/openapi.json".to_owned(),
        "docs/asyncapi.json" => "/asyncapi.json".to_owned(),
        _ if is_page(&path) => address(&path),
        _ => return None,
    };
    Some(if section.is_empty() { page } else { format!("{page}#{section}") })
}

/// The path that a relative link on the page at `from` names.
fn join(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// What a heading is called in an address, as code hosts do it: small letters, hyphens for spaces, no
/// punctuation.
pub fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_between_files_become_links_between_pages() {
        for (from, link, wanted) in [
            ("docs/README.md", "PROTOCOL.md", Some("/docs/protocol")),
            ("docs/README.md", "adr/", Some("/docs/adr")),
            ("docs/README.md", "../config/default.toml", Some("/docs/config/default.toml")),
            ("docs/README.md", "openapi.json", Some("/openapi.json")),
            (
                "docs/adr/0001-an-actor-owns-its-socket.md",
                "../PROTOCOL.md#2-rest-v1",
                Some("/docs/protocol#2-rest-v1"),
            ),
            ("clients/js/README.md", "../../docs/README.md", Some("/docs")),
            ("docs/PROTOCOL.md", "#contents", Some("#contents")),
            ("docs/PROTOCOL.md", "https://example.org/", Some("https://example.org/")),
            ("docs/QUICKSTART.md", "http://127.0.0.1:8080/docs", Some("/docs")),
            ("docs/QUICKSTART.md", "http://127.0.0.1:9000/chat.html", None),
            (
                "docs/ARCHITECTURE.md",
                "../CONTRIBUTING.md#to-add-x-touch-y",
                Some("/docs/contributing#to-add-x-touch-y"),
            ),
            ("docs/README.md", "../loadtests/README.md", Some("/docs/loadtests")),
            ("CONTRIBUTING.md", "docs/README.md", Some("/docs")),
            ("CONTRIBUTING.md", "LICENSE", None),
            ("docs/README.md", "NOWHERE.md", None),
        ] {
            assert_eq!(resolve(from, link).as_deref(), wanted, "{link} on {from}");
        }
    }

    #[test]
    fn sections_are_named_as_code_hosts_name_them() {
        assert_eq!(slug("1. WebSocket: `GET /v1/ws`"), "1-websocket-get-v1ws");
        assert_eq!(slug("To add X, touch Y"), "to-add-x-touch-y");
    }
}
