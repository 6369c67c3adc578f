//! A part that several statements share, and the name of it in their texts.

/// A part of statements, with its name.
#[derive(Debug)]
pub(in crate::store) struct Part {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) postgres: &'static str,
    pub(in crate::store) sqlite: &'static str,
}

impl Part {
    /// A part with the same text for both databases.
    pub(in crate::store) const fn same(name: &'static str, text: &'static str) -> Self {
        Self { name, postgres: text, sqlite: text }
    }

    /// A part with a different text for each database.
    pub(in crate::store) const fn each(
        name: &'static str,
        postgres: &'static str,
        sqlite: &'static str,
    ) -> Self {
        Self { name, postgres, sqlite }
    }
}
