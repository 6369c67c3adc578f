//! Where an example runs: a server, a REST client, the users of the page, and the values of its names.

use serde_json::{Value, json};

use super::pattern::Names;
use crate::support::Encoding;
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;

/// Everybody the page speaks of. The first signs up on the page itself.
const PEOPLE: [&str; 5] = ["ada", "ben", "cleo", "dora", "finn"];
/// What they all sign in with.
const PASSWORD: &str = "correct horse battery";

/// See the module's documentation.
pub struct Stage {
    /// The server.
    pub server: Server,
    /// Speaks HTTP with it.
    pub rest: Rest,
    /// How frames are encoded.
    pub encoding: Encoding,
    /// The page's names.
    pub names: Names,
}

impl Stage {
    /// Starts a server with these settings. `everybody`: ada is signed up too.
    pub async fn new(settings: &[(String, String)], encoding: Encoding, everybody: bool) -> Self {
        let settings: Vec<_> = settings.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        let server = Server::start(&settings).await;
        let rest = Rest::new(&server);
        let mut names = Names::default();
        for person in &PEOPLE[usize::from(!everybody)..] {
            let body = json!({ "username": person, "password": PASSWORD });
            let answer = rest.call(reqwest::Method::POST, "/v1/accounts", None, Some(&body)).await;
            let account = Account::from_answer(&answer.ok());
            names.bind(person, Value::String(account.id));
            names.bind(&format!("{person}.token"), Value::String(account.access));
            names.bind(&format!("{person}.refresh"), Value::String(account.refresh));
        }
        Self { server, rest, encoding, names }
    }

    /// The access token of somebody of the page.
    ///
    /// # Errors
    /// That the page has not introduced them.
    pub fn token(&self, who: &str) -> Result<String, String> {
        let token = self.names.get(&format!("{who}.token")).and_then(Value::as_str);
        token.map(str::to_owned).ok_or_else(|| format!("{who} has no token yet"))
    }
}
