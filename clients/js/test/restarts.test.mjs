/** What a bot needs to answer once over restarts: keys made from events, kept positions, what is live, storages with promises. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { clientId, memoryStorage } from '../tidings.js';
import { World, event, head, message, settle } from '../../../tests/browser/world.mjs';

async function online(world, heads = [], options = {}) {
  const client = await world.signedIn(options);
  client.connect();
  await world.socket.welcome(heads);
  return client;
}

/** Answers the open sync with all that it asks for. */
async function answerSync(socket) {
  const { id, ranges } = socket.last('sync');
  for (const { conversation, after, limit } of ranges) await socket.push({ type: 'events', id, conversation, events: Array.from({ length: limit }, (_, index) => message(after + 1 + index)) });
  await socket.push({ type: 'synced', id, more: false });
}

/** The storage of a client, answering later. */
function slowStorage(items = memoryStorage()) {
  const later = () => new Promise((resolve) => { setImmediate(resolve); });
  const log = [];
  return {
    items, log,
    keys: async () => Array.from({ length: items.length }, (_, index) => items.key(index)),
    getItem: async (key) => { await later(); return items.getItem(key); },
    setItem: async (key, value) => { await later(); log.push(key); items.setItem(key, value); },
    removeItem: async (key) => { await later(); items.removeItem(key); },
  };
}

