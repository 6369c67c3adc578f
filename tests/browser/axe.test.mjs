/**
 * The page in all its states, in both themes, held to axe-core's rules (WCAG 2.2 A and AA, and its best practices).
 *
 * Needs axe-core beside these tests: npm ci --prefix tests/browser
 */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Stage, online, openId, say, status, tool } from './stage.mjs';
import { until } from './webdriver.mjs';

const AXE = path.resolve(path.dirname(fileURLToPath(import.meta.url)), 'node_modules/axe-core/axe.min.js');
const stage = new Stage({ 'conversations.default': 'lobby' });
let [axe, ada, eve] = [];

before(async () => {
  if (!existsSync(AXE)) throw new Error('axe-core is missing. Run: npm ci --prefix tests/browser');
  axe = await readFile(AXE, 'utf8');
  await stage.open();
  ada = await stage.browser();
});

after(() => stage.close());

/** What axe finds wrong in the state that is shown, in the light and in the dark. */
async function clean(state) {
  const found = [];
  for (const theme of ['light', 'dark']) {
    await ada.theme(theme);
    await ada.run(`if (!window.axe) { ${axe} }`);
    // Something that is still fading in has not its own colours yet.
    await until('the page to stand still', () => ada.run('return document.getAnimations().every((one) => one.playState !== "running" || one.effect.getComputedTiming().iterations === Infinity)'));
    const violations = await ada.run('return axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations.map(({ id, nodes }) => ({ id, nodes: nodes.slice(0, 4).map(({ html, any, all, none }) => html.slice(0, 160) + " :: " + [...any, ...all, ...none].map(({ message }) => message).join("; ").slice(0, 240)) })))');
    found.push(...violations.map((violation) => ({ theme, ...violation })));
  }
  await ada.theme('light');
  assert.deepEqual(found, [], state);
}

const openChat = (id) => ada.run('location.hash = `#/c/${encodeURIComponent(arguments[0])}`', id);
const me = () => ada.run('return JSON.parse(localStorage.getItem("tidings.session")).user.id');
const state = (name, reach) => test(name, async () => { await reach(); await clean(name); });
const dialogGone = async () => { await ada.press('Escape'); await ada.gone('dialog[open]'); };

state('the first page: guest', async () => {
  await ada.goto(stage.base);
  await ada.see('.auth-card .primary');
});
for (const tab of ['Sign in', 'New account']) {
  state(`the first page: ${tab}, refused`, async () => {
    await ada.click('[role=tab]', tab);
    await ada.click('.form .primary');
    await ada.see('.problem', 'needed');
  });
}

state('an account without a conversation', async () => {
  await stage.signUp(ada, 'ada', 'Ada Lovelace');
  await ada.see('.first-action');
});

state('inviting', async () => {
  await ada.click('.first-action', 'Invite');
  await ada.see('.qr');
});

state('open channels', async () => {
  await dialogGone();
  eve = await stage.person('eve', 'Eve');
  const channel = await eve.create({ kind: 'channel', name: 'general', join: 'open', history: 'all' });
  await eve.say(channel.id, 'what was said before');
  await ada.click('.first-action', 'Browse channels');
  await ada.see('.channels .option', 'general');
});

state('before joining', async () => {
  const id = await ada.run('return [...document.querySelectorAll(".channels .option")].find((row) => row.textContent.includes("general")).dataset.conversation');
  await dialogGone();
  await ada.run('location.hash = `#/join/${arguments[0]}`', id);
  await ada.see('.preview', 'general');
});

state('a link that leads nowhere', async () => {
  await dialogGone();
  await ada.run('location.hash = "#/join/c_0000"');
  await ada.see('dialog', 'does not work');
});

for (const tab of ['Person', 'Group', 'Channel', 'Join']) {
  state(`a new conversation: ${tab}`, async () => {
    if (tab === 'Person') {
      await dialogGone();
      await ada.click('.new-button');
      await ada.fill('#field-person', 'eve');
      await ada.see('.option', 'Eve');
    } else await ada.click('dialog [role=tab]', tab);
    await ada.see('dialog [aria-selected=true]', tab);
  });
}

