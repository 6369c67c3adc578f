//! The unit that a key's name has, and remedies for values and names that are nearly right.

/// A whole number's unit, read off the end of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Milliseconds,
    Seconds,
    Bytes,
    Kibibytes,
    Count,
}

impl Unit {
    pub(super) fn of_key(key: &str) -> Self {
        if key.ends_with("_ms") {
            Self::Milliseconds
        } else if key.ends_with("_bytes") {
            Self::Bytes
        } else if key.ends_with("_kib") {
            Self::Kibibytes
        } else if key.ends_with("_s") {
            Self::Seconds
        } else {
            Self::Count
        }
    }

    fn wanted(self) -> (&'static str, u64) {
        match self {
            Self::Milliseconds => ("a whole number of milliseconds", 5_000),
            Self::Seconds => ("a whole number of seconds", 900),
            Self::Bytes => ("a whole number of bytes", 65_536),
            Self::Kibibytes => ("a whole number of KiB", 19_456),
            Self::Count => ("a whole number", 10),
        }
    }

    /// How many of this unit `suffix` means, when it names the same quantity.
    fn per(self, suffix: &str) -> Option<f64> {
        let milliseconds = match suffix {
            "ms" => Some(1.0),
            "s" | "sec" | "seconds" => Some(1e3),
            "m" | "min" | "minutes" => Some(60e3),
            "h" | "hours" => Some(3_600e3),
            "d" | "days" => Some(86_400e3),
            _ => None,
        };
        let bytes = match suffix {
            "b" | "bytes" => Some(1.0),
            "k" | "kb" | "kib" => Some(1024.0),
            "m" | "mb" | "mib" => Some(1024.0 * 1024.0),
            "g" | "gb" | "gib" => Some(1024.0 * 1024.0 * 1024.0),
            _ => None,
        };
        match self {
            Self::Milliseconds => milliseconds,
            Self::Seconds => milliseconds.map(|ms| ms / 1e3),
            Self::Bytes => bytes,
            Self::Kibibytes => bytes.map(|b| b / 1024.0),
            Self::Count => None,
        }
    }

    /// What to write instead of `given` ("5s", "64 KiB", "1.5", nonsense).
    pub(super) fn remedy(self, given: &str) -> String {
        let (wanted, example) = self.wanted();
        match self.convert(given) {
            Some(number) => format!("is not {wanted}: write {number}"),
            None => format!("is not {wanted}: write e.g. {example}"),
        }
    }

    fn convert(self, given: &str) -> Option<u64> {
        let given = given.trim().replace('_', "").to_lowercase();
        let split = given.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(given.len());
        let (number, suffix) = given.split_at(split);
        let factor = if suffix.is_empty() { 1.0 } else { self.per(suffix.trim())? };
        let value = number.parse::<f64>().ok()? * factor;
        let whole = value.fract() == 0.0 && value < 9e15;
        whole.then_some(value as u64)
    }
}

/// The word of `known` that the writer of `given` probably meant.
pub(super) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = 1 + given.len() / 4;
    known
        .into_iter()
        .map(|word| (edit_distance(given, word), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, word)| word)
}

/// Why `given` is none of `words`.
pub(super) fn not_a_choice(given: &str, words: &[&'static str]) -> String {
    let quoted = words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    match nearest(&given.to_lowercase(), words.iter().copied()) {
        Some(word) => format!("{given:?} is none of {quoted}; did you mean {word:?}?"),
        None => format!("{given:?} is none of {quoted}"),
    }
}

/// Levenshtein's distance, in bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
