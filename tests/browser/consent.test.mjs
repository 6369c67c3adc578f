/**
 * Invitations and message requests, with what a new server has: accepted, declined and chosen with the keyboard alone.
 *
 *   TIDINGS_BIN=target/debug/tidings node --test tests/browser/consent.test.mjs
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Stage, shot } from './stage.mjs';

const stage = new Stage({ 'privacy.groups': 'contacts', 'privacy.stranger_messages': 3 });
let [desk, ada, ben] = [];

before(async () => {
  await stage.open();
  desk = await stage.browser();
  await stage.signUp(desk, 'ben.bee', 'Ben Bee');
  ada = await stage.person('ada.lovelace', 'Ada Lovelace');
  [ben] = (await ada.as('GET', '/v1/users?prefix=ben.bee')).users;
});

after(() => stage.close());

test('an invitation shows at once, and is accepted with the keyboard', async () => {
  await ada.create({ kind: 'group', name: 'Choir', members: [ben.id] });
  await desk.see('.invitation', 'Choir');
  const [{ text }] = await desk.all('.invitation');
  assert.match(text, /Ada Lovelace.*invites you/);
  await shot(desk, 'invitation-light');
  await desk.tabTo('the button', ({ text: label }) => label === 'Accept');
  await desk.press('Enter');
  await desk.see('.thread-bar', 'Choir');
  await desk.gone('.invitation', 'Choir');
});

test('one that is declined is gone, and stays so', async () => {
  const cleo = await stage.person('cleo.patra', 'Cleo Patra');
  const group = await cleo.create({ kind: 'group', name: 'Barges', members: [ben.id] });
  await desk.see('.invitation', 'Barges');
  await desk.tabTo('the button', ({ text }) => text === 'Decline');
  await desk.press('Enter');
  await desk.gone('.invitation', 'Barges');
  await cleo.as('PUT', `/v1/conversations/${group.id}/members/${ben.id}`);
  await desk.goto(stage.base);
  await desk.see('.row', 'Choir');
  await desk.gone('.invitation', 'Barges');
});

test('a request is marked in the list, and accepted in the conversation', async () => {
  const dora = await stage.person('dora.day', 'Dora Day');
  const direct = await dora.create({ kind: 'direct', members: [ben.id] });
  await dora.say(direct.id, 'we met at the harbour');
  await desk.see('.row', 'Request:');
  await desk.click('.row', 'Dora Day');
  await desk.see('.request', 'not one of your contacts');
  await shot(desk, 'request-light');
  await desk.click('.request button', 'Accept');
  await desk.gone('.request button', 'Accept');
  for (let nth = 0; nth < 4; nth += 1) await dora.say(direct.id, `and more ${nth}`);
  await desk.see('.msg', 'and more 3');
});

test('who may write first is chosen in the account dialog', async () => {
  await desk.click('.me-button');
  await desk.see('.privacy', 'Who may write to me first');
  await desk.run('const s = document.querySelector("#field-privacy-messages"); s.value = "nobody"; s.dispatchEvent(new Event("change"));');
  const finn = await stage.person('finn.ley', 'Finn Ley');
  let refused = '';
  for (let nth = 0; !refused && nth < 50; nth += 1) refused = await finn.create({ kind: 'direct', members: [ben.id] }).then(() => '', (error) => error.message);
  assert.match(refused, /403/);
});

test('no script error, nothing the content policy refused', () => stage.assertNoErrors());