state('a conversation with everything in it', async () => {
  await dialogGone();
  const { id } = await eve.create({ kind: 'group', name: 'Reading circle', members: [await me()] });
  await openChat(id);
  await eve.say(id, 'look at https://example.org/x, @ada');
  await eve.say(id, { body: 'and at these', attachments: [{ url: 'https://files.example/report.pdf' }, { name: 'no address' }] });
  await eve.say(id, { data: { move: 'e4' } });
  await eve.say(id, '🎉');
  await ada.see('.msg', 'Data message');
  await say(ada, 'mine, and read');
  await status(ada, 'mine, and read', 'sent');
  await tool(ada, 'and at these', 'Reply');
  await say(ada, 'an answer');
  await ada.see('.quote');
  await tool(ada, 'mine, and read', 'React');
  await ada.click('.pick', '❤️');
  await ada.see('.reaction');
  await say(ada, 'a mistake');
  await status(ada, 'a mistake', 'sent');
  await tool(ada, 'a mistake', 'Delete');
  await ada.click('dialog [data-confirm]');
  await ada.see('.gone', 'Message deleted');
});

state('the tools of a message', () => ada.hover('.msg .bubble', 'look at'));
state('reactions to choose from', async () => { await tool(ada, 'look at', 'React'); await ada.see('.popover .pick'); });
state('a reply being written', async () => { await ada.press('Escape'); await tool(ada, 'look at', 'Reply'); await ada.see('.compose-context'); });
state('too long a message', async () => {
  await ada.press('Escape');
  await ada.run('const input = document.querySelector(".compose-input"); input.value = "x".repeat(9000); input.dispatchEvent(new Event("input"));');
  await ada.see('.compose-problem');
});
state('the details', async () => {
  await ada.run('const input = document.querySelector(".compose-input"); input.value = ""; input.dispatchEvent(new Event("input"));');
  await ada.click('.details-button');
  await ada.see('.member', 'Eve');
});
state('a question', async () => { await ada.click('.line-button', 'Leave'); await ada.see('dialog [data-confirm]'); });
state('the switcher', async () => { await dialogGone(); await ada.press(['Control', 'k']); await ada.write('read'); await ada.see('.switcher .option', 'Reading circle'); });
state('the account', async () => { await dialogGone(); await ada.click('.me-button'); await ada.see('dialog', 'Signed in as'); await ada.see('.sessions .role', 'This device'); });

state('a draft, and something unread, in the list', async () => {
  await dialogGone();
  await ada.press('Escape');
  await ada.fill('.compose-input', 'half a thought');
  const { id } = await eve.create({ kind: 'direct', members: [await me()] });
  await eve.say(id, 'hello');
  await openChat(id);
  await ada.see('.row', 'Draft:');
  const other = await eve.create({ kind: 'group', name: 'Unread', members: [await me()] });
  await eve.say(other.id, 'news');
  await ada.see('.row .badge');
});

state('no conversation open', async () => { await ada.run('location.hash = ""'); await ada.see('.nothing h1', 'Pick a conversation'); });
state('a conversation one is not in', async () => { const { id } = await eve.create({ kind: 'group', name: 'Secret' }); await openChat(id); await ada.see('.absent'); });

state('no connection, and a message that waits', async () => {
  await ada.click('.row-title', 'Eve');
  await ada.see('.thread-bar', 'Eve');
  await stage.kill();
  await ada.see('#banner', 'No connection');
  await say(ada, 'later');
  await status(ada, 'later', 'queued');
});

state('a phone: the list', async () => {
  await stage.serve();
  await online(ada);
  await ada.gone('#banner');
  await ada.size(390, 844);
  await ada.click('.back');
  await ada.see('.row-title', 'Eve');
});
state('a phone: a conversation', async () => { await ada.click('.row-title', 'Reading circle'); await ada.see('.msg'); assert.ok(await openId(ada)); });

state('a guest', async () => {
  await ada.size(1280, 860, false);
  await ada.click('.me-button');
  await ada.click('dialog [data-action=sign-out]');
  await ada.click('[role=tab]', 'Guest');
  await ada.click('.form .primary', 'Start chatting');
  await ada.see('.claim');
});
state('claiming an account', async () => { await ada.click('.claim .link'); await ada.see('dialog', 'Claim account'); });
