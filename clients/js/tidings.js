/**
 * Tidings client: protocol v1 over WebSocket and fetch, without a user interface.
 *
 * It promises what the server promises, up to the application: every event of a conversation once and in seq order, across
 * reconnects, releases and sleep; and every message handed to `send` delivered once, even when the page is reloaded first.
 * What it cannot keep (a catch-up too long to be worth it) it says in a `skipped` event, never in silence.
 *
 * Everything outside is injected (socket, fetch, storage, timers, clock, randomness), so it runs and is tested without a browser.
 *
 * Events, by `client.on(name, fn)` (answers a function that takes the listener off again):
 *   state {state, retry_at_ms?, code?}     signed_out | idle | connecting | online | waiting | stopped
 *   session user|null                      signed in, changed or out
 *   conversation c / removed {conversation}  a conversation is new or changed / is no longer ours
 *   event e                                one event of a conversation, in order, once
 *   skipped {conversation, after, upto}    events that will not come: reload what you show of them
 *   outbox entry|null / sent {entry, ack}  a message to send changed / was committed at ack.seq
 *   receipt, typing, presence, lagging     the server's frames as they are
 */

const SUBPROTOCOL = 'tidings.v1.json';
const SESSION_KEY = 'tidings.session';
const DEVICE_KEY = 'tidings.device';
const OUTBOX_KEY = 'tidings.outbox';

const BACKOFF_FLOOR_MS = 500;
const BACKOFF_CEILING_MS = 20_000;
/** A connection that stood this long counts as healthy: the next loss starts again from the shortest wait. */
const STABLE_MS = 30_000;
const WELCOME_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 15_000;
/** A request unanswered for this long makes us ask whether the connection still lives. */
const ANSWER_WAIT_MS = 4_000;
/** Between a call whose answer was lost and the same call again. */
const AGAIN_MS = 1_000;
/** So long after that question without a byte, the connection counts as dead. */
const PROBE_TIMEOUT_MS = 4_000;
const ABUSE_WAIT_MS = 60_000;
const TYPING_EVERY_MS = 3_000;
const TYPING_OFF_MS = 5_000;
const RECEIPT_DELAY_MS = 300;
/** How long an acked message may take to arrive as an event before its conversation is synced. */
const ACKED_EVENT_WAIT_MS = 1_500;
const MAX_ACKED_KEPT = 100;
const MAX_BUFFERED_EVENTS = 500;
const FINAL_CLOSES = new Set([1000, 1002, 1003, 1007, 1009, 4400, 4403]);

/** What went wrong, in the protocol's words. `definite: false` means it may have happened: repeat it with the same client_id. */
export class TidingsError extends Error {
  constructor({ code, message, status, retryable = false, definite = true, retry_after_ms }) {
    super(message ?? code);
    this.name = 'TidingsError';
    Object.assign(this, { code, status, retryable, definite, retry_after_ms });
  }
}

/** A storage that forgets: the default, and the fallback where a browser forbids localStorage. */
export function memoryStorage() {
  const items = new Map();
  return {
    get length() { return items.size; },
    key: (index) => [...items.keys()][index] ?? null,
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, String(value)),
    removeItem: (key) => void items.delete(key),
  };
}

