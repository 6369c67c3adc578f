//! All calls and frames, each with arguments that are good: who is refused is refused for who they are.
//!
//! In paths and bodies stand for: `$C` the conversation, `$PEER` another member (the other user of a direct
//! conversation), `$NEW` a user who is no member, `$SELF` the caller, `$SEQ` a message of the peer, `$OWN` a
//! message of the caller (of the peer where the caller may say nothing), `$UUID` a fresh id.

/// A REST call.
pub struct Call {
    pub method: &'static str,
    /// As in the OpenAPI document.
    pub path: &'static str,
    /// What tells this variant from others of the same call; empty for the first.
    pub variant: &'static str,
    /// The path with arguments.
    pub at: &'static str,
    /// Empty: none.
    pub body: &'static str,
    /// Whoever calls, with a token or without, is answered the same.
    pub is_public: bool,
}

impl Call {
    pub fn names_a_conversation(&self) -> bool {
        self.path.contains("{conversation}")
    }

    pub fn name(&self) -> String {
        let variant = if self.variant.is_empty() { String::new() } else { format!(" ({})", self.variant) };
        format!("{} {}{variant}", self.method, self.path)
    }
}

/// A frame of a client.
pub struct Frame {
    pub kind: &'static str,
    pub variant: &'static str,
    pub body: &'static str,
}

impl Frame {
    pub fn names_a_conversation(&self) -> bool {
        self.body.contains("$C")
    }

    /// Such frames have no answer when they are taken.
    pub fn may_be_silent(&self) -> bool {
        matches!(self.kind, "hello" | "background" | "foreground" | "typing")
    }

    pub fn name(&self) -> String {
        let variant = if self.variant.is_empty() { String::new() } else { format!(" ({})", self.variant) };
        format!("{}{variant}", self.kind)
    }
}

macro_rules! calls {
    ($($who:ident $method:literal $path:literal $(($variant:literal))? => $at:literal $body:literal;)+) => {
        pub const CALLS: &[Call] = &[$(Call {
            method: $method,
            path: $path,
            variant: concat!($($variant)?),
            at: $at,
            body: $body,
            is_public: calls!($who),
        }),+];
    };
    (public) => { true };
    (token) => { false };
}

