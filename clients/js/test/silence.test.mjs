/** A connection that died without a word is noticed, in the foreground within 9 s; a slow one is left alone. With a clock of its own. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World, event, head } from '../../../tests/browser/world.mjs';

/** As in a page, unless told otherwise. */
async function online(options = { silence_ms: 2_500 }) {
  const world = new World();
  const client = await world.signedIn(options);
  client.connect();
  await world.socket.welcome([head('a', 0)]);
  return { world, client, pings: () => world.socket.frames('ping').length };
}

/** Every ping is answered after a while; `push` reaches only a connection that is still wanted. */
function answer(world, after_ms) {
  const { socket } = world;
  const { send } = socket;
  socket.send = (text) => {
    send.call(socket, text);
    const frame = JSON.parse(text);
    if (frame.type === 'ping') world.timers.push({ at_ms: world.now_ms + after_ms, fn: () => { socket.push({ type: 'pong', id: frame.id }); } });
  };
}

test('an idle connection that is dead is given up 9 s after the last byte, and another is opened', async () => {
  const { world, client, pings } = await online();
  await world.advance(5_000);
  await world.socket.push({ type: 'pong' });
  const dead = world.socket;
  await world.advance(2_499);
  assert.equal(pings(), 1, 'that of the first silence');
  await world.advance(1);
  assert.equal(pings(), 2);
  await world.advance(6_499);
  assert.deepEqual([client.state.state, dead.closed_with, pings()], ['online', null, 2]);
  await world.advance(1);
  assert.deepEqual([client.state.state, client.state.silent], ['waiting', true]);
  assert.notEqual(dead.closed_with, null);
  await world.advance(500);
  assert.notEqual(world.socket, dead);
  await world.socket.welcome();
  assert.deepEqual(client.state, { state: 'online' });
});

test('while anything comes, nothing is asked', async () => {
  const { world, pings } = await online();
  for (let seq = 1; seq <= 30; seq += 1) {
    await world.advance(2_000);
    await world.socket.push(event('a', seq));
  }
  assert.equal(pings(), 0);
});

test('an idle connection that lives costs one ping for each silence, and stays', async () => {
  const { world, client, pings } = await online();
  answer(world, 50);
  await world.advance(60_000);
  assert.ok(pings() >= 20 && pings() <= 24, `${pings()} in a minute`);
  assert.deepEqual([client.state.state, world.sockets.length], ['online', 1]);
});

test('a line that becomes slow, by 3 s in each direction, is kept', async () => {
  const { world, client, pings } = await online();
  answer(world, 6_000);
  await world.advance(120_000);
  client.nudge();
  await world.advance(120_000);
  client.doubt();
  await world.advance(5_000);
  assert.deepEqual([client.state.state, world.sockets.length], ['online', 1]);
  assert.ok(pings() > 20);
});

test('a line that is slow from the start is given the time it needs', async () => {
  const world = new World();
  const client = await world.signedIn({ silence_ms: 2_500 });
  client.connect();
  await world.socket.open();
  answer(world, 8_000);
  await world.advance(8_000);
  world.socket.open = async () => {}; // it is open; what follows is the welcome alone
  await world.socket.welcome([head('a', 0)]);
  await world.advance(120_000);
  assert.deepEqual([client.state.state, world.sockets.length], ['online', 1]);
});

test('what nobody looks at is asked about at the pace of the heartbeat only, and at once when somebody looks again', async () => {
  const { world, client, pings } = await online();
  client.setBackground(true);
  await world.advance(24_000);
  assert.equal(pings(), 0);
  client.setBackground(false);
  assert.equal(pings(), 1);
  client.nudge();
  assert.equal(pings(), 1, 'one question is enough');
  await world.socket.push({ type: 'pong' });
  await world.advance(2_500);
  assert.equal(pings(), 2);
});

test('a page that is hidden counts as one that nobody looks at', async () => {
  const { world, pings } = await online({ silence_ms: 2_500, hidden: () => true });
  await world.advance(24_999);
  assert.equal(pings(), 0);
  await world.advance(1);
  assert.equal(pings(), 1);
});

test('a client that no page holds asks at the pace of the heartbeat', async () => {
  const { world, client, pings } = await online({});
  await world.advance(24_999);
  assert.equal(pings(), 0);
  await world.advance(1);
  assert.equal(pings(), 1);
  await world.advance(6_500);
  assert.equal(client.state.state, 'waiting');
});

test('a hint that the network is gone is looked into at once, and is no reason to give up a connection that answers', async () => {
  const { world, client, pings } = await online({});
  client.doubt();
  assert.equal(pings(), 1);
  await world.socket.push({ type: 'pong' });
  await world.advance(10_000);
  assert.equal(client.state.state, 'online');
  client.doubt();
  await world.advance(4_000);
  assert.equal(client.state.state, 'waiting');
  const count = world.sockets.length;
  client.doubt();
  assert.equal(world.sockets.length, count, 'nothing to ask');
});

test('a process that stood still reads first what came meanwhile', async () => {
  const { world, client } = await online();
  await world.advance(2_500);
  world.now_ms += 3_600_000; // the timers come late, and the answer is still in the queue
  await world.advance(500);
  assert.equal(client.state.state, 'online');
  await world.socket.push({ type: 'pong' });
  await world.advance(2_000);
  assert.equal(client.state.state, 'online');
});

test('a clock that was put back does not end the watch', async () => {
  const { world, client } = await online();
  const timers = world.timers;
  world.now_ms -= 3_600_000;
  for (const timer of timers) timer.at_ms -= 3_600_000;
  await world.advance(9_000);
  assert.equal(client.state.state, 'waiting');
});

test('after disconnect nothing is asked any more', async () => {
  const { world, client, pings } = await online();
  client.disconnect();
  client.setBackground(true);
  client.doubt();
  await world.advance(60_000);
  assert.equal(pings(), 0);
  await client.close();
  assert.deepEqual(world.timers, []);
});
