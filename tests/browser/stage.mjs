/** What the browser tests share: the real server, browsers of their own, and what people do in them. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Browser, start, startChromedriver, stop, until } from './webdriver.mjs';

const SHOTS = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../artefacts/browser');
export const PASSWORD = 'correct horse battery';
export const shot = (browser, name) => browser.screenshot(path.join(SHOTS, `${name}.png`));

/** A server on a folder of its own, and browsers. Screenshots are kept in artefacts/browser/. */
export class Stage {
  #dir; #driver; #browsers = []; #child; #port = 0; #settings;

  /** `settings`: the server's, such as `{'auth.sign_ups': 'closed'}`. Nobody is in a conversation that the test did not make. */
  constructor(settings = {}) { this.#settings = settings; }

  async open() {
    const bin = process.env.TIDINGS_BIN;
    if (!bin || !existsSync(bin)) throw new Error('Set TIDINGS_BIN to the server binary: cargo build, then TIDINGS_BIN=target/debug/tidings');
    this.#dir = await mkdtemp(path.join(tmpdir(), 'tidings-e2e-'));
    this.#driver = await startChromedriver();
    await this.serve();
  }

  /** The server, on any free port at first and on the same one when it comes back. */
  async serve() {
    const set = Object.entries({ 'conversations.default': '', 'privacy.groups': 'everyone', 'server.directory': 'open', 'privacy.stranger_messages': 1000000, ...this.#settings }).map(([key, value]) => [`TIDINGS__${key.replaceAll('.', '__').toUpperCase()}`, String(value)]);
    const env = { ...process.env, NO_COLOR: '1', TIDINGS__SERVER__LOOPBACK_EXEMPT: 'true', ...Object.fromEntries(set) };
    const { child, line } = await start(process.env.TIDINGS_BIN, ['serve', '--data-dir', this.#dir, '--listen', `127.0.0.1:${this.#port}`], /http:\/\/127\.0\.0\.1:(\d+)/, { env });
    [this.#child, this.#port] = [child, line[1]];
    await until('the server to answer', async () => (await fetch(this.base, { signal: AbortSignal.timeout(2_000) })).ok);
  }

  get base() { return `http://127.0.0.1:${this.#port}`; }
  get port() { return Number(this.#port); }
  kill() { return stop(this.#child, 'SIGKILL'); }

  async browser(options) {
    const browser = await Browser.open(this.#driver, options);
    this.#browsers.push(browser);
    return browser;
  }

  async close() {
    for (const browser of this.#browsers) await browser.quit();
    for (const child of [this.#driver?.child, this.#child]) if (child) await stop(child);
    if (this.#dir) await rm(this.#dir, { recursive: true, force: true });
  }

  /** No browser may have met a script error, or something that the content policy refused. */
  async assertNoErrors() {
    for (const browser of this.#browsers) {
      const lines = (await browser.consoleLines()).map(({ message }) => message);
      assert.deepEqual(lines.filter((line) => /Content Security Policy|Uncaught|TypeError|SyntaxError/.test(line)), []);
    }
  }

  async signUp(browser, username, display_name) {
    await browser.goto(this.base);
    await browser.click('[role=tab]', 'New account');
    await browser.fill('[name=username]', username);
    await browser.fill('[name=display_name]', display_name);
    await browser.fill('[name=password]', PASSWORD);
    await browser.click('.form .primary', 'Create account');
    await browser.see('.sidebar .me-button', display_name);
    await online(browser);
  }

  async guest(browser, display_name, base = this.base) {
    await browser.goto(base);
    await browser.fill('[name=display_name]', display_name);
    await browser.click('.form .primary', 'Start chatting');
    await browser.see('.sidebar .me-button', display_name);
    await online(browser);
  }

  /** A person without a window: REST as them, for what a test only needs to have happened. */
  async person(username, display_name = username) {
    const call = async (method, at, body, token) => {
      const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }), ...(at.endsWith('/messages') && { 'idempotency-key': crypto.randomUUID() }) };
      const answer = await fetch(this.base + at, { method, headers, body: body && JSON.stringify(body) });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${method} ${at}: ${answer.status} ${text}`);
      return text ? JSON.parse(text) : null;
    };
    const { user, access_token } = await call('POST', '/v1/accounts', { username, display_name, password: PASSWORD });
    const as = (method, at, body) => call(method, at, body, access_token);
    return { ...user, as, say: (conversation, message) => as('POST', `/v1/conversations/${conversation}/messages`, typeof message === 'string' ? { body: message } : message),
      create: async (fields) => { const made = await as('POST', '/v1/conversations', { client_id: crypto.randomUUID(), ...fields }); return { ...made, id: made.conversation }; } };
  }
}

export const online = (browser) => until('to be online', async () => (await browser.run('return document.documentElement.dataset.connection')) === 'online');

export async function say(browser, text) {
  await browser.fill('.compose-input', text);
  await browser.press('Enter');
}

/** How often a text stands in the open conversation. */
export const count = async (browser, text) => (await browser.all('.msg .text', text)).length;
export const status = (browser, text, wanted) => until(`“${text}” to be ${wanted}`, async () => browser.run(
  'return [...document.querySelectorAll(".msg.mine")].some((row) => row.querySelector(".text")?.textContent === arguments[0] && row.dataset.status === arguments[1])', text, wanted));

export async function tool(browser, text, label) {
  await browser.hover('.msg .bubble', text);
  await browser.click(`.tools [aria-label="${label}"]`);
}

/** The id of the open conversation. */
export const openId = async (browser) => decodeURIComponent((await browser.run('return location.hash')).split('#/c/')[1]);
