//! Which new passwords are refused because they are guessed first (NIST SP 800-63B, section 5.1.1.2).

/// Sorted, one a line, in small letters; the lines of its notice begin with `#` and a space.
const COMMON: &str = include_str!("common_passwords.txt");

/// Whether a password is one that people choose often, or one of `names`: the user's and the server's.
/// Capital letters make no difference.
pub fn is_guessed_first(password: &str, names: &[&str]) -> bool {
    let folded = password.to_lowercase();
    names.iter().any(|name| !name.is_empty() && name.to_lowercase() == folded) || is_common(&folded)
}

/// Looks the word up without an index: the lines are sorted, so half of the text is left out at each step.
fn is_common(folded: &str) -> bool {
    let mut rest = COMMON;
    while !rest.is_empty() {
        let middle = rest.len() / 2;
        let begin = rest[..middle].rfind('\n').map_or(0, |before| before + 1);
        let end = rest[middle..].find('\n').map_or(rest.len(), |after| middle + after);
        let line = &rest[begin..end];
        match folded.cmp(line) {
            _ if line.starts_with("# ") || line == "#" => rest = &rest[(end + 1).min(rest.len())..],
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => rest = &rest[..begin],
            std::cmp::Ordering::Greater => rest = &rest[(end + 1).min(rest.len())..],
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Vec<&'static str> {
        COMMON.lines().filter(|line| !line.starts_with("# ") && *line != "#").collect()
    }

    #[test]
    fn every_password_of_the_list_is_found_and_none_beside_it() {
        let listed = listed();
        assert_eq!(listed.len(), 12_000);
        assert!(listed.is_sorted() && listed.iter().all(|word| *word == word.to_lowercase()));
        for word in &listed {
            assert!(is_common(word), "{word}");
            assert!(!is_common(&format!("{word}\u{7f}")), "{word} and one character more");
        }
        for other in ["", "#", "# zxcvbn", "\n", "password\n", "correct horse battery", "\u{10ffff}"] {
            assert!(!is_common(other), "{other:?}");
        }
    }

    #[test]
    fn capitals_and_names_make_no_difference() {
        assert!(is_guessed_first("PassWord1", &[]));
        assert!(is_guessed_first("Ada.Lovelace", &["ada.lovelace", ""]));
        assert!(is_guessed_first("games tonight", &["ada", "Games Tonight"]));
        assert!(!is_guessed_first("", &[""]) && !is_guessed_first("ada.lovelace.1815", &["ada.lovelace"]));
    }
}