calls! {
    public "GET" "/.well-known/jwks.json" => "/.well-known/jwks.json" "";
    public "GET" "/asyncapi.json" => "/asyncapi.json" "";
    public "GET" "/healthz" => "/healthz" "";
    public "GET" "/openapi.json" => "/openapi.json" "";
    public "GET" "/readyz" => "/readyz" "";
    public "GET" "/v1/server" => "/v1/server" "";
    public "POST" "/v1/accounts" => "/v1/accounts" r#"{"username":"u$SHORT","password":"correct horse battery"}"#;
    public "POST" "/v1/accounts/guest" => "/v1/accounts/guest" r#"{}"#;
    public "POST" "/v1/tokens" ("of nobody") => "/v1/tokens" r#"{"username":"nobody","password":"correct horse battery"}"#;
    public "POST" "/v1/tokens/refresh" ("unknown") => "/v1/tokens/refresh" r#"{"refresh_token":"unknown"}"#;
    token "GET" "/v1/me" => "/v1/me" "";
    token "PATCH" "/v1/me" => "/v1/me" r#"{"display_name":"Another"}"#;
    token "DELETE" "/v1/me" => "/v1/me" "";
    token "POST" "/v1/me/claim" => "/v1/me/claim" r#"{"username":"c$SHORT","password":"correct horse battery"}"#;
    token "GET" "/v1/me/export" => "/v1/me/export" "";
    token "GET" "/v1/me/second-factor" => "/v1/me/second-factor" "";
    token "POST" "/v1/me/second-factor" => "/v1/me/second-factor" "";
    token "PUT" "/v1/me/second-factor" ("none was begun") => "/v1/me/second-factor" r#"{"code":"000000"}"#;
    token "DELETE" "/v1/me/second-factor" => "/v1/me/second-factor" "";
    token "GET" "/v1/me/privacy" => "/v1/me/privacy" "";
    token "PATCH" "/v1/me/privacy" => "/v1/me/privacy" r#"{"groups":"contacts"}"#;
    token "GET" "/v1/me/invitations" => "/v1/me/invitations" "";
    token "DELETE" "/v1/me/invitations/{conversation}" => "/v1/me/invitations/$C" "";
    token "GET" "/v1/contacts" => "/v1/contacts" "";
    token "PUT" "/v1/contacts/{user}" => "/v1/contacts/$PEER" "";
    token "DELETE" "/v1/contacts/{user}" => "/v1/contacts/$PEER" "";
    token "GET" "/v1/me/sessions" => "/v1/me/sessions" "";
    token "DELETE" "/v1/me/sessions" => "/v1/me/sessions" "";
    token "DELETE" "/v1/me/sessions/{session}" ("unknown") => "/v1/me/sessions/f_00000000000000000000000000000001" "";
    token "DELETE" "/v1/tokens" => "/v1/tokens" "";
    token "GET" "/v1/users" => "/v1/users?prefix=no" "";
    token "GET" "/v1/users/{user}" => "/v1/users/$PEER" "";
    token "GET" "/v1/blocks" => "/v1/blocks" "";
    token "GET" "/v1/blocks/{user}" => "/v1/blocks/$PEER" "";
    token "PUT" "/v1/blocks/{user}" => "/v1/blocks/$PEER" "";
    token "DELETE" "/v1/blocks/{user}" => "/v1/blocks/$PEER" "";
    token "GET" "/v1/channels" => "/v1/channels" "";
    token "GET" "/v1/conversations" => "/v1/conversations" "";
    token "POST" "/v1/conversations" ("a group") => "/v1/conversations" r#"{"kind":"group","name":"g","client_id":"$UUID","members":["$NEW"]}"#;
    token "POST" "/v1/conversations" ("with who has blocked the caller") => "/v1/conversations" r#"{"kind":"group","name":"g","client_id":"$UUID","members":["$BLOCKER"]}"#;
    token "GET" "/v1/conversations/{conversation}" => "/v1/conversations/$C" "";
    token "PATCH" "/v1/conversations/{conversation}" => "/v1/conversations/$C" r#"{"topic":"another"}"#;
    token "DELETE" "/v1/conversations/{conversation}" => "/v1/conversations/$C" "";
    token "GET" "/v1/conversations/{conversation}/preview" => "/v1/conversations/$C/preview" "";
    token "GET" "/v1/conversations/{conversation}/bans" => "/v1/conversations/$C/bans" "";
    token "PUT" "/v1/conversations/{conversation}/bans/{user}" => "/v1/conversations/$C/bans/$PEER" "";
    token "DELETE" "/v1/conversations/{conversation}/bans/{user}" => "/v1/conversations/$C/bans/$PEER" "";
    token "DELETE" "/v1/conversations/{conversation}/bans/{user}" ("one's own") => "/v1/conversations/$C/bans/$SELF" "";
    token "GET" "/v1/conversations/{conversation}/events" => "/v1/conversations/$C/events" "";
    token "GET" "/v1/conversations/{conversation}/members" => "/v1/conversations/$C/members" "";
    token "PUT" "/v1/conversations/{conversation}/members/{user}" ("oneself") => "/v1/conversations/$C/members/$SELF" "";
    token "PUT" "/v1/conversations/{conversation}/members/{user}" ("another") => "/v1/conversations/$C/members/$NEW" "";
    token "PUT" "/v1/conversations/{conversation}/members/{user}" ("another, as admin") => "/v1/conversations/$C/members/$NEW" r#"{"role":"admin"}"#;
    token "PATCH" "/v1/conversations/{conversation}/members/{user}" ("admin") => "/v1/conversations/$C/members/$PEER" r#"{"role":"admin"}"#;
    token "PATCH" "/v1/conversations/{conversation}/members/{user}" ("oneself, owner") => "/v1/conversations/$C/members/$SELF" r#"{"role":"owner"}"#;
    token "DELETE" "/v1/conversations/{conversation}/members/{user}" ("another") => "/v1/conversations/$C/members/$PEER" "";
    token "DELETE" "/v1/conversations/{conversation}/members/{user}" ("oneself") => "/v1/conversations/$C/members/$SELF" "";
    token "PUT" "/v1/conversations/{conversation}/members/{user}/mute" => "/v1/conversations/$C/members/$PEER/mute" r#"{"duration_s":60}"#;
    token "DELETE" "/v1/conversations/{conversation}/members/{user}/mute" => "/v1/conversations/$C/members/$PEER/mute" "";
    token "GET" "/v1/conversations/{conversation}/messages" => "/v1/conversations/$C/messages" "";
    token "POST" "/v1/conversations/{conversation}/messages" => "/v1/conversations/$C/messages" r#"{"body":"hello"}"#;
    token "PATCH" "/v1/conversations/{conversation}/messages/{seq}" ("another's") => "/v1/conversations/$C/messages/$SEQ" r#"{"body":"other"}"#;
    token "PATCH" "/v1/conversations/{conversation}/messages/{seq}" ("one's own") => "/v1/conversations/$C/messages/$OWN" r#"{"body":"other"}"#;
    token "DELETE" "/v1/conversations/{conversation}/messages/{seq}" ("another's") => "/v1/conversations/$C/messages/$SEQ" "";
    token "DELETE" "/v1/conversations/{conversation}/messages/{seq}" ("one's own") => "/v1/conversations/$C/messages/$OWN" "";
    token "PUT" "/v1/conversations/{conversation}/messages/{seq}/reactions/{emoji}" => "/v1/conversations/$C/messages/$SEQ/reactions/x" "";
    token "DELETE" "/v1/conversations/{conversation}/messages/{seq}/reactions/{emoji}" => "/v1/conversations/$C/messages/$SEQ/reactions/x" "";
    token "PUT" "/v1/conversations/{conversation}/read" => "/v1/conversations/$C/read" r#"{"seq":1}"#;
}

