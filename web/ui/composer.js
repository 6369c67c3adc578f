/** Where a message is written: a new one, a reply, or the new text of an old one. */

import { h, icon, iconButton } from './dom.js';
import { characters, named, oneLine, plural, previewText } from './format.js';
import { closed } from './notes.js';

export const NO_FILES = 'Files and pictures cannot be sent here yet. A link to one can.';
const MENTION = /(?<![\w@])@([\w.-]{2,64})/g;

/** How many characters at the end of `text` lie beyond a limit that is counted in bytes. */
export function charactersOver(text, most_bytes) {
  const encoder = new TextEncoder();
  if (encoder.encode(text).length <= most_bytes) return 0;
  let bytes = 0;
  const all = characters(text);
  const fits = all.findIndex((one) => { bytes += encoder.encode(one).length; return bytes > most_bytes; });
  return fits === -1 ? 0 : all.length - fits;
}

export class Composer {
  #reply = null; #edit = null; #kept = ''; #room = null; #again = null;

  constructor({ client, store, id, onEditLast, onSent, fail, told }) {
    Object.assign(this, { client, store, id, onEditLast, onSent, fail, told });
    this.input = h('textarea', { class: 'compose-input', rows: 1, 'aria-label': 'Message', dir: 'auto', placeholder: 'Write a message', autocomplete: 'off', enterkeyhint: 'send' });
    this.button = h('button', { type: 'submit', class: 'send-button', 'aria-label': 'Send' }, icon('send'));
    this.context = h('div', { class: 'compose-context', hidden: true });
    this.problem = h('p', { class: 'compose-problem', role: 'alert', hidden: true });
    this.el = h('form', { class: 'composer', 'aria-label': 'Write a message', onsubmit: (event) => { event.preventDefault(); this.#submit(); } },
      this.context, this.problem, h('div', { class: 'compose-row' }, this.input, this.button));
    this.input.value = store.draft(id);
    this.input.addEventListener('input', () => this.#changed());
    this.input.addEventListener('keydown', (event) => this.#keys(event));
    this.input.addEventListener('paste', (event) => this.#paste(event));
    requestAnimationFrame(() => this.#fit());
    this.#enable();
  }

  destroy() {
    clearTimeout(this.#again);
    this.client.typing(this.id, false);
  }

  focus() { this.input.focus(); }

  /** A closed conversation takes no message; what was written can still be read and copied. */
  render(room) {
    this.#room = room;
    if (room.items.get(this.#reply)?.deleted) this.#leaveReply();
    const why = closed(room, this.client.conversations.get(this.id));
    this.input.readOnly = Boolean(why);
    this.input.placeholder = why?.text ?? 'Write a message';
    clearTimeout(this.#again);
    if (why?.again_ms) this.#again = setTimeout(() => this.render(room), why.again_ms);
    this.el.hidden = Boolean(room.absent) && !this.input.value;
    this.#enable();
  }

  reply(message) {
    this.#leaveEdit();
    this.#reply = message.seq;
    this.#showContext('reply', ['Reply to ', message.mine ? 'yourself' : named(message.name)], oneLine(message));
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
    this.context.replaceChildren(icon(name), h('span', { class: 'context-text' }, h('strong', null, title), h('span', { dir: 'auto' }, previewText(text))), iconButton('close', 'Cancel', () => this.#cancel()));
    this.context.hidden = false;
    this.context.dataset.mode = name;
  }

  #leaveEdit() {
    if (!this.#edit) return;
    this.#edit = null;
    this.input.value = this.#kept;
    this.#changed(false);
  }

  /** What is quoted above the field goes with the message. */
  #leaveReply() {
    this.#reply = null;
    this.context.replaceChildren();
    this.context.hidden = true;
  }

  #cancel() {
    this.#leaveEdit();
    this.#leaveReply();
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
    if (!this.#edit) this.store.setDraft(this.id, this.input.value);
    if (typed && !this.#edit) this.client.typing(this.id, this.input.value.trim() !== '');
  }

  #fit() {
    this.input.style.height = 'auto';
    this.input.style.height = `${Math.min(this.input.scrollHeight, 200)}px`;
  }

  #enable() {
    const over = charactersOver(this.input.value, this.client.limits.body_bytes ?? Infinity);
    this.problem.hidden = !over;
    this.problem.textContent = over ? `This message is too long by ${plural(over, 'character')}. Send it in parts.` : '';
    this.button.disabled = this.input.readOnly || !this.input.value.trim() || over > 0;
  }

  /** Text is pasted as usual; a picture or a file is named, because there is no way to send one. */
  #paste(event) {
    const { files, types } = event.clipboardData;
    if (!files.length || types.includes('text/plain')) return;
    event.preventDefault();
    this.told(NO_FILES);
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
