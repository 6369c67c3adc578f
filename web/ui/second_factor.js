/** A code of an authenticator app beside the password: set up and ended in the account dialog. */

import { codeField, field, form } from './auth.js';
import { h } from './dom.js';
import { qrCode } from './qr.js';

const password = () => field('Password', 'password', { type: 'password', required: true, autocomplete: 'current-password' });

export class SecondFactor {
  #panel = h('div');

  constructor({ client, told }) {
    Object.assign(this, { client, told });
    this.heading = h('h3', { tabindex: -1 }, 'Authenticator app');
    this.el = h('section', { class: 'members second-factor' }, this.heading, this.#panel);
    this.load();
  }

  async load() {
    try {
      const { on } = await this.client.secondFactor();
      const say = on ? 'Signing in needs a code of your app beside the password.' : 'Ask for a code of an app beside the password when you sign in.';
      const next = h('button', { type: 'button', class: 'link', onclick: () => this.#show(on ? this.#ending() : this.#beginning()) }, on ? 'Turn off' : 'Set up');
      this.#panel.replaceChildren(h('p', { class: 'sub' }, say), next);
    } catch (error) {
      this.#panel.replaceChildren(h('p', { class: 'problem', role: 'alert' }, error.message));
    }
  }

  #show(...content) {
    this.#panel.replaceChildren(...content);
    this.#panel.querySelector('input')?.focus();
  }

  /** The focus goes to the heading, because the form that had it is gone. */
  async #done(text) {
    await this.load();
    this.heading.focus();
    this.told(text);
  }

  #beginning() {
    return form({ action: 'Go on', fields: [password()], work: async (given) => {
      const { secret, uri } = await this.client.beginSecondFactor(given);
      this.#show(h('p', { class: 'sub' }, 'Scan this with the app, or type the key into it.'),
        h('div', { class: 'invite' }, qrCode(uri, 'The key as a QR code')), h('p', null, h('code', { class: 'secret' }, secret)),
        form({ action: 'Turn on', fields: [codeField()], work: async (values) => { await this.client.confirmSecondFactor(values); await this.#done('Signing in needs a code from now on.'); } }));
    } });
  }

  #ending() {
    return form({ action: 'Turn off', fields: [password(), codeField()], work: async (given) => { await this.client.endSecondFactor(given); await this.#done('Signing in needs no code any more.'); } });
  }
}
