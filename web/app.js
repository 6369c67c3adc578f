/**
 * The page: one client, one store, and the views that show them. The address bar says which conversation is
 * open.
 */

import { TidingsClient, memoryStorage } from './tidings.js';
import { Auth, form } from './ui/auth.js';
import { browseDialog } from './ui/browse.js';
import { NO_FILES } from './ui/composer.js';
import { Details } from './ui/details.js';
import { accountDialog, claimDialog, confirm, conversationName, conversationTopic, newConversation, openDialog } from './ui/dialogs.js';
import { h, icon } from './ui/dom.js';
import { Drafts } from './ui/drafts.js';
import { named } from './ui/format.js';
import { First } from './ui/first.js';
import { inviteDialog, joinLink, personLink } from './ui/invite.js';
import { joinDialog, personDialog } from './ui/join.js';
import { Notices } from './ui/notices.js';
import { Sidebar } from './ui/sidebar.js';
import { Server } from './ui/server.js';
import { Store } from './ui/store.js';
import { openSwitcher } from './ui/switcher.js';
import { Thread } from './ui/thread.js';

function storage() {
  try {
    localStorage.setItem('tidings.probe', '1');
    localStorage.removeItem('tidings.probe');
    return localStorage;
  } catch {
    return memoryStorage(); // a browser that forbids it: everything works until the page is closed
  }
}

const kept = storage();
const client = new TidingsClient({ storage: kept });
const store = new Store(client, { drafts: new Drafts(kept) });
const server = new Server();
const notices = new Notices({ client });
const root = document.getElementById('root');
const told = (text) => notices.told(text);
const fail = (what, error) => notices.fail(what, error);

const narrow = matchMedia('(max-width: 640px)');

let user_id = null;
let [auth, shell, sidebar, thread, details, first] = [];

const open = (id) => { location.hash = `#/c/${encodeURIComponent(id)}`; };
const route = () => {
  const [, kind, id] = location.hash.match(/^#\/(c|join|with)\/(.+)$/) ?? [];
  return { kind, id: id && decodeURIComponent(id) };
};

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

function mount() {
  const id = client.user?.id ?? null;
  if (id === user_id && (auth || shell)) return;
  user_id = id;
  closeDetails();
  for (const view of [thread, sidebar, auth, first]) view?.destroy();
  auth = shell = sidebar = thread = first = undefined;
  if (!id) {
    document.title = 'Tidings';
    auth = new Auth({ client, server, invited: ['join', 'with'].includes(route().kind) });
    root.replaceChildren(auth.el);
    return;
  }
  sidebar = new Sidebar({ client, store, actions });
  shell = h('div', { class: 'shell' }, sidebar.el);
  root.replaceChildren(shell);
  client.connect();
  server.read().then(settle); // the first account makes the channel for newcomers
  if (!shell.querySelector('.thread')) shell.append(nothing());
  show();
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

server.read();
client.on('session', mount);
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
addEventListener('online', () => client.nudge());
document.addEventListener('visibilitychange', () => {
  client.setBackground(document.hidden);
  if (!document.hidden) client.nudge();
});
addEventListener('storage', ({ key, newValue }) => {
  // Another tab signed out, in, or as someone else.
  if (key === 'tidings.session' && (newValue ? JSON.parse(newValue).user.id : null) !== user_id) location.reload();
});
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
mount();
