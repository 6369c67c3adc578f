/** Coming in by a link: what it leads to is shown before one joins or writes. */

import { form } from './auth.js';
import { openDialog } from './dialogs.js';
import { h, icon } from './dom.js';
import { avatar, named, oneLine, plural, previewText } from './format.js';

const MOST_LINES = 3;
const DEAD_LINK = 'This link does not work, or does not work any more. Ask for a new one.';

/** An open conversation as everybody may see it before joining. Throws `not_found` for any other. */
export const preview = (client, id) => client.api('GET', `/v1/conversations/${encodeURIComponent(id)}/preview`);

export function previewCard({ conversation, kind, name, topic, member_count, history, messages = [] }, person) {
  const title = name || (kind === 'channel' ? 'Unnamed channel' : 'Unnamed group');
  const lines = messages.filter((message) => !message.deleted).slice(-MOST_LINES);
  return h('div', { class: 'preview' },
    avatar(conversation, title, { large: true, glyph: icon(kind === 'channel' ? 'hash' : 'people') }), h('strong', null, named(title)),
    h('span', { class: 'sub' }, [kind === 'channel' ? 'Channel' : 'Group', plural(member_count, 'member'), history === 'all' ? 'you will see earlier messages' : 'you will see messages from now on'].join(' · ')),
    topic && h('span', { class: 'topic', dir: 'auto' }, topic),
    lines.length > 0 && h('ul', { class: 'preview-lines', 'aria-label': 'Latest messages' }, lines.map((message) => h('li', { dir: 'auto' }, named(person(message.sender)), ': ', previewText(oneLine(message))))));
}

/** Fills a dialog with what `load` finds; while it looks, and when there is nothing, it says so. */
async function filled(title, load, build, done) {
  const body = h('div', { class: 'join-body', 'aria-live': 'polite' }, h('div', { class: 'top' }, h('span', { class: 'spinner', role: 'img', 'aria-label': 'Looking' })));
  let closed = false;
  const dialog = openDialog(title, () => body, { className: 'narrow' });
  dialog.addEventListener('close', () => { closed = true; done(); });
  const attempt = async () => {
    try {
      const found = await load();
      if (closed) return;
      body.replaceChildren(...[build(found, () => dialog.close())].flat());
    } catch (error) {
      if (closed) return;
      const dead = error.code === 'not_found' || error.code === 'invalid';
      body.replaceChildren(h('p', { class: 'dialog-text' }, dead ? DEAD_LINK : error.message), h('div', { class: 'dialog-actions' }, dead
        ? h('button', { type: 'button', class: 'primary', onclick: () => dialog.close() }, 'Close') : h('button', { type: 'button', class: 'primary', onclick: attempt }, 'Try again')));
    }
    body.querySelector('.primary')?.focus();
  };
  await attempt();
}

/** `done` is called when the dialog is closed, in whatever way. */
export function joinDialog({ client, store, open, id, done = () => {} }) {
  let card = null;
  let show = () => {};
  const off = store.on('people', () => show()); // the names of those who wrote come a moment later
  return filled('Join conversation', () => preview(client, id), (found, close) => {
    const made = () => previewCard(found, (user) => store.name(user));
    card = made();
    show = () => { const old = card; card = made(); old.replaceWith(card); };
    const enter = async () => {
      if (!found.member) await client.join(id);
      close();
      open(id);
    };
    return [card, form({ action: found.member ? 'Open' : 'Join', fields: [], work: enter })];
  }, () => { off(); done(); });
}

/** A link to a person: writing to them. */
export function personDialog({ client, open, id, done = () => {} }) {
  return filled('Write to somebody', () => client.userById(id), (user, close) => [
    h('div', { class: 'preview' }, avatar(user.id, user.display_name, { large: true }), h('strong', null, named(user.display_name)), h('span', { class: 'sub' }, user.username ? `@${user.username}` : 'Guest')),
    form({ action: 'Start chatting', fields: [], work: async () => {
      const c = await client.createConversation({ kind: 'direct', members: [user.id] });
      close();
      open(c.id);
    } })], done);
}
