/** Nothing fails in silence: what a call cannot answer is an `error` event, and no listener stops the client. */

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { TidingsClient, TidingsError } from '../tidings.js';
import { World, event, head, settle } from '../../../tests/browser/world.mjs';

async function online(world, heads = [], options = {}) {
  const client = await world.signedIn(options);
  client.connect();
  await world.socket.welcome(heads);
  return client;
}

function errors(client) {
  const seen = [];
  client.on('error', (error) => seen.push(error));
  return seen;
}

test('the origin is taken with a slash, as ws or wss, and with a path', async () => {
  for (const [given, url] of [['http://tidings.test/', 'ws://tidings.test/v1/ws'], ['wss://tidings.test', 'wss://tidings.test/v1/ws'], ['https://host.test:8443/chat//', 'wss://host.test:8443/chat/v1/ws']]) {
    const world = new World();
    const client = world.client({ origin: given, fetch: async (to) => { assert.ok(to.startsWith(url.replace('ws', 'http').replace('/v1/ws', '/v1/tokens'))); return { ok: true, text: async () => JSON.stringify({ user: { id: 'me' }, access_token: 'a', refresh_token: 'r', expires_in: 900 }) }; } });
    await client.signIn({ username: 'me', password: 'secret' });
    client.connect();
    assert.equal(world.socket.url, url);
  }
});

test('an origin that is none is refused at once, with the reason', () => {
  for (const origin of ['localhost:8080', 'chat.example', 'ftp://chat.example', 'http://chat.example/?a', 'null', undefined]) {
    assert.throws(() => new TidingsClient({ origin }), (error) => error instanceof TidingsError && error.code === 'bad_origin' && error.message.includes('https://chat.example'), String(origin));
  }
  assert.throws(() => new TidingsClient({ origin: 'chat.example' }), (error) => error.cause instanceof TypeError);
});

test('without a WebSocket, connecting says what to install', async () => {
  const world = new World();
  const client = await world.signedIn({ WebSocket: undefined });
  const [had, own] = ['WebSocket' in globalThis, globalThis.WebSocket];
  delete globalThis.WebSocket;
  try {
    const bare = new TidingsClient({ origin: 'http://tidings.test', storage: world.storage });
    assert.throws(() => bare.connect(), { code: 'no_websocket', message: /npm install ws/ });
    await bare.close();
  } finally {
    if (had) globalThis.WebSocket = own;
  }
  await client.close();
});

test('a call that reaches nobody has the cause; an answer of another kind of server is no success', async () => {
  const world = new World();
  const refused = new TypeError('fetch failed', { cause: new Error('ECONNREFUSED') });
  const nobody = world.client({ fetch: async () => { throw refused; } });
  await assert.rejects(nobody.signIn({ username: 'me', password: 'x' }), (error) => error.code === 'unavailable' && error.cause === refused && error.message.includes('http://tidings.test'));
  const page = (status) => world.client({ fetch: async () => ({ ok: status < 400, status, text: async () => '<html>' }) });
  await assert.rejects(page(200).signIn({ username: 'me', password: 'x' }), { code: 'unavailable', retryable: false, message: /not in the words of a Tidings server/ });
  await assert.rejects(page(404).signIn({ username: 'me', password: 'x' }), { code: 'unavailable', retryable: false, definite: true, status: 404 });
});

test('calls that need a sign-in say so', async () => {
  const client = new World().client();
  assert.throws(() => client.connect(), { code: 'unauthenticated' });
  assert.throws(() => client.send({ to: 'you', body: 'hi' }), { code: 'unauthenticated' });
  await assert.rejects(client.api('GET', '/v1/me'), { code: 'unauthenticated' });
});

test('a connection that fails is told once with its cause, and again after it had stood', async () => {
  const world = new World();
  const client = await world.signedIn();
  const seen = errors(client);
  client.connect();
  const fail = async () => {
    world.socket.onerror({ error: new Error('Unexpected server response: 404') });
    await world.socket.lose();
  };
  await fail();
  assert.deepEqual(seen.map(({ code, cause }) => [code, cause.message]), [['unavailable', 'Unexpected server response: 404']]);
  await world.advance(5_000);
  await fail();
  assert.equal(seen.length, 1, 'the state says when it is tried again');
  await world.advance(5_000);
  await world.socket.welcome();
  await world.socket.lose();
  await world.advance(5_000);
  await fail();
  assert.equal(seen.length, 2);
});

test('a WebSocket that cannot be made is told, and tried again', async () => {
  const world = new World();
  const client = await world.signedIn({ WebSocket: class { constructor() { throw new SyntaxError('no such protocol'); } } });
  const seen = errors(client);
  client.connect();
  await settle();
  assert.equal(seen[0].cause.message, 'no such protocol');
  assert.equal(client.state.state, 'waiting');
});

