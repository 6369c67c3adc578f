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

const BROWSERS = [['Edg', 'Edge'], ['OPR', 'Opera'], ['SamsungBrowser', 'Samsung Internet'], ['Firefox', 'Firefox'], ['FxiOS', 'Firefox'], ['Chrome', 'Chrome'], ['CriOS', 'Chrome'], ['Safari', 'Safari']];
const SYSTEMS = [['Android', 'Android'], ['iPhone', 'iPhone'], ['iPad', 'iPad'], ['Windows', 'Windows'], ['Mac OS', 'macOS'], ['CrOS', 'ChromeOS'], ['Linux', 'Linux']];

/** What the list of sessions calls this device, such as "Firefox on Linux". */
function deviceName() {
  const told = (names) => names.find(([mark]) => navigator.userAgent.includes(mark))?.[1];
  return [told(BROWSERS) ?? 'Browser', told(SYSTEMS)].filter(Boolean).join(' on ');
}

export const kept = storage();
export const client = new TidingsClient({ storage: kept, device_name: deviceName() });
export const server = new Server();
export const root = document.getElementById('root');

/** What the address leads to: a conversation (`c`), joining one (`join`), writing to somebody (`with`). */
export function route() {
  const [, kind, id] = location.hash.match(/^#\/(c|join|with)\/(.+)$/) ?? [];
  return { kind, id: id && decodeURIComponent(id) };
}
