/** Inviting: a link, to copy or to scan. */

import { generate } from '../vendor/lean-qr.js';
import { openDialog } from './dialogs.js';
import { h, icon } from './dom.js';

const SVG = 'http://www.w3.org/2000/svg';
/** The empty border that scanners need, in modules. */
const QUIET = 4;
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** The link that joins a conversation, or that begins a chat with a person. */
export const joinLink = (conversation, origin = location.origin) => `${origin}/#/join/${encodeURIComponent(conversation)}`;
export const personLink = (user, origin = location.origin) => `${origin}/#/with/${encodeURIComponent(user)}`;

/** The dark modules of a QR code as one path of squares, and its side, both in modules. */
export function qrPath(text) {
  const code = generate(text);
  let path = '';
  for (let y = 0; y < code.size; y += 1) for (let x = 0; x < code.size; x += 1) if (code.get(x, y)) path += `M${x + QUIET} ${y + QUIET}h1v1h-1z`;
  return { path, side: code.size + 2 * QUIET };
}

function qrCode(text) {
  const { path, side } = qrPath(text);
  const svg = document.createElementNS(SVG, 'svg');
  const dark = document.createElementNS(SVG, 'path');
  dark.setAttribute('d', path);
  for (const [name, value] of [['viewBox', `0 0 ${side} ${side}`], ['role', 'img'], ['aria-label', 'The link as a QR code'], ['class', 'qr'], ['shape-rendering', 'crispEdges']]) svg.setAttribute(name, value);
  svg.append(dark);
  return svg;
}

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
