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
 *   state {state, retry_at_ms?, code?, silent?}  loading | signed_out | idle | connecting | online | waiting | stopped | closed. `silent`: the connection
 *                                          was given up because nothing had come for seconds
 *   session user|null                      signed in, changed or out
 *   conversation c / removed {conversation}  a conversation is new or changed / is no longer ours
 *   event e                                one event of a conversation, in order, once. `live: false`: from before this connection stood
 *   skipped {conversation, after, upto}    events that will not come: reload what you show of them
 *   outbox entry|null / sent {entry, ack}  a message to send changed / was committed at ack.seq
 *   receipt, typing, presence, lagging     the server's frames as they are
 *   error e (a TidingsError)               what no call can report: a listener threw, a connection failed, a storage refused; `cause` has the reason.
 *                                          With no listener for it, console.error is told
 */

const SUBPROTOCOL = 'tidings.v1.json';
const SESSION_KEY = 'tidings.session';
const DEVICE_KEY = 'tidings.device';
const KNOWN_KEY = 'tidings.known';
const OUTBOX_KEY = 'tidings.outbox';
const POSITIONS_KEY = 'tidings.positions';

const BACKOFF_FLOOR_MS = 500;
const BACKOFF_CEILING_MS = 20_000;
/** A connection that stood this long counts as healthy: the next loss starts again from the shortest wait. */
const STABLE_MS = 30_000;
/** To open a connection, and again to be welcomed on it. */
const WELCOME_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 15_000;
/** A request unanswered for this long makes us ask whether the connection still lives. */
const ANSWER_WAIT_MS = 4_000;
/** Between a call whose answer was lost and the same call again. */
const AGAIN_MS = 1_000;
/** So long after that question without a byte, the connection counts as dead. */
const PROBE_TIMEOUT_MS = 4_000;
/** In a page that is looked at, a silence this long makes us ask. With the next, the loss is known 9 s after the last byte. */
const PAGE_SILENCE_MS = 2_500;
const MIN_SILENCE_MS = 1_000;
/** The same deadline when nothing but silence is the reason to ask: a line may have become slow, by 3 s in each direction. */
const SILENCE_TIMEOUT_MS = 6_500;
/** On a slow line both deadlines are this multiple of the time that an answer took last. */
const SLOW_LINE = 1.5;
/** A timer this late comes from a process that stood still: what arrived meanwhile is read before anything is concluded. */
const LATE_MS = 1_000;
const ABUSE_WAIT_MS = 60_000;
const TYPING_EVERY_MS = 3_000;
const TYPING_OFF_MS = 5_000;
const RECEIPT_DELAY_MS = 300;
/** How long an acked message may take to arrive as an event before its conversation is synced. */
const ACKED_EVENT_WAIT_MS = 1_500;
const MAX_ACKED_KEPT = 100;
const MAX_BUFFERED_EVENTS = 500;
/** Positions that moved are written at most this often. */
const POSITIONS_EVERY_MS = 100;
/** How long a WebSocket of Node.js may take over its closing handshake before it is cut, and an error until its close. */
const CLOSE_TIMEOUT_MS = 1_000;
const FINAL_CLOSES = new Set([1000, 1002, 1003, 1007, 1009, 4400, 4403]);

