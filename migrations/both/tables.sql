-- The tables that are the same in both databases, made with the first step of each. The names of types are in src/store/sql/text.rs.

-- Who was a member once, so that leaving twice answers with the same event.
CREATE TABLE departures (
    user_id      {id} NOT NULL,
    conversation {id} NOT NULL,
    left_seq     {whole} NOT NULL,
    PRIMARY KEY (user_id, conversation)
){by_key};

-- Until when somebody may say nothing in a conversation. A row outlives the membership, so that leaving and coming back lifts nothing.
CREATE TABLE mutes (
    user_id      {id} NOT NULL,
    conversation {id} NOT NULL,
    ends_at      {whole} NOT NULL,
    PRIMARY KEY (user_id, conversation)
){by_key};

-- Until when somebody may not be a member of a conversation, and the event that says so.
CREATE TABLE bans (
    user_id      {id} NOT NULL,
    conversation {id} NOT NULL,
    ends_at      {whole} NOT NULL,
    ban_seq      {whole} NOT NULL,
    PRIMARY KEY (user_id, conversation)
){by_key};
CREATE INDEX bans_by_conversation ON bans (conversation, user_id);

-- Of each user the contacts: those whom the user has written to or accepted.
CREATE TABLE contacts (
    user_id {id} NOT NULL,
    contact {id} NOT NULL,
    PRIMARY KEY (user_id, contact)
){by_key};
CREATE INDEX contacts_by_contact ON contacts (contact, user_id);

-- What users have chosen about others (src/domain/consent.rs); NULL, or no row: what the installation has chosen.
CREATE TABLE privacy (
    user_id       {id} PRIMARY KEY,
    messages_from {whole},
    groups_from   {whole},
    presence_to   {whole}
){by_key};

-- Invitations that wait for their users. A declined one stays until its end, so that it is not made again at once.
CREATE TABLE invitations (
    user_id      {id} NOT NULL,
    conversation {id} NOT NULL,
    invited_by   {id} NOT NULL,
    invited_at   {whole} NOT NULL,
    ends_at      {whole} NOT NULL,
    declined     {whole} NOT NULL,
    PRIMARY KEY (user_id, conversation)
){by_key};

-- How many people a user added to groups and channels on the day of UTC on which they last did; days are counted from 1970.
CREATE TABLE invited (
    user_id {id} PRIMARY KEY,
    day     {whole} NOT NULL,
    people  {whole} NOT NULL
){by_key};

-- Until when an operator keeps an account out. A row whose time is over stays until it is replaced, lifted, or the account is erased.
CREATE TABLE suspensions (
    user_id      {id} PRIMARY KEY,
    suspended_at {whole} NOT NULL,
    ends_at      {whole} NOT NULL,
    reason       {text}
){by_key};

-- The accounts whose password is one that an operator set: until when it counts, and whether it has signed in (0 or 1).
CREATE TABLE one_time_passwords (
    user_id {id} PRIMARY KEY,
    ends_at {whole} NOT NULL,
    used    {whole} NOT NULL
){by_key};

-- The authenticator apps of accounts. used_step is that of the newest code that was taken; 0: the app is not confirmed yet.
CREATE TABLE second_factors (
    user_id   {id} PRIMARY KEY,
    secret    {text} NOT NULL,
    used_step {whole} NOT NULL
){by_key};

-- Who did what to whom, in a chain of hashes (src/domain/audit.rs). Rows are only added, and removed from the beginning when they are
-- older than what is kept. The newest row stays.
CREATE TABLE audit (
    id           {whole} PRIMARY KEY,
    at           {whole} NOT NULL,
    actor        {text} NOT NULL,
    action       {text} NOT NULL,
    subject      {text},
    conversation {text},
    address      {text},
    details      {text},
    previous     {text} NOT NULL,
    hash         {text} NOT NULL
){by_key};

CREATE TABLE blocks (
    blocker {id} NOT NULL,
    blocked {id} NOT NULL,
    PRIMARY KEY (blocker, blocked)
){by_key};
CREATE INDEX blocks_by_blocked ON blocks (blocked, blocker);

