/** Ctrl K: go to a conversation by its name, or find a person by name. */

import { h, icon, reconcile } from './dom.js';
import { avatar, named } from './format.js';
import { findPeople } from './people.js';
import { ranked } from './ranking.js';

const WAIT_MS = 150;
const MOST = 8;

export function openSwitcher({ client, store, open, fail }) {
  if (document.querySelector('dialog[open]')) return;
  let [at, asked, timer, people] = [0, 0, null, []];
  const input = h('input', { class: 'switch-input', type: 'text', dir: 'auto', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'switch-options', 'aria-autocomplete': 'list', 'aria-label': 'Search conversations and people', placeholder: 'Search conversations and people', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false' });
  const list = h('ul', { class: 'options', role: 'listbox', id: 'switch-options', 'aria-label': 'Results' });
  const hint = h('p', { class: 'switch-hint', 'aria-live': 'polite' });
  const dialog = h('dialog', { class: 'dialog switcher', 'aria-label': 'Search' }, h('div', { class: 'switch-row' }, icon('search'), input), list, hint);
  const words = () => input.value.trim().toLowerCase();

  const results = () => {
    const text = words().replace(/^@/, '');
    const mine = store.list().map((c) => ({ c, title: store.title(c), username: c.peer ? store.person(c.peer)?.username ?? '' : '' }));
    const here = ranked(text, mine, ({ title, username }) => [title, username]).slice(0, MOST)
      .map(({ c, title, username }) => ({ key: c.id, title, sub: username ? `@${username}` : c.kind === 'channel' ? 'Channel' : 'Group', glyph: c.kind === 'direct' ? null : c.kind === 'channel' ? 'hash' : 'people', seed: c.peer ?? c.id, go: () => open(c.id) }));
    const peers = new Set(store.list().map((c) => c.peer));
    const found = people.filter((user) => !peers.has(user.id) && user.id !== client.user?.id)
      .map((user) => ({ key: user.id, title: user.display_name, sub: `${user.username ? `@${user.username}` : 'Guest'} · start a chat`, seed: user.id, go: async () => {
        try { open((await client.createConversation({ kind: 'direct', members: [user.id] })).id); } catch (error) { fail('The chat was not started.', error); }
      } }));
    return [...here, ...found];
  };

  const render = () => {
    const all = results();
    at = Math.min(at, Math.max(0, all.length - 1));
    input.setAttribute('aria-activedescendant', all.length ? `switch-${at}` : '');
    hint.textContent = all.length ? '' : words() ? 'Nothing found.' : 'No conversations yet. Type a name to find somebody.';
    reconcile(list, all.map((item, index) => ({ key: item.key, sig: JSON.stringify([index, index === at, item.title, item.sub]), build: () => h('li', {
      role: 'option', id: `switch-${index}`, class: 'option', 'aria-selected': String(index === at), onclick: () => { dialog.close(); item.go(); },
    }, avatar(item.seed, item.title, { glyph: item.glyph && icon(item.glyph) }), h('span', { class: 'who-text' }, h('strong', null, named(item.title)), h('span', { class: 'sub' }, item.sub))) })));
    list.children[at]?.scrollIntoView({ block: 'nearest' });
  };

  input.addEventListener('input', () => {
    at = 0;
    clearTimeout(timer);
    const [mine, text] = [++asked, input.value];
    if (!text.trim()) people = [];
    else timer = setTimeout(() => findPeople(client, text).then((users) => { if (mine === asked) { people = users; render(); } }, () => {}), WAIT_MS);
    render();
  });
  input.addEventListener('keydown', (event) => {
    const count = list.children.length;
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      at = count ? (at + (event.key === 'ArrowDown' ? 1 : -1) + count) % count : 0;
      render();
    } else if (event.key === 'Enter') {
      event.preventDefault();
      list.children[at]?.click();
    }
  });
  dialog.addEventListener('close', () => { clearTimeout(timer); dialog.remove(); });
  dialog.addEventListener('pointerdown', (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
  render();
  input.focus();
}
