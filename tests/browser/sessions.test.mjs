/**
 * The list of sessions in the account dialog: on a wide screen, on a phone, and with the keyboard alone.
 *
 *   TIDINGS_BIN=target/debug/tidings node --test tests/browser/sessions.test.mjs
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { PASSWORD, Stage, online, shot } from './stage.mjs';

const stage = new Stage();
let [desk, phone] = [];

before(async () => {
  await stage.open();
  [desk, phone] = await Promise.all([stage.browser(), stage.browser({ width: 390, height: 780 })]);
});

after(() => stage.close());

async function signIn(browser) {
  await browser.goto(stage.base);
  await browser.click('[role=tab]', 'Sign in');
  await browser.fill('[name=username]', 'ada.lovelace');
  await browser.fill('[name=password]', PASSWORD);
  await browser.click('.form .primary', 'Sign in');
  await online(browser);
}

const rows = (browser) => browser.all('.sessions li');

test('both devices are listed, with what is known of them', async () => {
  await stage.signUp(desk, 'ada.lovelace', 'Ada Lovelace');
  await signIn(phone);
  await desk.click('.me-button');
  await desk.see('.sessions li', 'Chrome on Linux');
  assert.equal((await rows(desk)).length, 2);
  const [{ text }] = await desk.all('.sessions li', 'This device');
  assert.match(text, /Chrome on Linux.*Since .*used today at .*127\.0\.0\.0\/24/);
  await shot(desk, 'sessions-light');
});

test('one that is ended from elsewhere shows the first page at once', async () => {
  await desk.click('.sessions button', 'End');
  await phone.see('.auth-card');
  await desk.gone('.sessions button', 'End');
  assert.equal((await rows(desk)).length, 1);
  assert.equal((await desk.focused()).text, 'Signed in on', 'the focus is not lost with the row');
});

test('on a phone all others are ended with the keyboard alone', async () => {
  await signIn(phone);
  await phone.click('.me-button');
  await phone.see('.sessions button', 'End all others');
  await shot(phone, 'sessions-phone-light');
  const wide = await phone.run('return document.querySelector("dialog").scrollWidth > document.querySelector("dialog").clientWidth');
  assert.equal(wide, false, 'nothing is cut off');
  await phone.tabTo('the button', ({ text }) => text === 'End all others');
  await phone.press('Enter');
  await desk.see('.auth-card');
  await phone.gone('.sessions button', 'End all others');
  await online(phone);
});

test('no script error, nothing the content policy refused', () => stage.assertNoErrors());