test('clientId is a UUID of version 5, the same for the same three and no others', () => {
  const name_space = Buffer.from('6e1f0a522c554c0c9d2e3b6b8f7a41d7', 'hex');
  for (let length = 0; length < 200; length += 1) {
    const [conversation, seq, purpose] = ['g_1', 1 + length ** 5, 'é'.repeat(length)];
    const sum = createHash('sha1').update(name_space).update(JSON.stringify([conversation, seq, purpose])).digest().subarray(0, 16);
    sum[6] = (sum[6] & 0x0f) | 0x50;
    sum[8] = (sum[8] & 0x3f) | 0x80;
    assert.equal(clientId(conversation, seq, purpose).replaceAll('-', ''), sum.toString('hex'));
  }
  assert.match(clientId('c', 1, 'pong'), /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const all = [['a', 1, 'x'], ['a', 1, 'y'], ['a', 2, 'x'], ['b', 1, 'x'], ['a"', 1, 'x'], ['a', 11, '']].map((three) => clientId(...three));
  assert.equal(new Set(all).size, all.length);
  for (const wrong of [[1, 1, 'x'], ['a', '1', 'x'], ['a', 1.5, 'x'], ['a', 1]]) assert.throws(() => clientId(...wrong), TypeError);
});

test('live is false for what happened before this connection stood, and for nothing else', async () => {
  const world = new World();
  await online(world, [head('a', 2)]);
  await answerSync(world.socket);
  await world.socket.push(event('a', 3), event('a', 6));
  await answerSync(world.socket); // the hole, 4 and 5, opened while connected
  await world.socket.lose();
  await world.advance(500);
  await world.socket.welcome([head('a', 8)]);
  await answerSync(world.socket);
  await world.socket.push(event('a', 9));
  const live = world.all('event').map(({ seq, live }) => [seq, live]);
  assert.deepEqual(live, [[1, false], [2, false], [3, true], [4, true], [5, true], [6, true], [7, false], [8, false], [9, true]]);
});

test('send takes a client_id, and the same one again is the same message', async () => {
  const world = new World();
  const client = await online(world, [head('a', 0)]);
  const client_id = clientId('a', 1, 'pong');
  const entry = client.send({ conversation: 'a', body: 'pong', client_id });
  assert.equal(client.send({ conversation: 'a', body: 'pong', client_id }), entry);
  assert.deepEqual(world.socket.frames('send').map((frame) => frame.client_id), [client_id]);
  await world.socket.push({ type: 'ack', id: world.socket.last('send').id, conversation: 'a', seq: 1, duplicate: true });
  assert.equal((await entry.committed).duplicate, true);
});

test('a client_id that was given is never replaced, and a refusal reaches who waits', async () => {
  const world = new World();
  const client = await online(world, [head('a', 0)]);
  const entry = client.send({ conversation: 'a', body: 'pong', client_id: clientId('a', 1, 'pong') });
  await world.socket.push({ type: 'error', id: world.socket.last('send').id, code: 'conflict', message: 'taken', retryable: false, definite: true });
  await assert.rejects(entry.committed, { code: 'conflict' });
  client.retry(entry.client_id);
  assert.equal(world.socket.last('send').client_id, clientId('a', 1, 'pong'));
  client.discard(entry.client_id);
  await assert.rejects(entry.committed, { code: 'discarded' });
});

test('keep_positions: begins again at the first event whose listener was not done', async () => {
  const world = new World();
  const done = new Map();
  const client = await online(world, [head('a', 0), head('b', 4)], { keep_positions: true });
  client.on('event', ({ conversation, seq }) => conversation === 'a' && new Promise((resolve) => { done.set(seq, resolve); }));
  await answerSync(world.socket);
  await world.socket.push(event('a', 1), event('a', 2), event('a', 3));
  done.get(1)();
  done.get(3)();
  await settle();
  await world.advance(1_000);
  // The process is killed here: nothing is told to the client.
  const next = new World({ storage: world.storage });
  const again = next.client({ keep_positions: true });
  again.connect();
  await next.socket.welcome([head('a', 3), head('b', 200), head('c', 90)]);
  assert.deepEqual(next.socket.last('sync').ranges, [{ conversation: 'a', after: 1, limit: 2 }, { conversation: 'b', after: 4, limit: 196 }, { conversation: 'c', after: 70, limit: 20 }]);
});

test('keep_positions: a listener that fails has had its turn, and signing out forgets', async () => {
  const world = new World();
  world.route('DELETE /v1/tokens', () => ({ status: 204 }));
  const client = await online(world, [head('a', 0)], { keep_positions: true });
  client.on('event', async () => { throw new Error('mine'); });
  client.on('error', () => {});
  await world.socket.push(event('a', 1));
  await world.advance(1_000);
  assert.equal(world.storage.getItem('tidings.positions.me'), '{"a":1}');
  await client.signOut();
  assert.equal(world.storage.length, 0);
});

test('a resumed conversation that no head named is looked up when something happens in it', async () => {
  const world = new World();
  world.route('GET /v1/conversations/a', () => ({ body: head('a', 8) }));
  await online(world, [], { resume: { cursor: 'kept', positions: { a: 7 } } });
  await world.socket.push(event('a', 8));
  await settle();
  assert.deepEqual(world.seqs('a'), [8]);
});

test('a storage with promises: session, unsent messages and positions come back', async () => {
  const storage = slowStorage();
  const world = new World({ storage });
  const client = await online(world, [head('a', 5)], { keep_positions: true });
  await answerSync(world.socket);
  await world.socket.lose();
  client.send({ conversation: 'a', body: 'unsent' });
  await world.advance(1_000);
  await client.close();
  const next = new World({ storage });
  const again = next.client({ keep_positions: true });
  assert.equal(again.state.state, 'loading');
  assert.throws(() => again.send({ conversation: 'a', body: 'too early' }), /ready/);
  again.connect(); // waits by itself
  await again.ready;
  assert.deepEqual([again.user.id, again.outbox.map(({ body }) => body)], ['me', ['unsent']]);
  await settle();
  await next.socket.welcome([head('a', 6)]);
  assert.equal(next.socket.last('send').body, 'unsent');
  assert.deepEqual(next.socket.last('sync').ranges, [{ conversation: 'a', after: 5, limit: 1 }]);
});

test('a storage with promises is given one write at a time, and of each key the newest', async () => {
  const storage = slowStorage();
  const world = new World({ storage });
  const client = await online(world, [head('a', 0)]);
  await settle();
  let [open, most] = [0, 0];
  for (const name of ['setItem', 'removeItem']) {
    const write = storage[name];
    storage[name] = async (...given) => {
      most = Math.max(most, ++open);
      await write(...given);
      open -= 1;
    };
  }
  const refuse = () => world.socket.onmessage({ data: JSON.stringify({ type: 'error', id: world.socket.last('send').id, code: 'blocked', message: 'no', retryable: false, definite: true }) });
  storage.log.length = 0;
  const entry = client.send({ conversation: 'a', body: 'hi' });
  for (let again = 0; again < 20; again += 1) {
    refuse();
    await null; // the refusal is known, and the first write is not done
    await null;
    client.retry(entry.client_id);
  }
  refuse();
  await settle();
  await client.close();
  assert.equal(most, 1);
  assert.ok(storage.log.length < 10, `${storage.log.length} writes for 41 changes`);
  assert.equal(JSON.parse(storage.items.getItem(`tidings.outbox.me.${entry.client_id}`)).state, 'failed');
});

test('a storage that refuses is told, and costs surviving a reload, not the message', async () => {
  for (const slow of [false, true]) {
    const items = memoryStorage();
    const storage = slow ? slowStorage(items) : items;
    const world = new World({ storage });
    const client = await online(world, [head('a', 0)]);
    await settle();
    const seen = [];
    client.on('error', (error) => seen.push(error));
    storage.setItem = slow ? async () => { throw new Error('full'); } : () => { throw new Error('full'); };
    const entry = client.send({ conversation: 'a', body: 'hi' });
    await settle();
    assert.deepEqual([entry.volatile, seen[0].code, seen[0].cause.message], [true, 'storage', 'full']);
    assert.equal(world.socket.last('send').body, 'hi');
  }
});

test('a storage that cannot be read: ready says so, and nobody is signed in over it', async () => {
  const storage = { ...slowStorage(), getItem: async () => { throw new Error('broken'); } };
  const client = new World({ storage }).client();
  const seen = [];
  client.on('error', (error) => seen.push(error.cause.message));
  await assert.rejects(client.ready, { code: 'storage' });
  await assert.rejects(client.api('GET', '/v1/me'), { code: 'storage' });
  assert.deepEqual(seen, ['broken']);
});
