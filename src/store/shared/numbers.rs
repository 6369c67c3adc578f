//! Numbers that rows and statements use in place of words. Each has one name, defined here. Stored numbers
//! are never reused.

use super::part::Part;

macro_rules! numbers {
    ($($(#[$about:meta])* $constant:ident $name:ident = $number:literal;)+) => {
        $($(#[$about])* pub(in crate::store) const $constant: i64 = $number;)+

        /// The numbers as parts of a text, by their names.
        pub(in crate::store) const PARTS: &[$crate::store::shared::part::Part] =
            &[$($crate::store::shared::part::Part::same(stringify!($name), stringify!($number))),+];
    };
}
pub(in crate::store) use numbers;

numbers! {
    // Kinds of events, in the column `events.kind`.
    MESSAGE message = 0;
    EDIT edit = 1;
    DELETE delete = 2;
    REACTION reaction = 3;
    MEMBER_JOINED joined = 4;
    MEMBER_LEFT left = 5;
    CONVERSATION_CHANGED changed = 6;

    // The maximum number of admins of a conversation.
    MOST_ADMINS most_admins = 100;

    // What `tidings_append` answers of a message. `sql/permissions.rs` has the numbers of what
    // `may_send` refuses.
    ACCEPTED accepted = 0;
    REPEATED repeated = 1;
    REUSED reused = 2;
    NO_REPLY no_reply = 6;

    // The changes of `tidings_record` to a message.
    ACT_NONE act_none = 0;
    ACT_EDIT act_edit = 1;
    ACT_DELETE act_delete = 2;
    ACT_REACT act_react = 3;
    ACT_UNREACT act_unreact = 4;
}

/// Numbers that only statements name: kinds of conversations, roles, and a message whose conversation another
/// transaction made meanwhile, of which `tidings_append` answers nothing.
pub(in crate::store) const NAMED: &[Part] = &[
    Part::same("direct", "0"),
    Part::same("channel", "2"),
    Part::same("role_member", "0"),
    Part::same("role_admin", "1"),
    Part::same("overtaken", "7"),
];
