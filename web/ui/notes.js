/** What is told of a conversation beside its messages, in words. Without DOM. */

const ROLE = { owner: 'owner', admin: 'admin', member: 'member' };

/** What a note says: texts, and {name} where a name stands. `name` gives a person's name, "You" for oneself. */
export function noteParts(event, name, me) {
  const who = { name: name(event.sender) };
  const whom = { name: event.user === me ? 'you' : name(event.user) };
  if (event.kind === 'member_joined' && event.seq === 1) return [who, ' created this'];
  if (event.kind === 'member_joined') return event.sender === event.user ? [who, ' joined'] : [who, ' added ', whom];
  if (event.kind === 'member_left') {
    if (event.reason === 'erased') return ['An account was erased'];
    return event.sender === event.user || event.reason === 'left' ? [{ name: name(event.user) }, ' left'] : [who, ' removed ', whom];
  }
  const { name: title, role, join, history } = event.changes ?? {};
  if (title !== undefined) return [who, ' changed the name to “', { name: title }, '”'];
  if (role) return [who, ' made ', { name: role.user === me ? 'you' : name(role.user) }, ` ${ROLE[role.role] ?? role.role}`];
  if (join) return [who, join === 'open' ? ' opened this to anyone with the link' : ' made this invite-only'];
  if (history) return [who, history === 'all' ? ' let new members see earlier messages' : ' hid earlier messages from new members'];
  return [who, ' changed the settings'];
}

/**
 * Why nothing can be written in a conversation now; null when something can. Answers {text, again_ms?}: when to ask again without news.
 * `room`: what is known of it; `me`: the reader.
 */
export function closed(room) {
  return room.absent ? { text: 'You are not in this conversation' } : null;
}
