/**
 * What people may rely on in the page: nothing written is lost, nothing erased stays, and every dead end says
 * why.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Proxy } from './proxy.mjs';
import { Stage, count, online, say, shot, status, tool, openId } from './stage.mjs';
import { until } from './webdriver.mjs';

const stage = new Stage();
let [ada, ben, proxy] = [];

before(async () => {
  await stage.open();
  [ada, ben] = await Promise.all([stage.browser(), stage.browser()]);
  await Promise.all([stage.signUp(ada, 'ada', 'Ada Lovelace'), stage.signUp(ben, 'ben', 'Ben Okri')]);
});

after(async () => {
  await stage.close();
  await proxy?.close();
});

const me = (browser) => browser.run('return JSON.parse(localStorage.getItem("tidings.session")).user.id');
const openChat = (browser, id) => browser.run('location.hash = `#/c/${encodeURIComponent(arguments[0])}`', id);

test('a draft survives a reload, each in its conversation, and is named in the list', async () => {
  const eve = await stage.person('eve', 'Eve');
  const dan = await stage.person('dan', 'Dan');
  const [with_eve, with_dan] = await Promise.all([eve, dan].map((one) => me(ada).then((id) => one.create({ kind: 'direct', members: [id] }))));
  await eve.say(with_eve.id, 'hello');
  await dan.say(with_dan.id, 'hello');
  await ada.click('.row-title', 'Eve');
  await ada.see('.msg', 'hello');
  await ada.fill('.compose-input', 'half a thought for Eve');
  await ada.click('.row-title', 'Dan');
  await ada.see('.row', 'Draft: half a thought for Eve');
  await ada.fill('.compose-input', 'and one for Dan');
  await ada.run('location.reload()');
  await ada.see('.thread-bar', 'Dan');
  const written = () => ada.run('return document.querySelector(".compose-input")?.value');
  await until('the draft for Dan', async () => (await written()) === 'and one for Dan');
  await ada.see('.row', 'Draft: half a thought for Eve');
  await shot(ada, 'draft-light');
  await ada.click('.row-title', 'Eve');
  await until('the draft for Eve', async () => (await written()) === 'half a thought for Eve');
  await ada.press(['Control', 'a']);
  await say(ada, 'a whole thought');
  await ada.see('.msg.mine .text', 'a whole thought');
  await ada.run('location.reload()');
  await ada.see('.msg.mine .text', 'a whole thought');
  assert.equal(await written(), '', 'what was sent is no draft any more');
});

test('erased content leaves the open page at once: texts, name, preview, quotes, and a reply being written', async () => {
  const gone = await stage.person('gone', 'Soon Gone');
  const hall = await gone.create({ kind: 'group', name: 'Hall', members: [await me(ada), await me(ben)] });
  await gone.say(hall.id, 'I will be erased');
  const pair = await gone.create({ kind: 'direct', members: [await me(ada)] });
  await gone.say(pair.id, 'in private, too');
  await ada.see('.row .line', 'in private, too');
  await openChat(ada, hall.id);
  await ada.see('.msg .text', 'I will be erased');
  await tool(ada, 'I will be erased', 'Reply');
  await say(ada, 'an answer to it');
  await ada.see('.quote', 'I will be erased');
  await ada.hover('.msg.theirs .bubble', 'I will be erased');
  await ada.click('.msg.theirs .tools [aria-label="Reply"]');
  await ada.see('.compose-context', 'I will be erased');
  await gone.as('DELETE', '/v1/me', { password: 'correct horse battery' });
  await ada.see('.note', 'An account was erased');
  const page = await ada.run('return document.body.innerText');
  for (const trace of ['I will be erased', 'Soon Gone', 'in private, too']) assert.ok(!page.includes(trace), `“${trace}” is still on the page`);
  await ada.see('.msg', 'Message deleted');
});

test('dropped files do not replace the page; a pasted picture is named, pasted text is text', async () => {
  await ada.click('.row-title', 'Eve');
  await ada.see('.msg', 'a whole thought');
  const dropped = await ada.run(`
    const files = new DataTransfer();
    files.items.add(new File(['x'], 'x.png', { type: 'image/png' }));
    return ['dragover', 'drop'].map((name) => !document.querySelector('.log').dispatchEvent(new DragEvent(name, { dataTransfer: files, bubbles: true, cancelable: true })));`);
  assert.deepEqual(dropped, [true, true], 'the browser was told not to open the file');
  await ada.see('.toast', 'cannot be sent here yet');
  await ada.see('.msg', 'a whole thought');
  const pasted = await ada.run(`
    const paste = (fill) => { const data = new DataTransfer(); fill(data); return !document.querySelector('.compose-input').dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })); };
    return [paste((data) => data.items.add(new File(['x'], 'x.png', { type: 'image/png' }))), paste((data) => data.setData('text/plain', 'words'))];`);
  assert.deepEqual(pasted, [true, false]);
});

test('attachments are listed by name, as links where that is safe; a message of data alone says so', async () => {
  const fay = await stage.person('fay', 'Fay');
  const { id } = await fay.create({ kind: 'direct', members: [await me(ada)] });
  await fay.say(id, { body: 'see these', attachments: [{ url: 'https://files.example/a/report%202.pdf' }, { url: 'javascript:alert(1)', name: 'trap.txt' }, { name: 'no address', bytes: 3 }] });
  await fay.say(id, { data: { move: 'e4' } });
  await openChat(ada, id);
  await ada.see('.msg', 'Data message');
  const shown = await ada.run('return [...document.querySelectorAll(".attachments li")].map((li) => [li.textContent, li.querySelector("a")?.href ?? null, li.querySelector("a")?.rel ?? null])');
  assert.deepEqual(shown, [['report 2.pdf', 'https://files.example/a/report%202.pdf', 'noopener noreferrer'], ['trap.txt', null, null], ['no address', null, null]]);
  await ada.see('.msg .text', 'see these');
});

test('right-to-left: text, names and previews have their own direction, and a link does not decide it', async () => {
  const yael = await stage.person('yael', 'יעל (כהן)');
  const { id } = await yael.create({ kind: 'group', name: 'חדר (ראשי)', members: [await me(ada)] });
  await yael.say(id, 'https://example.org/x קראת את זה (כבר)?');
  await openChat(ada, id);
  await ada.see('.msg .text', 'קראת');
  const seen = await ada.run(`
    const text = document.querySelector('.msg .text');
    const at = (node, from) => { const range = document.createRange(); range.setStart(node, from); range.setEnd(node, from + 1); return range.getBoundingClientRect().left; };
    const last = text.lastChild;
    const direction = (css) => getComputedStyle(document.querySelector(css)).direction;
    return { mark_left_of_text: at(last, last.length - 1) < at(last, 3), said: direction('.msg .said'), line: direction('.row[aria-current=page] .line'),
      link: getComputedStyle(text.querySelector('a')).direction, names: [...document.querySelectorAll('.msg .author, .row-title, .thread-bar strong > *')].map((el) => el.tagName), compose: document.querySelector('.compose-input').dir };`);
  assert.deepEqual({ ...seen, names: [...new Set(seen.names)] }, { mark_left_of_text: true, said: 'rtl', line: 'rtl', link: 'ltr', names: ['BDI'], compose: 'auto' });
  await ada.fill('.compose-input', 'שלום');
  assert.equal(await ada.run('return getComputedStyle(document.querySelector(".compose-input")).direction'), 'rtl');
  await shot(ada, 'right-to-left-light');
  await ada.run('document.querySelector(".compose-input").select()');
  await ada.press('\uE003');
});

test('the switcher opens the name that begins as typed, not the newest that contains it', async () => {
  const max = await stage.person('maximilian', 'Maximilian Hohenstaufen-Sigmaringen');
  const id = await me(ada);
  await max.create({ kind: 'channel', name: 'general', join: 'open' }).then((c) => max.as('PUT', `/v1/conversations/${c.id}/members/${id}`));
  await ada.see('.row-title', 'general');
  const pair = await max.create({ kind: 'direct', members: [id] });
  await max.say(pair.id, 'I am the newest');
  await ada.see('.row .line', 'I am the newest');
  await ada.press(['Control', 'k']);
  await ada.write('gen');
  await ada.see('.switcher .option', 'Sigmaringen');
  await ada.press('Enter');
  await ada.see('.thread-bar', 'general');
});

test('a link to a group one is not in, and one removed while writing: both say why', async () => {
  const gil = await stage.person('gil', 'Gil');
  const secret = await gil.create({ kind: 'group', name: 'Secret', members: [] });
  await openChat(ada, secret.id);
  await ada.see('.absent', 'You are not in this conversation');
  await ada.see('.absent', 'you have to be invited');
  await shot(ada, 'not-in-it-light');
  await ada.click('.absent button', 'Back to conversations');
  await ada.see('.nothing h1', 'Pick a conversation');

  const club = await gil.create({ kind: 'group', name: 'Club', members: [await me(ada)] });
  await openChat(ada, club.id);
  await ada.see('.thread-bar', 'Club');
  await ada.fill('.compose-input', 'I was just saying');
  await gil.as('DELETE', `/v1/conversations/${club.id}/members/${await me(ada)}`);
  await ada.see('.absent', 'You were removed from Club by Gil');
  assert.equal(await ada.run('return document.querySelector(".compose-input").value'), 'I was just saying');
  await ada.see('.absent', 'What you had written is kept');
  await shot(ada, 'removed-light');
  await gil.as('PUT', `/v1/conversations/${club.id}/members/${await me(ada)}`);
  await ada.gone('.absent');
  await say(ada, 'I was just saying, again');
  await ada.see('.msg.mine', 'I was just saying, again');
});

test('a banned member reads who did it and why, and is kept out until an admin lifts the ban', async () => {
  const before = await openId(ada);
  const host = await stage.person('warden', 'Warden');
  const yard = await host.create({ kind: 'channel', name: 'Yard', join: 'open', history: 'all', members: [await me(ada)] });
  await openChat(ada, yard.id);
  await ada.see('.thread-bar', 'Yard');
  await host.as('PUT', `/v1/conversations/${yard.id}/bans/${await me(ada)}`, { duration_s: 3_600, reason: 'sold gold' });
  await ada.see('.absent', 'Warden banned you from Yard');
  await ada.see('.absent', 'The reason given: “sold gold”.');
  await shot(ada, 'banned-light');
  const mod = await stage.browser();
  await stage.guest(mod, 'Mod');
  await host.as('PUT', `/v1/conversations/${yard.id}/members/${await me(mod)}`, { role: 'admin' });
  await openChat(mod, yard.id);
  await mod.see('.note', 'Warden banned');
  await mod.click('.details-button');
  await mod.see('.banned .member', 'sold gold');
  await shot(mod, 'bans-light');
  await mod.click('.banned .member .link', 'Lift');
  await mod.gone('.banned');
  await mod.see('.note', 'lifted the ban on');
  await host.as('PUT', `/v1/conversations/${yard.id}/members/${await me(ada)}`);
  await ada.gone('.absent');
  await mod.click('.member [aria-label="Actions for Ada Lovelace"]');
  await mod.click('.popover button', 'Ban');
  await mod.click('dialog .primary', 'Ban');
  await ada.see('.absent', 'Mod banned you from Yard');
  await ada.see('.absent', 'No reason was given.');
  await openChat(ada, before);
  await ada.gone('.absent');
});

test('one of more members than the page lists at first sees that they are muted, and that they may write again', async () => {
  const host = await stage.person('host', 'Host');
  const hall = await host.create({ kind: 'channel', name: 'Big hall', join: 'open' });
  const members = `/v1/conversations/${hall.id}/members`;
  await Promise.all(Array.from({ length: 100 }, async () => {
    const answer = await fetch(`${stage.base}/v1/accounts/guest`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
    await host.as('PUT', `${members}/${(await answer.json()).user.id}`);
  }));
  const kay = await stage.browser();
  await stage.guest(kay, 'Kay');
  const id = await me(kay);
  await host.as('PUT', `${members}/${id}`);
  await openChat(kay, hall.id);
  await kay.see('.thread-bar', '102 members');
  const { members: listed } = await host.as('GET', `${members}?limit=100`);
  assert.ok(!listed.some(({ user }) => user === id));
  const hint = () => kay.run("return document.querySelector('.compose-input').placeholder");
  await host.as('PUT', `${members}/${id}/mute`, { duration_s: 3_600 });
  await until('to be closed', async () => /^You are muted here for/.test(await hint()));
  await host.as('DELETE', `${members}/${id}/mute`);
  await until('to be open again', async () => (await hint()) === 'Write a message');
  await say(kay, 'Thank you');
  await status(kay, 'Thank you', 'sent');
});

test('too long is said in characters', async () => {
  await ada.run('const input = document.querySelector(".compose-input"); input.value = "é".repeat(5000); input.dispatchEvent(new Event("input"));');
  await ada.see('.compose-problem', 'too long by 904 characters');
  await ada.run('const input = document.querySelector(".compose-input"); input.value = ""; input.dispatchEvent(new Event("input"));');
  await ada.gone('.compose-problem');
});

test('a dead connection is shown within 10 s, and what was written meanwhile arrives once', async () => {
  proxy = await Proxy.to(stage.port);
  const eve = await stage.person('zoe', 'Zoe');
  await stage.guest(ben, 'Ben by proxy', proxy.base);
  const { id } = await eve.create({ kind: 'direct', members: [await me(ben)] });
  await eve.say(id, 'are you there?');
  await openChat(ben, id);
  await ben.see('.msg', 'are you there?');
  proxy.freeze();
  const began_ms = Date.now();
  await say(ben, 'into the dark');
  await ben.see('#banner', 'No connection. Your message is kept');
  const took_ms = Date.now() - began_ms;
  assert.ok(took_ms < 10_000, `shown after ${took_ms} ms`);
  await status(ben, 'into the dark', 'queued');
  await shot(ben, 'dead-connection-light');
  proxy.heal();
  await status(ben, 'into the dark', 'sent');
  await ben.gone('#banner');
  assert.equal(await count(ben, 'into the dark'), 1);
  const { messages } = await eve.as('GET', `/v1/conversations/${id}/messages`);
  assert.deepEqual(messages.map(({ body }) => body), ['are you there?', 'into the dark']);
});

test('a dead connection is shown within 10 s on an idle page too', async () => {
  await online(ben);
  await proxy.answer();
  proxy.freeze();
  const began_ms = Date.now();
  await ben.see('#banner', 'No connection.');
  const took_ms = Date.now() - began_ms;
  assert.ok(took_ms < 10_000, `shown after ${took_ms} ms`);
  proxy.heal();
  await online(ben);
  await ben.gone('#banner');
});

test('a connection that becomes slow, by 3 s in each direction, is not taken for a dead one', async () => {
  await ben.run(`
    window.states = [];
    new MutationObserver(() => window.states.push(document.documentElement.dataset.connection)).observe(document.documentElement, { attributeFilter: ['data-connection'] });`);
  proxy.slow(3_000);
  for (let round = 0; round < 4; round += 1) await proxy.answer();
  assert.deepEqual(await ben.run('return window.states'), []);
  proxy.heal();
  await online(ben);
});

test('offline is shown at once', async () => {
  await online(ben);
  await ben.cdp('Network.enable');
  const network = (offline) => ben.cdp('Network.emulateNetworkConditions', { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  await network(true);
  await until('the banner', async () => (await ben.all('#banner', 'You are offline')).length > 0, 1_500);
  await network(false);
  await ben.gone('#banner');
});

test('signing out as a guest warns, and the next person is somebody else', async () => {
  const before = await me(ben);
  await ben.click('.me-button');
  await ben.click('dialog [data-action=sign-out]');
  await ben.see('dialog', 'this guest and its messages are out of reach');
  await shot(ben, 'guest-sign-out-light');
  await ben.click('dialog .secondary', 'Cancel');
  await ben.see('.me-button', 'Ben by proxy');
  await ben.click('.me-button');
  await ben.click('dialog [data-action=sign-out]');
  await ben.click('dialog [data-confirm]');
  await ben.see('.auth-card');
  assert.equal(await ben.run('return localStorage.getItem("tidings.device")'), null);
  await ben.fill('[name=display_name]', 'Bob Other');
  await ben.click('.form .primary', 'Start chatting');
  await ben.see('.me-button', 'Bob Other');
  assert.notEqual(await me(ben), before);
});

test('no script error, nothing the content policy refused', () => stage.assertNoErrors());
