//! Other users.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::extract::{Caller, Query, Segments};
use super::resource::calls;
use super::views::{UserBody, UsersBody};
use super::{ApiState, Problem};
use crate::config::Directory;
use crate::domain::{Refusal, User, UserId, Username, name_words};

calls! {
    "/v1/users" => [get(search)],
    "/v1/users/{user}" => [get(show)],
}

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 50;
const MAX_IDS: usize = 100;
const NAME_CHARS: usize = 64;

/// A user's profile.
#[utoipa::path(get, path = "/v1/users/{user}", tag = "users", params(("user" = UserId, Path)),
    responses((status = 200, body = UserBody)))]
pub async fn show(state: Data<ApiState>, _caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    let user = state.node.read(state.node.store().user(path.user()?)).await?;
    Ok(HttpResponse::Ok().json(UserBody::from(user.ok_or(Refusal::NotFound)?)))
}

/// Users by exactly one of the three. `name`: those with a word in their display name or username that begins
/// with each word of it, in any case and with any accents (where the directory is open). `prefix`: those
/// whose username begins so, by username (where the directory is closed: the one whose username it is). Where
/// the directory is `contacts`, both find contacts of the caller, and the one whose username it is first.
/// `ids`: the profiles of these users, separated by commas, in their order; unknown ones are left out.
#[utoipa::path(get, path = "/v1/users", tag = "users",
    params(("name" = Option<String>, Query, min_length = 1, max_length = 64), ("prefix" = Option<String>, Query, min_length = 1, max_length = 32),
        ("ids" = Option<String>, Query, description = "at most 100"), ("limit" = Option<u64>, Query, minimum = 1)),
    responses((status = 200, body = UsersBody)))]
pub async fn search(state: Data<ApiState>, caller: Caller, query: Query) -> Result<HttpResponse, Problem> {
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let users = match (query.text("name"), query.text("prefix"), query.text("ids")) {
        (Some(name), None, None) => by_name(&state, caller.user(), name, limit).await?,
        (None, Some(prefix), None) => by_prefix(&state, caller.user(), prefix, limit).await?,
        (None, None, Some(ids)) => by_ids(&state, ids).await?,
        (None, None, None) => return Err(Problem::invalid("name: missing")),
        _ => return Err(Problem::invalid("name, prefix, ids: one of them")),
    };
    Ok(HttpResponse::Ok().json(UsersBody { users: users.into_iter().map(UserBody::from).collect() }))
}

async fn by_name(state: &ApiState, caller: UserId, name: &str, limit: usize) -> Result<Vec<User>, Problem> {
    let words = name_words::of_text(name);
    if words.is_empty() || name.chars().count() > NAME_CHARS {
        return Err(Problem::invalid(format!("name: 1 to {NAME_CHARS} characters that are no spaces")));
    }
    let store = state.node.store();
    match state.directory {
        Directory::Open => Ok(state.node.read(store.users_by_name(&words, limit)).await?),
        Directory::Contacts => {
            let mut found = named(state, name).await?;
            let contacts = state.node.read(store.find_contacts(caller, &words, limit)).await?;
            let exact = found.first().map(|user| user.id);
            found.extend(contacts.into_iter().filter(|user| Some(user.id) != exact));
            found.truncate(limit);
            Ok(found)
        }
        Directory::Closed => {
            Err(Refusal::Forbidden("on this server people are found by their whole username only").into())
        }
    }
}

/// The user with this username.
async fn named(state: &ApiState, name: &str) -> Result<Vec<User>, Problem> {
    match Username::parse(name.trim()) {
        Ok(name) => Ok(state.node.read(state.node.store().user_named(&name)).await?.into_iter().collect()),
        Err(_) => Ok(Vec::new()),
    }
}

async fn by_prefix(
    state: &ApiState,
    caller: UserId,
    prefix: &str,
    limit: usize,
) -> Result<Vec<User>, Problem> {
    // The prefix with one more letter must be a valid username, so a prefix follows the rules of names.
    let padded = Username::parse(&format!("{prefix}a")).ok().filter(|_| !prefix.is_empty());
    let padded = padded.or_else(|| Username::parse(prefix).ok());
    let Some(checked) = padded else {
        return Err(Problem::invalid("prefix: not the beginning of a username"));
    };
    let prefix = checked.as_str().get(..prefix.len()).unwrap_or_default();
    let store = state.node.store();
    match state.directory {
        Directory::Open => Ok(state.node.read(store.users_by_prefix(prefix, limit)).await?),
        Directory::Contacts => {
            let mut found = named(state, prefix).await?;
            let words = [prefix.to_ascii_lowercase()];
            let contacts = state.node.read(store.find_contacts(caller, &words, MAX_LIMIT)).await?;
            let exact = found.first().map(|user| user.id);
            let name = |user: &User| user.username.as_ref().map(|name| name.as_str().to_owned());
            let begins = |user: &User| name(user).is_some_and(|name| name.starts_with(&words[0]));
            let mut others: Vec<User> = contacts.into_iter().filter(|user| Some(user.id) != exact).collect();
            others.retain(begins);
            others.sort_by_key(name);
            found.extend(others);
            found.truncate(limit);
            Ok(found)
        }
        Directory::Closed => named(state, prefix).await,
    }
}

async fn by_ids(state: &ApiState, ids: &str) -> Result<Vec<User>, Problem> {
    let mut wanted: Vec<UserId> = Vec::new();
    for text in ids.split(',') {
        let id = text.parse().map_err(|_| Problem::invalid("ids: ids of users, separated by commas"))?;
        if !wanted.contains(&id) {
            wanted.push(id);
        }
        if wanted.len() > MAX_IDS {
            return Err(Refusal::TooLarge("ids: more than 100 users").into());
        }
    }
    Ok(state.node.read(state.node.store().users(&wanted)).await?)
}
