/** The page: one client, one store, and the views that show them. The address bar says which conversation is open. */

import { TidingsClient, memoryStorage } from './tidings.js';
import { Auth, field, form } from './ui/auth.js';
import { NO_FILES } from './ui/composer.js';
import { Details } from './ui/details.js';
import { accountDialog, claimDialog, confirm, joinDialog, newConversation, openDialog } from './ui/dialogs.js';
import { h, icon } from './ui/dom.js';
import { Drafts } from './ui/drafts.js';
import { Notices } from './ui/notices.js';
import { Sidebar } from './ui/sidebar.js';
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
const notices = new Notices({ client });
const root = document.getElementById('root');
const told = (text) => notices.told(text);
const fail = (what, error) => notices.fail(what, error);

let user_id = null;
let [auth, shell, sidebar, thread, details] = [];

const open = (id) => { location.hash = `#/c/${encodeURIComponent(id)}`; };
const route = () => {
  const [, kind, id] = location.hash.match(/^#\/(c|join)\/(.+)$/) ?? [];
  return { kind, id: id && decodeURIComponent(id) };
};

const actions = {
  create: () => newConversation({ client, open }),
  search: () => openSwitcher({ client, store, open, fail }),
  account: () => accountDialog({ client, store, told, claim: actions.claim }),
  claim: () => claimDialog({ client, told }),
  back: () => { location.hash = ''; },
  details: () => (details ? closeDetails() : showDetails()),
  confirm, fail, told, open,
  gone: () => { closeDetails(); actions.back(); },
  rename: (c) => openDialog('Rename', (close) => form({ action: 'Rename', fields: [field('Name', 'name', { value: c.name ?? '', required: true, maxlength: 100 })],
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
    h('span', null, 'Or start a new one: a person, a group, a channel.'), h('button', { type: 'button', class: 'primary', onclick: actions.create }, 'New conversation')));
}

function show() {
  if (!shell) return;
  const { kind, id } = route();
  if (kind === 'join') {
    history.replaceState(null, '', '#');
    joinDialog({ client, open, id });
    return;
  }
  if (thread?.id === id && thread) return;
  const before = shell.querySelector('.thread');
  const from_list = sidebar.el.contains(document.activeElement);
  closeDetails();
  thread?.destroy();
  thread = id ? new Thread({ client, store, id, actions }) : null;
  const after = thread?.el ?? nothingOpen();
  if (before) before.replaceWith(after);
  else shell.append(after);
  thread?.render();
  shell.classList.toggle('detail', Boolean(id));
  sidebar.select(id ?? null);
  if (thread && !matchMedia('(pointer: coarse)').matches) thread.focus();
  else if (!thread && !from_list) sidebar.list.querySelector('a')?.focus();
}

function mount() {
  const id = client.user?.id ?? null;
  if (id === user_id && (auth || shell)) return;
  user_id = id;
  closeDetails();
  for (const view of [thread, sidebar, auth]) view?.destroy();
  auth = shell = sidebar = thread = undefined;
  if (!id) {
    document.title = 'Tidings';
    auth = new Auth({ client });
    root.replaceChildren(auth.el);
    auth.el.querySelector('input').focus();
    return;
  }
  sidebar = new Sidebar({ client, store, actions });
  shell = h('div', { class: 'shell' }, sidebar.el);
  root.replaceChildren(shell);
  client.connect();
  show();
}

client.on('session', mount);
// What is said beside a conversation that is gone says nothing any more. The page of the conversation itself says why.
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
    if (!from_details && matchMedia('(max-width: 640px)').matches) actions.back();
    else thread.focus();
  }
});
mount();
