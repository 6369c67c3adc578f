/** The open channels of the server: looked through, and joined with one click. */

import { openDialog } from './dialogs.js';
import { h, icon, rove } from './dom.js';
import { avatar, named, plural } from './format.js';

const PAGE = 30;
const WAIT_MS = 150;

const channels = (client, query) => client.api('GET', `/v1/channels?${new URLSearchParams({ limit: PAGE, ...query })}`);

export function browseDialog({ client, open, create }) {
  let [asked, timer] = [0, null];
  const input = h('input', { id: 'field-channel', type: 'search', dir: 'auto', placeholder: 'Beginning of a name', autocomplete: 'off' });
  const list = h('ul', { class: 'channels', 'aria-label': 'Open channels', onkeydown: (event) => rove(event, [...list.querySelectorAll('button.option')]) });
  const hint = h('p', { class: 'hint', role: 'status' });
  const more = h('button', { type: 'button', class: 'link', hidden: true }, 'Show more');

  const dialog = openDialog('Open channels', () => [h('div', { class: 'field' }, h('label', { for: 'field-channel' }, 'Find a channel'), input), list, more, hint]);

  const enter = async (channel) => {
    hint.textContent = '';
    try {
      if (!channel.member) await client.join(channel.conversation);
      dialog.close();
      open(channel.conversation);
    } catch (error) {
      hint.textContent = error.message;
    }
  };

  const row = (channel) => h('li', null, h('button', { type: 'button', class: 'option', 'data-conversation': channel.conversation, onclick: () => enter(channel) },
    avatar(channel.conversation, channel.name, { glyph: icon('hash') }),
    h('span', { class: 'who-text' }, h('strong', null, named(channel.name)), h('span', { class: 'sub' }, plural(channel.member_count, 'member'), channel.topic && [' · ', named(channel.topic)])),
    h('span', { class: 'role' }, channel.member ? 'Joined' : 'Join')));

  const load = async (cursor) => {
    const mine = ++asked;
    const prefix = input.value.trim();
    try {
      const page = await channels(client, { ...(prefix && { prefix }), ...(cursor && { cursor }) });
      if (mine !== asked || !dialog.isConnected) return;
      if (!cursor) list.replaceChildren();
      list.append(...page.channels.map(row));
      more.hidden = !page.next_cursor;
      more.onclick = () => load(page.next_cursor);
      const start = h('button', { type: 'button', class: 'link', onclick: () => { dialog.close(); create(); } }, 'Make one');
      hint.replaceChildren(...(list.children.length ? [] : [prefix ? 'No open channel begins so. ' : 'There is no open channel to join yet. ', start]));
    } catch (error) {
      if (mine === asked) hint.textContent = error.code === 'forbidden' ? 'This server does not list its channels. Ask for a link.' : error.message;
    }
  };

  input.addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(load, WAIT_MS); });
  input.addEventListener('keydown', (event) => {
    if (event.key !== 'ArrowDown' && event.key !== 'Enter') return;
    event.preventDefault();
    list.querySelector('button')?.[event.key === 'Enter' ? 'click' : 'focus']();
  });
  dialog.addEventListener('close', () => clearTimeout(timer));
  load();
  return dialog;
}
