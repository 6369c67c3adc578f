/** What the page shows, from events alone: `node --test tests/browser/store.test.mjs`. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '../../web/ui/store.js';
import { World, event, head, message, settle } from './world.mjs';

const PROFILE = { id: 'other', username: 'other', display_name: 'Other', guest: false };
const direct = (last_seq, more = {}) => head('d', last_seq, { kind: 'direct', peer: 'other', ...more });
const member = (user, more = {}) => ({ user, username: user, display_name: user, role: 'member', joined_seq: 1, delivered_seq: 0, read_seq: 0, ...more });

async function shown(heads, events = []) {
  const world = new World();
  world.route('GET /v1/users?ids=other', () => ({ body: { users: [PROFILE] } }));
  const client = await world.signedIn();
  const store = new Store(client);
  client.connect();
  await world.socket.welcome(heads);
  for (const one of events) await world.socket.push(one);
  return { world, client, store };
}

const line = (store, seq) => store.room('d').items.get(seq);

test('edits and deletes change what is shown; repeating them changes nothing', async () => {
  const { store, world } = await shown([direct(0)], [event('d', 1), event('d', 2), { ...event('d', 3), kind: 'edit', target_seq: 1, body: 'better' }, { ...event('d', 4), kind: 'delete', target_seq: 2 }]);
  assert.equal(line(store, 1).body, 'better');
  assert.deepEqual([line(store, 2).deleted, line(store, 2).body], [true, undefined]);
  await world.socket.push({ ...event('d', 5), kind: 'edit', target_seq: 2, body: undefined, deleted: true });
  assert.deepEqual([line(store, 2).deleted, line(store, 2).body], [true, undefined]);
  assert.deepEqual(store.messages(store.room('d')).map(({ seq }) => seq), [1, 2]);
});

test('an edit whose text was replaced since leaves what is shown to the later one', async () => {
  const { store, world } = await shown([direct(0)], [{ ...event('d', 1), body: 'first' }, { ...event('d', 2), kind: 'edit', target_seq: 1, body: undefined, deleted: true }]);
  assert.deepEqual([line(store, 1).deleted, line(store, 1).body], [undefined, 'first']);
  await world.socket.push({ ...event('d', 3), kind: 'edit', target_seq: 1, body: 'the later one' });
  assert.equal(line(store, 1).body, 'the later one');
});

test('reactions are counted from events, one’s own are known', async () => {
  const react = (seq, sender, on = true) => ({ ...event('d', seq), kind: 'reaction', sender, target_seq: 1, emoji: '👍', on });
  const { store, world } = await shown([direct(0)], [event('d', 1), react(2, 'other'), react(3, 'me')]);
  assert.deepEqual(line(store, 1).reactions, [{ emoji: '👍', count: 2, me: true }]);
  await world.socket.push(react(4, 'me', false), react(4, 'me', false));
  assert.deepEqual(line(store, 1).reactions, [{ emoji: '👍', count: 1, me: false }]);
  await world.socket.push(react(5, 'other', false));
  assert.deepEqual(line(store, 1).reactions, []);
});

test('a page read just now may hold a reaction already: it is read again, not counted twice', async () => {
  const { store, world } = await shown([direct(30, { first_seq: 1 })]);
  await world.socket.push({ type: 'events', id: world.socket.last('sync').id, conversation: 'd', events: Array.from({ length: 20 }, (_, index) => message(11 + index)) }, { type: 'synced', id: world.socket.last('sync').id, more: false });
  const page = (count) => ({ body: { messages: [{ ...message(10), reactions: [{ emoji: '🎉', count, me: false }] }], more: true } });
  world.route('GET /v1/conversations/d/messages?before=11&limit=40&min_seq=30', () => page(1));
  await store.loadOlder('d');
  const again = new Promise((resolve) => {
    world.route('GET /v1/conversations/d/messages?after=9&limit=40&min_seq=31', () => { resolve(); return page(1); });
  });
  await world.socket.push({ ...event('d', 31), kind: 'reaction', target_seq: 10, emoji: '🎉', on: true });
  assert.deepEqual(line(store, 10).reactions, [{ emoji: '🎉', count: 1, me: false }]);
  await again;
  await settle();
  assert.deepEqual(line(store, 10).reactions, [{ emoji: '🎉', count: 1, me: false }]);
});

test('a message becomes delivered, then read, by everyone else', async () => {
  const { store, world } = await shown([direct(0)]);
  world.route('GET /v1/conversations/d/members?limit=100', () => ({ body: { members: [member('me'), member('other')] } }));
  world.route('GET /v1/conversations/d', () => ({ body: { ...direct(0), role: 'member', member_count: 2 } }));
  await store.loadMembers('d');
  await world.socket.push(event('d', 1, { sender: 'me' }));
  const seen = [store.status(store.room('d'), 1)];
  await world.socket.push({ type: 'receipt', conversation: 'd', user: 'other', delivered_seq: 1 });
  seen.push(store.status(store.room('d'), 1));
  await world.socket.push({ type: 'receipt', conversation: 'd', user: 'other', read_seq: 1 });
  seen.push(store.status(store.room('d'), 1));
  assert.deepEqual(seen, ['sent', 'delivered', 'read']);
});

test('an acked message is shown at once and is not doubled by its event', async () => {
  const { store, world, client } = await shown([direct(0)]);
  const { client_id } = client.send({ conversation: 'd', body: 'hi' });
  assert.equal(store.pending('d').length, 1);
  await world.socket.push({ type: 'ack', id: world.socket.last('send').id, conversation: 'd', seq: 1, message_id: 'm1', sent_at: '2026-01-01T00:00:00.000Z', duplicate: false });
  assert.deepEqual([store.pending('d').length, line(store, 1).body], [0, 'hi']);
  await world.socket.push(event('d', 1, { sender: 'me', client_id, body: 'hi' }));
  assert.equal(store.messages(store.room('d')).length, 1);
});

test('what will not come is forgotten, so that the page reads it again', async () => {
  const { store, world } = await shown([direct(0)], [event('d', 1), event('d', 2)]);
  await world.socket.push({ type: 'heads', heads: [direct(90_000)] });
  assert.equal(store.room('d').items.size, 0);
  assert.equal(store.room('d').complete, false);
});

test('an erased account takes its words and its name along, here and in what is read later', async () => {
  const { store, world } = await shown([direct(0), head('g', 0)], [
    event('d', 1), { ...event('g', 1), sender: 'other', attachments: [{ name: 'x' }] }, { ...event('g', 2), sender: 'me', body: 'mine', reply_to: 1 }, { ...event('g', 3), sender: 'third' }]);
  await world.socket.push({ ...event('g', 4), kind: 'member_left', sender: 'other', user: 'other', reason: 'erased' });
  const said = (room, seq) => { const { body, attachments, deleted } = store.room(room).items.get(seq); return [body, attachments, deleted]; };
  for (const [room, seq] of [['d', 1], ['g', 1]]) assert.deepEqual(said(room, seq), [undefined, undefined, true]);
  assert.deepEqual([said('g', 2)[0], said('g', 3)[0]], ['mine', 'body 3'], 'nobody else’s words go');
  assert.equal(store.name('other'), 'deleted');
  store.profiles.learn('other', { username: 'other', display_name: 'Other' });
  assert.equal(store.name('other'), 'deleted', 'an answer that was under way does not bring the name back');
  await world.socket.push(event('d', 2));
  assert.deepEqual(said('d', 2), [undefined, undefined, true], 'nor does the log bring words back that it has not removed yet');
});

test('why a conversation is gone is known while its page is open', async () => {
  const { store, world } = await shown([head('g', 0, { name: 'Club' }), head('h', 0, { name: 'Hall' })]);
  store.open('g');
  await world.socket.push({ ...event('g', 1), kind: 'member_left', sender: 'ada', user: 'me', reason: 'removed' });
  assert.deepEqual(store.room('g').absent, { why: 'removed', by: 'ada', title: 'Club' });
  await world.socket.push({ type: 'heads', heads: [head('g', 2, { name: 'Club', first_seq: 2 })] });
  assert.equal(store.room('g').absent, null, 'added again');
  store.open('h');
  await world.socket.push({ type: 'heads', heads: [{ conversation: 'h', left: true }] });
  assert.deepEqual(store.room('h').absent, { why: 'gone', title: 'Hall' });
});

test('one’s own mute comes from the conversation when its members are loaded, unless a later event says otherwise', async () => {
  const { client, store, world } = await shown([head('a', 0, { kind: 'channel' })]);
  const until = '2026-01-01T11:00:00.000Z';
  const conversation = (last_seq, fields) => world.route('GET /v1/conversations/a', () => ({ body: head('a', last_seq, { kind: 'channel', role: 'member', ...fields }) }));
  world.route('GET /v1/conversations/a/members?limit=100', () => ({ body: { members: [member('other')] } }));
  world.route('GET /v1/conversations/a/messages?limit=40', () => ({ body: { messages: [], more: false } }));
  conversation(0, { muted_until: until });
  await store.loadMembers('a');
  assert.equal(client.conversations.get('a').muted_until, until);
  await world.socket.push({ ...event('a', 1), kind: 'conversation_changed', sent_at: until, changes: { muted: { user: 'me', until } } });
  await store.loadMembers('a');
  assert.equal(client.conversations.get('a').muted_until, undefined);
  conversation(1, { muted_until: until });
  await store.loadMembers('a');
  assert.equal(client.conversations.get('a').muted_until, until);
});
