/**
 * What the page shows, kept up to date from the client's events: timelines, people, presence, typing, receipts.
 * Without DOM. Listeners are told `list` (conversations, last lines), `room:<id>` and `people`.
 */

import { Profiles } from './profiles.js';

const PAGE = 40;
const TYPING_MS = 12_000;
const RECHECK_MS = 1_000;
/** A page read may already hold reactions whose events arrive after it: within this time they are read again, not counted. */
const AMBIGUOUS_MS = 5_000;
const KEEP_CLOSED = 120;
const FRESH_MS = 5_000;
const LOOK_AGAIN_MS = 2_000;

/** A message without its content: its place in the order stays. */
const emptied = (message) => ({ ...message, body: undefined, data: undefined, attachments: undefined, mentions: undefined, reactions: [], deleted: true });

export class Store {
  #listeners = new Map();
  #rechecks = new Map();
  #watching = null;
  rooms = new Map();
  presence = new Map();
  open_id = null;

  /** `drafts` (see drafts.js) keeps what is written and not sent. */
  constructor(client, { drafts } = {}) {
    Object.assign(this, { client, drafts });
    this.profiles = new Profiles(client, () => this.tell('people', 'list', ...this.#roomKeys()));
    this.drafts?.of(client.user?.id ?? null);
    client.on('event', (event) => this.#event(event));
    client.on('sent', ({ entry, ack }) => this.#sent(entry, ack));
    client.on('conversation', (c) => this.#conversation(c));
    client.on('removed', ({ conversation }) => this.#removed(conversation));
    client.on('skipped', ({ conversation }) => this.#skipped(conversation));
    client.on('outbox', (entry) => this.tell('list', ...(entry?.conversation ? [`room:${entry.conversation}`] : this.#roomKeys())));
    client.on('receipt', (frame) => this.#receipt(frame));
    client.on('typing', (frame) => this.#typing(frame));
    client.on('presence', ({ user, ...state }) => { this.presence.set(user, state); this.tell('list', ...this.#roomKeys()); });
    client.on('state', ({ state }) => this.#state(state));
    client.on('session', (user) => {
      this.drafts?.of(user?.id ?? null);
      if (!user) this.#clear();
    });
  }

  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.#listeners.get(name)?.delete(listener);
  }

  tell(...names) { for (const name of new Set(names)) for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(); }
  #roomKeys() { return [...this.rooms.keys()].map((id) => `room:${id}`); }

  #clear() {
    for (const map of [this.rooms, this.presence, this.#rechecks, this.profiles]) map.clear();
    this.open_id = null;
  }

  /** Presence is only known while connected; receipts that were missed meanwhile come with the members. */
  #state(state) {
    if (state !== 'online') return this.presence.clear();
    const room = this.rooms.get(this.open_id);
    if (!room) return;
    if (Date.now() - (room.members_ms ?? 0) > FRESH_MS) this.loadMembers(room.id);
    if (room.failed) this.loadOlder(room.id);
  }

  // ---- rooms ----

  room(id) {
    if (!this.rooms.has(id)) {
      this.rooms.set(id, { id, items: new Map(), oldest: null, complete: false, loading: false, members: null, receipts: new Map(), typing: new Map(), quotes: new Map(), at: null, absent: null });
    }
    return this.rooms.get(id);
  }

  /** Everything loaded of a room, ascending: messages, and notes (joins, leaves, settings). */
  timeline(room) { return [...room.items.values()].sort((a, b) => a.seq - b.seq); }
  messages(room) { return this.timeline(room).filter((item) => item.kind === 'message'); }
  lastMessage(room) { return this.messages(room).at(-1); }
  draft(id) { return this.drafts?.get(id) ?? ''; }

  setDraft(id, text) {
    const before = this.draft(id);
    this.drafts?.set(id, text);
    if (!before !== !text) this.tell('list');
  }

  pending(id) { return this.client.outbox.filter((entry) => entry.conversation === id); }

  /** The conversations, the liveliest first. */
  list() {
    const at = (c) => Date.parse(this.rooms.get(c.id)?.at ?? c.created_at ?? 0) || 0;
    return [...this.client.conversations.values()].filter((c) => !c.stub).sort((a, b) => at(b) - at(a) || (a.id < b.id ? -1 : 1));
  }

  title(c) {
    if (c.kind === 'direct') return c.peer === this.client.user?.id ? 'Notes to yourself' : this.name(c.peer);
    return c.name || (c.kind === 'channel' ? 'Unnamed channel' : 'Unnamed group');
  }

  #conversation(c) {
    if (c.peer) this.person(c.peer);
    const room = this.room(c.id);
    Object.assign(room, { title: this.title(c), absent: null, at: room.at || c.created_at || null });
    this.tell('list', `room:${c.id}`);
    this.#watch();
  }

  #removed(id) {
    const gone = this.rooms.get(id);
    this.rooms.delete(id);
    if (id === this.open_id) this.room(id).absent = gone?.departed ?? { why: 'gone', title: gone?.title };
    this.tell('list', `room:${id}`);
  }

  /** Finds out why a conversation that the page was asked for is not among ours. */
  async lookUp(id) {
    const room = this.room(id);
    if (room.looking || room.absent) return;
    room.looking = true;
    try {
      await this.client.fetchConversation(id); // ours after all: its head is on the way
    } catch (error) {
      if (error.definite !== false && !this.client.conversations.has(id)) room.absent = await this.#openOne(id);
    }
    // What could not be found out is asked again, but not at once.
    setTimeout(() => { room.looking = false; this.tell(`room:${id}`); }, room.absent ? 0 : LOOK_AGAIN_MS);
  }

  #skipped(id) {
    const room = this.room(id);
    room.items.clear();
    Object.assign(room, { oldest: null, complete: false });
    if (this.open_id === id) this.loadOlder(id);
    this.tell(`room:${id}`);
  }

  async #openOne(id) {
    const found = await this.client.api('GET', `/v1/conversations/${encodeURIComponent(id)}/preview`).catch(() => null);
    return found ? { why: 'open', title: found.name, members: found.member_count } : { why: 'never' };
  }

  /** Called when a room comes on screen: its members and first page are fetched, its people watched. */
  async open(id) {
    this.close();
    this.open_id = id;
    const room = this.room(id);
    this.tell(`room:${id}`);
    if (room.items.size < PAGE) this.loadOlder(id);
    await this.loadMembers(id);
  }

  close() {
    const room = this.rooms.get(this.open_id);
    this.open_id = null;
    if (!room || room.items.size <= KEEP_CLOSED) return;
    const items = this.timeline(room).slice(-KEEP_CLOSED);
    Object.assign(room, { items: new Map(items.map((item) => [item.seq, item])), oldest: items[0].seq, complete: false });
  }

  /** Loads the page before what is held. */
  async loadOlder(id) {
    const [c, room] = [this.client.conversations.get(id), this.room(id)];
    if (!c || c.stub || room.loading || room.complete) return;
    const before = room.oldest ?? (c.start ?? c.pos) + 1;
    if (before <= c.first_seq) { room.complete = true; this.tell(`room:${id}`); return; }
    room.loading = true;
    room.failed = false;
    this.tell(`room:${id}`);
    try {
      const { messages, more } = await this.client.history(id, { before, limit: PAGE, ...(c.pos && { min_seq: c.pos }) });
      const loaded_ms = Date.now();
      for (const message of messages) this.#keep(room, message, loaded_ms);
      room.oldest = messages[0]?.seq ?? room.oldest;
      room.complete = !more;
      room.at ??= messages.at(-1)?.sent_at;
    } catch {
      room.failed = true;
    }
    room.loading = false;
    this.tell('list', `room:${id}`);
  }

  /** Loads back to `seq`, as far as is sensible. Answers whether it is there. */
  async ensure(id, seq) {
    const room = this.room(id);
    for (let page = 0; page < 25 && !room.items.has(seq) && !room.complete && !room.failed; page += 1) await this.loadOlder(id);
    return room.items.has(seq);
  }

  /** A message for a quote: held, or fetched once. */
  quoted(id, seq) {
    const room = this.room(id);
    const held = room.items.get(seq) ?? room.quotes.get(seq);
    if (held || room.quotes.has(seq)) return held;
    room.quotes.set(seq, null);
    this.client.history(id, { after: seq - 1, limit: 1 }).then(({ messages }) => {
      room.quotes.set(seq, messages[0]?.seq === seq ? this.#shown(messages[0]) : { seq, deleted: true });
      this.tell(`room:${id}`);
    }, () => room.quotes.delete(seq));
    return null;
  }

  // ---- events ----

  #event(event) {
    const room = this.room(event.conversation);
    const target = room.items.get(event.target_seq);
    room.at = event.kind === 'message' || !room.at ? event.sent_at : room.at;
    if (event.kind === 'message') {
      room.items.set(event.seq, this.#shown({ ...event, reactions: room.items.get(event.seq)?.reactions ?? [] }));
      room.typing.delete(event.sender);
      this.#moveReceipt(room, event.sender, event.seq, event.seq);
    } else if (event.kind === 'reaction') {
      if (target) this.#reaction(room, target, event);
    } else if (event.kind === 'edit' || event.kind === 'delete') {
      if (target) this.#change(room, target, event);
    } else {
      room.items.set(event.seq, event);
      this.#departure(room, event);
      this.#membership(room, event);
      if (event.kind === 'member_left' && event.reason === 'erased') return this.#erased(event.user);
    }
    this.tell('list', `room:${event.conversation}`);
  }

  /** What of a message may be shown: nothing but its place when its sender's account is gone. */
  #shown(item) { return (item?.kind ?? 'message') === 'message' && this.profiles.isErased(item?.sender) ? emptied(item) : item; }
  #keep(room, message, loaded_ms) { room.items.set(message.seq, this.#shown({ kind: 'message', reactions: [], ...message, loaded_ms })); }

  /** The content of an erased account goes at once: the server removes it from the log in its own time. */
  #erased(user) {
    this.profiles.erase(user);
    this.presence.delete(user);
    for (const room of this.rooms.values()) {
      for (const held of [room.items, room.quotes]) for (const [seq, item] of held) held.set(seq, this.#shown(item));
      room.members?.delete(user);
      room.receipts.delete(user);
      clearTimeout(room.typing.get(user));
      room.typing.delete(user);
    }
    this.tell('list', 'people', ...this.#roomKeys());
  }

  /** How one's own membership ended, for the page that shows the conversation. */
  #departure(room, { kind, user, sender, changes, seq, sent_at }) {
    const me = this.client.user?.id;
    if (kind === 'member_joined' && user === me) room.departed = undefined;
    else if (kind === 'conversation_changed' && changes?.banned?.user === me && Date.parse(changes.banned.until) > Date.parse(sent_at)) room.banned = { seq, reason: changes.reason };
    else if (kind === 'member_left' && user === me && room.banned?.seq === seq - 1) room.departed = { why: 'banned', by: sender, title: room.title, reason: room.banned.reason };
    else if (kind === 'member_left' && user === me) room.departed = { why: sender === me ? 'left' : 'removed', by: sender, title: room.title };
    else if (changes?.deleted) room.departed = { why: 'deleted', by: sender, title: room.title };
  }

  #membership(room, { kind, user, role, changes }) {
    if (!room.members) return;
    if (kind === 'member_joined') room.members.set(user, { user, role, username: this.person(user)?.username });
    else if (kind === 'member_left') room.members.delete(user);
    // A later release may change more of a member than this client knows.
    else if (Object.values(changes ?? {}).some((change) => change?.user)) this.loadMembers(room.id);
    const c = this.client.conversations.get(room.id);
    // A later release may tell of kinds that this client does not know.
    if (c && (kind === 'member_joined' || kind === 'member_left')) c.member_count = c.kind === 'channel' ? (c.member_count ?? 0) + (kind === 'member_joined' ? 1 : -1) : room.members.size;
  }

  #change(room, target, event) {
    // An edit without a text was replaced: a later event says what became of the message.
    if (event.kind === 'edit' && event.body === undefined) return;
    const gone = event.kind === 'delete';
    room.items.set(target.seq, gone
      ? emptied(target)
      : { ...target, body: event.body, edited_at: event.sent_at });
    room.quotes.delete(target.seq);
  }

  #reaction(room, target, { sender, emoji, on }) {
    if (target.loaded_ms && Date.now() - target.loaded_ms < AMBIGUOUS_MS) return this.#recheck(room.id, target.seq);
    const mine = sender === this.client.user?.id;
    const old = target.reactions.find((reaction) => reaction.emoji === emoji) ?? { emoji, count: 0, me: false };
    const now = { ...old, count: old.count + (on ? 1 : -1), me: mine ? on : old.me };
    const rest = target.reactions.map((reaction) => (reaction.emoji === emoji ? now : reaction));
    const reactions = (old.count ? rest : [...rest, now]).filter(({ count }) => count > 0);
    room.items.set(target.seq, { ...target, reactions });
  }

  #recheck(id, seq) {
    const due = this.#rechecks.get(id);
    if (due) return void due.add(seq);
    const seqs = new Set([seq]);
    this.#rechecks.set(id, seqs);
    setTimeout(async () => {
      this.#rechecks.delete(id);
      const [first, min_seq] = [Math.min(...seqs), this.client.conversations.get(id)?.pos];
      try {
        const { messages } = await this.client.history(id, { after: first - 1, limit: PAGE, ...(min_seq && { min_seq }) });
        const room = this.room(id);
        const loaded_ms = Date.now();
        for (const message of messages) if (seqs.has(message.seq)) this.#keep(room, message, loaded_ms);
        this.tell(`room:${id}`);
      } catch { /* the counts stay as they were read before */ }
    }, RECHECK_MS * (1 + Math.random()));
  }

  #sent(entry, ack) {
    if (!ack.conversation) return;
    const room = this.room(ack.conversation);
    const { body, reply_to, mentions, data, client_id } = entry;
    if (!room.items.has(ack.seq) && ack.seq > (this.client.conversations.get(ack.conversation)?.pos ?? 0)) {
      room.items.set(ack.seq, { kind: 'message', seq: ack.seq, sender: this.client.user.id, sent_at: ack.sent_at, message_id: ack.message_id, body, reply_to, mentions, data, client_id, reactions: [] });
      room.at = ack.sent_at;
    }
    this.tell('list', `room:${ack.conversation}`);
  }

  // ---- people, receipts, typing, presence ----

  person(id) { return this.profiles.get(id); }
  name(id) { return this.profiles.name(id); }

  /** Loads all members of a group and the first of a channel; `more` adds a channel's next page. */
  async loadMembers(id, { more = false } = {}) {
    const room = this.room(id);
    const channel = this.client.conversations.get(id)?.kind === 'channel';
    const members = new Map(more ? room.members : []);
    let cursor = more ? room.members_cursor : '';
    room.members_ms = Date.now();
    try {
      do {
        const page = await this.client.members(id, cursor);
        for (const member of page.members) members.set(member.user, member);
        cursor = page.next_cursor;
      } while (cursor && !channel);
      const c = await this.client.fetchConversation(id);
      Object.assign(this.client.conversations.get(id) ?? {}, { role: c.role, member_count: c.member_count, join: c.join, history: c.history, name: c.name, topic: c.topic });
    } catch {
      return this.tell(`room:${id}`);
    }
    Object.assign(room, { members, members_cursor: cursor });
    for (const { user, username, display_name, delivered_seq, read_seq } of members.values()) {
      this.profiles.learn(user, { username, display_name });
      this.#moveReceipt(room, user, delivered_seq, read_seq);
    }
    this.tell('list', `room:${id}`, 'people');
    this.#watch();
  }

  #moveReceipt(room, user, delivered_seq = 0, read_seq = 0) {
    const old = room.receipts.get(user) ?? { delivered_seq: 0, read_seq: 0 };
    const read = Math.max(old.read_seq, read_seq);
    room.receipts.set(user, { read_seq: read, delivered_seq: Math.max(old.delivered_seq, delivered_seq, read) });
  }

  #receipt({ conversation, user, delivered_seq, read_seq }) {
    this.#moveReceipt(this.room(conversation), user, delivered_seq, read_seq);
    this.tell(`room:${conversation}`, 'list');
  }

  /** `sent`, `delivered` or `read`, by everyone else; a channel tells no receipts. */
  status(room, seq) {
    const me = this.client.user?.id;
    const others = [...(room.members?.keys() ?? [])].filter((user) => user !== me).map((user) => room.receipts.get(user));
    if (!others.length || this.client.conversations.get(room.id)?.kind === 'channel') return 'sent';
    if (others.every((receipt) => receipt?.read_seq >= seq)) return 'read';
    return others.every((receipt) => receipt?.delivered_seq >= seq) ? 'delivered' : 'sent';
  }

  #typing({ conversation, user, on }) {
    if (user === this.client.user?.id) return;
    const room = this.room(conversation);
    clearTimeout(room.typing.get(user));
    room.typing.delete(user);
    if (on) room.typing.set(user, setTimeout(() => { room.typing.delete(user); this.tell('list', `room:${conversation}`); }, TYPING_MS));
    this.tell('list', `room:${conversation}`);
  }

  /** Presence is asked for whom one can see: the people written to directly, and the members of the open group. */
  #watch() {
    this.#watching ??= setTimeout(() => { this.#watching = null; this.#watchNow(); }, 50);
  }

  #watchNow() {
    const me = this.client.user?.id;
    const open = this.rooms.get(this.open_id)?.members?.keys() ?? [];
    const peers = this.list().map((c) => c.peer).filter(Boolean);
    this.client.watch(new Set([...open, ...peers].filter((user) => user !== me)));
  }
}