macro_rules! frames {
    ($($kind:literal $(($variant:literal))? => $body:literal;)+) => {
        pub const FRAMES: &[Frame] = &[$(Frame { kind: $kind, variant: concat!($($variant)?), body: $body }),+];
    };
}

frames! {
    "hello" ("a second one") => r#"{"token":"$TOKEN"}"#;
    "auth" => r#"{"token":"$TOKEN"}"#;
    "auth" ("another's token") => r#"{"token":"$OTHER_TOKEN"}"#;
    "ping" => r#"{}"#;
    "background" => r#"{}"#;
    "foreground" => r#"{}"#;
    "watch" => r#"{"users":["$PEER"]}"#;
    "unwatch" => r#"{"users":["$PEER"]}"#;
    "send" => r#"{"conversation":"$C","client_id":"$UUID","body":"hello"}"#;
    "send" ("to a user") => r#"{"to":"$PEER","client_id":"$UUID","body":"hello"}"#;
    "edit" ("another's") => r#"{"conversation":"$C","seq":$SEQ,"client_id":"$UUID","body":"other"}"#;
    "edit" ("one's own") => r#"{"conversation":"$C","seq":$OWN,"client_id":"$UUID","body":"other"}"#;
    "delete" ("another's") => r#"{"conversation":"$C","seq":$SEQ}"#;
    "delete" ("one's own") => r#"{"conversation":"$C","seq":$OWN}"#;
    "react" => r#"{"conversation":"$C","seq":$SEQ,"emoji":"x"}"#;
    "unreact" => r#"{"conversation":"$C","seq":$SEQ,"emoji":"x"}"#;
    "read" => r#"{"conversation":"$C","seq":1}"#;
    "delivered" => r#"{"conversation":"$C","seq":1}"#;
    "typing" => r#"{"conversation":"$C","on":true}"#;
    "sync" => r#"{"ranges":[{"conversation":"$C","after":0}]}"#;
}
