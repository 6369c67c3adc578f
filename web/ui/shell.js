/**
 * The page of somebody who is signed in: one store, and the views that show it. The address bar says which
 * conversation is open.
 */

import { form } from './auth.js';
import { browseDialog } from './browse.js';
import { NO_FILES } from './composer.js';
import { Details } from './details.js';
import { accountDialog, claimDialog, confirm, conversationName, conversationTopic, newConversation, openDialog } from './dialogs.js';
import { h, icon } from './dom.js';
import { Drafts } from './drafts.js';
import { First } from './first.js';
import { named } from './format.js';
import { inviteDialog, joinLink, personLink } from './invite.js';
import { joinDialog, personDialog } from './join.js';
import { Notices } from './notices.js';
import { client, kept, root, route, server } from './page.js';
import { Sidebar } from './sidebar.js';
import { Store } from './store.js';
import { openSwitcher } from './switcher.js';
import { Thread } from './thread.js';

const store = new Store(client, { drafts: new Drafts(kept) });
const notices = new Notices({ client });
const told = (text) => notices.told(text);
const fail = (what, error) => notices.fail(what, error);

const narrow = matchMedia('(max-width: 640px)');

let [shell, sidebar, thread, details, first] = [];

const open = (id) => { location.hash = `#/c/${encodeURIComponent(id)}`; };

const actions = {
  create: (mode) => newConversation({ client, server, open, join: actions.visit, browse: actions.browse, mode }),
  browse: () => browseDialog({ client, open, create: () => actions.create('channel') }),
  visit: (id) => joinDialog({ client, store, open, id }),
  join: async (id) => { try { open((await client.join(id)).id); } catch (error) { fail('You could not join.', error); } },
  toMyself: async () => { try { open((await client.createConversation({ kind: 'direct', members: [client.user.id] })).id); } catch (error) { fail('That did not work.', error); } },
  /** To an open conversation, else to oneself. */
  invite: (c) => (c
    ? inviteDialog({ title: 'Invite', text: ['Anybody who has this link can join ', named(c.name ?? 'this conversation'), '.'], link: joinLink(c.conversation ?? c.id) })
    : inviteDialog({ title: 'Invite', text: 'Anybody who has this link can write to you.', link: personLink(client.user.id) })),
  search: () => openSwitcher({ client, store, open, fail }),
  account: () => accountDialog({ client, store, server, told, claim: actions.claim }),
  claim: () => claimDialog({ client, server, told }),
  back: () => { location.hash = ''; },
  details: () => (details ? closeDetails() : showDetails()),
  confirm, fail, told, open,
  gone: () => { closeDetails(); actions.back(); },
  rename: (c) => openDialog('Name and topic', (close) => form({ action: 'Save', fields: [conversationName(server.info, c.name ?? ''), conversationTopic(server.info, c.topic ?? '')],
    work: async (values) => { await client.changeConversation(c.id, values); close(); } }), { className: 'narrow' }),
};

function showDetails() {
  details = new Details({ client, store, id: thread.id, actions: { ...actions, close: () => { closeDetails(); thread?.focus(); } } });
  shell.append(details.el);
  shell.classList.add('with-details');
  details.focus();
}

function closeDetails() {
  details?.destroy();
  details?.el.remove();
  details = null;
  shell?.classList.remove('with-details');
}

function nothingOpen() {
  return h('main', { class: 'thread nothing' }, h('div', { class: 'nothing-in' }, h('span', { class: 'nothing-mark' }, icon('chat')), h('h1', null, 'Pick a conversation'),
    h('span', null, 'Or start a new one: a person, a group, a channel.'), h('button', { type: 'button', class: 'primary', onclick: () => actions.create() }, 'New conversation')));
}

/**
 * A link to somebody or something: it stays in the address until the dialog is closed, and in the history
 * after that.
 */
