/** The client's protocol code against a scripted server: `node --test tests/browser/sdk.test.mjs`. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World, event, head, message, settle, tokens } from './world.mjs';

/** Answers the open `sync` with messages for each range it asks for. */
async function answerSync(socket, { more = false, upto = Infinity } = {}) {
  const { id, ranges } = socket.last('sync');
  for (const { conversation, after, limit } of ranges) {
    const count = Math.min(limit, upto - after);
    const events = Array.from({ length: Math.max(0, count) }, (_, index) => message(after + 1 + index));
    await socket.push({ type: 'events', id, conversation, events });
  }
  await socket.push({ type: 'synced', id, more });
}

async function online(world, heads = [], options = {}) {
  const client = await world.signedIn(options);
  client.connect();
  await world.socket.welcome(heads);
  return client;
}

test('hello bears the token, and the first welcome syncs exactly the recent tail', async () => {
  const world = new World();
  await online(world, [head('a', 100), head('b', 3), head('new', 40, { first_seq: 38 })], { initial_events: 10 });
  assert.equal(world.socket.url, 'ws://tidings.test/v1/ws');
  assert.deepEqual(world.socket.sent[0], { type: 'hello', token: 'access-1', device: 'web' });
  assert.deepEqual(world.socket.last('sync').ranges, [
    { conversation: 'a', after: 90, limit: 10 },
    { conversation: 'b', after: 0, limit: 3 },
    { conversation: 'new', after: 37, limit: 3 },
  ]);
  await answerSync(world.socket);
  assert.deepEqual(world.seqs('b'), [1, 2, 3]);
  assert.equal(world.socket.frames('sync').length, 1);
});

