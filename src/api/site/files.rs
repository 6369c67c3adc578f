//! The files of the web client by their names.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::bundle;
use crate::api::asset::Asset;

/// What the page may do: it connects to its own server only (`'self'` is its WebSocket too), runs the
/// server's own modules, makes no markup or script of a text, sends no form, and no other page may embed it.
/// `%script` and `%styles` are replaced by the hashes of its map of modules and of its styles.
const POLICY: &str = "default-src 'none'; script-src 'self' '%script'; style-src '%styles'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// All files of one state of the web client.
pub struct Site {
    files: HashMap<String, (String, Asset)>,
}

/// One file: its name, the hash of its content, its media type, the content, and that compressed.
type File<'f> = (&'f str, &'f str, &'static str, Bytes, Option<Bytes>);

impl Site {
    fn new<'f>(files: impl Iterator<Item = File<'f>>, script: &str, styles: &str) -> Self {
        let policy = POLICY.replace("%script", script).replace("%styles", styles);
        let files = files.map(|(name, hash, media_type, plain, gzip)| {
            let asset = Asset::new(media_type, policy.clone(), hash, plain).compressed(gzip);
            (name.to_owned(), (hash.to_owned(), asset))
        });
        Self { files: files.collect() }
    }

    /// The file of a name. Only the name with the hash of its content is kept for good.
    pub fn find(&self, name: &str) -> Option<Asset> {
        if let Some((_, asset)) = self.files.get(name) {
            return Some(asset.clone());
        }
        let (plain, asked) = unhashed(name)?;
        let (hash, asset) = self.files.get(&plain)?;
        let asset = asset.clone();
        Some(if hash == asked { asset.kept_for_good() } else { asset })
    }
}

/// `ui/dom-0123456789abcdef.js` as `ui/dom.js` and the hash.
fn unhashed(name: &str) -> Option<(String, &str)> {
    let (rest, kind) = name.rsplit_once('.')?;
    let (stem, hash) = rest.rsplit_once('-')?;
    let digits = hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    (hash.len() == bundle::HASH_DIGITS && digits).then(|| (format!("{stem}.{kind}"), hash))
}

#[cfg(embedded_web)]
mod made {
    //! What `build/web.rs` made.
    include!(concat!(env!("OUT_DIR"), "/web.rs"));
}

/// The files as they are in this build.
#[cfg(embedded_web)]
pub fn site(_asked_for: &str) -> Option<Arc<Site>> {
    use std::sync::LazyLock;

    static SITE: LazyLock<Arc<Site>> = LazyLock::new(|| {
        let files = made::FILES.iter().map(|(name, hash, media_type, plain, gzip)| {
            (*name, *hash, *media_type, Bytes::from_static(plain), gzip.map(Bytes::from_static))
        });
        Arc::new(Site::new(files, made::SCRIPT, made::STYLES))
    });
    Some(Arc::clone(&SITE))
}

/// The files as they are in the checkout. They are read again with the page, so that a change is seen without
/// a build.
#[cfg(not(embedded_web))]
pub fn site(asked_for: &str) -> Option<Arc<Site>> {
    use std::path::Path;
    use std::sync::{PoisonError, RwLock};

    static SITE: RwLock<Option<Arc<Site>>> = RwLock::new(None);

    let read = SITE.read().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(site) = read.filter(|_| asked_for != bundle::PAGE) {
        return Some(site);
    }
    let made = bundle::of(Path::new(env!("CARGO_MANIFEST_DIR")));
    let made = made.inspect_err(|error| tracing::error!(%error, "the web client cannot be read")).ok()?;
    let files = made.assets.iter().map(|asset| {
        let (plain, gzip) = (Bytes::from(asset.plain.clone()), asset.gzip.clone().map(Bytes::from));
        (asset.name.as_str(), asset.hash.as_str(), asset.media_type, plain, gzip)
    });
    let site = Arc::new(Site::new(files, &made.script, &made.styles));
    *SITE.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&site));
    Some(site)
}

#[cfg(test)]
mod tests {
    use super::unhashed;

    #[test]
    fn a_hash_is_told_from_a_part_of_a_name() {
        assert_eq!(
            unhashed("ui/dom-0123456789abcdef.js"),
            Some(("ui/dom.js".to_owned(), "0123456789abcdef"))
        );
        for plain in ["ui/dom.js", "a-b.js", "a-0123456789ABCDEF.js", "a-0123456789abcdef", "-.js", ""] {
            assert_eq!(unhashed(plain), None, "{plain}");
        }
    }
}
