/** The first minutes: coming in, finding each other, and what the forms say before one fails. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Stage, count, online, say, shot } from './stage.mjs';
import { until } from './webdriver.mjs';

const stage = new Stage({ 'conversations.default': 'lobby' });
const closed = new Stage({ 'auth.sign_ups': 'closed' });
let [one, two] = [];

before(async () => {
  await Promise.all([stage.open(), closed.open()]);
  [one, two] = await Promise.all([stage.browser(), stage.browser()]);
});

after(() => Promise.all([stage.close(), closed.close()]));

test('two guests on a new server: two clicks each, and a message is answered', async () => {
  let clicks = 0;
  const click = (browser, css, text) => { clicks += 1; return browser.click(css, text); };
  await Promise.all([one, two].map((browser) => browser.goto(stage.base)));

  await click(one, '.form .primary', 'Start chatting');
  await click(one, '.first-action', 'Open #lobby'); // the first account owns it
  await one.see('.compose-input');
  assert.equal(clicks, 2);
  await until('the composer to have the focus', async () => (await one.focused()).label === 'Message');
  await one.write('Is anybody here?');
  await one.press('Enter');

  clicks = 0;
  await click(two, '.form .primary', 'Start chatting');
  await click(two, '.first-action', 'Join #lobby');
  await two.see('.msg .text', 'Is anybody here?');
  assert.equal(clicks, 2);
  await say(two, 'I am');
  await one.see('.msg.theirs .text', 'I am');
  assert.deepEqual([await count(one, 'I am'), await count(two, 'Is anybody here?')], [1, 1]);
  await shot(one, 'lobby-light');
});

test('an invitation by link shows what it leads to; Join has the focus', async () => {
  await one.click('.details-button');
  await one.click('.details-top .secondary', 'Invite with a link');
  await one.see('.qr');
  const link = await one.run('return document.querySelector("#field-link").value');
  await shot(one, 'invite-light');
  await one.press('Escape');
  const three = await stage.browser();
  await three.goto(link);
  await three.see('.tagline', 'You are invited');
  await three.fill('[name=display_name]', 'Third');
  await three.click('.form .primary', 'Start chatting');
  await three.see('dialog .preview', 'lobby');
  await three.see('dialog .preview', 'I am');
  await until('Join to have the focus', async () => (await three.focused()).text === 'Join');
  await shot(three, 'join-light');
  await three.press('Escape');
  await three.gone('dialog');
  await three.run('history.back()');
  await three.see('dialog .preview', 'lobby');
  await until('Join to have the focus', async () => (await three.focused()).text === 'Join');
  await three.press('Enter');
  await three.see('.thread-bar', 'lobby');
  await three.see('.msg .text', 'Is anybody here?');
});

test('a link that does not work says so; a link to an open conversation one is not in offers to join', async () => {
  await two.run('location.hash = "#/join/c_00000000000000000000000000000000"');
  await two.see('dialog', 'This link does not work, or does not work any more. Ask for a new one.');
  await two.press('Escape');
  const host = await stage.person('host', 'Hostess');
  const { id } = await host.create({ kind: 'channel', name: 'garden', join: 'open', history: 'all' });
  await two.run('location.hash = `#/c/${arguments[0]}`', id);
  await two.see('.absent', 'You are not in garden');
  await two.click('.absent .primary', 'Join');
  await two.click('dialog .primary', 'Join');
  await two.see('.compose-input');
  await two.see('.thread-bar', 'garden');
});

test('open channels are browsed and joined; a link to a person begins a chat; notes go to oneself', async () => {
  const four = await stage.browser();
  await stage.guest(four, 'Fourth');
  await four.see('.first-action', 'Join #lobby');
  await shot(four, 'first-light');
  await four.theme('dark');
  await shot(four, 'first-dark');
  await four.theme('light');
  await four.size(390, 844);
  await four.see('.first-action', 'Join #lobby');
  await shot(four, 'first-phone-light');
  await four.size(1280, 860, false);

  await four.click('.first-action', 'Browse channels');
  await four.see('.channels .option', 'lobby');
  await four.fill('#field-channel', 'gar');
  await four.gone('.channels .option', 'lobby');
  await shot(four, 'browse-light');
  await four.click('.channels .option', 'garden');
  await four.see('.thread-bar', 'garden');

  const id = await one.run('return JSON.parse(localStorage.getItem("tidings.session")).user.id');
  await four.run('location.hash = `#/with/${arguments[0]}`', id);
  await four.click('dialog .primary', 'Start chatting');
  await four.see('.beginning', 'your conversation with');
  await say(four, 'found you by your link');
  await one.see('.row .line', 'found you by your link');

  const five = await stage.browser();
  await stage.guest(five, 'Fifth');
  await five.click('.first-action', 'Write to yourself');
  await five.see('.thread-bar', 'Notes to yourself');
  await say(five, 'milk');
  await five.see('.msg.mine[data-status=sent]', 'milk');
});

test('people are found by what they are called, guests too', async () => {
  await two.press(['Control', 'k']);
  await two.write('Fou');
  await two.see('.switcher .option', 'Fourth');
  await two.press('Enter');
  await two.see('.thread-bar', 'Fourth');
});

test('forms say their rules from the start, and hold to them', async () => {
  const six = await stage.browser();
  await six.goto(stage.base);
  await six.click('[role=tab]', 'New account');
  await six.see('.field small', '2 to 32 characters');
  await six.see('.field small', 'At least 8 characters');
  await shot(six, 'sign-up-light');
  await six.fill('[name=username]', 'No Spaces!');
  await six.fill('[name=password]', 'correct horse');
  await six.click('.form .primary', 'Create account');
  await six.see('.problem', 'a to z, 0 to 9');
  await six.fill('[name=username]', 'host');
  await six.click('.form .primary', 'Create account');
  await six.see('.problem', 'The username host is taken');
  await six.fill('[name=username]', 'Seven.Up');
  await six.click('.form .primary', 'Create account');
  await six.see('.me-button', '@seven.up');
  await online(six);
});

test('where sign-ups are closed the page opens on signing in and says why', async () => {
  const browser = await closed.browser();
  await browser.goto(closed.base);
  await browser.see('.form .primary', 'Sign in');
  await browser.see('.hint', 'takes no new accounts');
  assert.equal((await browser.all('[role=tab]')).length, 0);
  assert.equal((await browser.focused()).name, 'username');
  await shot(browser, 'closed-light');
});

test('no script error, nothing the content policy refused', () => Promise.all([stage.assertNoErrors(), closed.assertNoErrors()]));
