/**
 * A second factor in the page: set up with the keyboard, asked for at the next sign-in, and ended.
 *
 *   TIDINGS_BIN=target/debug/tidings node --test tests/browser/second_factor.test.mjs
 */

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { PASSWORD, Stage, online, shot } from './stage.mjs';

const stage = new Stage();
let phone;
let secret;

before(async () => {
  await stage.open();
  phone = await stage.browser({ width: 390, height: 780 });
});

after(() => stage.close());

/** What an app shows: RFC 6238 with SHA-1, six digits and 30 s. `steps`: how many codes later. */
function code(steps = 0) {
  const bits = [...secret].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const hash = createHmac('sha1', key).update(counter).digest();
  const at = hash[19] & 15;
  return String((hash.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

test('it is set up in the account dialog with the keyboard', async () => {
  await stage.signUp(phone, 'ada.lovelace', 'Ada Lovelace');
  await phone.click('.me-button');
  await phone.see('.second-factor button', 'Set up');
  await phone.tabTo('the button', ({ text }) => text === 'Set up');
  await phone.press('Enter');
  await phone.fill('.second-factor [name=password]', PASSWORD);
  await phone.press('Enter');
  await phone.see('.second-factor .qr');
  [{ text: secret }] = await phone.all('.second-factor .secret');
  await shot(phone, 'second-factor-phone-light');
  const wide = await phone.run('return document.querySelector("dialog").scrollWidth > document.querySelector("dialog").clientWidth');
  assert.equal(wide, false, 'nothing is cut off');
  await phone.fill('.second-factor [name=code]', '12345');
  await phone.press('Enter');
  await phone.see('.second-factor .problem', 'wrong');
  await phone.fill('.second-factor [name=code]', code());
  await phone.press('Enter');
  await phone.see('.second-factor button', 'Turn off');
  assert.equal((await phone.focused()).text, 'Authenticator app', 'the focus is not lost with the form');
});

test('the next sign-in asks for a code', async () => {
  await phone.click('[data-action=sign-out]');
  await phone.see('.auth-card');
  await phone.click('[role=tab]', 'Sign in');
  await phone.fill('[name=username]', 'ada.lovelace');
  await phone.fill('[name=password]', PASSWORD);
  await phone.press('Enter');
  await phone.see('.form [name=code]');
  assert.equal((await phone.focused()).name, 'code');
  await phone.fill('[name=code]', code(1));
  await phone.press('Enter');
  await online(phone);
});

test('no script error, nothing the content policy refused', () => stage.assertNoErrors());
