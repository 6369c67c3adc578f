/** What all of the page shares: one client, and what the server says of itself. */

import { TidingsClient, memoryStorage } from '../tidings.js';
import { Server } from './server.js';

function storage() {
  try {
    localStorage.setItem('tidings.probe', '1');
    localStorage.removeItem('tidings.probe');
    return localStorage;
  } catch {
    return memoryStorage(); // a browser that forbids it: everything works until the page is closed
  }
}

export const kept = storage();
export const client = new TidingsClient({ storage: kept });
export const server = new Server();
export const root = document.getElementById('root');

/** What the address leads to: a conversation (`c`), joining one (`join`), writing to somebody (`with`). */
export function route() {
  const [, kind, id] = location.hash.match(/^#\/(c|join|with)\/(.+)$/) ?? [];
  return { kind, id: id && decodeURIComponent(id) };
}
