/** What the page says about itself: the connection's state on top, short words below. */

import { h } from './dom.js';

const TOAST_MS = 5_000;
/** A connection that is back this soon was not worth a word. */
const PATIENCE_MS = 700;

const STOPPED = {
  1000: 'The server ended the connection.',
  4403: 'This account can no longer connect.',
  4400: 'This page is out of date. Reload it.',
};

export class Notices {
  #timer = null; #tick = null;

  constructor({ client }) {
    this.client = client;
    this.banner = document.getElementById('banner');
    this.toasts = document.getElementById('toasts');
    client.on('state', () => this.#soon());
    addEventListener('offline', () => this.#soon());
    addEventListener('online', () => this.#soon());
    this.#soon();
  }

  #soon() {
    const { state } = this.client.state;
    clearTimeout(this.#timer);
    clearInterval(this.#tick);
    document.documentElement.dataset.connection = state;
    const quiet = state === 'online' || state === 'signed_out' || state === 'idle';
    if (quiet || this.banner.dataset.shown) this.#show();
    else this.#timer = setTimeout(() => this.#show(), PATIENCE_MS);
  }

  #show() {
    const { state, retry_at_ms, code } = this.client.state;
    const again = h('button', { type: 'button', class: 'link', onclick: () => this.client.connect() }, 'Connect now');
    const keeps = 'What you write is kept and sent later.';
    let parts = [];
    if (state === 'waiting') {
      const wait = h('span', { 'aria-hidden': 'true' });
      const tick = () => { const left_s = Math.ceil((retry_at_ms - Date.now()) / 1000); wait.textContent = left_s > 0 ? `Trying again in ${left_s} s.` : 'Trying again.'; };
      tick();
      this.#tick = setInterval(tick, 500);
      parts = navigator.onLine ? ['No connection. ', keeps, ' ', wait, again] : ['You are offline. ', keeps];
    } else if (state === 'connecting') parts = this.banner.dataset.shown ? ['Reconnecting… ', keeps] : ['Connecting…'];
    else if (state === 'stopped') parts = [STOPPED[code] ?? `The connection was closed (${code}).`, ' ', again];
    this.banner.replaceChildren(...parts);
    if (parts.length) this.banner.dataset.shown = state;
    else delete this.banner.dataset.shown;
  }

  told(text) {
    const toast = h('div', { class: 'toast' }, text);
    this.toasts.append(toast);
    setTimeout(() => toast.remove(), TOAST_MS);
  }

  fail(what, error) {
    const why = error?.code === 'offline' ? 'You are not connected.' : error?.message ?? '';
    this.told([what, why].filter(Boolean).join(' '));
  }
}
