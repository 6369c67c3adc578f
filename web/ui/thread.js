/** The open conversation: header, messages with history above and new ones below, and the composer. */

import { absence } from './absence.js';
import { attachmentsOf } from './attachments.js';
import { Composer } from './composer.js';
import { elementFor, h, icon, iconButton, onFrame, reconcile, rove } from './dom.js';
import { avatar, dayKey, dayName, lastSeen, named, oneLine, plural, worded } from './format.js';
import { KEYS_HELP, messageRow, note } from './message.js';
import { noteParts } from './notes.js';

const SAME_BURST_MS = 5 * 60_000;
const NEAR_PX = 80;
const HUSH_MS = 1_000;

export class Thread {
  #off = []; #active = null; #stuck = true; #divider; #below = 0; #last = 0; #first = Infinity; #hush = null;

  /** `actions`: back, details, visit, confirm, fail, told. */
  constructor({ client, store, id, actions }) {
    Object.assign(this, { client, store, id, actions });
    this.composer = new Composer({ client, store, id, onEditLast: () => this.#editLast(), onSent: () => this.#toBottom(), fail: actions.fail, told: actions.told });
    this.head = h('header', { class: 'bar thread-bar' });
    this.list = h('div', { class: 'messages' });
    this.log = h('div', { class: 'log', role: 'log', 'aria-live': 'polite', 'aria-relevant': 'additions', 'aria-label': 'Messages', 'aria-describedby': 'keys-help', tabindex: -1 }, this.list);
    this.jump = h('button', { type: 'button', class: 'to-bottom', hidden: true, onclick: () => this.#toBottom() }, icon('down'), h('span'));
    this.typing = h('div', { class: 'typing-line', 'aria-live': 'polite' });
    this.request = h('div', { class: 'request' });
    this.heading = h('h1', { class: 'unseen' });
    this.el = h('main', { class: 'thread', 'aria-label': 'Conversation' }, this.heading, this.head, h('div', { class: 'log-wrap' }, this.log, this.jump),
      this.typing, this.request, this.composer.el, h('p', { id: 'keys-help', class: 'unseen' }, KEYS_HELP));
    this.log.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.log.addEventListener('keydown', (event) => this.#keys(event));
    this.log.addEventListener('focusin', (event) => { const row = event.target.closest('.msg'); if (row) this.#activate(row.dataset.key); });
    const render = onFrame(() => this.render());
    this.#off.push(store.on(`room:${id}`, render), store.on('people', render), client.on('state', render));
    this.resize = new ResizeObserver(() => { if (this.#stuck) this.log.scrollTop = this.log.scrollHeight; });
    this.resize.observe(this.log);
    this.visible = () => this.#read();
    document.addEventListener('visibilitychange', this.visible);
    this.render();
    store.open(id).then(() => this.render());
  }

  destroy() {
    for (const off of this.#off) off();
    clearTimeout(this.#hush);
    this.resize.disconnect();
    document.removeEventListener('visibilitychange', this.visible);
    this.composer.destroy();
    this.store.close();
  }

  focus() { this.composer.focus(); }

  render() {
    const c = this.client.conversations.get(this.id);
    const room = this.store.room(this.id);
    // Where "New" stands is settled once, before anything shown here counts as read.
    if (c && !c.stub && this.#divider === undefined) this.#divider = c.unread ? c.read_seq : null;
    this.#header(c, room);
    const me = this.client.user?.id;
    if (!c && this.client.state.state === 'online') this.store.lookUp(this.id);
    else if (c && !room.members_ms) this.store.loadMembers(this.id);
    const items = c ? this.#items(c, room, me) : room.absent ? [this.#absent(room)] : [];
    const from_bottom = this.log.scrollHeight - this.log.scrollTop;
    const newest = this.store.lastMessage(room);
    const grew = newest && newest.seq > this.#last;
    if (grew && this.#last && !this.#stuck && newest.sender !== me) this.#below += 1;
    this.#quiet(items.find(({ seq }) => seq)?.seq ?? Infinity);
    reconcile(this.list, items);
    // New lines at the end push the view along; old ones on top must not move what is being read.
    if (this.#stuck) this.log.scrollTop = this.log.scrollHeight;
    else if (!grew) this.log.scrollTop = this.log.scrollHeight - from_bottom;
    if (grew) this.#last = newest.seq;
    this.#activate(this.#active);
    this.#belowButton();
    this.#typingLine(room);
    this.composer.render(room);
    this.#request(c);
    this.#read();
    if (c && this.log.scrollHeight <= this.log.clientHeight + NEAR_PX && !room.complete && !room.failed) this.store.loadOlder(this.id);
  }

  /** Somebody who is no contact has written: accept, answer or block. */
  #request(c) {
    const answer = async (what, work) => { try { await work(); } catch (error) { this.actions.fail(what, error); } };
    const title = c && this.store.title(c);
    const build = () => h('div', { class: 'request-in', role: 'group', 'aria-label': 'Message request' },
      h('span', null, named(title), ' is not one of your contacts. They can write only a few messages until you answer or accept.'),
      h('span', { class: 'answers' },
        h('button', { type: 'button', class: 'primary small', onclick: () => answer('It was not accepted.', async () => { await this.client.setContact(c.peer); this.focus(); }) }, 'Accept'),
        h('button', { type: 'button', class: 'link danger', onclick: () => answer('Nobody was blocked.', async () => { await this.client.setBlock(c.peer); this.actions.told('They are blocked.'); this.actions.back(); }) }, 'Block')));
    reconcile(this.request, c?.stranger ? [{ key: 'request', sig: title, build }] : []);
  }

  /** History that is put above what is shown is not news: it is not read out. */
  #quiet(first) {
    if (first >= this.#first) return;
    this.#first = first;
    this.log.setAttribute('aria-live', 'off');
    clearTimeout(this.#hush);
    this.#hush = setTimeout(() => this.log.setAttribute('aria-live', 'polite'), HUSH_MS);
  }

  #header(c, room) {
    const presence = c?.kind === 'direct' ? this.store.presence.get(c.peer) : null;
    const glyph = c && c.kind !== 'direct' ? icon(c.kind === 'channel' ? 'hash' : 'people') : null;
    const title = c ? this.store.title(c) : room.absent?.title ?? 'Conversation';
    let subtitle = '';
    if (c?.kind === 'direct') subtitle = { online: 'Online', away: 'Away', offline: lastSeen(presence?.last_seen) }[presence?.state] ?? '';
    else if (c) subtitle = [c.kind === 'channel' ? 'Channel' : 'Group', c.member_count && plural(Math.max(c.member_count, c.kind === 'group' ? room.members?.size ?? 0 : 0), 'member')].filter(Boolean).join(' · ');
    if (this.heading.textContent !== title) this.heading.replaceChildren(title);
    const sig = JSON.stringify([title, subtitle, c?.topic, presence?.state, c?.kind]);
    reconcile(this.head, [{ key: 'head', sig, build: () => h('div', { class: 'bar-in' },
      iconButton('back', 'Back to conversations', () => this.actions.back(), { class: 'icon-button back' }),
      h(c ? 'button' : 'div', { type: c && 'button', class: 'who', onclick: c && (() => this.actions.details()), title: c && 'Details' },
        avatar(c?.peer ?? this.id, title, { presence: presence?.state, glyph }),
        h('span', { class: 'who-text' }, h('strong', null, named(title)), h('span', { class: 'sub' }, subtitle, c?.topic && [' · ', named(c.topic)]))),
      c && iconButton('info', 'Details', () => this.actions.details(), { class: 'icon-button details-button' })) }]);
  }

  #items(c, room, me) {
    const items = [];
    if (room.loading) items.push({ key: 'top', sig: 'loading', build: () => h('div', { class: 'top' }, h('span', { class: 'spinner', role: 'img', 'aria-label': 'Loading earlier messages' })) });
    else if (room.failed) items.push({ key: 'top', sig: 'failed', build: () => h('div', { class: 'top' }, h('button', { type: 'button', class: 'link', onclick: () => this.store.loadOlder(this.id) }, 'Earlier messages could not be loaded. Try again')) });
    else if (room.complete) items.push({ key: 'top', sig: `start ${this.store.title(c)}`, build: () => this.#beginning(c) });
    const views = this.#views(c, room, me);
    let day = null;
    let divided = this.#divider === null;
    for (const view of views) {
      const today = dayKey(view.sent_at ?? Date.now());
      if (today !== day) items.push({ key: `day ${today}`, sig: dayName(today), build: () => note(dayName(today), 'day') });
      day = today;
      if (!divided && view.seq > this.#divider && !view.mine && view.kind === 'message') {
        divided = true;
        items.push({ key: 'new', sig: '', build: () => note('New', 'new') });
      }
      const build = () => {
        if (view.kind !== 'message') return note(view.text, 'event');
        const row = messageRow(view, this.#handlers);
        row.dataset.key = view.key;
        return row;
      };
      items.push({ key: view.key, seq: view.seq, sig: JSON.stringify(view), build });
    }
    return items;
  }

  /** In place of the messages of a conversation that one is not in: why, and what to do next. */
  #absent(room) {
    const { heading, text } = absence(room.absent, (id) => this.store.name(id), Boolean(this.store.draft(this.id)));
    return { key: 'absent', sig: JSON.stringify([heading, text]), build: () => h('div', { class: 'absent', role: 'status' },
      h('span', { class: 'nothing-mark' }, icon('leave')), h('strong', null, worded(heading)), h('span', null, text),
      h('div', { class: 'dialog-actions' }, room.absent.why === 'open' && h('button', { type: 'button', class: 'primary', onclick: () => this.actions.visit(this.id) }, 'Join'),
        h('button', { type: 'button', class: 'secondary', onclick: () => this.actions.back() }, 'Back to conversations'))) };
  }

  #beginning(c) {
    const title = this.store.title(c);
    const text = { direct: c.peer === this.client.user?.id ? ['Only you can read what you write here.'] : ['This is where your conversation with ', named(title), ' begins.'], group: ['The beginning of ', named(title), '.'], channel: ['The beginning of #', named(title), '.'] }[c.kind];
    return h('div', { class: 'beginning' }, avatar(c.peer ?? c.id, title, { large: true, glyph: c.kind === 'direct' ? null : icon(c.kind === 'channel' ? 'hash' : 'people') }), h('strong', null, named(title)), h('span', null, text));
  }

  /** Plain data for each line; what is equal here is not built again. */
  #views(c, room, me) {
    const name = (id) => (id === me ? 'You' : this.store.name(id));
    const admin = c.kind !== 'direct' && (c.role === 'owner' || c.role === 'admin');
    const lines = this.store.timeline(room).map((item) => {
      const base = { key: item.client_id && item.sender === me ? item.client_id : `seq ${item.seq}`, seq: item.seq, kind: item.kind, sent_at: item.sent_at };
      if (item.kind !== 'message') return { ...base, text: noteParts(item, name, me) };
      const mine = item.sender === me;
      return { ...base, mine, sender: item.sender, name: name(item.sender), avatars: c.kind !== 'direct' && !mine, body: item.body, deleted: item.deleted, edited: !!item.edited_at && !item.deleted,
        attachments: attachmentsOf(item), reactions: item.reactions, can_delete: mine || admin, mentioned: !!item.mentions?.includes(me), status: mine && !item.deleted ? this.store.status(room, item.seq) : undefined,
        quote: this.#quote(item.reply_to, name) };
    });
    for (const entry of this.store.pending(this.id)) {
      lines.push({ key: entry.client_id, kind: 'message', pending: true, mine: true, sender: me, name: 'You', body: entry.body, attachments: attachmentsOf(entry), reactions: [], status: entry.state, error: entry.error?.message, client_id: entry.client_id, quote: this.#quote(entry.reply_to, name) });
    }
    const together = (a, b) => a?.kind === 'message' && b?.kind === 'message' && a.sender === b.sender && Math.abs(Date.parse(b.sent_at ?? Date()) - Date.parse(a.sent_at ?? Date())) < SAME_BURST_MS;
    return lines.map((line, index) => ({ ...line, first: !together(lines[index - 1], line), last: !together(line, lines[index + 1]) }));
  }

  #quote(seq, name) {
    if (!seq) return undefined;
    const message = this.store.quoted(this.id, seq);
    return { seq, name: message?.sender ? name(message.sender) : '…', text: message ? oneLine(message) : '' };
  }

  #handlers = {
    react: (view, emoji, on) => this.client.react(this.id, view.seq, emoji, on).catch((error) => this.actions.fail('The reaction was not sent.', error)),
    reply: (view) => this.composer.reply(view),
    edit: (view) => this.composer.edit(view),
    jump: (seq) => this.#show(seq),
    retry: (view) => this.client.retry(view.client_id),
    discard: (view) => this.client.discard(view.client_id),
    remove: async (view) => {
      if (!(await this.actions.confirm({ title: 'Delete this message?', text: 'It is removed for everyone, for good.', action: 'Delete', danger: true }))) return;
      this.client.delete(this.id, view.seq).catch((error) => this.actions.fail('The message was not deleted.', error));
    },
  };

  async #show(seq) {
    if (!(await this.store.ensure(this.id, seq))) return;
    this.#stuck = false;
    this.render();
    const row = this.list.querySelector(`[data-seq="${Number(seq)}"]`);
    row?.scrollIntoView({ block: 'center' });
    row?.focus({ preventScroll: true });
    row?.classList.add('flash');
  }

  #editLast() {
    const me = this.client.user?.id;
    const last = this.store.messages(this.store.room(this.id)).filter((m) => m.sender === me && m.body && !m.deleted).at(-1);
    if (last) this.composer.edit(last);
  }

  #keys(event) {
    if (!event.target.classList.contains('msg') && event.target !== this.log) return;
    if (event.key === 'Escape') { event.preventDefault(); this.composer.focus(); return; }
    const rows = [...this.list.querySelectorAll('.msg')];
    if (rove(event, rows)) document.activeElement.scrollIntoView({ block: 'nearest' });
  }

  /** One message takes part in the tab order: the one last visited, else the newest. */
  #activate(key) {
    const rows = [...this.list.querySelectorAll('.msg')];
    const row = (key && elementFor(this.list, key)) || rows.at(-1);
    this.#active = key && row?.dataset.key === key ? key : null;
    for (const other of rows) other.tabIndex = other === row ? 0 : -1;
  }

  #scrolled() {
    this.#stuck = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR_PX;
    if (this.#stuck) this.#below = 0;
    this.#belowButton();
    this.#read();
    if (this.log.scrollTop < 400 && !this.#stuck) this.store.loadOlder(this.id);
  }

  #belowButton() {
    this.jump.hidden = this.#stuck;
    this.jump.lastElementChild.textContent = this.#below ? plural(this.#below, 'new message') : '';
    this.jump.setAttribute('aria-label', this.#below ? `${plural(this.#below, 'new message')} below` : 'To the newest message');
  }

  #toBottom() {
    this.#stuck = true;
    this.#below = 0;
    this.#divider = null;
    this.log.scrollTop = this.log.scrollHeight;
    this.#belowButton();
    this.#read();
  }

  #read() {
    const last = this.store.lastMessage(this.store.room(this.id));
    if (last && this.#stuck && !document.hidden) this.client.markRead(this.id, last.seq);
  }

  #typingLine(room) {
    const names = [...room.typing.keys()].map((id) => ({ name: this.store.name(id) }));
    const parts = { 0: [], 1: [names[0], ' is typing'], 2: [names[0], ' and ', names[1], ' are typing'] }[names.length] ?? ['Several people are typing'];
    const sig = JSON.stringify(parts);
    if (this.typing.dataset.sig === sig) return;
    this.typing.dataset.sig = sig;
    this.typing.replaceChildren(...(parts.length ? [h('span', { class: 'dots', 'aria-hidden': 'true' }, h('i'), h('i'), h('i')), h('span', null, worded(parts))] : []));
  }
}
