//! The four sources of settings, checked key by key against the schema and merged; every value keeps where it
//! came from.

use std::fs;
use std::path::Path;

use ::config::{Config, ConfigError, File, FileFormat, Map, Source, Value, ValueKind};

use super::problems::Problems;
use super::schema::{self, Key, Shape};
use super::strays::{self, PREFIX};
use super::units::Unit;
use super::{LoadOptions, broken};

/// The merged settings, each value with its origin.
#[derive(Clone)]
pub(super) struct Tree {
    root: Value,
}

impl std::fmt::Debug for Tree {
    /// Values stay out: some are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree").finish_non_exhaustive()
    }
}

impl Tree {
    /// The value at a full name.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        name.split('.').try_fold(&self.root, |value, part| match &value.kind {
            ValueKind::Table(table) => table.get(part),
            _ => None,
        })
    }

    /// Where the value of `name` came from; an element of a list comes from where the list does.
    pub(super) fn origin(&self, name: &str) -> Option<String> {
        let name = name.split('[').next().unwrap_or_default();
        self.get(name)?.origin().map(str::to_owned)
    }

    pub(super) fn section(&self, name: &str) -> Value {
        self.get(name).cloned().unwrap_or_else(|| Value::new(None, Map::<String, Value>::new()))
    }
}

/// One source's values by full name, already checked.
#[derive(Debug, Clone, Default)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

impl Layer {
    /// Keeps a value that fits its key; notes why one does not.
    fn put(&mut self, name: &str, given: Given, origin: &str, problems: &mut Problems) {
        let checked = match schema::find(name) {
            None => Err(schema::unknown(name)),
            Some(key) => fit(key, given),
        };
        match checked {
            Ok(kind) => {
                self.0.insert(name.to_owned(), Value::new(Some(&origin.to_owned()), kind));
            }
            Err(text) => problems.add(name, Some(origin.to_owned()), text),
        }
    }
}

/// A value as found: typed in a file, mere text in the environment and on the command line.
enum Given {
    Typed(ValueKind),
    Text(String),
}

/// Reads and merges all layers. What does not fit is noted and left out.
pub(super) fn read<E>(options: LoadOptions<E>, problems: &mut Problems) -> Tree
where
    E: IntoIterator<Item = (String, String)>,
{
    let merged = Config::builder()
        .add_source(defaults())
        .add_source(options.file.as_deref().map(|path| file(path, problems)).unwrap_or_default())
        .add_source(environment(options.environment, problems))
        .add_source(command_line(options.overrides, problems))
        .build();
    match merged {
        Ok(config) => Tree { root: config.cache },
        Err(error) => {
            problems.add("", None, error.to_string());
            Tree { root: Value::new(None, Map::<String, Value>::new()) }
        }
    }
}

fn defaults() -> Layer {
    let origin = "default".to_owned();
    let values = schema::keys().iter();
    Layer(values.map(|key| (key.name.clone(), Value::new(Some(&origin), key.default.kind.clone()))).collect())
}

fn file(path: &Path, problems: &mut Problems) -> Layer {
    let origin = format!("file {}", path.display());
    let mut layer = Layer::default();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.add("", Some(origin), format!("cannot be read: {error}"));
            return layer;
        }
    };
    match File::from_str(&text, FileFormat::Toml).collect() {
        Ok(table) => {
            let mut leaves = Vec::new();
            schema::flatten("", Value::new(None, table), &mut |name, value| leaves.push((name, value.kind)));
            leaves.sort_by(|(a, _), (b, _)| a.cmp(b));
            for (name, kind) in leaves {
                layer.put(&name, Given::Typed(kind), &origin, problems);
            }
        }
        Err(error) => problems.add("", Some(origin), broken::explain(&text, &error)),
    }
    layer
}

fn environment(variables: impl IntoIterator<Item = (String, String)>, problems: &mut Problems) -> Layer {
    let mut layer = Layer::default();
    let (mut ours, others): (Vec<_>, Vec<_>) =
        variables.into_iter().partition(|(name, _)| name.starts_with(PREFIX));
    ours.sort();
    problems.warn(strays::warnings(others));
    for (variable, value) in ours {
        let name = variable[PREFIX.len()..].to_lowercase().replace("__", ".");
        layer.put(&name, Given::Text(value), &format!("environment variable {variable}"), problems);
    }
    layer
}

fn command_line(overrides: Vec<(String, String)>, problems: &mut Problems) -> Layer {
    let mut layer = Layer::default();
    for (name, value) in overrides {
        layer.put(&name, Given::Text(value), "command line", problems);
    }
    layer
}

/// The value as the key's type, or what to write instead.
fn fit(key: &Key, given: Given) -> Result<ValueKind, String> {
    let shown = |value: &str| {
        if schema::is_secret(&key.name) { "the value".to_owned() } else { format!("{value:?}") }
    };
    match (key.shape, given) {
        (Shape::Whole, Given::Typed(ValueKind::I64(number))) if number >= 0 => Ok(ValueKind::I64(number)),
        (Shape::Whole, Given::Text(text)) if text.trim().parse::<i64>().is_ok_and(|number| number >= 0) => {
            Ok(ValueKind::I64(text.trim().parse().unwrap_or_default()))
        }
        (Shape::Whole, Given::Typed(ValueKind::String(text))) if text.trim().parse::<u64>().is_ok() => {
            Err(format!("{} is a text: write the number without quotes", shown(&text)))
        }
        (Shape::Whole, Given::Text(text) | Given::Typed(ValueKind::String(text))) => {
            Err(format!("{} {}", shown(&text), Unit::of_key(&key.name).remedy(&text)))
        }
        (Shape::Whole, Given::Typed(other)) => {
            Err(format!("{other} {}", Unit::of_key(&key.name).remedy(&other.to_string())))
        }
        (Shape::Switch, Given::Typed(ValueKind::Boolean(on))) => Ok(ValueKind::Boolean(on)),
        (Shape::Switch, Given::Text(text)) if text == "true" || text == "false" => {
            Ok(ValueKind::Boolean(text == "true"))
        }
        (Shape::Switch, Given::Text(text)) => {
            Err(format!("{} is no switch: write true or false", shown(&text)))
        }
        (Shape::Switch, Given::Typed(_)) => {
            Err("is no switch: write true or false, without quotes".to_owned())
        }
        (Shape::Text, Given::Typed(ValueKind::String(text)) | Given::Text(text)) => {
            Ok(ValueKind::String(text))
        }
        (Shape::Text, Given::Typed(_)) => Err("is no text: put the value in quotes".to_owned()),
        (Shape::List, Given::Text(text)) => Ok(ValueKind::Array(split(&text))),
        (Shape::List, Given::Typed(ValueKind::Array(items))) if items.iter().all(is_text) => {
            Ok(ValueKind::Array(items))
        }
        (Shape::List, Given::Typed(_)) => {
            Err("is no list of texts: write e.g. [\"first\", \"second\"]".to_owned())
        }
    }
}

fn is_text(value: &Value) -> bool {
    matches!(value.kind, ValueKind::String(_))
}

fn split(text: &str) -> Vec<Value> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| Value::new(None, item.to_owned())).collect()
}

/// The message of a section's reader, without the names of this crate's types.
pub(super) fn explain(error: &ConfigError) -> String {
    match error {
        ConfigError::At { error, .. } => explain(error),
        ConfigError::Type { unexpected, expected, .. } => format!("{unexpected} is not {expected}"),
        other => other.to_string(),
    }
}