test('what ends the connection for good is told', async () => {
  const world = new World();
  const client = await online(world);
  const seen = errors(client);
  await world.socket.lose(4403);
  assert.deepEqual(seen.map(({ code }) => code), ['stopped']);
});

test('a suspended account keeps its sign-in, and the state says why it is out', async () => {
  const world = new World();
  const client = await online(world);
  const suspended = { type: 'error', code: 'suspended', message: 'this account is suspended: spam', retryable: false, definite: true, retry_after_ms: 60_000 };
  await world.socket.push(suspended);
  await world.socket.lose(4403);
  assert.deepEqual(client.state, { state: 'stopped', code: 4403, reason: suspended.message });
  assert.ok(client.user, 'it is still signed in');
});

test('a refresh that a suspension refuses ends the attempts and keeps the sign-in', async () => {
  const world = new World();
  const client = await online(world);
  world.route('POST /v1/tokens/refresh', () => ({ status: 403, body: { code: 'suspended', detail: 'this account is suspended', retryable: false, definite: true, retry_after_ms: 1e14 } }));
  await world.socket.lose(4401);
  assert.deepEqual(client.state, { state: 'stopped', code: 4403, reason: 'this account is suspended' });
  assert.ok(client.user);
  const before = world.sockets.length;
  await world.advance(3_600_000);
  assert.equal(world.sockets.length, before, 'it does not connect by itself');
});

test('bytes that are no frame cost the connection, not the client', async () => {
  const world = new World();
  const client = await online(world);
  world.socket.onmessage({ data: '<html>' });
  await settle();
  assert.equal(client.state.state, 'waiting');
});

test('a listener that throws or fails later stops nobody, and is reported', async () => {
  const world = new World();
  const client = await online(world, [head('a', 0)]);
  const seen = errors(client);
  const got = [];
  client.on('event', () => { throw new RangeError('mine'); });
  client.on('event', async () => { throw new RangeError('mine, later'); });
  client.on('event', ({ seq }) => got.push(seq));
  const { client_id } = client.send({ conversation: 'a', body: 'hi' });
  await world.socket.push(event('a', 1), event('a', 2, { sender: 'me', client_id }));
  await settle();
  assert.deepEqual(got, [1, 2]);
  assert.deepEqual(client.outbox, [], 'what came after the listener was done too');
  assert.deepEqual(seen.map(({ code, cause }) => [code, cause.message]).sort(), [['listener', 'mine'], ['listener', 'mine'], ['listener', 'mine, later'], ['listener', 'mine, later']]);
});

test('without a listener for errors, and when that one throws, the console is told', async () => {
  const world = new World();
  const client = await online(world, [], { console: true });
  const told = mock.method(console, 'error', () => {});
  try {
    client.on('typing', () => { throw new Error('first'); });
    await world.socket.push({ type: 'typing', conversation: 'a', user: 'b', on: true });
    assert.equal(told.mock.calls[0].arguments[0].cause.message, 'first');
    client.on('error', () => { throw new Error('second'); });
    await world.socket.push({ type: 'typing', conversation: 'a', user: 'b', on: true });
    assert.equal(told.mock.calls[1].arguments[0].message, 'second');
  } finally {
    told.mock.restore();
  }
});

test('close leaves no timer, connection or call, and says so to all who wait', async () => {
  const world = new World();
  let give_up;
  world.route('GET /v1/me', () => new Promise((_, reject) => { give_up = reject; }));
  const client = await online(world, [head('a', 0)]);
  client.typing('a');
  const { committed } = client.send({ conversation: 'a', body: 'unsent' });
  const edited = client.edit('a', 1, 'x');
  const called = client.api('GET', '/v1/me');
  await settle();
  await client.close();
  await client.close();
  give_up(new Error('aborted'));
  assert.deepEqual(world.timers, []);
  assert.equal(world.socket.closed_with, 1000);
  assert.equal(client.state.state, 'closed');
  await assert.rejects(committed, { code: 'closed' });
  await assert.rejects(edited, { code: 'offline' });
  await assert.rejects(called, { code: 'closed' });
  await assert.rejects(client.api('GET', '/v1/me'), { code: 'closed' });
  for (const call of [() => client.connect(), () => client.send({ conversation: 'a', body: 'x' })]) assert.throws(call, { code: 'closed' });
  await settle();
  assert.deepEqual(world.timers, []);
  assert.deepEqual(world.client().outbox.map(({ body }) => body), ['unsent'], 'it is kept for next time');
});

test('an error that no close follows ends the attempt too', async () => {
  const world = new World();
  const client = await world.signedIn();
  const seen = errors(client);
  client.connect();
  world.socket.onerror({ message: 'bad port' });
  await world.advance(1_000);
  assert.deepEqual([client.state.state, seen[0].cause], ['waiting', 'bad port']);
});
