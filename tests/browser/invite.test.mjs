/** Links to invite by, and their codes: `node --test tests/browser/invite.test.mjs`. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { conversationId } from '../../web/ui/dialogs.js';
import { joinLink, personLink } from '../../web/ui/invite.js';
import { qrPath } from '../../web/ui/qr.js';

const LINK = 'https://chat.example/#/join/c_01a21c246ffa7faeb0742d5b814d32d8';
const sha256 = (text) => createHash('sha256').update(text).digest('hex');

test('a link is made of an id, and the id is found in it again', () => {
  assert.equal(joinLink('c_1/2', 'https://chat.example'), 'https://chat.example/#/join/c_1%2F2');
  assert.equal(conversationId(joinLink('c_1/2', 'https://chat.example')), 'c_1/2');
  assert.equal(personLink('u_1', 'https://chat.example'), 'https://chat.example/#/with/u_1');
});

test('the code of a link: its three finders, an empty border of four, and the very squares that a scanner read', () => {
  const { path, side } = qrPath(LINK);
  const dark = new Set([...path.matchAll(/M(\d+) (\d+)h1v1h-1z/g)].map(([, x, y]) => `${x},${y}`));
  assert.equal(side, 33 + 8);
  for (const [left, top] of [[4, 4], [side - 11, 4], [4, side - 11]]) {
    for (let step = 0; step < 7; step += 1) {
      assert.ok(dark.has(`${left + step},${top}`) && dark.has(`${left},${top + step}`) && dark.has(`${left + step},${top + 6}`), `the finder at ${left},${top}`);
    }
    assert.ok(!dark.has(`${left + 1},${top + 1}`) && dark.has(`${left + 3},${top + 3}`));
  }
  for (const place of dark) assert.ok(place.split(',').every((at) => at >= 4 && at < side - 4));
  // jsQR 1.4.0 read the link from exactly these squares.
  assert.equal(sha256(path), '182faa26af210a377d88b5aae7c8f8131ad8929e54af189d1d22f998f817fe65');
});

test('the library for it is the published file, below its licence', async () => {
  const text = await readFile(new URL('../../web/vendor/lean-qr.js', import.meta.url), 'utf8');
  assert.match(text, /MIT License/);
  assert.equal(sha256(text.slice(text.indexOf('*/') + 3)), '9f064e870e3ab537ca1f87fadbaa45dd7fa56d8c32440bbddb8b893201b951d7');
});
