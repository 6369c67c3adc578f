/** Where a message is written: a new one, a reply, or the new text of an old one. */

import { h, icon, iconButton } from './dom.js';
import { oneLine } from './format.js';

const MENTION = /(?<![\w@])@([\w.-]{2,64})/g;

export class Composer {
  #reply = null; #edit = null; #kept = ''; #room = null;

  constructor({ client, store, id, onEditLast, onSent, fail }) {
    Object.assign(this, { client, store, id, onEditLast, onSent, fail });
    this.input = h('textarea', { class: 'compose-input', rows: 1, 'aria-label': 'Message', placeholder: 'Write a message', autocomplete: 'off', enterkeyhint: 'send' });
    this.button = h('button', { type: 'submit', class: 'send-button', 'aria-label': 'Send' }, icon('send'));
    this.context = h('div', { class: 'compose-context', hidden: true });
    this.problem = h('p', { class: 'compose-problem', role: 'alert', hidden: true });
    this.el = h('form', { class: 'composer', 'aria-label': 'Write a message', onsubmit: (event) => { event.preventDefault(); this.#submit(); } },
      this.context, this.problem, h('div', { class: 'compose-row' }, this.input, this.button));
    this.input.value = store.room(id).draft;
    this.input.addEventListener('input', () => this.#changed());
    this.input.addEventListener('keydown', (event) => this.#keys(event));
    requestAnimationFrame(() => this.#fit());
    this.#enable();
  }

  destroy() {
    this.store.room(this.id).draft = this.#edit ? this.#kept : this.input.value;
    this.client.typing(this.id, false);
  }

  focus() { this.input.focus(); }

  render(c, room) {
    this.#room = room;
    const lost = room.lost || (!c && this.client.state.state === 'online');
    this.input.disabled = lost;
    this.input.placeholder = lost ? 'You are no longer a member' : 'Write a message';
    this.#enable();
  }

  reply(message) {
    this.#leaveEdit();
    this.#reply = message.seq;
    this.#showContext('reply', `Reply to ${message.mine ? 'yourself' : message.name}`, oneLine(message));
    this.focus();
  }

  edit(message) {
    if (!this.#edit) this.#kept = this.input.value;
    this.#reply = null;
    this.#edit = { seq: message.seq, body: message.body };
    this.input.value = message.body;
    this.#showContext('edit', 'Edit message', oneLine(message));
    this.#changed(false);
    this.focus();
    this.input.setSelectionRange(this.input.value.length, this.input.value.length);
  }

  #showContext(name, title, text) {
    this.context.replaceChildren(icon(name), h('span', { class: 'context-text' }, h('strong', null, title), h('span', null, text)), iconButton('close', 'Cancel', () => this.#cancel()));
    this.context.hidden = false;
    this.context.dataset.mode = name;
  }

  #leaveEdit() {
    if (!this.#edit) return;
    this.#edit = null;
    this.input.value = this.#kept;
    this.#changed(false);
  }

  #cancel() {
    this.#leaveEdit();
    this.#reply = null;
    this.context.hidden = true;
    this.focus();
  }

  #keys(event) {
    if (event.isComposing) return;
    const coarse = matchMedia('(pointer: coarse)').matches;
    if (event.key === 'Enter' && !event.shiftKey && !coarse) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === 'Escape' && (this.#edit || this.#reply)) {
      event.preventDefault();
      event.stopPropagation();
      this.#cancel();
    } else if (event.key === 'ArrowUp' && !this.input.value && !this.#edit) {
      event.preventDefault();
      this.onEditLast();
    }
  }

  #changed(typed = true) {
    this.#fit();
    this.#enable();
    if (typed && !this.#edit) this.client.typing(this.id, this.input.value.trim() !== '');
  }

  #fit() {
    this.input.style.height = 'auto';
    this.input.style.height = `${Math.min(this.input.scrollHeight, 200)}px`;
  }

  #enable() {
    const bytes = new TextEncoder().encode(this.input.value).length;
    const most = this.client.limits.body_bytes ?? Infinity;
    this.problem.hidden = bytes <= most;
    this.problem.textContent = bytes > most ? `This message is too long by ${bytes - most} bytes.` : '';
    this.button.disabled = this.input.disabled || !this.input.value.trim() || bytes > most;
  }

  async #submit() {
    const body = this.input.value.trim();
    if (this.button.disabled || !body) return;
    const editing = this.#edit;
    if (!editing) {
      this.client.send({ conversation: this.id, body, reply_to: this.#reply ?? undefined, mentions: this.#mentions(body) });
      this.input.value = '';
      this.client.typing(this.id, false);
      this.#cancel();
      this.#changed(false);
      this.onSent();
      return;
    }
    this.#cancel();
    if (editing.body === body) return;
    try {
      await this.client.edit(this.id, editing.seq, body);
    } catch (error) {
      this.fail('The message was not changed.', error);
      if (!this.input.value) { this.edit(editing); this.input.value = body; this.#changed(false); }
    }
  }

  #mentions(body) {
    const byName = new Map([...(this.#room?.members?.values() ?? [])].map((member) => [member.username, member.user]));
    const users = [...body.matchAll(MENTION)].map(([, name]) => byName.get(name.replace(/[.-]+$/, ''))).filter(Boolean);
    return users.length ? [...new Set(users)].slice(0, this.client.limits.mentions ?? 50) : undefined;
  }
}
