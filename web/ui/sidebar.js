/**
 * The conversations: newest first, with the last line, unread count and presence; one's own account at the
 * foot.
 */

import { brand } from './auth.js';
import { h, icon, iconButton, onFrame, reconcile, rove } from './dom.js';
import { avatar, named, oneLine, previewText, shortTime, worded } from './format.js';
import { Invitations } from './invitations.js';

export class Sidebar {
  #off = []; #current = null;

  /** `actions`: create, search, account, claim, open. */
  constructor({ client, store, actions }) {
    Object.assign(this, { client, store, actions });
    const mac = /mac|iphone|ipad/i.test(navigator.userAgent);
    this.list = h('ul', { class: 'rows', 'aria-label': 'Conversations', onkeydown: (event) => rove(event, [...this.list.querySelectorAll('a')]) });
    this.foot = h('footer', { class: 'me' });
    this.invitations = new Invitations({ client, actions });
    this.el = h('nav', { class: 'sidebar', 'aria-label': 'Conversations' },
      h('header', { class: 'bar' }, h('div', { class: 'bar-in' }, h('h1', null, brand()), iconButton('plus', 'New conversation', () => actions.create(), { class: 'icon-button accent new-button' }))),
      h('button', { type: 'button', class: 'search', onclick: () => actions.search() }, icon('search'), h('span', null, 'Search or start a chat'), h('kbd', null, mac ? '⌘ K' : 'Ctrl K')),
      this.invitations.el, this.list, this.foot);
    const render = onFrame(() => this.render());
    this.#off.push(store.on('list', render), store.on('people', render), client.on('session', (user) => user && render()), client.on('state', render));
    this.render();
  }

  destroy() {
    for (const off of this.#off) off();
    this.invitations.destroy();
  }

  select(id) {
    this.#current = id;
    this.render();
  }

  /** Opens the conversation above or below the open one. */
  step(by) {
    const links = [...this.list.querySelectorAll('a')];
    const at = links.findIndex((link) => link.getAttribute('aria-current') === 'page');
    links[Math.max(0, Math.min(links.length - 1, at + by))]?.click();
  }

  render() {
    const me = this.client.user;
    if (!me) return;
    const rows = this.store.list().map((c) => this.#view(c, me));
    const items = rows.map((view) => ({ key: view.id, sig: JSON.stringify(view), build: () => this.#row(view) }));
    if (!rows.length) {
      const online = this.client.state.state === 'online';
      items.push({ key: 'empty', sig: String(online), build: () => h('li', { class: 'empty-list' }, online
        ? [h('strong', null, 'No conversations yet'), h('span', null, 'They are listed here, the newest first.')]
        : h('span', { class: 'spinner', role: 'img', 'aria-label': 'Connecting' })) });
    }
    reconcile(this.list, items);
    const links = [...this.list.querySelectorAll('a')];
    const stop = links.find((link) => link === document.activeElement) ?? links.find((link) => link.getAttribute('aria-current') === 'page') ?? links[0];
    for (const link of links) link.tabIndex = link === stop ? 0 : -1;
    const unread = rows.filter((view) => view.unread).length;
    document.title = unread ? `(${unread}) Tidings` : 'Tidings';
    reconcile(this.foot, [{ key: 'me', sig: JSON.stringify(me), build: () => this.#me(me) }]);
  }

  #view(c, me) {
    const room = this.store.room(c.id);
    const pending = this.store.pending(c.id).at(-1);
    const last = pending ?? this.store.lastMessage(room);
    const typing = [...room.typing.keys()][0];
    const name = (id) => (id === me.id ? 'You' : this.store.name(id));
    const written = c.id === this.#current ? '' : this.store.draft(c.id);
    const draft = written && oneLine({ body: written });
    const author = last && !draft && (pending || c.kind !== 'direct' || last.sender === me.id) ? name(pending ? me.id : last.sender) : '';
    return {
      id: c.id, kind: c.kind, peer: c.peer, title: this.store.title(c), unread: c.unread, current: c.id === this.#current,
      presence: c.kind === 'direct' ? this.store.presence.get(c.peer)?.state : undefined,
      draft: Boolean(draft), author, line: draft || (last ? oneLine(last) : ''), failed: this.store.pending(c.id).some((entry) => entry.state === 'failed'),
      stranger: c.stranger, typing: typing && (c.kind === 'direct' ? ['typing…'] : [{ name: this.store.name(typing) }, ' is typing…']),
      at: room.at ? shortTime(room.at) : '',
    };
  }

  #row(view) {
    const glyph = view.kind === 'direct' ? null : icon(view.kind === 'channel' ? 'hash' : 'people');
    const line = view.typing
      ? h('span', { class: 'line typing' }, worded(view.typing))
      : h('span', { class: 'line', dir: 'auto' }, view.draft && [h('bdi', { class: 'line-draft' }, 'Draft:'), ' '], view.stranger && !view.draft && [h('bdi', { class: 'line-draft' }, 'Request:'), ' '], view.author && h('span', { class: 'line-author' }, named(view.author), ': '), view.line ? previewText(view.line) : { direct: 'Say hello', group: 'New group', channel: 'New channel' }[view.kind]);
    const end = view.failed ? h('span', { class: 'badge alarm', 'aria-label': 'A message was not sent' }, '!')
      : view.unread > 0 && h('span', { class: 'badge', 'aria-label': `${view.unread} unread` }, view.unread > 99 ? '99+' : view.unread);
    return h('li', null, h('a', { href: `#/c/${encodeURIComponent(view.id)}`, class: `row${view.unread ? ' unread' : ''}`, 'aria-current': view.current ? 'page' : null, 'data-conversation': view.id },
      avatar(view.peer ?? view.id, view.title, { presence: view.presence === 'offline' ? null : view.presence, glyph }),
      h('span', { class: 'row-text' }, h('span', { class: 'row-top' }, h('bdi', { class: 'row-title' }, view.title), h('time', null, view.at)),
        h('span', { class: 'row-bottom' }, line, end))));
  }

  #me(me) {
    const name = me.display_name || me.username || 'Guest';
    return h('div', { class: 'me-in' },
      me.guest && h('div', { class: 'claim' }, h('span', null, 'You are here as a guest.'), h('button', { type: 'button', class: 'link', onclick: () => this.actions.claim() }, 'Claim your account')),
      h('button', { type: 'button', class: 'me-button', onclick: () => this.actions.account(), title: 'Account' },
        avatar(me.id, name), h('span', { class: 'who-text' }, h('strong', null, named(name)), h('span', { class: 'sub' }, me.username ? `@${me.username}` : 'Guest')), icon('more')));
  }
}
