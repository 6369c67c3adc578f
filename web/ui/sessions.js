/** Where one is signed in: a list in the account dialog, with a button to end each and one to end all others. */

import { h } from './dom.js';
import { isolated, lastUsed, named, since } from './format.js';

export class Sessions {
  #list = h('ul');
  #others = h('button', { type: 'button', class: 'link', hidden: true, onclick: () => this.#end(() => this.client.endOtherSessions()) }, 'End all others');
  #problem = h('p', { class: 'problem', role: 'alert' });

  constructor({ client }) {
    this.client = client;
    this.heading = h('h3', { tabindex: -1 }, 'Signed in on');
    this.el = h('section', { class: 'members sessions' }, this.heading, this.#list, this.#others, this.#problem);
    this.load();
  }

  async load() {
    try {
      const sessions = await this.client.sessions();
      this.#list.replaceChildren(...sessions.map((session) => this.#row(session)));
      this.#others.hidden = !sessions.some(({ current }) => !current);
    } catch (error) {
      this.#problem.textContent = `The list did not come. ${error.message}`;
    }
  }

  #row({ session, device_name, created_at, last_used_at, network, current }) {
    const name = device_name ?? 'A device without a name';
    const end = () => this.#end(() => this.client.endSession(session));
    return h('li', { class: 'member' },
      h('span', { class: 'who-text' }, h('strong', null, named(name)), h('span', { class: 'sub' }, `${since(created_at)} · ${lastUsed(last_used_at)} · ${network}`)),
      current ? h('span', { class: 'role' }, 'This device') : h('button', { type: 'button', class: 'link', 'aria-label': `End ${isolated(name)}`, onclick: end }, 'End'));
  }

  /** The focus goes to the heading, because the button that had it is gone with its row. */
  async #end(work) {
    this.#problem.textContent = '';
    try {
      await work();
      await this.load();
      this.heading.focus();
    } catch (error) {
      this.#problem.textContent = error.message;
    }
  }
}
