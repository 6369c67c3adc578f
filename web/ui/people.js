/**
 * Finding people by the beginning of their name or username: a field with suggestions, for one person or
 * several.
 */

import { h, reconcile } from './dom.js';
import { avatar, named } from './format.js';

const WAIT_MS = 150;
const MOST = 8;

/**
 * People by the beginning of a word of their name, or of their username after an @. Where names are not
 * searched, by a whole username.
 */
export async function findPeople(client, text) {
  const typed = text.trim();
  const username = typed.replace(/^@/, '').toLowerCase();
  if (!username) return [];
  if (!typed.startsWith('@')) {
    try {
      return (await client.api('GET', `/v1/users?name=${encodeURIComponent(typed)}&limit=${MOST}`)).users;
    } catch (error) {
      if (error.code !== 'forbidden' && error.code !== 'invalid') throw error;
    }
  }
  return client.usersByPrefix(username, MOST).catch((error) => { if (error.code === 'invalid') return []; throw error; });
}

export class PeoplePicker {
  #timer = null; #asked = 0; #found = []; #at = 0;

  /**
   * `onPick(user)` at each choice; with `several`, the chosen stay as chips in `chosen`. `skip(id)` hides
   * people who cannot be chosen.
   */
  constructor({ client, label, several = false, onPick = () => {}, skip = () => false, id = 'people' }) {
    Object.assign(this, { client, several, onPick, skip, id, chosen: new Map() });
    this.input = h('input', { id: `field-${id}`, type: 'text', role: 'combobox', 'aria-expanded': 'false', 'aria-controls': `${id}-options`, 'aria-autocomplete': 'list', placeholder: 'Name or username', dir: 'auto', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false' });
    this.options = h('ul', { class: 'options', role: 'listbox', id: `${id}-options`, 'aria-label': 'People found' });
    this.chips = h('div', { class: 'chips' });
    this.hint = h('small', { 'aria-live': 'polite' });
    this.el = h('div', { class: 'field people' }, h('label', { for: `field-${id}` }, label), several && this.chips, this.input, this.options, this.hint);
    this.input.addEventListener('input', () => this.#search());
    this.input.addEventListener('keydown', (event) => this.#keys(event));
  }

  #search() {
    clearTimeout(this.#timer);
    const text = this.input.value.trim();
    this.hint.textContent = '';
    if (!text) return this.#show([]);
    const asked = ++this.#asked;
    this.#timer = setTimeout(async () => {
      try {
        const users = await findPeople(this.client, text);
        if (asked !== this.#asked) return;
        const found = users.filter((user) => user.id !== this.client.user?.id && !this.chosen.has(user.id) && !this.skip(user.id));
        this.#show(found);
        this.hint.textContent = found.length ? '' : `Nobody else’s name starts with “${text}”. Send them an invitation, or ask for their username.`;
      } catch (error) {
        if (asked === this.#asked) this.hint.textContent = error.message;
      }
    }, WAIT_MS);
  }

  #show(found) {
    this.#found = found;
    this.#at = 0;
    this.#render();
  }

  #render() {
    this.input.setAttribute('aria-expanded', String(this.#found.length > 0));
    const current = this.#found[this.#at];
    this.input.setAttribute('aria-activedescendant', current ? `${this.id}-${current.id}` : '');
    reconcile(this.options, this.#found.map((user, index) => ({
      key: user.id, sig: `${index === this.#at}`,
      build: () => h('li', { role: 'option', id: `${this.id}-${user.id}`, 'aria-selected': String(index === this.#at), class: 'option', 'data-username': user.username, onclick: () => this.#pick(user) },
        avatar(user.id, user.display_name), h('span', { class: 'who-text' }, h('strong', null, named(user.display_name)), h('span', { class: 'sub' }, user.username ? `@${user.username}` : 'Guest'))),
    })));
  }

  #keys(event) {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      const step = event.key === 'ArrowDown' ? 1 : -1;
      this.#at = (this.#at + step + this.#found.length) % (this.#found.length || 1);
      this.#render();
    } else if (event.key === 'Enter' && this.input.value.trim()) {
      event.preventDefault();
      if (this.#found[this.#at]) this.#pick(this.#found[this.#at]);
    } else if (event.key === 'Backspace' && !this.input.value && this.chosen.size) {
      this.chosen.delete([...this.chosen.keys()].at(-1));
      this.#chips();
    }
  }

  #pick(user) {
    this.input.value = '';
    this.#asked += 1;
    if (this.several) this.chosen.set(user.id, user);
    this.#show([]);
    this.#chips();
    this.input.focus();
    this.onPick(user);
  }

  #chips() {
    this.chips.replaceChildren(...[...this.chosen.values()].map((user) => h('button', {
      type: 'button', class: 'chip', 'aria-label': `Remove ${user.display_name}`, onclick: () => { this.chosen.delete(user.id); this.#chips(); this.input.focus(); },
    }, named(user.display_name), h('span', { 'aria-hidden': 'true' }, '×'))));
  }
}
