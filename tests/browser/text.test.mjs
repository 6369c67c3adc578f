/** How texts and names are treated, without a browser: `node --test tests/browser/text.test.mjs`. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryStorage } from '../../clients/js/tidings.js';
import { absence } from '../../web/ui/absence.js';
import { attachmentsOf, safeLink } from '../../web/ui/attachments.js';
import { charactersOver } from '../../web/ui/composer.js';
import { Drafts, MOST_CHARACTERS, MOST_DRAFTS } from '../../web/ui/drafts.js';
import { initials, oneLine } from '../../web/ui/format.js';
import { closed, noteParts } from '../../web/ui/notes.js';
import { rank, ranked } from '../../web/ui/ranking.js';

test('names are ranked: whole, beginning, beginning of a word, part; equally good ones keep their order', () => {
  assert.deepEqual(['general', 'Generations', 'the gen', 'Sigmaringen', 'other'].map((name) => rank('gen', name)), [1, 1, 2, 3, Infinity]);
  assert.equal(rank('GENERAL', 'general'), 0);
  assert.equal(rank('jose', 'José'), 0, 'accents make no difference');
  assert.equal(rank('love', 'Ada', 'ada.lovelace'), 2, 'the best of several names counts');
  assert.deepEqual(ranked('gen', ['Sigmaringen', 'newest general', 'general', 'gen'], (name) => [name]), ['gen', 'general', 'newest general', 'Sigmaringen']);
  assert.deepEqual(ranked('', ['b', 'a'], (name) => [name]), ['b', 'a']);
});

test('drafts: one user’s come back after a reload, the others’ do not; signing out forgets them', () => {
  const storage = memoryStorage();
  const drafts = new Drafts(storage);
  drafts.of('ada');
  drafts.set('c1', 'half a thought');
  drafts.set('c2', 'gone again');
  drafts.set('c2', ' ');
  const reloaded = new Drafts(storage);
  reloaded.of('ada');
  assert.deepEqual([reloaded.get('c1'), reloaded.get('c2')], ['half a thought', '']);
  reloaded.of('ben');
  assert.equal(reloaded.get('c1'), '');
  reloaded.of('ada');
  reloaded.forget();
  assert.deepEqual([reloaded.get('c1'), storage.length], ['', 0]);
});

test('drafts are bounded: the newest stay, a very long one is kept by this page alone', () => {
  const storage = memoryStorage();
  let now_ms = 0;
  const drafts = new Drafts(storage, { now: () => now_ms });
  drafts.of('ada');
  for (now_ms = 1; now_ms <= MOST_DRAFTS + 5; now_ms += 1) drafts.set(`c${now_ms}`, 'words');
  assert.equal(storage.length, MOST_DRAFTS);
  assert.deepEqual([drafts.get('c5'), drafts.get('c6')], ['', 'words']);
  drafts.set('long', 'x'.repeat(MOST_CHARACTERS + 1));
  assert.deepEqual([drafts.get('long').length, storage.length], [MOST_CHARACTERS + 1, MOST_DRAFTS]);
  const full = new Drafts({ ...storage, length: 0, setItem: () => { throw new Error('full'); } });
  full.of('ada');
  full.set('c', 'words');
  assert.equal(full.get('c'), 'words');
});

test('attachments: named by what they have, linked only to the web', () => {
  assert.deepEqual(attachmentsOf({ attachments: [{ url: 'https://a.example/x%20y.png' }, { name: 'n', url: 'javascript:alert(1)' }, { filename: 'f', url: 'data:text/html,x' }, {}, null, 7] }), [
    { name: 'x y.png', url: 'https://a.example/x%20y.png' }, { name: 'n', url: undefined }, { name: 'f', url: undefined }, { name: 'Attachment', url: undefined }, { name: 'Attachment', url: undefined }, { name: 'Attachment', url: undefined }]);
  for (const bad of ['javascript:1', 'file:///etc/passwd', 'blob:x', '//host/x', '', null, 5]) assert.equal(safeLink(bad), null);
  assert.equal(oneLine({ attachments: [{ name: 'report.pdf' }] }), 'report.pdf');
  assert.match(oneLine({ data: {} }), /Data message/);
});

test('characters are what a reader counts', () => {
  assert.deepEqual(['Ada Lovelace', 'Zoë 👩‍👩‍👧', 'יעל (כהן)', '🇮🇱', '', '…'].map(initials), ['AL', 'Z👩‍👩‍👧', 'יכ', '🇮🇱', '?', '…']);
  assert.deepEqual([charactersOver('é'.repeat(10), 20), charactersOver('é'.repeat(10), 19), charactersOver('a👩‍👩‍👧', 2)], [0, 1, 1]);
});

test('notes name people apart from the words around them, and say “you” where one was done to', () => {
  const name = (id) => (id === 'me' ? 'You' : id);
  const words = (event) => noteParts(event, name, 'me').map((part) => part.name ?? part).join('');
  assert.deepEqual(noteParts({ kind: 'member_joined', seq: 2, sender: 'ada', user: 'me' }, name, 'me'), [{ name: 'ada' }, ' added ', { name: 'you' }]);
  assert.equal(words({ kind: 'member_joined', seq: 1, sender: 'me', user: 'me' }), 'You created this');
  assert.equal(words({ kind: 'member_left', seq: 3, sender: 'ada', user: 'me', reason: 'removed' }), 'ada removed you');
  assert.equal(words({ kind: 'member_left', seq: 3, sender: 'me', user: 'me', reason: 'left' }), 'You left');
  const mute = (until) => words({ kind: 'conversation_changed', seq: 3, sender: 'ada', sent_at: '2026-01-01T10:00:00.000Z', changes: { muted: { user: 'me', until } } });
  assert.deepEqual(['2026-01-01T11:00:00.000Z', '2026-01-01T10:00:30.000Z', '2026-02-01T10:00:00.000Z'].map(mute), ['ada muted you for 1 h', 'ada muted you for 30 s', 'ada muted you for 31 days']);
  assert.equal(mute('2026-01-01T10:00:00.000Z'), 'ada unmuted you');
  const changed = (changes) => words({ kind: 'conversation_changed', seq: 3, sender: 'ada', changes });
  assert.deepEqual([{ topic: 'Fish' }, { topic: '' }].map(changed), ['ada changed the topic to “Fish”', 'ada removed the topic']);
  assert.deepEqual([{ name: 'Pond' }, { name: 'Pond', topic: 'Fish' }, { name: 'Pond', topic: '' }].map(changed),
    ['ada changed the name to “Pond”', 'ada changed the name to “Pond” and the topic to “Fish”', 'ada changed the name to “Pond” and removed the topic']);
  assert.equal(words({ kind: 'conversation_changed', seq: 3, sender: 'ada', changes: { role: { user: 'me', role: 'admin' } } }), 'ada made you admin');
});

test('each way out of a conversation says what happened and what to do next', () => {
  for (const why of ['left', 'removed', 'deleted', 'gone', 'never']) {
    const { heading, text } = absence({ why, by: 'ada', title: 'Club' }, (id) => id, false);
    assert.ok(heading.length && text.endsWith('.'), why);
    assert.match(absence({ why, by: 'ada' }, (id) => id, true).text, /kept below/);
  }
});

test('who is muted is told for how long, and may write when that has passed', () => {
  const until = Date.parse('2026-01-01T11:00:00.000Z');
  const said = (before_ms) => closed({}, { muted_until: '2026-01-01T11:00:00.000Z' }, until - before_ms);
  assert.deepEqual(said(3_599_000), { text: 'You are muted here for 1 h', again_ms: 59_001 });
  assert.deepEqual(said(600), { text: 'You are muted here for 1 s', again_ms: 600 });
  assert.equal(said(0), null);
  assert.equal(closed({}, {}, until), null);
  assert.equal(closed({}, undefined, until), null);
});
