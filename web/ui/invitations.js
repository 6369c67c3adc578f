/** Invitations that wait: above the list of conversations, each with a button to accept and one to decline. */

import { h, icon } from './dom.js';
import { avatar, isolated, named } from './format.js';

export class Invitations {
  #off = []; #asked = 0;
  #list = h('ul', { 'aria-label': 'Invitations' });
  #problem = h('p', { class: 'problem', role: 'alert' });

  /** `actions`: open. */
  constructor({ client, actions }) {
    Object.assign(this, { client, actions });
    this.heading = h('h2', { tabindex: -1 }, 'Invitations');
    this.el = h('section', { class: 'invitations', hidden: true }, this.heading, this.#list, this.#problem);
    // One that came while nobody was connected was told to nobody.
    this.#off.push(client.on('invited', () => this.load()), client.on('state', ({ state }) => { if (state === 'online') this.load(); }));
    if (client.state.state === 'online') this.load();
  }

  destroy() { for (const off of this.#off) off(); }

  async load() {
    const mine = ++this.#asked;
    const found = await this.client.invitations().catch(() => null);
    if (!found || mine !== this.#asked) return;
    this.el.hidden = !found.length;
    this.#list.replaceChildren(...found.map((invitation) => this.#row(invitation)));
  }

  #row({ conversation, kind, name, invited_by }) {
    const title = name || (kind === 'channel' ? 'Unnamed channel' : 'Unnamed group');
    const button = (text, kind_of, work) => h('button', { type: 'button', class: kind_of, 'aria-label': `${text} the invitation to ${isolated(title)}`, onclick: () => this.#answer(work) }, text);
    return h('li', { class: 'invitation', 'data-conversation': conversation },
      avatar(conversation, title, { glyph: icon(kind === 'channel' ? 'hash' : 'people') }),
      h('span', { class: 'who-text' }, h('strong', null, named(title)), h('span', { class: 'sub' }, named(invited_by.display_name), ' invites you')),
      h('span', { class: 'answers' },
        button('Accept', 'primary small', async () => this.actions.open((await this.client.join(conversation)).id)),
        button('Decline', 'link', () => this.client.decline(conversation))));
  }

  /** The focus goes to the heading, because the button that had it is gone with its row. */
  async #answer(work) {
    this.#problem.textContent = '';
    try {
      await work();
      if (!this.el.hidden) this.heading.focus();
    } catch (error) {
      this.#problem.textContent = error.code === 'not_found' ? 'This invitation does not hold any more.' : error.message;
    }
    await this.load();
  }
}
