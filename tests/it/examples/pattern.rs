//! JSON with holes: `…` stands for what is not shown, `<name>` for a value that is bound and compared.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::support::uuid;

const REST: &str = "…";

/// What the names of the page stand for so far.
#[derive(Default)]
pub struct Names(HashMap<String, Value>);

impl Names {
    /// What a name stands for.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Gives a name its meaning.
    pub fn bind(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// Text to be sent: names replaced by what they stand for, and by a fresh UUID when they are new.
    pub fn fill(&mut self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, name, after)) = cut_name(rest) {
            filled.push_str(before);
            let value = match repeated(name) {
                Some(long) => Value::String(long),
                None => self.0.entry(name.to_owned()).or_insert_with(|| Value::String(uuid())).clone(),
            };
            match value {
                Value::String(text) => filled.push_str(&text),
                other => filled.push_str(&other.to_string()),
            }
            rest = after;
        }
        filled + rest
    }

    /// JSON to be sent, as it goes over the wire.
    ///
    /// # Errors
    /// What is not JSON in it.
    pub fn frame(&mut self, text: &str) -> Result<Value, String> {
        let value = parse(text)?;
        Ok(self.filled(&value))
    }

    fn filled(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => match whole_name(text) {
                // A name alone keeps its type: a seq is a number.
                Some(name) if self.0.contains_key(name) => self.0[name].clone(),
                _ => Value::String(self.fill(text)),
            },
            Value::Array(items) => items.iter().map(|item| self.filled(item)).collect(),
            Value::Object(fields) => {
                let fields = fields.iter().map(|(key, value)| (self.fill(key), self.filled(value)));
                Value::Object(fields.collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }

    /// Holds what came against what is shown, and binds new names.
    ///
    /// # Errors
    /// The first difference, with its place.
    pub fn check(&mut self, shown: &Value, came: &Value) -> Result<(), String> {
        self.compare("", shown, came)
    }

    fn compare(&mut self, place: &str, shown: &Value, came: &Value) -> Result<(), String> {
        let differs = || Err(format!("{place}: {came} instead of {shown}"));
        match (shown, came) {
            (Value::String(text), _) if text == REST => Ok(()),
            (Value::String(text), _) if whole_name(text).is_some() => {
                self.compare_name(place, whole_name(text).unwrap_or_default(), came)
            }
            (Value::Object(shown), Value::Object(came)) => {
                for (key, value) in shown.iter().filter(|(key, _)| *key != REST) {
                    let Some(there) = came.get(key) else { return Err(format!("{place}: lacks {key}")) };
                    self.compare(&format!("{place}.{key}"), value, there)?;
                }
                let unknown = came.keys().find(|key| !shown.contains_key(*key));
                match unknown.filter(|_| !shown.contains_key(REST)) {
                    Some(key) => Err(format!("{place}: {key} ({}) is not shown", came[key])),
                    None => Ok(()),
                }
            }
            (Value::Array(shown), Value::Array(came)) => {
                let open = shown.last().is_some_and(|last| last == REST);
                let exact = &shown[..shown.len() - usize::from(open)];
                if came.len() < exact.len() || (came.len() > exact.len() && !open) {
                    return Err(format!("{place}: {} items instead of {}", came.len(), exact.len()));
                }
                let pairs = exact.iter().zip(came).enumerate();
                pairs
                    .into_iter()
                    .try_for_each(|(at, (shown, came))| self.compare(&format!("{place}[{at}]"), shown, came))
            }
            (shown, came) if shown == came => Ok(()),
            _ => differs(),
        }
    }

    fn compare_name(&mut self, place: &str, name: &str, came: &Value) -> Result<(), String> {
        let fits = match (name, came) {
            ("time", Value::String(text)) => is_time(text),
            ("number", came) => came.is_u64(),
            ("text", came) => came.is_string(),
            _ => {
                let known = self.0.entry(name.to_owned()).or_insert_with(|| came.clone());
                known == came
            }
        };
        let meant = self.0.get(name).map(|known| format!(" ({known})")).unwrap_or_default();
        if fits { Ok(()) } else { Err(format!("{place}: {came} instead of <{name}>{meant}")) }
    }
}

/// RFC 3339 in UTC with milliseconds.
fn is_time(text: &str) -> bool {
    let shape = |byte: u8| if byte.is_ascii_digit() { b'0' } else { byte };
    text.bytes().map(shape).eq(b"0000-00-00T00:00:00.000Z".iter().copied())
}

/// The text before the first `<name>`, the name, and the text after it.
fn cut_name(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find('<')?;
    let length = text[start..].find('>')?;
    Some((&text[..start], &text[start + 1..start + length], &text[start + length + 1..]))
}

fn whole_name(text: &str) -> Option<&str> {
    let (before, name, after) = cut_name(text)?;
    (before.is_empty() && after.is_empty() && !name.contains('×')).then_some(name)
}

/// `5000 × x`: so many times the same.
fn repeated(name: &str) -> Option<String> {
    let (count, what) = name.split_once('×')?;
    Some(what.trim().repeat(count.trim().parse().ok()?))
}

/// Reads JSON in which `…` stands for further fields, items or any value, and `<name>` needs no quotes.
///
/// # Errors
/// What is not JSON in it.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut json = String::new();
    let (mut in_string, mut escaped) = (false, false);
    let mut open = Vec::new();
    let mut before = ' ';
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if in_string {
            json.push(letter);
            in_string = escaped || letter != '"';
            escaped = letter == '\\' && !escaped;
            continue;
        }
        match letter {
            '"' => in_string = true,
            '{' | '[' => open.push(letter),
            '}' | ']' => _ = open.pop(),
            '…' if before != ':' && open.last() == Some(&'{') => json.push_str("\"…\":"),
            _ => {}
        }
        match letter {
            '…' => json.push_str("\"…\""),
            '<' => {
                let name: String = letters.by_ref().take_while(|letter| *letter != '>').collect();
                json.push_str(&format!("\"<{name}>\""));
            }
            _ => json.push(letter),
        }
        if !letter.is_whitespace() {
            before = letter;
        }
    }
    serde_json::from_str(&json).map_err(|error| format!("{error} in {text}"))
}

#[test]
fn holes_are_read_and_compared() {
    use serde_json::json;

    let mut names = Names::default();
    let mut check = |shown: &str, came: Value| names.check(&parse(shown).unwrap(), &came);
    assert_eq!(check(r#"{"a": <x>, "b": ["<x>", …], …}"#, json!({"a": 1, "b": [1, 2], "c": 3})), Ok(()));
    assert_eq!(
        check(r#"{"at": <time>, "any": …}"#, json!({"at": "2026-01-02T03:04:05.678Z", "any": {}})),
        Ok(())
    );
    for (shown, came) in [
        (r#"{"a": 1}"#, json!({"a": 1, "b": 2})),
        (r#"{"a": 1, "b": 2, …}"#, json!({"a": 1})),
        (r#"{"a": <x>}"#, json!({"a": 2})),
        (r#"{"a": "<time>"}"#, json!({"a": "2026-01-02T03:04:05Z"})),
        (r#"[1, 2]"#, json!([1, 2, 3])),
        (r#"[1, 2, …]"#, json!([1])),
    ] {
        assert!(check(shown, came).is_err(), "{shown}");
    }
    assert_eq!(
        names.frame(r#"{"seq": <x>, "s": "<3 × ab>", "p": "q<x>"}"#),
        Ok(json!({"seq": 1, "s": "ababab", "p": "q1"}))
    );
}