function visit(kind, id) {
  document.querySelector('dialog[open]')?.close();
  const address = location.hash;
  const done = () => { if (location.hash === address) location.hash = thread ? `#/c/${encodeURIComponent(thread.id)}` : ''; };
  if (kind === 'join') joinDialog({ client, store, open, id, done });
  else personDialog({ client, open, id, done });
}

/**
 * What stands beside the list when nothing is open: something to begin with, or to pick; nothing yet while
 * that is not known.
 */
function beside() {
  // The first account is in the channel for newcomers from the start; while nobody has come, that is no conversation.
  const silent = (c) => c.id === server.info.default_conversation && c.last_seq <= 1;
  if ([...client.conversations.values()].some((c) => !c.stub && !silent(c))) return 'pick';
  return client.state.state === 'online' ? 'first' : 'blank';
}

function nothing() {
  const what = beside();
  first?.destroy();
  first = what === 'first' ? new First({ client, server, actions }) : null;
  shell.classList.toggle('empty', Boolean(first));
  shell.dataset.beside = what;
  if (first) return first.el;
  return what === 'pick' ? nothingOpen() : h('main', { class: 'thread nothing' }, h('h1', { class: 'unseen' }, 'Conversations'));
}

function show() {
  if (!shell) return;
  const { kind, id } = route();
  if (kind === 'join' || kind === 'with') return visit(kind, id);
  if (thread?.id === id && thread) return;
  const before = shell.querySelector('.thread');
  const from_list = sidebar.el.contains(document.activeElement);
  closeDetails();
  thread?.destroy();
  thread = id ? new Thread({ client, store, id, actions }) : null;
  const after = thread?.el ?? nothing();
  if (before) before.replaceWith(after);
  else shell.append(after);
  thread?.render();
  shell.classList.toggle('detail', Boolean(id));
  landmark();
  sidebar.select(id ?? null);
  if (thread && !matchMedia('(pointer: coarse)').matches) thread.focus();
  else if (!thread && !from_list) sidebar.list.querySelector('a')?.focus();
}

export function enter() {
  sidebar = new Sidebar({ client, store, actions });
  shell = h('div', { class: 'shell' }, sidebar.el);
  root.replaceChildren(shell);
  client.connect();
  server.read().then(settle); // the first account makes the channel for newcomers
  if (!shell.querySelector('.thread')) shell.append(nothing());
  show();
}

export function leave() {
  closeDetails();
  for (const view of [thread, sidebar, first]) view?.destroy();
  shell = sidebar = thread = first = undefined;
}

function settle() {
  const what = beside();
  if (!shell || thread || shell.dataset.beside === what || what === 'blank') return;
  shell.querySelector('.thread')?.replaceWith(nothing());
  if (document.activeElement === document.body) first?.focus();
  landmark();
}

/**
 * On a phone list and conversation take turns: while the list is all there is, it is the page's main part.
 */
function landmark() {
  if (narrow.matches && !thread && !first) shell?.setAttribute('role', 'main');
  else shell?.removeAttribute('role');
}

client.on('state', settle);
narrow.addEventListener('change', landmark);
store.on('list', settle);
// What is said beside a conversation that is gone says nothing any more. The page of the conversation itself
// says why.
client.on('removed', ({ conversation }) => { if (thread?.id === conversation) closeDetails(); });
// A file dropped anywhere would replace the page, and with it what is being written.
for (const name of ['dragover', 'drop']) {
  addEventListener(name, (event) => {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = 'none';
    if (name === 'drop' && shell) told(NO_FILES);
  });
}
addEventListener('hashchange', show);
addEventListener('keydown', (event) => {
  if (!shell) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
    event.preventDefault();
    actions.search();
  } else if (event.altKey && (event.key === 'ArrowUp' || event.key === 'ArrowDown')) {
    event.preventDefault();
    sidebar.step(event.key === 'ArrowUp' ? -1 : 1);
  } else if (event.key === 'Escape' && thread && !event.defaultPrevented && !document.querySelector('dialog[open], .popover')) {
    const from_details = Boolean(details);
    closeDetails();
    if (!from_details && narrow.matches) actions.back();
    else thread.focus();
  }
});
