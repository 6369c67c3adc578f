//! A part that several statements share, and the name of it in their texts.

/// A part of statements, with its name.
#[derive(Debug)]
pub(in crate::store) struct Part {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) postgres: &'static str,
    pub(in crate::store) sqlite: &'static str,
    /// SQLite's dialect for a model of a server that several processes share (`store::model`).
    #[cfg(feature = "simulation")]
    pub(in crate::store) model: &'static str,
}

impl Part {
    /// A part with the same text for both databases.
    pub(in crate::store) const fn same(name: &'static str, text: &'static str) -> Self {
        Self::for_each(name, text, text, text)
    }

    /// A part with a different text for each database. The model has SQLite's.
    pub(in crate::store) const fn each(
        name: &'static str,
        postgres: &'static str,
        sqlite: &'static str,
    ) -> Self {
        Self::for_each(name, postgres, sqlite, sqlite)
    }

    /// A part with a different text for each dialect.
    #[cfg_attr(not(feature = "simulation"), expect(unused_variables, reason = "the model's text"))]
    pub(in crate::store) const fn for_each(
        name: &'static str,
        postgres: &'static str,
        sqlite: &'static str,
        model: &'static str,
    ) -> Self {
        Self {
            name,
            postgres,
            sqlite,
            #[cfg(feature = "simulation")]
            model,
        }
    }
}
