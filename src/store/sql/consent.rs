//! What users have chosen about strangers, and their contacts. The rules that use both are in
//! [`super::permissions`] and [`crate::domain::ConsentRules`].

use async_trait::async_trait;

use super::{Backend, Connection, Decision, Result, Sql, accounts, invitations, statement, values};
use crate::domain::{ConversationId, Openness, Privacy, PrivacyChange, Refusal, Timestamp, User, UserId};
use crate::store::shared::columns::Columns;
use crate::store::{Consent, InvitationView, Outcome, StoreError};

/// The maximum number of contacts that a user may add by hand, and that one answer lists.
const MOST_CONTACTS: i64 = 10_000;

const PRIVACY: Sql =
    statement!("SELECT messages_from, groups_from, presence_to FROM privacy WHERE user_id = $1");

async fn privacy<C: Connection>(connection: &mut C, user: UserId, defaults: Privacy) -> Result<Privacy> {
    let Some(row) = connection.optional(&PRIVACY, values![user]).await? else { return Ok(defaults) };
    let chosen = |column, default| {
        Ok::<_, super::Error>(row.int_or_null(column)?.map_or(default, Openness::from_stored))
    };
    Ok(Privacy {
        messages: chosen(0, defaults.messages)?,
        groups: chosen(1, defaults.groups)?,
        presence: chosen(2, defaults.presence)?,
    })
}

const CHOOSE: Sql = statement!(
    "INSERT INTO privacy (user_id, messages_from, groups_from, presence_to) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (user_id) DO UPDATE SET messages_from = coalesce(excluded.messages_from, privacy.messages_from), \
     groups_from = coalesce(excluded.groups_from, privacy.groups_from), \
     presence_to = coalesce(excluded.presence_to, privacy.presence_to)",
);

async fn choose<C: Connection>(
    connection: &mut C,
    user: UserId,
    change: &PrivacyChange,
    defaults: Privacy,
) -> Decision<Privacy> {
    accounts::living(connection, user).await?;
    let number = |chosen: Option<Openness>| chosen.map(Openness::as_stored);
    let values = values![user, number(change.messages), number(change.groups), number(change.presence)];
    connection.run(&CHOOSE, values).await?;
    Ok(privacy(connection, user, defaults).await?)
}

const CONTACTS: Sql = statement!("SELECT contact FROM contacts WHERE user_id = $1 ORDER BY contact LIMIT $2");

async fn contacts<C: Connection>(connection: &mut C, user: UserId) -> Result<Vec<UserId>> {
    connection.all(&CONTACTS, values![user, MOST_CONTACTS]).await?.iter().map(|row| row.user(0)).collect()
}

/// Each contact's words are looked up by key.
const FIND: Sql = statement!(
    "SELECT {user_columns} FROM contacts k CROSS JOIN users u WHERE k.user_id = $1 AND u.id = k.contact AND u.erased_at IS NULL \
     AND coalesce((SELECT TRUE FROM name_words x WHERE x.user_id = k.contact AND x.word >= $2 AND x.word < $3 LIMIT 1), FALSE) \
     AND coalesce((SELECT TRUE FROM name_words x WHERE x.user_id = k.contact AND x.word >= $4 AND x.word < $5 LIMIT 1), FALSE) \
     AND coalesce((SELECT TRUE FROM name_words x WHERE x.user_id = k.contact AND x.word >= $6 AND x.word < $7 LIMIT 1), FALSE) \
     ORDER BY k.contact LIMIT $8"
);

async fn find<C: Connection>(
    connection: &mut C,
    user: UserId,
    words: &[String],
    limit: usize,
) -> Result<Vec<User>> {
    let Some(first) = words.first() else { return Ok(Vec::new()) };
    // Where there are fewer, the first one once more changes nothing.
    let word = |nth: usize| words.get(nth).unwrap_or(first).as_str();
    let beyond = [0, 1, 2].map(|nth| format!("{}{}", word(nth), char::MAX));
    let [one, two, three] = [&beyond[0], &beyond[1], &beyond[2]].map(String::as_str);
    let asked = values![user, word(0), one, word(1), two, word(2), three, limit as i64];
    connection.all(&FIND, asked).await?.iter().map(|row| accounts::read_user(row, 0)).collect()
}

const COUNT: Sql = statement!("SELECT count(*) FROM (SELECT 1 FROM contacts WHERE user_id = $1 LIMIT $2) x");
const ADD: Sql = statement!("INSERT INTO contacts (user_id, contact) VALUES ($1, $2) ON CONFLICT DO NOTHING");
const REMOVE: Sql = statement!("DELETE FROM contacts WHERE user_id = $1 AND contact = $2");

async fn set_contact<C: Connection>(
    connection: &mut C,
    user: UserId,
    other: UserId,
    on: bool,
) -> Decision<()> {
    if user == other {
        return Err(Refusal::Invalid("user: nobody is their own contact".into()).into());
    }
    if !on {
        connection.run(&REMOVE, values![user, other]).await?;
        return Ok(());
    }
    accounts::living(connection, other).await?;
    if connection.one(&COUNT, values![user, MOST_CONTACTS]).await?.int(0)? >= MOST_CONTACTS {
        return Err(Refusal::TooLarge("too many contacts: remove some first").into());
    }
    connection.run(&ADD, values![user, other]).await?;
    Ok(())
}

#[async_trait]
impl<B: Backend> Consent for B {
    async fn privacy(&self, user: UserId) -> std::result::Result<Privacy, StoreError> {
        let asked = (user, self.consent().defaults);
        self.read(asked, |on, (user, defaults)| Box::pin(privacy(on, *user, *defaults))).await
    }

    async fn set_privacy(&self, user: UserId, change: PrivacyChange) -> Outcome<Privacy> {
        let asked = (user, change, self.consent().defaults);
        self.write(asked, |on, (user, change, defaults)| Box::pin(choose(on, *user, change, *defaults))).await
    }

    async fn contacts(&self, user: UserId) -> std::result::Result<Vec<UserId>, StoreError> {
        self.read(user, |on, user| Box::pin(contacts(on, *user))).await
    }

    async fn find_contacts(
        &self,
        user: UserId,
        words: &[String],
        limit: usize,
    ) -> std::result::Result<Vec<User>, StoreError> {
        let asked = (user, words.to_vec(), limit);
        self.read(asked, |on, (user, words, limit)| Box::pin(find(on, *user, words, *limit))).await
    }

    async fn set_contact(&self, user: UserId, other: UserId, on: bool) -> Outcome<()> {
        let asked = (user, other, on);
        self.write(asked, |connection, (user, other, on)| {
            Box::pin(set_contact(connection, *user, *other, *on))
        })
        .await
    }

    async fn invitations(
        &self,
        user: UserId,
        now: Timestamp,
    ) -> std::result::Result<Vec<InvitationView>, StoreError> {
        let asked = (user, now, self.consent().pending_invitations);
        self.read(asked, |on, (user, now, limit)| Box::pin(invitations::list(on, *user, *now, *limit))).await
    }

    async fn decline(&self, user: UserId, conversation: ConversationId, now: Timestamp) -> Outcome<()> {
        let asked = (user, conversation, now);
        self.write(asked, |on, (user, conversation, now)| {
            Box::pin(invitations::decline(on, *user, *conversation, *now))
        })
        .await
    }
}