/** What went wrong, in the protocol's words. `definite: false` means it may have happened: repeat it with the same client_id. */
export class TidingsError extends Error {
  constructor({ code, message, status, retryable = false, definite = true, retry_after_ms, cause }) {
    super(message ?? code, cause === undefined ? undefined : { cause });
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
  return hyphened(bytes);
}

function hyphened(bytes) {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** The name space of `clientId`: 6e1f0a52-2c55-4c0c-9d2e-3b6b8f7a41d7. */
const ANSWERS = [0x6e, 0x1f, 0x0a, 0x52, 0x2c, 0x55, 0x4c, 0x0c, 0x9d, 0x2e, 0x3b, 0x6b, 0x8f, 0x7a, 0x41, 0xd7];


/** SHA-1, because UUIDs of version 5 are made with it and the platform's own is missing on plain-HTTP pages. It secures nothing here. */
function sha1(bytes) {
  const words = new Int32Array((((bytes.length + 8) >> 6) + 1) * 16);
  bytes.forEach((byte, at) => { words[at >> 2] |= byte << (24 - (at & 3) * 8); });
  words[bytes.length >> 2] |= 0x80 << (24 - (bytes.length & 3) * 8);
  words[words.length - 1] = bytes.length * 8;
  const turn = (x, bits) => (x << bits) | (x >>> (32 - bits));
  const sum = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0);
  const w = new Int32Array(80);
  for (let block = 0; block < words.length; block += 16) {
    let [a, b, c, d, e] = sum;
    for (let t = 0; t < 80; t += 1) {
      w[t] = t < 16 ? words[block + t] : turn(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
      const [f, k] = t < 20 ? [(b & c) | (~b & d), 0x5a827999] : t < 40 ? [b ^ c ^ d, 0x6ed9eba1] : t < 60 ? [(b & c) | (b & d) | (c & d), 0x8f1bbcdc] : [b ^ c ^ d, 0xca62c1d6];
      [a, b, c, d, e] = [(turn(a, 5) + f + e + k + w[t]) | 0, a, turn(b, 30), c, d];
    }
    [a, b, c, d, e].forEach((value, at) => { sum[at] += value; });
  }
  return Uint8Array.from({ length: 20 }, (_, at) => sum[at >> 2] >>> (24 - (at & 3) * 8));
}

/**
 * The client_id of an answer to one event: the same (conversation, seq, purpose) is always the same UUID (version 5). A bot that sends with it
 * answers once, however often it is restarted and sees the event again, because the server takes a client_id of a sender once.
 * `purpose` tells several answers to one event apart.
 */
export function clientId(conversation, seq, purpose) {
  if (typeof conversation !== 'string' || !Number.isSafeInteger(seq) || typeof purpose !== 'string') throw new TypeError('clientId(conversation: string, seq: integer, purpose: string)');
  const name = new TextEncoder().encode(JSON.stringify([conversation, seq, purpose]));
  const bytes = sha1(Uint8Array.from([...ANSWERS, ...name])).slice(0, 16);
  bytes[6] = (bytes[6] & 0x0f) | 0x50;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return hyphened(bytes);
}

/** The server's address without a slash at its end; `ws` and `wss` name the same server as `http` and `https`. */
function address(given) {
  const refuse = (why, cause) => new TidingsError({ code: 'bad_origin', message: `origin must be the server's address, such as https://chat.example; ${why}`, cause });
  if (!given || given === 'null') throw refuse('none was given, and this is no page of a web server');
  let url;
  try { url = new URL(given); } catch (cause) { throw refuse(`${JSON.stringify(given)} is no address`, cause); }
  const scheme = { 'http:': 'http:', 'https:': 'https:', 'ws:': 'http:', 'wss:': 'https:' }[url.protocol];
  if (!scheme || url.search || url.hash || url.username) throw refuse(`${JSON.stringify(given)} is none`);
  return `${scheme}//${url.host}${url.pathname.replace(/\/+$/, '')}`;
}

const isPromise = (value) => typeof value?.then === 'function';
/** Goes on with what may be a promise: at once when it is none, so that a synchronous storage is read within the constructor. */
const then = (value, next) => (isPromise(value) ? Promise.resolve(value).then(next) : next(value));
const together = (values, next) => (values.some(isPromise) ? Promise.all(values).then(next) : next(values));
const parsed = (text) => { try { return JSON.parse(text); } catch { return null; } };

const offline = () => new TidingsError({ code: 'offline', message: 'not connected', retryable: true });
const closed = () => new TidingsError({ code: 'closed', message: 'the client was closed' });
const enc = encodeURIComponent;

export class TidingsClient {
  #env; #listeners = new Map(); #timers = new Map(); #calls = new Set(); #loading = false; #ended = false; #toldFailure = false;
  #saving = null; #unsaved = new Map(); // what a storage with promises has yet to write, by key
  #session = null; #refreshing = null; #refreshTimer = null; #authFailures = 0;
  #wanted = false; #state = { state: 'idle' }; #link = null; #next = null; #retryTimer = null; #stableTimer = null; #attempt = 0; #handover = null;
  #requests = new Map(); #lastId = 0; #healing = false; #healTimer = null; #solo = false; #moreHeads = false;
  #acked = []; // own messages that the log took, to be offered again should it turn out to be another log
  #unconfirmed = null; // after a reset: conversations held from the old log that no head has named yet
  #outbox = new Map(); #flights = new Map(); #promised = new Map(); #lastOrder = 0;
  #positionsTimer = null;
  #watched = new Set(); #heard = new Set(); #background = false; #typing = new Map(); #reads = new Map(); #deliveries = new Map(); #receiptTimer = null;

  /** Conversations by id: the head's fields, `pos` (the seq held) and `target` (the seq known to exist). Read it, do not write it. */
  conversations = new Map();
  cursor = null;
  limits = {};

  /** Resolves when the storage was read: from then on `user` and `outbox` are known. At once unless the storage answers with promises. */
  ready = Promise.resolve();

  /**
   * Options, all optional: `origin` (the server's address; in a page its own), `storage` (as localStorage; its answers may be promises, and `keys()` may
   * stand in for `length` and `key`), `WebSocket` (Node.js before 22: that of the package ws), `fetch`, `setTimeout`, `clearTimeout`, `now`, `random`, `uuid`,
   * `lock(name, fn)` (runs fn alone among all tabs), `device` (a name for this connection, 64 bytes at most),
   * `device_name` (what the list of sessions calls this device: something that its user recognises),
   * `silence_ms` (in the foreground, a silence this long makes the client ask whether the connection lives; in the background, where
   * `hidden()` says so, and at most, the server's heartbeat),
   * `initial_events` (how far back a conversation met for the first time is synced), `max_catch_up` (a longer absence is answered with `skipped`),
   * `keep_positions` (keeps in the storage which events are handled, and begins there next time: an event is handled when its listeners have returned and
   * their promises are settled), `resume` {cursor, positions} for applications that keep the events themselves.
   */
  constructor(options = {}) {
    const g = globalThis;
    this.#env = {
      origin: address(options.origin ?? g.location?.origin),
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
      keep_positions: options.keep_positions ?? false,
      device: options.device ?? 'web',
      device_name: options.device_name,
      silence_ms: Math.max(MIN_SILENCE_MS, options.silence_ms ?? (g.document ? PAGE_SILENCE_MS : Infinity)),
      hidden: options.hidden ?? (() => g.document?.hidden ?? false),
    };
    this.cursor = options.resume?.cursor ?? null;
    for (const [id, pos] of Object.entries(options.resume?.positions ?? {})) this.#stub(id, pos);
    const begun = this.#begin();
    if (!isPromise(begun)) return;
    this.#loading = true;
    this.#state = { state: 'loading' };
    this.ready = begun.then(() => {
      this.#loading = false;
      if (this.#ended) return;
      this.#setState({ state: this.#session ? 'idle' : 'signed_out' });
      this.#emit('session', this.user);
    }, (cause) => {
      const error = new TidingsError({ code: 'storage', message: `the storage cannot be read: ${cause?.message ?? cause}`, cause });
      this.#emit('error', error);
      throw error;
    });
    this.ready.catch(() => {}); // whoever waits for it is told; who does not has the event
  }

  #begin() {
    return then(this.#stored(), (session) => {
      this.#session = session;
      if (!session) this.#state = { state: 'signed_out' };
      return session && this.#loadOwn();
    });
  }

  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.#listeners.get(name).delete(listener);
  }

  /** Tells all listeners. One that throws, or whose promise fails, is reported by `error` and stops nobody. Answers the promises of the others. */
  #emit(name, detail) {
    const promises = [];
    const listeners = [...(this.#listeners.get(name) ?? [])];
    for (const listener of listeners) {
      try {
        const done = listener(detail);
        if (isPromise(done)) promises.push(Promise.resolve(done).catch((cause) => this.#blame(name, cause)));
      } catch (cause) { this.#blame(name, cause); }
    }
    if (name === 'error' && !listeners.length) console.error(detail);
    return promises;
  }

  #blame(name, cause) {
    if (this.#ended && cause?.code === 'closed') return; // it was waiting for what `close` ended
    if (name === 'error') console.error(cause);
    else this.#emit('error', new TidingsError({ code: 'listener', message: `a listener of "${name}" failed: ${cause?.message ?? cause}`, cause }));
  }

  /** `ended` is called instead when the client is closed before. A timer that is `idle` does not keep a process of Node.js from exiting. */
  #later(delay_ms, fn, { idle = false, ended } = {}) {
    if (this.#ended) { ended?.(); return null; }
    const timer = this.#env.setTimeout(() => { this.#timers.delete(timer); fn(); }, Math.min(Math.max(0, delay_ms), 0x7fffffff));
    this.#timers.set(timer, ended);
    if (idle) timer?.unref?.();
    return timer;
  }

  #idly(delay_ms, fn) { return this.#later(delay_ms, fn, { idle: true }); }
  #pause(delay_ms, idle = false) { return new Promise((resolve) => { this.#later(delay_ms, resolve, { idle, ended: resolve }); }); }

  #cancel(timer) {
    if (timer === null || timer === undefined) return null;
    this.#timers.delete(timer);
    this.#env.clearTimeout(timer);
    return null;
  }

  #setState(state) { this.#state = state; this.#emit('state', state); }

  get state() { return this.#state; }
  get user() { return this.#session?.user ?? null; }
  get outbox() { return [...this.#outbox.values()].sort((a, b) => a.order - b.order); }
  /** The seq held of each conversation: with `cursor`, what `resume` takes. */
  get positions() { return Object.fromEntries([...this.conversations.values()].filter((c) => !c.stub).map((c) => [c.id, c.pos])); }

  // ---- signing in and out ----

  async signUp({ username, password, display_name }) {
    const body = { username, password, display_name, device_name: this.#env.device_name };
    return this.#adopt(await this.#surely(() => this.#fetch('POST', '/v1/accounts', { body })));
  }

  /**
   * The device token of the last account here goes along, so that nobody's wrong guesses keep its owner out. Throws `second_factor_needed`
   * when `code` is needed too.
   */
  async signIn({ username, password, code }) {
    const device_token = (await this.#read(KNOWN_KEY)) ?? undefined;
    return this.#adopt(await this.#fetch('POST', '/v1/tokens', { body: { username, password, code, device_name: this.#env.device_name, device_token } }));
  }

  /** Plays first: the same guest on this device each time, until it is claimed. */
  async guest({ display_name } = {}) {
    let device_id = await this.#read(DEVICE_KEY);
    if (!device_id) {
      device_id = `${this.#env.uuid()}${this.#env.uuid()}`.replaceAll('-', ''); // a secret of 244 random bits
      this.#store(DEVICE_KEY, device_id);
      await this.#storedAll();
    }
    return this.#adopt(await this.#surely(() => this.#fetch('POST', '/v1/accounts/guest', { body: { device_id, display_name, device_name: this.#env.device_name } })));
  }

  /** Makes the guest an account. Its messages and conversations stay; the device alone no longer signs in to it. */
  async claim({ username, password }) {
    const user = await this.#surely(() => this.api('POST', '/v1/me/claim', { body: { username, password } }));
    this.#store(DEVICE_KEY, null);
    return this.#profile(user);
  }

  async updateMe(changes) { return this.#profile(await this.#surely(() => this.api('PATCH', '/v1/me', { body: changes }))); }

  /**
   * Signs this device out, here even when the server cannot be told. Unsent messages go with it. A guest's device secret goes too:
   * the next guest on this device is somebody new, and nobody reaches the old one any more.
   */
  async signOut() {
    if (this.#loading) await this.ready;
    const token = this.#session?.access_token;
    if (this.user?.guest) this.#store(DEVICE_KEY, null);
    for (const entry of this.#outbox.values()) this.#store(this.#outboxKey(entry), null);
    if (this.user) this.#store(`${POSITIONS_KEY}.${this.user.id}`, null);
    this.#forget();
    if (token) await this.#fetch('DELETE', '/v1/tokens', { token }).catch(() => {});
    await this.#storedAll();
  }

  /** The sign-ins of this user that have not ended, the one that was used last first. */
  async sessions() { return (await this.api('GET', '/v1/me/sessions')).sessions; }
  async endSession(session) { await this.#surely(() => this.api('DELETE', `/v1/me/sessions/${encodeURIComponent(session)}`)); }
  async endOtherSessions() { await this.#surely(() => this.api('DELETE', '/v1/me/sessions')); }

  /** A code of an authenticator app beside the password. `begin` answers the secret, and `confirm` turns it on. */
  async secondFactor() { return this.api('GET', '/v1/me/second-factor'); }
  async beginSecondFactor({ password }) { return this.api('POST', '/v1/me/second-factor', { body: { password } }); }
  async confirmSecondFactor({ code }) { await this.api('PUT', '/v1/me/second-factor', { body: { code } }); }
  async endSecondFactor({ password, code }) { await this.api('DELETE', '/v1/me/second-factor', { body: { password, code } }); }

  /** What may be sent again unchanged is sent once more when it is not known whether it was done. */
  async #surely(call) {
    try { return await call(); } catch (error) {
      if (error.definite !== false) throw error;
      await this.#pause(AGAIN_MS);
      return call();
    }
  }

  // ---- the storage ----

  #read(key) { return this.#env.storage.getItem(key); }

  #keys() {
    const { storage } = this.#env;
    if (typeof storage.keys === 'function') return storage.keys();
    return Array.from({ length: storage.length }, (_, index) => storage.key(index));
  }

  /** Writes a key, or removes it (null). A storage with promises is given one write at a time, and of each key only the newest. */
  #store(key, text, refused = () => {}) {
    const write = { text, refused: (cause) => { refused(); this.#emit('error', new TidingsError({ code: 'storage', message: `the storage refused ${key}: ${cause?.message ?? cause}`, cause })); } };
    if (this.#saving) this.#unsaved.set(key, write);
    else this.#writeKey(key, write);
  }

  #writeKey(key, { text, refused }) {
    const { storage } = this.#env;
    try {
      const done = text === null ? storage.removeItem(key) : storage.setItem(key, text);
      if (!isPromise(done)) return;
      this.#saving = Promise.resolve(done).catch(refused).then(() => {
        this.#saving = null;
        while (!this.#saving && this.#unsaved.size) {
          const [next, write] = this.#unsaved.entries().next().value;
          this.#unsaved.delete(next);
          this.#writeKey(next, write);
        }
      });
    } catch (cause) { refused(cause); }
  }

  async #storedAll() { while (this.#saving) await this.#saving; }

  #stored() { return then(this.#read(SESSION_KEY), parsed); }

  /** What is kept for the signed-in user: unsent messages, and which events are handled. */
  #loadOwn() { return then(this.#loadOutbox(), () => this.#loadPositions()); }

  #loadPositions() {
    if (!this.#env.keep_positions) return undefined;
    return then(this.#read(`${POSITIONS_KEY}.${this.#session.user.id}`), (text) => {
      for (const [id, pos] of Object.entries(parsed(text) ?? {})) if (!this.conversations.has(id)) this.#stub(id, pos);
    });
  }

  /** An event counts as handled when all before it are too and its listeners' promises are settled. */
  #handled(c, seq, promises = []) {
    if (!this.#env.keep_positions) return;
    const turn = { seq, open: promises.length > 0 };
    c.turns.push(turn); // as many as there are listeners still at work: theirs is the limit
    const settle = () => {
      turn.open = false;
      while (c.turns.length && !c.turns[0].open) c.handled = c.turns.shift().seq;
      this.#positionsTimer ??= this.#idly(POSITIONS_EVERY_MS, () => this.#savePositions());
    };
    if (turn.open) Promise.all(promises).then(settle);
    else settle();
  }

  #savePositions() {
    this.#positionsTimer = this.#cancel(this.#positionsTimer);
    if (!this.#env.keep_positions || !this.#session || this.#ended) return;
    const handled = [...this.conversations.values()].filter((c) => !c.stub || c.known_pos).map((c) => [c.id, c.handled]);
    this.#store(`${POSITIONS_KEY}.${this.#session.user.id}`, JSON.stringify(Object.fromEntries(handled)));
  }

  // ---- the session ----

  #save(session) {
    this.#session = session;
    this.#store(SESSION_KEY, JSON.stringify(session));
  }

  #profile(user) {
    this.#save({ ...this.#session, user });
    this.#emit('session', user);
    return user;
  }

  async #adopt(answer) {
    if (this.#loading) await this.ready;
    if (this.#ended) throw closed();
    if (!answer?.access_token) throw new TidingsError({ code: 'unavailable', message: `${this.#env.origin} did not answer as a Tidings server does.`, definite: false });
    const { user, access_token, expires_in, refresh_token, device_token } = answer;
    if (device_token) this.#store(KNOWN_KEY, device_token);
    const known = this.#session?.user.id === user.id;
    if (this.#session && !known) this.#forget();
    this.#save({ user, access_token, refresh_token, expires_at_ms: this.#env.now() + expires_in * 1000 });
    const loaded = known ? undefined : this.#loadOwn();
    if (isPromise(loaded)) await loaded;
    this.#scheduleRefresh(expires_in * 1000);
    this.#emit('session', user);
    return user;
  }

  /** Ends the session here; `error` says why when nobody asked for it. */
  #forget(error) {
    this.disconnect();
    this.#refreshTimer = this.#cancel(this.#refreshTimer);
    this.#session = null;
    this.#store(SESSION_KEY, null);
    for (const entry of this.#outbox.values()) this.#break(entry, new TidingsError({ code: 'unauthenticated', message: 'signed out' }));
    this.conversations.clear();
    this.#outbox.clear();
    this.#acked = [];
    this.#watched.clear();
    this.#heard.clear();
    this.cursor = null;
    this.#setState({ state: 'signed_out' });
    this.#emit('session', null);
    if (error) this.#emit('error', error);
  }

  #scheduleRefresh(ttl_ms) {
    this.#cancel(this.#refreshTimer);
    const lead_ms = ttl_ms > 150_000 ? 75_000 : ttl_ms / 4;
    this.#refreshTimer = this.#idly((ttl_ms - lead_ms) * (1 - this.#env.random() / 20), () => this.#refreshSoon());
  }

  #refreshSoon() {
    this.#refresh().catch(() => {
      if (this.#session) this.#refreshTimer = this.#idly(5_000 + this.#env.random() * 5_000, () => this.#refreshSoon());
    });
  }

  /** One refresh at a time, in all tabs: a refresh token shown again later than 30 s, or after its successor, ends the sign-in. */
  #refresh() {
    this.#refreshing ??= Promise.resolve(this.#env.lock('tidings.refresh', () => this.#refreshAlone())).finally(() => { this.#refreshing = null; });
    return this.#refreshing;
  }

  async #refreshAlone() {
    await this.#storedAll();
    const stored = await this.#stored();
    const mine = this.#session;
    if (!mine) throw new TidingsError({ code: 'unauthenticated', message: 'signed out' });
    const other_tab = stored?.user.id === mine.user.id && stored.access_token !== mine.access_token;
    if (other_tab && stored.expires_at_ms > this.#env.now() + 5_000) {
      this.#session = stored;
      this.#scheduleRefresh(stored.expires_at_ms - this.#env.now());
    } else {
      try {
        await this.#adopt(await this.#fetch('POST', '/v1/tokens/refresh', { body: { refresh_token: mine.refresh_token } }));
      } catch (error) {
        if (error.status !== 401) throw error;
        const device_id = mine.user.guest ? await this.#read(DEVICE_KEY) : null;
        if (!device_id) { this.#forget(new TidingsError({ code: 'unauthenticated', message: 'The sign-in has ended: sign in again.', cause: error })); throw error; }
        await this.#adopt(await this.#fetch('POST', '/v1/accounts/guest', { body: { device_id, device_name: this.#env.device_name } }));
      }
    }
    if (this.#link) this.#request({ type: 'auth', token: this.#session.access_token }, { transient: true }).catch(() => {});
  }

  // ---- REST ----

  /** One REST call as the signed-in user; a token found expired is refreshed once. Throws TidingsError. */
  async api(method, path, { body, headers } = {}) {
    if (this.#loading) await this.ready;
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
    if (this.#ended) throw closed();
    const { origin } = this.#env;
    const abort = new AbortController();
    const timer = this.#later(REQUEST_TIMEOUT_MS, () => abort.abort());
    this.#calls.add(abort);
    const all = { ...headers, ...(token && { authorization: `Bearer ${token}` }), ...(body && { 'content-type': 'application/json' }) };
    const unavailable = (message, more) => new TidingsError({ code: 'unavailable', message, retryable: true, definite: false, ...more });
    try {
      const answer = await this.#env.fetch(origin + path, { method, headers: all, body: body && JSON.stringify(body), signal: abort.signal });
      const text = await answer.text();
      const value = text ? parsed(text) : null;
      if (answer.ok && !(text && value === null)) return value;
      const what = value?.detail ?? value?.title ?? `HTTP ${answer.status} from ${origin}${path}, and not in the words of a Tidings server`;
      throw unavailable(what, { retryable: answer.status >= 500, definite: answer.status < 500 && !answer.ok, ...(answer.ok ? {} : value), status: answer.status });
    } catch (cause) {
      if (cause instanceof TidingsError) throw cause;
      if (this.#ended) throw closed();
      if (abort.signal.aborted) throw unavailable(`No answer from ${origin} within ${REQUEST_TIMEOUT_MS / 1000} s.`, { cause });
      throw unavailable(`The server cannot be reached at ${origin}.`, { cause });
    } finally {
      this.#calls.delete(abort);
      this.#cancel(timer);
    }
  }

  userById(id) { return this.api('GET', `/v1/users/${enc(id)}`); }
  async usersByPrefix(prefix, limit = 8) { return (await this.api('GET', `/v1/users?prefix=${enc(prefix)}&limit=${limit}`)).users; }
  async fetchConversation(id) {
    const conversation = await this.api('GET', `/v1/conversations/${enc(id)}`);
    this.#knowMute(conversation);
    return conversation;
  }

  changeConversation(id, changes) { return this.api('PATCH', `/v1/conversations/${enc(id)}`, { body: changes }); }
  deleteConversation(id) { return this.api('DELETE', `/v1/conversations/${enc(id)}`); }
  members(id, cursor = '') { return this.api('GET', `/v1/conversations/${enc(id)}/members?limit=100${cursor && `&cursor=${enc(cursor)}`}`); }
  addMember(id, user, role) { return this.api('PUT', `/v1/conversations/${enc(id)}/members/${enc(user)}`, role && { body: { role } }); }
  setRole(id, user, role) { return this.api('PATCH', `/v1/conversations/${enc(id)}/members/${enc(user)}`, { body: { role } }); }
  /** Removes somebody, who need not be a member, and keeps them out: for `duration_s` seconds, or for good. `reason` is for all to read. */
  ban(id, user, { duration_s, reason } = {}) { return this.api('PUT', `/v1/conversations/${enc(id)}/bans/${enc(user)}`, { body: { duration_s, reason } }); }
  unban(id, user) { return this.api('DELETE', `/v1/conversations/${enc(id)}/bans/${enc(user)}`); }
  bans(id, cursor = '') { return this.api('GET', `/v1/conversations/${enc(id)}/bans?limit=100${cursor && `&cursor=${enc(cursor)}`}`); }
  removeMember(id, user) { return this.api('DELETE', `/v1/conversations/${enc(id)}/members/${enc(user)}`); }
  /** A page of history, ascending: `query` of `before`, `after`, `limit`, `min_seq`. */
  history(id, query = {}) { return this.api('GET', `/v1/conversations/${enc(id)}/messages?${new URLSearchParams(query)}`); }

  /** Makes a conversation (or finds it: a direct one exists once) and answers it, already in `conversations`. */
  async createConversation(fields) {
    const made = await this.api('POST', '/v1/conversations', { body: { client_id: this.#env.uuid(), ...fields } });
    return this.#adoptHead(made);
  }

  /** What this user lets others do without being asked. */
  privacy() { return this.api('GET', '/v1/me/privacy'); }
  changePrivacy(changes) { return this.api('PATCH', '/v1/me/privacy', { body: changes }); }
  /** The ids of this user's contacts: those whom one has written to or accepted. */
  async contacts() { return (await this.api('GET', '/v1/contacts')).users; }
  /** Accepts somebody as a contact, or removes them. */
  async setContact(user, on = true) {
    await this.api(on ? 'PUT' : 'DELETE', `/v1/contacts/${enc(user)}`);
    for (const c of this.conversations.values()) {
      if (c.kind !== 'direct' || c.peer !== user || !on) continue;
      c.stranger = false;
      this.#emit('conversation', c);
    }
  }

  setBlock(user, on = true) { return this.api(on ? 'PUT' : 'DELETE', `/v1/blocks/${enc(user)}`); }
  /** The invitations that wait, the oldest first. `join` accepts one. */
  async invitations() { return (await this.api('GET', '/v1/me/invitations')).invitations; }
  decline(id) { return this.api('DELETE', `/v1/me/invitations/${enc(id)}`); }

  /** Joins an open conversation, or one that one is invited to, by id, and answers it. */
  async join(id) {
    await this.addMember(id, this.user.id);
    return this.#adoptHead(await this.fetchConversation(id));
  }

  async leave(id) {
    await this.removeMember(id, this.user.id);
    this.#remove(id);
  }

  // ---- the connection ----

  /** Connects and stays connected until `disconnect`, `close` or a close that forbids coming back (`state` is then `stopped`). */
  connect() {
    if (this.#ended) throw closed();
    if (!this.#env.WebSocket) throw new TidingsError({ code: 'no_websocket', message: 'There is no WebSocket here. Pass options.WebSocket; in Node.js before 22: npm install ws, and the WebSocket that it exports.' });
    if (this.#loading) return void this.ready.then(() => { if (!this.#ended) this.connect(); }).catch((error) => { if (error.code !== 'storage') this.#emit('error', error); });
    if (!this.#session) throw new TidingsError({ code: 'unauthenticated', message: 'Sign in before you connect.' });
    if (this.#link || this.#next) return;
    this.#wanted = true;
    this.#attempt = 0;
    this.#open();
  }

  disconnect() {
    this.#wanted = false;
    this.#retryTimer = this.#cancel(this.#retryTimer);
    this.#stableTimer = this.#cancel(this.#stableTimer);
    this.#healTimer = this.#cancel(this.#healTimer);
    this.#handover = this.#handover && this.#cancel(this.#handover.timer);
    for (const link of [this.#link, this.#next]) if (link) this.#release(link, 1000);
    this.#link = this.#next = null;
    for (const request of [...this.#requests.values()]) this.#settle(request, offline());
    this.#flights.clear();
    this.#setState({ state: 'idle' });
  }

  /**
   * Ends the client for good: no connection, call or timer is left, so that a process can exit. What is unsent stays in the storage.
   * Answers when the storage has everything.
   */
  async close() {
    if (!this.#ended) {
      this.disconnect();
      this.#savePositions();
      this.#ended = true;
      const timers = [...this.#timers];
      this.#timers.clear();
      for (const [timer, ended] of timers) { this.#env.clearTimeout(timer); ended?.(); }
      for (const call of this.#calls) call.abort();
      for (const entry of this.#outbox.values()) this.#break(entry, closed());
      this.#setState({ state: 'closed' });
    }
    await this.#storedAll();
  }

  /** The network is back, or the page was woken: reconnect at once, or find out whether the connection still lives. */
  nudge() {
    if (!this.#wanted) return;
    this.#attempt = 0;
    if (this.#link) this.#probe(this.#link);
    else if (!this.#next) this.#open();
  }

  /** The network may be gone: find out now whether the connection still lives. */
  doubt() { if (this.#link) this.#probe(this.#link); }

  async #open(takeover) {
    this.#retryTimer = this.#cancel(this.#retryTimer);
    this.#handover = this.#handover && this.#cancel(this.#handover.timer);
    if (!this.#wanted || this.#next || (this.#link && !takeover)) return;
    const link = this.#next = { ws: null, rx_ms: 0, rx_count: 0, probe: null, ping: null, answer_ms: 0, takeover };
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
    } catch (cause) {
      link.cause = cause;
      this.#closed(link, 1006);
      return;
    }
    link.ws.onopen = () => {
      this.#cancel(link.timer);
      link.timer = this.#later(WELCOME_TIMEOUT_MS, () => this.#closed(link, 1006));
      link.ping = { at_ms: this.#env.now() };
      const hello = { type: 'hello', token: this.#session.access_token, device: this.#env.device };
      if (this.cursor) hello.cursor = this.cursor;
      if (takeover?.session) hello.handover = takeover.session;
      this.#write(link, hello);
    };
    link.ws.onmessage = ({ data }) => {
      link.rx_ms = this.#env.now();
      link.rx_count += 1;
      const frame = parsed(data);
      if (frame) return this.#receive(link, frame);
      link.cause = new Error(`not a frame: ${String(data).slice(0, 80)}`);
      this.#closed(link, 1006);
    };
    link.ws.onclose = ({ code }) => this.#closed(link, code);
    link.ws.onerror = (event) => {
      link.cause ??= event?.error ?? event?.message;
      // A close follows, except in some releases of Node.js.
      link.failed ??= this.#later(CLOSE_TIMEOUT_MS, () => this.#closed(link, 1006));
    };
  }

  #write(link, frame) { if (link?.ws?.readyState === 1) link.ws.send(JSON.stringify(frame)); }
  #post(frame) { this.#write(this.#link, frame); }

  #release(link, code) {
    this.#cancel(link.timer);
    this.#cancel(link.pulse);
    this.#cancel(link.failed);
    if (!link.ws) return;
    const { ws } = link;
    ws.onopen = ws.onmessage = ws.onclose = null;
    ws.onerror = () => {}; // the package ws ends the process when an error finds no listener, and closing too early is one
    ws.close(code);
    if (ws.terminate) this.#env.setTimeout(() => ws.terminate(), CLOSE_TIMEOUT_MS)?.unref?.();
  }

  #closed(link, code, why) {
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
      this.#failed(link, code);
      if (this.#link) return void (this.#retryTimer = this.#later(this.#backoff(link.retry_after_ms), () => this.#open(link.takeover)));
    }
    if (!this.#wanted) return;
    if (FINAL_CLOSES.has(code)) return this.#stop(code, link.cause);
    if (code === 4401 && this.#authFailures++ === 0) {
      this.#setState({ state: 'connecting' });
      this.#refresh().then(() => this.#open(), (error) => {
        if (!this.#wanted || error.status === 401) return;
        if (error.code === 'suspended') this.#stop(4403, error);
        else this.#wait(this.#backoff(error.retry_after_ms));
      });
      return;
    }
    if (code === 4401) return this.#forget(new TidingsError({ code: 'unauthenticated', message: 'The server does not take this sign-in any more: sign in again.', cause: link.cause }));
    const floor_ms = code === 4429 ? ABUSE_WAIT_MS : link.retry_after_ms;
    this.#wait(this.#backoff(floor_ms), why);
  }

  /** The server wants no connection: `connect` tries once more. `cause`: the error that said why. */
  #stop(code, cause) {
    this.#wanted = false;
    this.#setState({ state: 'stopped', code, ...(cause?.code === 'suspended' && { reason: cause.message }) });
    this.#emit('error', new TidingsError({ code: 'stopped', message: `The server closed the connection for good (${code}).`, cause }));
  }

  /** An attempt to connect that failed is told once, until one succeeds: the state says when the next comes. */
  #failed(link, code) {
    if (this.#toldFailure || !this.#wanted || FINAL_CLOSES.has(code) || code === 4401) return;
    this.#toldFailure = true;
    const why = link.cause?.message ?? link.cause ?? (link.ws ? `code ${code}` : 'no answer');
    this.#emit('error', new TidingsError({ code: 'unavailable', message: `No connection to ${this.#env.origin} (${why}); it is tried again.`, retryable: true, cause: link.cause }));
  }

  #backoff(floor_ms = 0) {
    const ceiling_ms = Math.min(BACKOFF_CEILING_MS, BACKOFF_FLOOR_MS * 2 ** this.#attempt++);
    return floor_ms + this.#env.random() * ceiling_ms;
  }

  #wait(delay_ms, why) {
    this.#authFailures = 0;
    this.#cancel(this.#retryTimer);
    this.#setState({ state: 'waiting', retry_at_ms: this.#env.now() + delay_ms, ...why });
    this.#retryTimer = this.#later(delay_ms, () => this.#open());
  }

  /** A browser shows no WebSocket pings, so silence is answered with one of ours; no answer means the link is dead. */
  #probe(link, wait_ms = PROBE_TIMEOUT_MS) {
    const now_ms = this.#env.now();
    const open = link.probe?.before === link.rx_count;
    const due_ms = now_ms + Math.max(wait_ms, SLOW_LINE * link.answer_ms);
    if (open && link.probe.due_ms <= due_ms) return; // asking again must not put off the answer's deadline
    if (!open) {
      link.ping = { id: ++this.#lastId, at_ms: now_ms };
      this.#write(link, { type: 'ping', id: link.ping.id });
    }
    link.probe = { due_ms, before: link.rx_count };
    this.#conclude(link, link.probe);
  }

  #conclude(link, probe) {
    this.#cancel(link.timer);
    link.timer = this.#later(probe.due_ms - this.#env.now(), () => {
      if (link.rx_count !== probe.before) return;
      const now_ms = this.#env.now();
      if (now_ms - probe.due_ms <= LATE_MS) return this.#closed(link, 1006, { silent: true });
      probe.due_ms = now_ms + LATE_MS;
      this.#conclude(link, probe);
    });
  }

  /** While somebody looks, silence is doubted soon; otherwise as often as the server's heartbeat uses the network anyway. */
  #pulse(link) {
    this.#cancel(link.pulse);
    const silence_ms = this.#background || this.#env.hidden() ? this.heartbeat_ms : Math.min(this.#env.silence_ms, this.heartbeat_ms);
    const silent_ms = Math.abs(this.#env.now() - link.rx_ms); // a clock that was put back must not end the watch
    if (silent_ms >= silence_ms) this.#probe(link, SILENCE_TIMEOUT_MS);
    link.pulse = this.#idly(silent_ms < silence_ms ? silence_ms - silent_ms : silence_ms, () => this.#pulse(link));
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
      case 'typing': case 'presence': case 'lagging': case 'invited': return this.#emit(frame.type, frame);
      case 'pong': return this.#answered(link, frame.id);
      default: // a kind of a later version: its arrival is all that counts
    }
  }

  /** How long the line takes for a question and its answer: at first a hello and its welcome. */
  #answered(link, id) {
    if (!link.ping || link.ping.id !== id) return;
    link.answer_ms = this.#env.now() - link.ping.at_ms;
    link.ping = null;
  }

  #error(link, frame) {
    const request = this.#requests.get(frame.id);
    if (frame.code === 'muted') this.#mute(this.conversations.get(request?.frame.conversation), new Date(this.#env.now() + frame.retry_after_ms).toISOString());
    if (request) this.#settle(request, new TidingsError(frame));
    else if (link === this.#next || frame.id === undefined) Object.assign(link, { retry_after_ms: frame.retry_after_ms, cause: new TidingsError(frame) }); // why the hello is refused, or why a close comes
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
    this.#answered(link);
    this.#link = link;
    this.#next = null;
    this.#cancel(link.timer);
    if (old) this.#release(old, 1000);
    for (const request of [...this.#requests.values()]) if (request.transient) this.#settle(request, offline());
    this.#authFailures = 0;
    this.#toldFailure = false;
    this.heartbeat_ms = frame.heartbeat_ms;
    this.limits = frame.limits ?? {};
    this.#cancel(this.#stableTimer);
    this.#stableTimer = this.#idly(STABLE_MS, () => { this.#attempt = 0; });
    this.#pulse(link);
    if (frame.token_expires_in_ms) this.#scheduleRefresh(frame.token_expires_in_ms);
    for (const request of this.#requests.values()) this.#ask(request);
    this.#moreHeads = !old && frame.more_heads;
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

  /** Whether anybody looks. It is the device's presence, and how soon silence is doubted. */
  setBackground(background) {
    if (background === this.#background) return;
    this.#background = background;
    this.#post({ type: background ? 'background' : 'foreground' });
    if (this.#link) this.#pulse(this.#link);
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
    const timer = this.#idly(TYPING_OFF_MS, () => this.typing(conversation, false));
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
    this.#receiptTimer ??= this.#idly(RECEIPT_DELAY_MS, () => {
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

  #stub(id, known_pos) {
    const pos = known_pos ?? 0;
    const c = { id, stub: true, pos, target: pos, counted: 0, last_seq: pos, read_seq: 0, unread: 0, known_pos: known_pos !== undefined, buffer: new Map(), idle_syncs: 0, live_after: 0, handled: pos, turns: [] };
    this.conversations.set(id, c);
    return c;
  }

  #heads({ heads, cursor, reset }, authoritative = false) {
    if (reset) this.#unconfirmed = new Set(this.conversations.keys());
    for (const head of heads) {
      if (head.left) this.#remove(head.conversation);
      else this.#applyHead(head, authoritative, authoritative || this.#moreHeads);
    }
    if (cursor !== undefined) {
      this.#moreHeads = false;
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

  /** `old`: the head tells what happened before this connection stood. */
  #applyHead(head, authoritative = false, old = false) {
    const id = head.conversation ?? head.id;
    const c = this.conversations.get(id) ?? this.#stub(id);
    if (old || c.stub) c.live_after = head.last_seq;
    const { conversation: _id, unread, last_seq, read_seq, muted_until: _until, ...fields } = head;
    const start = Math.max(head.first_seq - 1, last_seq - this.#env.initial_events);
    if (c.stub && !c.known_pos) {
      c.pos = c.start = start;
      this.#handled(c, start);
    }
    c.start ??= c.pos;
    c.stub = false;
    if (this.#unconfirmed?.delete(id)) { // nothing held of the old log counts
      c.buffer.clear();
      this.#skip(c, start);
      Object.assign(c, { counted: 0, last_seq: start, target: start });
    }
    Object.assign(c, { stranger: false }, fields, { id });
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
    this.#applyHead(conversation);
    this.#heal();
    return this.#knowMute(conversation);
  }

  #skip(c, upto) {
    const after = c.pos;
    if (upto < c.pos) c.target = c.last_seq = upto;
    c.pos = c.start = upto;
    for (const seq of c.buffer.keys()) if (seq <= upto) c.buffer.delete(seq);
    if (upto < after) c.turns = []; // they were of another log
    this.#handled(c, upto);
    this.#emit('skipped', { conversation: c.id, after, upto });
  }

  /** The successor of what is held is passed on; an older one is a duplicate; a later one waits for the gap to be healed. */
  #event(event, from_sync = false) {
    const known = this.conversations.get(event.conversation);
    if (!known && event.kind === 'member_left' && event.user === this.user?.id) return;
    const c = known ?? this.#stub(event.conversation);
    if (c.stub) this.#discover(c);
    if (event.seq <= c.pos && !c.stub) return;
    event.live = !from_sync || event.seq > c.live_after;
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
    // Two who have both written see each other's presence from then on.
    const answered = event.kind === 'message' && c.kind === 'direct' && (mine ? c.stranger : !this.#heard.has(c.id));
    if (answered && !mine) this.#heard.add(c.id);
    if (event.kind === 'message') {
      if (mine) {
        c.stranger = false; // whom one has written to is a contact
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
      const { role, name, topic, history, join, muted } = event.changes ?? {};
      Object.assign(c, name !== undefined && { name }, topic !== undefined && { topic: topic || undefined }, history && { history }, join && { join });
      if (role?.user === me) c.role = role.role;
      // A mute that was lifted ends with the event that says so.
      if (muted?.user === me) c.muted_until = Date.parse(muted.until) > Date.parse(event.sent_at) ? muted.until : undefined;
    }
    this.#handled(c, event.seq, this.#emit('event', event));
    this.#emit('conversation', c);
    if (answered) this.rewatch([c.peer]);
    if (event.kind === 'member_joined') this.rewatch(event.user === me ? this.#watched : [event.user]);
    const left = (event.kind === 'member_left' && event.user === me) || event.changes?.deleted;
    // A leave that is followed by more we may see is history: we came back since.
    if (left && event.seq >= c.target) this.#remove(c.id);
  }

  /** Takes over `muted_until` of a conversation as REST answered it, unless later events are known here. Answers what is known of it. */
  #knowMute({ conversation, last_seq, muted_until }) {
    const c = this.conversations.get(conversation);
    if (c && !c.stub && last_seq >= c.pos) this.#mute(c, muted_until);
    return c;
  }

  /** Until when one may say nothing there, as far as that was told: by an event, a refusal, or REST. */
  #mute(c, until) {
    if (!c || c.muted_until === until) return;
    c.muted_until = until;
    this.#emit('conversation', c);
  }

  #remove(id) {
    if (!this.conversations.delete(id)) return;
    this.#emit('removed', { conversation: id });
  }

  /** A conversation of which only events, or an earlier position, are known: its events wait until its head is here. */
  #discover(c) {
    if (c.asked) return;
    c.asked = true;
    const { id } = c;
    const give_up = (error) => {
      if (this.conversations.get(id) !== c || !c.stub) return;
      if (error.retryable) this.#idly(2_000 + this.#env.random() * 2_000, ask);
      else this.conversations.delete(id);
    };
    const ask = () => this.fetchConversation(id).then((head) => { if (this.conversations.get(id) === c) this.#adoptHead(head); }, give_up);
    ask();
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
    else if (pause_ms > 0) this.#healTimer = this.#idly(pause_ms, () => { this.#healTimer = null; this.#heal(); });
    else if (this.#link) this.#heal();
  }

  // ---- sending ----

  /**
   * Takes a message for `conversation` (or, for a direct one, `to` a user), keeps it through reloads and delivers it once.
   * Answers the outbox entry {client_id, state: queued | sending | failed, error?, …}; `entry.committed` is a promise of its ack, and the event
   * `sent` tells the same. `client_id` is for those who may send the same again after a restart (see `clientId`); else a new one is made.
   */
  send({ client_id, conversation, to, body, reply_to, mentions, attachments, data }) {
    if (this.#ended) throw closed();
    if (!this.#session) throw new TidingsError({ code: 'unauthenticated', message: this.#loading ? 'Await client.ready before you send.' : 'Sign in before you send.' });
    const held = this.#outbox.get(client_id);
    if (held) return held;
    this.#lastOrder = Math.max(this.#env.now(), this.#lastOrder + 1);
    const entry = { client_id: client_id ?? this.#env.uuid(), conversation, to, body, reply_to, mentions, attachments, data, order: this.#lastOrder, state: 'queued' };
    if (client_id) entry.given = true;
    this.#promise(entry);
    this.#keep(entry);
    this.#flush();
    return entry;
  }

  /** `committed` is no property that is copied or stored. */
  #promise(entry) {
    const promise = new Promise((resolve, reject) => { this.#promised.set(entry, { resolve, reject }); });
    promise.catch(() => {}); // a message that fails is in the outbox, and told by its event
    Object.defineProperty(entry, 'committed', { value: promise, configurable: true });
  }

  #break(entry, error) {
    this.#promised.get(entry)?.reject(error);
    this.#promised.delete(entry);
  }

  /** Tries a failed message again. A client_id the server knows for something else is replaced, unless the application chose it. */
  retry(client_id) {
    const entry = this.#outbox.get(client_id);
    if (entry?.state !== 'failed') return;
    if (entry.error?.code === 'conflict' && !entry.given) {
      this.discard(client_id);
      entry.client_id = this.#env.uuid();
    }
    delete entry.error;
    entry.state = 'queued';
    this.#promise(entry);
    this.#keep(entry);
    this.#flush();
  }

  /** Gives a message up. One that is on its way may still arrive. */
  discard(client_id) {
    const entry = this.#outbox.get(client_id);
    if (!entry) return;
    this.#outbox.delete(client_id);
    this.#store(this.#outboxKey(entry), null);
    this.#break(entry, new TidingsError({ code: 'discarded', message: 'The message was given up.' }));
    this.#emit('outbox', null);
  }

  // One key per message: two tabs share the storage, and neither may overwrite what the other keeps.
  #outboxKey(entry) { return `${OUTBOX_KEY}.${this.#session.user.id}.${entry.client_id}`; }

  #keep(entry) {
    this.#outbox.set(entry.client_id, entry);
    // A full storage costs surviving a reload, not the message.
    this.#store(this.#outboxKey(entry), JSON.stringify(entry), () => { entry.volatile = true; });
    this.#emit('outbox', entry);
  }

  #loadOutbox() {
    const prefix = `${OUTBOX_KEY}.${this.#session.user.id}.`;
    return then(this.#keys(), (keys) => together(keys.filter((key) => key?.startsWith(prefix)).map((key) => this.#read(key)), (texts) => {
      for (const entry of texts.map(parsed).filter(Boolean)) {
        if (entry.state !== 'failed') entry.state = 'queued';
        this.#outbox.set(entry.client_id, entry);
        this.#promise(entry);
        if (entry.state === 'failed') this.#break(entry, new TidingsError(entry.error));
        this.#lastOrder = Math.max(this.#lastOrder, entry.order);
      }
    }));
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
        if (!again) this.#break(entry, error);
        else if (error.code !== 'offline') await this.#pause((error.retry_after_ms ?? 500) + this.#env.random() * 500, true);
      }
    }
    if (this.#flights.get(lane) === flight) this.#flights.delete(lane);
    this.#flush();
  }

  #committed(entry, ack) {
    if (!entry || !this.#outbox.delete(entry.client_id)) return;
    this.#store(this.#outboxKey(entry), null);
    this.#promised.get(entry)?.resolve(ack);
    this.#promised.delete(entry);
    if (this.#acked.push(entry) > MAX_ACKED_KEPT) this.#acked.shift();
    this.#emit('sent', { entry, ack });
    this.#idly(ACKED_EVENT_WAIT_MS, () => {
      const c = this.conversations.get(ack.conversation);
      if (!c || c.pos >= ack.seq) return;
      c.target = Math.max(c.target, ack.seq);
      this.#heal();
    });
  }
}
