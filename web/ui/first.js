/**
 * What somebody without a conversation sees first: where others are, how to bring them, and a place to try
 * things out.
 */

import { h, icon } from './dom.js';
import { named, plural } from './format.js';
import { preview } from './join.js';

export class First {
  #alive = true;

  /**
   * `actions`: open(id), join(id), invite(lobby), toMyself, browse, create, fail. `server` says where newcomers begin.
   */
  constructor({ client, server, actions }) {
    Object.assign(this, { client, server, actions });
    this.main = h('div', { class: 'first-actions' });
    const name = client.user?.display_name || client.user?.username;
    this.el = h('main', { class: 'thread nothing first' }, h('div', { class: 'nothing-in' }, h('span', { class: 'nothing-mark' }, icon('chat')),
      h('h1', null, name ? ['Welcome, ', named(name)] : 'Welcome'), h('span', null, 'Nobody has written to you yet. You can begin here:'), this.main));
    this.#render(null);
    this.#look();
  }

  destroy() { this.#alive = false; }
  focus() { this.main.querySelector('button').focus(); }

  /** The first account makes the channel for newcomers, so the server is asked anew. */
  async #look() {
    const { default_conversation } = await this.server.read();
    if (!default_conversation) return;
    const lobby = await preview(this.client, default_conversation).catch(() => null);
    if (this.#alive && lobby) this.#render(lobby);
  }

  #render(lobby) {
    const button = (glyph, title, text, act, kind = 'secondary') => h('button', { type: 'button', class: `first-action ${kind}`, onclick: () => act() },
      icon(glyph), h('span', { class: 'who-text' }, h('strong', null, title), h('span', { class: 'first-text' }, text)));
    const focused = this.main.contains(document.activeElement);
    this.main.replaceChildren(...[
      lobby && button('hash', [lobby.member ? 'Open #' : 'Join #', named(lobby.name ?? 'lobby')], lobby.member_count > 1 ? `${plural(lobby.member_count, 'person', 'people')} are there` : 'Where everybody begins',
        () => (lobby.member ? this.actions.open : this.actions.join)(lobby.conversation), 'primary'),
      button('link', 'Invite somebody', 'By a link, or a code to scan', () => this.actions.invite(lobby)),
      button('edit', 'Write to yourself', 'Notes that only you can read', () => this.actions.toMyself()),
      button('search', 'Browse channels', 'Open to everybody here', () => this.actions.browse()),
      button('plus', 'New conversation', 'A person, a group, a channel', () => this.actions.create()),
    ].filter(Boolean));
    if (focused) this.main.querySelector('button').focus();
  }
}
