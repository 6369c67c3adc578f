/**
 * Two people in two real browsers against the real server.
 *
 *   TIDINGS_BIN=target/debug/tidings node --test tests/browser/e2e.test.mjs
 *
 * Needs chromium and chromium-driver. Screenshots are kept in artefacts/browser/.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { PASSWORD, Stage, count, online, openId, say, shot, status, tool } from './stage.mjs';
import { until } from './webdriver.mjs';

const stage = new Stage();
let [ada, ben] = [];

before(async () => {
  await stage.open();
  [ada, ben] = await Promise.all([stage.browser(), stage.browser()]);
});

after(() => stage.close());

test('two people sign up, find each other and write in both directions', async () => {
  await Promise.all([stage.signUp(ada, 'ada.lovelace', 'Ada Lovelace'), stage.signUp(ben, 'ben.okri', 'Ben Okri')]);
  await shot(ada, 'empty-light');
  await ada.click('.new-button');
  await ada.fill('#field-person', 'ben');
  await ada.click('.option', 'Ben Okri');
  await ada.see('.thread-bar', 'Ben Okri');
  await say(ada, 'Good morning, Ben. Is the engine still running?');
  await ben.see('.row .badge', '1');
  await ben.see('.row .line', 'Good morning, Ben');
  await status(ada, 'Good morning, Ben. Is the engine still running?', 'delivered');
  await ben.click('.row-title', 'Ada Lovelace');
  await ben.see('.msg.theirs', 'Good morning, Ben');
  await status(ada, 'Good morning, Ben. Is the engine still running?', 'read');
  await ben.gone('.row .badge');
  await say(ben, 'Quietly. I left a note at https://example.org/engine, have a look.');
  await ada.see('.msg.theirs .text a', 'https://example.org/engine');
  assert.equal(await count(ada, 'Quietly.'), 1);
});

test('presence and typing are seen, and pass', async () => {
  await ada.see('.thread-bar .sub', 'Online');
  await ben.fill('.compose-input', 'I am just about to');
  await ada.see('.typing-line', 'Ben Okri is typing');
  await ben.fill('.compose-input', ' ');
  await ben.press('\uE003');
  await ada.gone('.typing-line span', 'typing');
});

test('reactions, replies, edits and deletes reach the other side', async () => {
  await tool(ada, 'Quietly.', 'React');
  await ada.click('.pick', '🎉');
  await ben.see('.reaction', '🎉');
  await ben.click('.reaction', '🎉');
  await ada.see('.reaction .count', '2');
  await ben.click('.reaction', '🎉');
  await until('one reaction to be left', async () => (await ada.all('.reaction .count', '1')).length === 1);

  await tool(ada, 'Quietly.', 'Reply');
  await ada.see('.compose-context', 'Reply to Ben Okri');
  await say(ada, 'Reading it now');
  await ben.see('.msg .quote', 'Quietly.');

  await ada.press('ArrowUp');
  await ada.see('.compose-context', 'Edit message');
  await say(ada, 'Read it, and it is lovely');
  await ben.see('.msg .text', 'Read it, and it is lovely');
  await ben.see('.msg .meta', 'edited');
  await ben.gone('.msg .text', 'Reading it now');

  await say(ada, 'this one was a mistake');
  await ben.see('.msg', 'this one was a mistake');
  await tool(ada, 'this one was a mistake', 'Delete');
  await ada.click('dialog [data-confirm]');
  await ben.see('.msg .gone', 'Message deleted');
  await ben.gone('.msg .text', 'this one was a mistake');
  await ben.run('location.reload()');
  await ben.see('.msg .text', 'Read it, and it is lovely');
  await ben.see('.reaction', '🎉');
  assert.equal(await count(ben, 'this one was a mistake'), 0);
});

test('a group: made, named, written in by both, with roles and leaving', async () => {
  await ada.click('.new-button');
  await ada.click('dialog [role=tab]', 'Group');
  await ada.fill('dialog [name=name]', 'Reading circle');
  await ada.fill('#field-members', 'ben');
  await ada.click('dialog .option', 'Ben Okri');
  await ada.see('dialog .chip', 'Ben Okri');
  await ada.click('dialog .primary', 'Create group');
  await ada.see('.thread-bar', 'Reading circle');
  await say(ada, 'First chapter by Friday?');
  await ben.click('.row-title', 'Reading circle');
  await ben.see('.msg', 'First chapter by Friday?');
  await say(ben, 'Gladly 👍');
  await ada.see('.msg .author', 'Ben Okri');
  await ada.click('.details-button');
  await ada.see('.member .role', 'Owner');
  await ada.click('.member [aria-label="Actions for Ben Okri"]');
  await ada.click('.popover button', 'Make admin');
  await ada.see('.member .role', 'Admin');
  await ben.see('.note', 'admin');
  await shot(ada, 'group-details-light');
  await ada.press('Escape');
  await ada.gone('.details');
});

test('a member is muted for an hour, sees for how long, and may write again', async () => {
  const hint = () => ben.run("return document.querySelector('.compose-input').placeholder");
  await ada.click('.new-button');
  await ada.click('dialog [role=tab]', 'Group');
  await ada.fill('dialog [name=name]', 'Quiet corner');
  await ada.fill('#field-members', 'ben');
  await ada.click('dialog .option', 'Ben Okri');
  await ada.see('dialog .chip', 'Ben Okri');
  await ada.click('dialog .primary', 'Create group');
  await ada.see('.thread-bar', 'Quiet corner');
  await ben.click('.row-title', 'Quiet corner');
  await until('to be open', async () => (await hint()) === 'Write a message');
  await ada.click('.details-button');
  await ada.click('.member [aria-label="Actions for Ben Okri"]');
  await ada.click('.popover button', 'Mute for an hour');
  await ada.see('.member .sub', 'muted');
  await ben.see('.note', 'muted you for 1 h');
  await until('to be closed', async () => /^You are muted here for/.test(await hint()));
  assert.equal(await ben.run("return document.querySelector('.compose-input').readOnly"), true);
  await ben.run('location.reload()');
  await until('to be closed after a reload', async () => /^You are muted here for/.test(await hint()));
  await ada.click('.member [aria-label="Actions for Ben Okri"]');
  await ada.click('.popover button', 'Unmute');
  await until('to be open again', async () => (await hint()) === 'Write a message');
  await say(ben, 'Thank you');
  await ada.see('.msg', 'Thank you');
  await ada.press('Escape');
  await ada.gone('.details');
});

test('a topic stands beside the name, in the list and the preview too, until it is removed', async () => {
  const save = async (topic) => {
    await ada.click('.details-button');
    await ada.click('.details .line-button', 'Change name or topic');
    await ada.fill('dialog [name=topic]', topic);
    await ada.click('dialog .primary', 'Save');
    await ada.gone('dialog');
  };
  await ada.click('.new-button');
  await ada.click('dialog [role=tab]', 'Channel');
  await ada.fill('dialog [name=name]', 'Aquarium');
  await ada.click('dialog .primary', 'Create channel');
  await ada.see('.thread-bar', 'Aquarium');
  await save('Of fish and tanks');
  await ada.see('.thread-bar .sub', 'Of fish and tanks');
  await ada.see('.details-top .topic', 'Of fish and tanks');
  await ada.see('.note', 'changed the topic to “Of fish and tanks”');
  await shot(ada, 'topic-light');
  await ada.press('Escape');
  await ada.gone('.details');

  await ben.click('.new-button');
  await ben.click('dialog [role=tab]', 'Join');
  await ben.click('dialog button', 'Browse open channels');
  await ben.see('dialog .option', 'Of fish and tanks');
  await ben.press('Escape');
  await ben.gone('dialog');
  await ben.run('location.hash = `#/join/${arguments[0]}`', await openId(ada));
  await ben.see('dialog .preview .topic', 'Of fish and tanks');
  await ben.click('dialog .primary', 'Join');
  await ben.see('.thread-bar .sub', 'Of fish and tanks');
  await ben.run('location.reload()');
  await ben.see('.thread-bar .sub', 'Of fish and tanks');

  await save('');
  await ben.see('.note', 'removed the topic');
  await ben.gone('.thread-bar .sub bdi');
  await ada.gone('.details-top .topic');
  await ada.press('Escape');
  await ada.gone('.details');
});

test('a channel is joined by its link', async () => {
  await ada.click('.new-button');
  await ada.click('dialog [role=tab]', 'Channel');
  await ada.fill('dialog [name=name]', 'town-square');
  await ada.click('dialog .primary', 'Create channel');
  await ada.see('.thread-bar', 'town-square');
  await say(ada, 'Anyone may join');
  const id = await openId(ada);
  await ben.goto(`${stage.base}/#/join/${id}`);
  await ben.click('dialog .primary', 'Join');
  await ben.see('.thread-bar', 'town-square');
  await say(ben, 'Here I am');
  await ada.see('.msg', 'Here I am');
});

test('the server is killed while one writes: everything arrives once, in order', async () => {
  await Promise.all([ada.click('.row-title', 'Ben Okri'), ben.click('.row-title', 'Ada Lovelace')]);
  await say(ada, 'before the storm');
  await ben.see('.msg', 'before the storm');
  await stage.kill();
  await ada.see('#banner', 'No connection');
  await say(ada, 'in the storm, one');
  await say(ada, 'in the storm, two');
  await status(ada, 'in the storm, two', 'queued');
  await shot(ada, 'offline-light');
  await stage.serve();
  await ben.see('.msg .text', 'in the storm, one');
  await ben.see('.msg .text', 'in the storm, two');
  await Promise.all([online(ada), online(ben)]);
  await say(ben, 'after the storm');
  await ada.see('.msg', 'after the storm');
  await status(ada, 'in the storm, two', 'read');
  for (const browser of [ada, ben]) {
    const storm = (await browser.all('.msg .text', 'storm')).map(({ text }) => text);
    assert.deepEqual(storm, ['before the storm', 'in the storm, one', 'in the storm, two', 'after the storm']);
  }
  await ada.gone('#banner');
});

test('what was not sent survives leaving the page', async () => {
  await stage.kill();
  await ada.see('#banner', 'No connection');
  await say(ada, 'written into the void');
  await status(ada, 'written into the void', 'queued');
  await ada.goto('about:blank');
  await stage.serve();
  await ada.goto(stage.base);
  await ben.see('.msg .text', 'written into the void');
  await ada.click('.row-title', 'Ben Okri');
  await status(ada, 'written into the void', 'read');
  assert.deepEqual([await count(ada, 'written into the void'), await count(ben, 'written into the void')], [1, 1]);
});

test('history is read by scrolling up', async () => {
  await ada.click('.row-title', 'town-square');
  await ada.see('.thread-bar', 'town-square');
  for (let n = 1; n <= 90; n += 1) await say(ada, `line ${n} of the scroll`);
  await status(ada, 'line 90 of the scroll', 'sent');
  await ada.run('location.reload()');
  await ada.see('.msg', 'line 90 of the scroll');
  assert.equal(await count(ada, 'line 1 of the scroll'), 0);
  await until('the first line', async () => {
    await ada.run('document.querySelector(".log").scrollTop = 0');
    return (await count(ada, 'Anyone may join')) === 1;
  });
  const lines = (await ada.all('.msg .text', 'of the scroll')).map(({ text }) => text);
  assert.deepEqual(lines, Array.from({ length: 90 }, (_, index) => `line ${index + 1} of the scroll`));
});

test('everything can be done from the keyboard', async () => {
  const isMessage = ({ classes }) => classes.split(' ').includes('msg');
  await ada.press(['Control', 'k']);
  await ada.see('dialog.switcher');
  await ada.write('ben');
  await ada.see('.switcher .option', 'Ben Okri');
  await ada.press('Enter');
  await ada.see('.thread-bar', 'Ben Okri');
  await until('the composer to have the focus', async () => (await ada.focused()).label === 'Message');
  await ada.write('typed by hand');
  await ada.press('Enter');
  await ben.see('.msg', 'typed by hand');
  await ada.press('ArrowUp');
  await ada.see('.compose-context', 'Edit message');
  await ada.press('Escape');
  await ada.gone('.compose-context');
  await ada.tabTo('the messages', isMessage, { back: true });
  assert.match((await ada.focused()).label, /typed by hand/);
  await ada.press('ArrowUp');
  assert.match((await ada.focused()).label, /written into the void/);
  const ring = await ada.run('const style = getComputedStyle(document.activeElement.querySelector(".bubble")); return [style.outlineStyle, style.outlineWidth]');
  assert.deepEqual(ring, ['solid', '2px'], 'the focus is visible');
  await ada.press('ArrowDown', 'r');
  await ada.see('.compose-context', 'Reply to');
  await ada.press('Escape');
  await ada.tabTo('the messages', isMessage, { back: true });
  await ada.press('+');
  await ada.see('.popover .pick');
  await ada.press('ArrowRight', 'Enter');
  await ben.see('.reaction', '❤️');
  await ada.press('Escape');
  await until('the composer to have the focus', async () => (await ada.focused()).label === 'Message');
  await ada.tabTo('the list of conversations', ({ classes }) => classes.startsWith('row'));
  await ada.press('ArrowDown', 'Enter');
  await ada.gone('.thread-bar', 'Ben Okri');
});

test('light and dark, and a phone: list and conversation take turns', async () => {
  await ada.click('.row-title', 'Ben Okri');
  await ada.see('.thread-bar', 'Ben Okri');
  await ben.fill('.compose-input', 'one more thing');
  await ada.see('.typing-line', 'Ben Okri is typing');
  await shot(ada, 'conversation-light');
  await ada.theme('dark');
  const dark = await ada.run('return getComputedStyle(document.body).backgroundColor');
  await shot(ada, 'conversation-dark');
  await ada.theme('light');
  assert.notEqual(dark, await ada.run('return getComputedStyle(document.body).backgroundColor'));

  await ada.size(390, 844);
  const fits = () => ada.run('return document.documentElement.scrollWidth <= innerWidth && innerWidth === 390');
  await until('the page to fit', fits);
  await ada.gone('.sidebar');
  await ada.see('.compose-input');
  await shot(ada, 'phone-conversation-light');
  await ada.click('.back');
  await ada.see('.row-title', 'Ben Okri');
  await ada.gone('.thread');
  assert.ok(await fits());
  await shot(ada, 'phone-list-light');
  await ada.theme('dark');
  await ada.click('.row-title', 'Reading circle');
  await ada.see('.thread-bar', 'Reading circle');
  assert.ok(await fits());
  await shot(ada, 'phone-conversation-dark');
  await ada.run('history.back()');
  await ada.see('.row-title', 'Reading circle');
  await ada.theme('light');
  await ada.size(1280, 860, false);
});

test('a guest plays first and claims the account later', async () => {
  await ada.click('.me-button');
  await ada.click('dialog [data-action=sign-out]');
  await ada.see('.auth-card');
  await shot(ada, 'welcome-light');
  await ada.fill('[name=display_name]', 'Passing Stranger');
  await ada.click('.form .primary', 'Start chatting');
  await ada.click('.claim .link', 'Claim your account');
  await ada.fill('dialog [name=username]', 'stranger');
  await ada.fill('dialog [name=password]', PASSWORD);
  await ada.click('dialog .primary', 'Claim account');
  await ada.see('.me-button', '@stranger');
  await ada.gone('.claim');
  await ada.click('.me-button');
  await ada.click('dialog [data-action=sign-out]');
  await ada.click('[role=tab]', 'Sign in');
  await ada.fill('[name=username]', 'stranger');
  await ada.fill('[name=password]', 'not the password');
  await ada.click('.form .primary', 'Sign in');
  await ada.see('.problem');
  await ada.fill('[name=password]', PASSWORD);
  await ada.click('.form .primary', 'Sign in');
  await ada.see('.me-button', 'Passing Stranger');
});

test('the page broke no rule of its own: no script error, nothing the content policy refused', () => stage.assertNoErrors());
