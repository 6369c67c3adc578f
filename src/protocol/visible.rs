//! Texts in which nothing is visible, and names that look like others.

use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

/// Braille's blank: by its properties a symbol, but drawn as an empty cell.
const BLANK_BRAILLE: char = '\u{2800}';

/// Whether at least one character is drawn: not white space, a control, or one that Unicode lets programs
/// ignore.
pub fn shows_something(text: &str) -> bool {
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    text.chars()
        .any(|c| !c.is_whitespace() && !c.is_control() && c != BLANK_BRAILLE && !ignorable.contains(c))
}

/// Whether a name contains characters that reorder what is shown, or invisible ones that make two names look
/// alike.
///
/// Joiners and variation selectors are allowed: emoji and several scripts need them.
pub fn misleads(name: &str) -> bool {
    name.chars().any(|c| {
        matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_drawn_shows_nothing() {
        for hidden in [
            "",
            " \n\u{a0}",
            "\u{200b}",
            "\u{3164}",
            "\u{2800}",
            "\u{ad}",
            "\u{feff}",
            "\u{202e}",
            "\u{200d}",
            "\u{fe0f}",
            "\u{e0041}",
        ] {
            assert!(!shows_something(hidden), "{hidden:?}");
        }
        for shown in
            ["a", "❤\u{fe0f}", "👩\u{200d}🚀", "🇩🇪", "1\u{fe0f}\u{20e3}", "\u{200f}שלום", "می\u{200c}خواهم"]
        {
            assert!(shows_something(shown), "{shown:?}");
        }
    }

    #[test]
    fn names_may_not_reorder_or_hide() {
        for name in ["nad\u{202e}a", "a\u{200b}da", "\u{2066}ada", "a\u{ad}da"] {
            assert!(misleads(name), "{name:?}");
        }
        for name in ["ada", "👩\u{200d}🚀 Ada", "می\u{200c}خواهم", "שלום", "❤\u{fe0f}"] {
            assert!(!misleads(name), "{name:?}");
        }
    }
}