test('resume: the cursor goes with hello, and only what moved is asked for', async () => {
  const world = new World();
  const client = await online(world, [head('a', 5), head('b', 5)]);
  await answerSync(world.socket);
  await world.socket.lose();
  await world.advance(500);
  assert.equal(world.sockets.length, 2);
  await world.socket.welcome([head('a', 9, { unread: 4 })]);
  assert.equal(world.socket.sent[0].cursor, 'cursor-1');
  assert.deepEqual(world.socket.last('sync').ranges, [{ conversation: 'a', after: 5, limit: 4 }]);
  await answerSync(world.socket);
  await world.socket.push(event('a', 10));
  assert.deepEqual(world.seqs('a'), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.equal(client.conversations.get('a').unread, 5, 'the head counts to 9, the live event adds one');
  assert.deepEqual(client.positions, { a: 10, b: 5 });
});

test('resume: an application that kept its events asks for what came after them', async () => {
  const world = new World();
  await online(world, [head('a', 1_200)], { resume: { cursor: 'kept', positions: { a: 700 } } });
  assert.equal(world.socket.sent[0].cursor, 'kept');
  assert.deepEqual(world.socket.last('sync').ranges, [{ conversation: 'a', after: 700, limit: 500 }]);
});

test('resume: the cursor of a welcome with more heads counts only once they are here', async () => {
  const world = new World();
  const client = await world.signedIn();
  client.connect();
  await world.socket.welcome([head('a', 1)], { more_heads: true });
  assert.equal(client.cursor, null);
  await world.socket.push({ type: 'heads', cursor: 'late', heads: [head('b', 1)] });
  assert.equal(client.cursor, 'late');
});

test('resume: a conversation that one is no longer in goes', async () => {
  const world = new World();
  const client = await online(world, [head('a', 0), head('b', 0)]);
  const removed = [];
  client.on('removed', ({ conversation }) => removed.push(conversation));
  await world.socket.lose();
  await world.advance(500);
  await world.socket.welcome([{ conversation: 'a', kind: 'group', left: true }]);
  assert.deepEqual([[...client.conversations.keys()], removed], [['b'], ['a']]);
});

test('unread: the end of a message that was not read lowers the count once', async () => {
  const world = new World();
  const client = await online(world, [head('a', 2, { read_seq: 0, unread: 2 })]);
  await answerSync(world.socket);
  const unread = () => client.conversations.get('a').unread;
  await world.socket.push(event('a', 3));
  assert.equal(unread(), 3);
  await world.socket.push(event('a', 4, { kind: 'delete', target_seq: 2 }));
  assert.equal(unread(), 2);
  client.conversations.get('a').read_seq = 1;
  await world.socket.push(event('a', 5, { kind: 'delete', target_seq: 1 }));
  assert.equal(unread(), 2, 'it was read');
});

test('a sync cut short is asked again from the last seq received', async () => {
  const world = new World();
  await online(world, [head('a', 10)]);
  await answerSync(world.socket, { upto: 4, more: true });
  assert.deepEqual(world.socket.last('sync').ranges, [{ conversation: 'a', after: 4, limit: 6 }]);
  await answerSync(world.socket);
  assert.deepEqual(world.seqs('a'), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test('gap: live events wait while the hole is synced, and come in order', async () => {
  const world = new World();
  await online(world, [head('a', 2)]);
  await answerSync(world.socket);
  await world.socket.push(event('a', 6), event('a', 7));
  assert.deepEqual(world.seqs('a'), [1, 2]);
  assert.deepEqual(world.socket.last('sync').ranges, [{ conversation: 'a', after: 2, limit: 4 }]);
  await world.socket.push(event('a', 8));
  await answerSync(world.socket);
  assert.deepEqual(world.seqs('a'), [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.equal(world.socket.frames('sync').length, 2, 'one for the tail, one for the hole');
});

test('gap: the tail is healed by heads, also after lagging', async () => {
  const world = new World();
  await online(world, [head('a', 1)]);
  await answerSync(world.socket);
  await world.socket.push({ type: 'lagging' }, { type: 'heads', heads: [head('a', 4)] });
  await answerSync(world.socket);
  assert.deepEqual(world.seqs('a'), [1, 2, 3, 4]);
});

test('duplicates are dropped, from the stream and from sync', async () => {
  const world = new World();
  await online(world, [head('a', 2)]);
  await answerSync(world.socket);
  await world.socket.push(event('a', 2), event('a', 3), event('a', 3), event('a', 1));
  assert.deepEqual(world.seqs('a'), [1, 2, 3]);
});

test('an absence too long to replay is said, not hidden', async () => {
  const world = new World();
  await online(world, [head('a', 5)], { initial_events: 10, max_catch_up: 100 });
  await answerSync(world.socket);
  await world.socket.push({ type: 'heads', heads: [head('a', 5_000)] });
  assert.deepEqual(world.all('skipped'), [{ conversation: 'a', after: 5, upto: 4_990 }]);
  assert.deepEqual(world.socket.last('sync').ranges, [{ conversation: 'a', after: 4_990, limit: 10 }]);
});

test('another log: nothing held counts, and own messages are offered again', async () => {
  const world = new World();
  const client = await online(world, [head('a', 2), head('b', 1)]);
  await answerSync(world.socket);
  const { client_id } = client.send({ conversation: 'a', body: 'mine' });
  await settle();
  const { id } = world.socket.last('send');
  await world.socket.push({ type: 'ack', id, conversation: 'a', seq: 3, duplicate: false }, event('a', 3));
  world.seen.length = 0;
  await world.socket.push({ type: 'heads', reset: true, heads: [head('a', 2)] });
  assert.deepEqual(world.all('skipped'), [{ conversation: 'a', after: 3, upto: 0 }]);
  assert.deepEqual(world.all('removed'), [], 'more heads may come');
  await world.socket.push({ type: 'heads', cursor: 'new', heads: [] });
  assert.deepEqual(world.all('removed'), [{ conversation: 'b' }]);
  assert.equal(world.socket.last('send').client_id, client_id);
  assert.notEqual(world.socket.last('send').id, id);
  await answerSync(world.socket);
  assert.deepEqual(world.seqs('a'), [1, 2]);
  await world.socket.push(event('a', 3));
  assert.deepEqual(world.seqs('a'), [1, 2, 3], 'another event at that place');
});

test('one refused range does not starve the others', async () => {
  const world = new World();
  const client = await online(world, [head('gone', 3), head('a', 2)]);
  await world.socket.push({ type: 'error', id: world.socket.last('sync').id, code: 'not_member', message: 'no', retryable: false, definite: true });
  assert.deepEqual(world.socket.last('sync').ranges.map((range) => range.conversation), ['gone']);
  await world.socket.push({ type: 'error', id: world.socket.last('sync').id, code: 'not_member', message: 'no', retryable: false, definite: true });
  await answerSync(world.socket);
  assert.deepEqual(world.seqs('a'), [1, 2]);
  assert.equal(client.conversations.has('gone'), false);
});

test('a conversation first heard of by an event is looked up before the event is passed on', async () => {
  const world = new World();
  await online(world);
  world.route('GET /v1/conversations/n', () => ({ body: { ...head('n', 2), history: 'from_join', join: 'invite', role: 'member', member_count: 2 } }));
  await world.socket.push(event('n', 2));
  await answerSync(world.socket);
  assert.deepEqual(world.seqs('n'), [1, 2]);
});

test('outbox: an optimistic send becomes sent by its ack, and leaves the storage', async () => {
  const world = new World();
  const client = await online(world, [head('a', 0)]);
  const entry = client.send({ conversation: 'a', body: 'hi' });
  assert.equal(entry.state, 'sending');
  const { id, client_id } = world.socket.last('send');
  assert.equal(client_id, entry.client_id);
  await world.socket.push({ type: 'ack', id, conversation: 'a', seq: 1, message_id: 'm1', sent_at: 'now', duplicate: false });
  assert.deepEqual(world.all('sent').map(({ ack }) => ack.seq), [1]);
  assert.deepEqual(client.outbox, []);
  assert.equal(Object.keys([...Array(world.storage.length)].map((_, i) => world.storage.key(i)).filter((key) => key.startsWith('tidings.outbox'))).length, 0);
});

test('outbox: what was not sent survives a reload and keeps its client_id and order', async () => {
  const world = new World();
  const before = await online(world, [head('a', 0)]);
  await world.socket.lose();
  const ids = ['one', 'two', 'three'].map((body) => before.send({ conversation: 'a', body }).client_id);
  before.disconnect();

  const reloaded = new World({ storage: world.storage });
  const client = reloaded.client();
  assert.deepEqual(client.outbox.map((entry) => entry.body), ['one', 'two', 'three']);
  client.connect();
  await reloaded.socket.welcome([head('a', 0)]);
  for (const [index, client_id] of ids.entries()) {
    assert.equal(reloaded.socket.frames('send').length, index + 1, 'one at a time, or a refused one could be overtaken');
    assert.equal(reloaded.socket.last('send').client_id, client_id);
    await reloaded.socket.push({ type: 'ack', id: reloaded.socket.last('send').id, conversation: 'a', seq: index + 1, message_id: `m${index}`, sent_at: 'now', duplicate: false });
  }
  assert.deepEqual(client.outbox, []);
});

test('outbox: another user on the same device does not send it', async () => {
  const world = new World();
  const client = await world.signedIn();
  client.send({ conversation: 'a', body: 'mine' });
  world.route('POST /v1/tokens', () => ({ body: { ...tokens(9).body, user: { id: 'someone-else', display_name: 'X', guest: false } } }));
  await client.signIn({ username: 'x', password: 'secret' });
  assert.deepEqual(client.outbox, []);
});

test('outbox: a send without an ack is repeated on the next connection with the same client_id', async () => {
  const world = new World();
  const client = await online(world, [head('a', 0)]);
  const { client_id } = client.send({ conversation: 'a', body: 'hi' });
  const first = world.socket;
  await first.lose();
  await world.advance(500);
  await world.socket.welcome([head('a', 1)]);
  assert.equal(world.socket.frames('send').length, 1);
  assert.equal(world.socket.last('send').client_id, client_id);
  // The server had it after all: its event comes before the duplicate ack, and each alone would do.
  const { id } = world.socket.last('send');
  await world.socket.push(event('a', 1, { sender: 'me', client_id }));
  await world.socket.push({ type: 'ack', id, conversation: 'a', seq: 1, message_id: 'm1', sent_at: 'now', duplicate: true });
  assert.equal(world.all('sent').length, 1);
  assert.deepEqual(client.outbox, []);
  assert.deepEqual(world.seqs('a'), [1]);
});

test('an edit without an ack is repeated on the next connection under the same key', async () => {
  const world = new World();
  const client = await online(world, [head('a', 1)]);
  const edited = client.edit('a', 1, 'new');
  const { client_id } = world.socket.last('edit');
  assert.match(client_id, /^[0-9a-f-]{36}$/);
  await world.socket.lose();
  await world.advance(500);
  await world.socket.welcome([head('a', 1)]);
  const { id, ...again } = world.socket.last('edit');
  assert.equal(again.client_id, client_id);
  await world.socket.push({ type: 'ack', id, conversation: 'a', seq: 2, duplicate: true });
  assert.equal((await edited).seq, 2);
});

test('outbox: rate limits are waited out, refusals fail and can be retried', async () => {
  const world = new World();
  const client = await online(world, [head('a', 0)]);
  const { client_id } = client.send({ conversation: 'a', body: 'hi' });
  await world.socket.push({ type: 'error', id: world.socket.last('send').id, code: 'rate_limited', message: 'slow', retryable: true, definite: true, retry_after_ms: 2_000 });
  await world.advance(1_999);
  assert.equal(world.socket.frames('send').length, 1);
  await world.advance(600);
  assert.equal(world.socket.frames('send').length, 2);
  await world.socket.push({ type: 'error', id: world.socket.last('send').id, code: 'blocked', message: 'no', retryable: false, definite: true });
  assert.deepEqual(client.outbox.map(({ state, error }) => [state, error.code]), [['failed', 'blocked']]);
  client.retry(client_id);
  assert.equal(world.socket.last('send').client_id, client_id);
  assert.equal(world.socket.frames('send').length, 3);
});

test('an acked message whose event does not come is synced', async () => {
  const world = new World();
  const client = await online(world, [head('a', 0)]);
  client.send({ conversation: 'a', body: 'hi' });
  await world.socket.push({ type: 'ack', id: world.socket.last('send').id, conversation: 'a', seq: 1, message_id: 'm1', sent_at: 'now', duplicate: false });
  await world.advance(2_000);
  assert.deepEqual(world.socket.last('sync').ranges, [{ conversation: 'a', after: 0, limit: 1 }]);
});

test('backoff: full jitter under a ceiling that doubles from 0.5 s to 20 s', async () => {
  const world = new World({ random: () => 1 });
  const client = await online(world);
  const waits = [];
  for (let loss = 0; loss < 8; loss += 1) {
    await world.socket.lose();
    waits.push(client.state.retry_at_ms - world.now_ms);
    await world.advance(waits.at(-1));
  }
  assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000]);
  world.random = () => 0.25;
  await world.socket.lose();
  assert.equal(client.state.retry_at_ms - world.now_ms, 5_000);
});

test('backoff: retry_after_ms is honoured; 30 s of standing and the online event reset it', async () => {
  const world = new World({ random: () => 1 });
  const client = await online(world);
  await world.socket.lose();
  await world.advance(500);
  await world.socket.open();
  await world.socket.push({ type: 'error', code: 'overloaded', message: 'later', retryable: true, definite: true, retry_after_ms: 7_000 });
  await world.socket.lose(1011);
  assert.equal(client.state.retry_at_ms - world.now_ms, 8_000, '7 s as told and up to 1 s of jitter');
  client.nudge();
  assert.equal(client.state.state, 'connecting');
  await world.socket.welcome();
  await world.socket.lose();
  assert.equal(client.state.retry_at_ms - world.now_ms, 500, 'the network came back: as if nothing had been');
  await world.advance(500);
  await world.socket.lose();
  await world.advance(1_000);
  await world.socket.welcome();
  await world.advance(24_000);
  await world.socket.push({ type: 'pong' });
  await world.advance(7_000);
  await world.socket.lose();
  assert.equal(client.state.retry_at_ms - world.now_ms, 500, 'it stood for 30 s');
});

test('closes: some end it, abuse waits a minute, silence is found out by a ping', async () => {
  const world = new World();
  const client = await online(world);
  await world.socket.lose(4429);
  assert.ok(client.state.retry_at_ms - world.now_ms >= 60_000);
  client.connect();
  await world.socket.welcome();
  const silent = world.socket;
  await world.advance(25_000);
  assert.equal(silent.frames('ping').length, 1);
  await world.advance(6_500);
  assert.notEqual(silent.closed_with, null);
  await world.advance(500);
  assert.notEqual(world.socket, silent);
  await world.socket.welcome();
  await world.socket.lose(4403);
  assert.deepEqual(client.state, { state: 'stopped', code: 4403 });
  const count = world.sockets.length;
  await world.advance(120_000);
  assert.equal(world.sockets.length, count);
});

test('a watch that may have ended is asked for again when somebody joins', async () => {
  const world = new World();
  const client = await online(world, [head('a', 1)]);
  await answerSync(world.socket);
  client.watch(['peer', 'other']);
  const watches = () => world.socket.sent.filter(({ type }) => type === 'watch').map(({ users }) => users);
  await world.socket.push(event('a', 2, { kind: 'member_joined', user: 'stranger', role: 'member' }));
  assert.deepEqual(watches(), [['peer', 'other']]);
  await world.socket.push(event('a', 3, { kind: 'member_joined', user: 'peer', role: 'member' }));
  assert.deepEqual(watches(), [['peer', 'other'], ['peer']]);
  client.rewatch(['other', 'stranger']);
  assert.deepEqual(watches().at(-1), ['other'], 'only who is wanted');
});

test('handover: the new connection stands before the old one goes, and nothing is lost or doubled', async () => {
  const world = new World();
  const client = await online(world, [head('a', 1)]);
  await answerSync(world.socket);
  const old = world.socket;
  client.watch(['peer']);
  await old.push({ type: 'reconnect', after_ms: 3_000, deadline_ms: 10_000, handover: 'session-1' });
  await world.advance(2_999);
  assert.equal(world.sockets.length, 1);
  await world.advance(1);
  const fresh = world.socket;
  assert.notEqual(fresh, old);
  await fresh.open();
  assert.equal(fresh.sent[0].handover, 'session-1');
  await old.push(event('a', 2));
  const { client_id } = client.send({ conversation: 'a', body: 'in between' });
  assert.equal(old.last('send').client_id, client_id, 'the old one still works');
  assert.equal(old.closed_with, null);
  await fresh.welcome([head('a', 2)]);
  assert.equal(old.closed_with, 1000);
  assert.equal(fresh.last('send').client_id, client_id, 'unacked, so repeated');
  assert.deepEqual(fresh.last('watch').users, ['peer']);
  await fresh.push(event('a', 2), event('a', 3, { sender: 'me', client_id }));
  assert.deepEqual(world.seqs('a'), [1, 2, 3]);
  assert.deepEqual([...new Set(world.all('state').slice(1).map(({ state }) => state))], ['online'], 'the user saw no interruption');
});

test('handover: told only that it may, the client names its own session; told that it may not, none', async () => {
  for (const [handover, named] of [[true, 'session-1'], [false, undefined]]) {
    const world = new World();
    await online(world);
    await world.socket.push({ type: 'reconnect', after_ms: 10, deadline_ms: 10_000, handover });
    await world.advance(10);
    await world.socket.open();
    assert.equal(world.socket.sent[0].handover, named);
    assert.equal(world.sockets[0].closed_with, null);
  }
});

test('handover: a new connection that fails is tried again while the old one serves', async () => {
  const world = new World();
  const client = await online(world);
  const old = world.socket;
  await old.push({ type: 'reconnect', after_ms: 0, deadline_ms: 10_000, handover: 'session-1' });
  await world.advance(0);
  await world.socket.lose();
  assert.equal(old.closed_with, null);
  assert.equal(client.state.state, 'online');
  await world.advance(500);
  assert.equal(world.sockets.length, 3);
  await world.socket.welcome();
  assert.equal(old.closed_with, 1000);
  await world.advance(120_000);
  assert.equal(world.sockets.filter((socket) => socket.closed_with === null && socket.readyState === 1).length <= 1, true);
});

test('handover: closed with 1012 before its turn, it still waits as told', async () => {
  const world = new World();
  await online(world);
  await world.socket.push({ type: 'reconnect', after_ms: 4_000, deadline_ms: 10_000, handover: 'session-1' });
  await world.socket.lose(1012);
  await world.advance(3_900);
  assert.equal(world.sockets.length, 1);
  await world.advance(200);
  assert.equal(world.sockets.length, 2);
});

test('token: refreshed before it expires, and told to the open connection', async () => {
  const world = new World();
  world.route('POST /v1/tokens/refresh', ({ refresh_token }) => (refresh_token === 'refresh-1' ? tokens(2) : { status: 401, body: { code: 'unauthenticated' } }));
  await online(world);
  for (let beat = 0; beat < 170; beat += 1) {
    await world.advance(5_000);
    await world.socket.push({ type: 'pong' });
  }
  assert.equal(world.calls.filter(({ name }) => name === 'POST /v1/tokens/refresh').length, 1);
  assert.equal(world.socket.last('auth').token, 'access-2');
  assert.equal(JSON.parse(world.storage.getItem('tidings.session')).refresh_token, 'refresh-2');
  assert.equal(world.sockets.length, 1);
});

test('token: 4401 refreshes and comes back at once; a refused refresh signs out', async () => {
  const world = new World();
  let alive = true;
  world.route('POST /v1/tokens/refresh', () => (alive ? tokens(2) : { status: 401, body: { code: 'unauthenticated', status: 401 } }));
  const client = await online(world);
  await world.socket.lose(4401);
  assert.equal(world.sockets.length, 2);
  await world.socket.welcome();
  assert.equal(world.socket.sent[0].token, 'access-2');
  alive = false;
  await world.socket.lose(4401);
  assert.equal(client.state.state, 'signed_out');
  assert.equal(world.storage.getItem('tidings.session'), null);
});

test('token: two callers at once cause one refresh, and a call found expired is repeated', async () => {
  const world = new World();
  world.route('POST /v1/tokens/refresh', () => tokens(2));
  const client = await world.signedIn();
  let calls = 0;
  world.route('GET /v1/me', () => (++calls <= 2 ? { status: 401, body: { code: 'unauthenticated' } } : { body: { id: 'me' } }));
  const answers = await Promise.all([client.api('GET', '/v1/me'), client.api('GET', '/v1/me')]);
  assert.deepEqual(answers, [{ id: 'me' }, { id: 'me' }]);
  assert.equal(world.calls.filter(({ name }) => name === 'POST /v1/tokens/refresh').length, 1);
});

test('sign-up: sent again, unchanged, when its answer was lost; a refusal is not', async () => {
  const world = new World();
  const client = world.client();
  let calls = 0;
  world.route('POST /v1/accounts', () => (++calls === 1 ? { status: 503, body: { code: 'unavailable', definite: false, retryable: true } } : tokens(1)));
  const signed_up = client.signUp({ username: 'ada', password: 'correct horse' });
  await settle();
  await world.advance(1_000);
  assert.equal((await signed_up).id, client.user.id);
  const [first, second] = world.calls.filter(({ name }) => name === 'POST /v1/accounts');
  assert.deepEqual(second.body, first.body);
  world.route('POST /v1/accounts', () => ({ status: 409, body: { code: 'conflict', definite: true } }));
  await assert.rejects(client.signUp({ username: 'ada', password: 'another horse' }), { code: 'conflict' });
  assert.equal(world.calls.filter(({ name }) => name === 'POST /v1/accounts').length, 3);
});

test('token: what another tab refreshed is taken over, not refreshed again', async () => {
  const world = new World();
  const client = await online(world);
  world.storage.setItem('tidings.session', JSON.stringify({ user: client.user, access_token: 'theirs', refresh_token: 'r', expires_at_ms: world.now_ms + 900_000 }));
  await world.socket.push({ type: 'token_expiring', expires_in_ms: 60_000 });
  assert.equal(world.socket.last('auth').token, 'theirs');
  assert.equal(world.calls.some(({ name }) => name.includes('refresh')), false);
});

test('a dead connection: an unanswered request asks after 4 s, and 4 s of silence later the message goes over another one', async () => {
  const world = new World();
  const client = await online(world, [head('a', 0)]);
  const dead = world.socket;
  const { client_id } = client.send({ conversation: 'a', body: 'hello?' });
  await world.advance(3_900);
  assert.equal(dead.frames('ping').length, 0);
  client.send({ conversation: 'b', body: 'another' }); // what is asked later must not put the end off
  await world.advance(100);
  assert.deepEqual([dead.frames('ping').length, dead.closed_with], [1, null]);
  await world.advance(4_000);
  assert.notEqual(dead.closed_with, null);
  assert.equal(client.state.state, 'waiting');
  await world.advance(500);
  assert.notEqual(world.socket, dead);
  await world.socket.welcome([head('a', 0)]);
  assert.equal(world.socket.frames('send').filter((frame) => frame.client_id === client_id).length, 1);
});

test('a slow answer on a live connection is waited for', async () => {
  const world = new World();
  const client = await online(world, [head('a', 0)]);
  client.send({ conversation: 'a', body: 'slow' });
  await world.advance(4_000);
  assert.equal(world.socket.frames('ping').length, 1);
  await world.socket.push({ type: 'pong' });
  await world.advance(6_000);
  assert.deepEqual([world.socket.closed_with, client.state.state, world.sockets.length], [null, 'online', 1]);
});

test('a guest who signs out leaves nobody behind: the next guest on the device is a new one', async () => {
  const world = new World();
  const guest = (n) => ({ body: { ...tokens(n).body, user: { id: `guest-${n}`, display_name: 'G', guest: true } } });
  world.route('DELETE /v1/tokens', () => ({ status: 204 }));
  world.route('POST /v1/accounts/guest', ({ device_id }) => guest(device_id === 'uuid1uuid2' ? 1 : 2));
  const client = world.client();
  assert.equal((await client.guest()).id, 'guest-1');
  await client.signOut();
  assert.equal((await client.guest()).id, 'guest-2');
});

test('a device is known to its account after it signed out', async () => {
  const world = new World();
  const shown = [];
  world.route('POST /v1/tokens', ({ device_token }) => { shown.push(device_token); return { body: { ...tokens(1).body, device_token: `device-${shown.length}` } }; });
  world.route('DELETE /v1/tokens', () => ({ status: 204 }));
  for (let time = 0; time < 3; time += 1) {
    const client = world.client();
    await client.signIn({ username: 'me', password: 'p' });
    await client.signOut();
  }
  assert.deepEqual(shown, [undefined, 'device-1', 'device-2']);
});

test('the device says its name when it signs in; sessions are listed and ended', async () => {
  const world = new World();
  const [named, ended] = [[], []];
  for (const path of ['/v1/accounts', '/v1/tokens', '/v1/accounts/guest']) world.route(`POST ${path}`, ({ device_name }) => { named.push(device_name); return tokens(1); });
  world.route('GET /v1/me/sessions', () => ({ body: { sessions: [{ session: 'f_1', current: true }, { session: 'f_2', current: false }] } }));
  for (const path of ['/v1/me/sessions/f_2', '/v1/me/sessions']) world.route(`DELETE ${path}`, () => { ended.push(path); return { status: 204 }; });
  const client = world.client({ device_name: 'Deck' });
  await client.signUp({ username: 'ada', password: 'p' });
  await client.signIn({ username: 'ada', password: 'p' });
  await client.guest();
  assert.deepEqual(named, ['Deck', 'Deck', 'Deck']);
  assert.deepEqual((await client.sessions()).map(({ session }) => session), ['f_1', 'f_2']);
  await client.endSession('f_2');
  await client.endOtherSessions();
  assert.deepEqual(ended, ['/v1/me/sessions/f_2', '/v1/me/sessions']);
});

test('typing is throttled and ends by itself; reads are coalesced and only move forward', async () => {
  const world = new World();
  const client = await online(world, [head('a', 9)]);
  await answerSync(world.socket);
  for (let key = 0; key < 30; key += 1) {
    client.typing('a');
    await world.advance(100);
  }
  assert.equal(world.socket.frames('typing').length, 1);
  await world.advance(6_000);
  assert.deepEqual(world.socket.frames('typing').map(({ on }) => on), [true, false]);
  for (const seq of [3, 7, 5]) client.markRead('a', seq);
  await world.advance(1_000);
  assert.deepEqual(world.socket.frames('read').map(({ seq }) => seq), [7]);
});

test('reads that the server lacks are told again after a reconnect', async () => {
  const world = new World();
  const client = await online(world, [head('a', 9, { unread: 9 })]);
  await answerSync(world.socket);
  await world.socket.lose();
  client.markRead('a', 9);
  await world.advance(500);
  await world.socket.welcome([head('a', 9, { unread: 9 })]);
  await world.advance(1_000);
  assert.equal(world.socket.last('read').seq, 9);
  assert.equal(client.conversations.get('a').unread, 0);
});

test('leaving removes the conversation, but an old leave met in a catch-up does not', async () => {
  const world = new World();
  const client = await online(world, [head('a', 3)]);
  const { id } = world.socket.last('sync');
  await world.socket.push({ type: 'events', id, conversation: 'a', events: [message(1), { ...message(2), kind: 'member_left', user: 'me' }, { ...message(3), kind: 'member_joined', user: 'me' }] }, { type: 'synced', id, more: false });
  assert.equal(client.conversations.has('a'), true);
  await world.socket.push({ ...event('a', 4), kind: 'member_left', user: 'me', reason: 'removed' });
  assert.equal(client.conversations.has('a'), false);
  assert.deepEqual(world.all('removed'), [{ conversation: 'a' }]);
  await settle();
});

test('a mute is known from its event, from a refusal and from the conversation, and is over when it was lifted', async () => {
  const world = new World();
  const client = await online(world, [head('a', 0, { kind: 'channel' })]);
  const until = () => client.conversations.get('a').muted_until;
  const told = (seq, user, muted_until, sent_at = '2026-01-01T10:00:00.000Z') => ({ ...event('a', seq), kind: 'conversation_changed', sent_at, changes: { muted: { user, until: muted_until } } });
  await world.socket.push(told(1, 'me', '2026-01-01T11:00:00.000Z'), told(2, 'other', '2026-01-01T12:00:00.000Z'));
  assert.equal(until(), '2026-01-01T11:00:00.000Z');
  await world.socket.push(told(3, 'me', '2026-01-01T10:30:00.000Z', '2026-01-01T10:30:00.000Z'));
  assert.equal(until(), undefined);
  client.send({ conversation: 'a', body: 'may I?' });
  await world.socket.push({ type: 'error', id: world.socket.last('send').id, code: 'muted', message: 'no', retryable: false, definite: true, retry_after_ms: 60_000 });
  assert.equal(until(), new Date(world.now_ms + 60_000).toISOString());
  const refused = assert.rejects(client.edit('a', 1, 'may I now?'), { code: 'muted' });
  await world.advance(1_000);
  await world.socket.push({ type: 'error', id: world.socket.last('edit').id, code: 'muted', message: 'no', retryable: false, definite: true, retry_after_ms: 30_000 });
  await refused;
  assert.equal(until(), new Date(world.now_ms + 30_000).toISOString());
  world.route('PUT /v1/conversations/b/members/me', () => ({ body: { user: 'me', role: 'member' } }));
  world.route('GET /v1/conversations/b', () => ({ body: head('b', 9, { kind: 'channel', role: 'member', muted_until: '2026-01-02T00:00:00.000Z' }) }));
  assert.equal((await client.join('b')).muted_until, '2026-01-02T00:00:00.000Z');
  // An answer that is older than an event which is known here changes nothing; a newer one does.
  world.route('GET /v1/conversations/a', () => ({ body: head('a', 2, { kind: 'channel', muted_until: '2026-01-01T11:00:00.000Z' }) }));
  await client.fetchConversation('a');
  assert.equal(until(), new Date(world.now_ms + 30_000).toISOString());
  world.route('GET /v1/conversations/a', () => ({ body: head('a', 3, { kind: 'channel' }) }));
  await client.fetchConversation('a');
  assert.equal(until(), undefined);
});

test('a mute is known that came before the head of its conversation was read', async () => {
  const world = new World();
  const client = await online(world);
  const until = '2026-01-01T11:00:00.000Z';
  let answer;
  world.route('GET /v1/conversations/a', () => new Promise((resolve) => { answer = resolve; }));
  await world.socket.push({ ...event('a', 5), kind: 'member_joined', user: 'me' });
  await world.socket.push({ ...event('a', 6), kind: 'conversation_changed', sent_at: '2026-01-01T10:00:00.000Z', changes: { muted: { user: 'me', until } } });
  answer({ body: head('a', 6, { kind: 'channel', muted_until: until }) });
  await settle();
  assert.equal(client.conversations.get('a').muted_until, until);
});

test('a stranger is one until one answers or accepts, and an invitation is passed on', async () => {
  const world = new World();
  const client = await online(world, [head('a', 0, { kind: 'direct', peer: 'ann', stranger: true }), head('b', 0, { kind: 'direct', peer: 'bob', stranger: true })]);
  const stranger = (id) => client.conversations.get(id).stranger;
  assert.deepEqual([stranger('a'), stranger('b')], [true, true]);
  await world.socket.push({ ...event('a', 1), sender: 'me' });
  assert.equal(stranger('a'), false);
  world.route('PUT /v1/contacts/bob', () => ({ status: 204 }));
  await client.setContact('bob');
  assert.equal(stranger('b'), false);
  const told = [];
  client.on('invited', (frame) => told.push(frame));
  await world.socket.push({ type: 'invited', conversation: 'c', user: 'ann' });
  assert.deepEqual(told.map(({ conversation, user }) => [conversation, user]), [['c', 'ann']]);
});
