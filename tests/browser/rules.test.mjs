/** What forms and searches know of the server: `node --test tests/browser/rules.test.mjs`. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findPeople } from '../../web/ui/people.js';
import { Server, nameRule, passwordRule, topicRule, usernameRule } from '../../web/ui/server.js';
import { Store } from '../../web/ui/store.js';
import { World, event, head } from './world.mjs';

test('the server is believed; where it cannot be asked the usual rules hold', async () => {
  const answers = [{ ok: true, json: async () => ({ name: 'Club', sign_ups: 'closed', password: { min_bytes: 12, max_bytes: 64 } }) }, { ok: false }];
  const server = new Server(async () => answers.shift() ?? Promise.reject(new TypeError('no network')));
  assert.equal(server.info.sign_ups, 'open');
  const [one, two] = await Promise.all([server.read(), server.read()]);
  assert.equal(one, two, 'asked once');
  assert.deepEqual([one.name, one.sign_ups, one.password.min_bytes, one.display_name.max_chars], ['Club', 'closed', 12, 64]);
  assert.equal((await server.read()).name, 'Club', 'what is known stays when the server refuses');
  assert.equal((await server.read()).name, 'Club', 'or is away');
});

test('rules say what is wrong before the server has to', () => {
  const { info } = new Server();
  const username = usernameRule(info);
  assert.match(username.says, /^2 to 32 characters/);
  assert.deepEqual(['ada', 'ADA.l_0-', 'a', '.ada', 'no spaces', 'é'.repeat(3), 'x'.repeat(33)].map((name) => username.wrong(name) === ''), [true, true, false, false, false, false, false]);
  const password = passwordRule({ password: { min_bytes: 8, max_bytes: 10 } });
  assert.deepEqual(['1234567', '12345678', 'éééé', '12345678901'].map((text) => password.wrong(text) === ''), [false, true, true, false]);
  assert.equal(nameRule(info).wrong('👩‍👩‍👧'.repeat(12)), '');
  assert.match(nameRule(info).wrong('x'.repeat(65)), /at most 64/);
  assert.equal(topicRule(info).wrong('é'.repeat(250)), '');
  assert.match(topicRule(info).wrong('x'.repeat(251)), /at most 250/);
});

test('people: by a word of their name; after an @, and where names are not searched, by username', async () => {
  const asked = [];
  const client = (directory) => ({
    api: async (_method, at) => { asked.push(at); if (directory === 'closed') throw Object.assign(new Error('no'), { code: 'forbidden' }); return { users: ['by name'] }; },
    usersByPrefix: async (prefix) => { asked.push(prefix); if (prefix === 'é') throw Object.assign(new Error('no'), { code: 'invalid' }); return ['by username']; },
  });
  assert.deepEqual(await findPeople(client('open'), ' Zoë K '), ['by name']);
  assert.deepEqual(await findPeople(client('open'), '@Zoe'), ['by username']);
  assert.deepEqual(await findPeople(client('closed'), 'Zoe'), ['by username']);
  assert.deepEqual(await findPeople(client('closed'), 'É'), []);
  assert.deepEqual(await findPeople(client('open'), ' '), []);
  assert.deepEqual(asked.slice(0, 2), ['/v1/users?name=Zo%C3%AB%20K&limit=8', 'zoe']);
});

test('names are asked for together, once; who is not found is gone', async () => {
  const world = new World();
  world.route('GET /v1/users?ids=a,b,c', () => ({ body: { users: [{ id: 'a', display_name: 'Ada' }, { id: 'b', username: 'ben' }] } }));
  const client = await world.signedIn();
  const store = new Store(client);
  client.connect();
  await world.socket.welcome([head('g', 0)]);
  for (const [seq, sender] of [[1, 'a'], [2, 'b'], [3, 'a']]) await world.socket.push({ ...event('g', seq), sender });
  const known = new Promise((resolve) => { store.on('people', resolve); });
  assert.deepEqual(['a', 'b', 'c', 'a'].map((id) => store.name(id)), ['…', '…', '…', '…']);
  await known;
  assert.deepEqual(['a', 'b', 'c'].map((id) => store.name(id)), ['Ada', 'ben', 'deleted']);
  assert.equal(world.calls.filter(({ name }) => name.startsWith('GET /v1/users')).length, 1);
});
