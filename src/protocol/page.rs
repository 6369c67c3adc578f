//! The tables of limits, errors and closes in `docs/PROTOCOL.md`, written from the catalogues.

use super::{Close, ErrorCode};
use crate::domain::with_limits;

fn errors() -> String {
    let mut table = "| code | retryable | HTTP | meaning; what to do |\n|---|---|---|---|\n".to_owned();
    for code in ErrorCode::ALL {
        let retryable = if code.retryable() { "yes" } else { "no" };
        let (name, status, meaning) = (code.as_str(), code.http_status(), code.meaning());
        table.push_str(&format!("| `{name}` | {retryable} | {status} | {meaning} |\n"));
    }
    table
}

fn closes() -> String {
    let mut table = "| close | reconnect | meaning |\n|---|---|---|\n".to_owned();
    for close in Close::ALL {
        table.push_str(&format!("| `{}` | {} | {} |\n", close.code(), close.advice(), close.meaning()));
    }
    table
}

macro_rules! limits_list {
    ($($(#[doc = $doc:literal])* $name:ident: $kind:ty = $default:expr, $least:expr, $most:expr;)+) => {
        [$((stringify!($name), u64::try_from($default).unwrap_or(u64::MAX), concat!($($doc),*))),+]
    };
}

fn limits() -> String {
    let line = |(name, default, meaning): (&str, u64, &str)| format!("- `{name}` {default}:{meaning}\n");
    with_limits!(limits_list).into_iter().map(line).collect()
}

/// The page with the text between the marks replaced.
fn with_tables(page: &str) -> String {
    const END: &str = "<!-- end -->\n";
    let mut page = page.to_owned();
    for (begin, table) in
        [("<!-- limits -->\n", limits()), ("<!-- errors -->\n", errors()), ("<!-- closes -->\n", closes())]
    {
        let start = page.find(begin).map(|at| at + begin.len()).unwrap_or_else(|| panic!("no mark {begin}"));
        let length = page[start..].find(END).unwrap_or_else(|| panic!("no end of {begin}"));
        page.replace_range(start..start + length, &table);
    }
    page
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch for maintainers of the page, not a setting")]
fn the_tables_of_the_protocol_page_are_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PROTOCOL.md");
    let written = std::fs::read_to_string(path).unwrap();
    let page = with_tables(&written);
    if std::env::var("UPDATE_DOCS").is_ok_and(|value| value == "1") {
        std::fs::write(path, &page).unwrap();
        return;
    }
    assert!(written == page, "docs/PROTOCOL.md is not current: run this test with UPDATE_DOCS=1");
}
