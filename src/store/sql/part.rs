//! What several statements share, with the name that stands for it in their texts.

/// A part of statements, with its name.
#[derive(Debug)]
pub(in crate::store) struct Part {
    pub(super) name: &'static str,
    pub(super) postgres: &'static str,
    pub(super) sqlite: &'static str,
}

impl Part {
    /// A part that both databases understand.
    pub(in crate::store) const fn same(name: &'static str, text: &'static str) -> Self {
        Self { name, postgres: text, sqlite: text }
    }

    /// A part that the databases say differently.
    pub(in crate::store) const fn each(
        name: &'static str,
        postgres: &'static str,
        sqlite: &'static str,
    ) -> Self {
        Self { name, postgres, sqlite }
    }
}
