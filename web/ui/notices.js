/** What the page says about itself: the connection's state on top, short words below. */

import { h } from './dom.js';
import { plural } from './format.js';

const TOAST_MS = 5_000;
/** A connection that is back this soon was not worth a word, unless it had been dead for seconds before that was known. */
const PATIENCE_MS = 700;

const STOPPED = {
  1000: 'The server ended the connection.',
  4403: 'This account can no longer connect.',
  4400: 'This page is out of date. Reload it.',
};

/** A server's words as a sentence. */
const sentence = (text) => text && `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;

export class Notices {
  #timer = null; #tick = null; #was_online = false;

  constructor({ client }) {
    this.client = client;
    this.banner = document.getElementById('banner');
    this.toasts = document.getElementById('toasts');
    client.on('state', () => this.#soon());
    client.on('outbox', () => { if (this.banner.dataset.shown) this.#show(); });
    addEventListener('offline', () => this.#soon());
    addEventListener('online', () => this.#soon());
    this.#soon();
  }

  #soon() {
    const { state, silent } = this.client.state;
    clearTimeout(this.#timer);
    document.documentElement.dataset.connection = state;
    if (state === 'online') this.#was_online = true;
    if (state === 'signed_out') this.#was_online = false;
    const quiet = state === 'online' || state === 'signed_out' || state === 'idle';
    if (quiet || silent || this.banner.dataset.shown || !navigator.onLine) this.#show();
    else this.#timer = setTimeout(() => this.#show(), PATIENCE_MS);
  }

  #show() {
    const { state, retry_at_ms, code, reason } = this.client.state;
    clearInterval(this.#tick);
    const again = h('button', { type: 'button', class: 'link', onclick: () => this.client.connect() }, 'Connect now');
    const kept = this.#kept();
    let parts = [];
    // The browser may know of a lost network long before the connection shows it.
    if (state !== 'signed_out' && state !== 'stopped' && !navigator.onLine) parts = ['You are offline. ', kept];
    else if (state === 'waiting') {
      const wait = h('span', { 'aria-hidden': 'true' });
      const tick = () => { const left_s = Math.ceil((retry_at_ms - Date.now()) / 1000); wait.textContent = left_s > 0 ? `Trying again in ${left_s} s.` : 'Trying again.'; };
      tick();
      this.#tick = setInterval(tick, 500);
      parts = ['No connection. ', kept, ' ', wait, again];
    } else if (state === 'connecting') parts = this.#was_online ? ['No connection. ', kept, ' Trying again.'] : ['Connecting…'];
    else if (state === 'stopped') parts = [sentence(reason) ?? STOPPED[code] ?? `The connection was closed (${code}).`, ' ', again];
    this.banner.replaceChildren(...parts);
    if (parts.length) this.banner.dataset.shown = state;
    else delete this.banner.dataset.shown;
  }

  /** What happens to words that cannot be sent now. */
  #kept() {
    const waiting = this.client.outbox.filter((entry) => entry.state !== 'failed').length;
    if (waiting > 1) return `Your ${plural(waiting, 'message')} are kept and sent later.`;
    return `${waiting ? 'Your message' : 'What you write'} is kept and sent later.`;
  }

  told(text) {
    for (const same of this.toasts.querySelectorAll('.toast')) if (same.textContent === text) same.remove();
    const toast = h('div', { class: 'toast' }, text);
    this.toasts.append(toast);
    setTimeout(() => toast.remove(), TOAST_MS);
  }

  fail(what, error) {
    const why = error?.code === 'offline' ? 'You are not connected.' : error?.message ?? '';
    this.told([what, why].filter(Boolean).join(' '));
  }
}
