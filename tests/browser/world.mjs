/** A world for the client to live in: sockets, fetch, storage and a clock that only move when the test says so. */

import { TidingsClient, memoryStorage } from '../../clients/js/tidings.js';

export class FakeSocket {
  constructor(world, url) {
    Object.assign(this, { world, url, readyState: 0, sent: [], closed_with: null });
    world.sockets.push(this);
  }

  send(text) { this.sent.push(JSON.parse(text)); }
  close(code) { this.readyState = 3; this.closed_with = code; }
  frames(type) { return this.sent.filter((frame) => frame.type === type); }
  last(type) { return this.frames(type).at(-1); }

  async open() {
    this.readyState = 1;
    this.onopen?.();
    await settle();
  }

  async push(...frames) {
    for (const frame of frames) this.onmessage?.({ data: JSON.stringify(frame) });
    await settle();
  }

  async lose(code = 1006) {
    this.readyState = 3;
    this.onclose?.({ code });
    await settle();
  }

  /** Opens, is greeted and welcomed with these heads. */
  async welcome(heads = [], more = {}) {
    await this.open();
    await this.push({
      type: 'welcome', session: `session-${this.world.sockets.length}`, user: 'me', server_time: '2026-01-01T00:00:00.000Z', heartbeat_ms: 25_000,
      limits: { sync_ranges: 200, sync_events: 1_000 }, cursor: `cursor-${this.world.sockets.length}`, heads, more_heads: false, token_expires_in_ms: 900_000, ...more,
    });
  }
}

/** Lets every promise that can go on do so. */
export async function settle() {
  for (let round = 0; round < 5; round += 1) await new Promise((resolve) => { setImmediate(resolve); });
}

export class World {
  constructor({ storage = memoryStorage(), random = () => 0.5 } = {}) {
    Object.assign(this, { storage, random, now_ms: 1_000_000, timers: [], sockets: [], calls: [], routes: new Map(), seen: [], ids: 0 });
  }

  get socket() { return this.sockets.at(-1); }

  /** Answers `METHOD /path` with what `fn(body)` gives: {status, body}. */
  route(name, fn) { this.routes.set(name, fn); }

  /** `console: true` leaves errors without a listener. */
  client({ console, ...options } = {}) {
    const world = this;
    const client = new TidingsClient({
      origin: 'http://tidings.test',
      storage: this.storage,
      WebSocket: class extends FakeSocket { constructor(url) { super(world, url); } },
      fetch: (url, init) => this.#fetch(url, init),
      setTimeout: (fn, delay_ms) => this.#timer(fn, delay_ms),
      clearTimeout: (timer) => { this.timers = this.timers.filter((other) => other !== timer); },
      now: () => this.now_ms,
      random: () => this.random(),
      uuid: () => `uuid-${++this.ids}`,
      lock: (_name, fn) => fn(),
      ...options,
    });
    for (const name of ['state', 'event', 'skipped', 'outbox', 'sent', 'removed', 'session']) client.on(name, (detail) => this.seen.push({ name, detail: structuredClone(detail) }));
    if (!console) client.on('error', (error) => this.seen.push({ name: 'error', detail: error }));
    return client;
  }

  /** A client that is signed in as the user `me`. */
  async signedIn(options) {
    this.route('POST /v1/tokens', () => tokens(1));
    const client = this.client(options);
    await client.signIn({ username: 'me', password: 'secret' });
    return client;
  }

  /** The seqs passed on to the application for a conversation, in the order it saw them. */
  seqs(conversation) { return this.seen.filter(({ name, detail }) => name === 'event' && detail.conversation === conversation).map(({ detail }) => detail.seq); }
  all(name) { return this.seen.filter((entry) => entry.name === name).map(({ detail }) => detail); }

  async advance(ms) {
    const end_ms = this.now_ms + ms;
    for (;;) {
      const due = this.timers.filter((timer) => timer.at_ms <= end_ms).sort((a, b) => a.at_ms - b.at_ms)[0];
      if (!due) break;
      this.timers = this.timers.filter((timer) => timer !== due);
      this.now_ms = Math.max(this.now_ms, due.at_ms);
      due.fn();
      await settle();
    }
    this.now_ms = end_ms;
  }

  #timer(fn, delay_ms) {
    const timer = { fn, at_ms: this.now_ms + delay_ms };
    this.timers.push(timer);
    return timer;
  }

  async #fetch(url, { method, body, headers }) {
    const path = url.replace('http://tidings.test', '');
    const call = { name: `${method} ${path}`, body: body ? JSON.parse(body) : undefined, headers };
    this.calls.push(call);
    const route = this.routes.get(call.name);
    if (!route) throw new TypeError(`no route for ${call.name}`);
    const { status = 200, body: answer } = await route(call.body);
    return { ok: status < 400, status, text: async () => (answer === undefined ? '' : JSON.stringify(answer)) };
  }
}

export const tokens = (n, expires_in = 900) => ({
  body: { user: { id: 'me', username: 'me', display_name: 'Me', guest: false }, access_token: `access-${n}`, refresh_token: `refresh-${n}`, expires_in },
});

export const head = (conversation, last_seq, more = {}) => ({ conversation, kind: 'group', last_seq, read_seq: 0, unread: 0, first_seq: 1, ...more });

export const message = (seq, more = {}) => ({ seq, kind: 'message', sender: 'other', sent_at: '2026-01-01T00:00:00.000Z', message_id: `m${seq}`, body: `body ${seq}`, ...more });

export const event = (conversation, seq, more = {}) => ({ type: 'event', conversation, ...message(seq, more) });
