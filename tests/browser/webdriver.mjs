/** A small WebDriver client over plain fetch: what the browser test needs of it, and waits with a deadline instead of sleeps. */

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

const DEADLINE_MS = 30_000;
const POLL_MS = 50;
const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';
const KEYS = { Enter: '\uE007', Escape: '\uE00C', Tab: '\uE004', ArrowUp: '\uE013', ArrowDown: '\uE015', ArrowLeft: '\uE012', ArrowRight: '\uE014', Delete: '\uE017', Home: '\uE011', Control: '\uE009', Shift: '\uE008' };

/** Asks `probe` until it answers something true. Throws with `what` and the last error when the deadline has passed. */
export async function until(what, probe, deadline_ms = DEADLINE_MS) {
  const end_ms = Date.now() + deadline_ms;
  let last;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end_ms) throw new Error(`${what}: not within ${deadline_ms} ms${last ? ` (${last.message})` : ''}`);
    await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
  }
}

/** Starts a program of ours and answers {child, line}, where `line` is the first match of `pattern` in what it prints. */
export async function start(command, args, pattern, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let said = '';
  let ended = null;
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { said = (said + chunk).slice(-20_000); });
  child.on('error', (error) => { ended = error.message; });
  child.on('exit', (code, signal) => { ended ??= `ended with ${signal ?? code}`; });
  const line = await until(`${command} to be up`, () => {
    if (ended) return { ended };
    return said.match(pattern);
  });
  if (line.ended) throw new Error(`${command} ${args.join(' ')} ${line.ended}:\n${said}`);
  return { child, line, said: () => said };
}

/** Ends a program we started, and waits until it is gone. */
export async function stop(child, signal = 'SIGTERM') {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => { child.once('exit', resolve); });
  child.kill(signal);
  await gone;
}

export async function startChromedriver() {
  const [driver, browser] = [process.env.CHROMEDRIVER ?? '/usr/bin/chromedriver', process.env.CHROMIUM ?? '/usr/bin/chromium'];
  for (const [file, name] of [[driver, 'chromium-driver'], [browser, 'chromium']]) {
    if (!existsSync(file)) throw new Error(`${file} is missing: install it (Debian: apt-get install ${name})`);
  }
  const { child, line } = await start(driver, ['--port=0'], /started successfully on port (\d+)/);
  return { child, url: `http://127.0.0.1:${line[1]}`, browser };
}

export class Browser {
  constructor(url, profile) { Object.assign(this, { url, profile }); }

  static async open(driver, { width = 1280, height = 860 } = {}) {
    const profile = await mkdtemp(path.join(tmpdir(), 'tidings-browser-'));
    const args = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--lang=en-GB', `--user-data-dir=${profile}`, `--window-size=${width},${height}`];
    const browser = new Browser(driver.url, profile);
    const { sessionId } = await browser.#call('POST', '/session', { capabilities: { alwaysMatch: { browserName: 'chrome', 'goog:loggingPrefs': { browser: 'ALL' }, 'goog:chromeOptions': { binary: driver.browser, args } } } });
    browser.url = `${driver.url}/session/${sessionId}`;
    await browser.size(width, height, false);
    return browser;
  }

  async #call(method, at, body) {
    const answer = await fetch(this.url + at, { method, body: body && JSON.stringify(body), signal: AbortSignal.timeout(60_000) });
    const { value } = await answer.json();
    if (!answer.ok) throw new Error(`${value.error}: ${value.message.split('\n')[0]}`);
    return value;
  }

  async quit() {
    await this.#call('DELETE', '').catch(() => {});
    await rm(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }

  goto(url) { return this.#call('POST', '/url', { url }); }
  run(script, ...args) { return this.#call('POST', '/execute/sync', { script, args }); }
  cdp(cmd, params = {}) { return this.#call('POST', '/goog/cdp/execute', { cmd, params }); }
  size(width, height, mobile = width < 700) { return this.cdp('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: mobile ? 2 : 1, mobile }); }
  theme(value) { return this.cdp('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value }] }); }
  consoleLines() { return this.#call('POST', '/se/log', { type: 'browser' }); }

  async screenshot(file) {
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, Buffer.from(await this.#call('GET', '/screenshot'), 'base64'));
  }

  /** The visible elements that match, in order: {element, text}. */
  async all(css, text = '') {
    const found = await this.run(`
      const [css, text] = arguments;
      const shown = (el) => { const box = el.getBoundingClientRect(); return box.width > 0 && box.height > 0 && getComputedStyle(el).visibility !== 'hidden'; };
      return [...document.querySelectorAll(css)].filter((el) => el.textContent.includes(text) && shown(el)).map((el) => [el, el.textContent]);`, css, text);
    return found.map(([element, said]) => ({ id: element[ELEMENT], text: said }));
  }

  /** Waits until such an element is visible and answers the last one. */
  see(css, text = '') { return until(`${css} with “${text}”`, async () => (await this.all(css, text)).at(-1)); }
  gone(css, text = '') { return until(`${css} with “${text}” to go`, async () => (await this.all(css, text)).length === 0); }

  /** Clicks, again if the page was just being redrawn. */
  click(css, text = '') {
    return until(`to click ${css} with “${text}”`, async () => {
      const { id } = (await this.all(css, text)).at(-1);
      await this.#call('POST', `/element/${id}/click`, {});
      return true;
    });
  }

  async hover(css, text = '') {
    await until(`to point at ${css} with “${text}”`, async () => {
      const { id } = (await this.all(css, text)).at(-1);
      await this.#call('POST', '/actions', { actions: [{ type: 'pointer', id: 'mouse', actions: [{ type: 'pointerMove', duration: 0, origin: { [ELEMENT]: id }, x: 0, y: 0 }] }] });
      return true;
    });
  }

  /** Types into a field, in place of what it held. */
  async fill(css, text) {
    const { id } = await this.see(css);
    await this.#call('POST', `/element/${id}/clear`, {});
    await this.#call('POST', `/element/${id}/value`, { text });
  }

  /** Types where the focus is: characters, or keys by name (`['Control', 'k']` together). */
  async press(...keys) {
    const actions = keys.flatMap((key) => {
      const chord = (Array.isArray(key) ? key : [key]).map((one) => KEYS[one] ?? one);
      return [...chord.map((value) => ({ type: 'keyDown', value })), ...chord.toReversed().map((value) => ({ type: 'keyUp', value }))];
    });
    await this.#call('POST', '/actions', { actions: [{ type: 'key', id: 'keyboard', actions }] });
  }

  write(text) { return this.press(...text); }
  focused() { return this.run('const el = document.activeElement; return { tag: el.tagName, label: el.getAttribute("aria-label") ?? "", classes: el.className, text: el.textContent.slice(0, 80), name: el.name ?? "" };'); }

  /** Presses Tab (or Shift and Tab) until the focus is where `test` says. */
  async tabTo(what, test, { back = false, most = 40 } = {}) {
    for (let count = 0; count <= most; count += 1) {
      const at = await this.focused();
      if (test(at)) return at;
      await this.press(back ? ['Shift', 'Tab'] : 'Tab');
    }
    throw new Error(`${what} cannot be reached with Tab; the focus is on ${JSON.stringify(await this.focused())}`);
  }
}
