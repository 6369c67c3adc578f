/** What is told of a conversation beside its messages, in words. Without DOM. */

const MINUTE_MS = 60_000;
/** A ban that lasts longer has no end: its `until` is in the year 9999. */
const FOREVER_MS = 100 * 365 * 24 * 60 * MINUTE_MS;
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
  const { name: title, topic, role, muted, banned, reason, join, history } = event.changes ?? {};
  if (title !== undefined && topic) return [who, ' changed the name to “', { name: title }, '” and the topic to “', { name: topic }, '”'];
  if (title !== undefined) return [who, ' changed the name to “', { name: title }, topic === '' ? '” and removed the topic' : '”'];
  if (topic !== undefined) return topic ? [who, ' changed the topic to “', { name: topic }, '”'] : [who, ' removed the topic'];
  if (role) return [who, ' made ', { name: role.user === me ? 'you' : name(role.user) }, ` ${ROLE[role.role] ?? role.role}`];
  if (muted) {
    const [muted_name, ms] = [{ name: muted.user === me ? 'you' : name(muted.user) }, Date.parse(muted.until) - Date.parse(event.sent_at)];
    return ms > 0 ? [who, ' muted ', muted_name, ` for ${span(ms)}`] : [who, ' unmuted ', muted_name];
  }
  if (banned) {
    const [banned_name, ms] = [{ name: banned.user === me ? 'you' : name(banned.user) }, Date.parse(banned.until) - Date.parse(event.sent_at)];
    if (ms <= 0) return [who, ' lifted the ban on ', banned_name];
    return [who, ' banned ', banned_name, ms < FOREVER_MS ? ` for ${span(ms)}` : '', ...(reason ? [': “', { name: reason }, '”'] : [])].filter((part) => part !== '');
  }
  if (join) return [who, join === 'open' ? ' opened this to anyone with the link' : ' made this invite-only'];
  if (history) return [who, history === 'all' ? ' let new members see earlier messages' : ' hid earlier messages from new members'];
  return [who, ' changed the settings'];
}

/** A time in words, rounded up to what matters of it. */
function span(ms) {
  const minutes = Math.ceil(ms / MINUTE_MS);
  if (ms < MINUTE_MS) return `${Math.ceil(ms / 1_000)} s`;
  if (minutes < 60) return `${minutes} min`;
  return minutes < 2_880 ? `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ''}` : `${Math.ceil(minutes / 1_440)} days`;
}

/** How long a member is muted still, in milliseconds. */
export function mutedFor(member, now = Date.now()) { return Math.max(0, (Date.parse(member?.muted_until ?? '') || 0) - now); }

/**
 * Why nothing can be written in a conversation now; null when something can. Answers {text, again_ms?}: when to ask again without news.
 * `room`: what is known of it; `c`: the reader's own part in it, if they are in it.
 */
export function closed(room, c, now = Date.now()) {
  if (room.absent) return { text: 'You are not in this conversation' };
  const ms = mutedFor(c, now);
  return ms ? { text: `You are muted here for ${span(ms)}`, again_ms: ms > MINUTE_MS ? ms % MINUTE_MS + 1 : Math.min(ms, 1_000) } : null;
}