/** A random UUID (v4), also on plain-HTTP pages where `crypto.randomUUID` is missing. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

const offline = () => new TidingsError({ code: 'offline', message: 'not connected', retryable: true });
const enc = encodeURIComponent;

export class TidingsClient {
  #env; #listeners = new Map();
  #session = null; #refreshing = null; #refreshTimer = null; #authFailures = 0;
  #wanted = false; #state = { state: 'idle' }; #link = null; #next = null; #retryTimer = null; #stableTimer = null; #attempt = 0; #handover = null;
  #requests = new Map(); #lastId = 0; #healing = false; #healTimer = null; #solo = false;
  #acked = []; // own messages that the log took, to be offered again should it turn out to be another log
  #unconfirmed = null; // after a reset: conversations held from the old log that no head has named yet
  #outbox = new Map(); #flights = new Map(); #lastOrder = 0;
  #watched = new Set(); #background = false; #typing = new Map(); #reads = new Map(); #deliveries = new Map(); #receiptTimer = null;

  /** Conversations by id: the head's fields, `pos` (the seq held) and `target` (the seq known to exist). Read it, do not write it. */
  conversations = new Map();
  cursor = null;
  limits = {};

  /**
   * Options, all optional: `origin`, `storage` (as localStorage), `WebSocket`, `fetch`, `setTimeout`, `clearTimeout`, `now`, `random`, `uuid`,
   * `lock(name, fn)` (runs fn alone among all tabs), `initial_events` (how far back a conversation met for the first time is synced),
   * `max_catch_up` (a longer absence is answered with `skipped`), `resume` {cursor, positions} for applications that keep the events themselves.
   */
  constructor(options = {}) {
    const g = globalThis;
    this.#env = {
      origin: options.origin ?? g.location?.origin,
      storage: options.storage ?? memoryStorage(),
      WebSocket: options.WebSocket ?? g.WebSocket,
      fetch: options.fetch ?? ((...args) => g.fetch(...args)),
      setTimeout: options.setTimeout ?? ((...args) => g.setTimeout(...args)),
      clearTimeout: options.clearTimeout ?? ((timer) => g.clearTimeout(timer)),
      now: options.now ?? (() => Date.now()),
      random: options.random ?? Math.random,
      uuid: options.uuid ?? uuid,
      lock: options.lock ?? ((name, fn) => (g.navigator?.locks ? g.navigator.locks.request(name, fn) : fn())),
      initial_events: options.initial_events ?? 20,
      max_catch_up: options.max_catch_up ?? 2_000,
    };
    this.cursor = options.resume?.cursor ?? null;
    for (const [id, pos] of Object.entries(options.resume?.positions ?? {})) this.#stub(id, pos);
    this.#session = this.#stored();
    if (this.#session) this.#loadOutbox();
    else this.#state = { state: 'signed_out' };
  }

  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.#listeners.get(name).delete(listener);
  }

  #emit(name, detail) { for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(detail); }
  #later(delay_ms, fn) { return this.#env.setTimeout(fn, Math.min(Math.max(0, delay_ms), 0x7fffffff)); }
  #cancel(timer) { if (timer !== null && timer !== undefined) this.#env.clearTimeout(timer); return null; }
  #setState(state) { this.#state = state; this.#emit('state', state); }

  get state() { return this.#state; }
  get user() { return this.#session?.user ?? null; }
  get outbox() { return [...this.#outbox.values()].sort((a, b) => a.order - b.order); }
  /** The seq held of each conversation: with `cursor`, what `resume` takes. */
  get positions() { return Object.fromEntries([...this.conversations.values()].filter((c) => !c.stub).map((c) => [c.id, c.pos])); }

  // ---- signing in and out ----

  async signUp({ username, password, display_name }) { return this.#adopt(await this.#surely(() => this.#fetch('POST', '/v1/accounts', { body: { username, password, display_name } }))); }
  async signIn({ username, password }) { return this.#adopt(await this.#fetch('POST', '/v1/tokens', { body: { username, password } })); }

  /** Plays first: the same guest on this device each time, until it is claimed. */
  async guest({ display_name } = {}) {
    const device_id = this.#env.storage.getItem(DEVICE_KEY) ?? this.#env.uuid();
    this.#env.storage.setItem(DEVICE_KEY, device_id);
    return this.#adopt(await this.#surely(() => this.#fetch('POST', '/v1/accounts/guest', { body: { device_id, display_name } })));
  }

  /** Makes the guest an account. Its messages and conversations stay; the device alone no longer signs in to it. */
  async claim({ username, password }) {
    const user = await this.#surely(() => this.api('POST', '/v1/me/claim', { body: { username, password } }));
    this.#env.storage.removeItem(DEVICE_KEY);
    return this.#profile(user);
  }

  async updateMe(changes) { return this.#profile(await this.#surely(() => this.api('PATCH', '/v1/me', { body: changes }))); }

  /**
   * Signs this device out, here even when the server cannot be told. Unsent messages go with it. A guest's device secret goes too:
   * the next guest on this device is somebody new, and nobody reaches the old one any more.
   */
  async signOut() {
    const token = this.#session?.access_token;
    if (this.user?.guest) this.#env.storage.removeItem(DEVICE_KEY);
    for (const entry of this.#outbox.values()) this.#env.storage.removeItem(this.#outboxKey(entry));
    this.#forget();
    if (token) await this.#fetch('DELETE', '/v1/tokens', { token }).catch(() => {});
  }

  /** What may be sent again unchanged is sent once more when it is not known whether it was done. */
  async #surely(call) {
    try { return await call(); } catch (error) {
      if (error.definite !== false) throw error;
      await new Promise((resolve) => { this.#later(AGAIN_MS, resolve); });
      return call();
    }
  }

  #stored() { try { return JSON.parse(this.#env.storage.getItem(SESSION_KEY)); } catch { return null; } }

  #save(session) {
    this.#session = session;
    this.#env.storage.setItem(SESSION_KEY, JSON.stringify(session));
  }

  #profile(user) {
    this.#save({ ...this.#session, user });
    this.#emit('session', user);
    return user;
  }

  #adopt({ user, access_token, expires_in, refresh_token }) {
    const known = this.#session?.user.id === user.id;
    if (this.#session && !known) this.#forget();
    this.#save({ user, access_token, refresh_token, expires_at_ms: this.#env.now() + expires_in * 1000 });
    if (!known) this.#loadOutbox();
    this.#scheduleRefresh(expires_in * 1000);
    this.#emit('session', user);
    return user;
  }

  #forget() {
    this.disconnect();
    this.#refreshTimer = this.#cancel(this.#refreshTimer);
    this.#session = null;
    this.#env.storage.removeItem(SESSION_KEY);
    this.conversations.clear();
    this.#outbox.clear();
    this.#acked = [];
    this.#watched.clear();
    this.cursor = null;
    this.#setState({ state: 'signed_out' });
    this.#emit('session', null);
  }

  #scheduleRefresh(ttl_ms) {
    this.#cancel(this.#refreshTimer);
    const lead_ms = ttl_ms > 150_000 ? 75_000 : ttl_ms / 4;
    this.#refreshTimer = this.#later((ttl_ms - lead_ms) * (1 - this.#env.random() / 20), () => this.#refreshSoon());
  }

  #refreshSoon() {
    this.#refresh().catch(() => {
      if (this.#session) this.#refreshTimer = this.#later(5_000 + this.#env.random() * 5_000, () => this.#refreshSoon());
    });
  }

  /** One refresh at a time, in all tabs: a refresh token shown again later than 30 s, or after its successor, ends the sign-in. */
  #refresh() {
    this.#refreshing ??= Promise.resolve(this.#env.lock('tidings.refresh', () => this.#refreshAlone())).finally(() => { this.#refreshing = null; });
    return this.#refreshing;
  }

  async #refreshAlone() {
    const [mine, stored] = [this.#session, this.#stored()];
    if (!mine) throw new TidingsError({ code: 'unauthenticated', message: 'signed out' });
    const other_tab = stored?.user.id === mine.user.id && stored.access_token !== mine.access_token;
    if (other_tab && stored.expires_at_ms > this.#env.now() + 5_000) {
      this.#session = stored;
      this.#scheduleRefresh(stored.expires_at_ms - this.#env.now());
    } else {
      try {
        this.#adopt(await this.#fetch('POST', '/v1/tokens/refresh', { body: { refresh_token: mine.refresh_token } }));
      } catch (error) {
        if (error.status !== 401) throw error;
        const device_id = mine.user.guest ? this.#env.storage.getItem(DEVICE_KEY) : null;
        if (!device_id) { this.#forget(); throw error; }
        this.#adopt(await this.#fetch('POST', '/v1/accounts/guest', { body: { device_id } }));
      }
    }
    if (this.#link) this.#request({ type: 'auth', token: this.#session.access_token }, { transient: true }).catch(() => {});
  }

  // ---- REST ----

  /** One REST call as the signed-in user; a token found expired is refreshed once. Throws TidingsError. */
  async api(method, path, { body, headers } = {}) {
    if (!this.#session) throw new TidingsError({ code: 'unauthenticated', message: 'signed out' });
    const token = this.#session.access_token;
    try {
      return await this.#fetch(method, path, { body, headers, token });
    } catch (error) {
      if (error.status !== 401 || !this.#session) throw error;
      if (this.#session.access_token === token) await this.#refresh();
      return this.#fetch(method, path, { body, headers, token: this.#session.access_token });
    }
  }

  async #fetch(method, path, { body, headers = {}, token } = {}) {
    const abort = new AbortController();
    const timer = this.#later(REQUEST_TIMEOUT_MS, () => abort.abort());
    const all = { ...headers, ...(token && { authorization: `Bearer ${token}` }), ...(body && { 'content-type': 'application/json' }) };
    try {
      const answer = await this.#env.fetch(this.#env.origin + path, { method, headers: all, body: body && JSON.stringify(body), signal: abort.signal });
      const text = await answer.text();
      let value = null;
      try { value = text ? JSON.parse(text) : null; } catch { /* not ours: a proxy's page, say */ }
      if (answer.ok) return value;
      const gateway = answer.status >= 500;
      throw new TidingsError({ code: 'unavailable', message: value?.detail ?? value?.title ?? `HTTP ${answer.status}`, retryable: gateway, definite: !gateway, ...value, status: answer.status });
    } catch (error) {
      if (error instanceof TidingsError) throw error;
      throw new TidingsError({ code: 'unavailable', message: 'The server cannot be reached.', retryable: true, definite: false });
    } finally {
      this.#cancel(timer);
    }
  }

  userById(id) { return this.api('GET', `/v1/users/${enc(id)}`); }
  async usersByPrefix(prefix, limit = 8) { return (await this.api('GET', `/v1/users?prefix=${enc(prefix)}&limit=${limit}`)).users; }
  fetchConversation(id) { return this.api('GET', `/v1/conversations/${enc(id)}`); }
  changeConversation(id, changes) { return this.api('PATCH', `/v1/conversations/${enc(id)}`, { body: changes }); }
  deleteConversation(id) { return this.api('DELETE', `/v1/conversations/${enc(id)}`); }
  members(id, cursor = '') { return this.api('GET', `/v1/conversations/${enc(id)}/members?limit=100${cursor && `&cursor=${enc(cursor)}`}`); }
  addMember(id, user, role) { return this.api('PUT', `/v1/conversations/${enc(id)}/members/${enc(user)}`, role && { body: { role } }); }
  setRole(id, user, role) { return this.api('PATCH', `/v1/conversations/${enc(id)}/members/${enc(user)}`, { body: { role } }); }
  removeMember(id, user) { return this.api('DELETE', `/v1/conversations/${enc(id)}/members/${enc(user)}`); }
  /** A page of history, ascending: `query` of `before`, `after`, `limit`, `min_seq`. */
  history(id, query) { return this.api('GET', `/v1/conversations/${enc(id)}/messages?${new URLSearchParams(query)}`); }

  /** Makes a conversation (or finds it: a direct one exists once) and answers it, already in `conversations`. */
  async createConversation(fields) {
    const made = await this.api('POST', '/v1/conversations', { body: { client_id: this.#env.uuid(), ...fields } });
    return this.#adoptHead(made);
  }

  /** Joins an open conversation by id and answers it. */
  async join(id) {
    await this.addMember(id, this.user.id);
    return this.#adoptHead(await this.fetchConversation(id));
  }

  async leave(id) {
    await this.removeMember(id, this.user.id);
    this.#remove(id);
  }

  // ---- the connection ----

  /** Connects and stays connected until `disconnect` or a close that forbids coming back (`state` is then `stopped`). */
  connect() {
    if (!this.#session || this.#link || this.#next) return;
    this.#wanted = true;
    this.#attempt = 0;
    this.#open();
  }

  disconnect() {
    this.#wanted = false;
    this.#retryTimer = this.#cancel(this.#retryTimer);
    this.#stableTimer = this.#cancel(this.#stableTimer);
    this.#handover = this.#handover && this.#cancel(this.#handover.timer);
    for (const link of [this.#link, this.#next]) if (link) this.#release(link, 1000);
    this.#link = this.#next = null;
    for (const request of [...this.#requests.values()]) this.#settle(request, offline());
    this.#flights.clear();
    this.#setState({ state: 'idle' });
  }

  /** The network is back, or the page was woken: reconnect at once, or find out whether the connection still lives. */
  nudge() {
    if (!this.#wanted) return;
    this.#attempt = 0;
    if (this.#link) this.#probe(this.#link);
    else if (!this.#next) this.#open();
  }

  async #open(takeover) {
    this.#retryTimer = this.#cancel(this.#retryTimer);
    this.#handover = this.#handover && this.#cancel(this.#handover.timer);
    if (!this.#wanted || this.#next || (this.#link && !takeover)) return;
    const link = this.#next = { ws: null, rx_ms: 0, rx_count: 0, probing: false, takeover };
    if (!this.#link) this.#setState({ state: 'connecting' });
    link.timer = this.#later(WELCOME_TIMEOUT_MS + REQUEST_TIMEOUT_MS, () => this.#closed(link, 1006));
    if (this.#session.expires_at_ms < this.#env.now() + 5_000) {
      try { await this.#refresh(); } catch { /* signed out by now, or the hello is refused and the backoff goes on */ }
      if (this.#next !== link) return;
    }
    this.#cancel(link.timer);
    link.timer = this.#later(WELCOME_TIMEOUT_MS, () => this.#closed(link, 1006));
    try {
      link.ws = new this.#env.WebSocket(`${this.#env.origin.replace(/^http/, 'ws')}/v1/ws`, [SUBPROTOCOL]);
    } catch {
      this.#closed(link, 1006);
      return;
    }
    link.ws.onopen = () => {
      const hello = { type: 'hello', token: this.#session.access_token, device: 'web' };
      if (this.cursor) hello.cursor = this.cursor;
      if (takeover?.session) hello.handover = takeover.session;
      this.#write(link, hello);
    };
    link.ws.onmessage = ({ data }) => {
      link.rx_ms = this.#env.now();
      link.rx_count += 1;
      this.#receive(link, JSON.parse(data));
    };
    link.ws.onclose = ({ code }) => this.#closed(link, code);
    link.ws.onerror = () => {};
  }

  #write(link, frame) { if (link?.ws?.readyState === 1) link.ws.send(JSON.stringify(frame)); }
  #post(frame) { this.#write(this.#link, frame); }

  #release(link, code) {
    this.#cancel(link.timer);
    this.#cancel(link.pulse);
    if (!link.ws) return;
    link.ws.onopen = link.ws.onmessage = link.ws.onclose = link.ws.onerror = null;
    link.ws.close(code);
  }

  #closed(link, code) {
    if (link !== this.#link && link !== this.#next) return;
    this.#release(link, 1000);
    if (link === this.#link) {
      this.#link = null;
      this.#stableTimer = this.#cancel(this.#stableTimer);
      for (const request of [...this.#requests.values()]) if (request.transient) this.#settle(request, offline());
      // Its successor is being opened, or is due at the time the server named: nothing more to do.
      if (this.#next) return this.#setState({ state: 'connecting' });
      if (this.#handover) return this.#setState({ state: 'waiting', retry_at_ms: this.#handover.at_ms });
    } else {
      this.#next = null;
      if (this.#link) return void (this.#retryTimer = this.#later(this.#backoff(link.retry_after_ms), () => this.#open(link.takeover)));
    }
    if (!this.#wanted) return;
    if (FINAL_CLOSES.has(code)) {
      this.#wanted = false;
      return this.#setState({ state: 'stopped', code });
    }
    if (code === 4401 && this.#authFailures++ === 0) {
      this.#setState({ state: 'connecting' });
      this.#refresh().then(() => this.#open(), (error) => { if (this.#wanted && error.status !== 401) this.#wait(this.#backoff(error.retry_after_ms)); });
      return;
    }
    if (code === 4401) return this.#forget();
    const floor_ms = code === 4429 ? ABUSE_WAIT_MS : link.retry_after_ms;
    this.#wait(this.#backoff(floor_ms));
  }

  #backoff(floor_ms = 0) {
    const ceiling_ms = Math.min(BACKOFF_CEILING_MS, BACKOFF_FLOOR_MS * 2 ** this.#attempt++);
    return floor_ms + this.#env.random() * ceiling_ms;
  }

  #wait(delay_ms) {
    this.#authFailures = 0;
    this.#cancel(this.#retryTimer);
    this.#setState({ state: 'waiting', retry_at_ms: this.#env.now() + delay_ms });
    this.#retryTimer = this.#later(delay_ms, () => this.#open());
  }

  /** A browser shows no WebSocket pings, so silence is answered with one of ours; no answer means the link is dead. */
  #probe(link) {
    if (link.probing) return; // asking again must not put off the answer's deadline
    link.probing = true;
    const before = link.rx_count;
    this.#write(link, { type: 'ping' });
    link.timer = this.#later(PROBE_TIMEOUT_MS, () => {
      link.probing = false;
      if (link.rx_count === before) this.#closed(link, 1006);
    });
  }

  #pulse(link) {
    link.pulse = this.#later(this.heartbeat_ms, () => {
      if (this.#env.now() - link.rx_ms >= this.heartbeat_ms) this.#probe(link);
      this.#pulse(link);
    });
  }

  #receive(link, frame) {
    switch (frame.type) {
      case 'welcome': return this.#welcome(link, frame);
      case 'event': return this.#event(frame);
      case 'events': return frame.events.forEach((event) => this.#event({ ...event, conversation: frame.conversation }, true));
      case 'ack': case 'ok': case 'synced': return this.#settle(this.#requests.get(frame.id), null, frame);
      case 'error': return this.#error(link, frame);
      case 'heads': return this.#heads(frame);
      case 'receipt': return this.#receipt(frame);
      case 'reconnect': return this.#reconnect(link, frame);
      case 'token_expiring': return this.#refreshSoon();
      case 'typing': case 'presence': case 'lagging': return this.#emit(frame.type, frame);
      default: // a kind of a later version, or a pong: its arrival is all that counts
    }
  }

  #error(link, frame) {
    const request = this.#requests.get(frame.id);
    if (request) this.#settle(request, new TidingsError(frame));
    else if (link === this.#next) link.retry_after_ms = frame.retry_after_ms; // why the hello was refused
  }

  #reconnect(link, { after_ms, handover }) {
    if (this.#handover || this.#next) return;
    // `handover` names the session to take over, or says that ours may be.
    const session = typeof handover === 'string' ? handover : handover && link.session;
    const timer = this.#later(after_ms, () => this.#open({ session }));
    this.#handover = { timer, at_ms: this.#env.now() + after_ms };
  }

  #welcome(link, frame) {
    if (link !== this.#next) return;
    const old = this.#link;
    link.session = frame.session;
    this.#link = link;
    this.#next = null;
    this.#cancel(link.timer);
    if (old) this.#release(old, 1000);
    for (const request of [...this.#requests.values()]) if (request.transient) this.#settle(request, offline());
    this.#authFailures = 0;
    this.heartbeat_ms = frame.heartbeat_ms;
    this.limits = frame.limits ?? {};
    this.#cancel(this.#stableTimer);
    this.#stableTimer = this.#later(STABLE_MS, () => { this.#attempt = 0; });
    this.#pulse(link);
    if (frame.token_expires_in_ms) this.#scheduleRefresh(frame.token_expires_in_ms);
    for (const request of this.#requests.values()) this.#ask(request);
    // The cursor of a welcome with more heads to come speaks for heads not yet here: it counts once they are.
    this.#heads({ heads: frame.heads, cursor: frame.more_heads ? undefined : frame.cursor, reset: frame.reset }, !old);
    this.#setState({ state: 'online' });
    if (this.#background) this.#post({ type: 'background' });
    if (this.#watched.size) this.#post({ type: 'watch', id: ++this.#lastId, users: [...this.#watched] });
    this.#typing.clear();
    this.#flush();
  }

  // ---- requests ----

  /** Sends a frame and answers what the server answers. It lives through a change of connection: the frame is sent again on the next. */
  #request(frame, { transient = false } = {}) {
    if (!this.#link) return Promise.reject(offline());
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const request = { id, frame: { ...frame, id }, transient, resolve, reject };
      request.timer = this.#later(REQUEST_TIMEOUT_MS, () => this.#settle(request, new TidingsError({ code: 'unavailable', message: 'The server did not answer in time.', retryable: true, definite: false })));
      this.#requests.set(id, request);
      this.#ask(request);
    });
  }

  /** Sends a request's frame on the connection of the moment, which is doubted when the answer takes long. */
  #ask(request) {
    const link = this.#link;
    this.#cancel(request.doubt);
    request.doubt = this.#later(ANSWER_WAIT_MS, () => { if (link === this.#link) this.#probe(link); });
    this.#write(link, request.frame);
  }

  #settle(request, error, answer) {
    if (!request || !this.#requests.delete(request.id)) return;
    this.#cancel(request.timer);
    this.#cancel(request.doubt);
    if (error) request.reject(error);
    else request.resolve(answer);
  }

  /** Sent again on the next connection, an edit must not undo a later one: so it has a key, like a message. */
  edit(conversation, seq, body) { return this.#request({ type: 'edit', conversation, seq, body, client_id: uuid() }); }
  delete(conversation, seq) { return this.#request({ type: 'delete', conversation, seq }); }
  react(conversation, seq, emoji, on = true) { return this.#request({ type: on ? 'react' : 'unreact', conversation, seq, emoji }); }

  /** Asks for the presence of these users, and no others, from now on (`presence` events). */
  watch(users) {
    const wanted = new Set([...users].slice(0, this.limits.watch_users ?? 200));
    const gone = [...this.#watched].filter((user) => !wanted.has(user));
    const fresh = [...wanted].filter((user) => !this.#watched.has(user));
    this.#watched = wanted;
    if (gone.length) this.#post({ type: 'unwatch', id: ++this.#lastId, users: gone });
    if (fresh.length) this.#post({ type: 'watch', id: ++this.#lastId, users: fresh });
  }

  /** The server ends a watch at a block, and with the last conversation shared. When that is over, this asks for those still wanted again. */
  rewatch(users) {
    const again = [...users].filter((user) => this.#watched.has(user));
    if (again.length) this.#post({ type: 'watch', id: ++this.#lastId, users: again });
  }

  setBackground(background) {
    if (background === this.#background) return;
    this.#background = background;
    this.#post({ type: background ? 'background' : 'foreground' });
  }

  /** Call it on every key: a frame goes out at most every 3 s, and `on: false` by itself 5 s after the last call. */
  typing(conversation, on = true) {
    const last = this.#typing.get(conversation);
    this.#cancel(last?.timer);
    if (!on) {
      if (this.#typing.delete(conversation)) this.#post({ type: 'typing', conversation, on: false });
      return;
    }
    const now = this.#env.now();
    const due = !last || now - last.sent_ms >= TYPING_EVERY_MS;
    if (due) this.#post({ type: 'typing', conversation, on: true });
    const timer = this.#later(TYPING_OFF_MS, () => this.typing(conversation, false));
    this.#typing.set(conversation, { timer, sent_ms: due ? now : last.sent_ms });
  }

  /** Marks everything up to `seq` read: at once here, a moment later (and once for many) at the server. */
  markRead(conversation, seq) {
    const c = this.conversations.get(conversation);
    if (!c || seq <= c.read_seq) return;
    this.#moveRead(c, seq);
    this.#reads.set(conversation, seq);
    this.#scheduleReceipts();
    this.#emit('conversation', c);
  }

  #moveRead(c, seq) {
    c.read_seq = Math.max(c.read_seq, seq);
    c.unread = Math.min(c.unread, Math.max(0, c.last_seq - c.read_seq));
  }

  #scheduleReceipts() {
    this.#receiptTimer ??= this.#later(RECEIPT_DELAY_MS, () => {
      this.#receiptTimer = null;
      for (const [conversation, seq] of this.#reads) this.#post({ type: 'read', conversation, seq });
      for (const [conversation, seq] of this.#deliveries) if (!(this.#reads.get(conversation) >= seq)) this.#post({ type: 'delivered', conversation, seq });
      this.#reads.clear(); // one that is lost is told again when the next head shows that the server lacks it
      this.#deliveries.clear();
    });
  }

  #receipt(frame) {
    const c = this.conversations.get(frame.conversation);
    if (c && frame.user === this.user?.id && frame.read_seq) {
      this.#moveRead(c, frame.read_seq);
      this.#emit('conversation', c);
    }
    this.#emit('receipt', frame);
  }

  // ---- conversations and their events ----

  #stub(id, pos = 0) {
    const c = { id, stub: true, pos, target: pos, counted: 0, last_seq: pos, read_seq: 0, unread: 0, known_pos: pos > 0, buffer: new Map(), idle_syncs: 0 };
    this.conversations.set(id, c);
    return c;
  }

  #heads({ heads, cursor, reset }, authoritative = false) {
    if (reset) this.#unconfirmed = new Set(this.conversations.keys());
    for (const head of heads) {
      if (head.left) this.#remove(head.conversation);
      else this.#applyHead(head, authoritative);
    }
    if (cursor !== undefined) {
      this.cursor = cursor;
      this.#endReset();
    }
    this.#heal();
  }

  /** All heads of another log are here: what it does not name is gone, and what it may have lost of ours is offered again. */
  #endReset() {
    const gone = this.#unconfirmed;
    if (!gone) return;
    this.#unconfirmed = null;
    for (const id of gone) this.#remove(id);
    for (const entry of this.#acked.splice(0)) this.#keep({ ...entry, state: 'queued' });
    this.#flush();
  }

  #applyHead(head, authoritative = false) {
    const id = head.conversation ?? head.id;
    const c = this.conversations.get(id) ?? this.#stub(id);
    const { conversation: _id, unread, last_seq, read_seq, ...fields } = head;
    const start = Math.max(head.first_seq - 1, last_seq - this.#env.initial_events);
    if (c.stub && !c.known_pos) c.pos = c.start = start;
    c.start ??= c.pos;
    c.stub = false;
    if (this.#unconfirmed?.delete(id)) { // nothing held of the old log counts
      c.buffer.clear();
      this.#skip(c, start);
      Object.assign(c, { counted: 0, last_seq: start, target: start });
    }
    Object.assign(c, fields, { id });
    if (last_seq >= c.counted) Object.assign(c, { counted: last_seq, unread });
    c.last_seq = Math.max(c.last_seq, last_seq);
    if (c.read_seq > (read_seq ?? 0)) {
      this.#reads.set(id, c.read_seq);
      this.#scheduleReceipts();
    }
    this.#moveRead(c, read_seq ?? 0);
    if (authoritative && last_seq < c.pos) this.#skip(c, last_seq); // the log was restored to an earlier state
    else if (last_seq - c.pos > this.#env.max_catch_up) this.#skip(c, start);
    else if (c.pos < head.first_seq - 1) this.#skip(c, head.first_seq - 1);
    c.target = Math.max(c.target, last_seq);
    this.#emit('conversation', c);
    this.#drain(c);
    return c;
  }

  /** A conversation as REST answers it. */
  #adoptHead(conversation) {
    const c = this.#applyHead(conversation);
    this.#heal();
    return c;
  }

  #skip(c, upto) {
    const after = c.pos;
    if (upto < c.pos) c.target = c.last_seq = upto;
    c.pos = c.start = upto;
    for (const seq of c.buffer.keys()) if (seq <= upto) c.buffer.delete(seq);
    this.#emit('skipped', { conversation: c.id, after, upto });
  }

  /** The successor of what is held is passed on; an older one is a duplicate; a later one waits for the gap to be healed. */
  #event(event, from_sync = false) {
    const known = this.conversations.get(event.conversation);
    if (!known && event.kind === 'member_left' && event.user === this.user?.id) return;
    const c = known ?? this.#discover(event.conversation);
    if (event.seq <= c.pos && !c.stub) return;
    // The server gives what one may see, so a sync that starts later means there is nothing for us before it.
    if (from_sync && event.seq > c.pos + 1) this.#skip(c, event.seq - 1);
    if (!c.stub && event.seq === c.pos + 1) {
      this.#apply(c, event);
      this.#drain(c);
      return;
    }
    if (c.buffer.size < MAX_BUFFERED_EVENTS) c.buffer.set(event.seq, event);
    c.target = Math.max(c.target, event.seq);
    this.#heal();
  }

  #drain(c) {
    for (const seq of c.buffer.keys()) if (seq <= c.pos) c.buffer.delete(seq);
    while (c.buffer.has(c.pos + 1)) {
      const event = c.buffer.get(c.pos + 1);
      c.buffer.delete(event.seq);
      this.#apply(c, event);
    }
  }

  #apply(c, event) {
    const me = this.user?.id;
    const [mine, fresh] = [event.sender === me, event.seq > c.counted];
    c.pos = event.seq;
    c.target = Math.max(c.target, c.pos);
    c.last_seq = Math.max(c.last_seq, c.pos);
    c.counted = Math.max(c.counted, c.pos);
    if (event.kind === 'message') {
      if (mine) {
        this.#moveRead(c, event.seq);
        this.#committed(this.#outbox.get(event.client_id), event);
      } else {
        if (fresh) c.unread += 1;
        if (c.kind !== 'channel') this.#deliveries.set(c.id, event.seq);
        this.#scheduleReceipts();
      }
    } else if (event.kind === 'delete') {
      // A head that speaks for later events has counted this already.
      if (fresh && event.target_seq > c.read_seq) c.unread = Math.max(0, c.unread - 1);
    } else if (event.kind === 'conversation_changed') {
      // What a later release adds to changes need not be a setting of the conversation.
      const { role, name, history, join } = event.changes ?? {};
      Object.assign(c, name !== undefined && { name }, history && { history }, join && { join });
      if (role?.user === me) c.role = role.role;
    }
    this.#emit('event', event);
    this.#emit('conversation', c);
    if (event.kind === 'member_joined') this.rewatch(event.user === me ? this.#watched : [event.user]);
    const left = (event.kind === 'member_left' && event.user === me) || event.changes?.deleted;
    // A leave that is followed by more we may see is history: we came back since.
    if (left && event.seq >= c.target) this.#remove(c.id);
  }

  #remove(id) {
    if (!this.conversations.delete(id)) return;
    this.#emit('removed', { conversation: id });
  }

  /** A conversation spoken of for the first time: its events wait until its head is here. */
  #discover(id) {
    const c = this.#stub(id);
    const give_up = (error) => {
      if (this.conversations.get(id) !== c || !c.stub) return;
      if (error.retryable) this.#later(2_000 + this.#env.random() * 2_000, ask);
      else this.conversations.delete(id);
    };
    const ask = () => this.fetchConversation(id).then((head) => { if (this.conversations.get(id) === c) this.#adoptHead(head); }, give_up);
    ask();
    return c;
  }

  /** Syncs exactly the ranges that are missing, one request at a time, until nothing is. */
  async #heal() {
    if (this.#healing || this.#healTimer || !this.#link) return;
    const most = this.#solo ? 1 : this.limits.sync_ranges ?? 200;
    const behind = [...this.conversations.values()].filter((c) => !c.stub && c.target > c.pos).slice(0, most);
    if (!behind.length) { this.#solo = false; return; }
    this.#healing = true;
    let pause_ms = 0;
    const before = behind.map((c) => c.pos);
    const cap = this.limits.sync_events ?? 1_000;
    const ranges = behind.map((c) => ({ conversation: c.id, after: c.pos, limit: Math.min(c.target - c.pos, cap) }));
    try {
      const { more } = await this.#request({ type: 'sync', ranges }, { transient: true });
      const moved = behind.some((c, index) => c.pos > before[index]);
      if (!moved) pause_ms = 500;
      behind.forEach((c, index) => {
        c.idle_syncs = more || c.pos > before[index] || c.pos >= c.target ? 0 : c.idle_syncs + 1;
        if (c.idle_syncs >= 3) { c.idle_syncs = 0; this.#skip(c, c.target); this.#drain(c); }
      });
    } catch (error) {
      if (error.code === 'offline') pause_ms = -1;
      else if (error.retryable) pause_ms = (error.retry_after_ms ?? 500) + this.#env.random() * 500;
      else if (behind.length > 1) this.#solo = true; // one bad range must not starve the others
      else if (error.code === 'not_member' || error.code === 'not_found') this.#remove(behind[0].id);
      else this.#skip(behind[0], behind[0].target);
    }
    this.#healing = false;
    if (pause_ms === 0) this.#heal();
    else if (pause_ms > 0) this.#healTimer = this.#later(pause_ms, () => { this.#healTimer = null; this.#heal(); });
    else if (this.#link) this.#heal();
  }

  // ---- sending ----

  /**
   * Takes a message for `conversation` (or, for a direct one, `to` a user), keeps it through reloads and delivers it once.
   * Answers the outbox entry {client_id, state: queued | sending | failed, error?, …}; `sent` follows when it is committed.
   */
  send({ conversation, to, body, reply_to, mentions, attachments, data }) {
    this.#lastOrder = Math.max(this.#env.now(), this.#lastOrder + 1);
    const entry = { client_id: this.#env.uuid(), conversation, to, body, reply_to, mentions, attachments, data, order: this.#lastOrder, state: 'queued' };
    this.#keep(entry);
    this.#flush();
    return entry;
  }

  /** Tries a failed message again. A client_id the server knows for something else is replaced. */
  retry(client_id) {
    const entry = this.#outbox.get(client_id);
    if (entry?.state !== 'failed') return;
    if (entry.error?.code === 'conflict') {
      this.discard(client_id);
      entry.client_id = this.#env.uuid();
    }
    delete entry.error;
    entry.state = 'queued';
    this.#keep(entry);
    this.#flush();
  }

  /** Gives a message up. One that is on its way may still arrive. */
  discard(client_id) {
    const entry = this.#outbox.get(client_id);
    if (!entry) return;
    this.#outbox.delete(client_id);
    this.#env.storage.removeItem(this.#outboxKey(entry));
    this.#emit('outbox', null);
  }

  // One key per message: two tabs share the storage, and neither may overwrite what the other keeps.
  #outboxKey(entry) { return `${OUTBOX_KEY}.${this.#session.user.id}.${entry.client_id}`; }

  #keep(entry) {
    this.#outbox.set(entry.client_id, entry);
    // A full storage costs surviving a reload, not the message.
    try { this.#env.storage.setItem(this.#outboxKey(entry), JSON.stringify(entry)); } catch { entry.volatile = true; }
    this.#emit('outbox', entry);
  }

  #loadOutbox() {
    const { storage } = this.#env;
    const prefix = `${OUTBOX_KEY}.${this.#session.user.id}.`;
    for (const key of Array.from({ length: storage.length }, (_, index) => storage.key(index))) {
      if (!key?.startsWith(prefix)) continue;
      const entry = JSON.parse(storage.getItem(key));
      if (entry.state !== 'failed') entry.state = 'queued';
      this.#outbox.set(entry.client_id, entry);
      this.#lastOrder = Math.max(this.#lastOrder, entry.order);
    }
  }

  /** One message at a time and conversation is on its way, so that a refused one cannot be overtaken by the next. */
  #flush() {
    if (!this.#link) return;
    for (const entry of this.outbox) {
      const lane = entry.conversation ?? `to:${entry.to}`;
      if (entry.state === 'queued' && !this.#flights.has(lane)) this.#fly(lane, entry);
    }
  }

  async #fly(lane, entry) {
    const flight = { entry };
    this.#flights.set(lane, flight);
    entry.state = 'sending';
    this.#emit('outbox', entry);
    const { client_id, conversation, to, body, reply_to, mentions, attachments, data } = entry;
    try {
      this.#committed(entry, await this.#request({ type: 'send', client_id, conversation, to, body, reply_to, mentions, attachments, data }));
    } catch (error) {
      if (this.#outbox.get(client_id) === entry) {
        const again = error.retryable || !error.definite;
        Object.assign(entry, again ? { state: 'queued' } : { state: 'failed', error: { code: error.code, message: error.message } });
        this.#keep(entry);
        if (again && error.code !== 'offline') {
          await new Promise((resolve) => this.#later((error.retry_after_ms ?? 500) + this.#env.random() * 500, resolve));
        }
      }
    }
    if (this.#flights.get(lane) === flight) this.#flights.delete(lane);
    this.#flush();
  }

  #committed(entry, ack) {
    if (!entry || !this.#outbox.delete(entry.client_id)) return;
    this.#env.storage.removeItem(this.#outboxKey(entry));
    if (this.#acked.push(entry) > MAX_ACKED_KEPT) this.#acked.shift();
    this.#emit('sent', { entry, ack });
    this.#later(ACKED_EVENT_WAIT_MS, () => {
      const c = this.conversations.get(ack.conversation);
      if (!c || c.pos >= ack.seq) return;
      c.target = Math.max(c.target, ack.seq);
      this.#heal();
    });
  }
}
