/** What others may do without being asked, as a part of the account dialog. */

import { h } from './dom.js';

const WHO = [['everyone', 'Everyone'], ['contacts', 'People I wrote to or accepted'], ['nobody', 'Nobody']];
const FIELDS = [['messages', 'Who may write to me first'], ['groups', 'Who may add me to groups'], ['presence', 'Who sees when I am here']];

export class PrivacyChoices {
  #fields = h('div', { class: 'form' });
  #problem = h('p', { class: 'problem', role: 'alert' });

  constructor({ client }) {
    this.client = client;
    this.el = h('section', { class: 'privacy' }, h('h3', null, 'Privacy'), this.#fields, this.#problem);
    this.#load();
  }

  async #load() {
    try {
      const chosen = await this.client.privacy();
      this.#fields.replaceChildren(...FIELDS.map(([name, label]) => this.#field(name, label, chosen[name])));
    } catch (error) {
      this.#problem.textContent = `The choices did not come. ${error.message}`;
    }
  }

  #field(name, label, value) {
    const select = h('select', { id: `field-privacy-${name}`, name }, WHO.map(([key, text]) => h('option', { value: key, selected: key === value }, text)));
    select.addEventListener('change', async () => {
      this.#problem.textContent = '';
      try {
        await this.client.changePrivacy({ [name]: select.value });
      } catch (error) {
        this.#problem.textContent = `It was not changed. ${error.message}`;
        this.#load();
      }
    });
    return h('div', { class: 'field' }, h('label', { for: select.id }, label), select);
  }
}
