/** The examples and the client in processes of their own, against a real server: `TIDINGS_BIN=… node --test clients/js/test/processes.test.mjs`. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../../tests/browser/webdriver.mjs';
import { PACKAGE, person, serve } from './server.mjs';

const KILLS = 10;
let server;
const children = new Set();
const people = new Set();

before(async () => { server = await serve(); });
after(async () => {
  for (const client of people) await client.close();
  for (const child of children) child.kill('SIGKILL');
  await server?.end();
});

async function signedUp(username) {
  const client = await person(server, username);
  people.add(client);
  return client;
}

/** Runs a script of Node.js in the package's folder; `out()` is what it said. */
function node(script, { env = {}, args = [] } = {}) {
  const child = spawn(process.execPath, [...script, ...args], { cwd: PACKAGE, env: { ...process.env, TIDINGS_URL: server.origin, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { said += chunk; });
  children.add(child);
  const ended = once(child, 'exit').then(([code, signal]) => { children.delete(child); return { code, signal, said }; });
  return { child, ended, out: () => said };
}

const evaluated = (code) => ['--input-type=module', '-e', `
  import { TidingsClient } from 'tidings';
  const WebSocket = globalThis.WebSocket ?? (await import('ws')).WebSocket;
  const client = new TidingsClient({ origin: process.env.TIDINGS_URL, WebSocket });
  ${code}`];

async function within(ms, run) {
  const timer = sleep(ms, 'late', { ref: false });
  const first = await Promise.race([run.ended, timer]);
  if (first === 'late') {
    run.child.kill('SIGKILL');
    assert.fail(`still running after ${ms} ms: ${run.out()}`);
  }
  return first;
}

test('a bot that is killed ten times answers every message exactly once', { timeout: 120_000 }, async () => {
  const ada = await signedUp('ada');
  const room = await ada.createConversation({ kind: 'group', name: 'Bots' });
  const env = { BOT_NAME: 'pingbot', BOT_PASSWORD: 'correct horse', BOT_FILE: path.join(server.folder, 'pingbot.json') };
  const bot_starts = () => node(['examples/ping-bot.mjs'], { env });

  const answers = new Map();
  ada.on('event', ({ kind, body, reply_to }) => { if (kind === 'message' && body === 'pong') answers.set(reply_to, (answers.get(reply_to) ?? 0) + 1); });
  let bot = bot_starts();
  await until('the bot to be online', () => bot.out().includes('online'));
  const [{ id }] = await ada.usersByPrefix('pingbot');
  await ada.addMember(room.id, id);

  const pings = [];
  let asking = true;
  const asked = (async () => {
    while (asking && ada.state.state !== 'closed') {
      pings.push((await ada.send({ conversation: room.id, body: '!ping' }).committed).seq);
      await sleep(70); // below what a user may send for long
    }
  })();
  for (let kill = 0; kill < KILLS; kill += 1) {
    const before = answers.size;
    await until('the bot to answer', () => answers.size > before || bot.child.exitCode !== null);
    await sleep(Math.random() * 150);
    assert.equal(bot.child.exitCode, null, bot.out());
    bot.child.kill('SIGKILL');
    assert.equal((await bot.ended).signal, 'SIGKILL');
    bot = bot_starts();
  }
  asking = false;
  await asked;
  await until('every message to be answered', () => pings.every((seq) => answers.has(seq)));
  // What would be answered twice would be by the bot's next start: give it one.
  bot.child.kill('SIGKILL');
  await bot.ended;
  bot = bot_starts();
  const last = (await ada.send({ conversation: room.id, body: '!ping' }).committed).seq;
  await until('the last one to be answered', () => answers.has(last));
  const counts = [...answers.values()];
  assert.deepEqual([counts.length, Math.max(...counts)], [pings.length + 1, 1]);
  assert.ok(pings.length >= 2 * KILLS, `only ${pings.length} messages in between`);

  const { messages } = await ada.history(room.id, { limit: 100 });
  const stored = messages.filter(({ body }) => body === 'pong').map(({ reply_to }) => reply_to);
  assert.equal(new Set(stored).size, stored.length, 'nor does the log hold one twice');
  assert.equal((await stat(env.BOT_FILE)).mode & 0o777, 0o600, 'the file has the refresh token: only its owner reads it');
  bot.child.kill('SIGTERM');
  assert.equal((await within(5_000, bot)).code, 0, 'and asked to end, it ends');
});

test('the example that says one line ends when the line is in the log', async () => {
  const ben = await signedUp('ben');
  const room = await ben.createConversation({ kind: 'channel', name: 'Square' });
  const said = await within(10_000, node(['examples/say.mjs'], { args: [room.id, 'hello from a script'] }));
  assert.equal(said.code, 0, said.said);
  const [seq] = said.said.match(/\d+/);
  const { messages } = await ben.history(room.id, { limit: 10 });
  assert.equal(messages.find((message) => message.seq === Number(seq)).body, 'hello from a script');
});

test('close lets the process exit: connected, connecting, and waiting for the next attempt', async () => {
  const connected = `await client.guest(); client.connect();
    await new Promise((resolve) => client.on('state', ({ state }) => state === 'online' && resolve()));
    client.typing('nowhere'); await client.close(); console.log('closed');`;
  const connecting = "await client.guest(); client.connect(); await client.close(); console.log('closed');";
  const waiting = `await client.guest();
    const away = new TidingsClient({ origin: 'http://127.0.0.1:9', WebSocket, storage: { getItem: () => JSON.stringify({ user: { id: 'me' }, access_token: 'a', expires_at_ms: Date.now() + 1e6 }), setItem() {}, removeItem() {}, length: 0, key: () => null } });
    const failed = new Promise((resolve) => away.on('error', resolve));
    away.connect(); const { cause, code } = await failed; await new Promise((resolve) => setTimeout(resolve, 20));
    console.log(code, away.state.state, cause !== undefined); await away.close(); await client.close(); console.log('closed');`;
  for (const [code, told] of [[connected, /closed/], [connecting, /closed/], [waiting, /unavailable (waiting|connecting) true\nclosed/]]) {
    const { code: status, said } = await within(5_000, node(evaluated(code)));
    assert.deepEqual([status, told.test(said)], [0, true], said);
  }
});

test('a process lives while its client waits to connect again', async () => {
  const run = node(evaluated(`await client.guest(); client.connect();
    client.on('state', ({ state }) => console.log(state)); setTimeout(() => client.disconnect(), 1_000);`));
  const { code, said } = await within(5_000, run);
  assert.deepEqual([code, /online/.test(said)], [0, true], said);
  const away = node(evaluated("await client.guest(); client.on('error', () => {}); client.on('state', ({ state }) => console.log(state)); client.connect();"), { env: { TIDINGS_URL: server.origin } });
  await until('it to be online', () => away.out().includes('online'));
  assert.equal(away.child.exitCode, null);
});
