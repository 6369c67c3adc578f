//! The words by which people are found.
//!
//! Names and what is searched for go through the same steps: compatible forms are one (Unicode's form KD),
//! accents of the Latin, Greek and Cyrillic scripts are removed ("José" is found by "jose"), capital letters
//! become small ones, and words end where something is no letter, digit or mark. A name of which nothing is
//! left counts as it is, without its spaces, so that "🦊" can be found.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::Username;

/// Words of a name that are kept; the others lead to nobody.
const MOST_WORDS: usize = 12;
/// Letters of a word that are kept.
const MOST_LETTERS: usize = 64;

/// The words that lead to a user, each once.
pub fn of_user(display_name: &str, username: Option<&Username>) -> Vec<String> {
    let mut words = of_text(display_name);
    words.extend(username.map(|name| of_text(name.as_str())).unwrap_or_default());
    let mut kept: Vec<String> = Vec::new();
    for word in words {
        if !kept.contains(&word) {
            kept.push(word);
        }
    }
    kept.truncate(MOST_WORDS);
    kept
}

/// The words of a text, in its order.
pub fn of_text(text: &str) -> Vec<String> {
    let folded: String = text.nfkd().filter(|c| !is_accent(*c)).flat_map(fold).collect();
    let is_part = |c: char| c.is_alphanumeric() || is_combining_mark(c);
    let mut words: Vec<String> =
        folded.split(|c| !is_part(c)).filter(|word| !word.is_empty()).map(shortened).collect();
    if words.is_empty() {
        words = folded.split_whitespace().map(shortened).collect();
    }
    words.truncate(MOST_WORDS);
    words
}

/// The marks that scripts with upper and lower case put on their letters.
fn is_accent(c: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&c)
}

/// Both ways in turn: "ß" becomes "ss", and every sigma the same.
fn fold(c: char) -> impl Iterator<Item = char> {
    c.to_uppercase().flat_map(char::to_lowercase).filter(|c| !is_accent(*c) && *c != '\0')
}

fn shortened(word: &str) -> String {
    word.chars().take(MOST_LETTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike_is_the_same_word() {
        for (one, other) in [
            ("José", "jose\u{301}"),
            ("JOSÉ", "jose"),
            ("Straße", "STRASSE"),
            ("ΟΔΟΣ", "οδος"),
            ("ﬁlip", "FILIP"),
            ("Ｋａｔｅ", "kate"),
            ("İnci", "inci"),
            ("Пётр", "петр"),
        ] {
            assert_eq!(of_text(one), of_text(other), "{one} {other}");
        }
        assert_ne!(of_text("का"), of_text("की"), "vowel signs are no accents");
    }

    #[test]
    fn words_are_parted_and_few() {
        assert_eq!(of_text("Jean-Pierre  O'Neil (FR)"), ["jean", "pierre", "o", "neil", "fr"]);
        assert_eq!(of_text("山田太郎"), ["山田太郎"]);
        assert_eq!(of_text(" 🦊 "), ["🦊"]);
        assert_eq!(of_text(" \n"), Vec::<String>::new());
        assert_eq!(of_text(&"a ".repeat(100)).len(), MOST_WORDS);
        assert_eq!(of_text(&"x".repeat(100))[0].len(), MOST_LETTERS);
        let name = Username::parse("ada.l_2").expect("a username");
        assert_eq!(of_user("Ada Lovelace", Some(&name)), ["ada", "lovelace", "l", "2"]);
    }
}
