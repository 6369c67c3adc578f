/** Inviting: a link, to copy or to scan. */

import { openDialog } from './dialogs.js';
import { h, icon } from './dom.js';
import { qrCode } from './qr.js';

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** The link that joins a conversation, or that begins a chat with a person. */
export const joinLink = (conversation, origin = location.origin) => `${origin}/#/join/${encodeURIComponent(conversation)}`;
export const personLink = (user, origin = location.origin) => `${origin}/#/with/${encodeURIComponent(user)}`;

/** `text` says what the link does. */
export function inviteDialog({ title, text, link }) {
  const field = h('input', { id: 'field-link', readonly: true, value: link, dir: 'ltr', onfocus: (event) => event.target.select() });
  const said = h('small', { role: 'status' });
  const copy = h('button', { type: 'button', class: 'primary', onclick: async () => {
    try {
      await navigator.clipboard.writeText(link);
      said.textContent = 'Copied.';
    } catch { // a page without https may not write there
      field.select();
      said.textContent = 'Copy the marked link with the keyboard.';
    }
  } }, icon('link'), 'Copy link');
  const near = LOOPBACK.test(new URL(link).hostname) && h('p', { class: 'dialog-text' }, 'This address works on this computer only, in a private window for example.');
  const dialog = openDialog(title, () => [h('p', { class: 'dialog-text' }, text), near, h('div', { class: 'invite' }, qrCode(link),
    h('div', { class: 'field' }, h('label', { for: 'field-link' }, 'Link'), field, said), copy)], { className: 'narrow' });
  copy.focus();
  return dialog;
}
