//! The message about a file that is not TOML.

use ::config::ConfigError;

use super::schema::{self, Shape};

/// The parser's message. The line it complains of is shown when it sets a key that is known and not secret.
pub(super) fn explain(text: &str, error: &ConfigError) -> String {
    let said = match error {
        ConfigError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    let hint = line_of(&said).and_then(|number| hint(text, number)).unwrap_or_default();
    format!("is not TOML: {}{hint}", without_quotation(&said))
}

/// The message without the line it quotes: that line may hold a secret.
fn without_quotation(said: &str) -> String {
    let quotes = |line: &str| {
        line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|')
    };
    said.lines().filter(|line| !quotes(line)).map(str::trim).collect::<Vec<_>>().join(": ")
}

/// The number in "TOML parse error at line 2, column 15".
fn line_of(said: &str) -> Option<usize> {
    let (_, rest) = said.split_once("at line ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn hint(text: &str, number: usize) -> Option<String> {
    let line = text.lines().nth(number.checked_sub(1)?)?.trim();
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let above = text.lines().take(number).filter_map(|line| line.trim().strip_prefix('[')?.strip_suffix(']'));
    let key = schema::find(&format!("{}.{name}", above.last()?.trim()))?;
    if schema::is_secret(&key.name) {
        return None;
    }
    let quoted = value.starts_with(['"', '\'', '[']);
    Some(match key.shape {
        Shape::Text if !quoted => format!(", in `{line}`: texts need quotes, write {name} = \"{value}\""),
        Shape::List if !quoted => format!(", in `{line}`: lists of texts are written {name} = [\"{value}\"]"),
        _ => format!(", in `{line}`"),
    })
}
