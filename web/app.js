/**
 * The page as it begins: the form to sign in, or what is shown of the chat. The chat's modules are fetched once
 * something is on the screen, so that a first visit waits for a few files only.
 */

import { Auth } from './ui/auth.js';
import { h } from './ui/dom.js';
import { client, root, route, server } from './ui/page.js';

let user_id;
let [auth, shell, loading] = [];

/** All modules at once, or the browser would find one after the other. */
function load() {
  if (loading) return loading;
  const { imports } = JSON.parse(document.querySelector('script[type=importmap]').textContent);
  for (const href of Object.values(imports)) document.head.append(h('link', { rel: 'modulepreload', href }));
  loading = import('./ui/shell.js').then((module) => { shell = module; });
  loading.catch(() => { loading = undefined; });
  return loading;
}

async function mount() {
  const id = client.user?.id ?? null;
  if (id === user_id) return;
  user_id = id;
  shell?.leave();
  if (!id) {
    document.title = 'Tidings';
    auth = new Auth({ client, server, invited: ['join', 'with'].includes(route().kind) });
    root.replaceChildren(auth.el);
    return;
  }
  try {
    await load();
  } catch {
    if (user_id === id) unreachable();
    return;
  }
  if (user_id !== id) return;
  auth?.destroy();
  auth = undefined;
  shell.enter();
}

function unreachable() {
  const again = () => location.reload();
  root.replaceChildren(h('main', { class: 'thread nothing' }, h('div', { class: 'nothing-in' }, h('h1', null, 'The rest of this page did not come'),
    h('span', null, 'The server could not be reached.'), h('button', { type: 'button', class: 'primary', onclick: again }, 'Load it again'))));
}

client.on('session', mount);
addEventListener('online', () => client.nudge());
addEventListener('offline', () => client.doubt());
client.setBackground(document.hidden); // a page may be opened in a tab that nobody looks at yet
document.addEventListener('visibilitychange', () => {
  client.setBackground(document.hidden);
  if (!document.hidden) client.nudge();
});
addEventListener('storage', ({ key, newValue }) => {
  // Another tab signed out, in, or as someone else.
  if (key === 'tidings.session' && (newValue ? JSON.parse(newValue).user.id : null) !== user_id) location.reload();
});
mount();
// Once the form is on the screen, which waits for what the server says of itself.
server.read().then(() => requestAnimationFrame(() => setTimeout(() => load().catch(() => {}))));
