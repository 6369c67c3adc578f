/** A real server for the tests of the package, on a free port and a data folder of its own. */

import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { start, stop } from '../../../tests/browser/webdriver.mjs';
import { TidingsClient } from '../tidings.js';

export const PACKAGE = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** Starts a server; `settings` are arguments for it. Answers {origin, folder, end}. */
export async function serve(settings = []) {
  const bin = process.env.TIDINGS_BIN;
  if (!bin || !existsSync(bin)) throw new Error('Set TIDINGS_BIN to the server binary: cargo build, then TIDINGS_BIN=target/debug/tidings');
  const folder = await mkdtemp(path.join(tmpdir(), 'tidings-js-'));
  const { child, line } = await start(bin, ['serve', '--data-dir', path.join(folder, 'data'), '--listen', '127.0.0.1:0', ...settings], /http:\/\/127\.0\.0\.1:(\d+)/, { env: { ...process.env, NO_COLOR: '1', TIDINGS__SERVER__LOOPBACK_EXEMPT: 'true', TIDINGS__CONVERSATIONS__DEFAULT: '', TIDINGS__PRIVACY__GROUPS: 'everyone', TIDINGS__SERVER__DIRECTORY: 'open', TIDINGS__PRIVACY__STRANGER_MESSAGES: '1000000' } });
  return {
    origin: `http://127.0.0.1:${line[1]}`,
    folder,
    async end() {
      await stop(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A client that is signed up and connected. Close it. */
export async function person(server, username) {
  const WebSocket = globalThis.WebSocket ?? (await import('ws')).WebSocket;
  const client = new TidingsClient({ origin: server.origin, WebSocket });
  await client.signUp({ username, password: 'correct horse' });
  client.connect();
  return client;
}
