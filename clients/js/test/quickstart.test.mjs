/** What docs/QUICKSTART.md, README.md and docs/PROTOCOL.md show is run as it stands, with the address of a test's server in place of the default. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { until } from '../../../tests/browser/webdriver.mjs';
import { PACKAGE, person, serve } from './server.mjs';

const ROOT = path.resolve(PACKAGE, '../..');
let server;
const children = new Set();

before(async () => { server = await serve(); });
after(async () => {
  for (const run of children) run.kill();
  await server?.end();
});

/** The code blocks of a language below a heading, for the test's server. */
async function blocks(file, heading, language) {
  const section = (await readFile(path.join(ROOT, file), 'utf8')).split(`\n${heading}\n`)[1].split(/\n## /)[0];
  const found = [...section.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, 'g'))].map((match) => match[1]);
  assert.ok(found.length, `${file}: no ${language} below ${heading}`);
  for (const block of found) assert.doesNotMatch(block, /\/\/localhost/);
  return found.map((block) => block.replaceAll('http://127.0.0.1:8080', server.origin));
}

/** Runs a script with the package's tools on the path and an input that stays open, as in a terminal. */
function bash(script, cwd = server.folder) {
  const child = spawn('bash', ['-c', script], { cwd, detached: true, env: { ...process.env, PATH: `${path.join(PACKAGE, 'node_modules/.bin')}:${process.env.PATH}` }, stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { said += chunk; });
  const run = {
    ended: new Promise((resolve) => { child.on('close', (code) => { children.delete(run); resolve({ code, said }); }); }),
    kill() { try { process.kill(-child.pid, 'SIGKILL'); } catch { /* gone */ } },
    out: () => said,
  };
  children.add(run);
  return run;
}

/** Runs a script whose last command is the WebSocket tool, until the frames that came are those wanted. Answers what was said. */
async function talk(script, wanted) {
  assert.match(script, /--wait 2/);
  const run = bash(script.replaceAll('--wait 2', '--wait -1')); // so that a slow machine is waited for
  let over = false;
  run.ended.then(() => { over = true; });
  try {
    await until('the frames', () => over || wanted(frames(run.out())));
    assert.ok(wanted(frames(run.out())), run.out());
    return run.out();
  } finally {
    run.kill();
    await run.ended;
  }
}

const types = (all) => all.map(({ type }) => type);
const parsed = (line) => { try { return JSON.parse(line); } catch { return null; } }; // half a line has come
const frames = (said) => said.split('\n').filter((line) => line.startsWith('{')).map(parsed).filter(Boolean);

test('quick start: ten lines with a WebSocket tool', async () => {
  const [script] = await blocks('docs/QUICKSTART.md', '## Ten lines with a WebSocket tool', 'sh');
  assert.ok(script.trim().split('\n').length <= 10);
  for (let time = 0; time < 2; time += 1) {
    const got = frames(await talk(script, (all) => all.some(({ body }) => body === 'hello')));
    assert.deepEqual([got[0].type, got.find(({ type }) => type === 'ack')?.duplicate, got.at(-1).body], ['welcome', false, 'hello']);
  }
});

test('quick start: the script stops at the first error', async () => {
  const [script] = await blocks('docs/QUICKSTART.md', '## Ten lines with a WebSocket tool', 'sh');
  const { code, said } = await bash(script.replaceAll('/v1/accounts/guest', '/v1/nowhere')).ended;
  assert.notEqual(code, 0);
  assert.match(said, /404/);
  assert.deepEqual(frames(said), []);
});

test('quick start: fifteen lines of a bot', async () => {
  const [get] = await blocks('docs/QUICKSTART.md', '## Fifteen lines of a bot', 'sh');
  const [bot] = await blocks('docs/QUICKSTART.md', '## Fifteen lines of a bot', 'js');
  assert.ok(bot.trim().split('\n').length <= 15);
  assert.equal((await bash(get).ended).code, 0);
  // The file is run where the package's ws is found; the client is the one that the server gave.
  const file = path.join(PACKAGE, 'test', `.quickstart-${process.pid}.mjs`);
  await writeFile(file, bot.replace('./tidings.js', path.join(server.folder, 'tidings.js')));
  const cleo = await person(server, 'cleo');
  try {
    const run = () => bash(`exec ${process.execPath} ${file}`);
    let running = run();
    await until('the bot to be up', () => running.out().includes('!ping'));
    const [{ id }] = await cleo.usersByPrefix('pingbot');
    const pongs = [];
    cleo.on('event', ({ body }) => body === 'pong' && pongs.push(body));
    const ping = async () => (await cleo.send({ to: id, body: '!ping' }).committed).conversation;
    const conversation = await ping();
    await until('an answer', () => pongs.length === 1);
    running.kill();
    await running.ended;
    running = run();
    await ping();
    await until('the second answer', () => pongs.length === 2);
    const { messages } = await cleo.history(conversation, { limit: 50 });
    assert.equal(messages.filter(({ body }) => body === 'pong').length, 2, 'the first was not answered again');
    running.kill();
    await running.ended;
  } finally {
    await cleo.close();
    await (await import('node:fs/promises')).rm(file);
  }
});

test('README: the tour can be repeated, and its frames are answered', async () => {
  const tour = await blocks('README.md', '## A tour with curl', 'sh');
  for (let time = 0; time < 2; time += 1) {
    const script = tour.join('\n').replaceAll(/^npm install.*$/gm, '');
    const got = frames(await talk(script, (all) => all.some(({ body }) => body === 'hello again')));
    assert.ok(got.some(({ messages }) => messages?.some(({ body }) => body === 'hello')));
  }
});

test('PROTOCOL: the first steps can be pasted', async () => {
  const steps = await blocks('docs/PROTOCOL.md', '## First steps', 'sh');
  const wanted = ['welcome', 'ack', 'event', 'pong', 'events', 'synced'];
  await talk(steps.join('\n'), (all) => wanted.every((type) => types(all).includes(type)));
});
