/**
 * A storage for Node.js: session, unsent messages and positions of one client in one file of JSON that only its owner may read.
 *
 * Each write goes to a new file, which then takes the old one's place: a process that is killed leaves the one or the other, never half of one.
 * One process at a time may use a file. A file that cannot be read or parsed is an error, told by `client.ready`; it is never overwritten.
 */

import { open, readFile, rename } from 'node:fs/promises';

export function fileStorage(path) {
  let items = null;
  let running = null;
  let next = null;

  const loaded = () => {
    items ??= readFile(path, 'utf8').then((text) => new Map(Object.entries(JSON.parse(text))), (error) => {
      if (error.code === 'ENOENT') return new Map();
      throw error;
    });
    return items;
  };

  async function write() {
    const file = await open(`${path}.new`, 'w', 0o600);
    try {
      await file.writeFile(JSON.stringify(Object.fromEntries(await loaded())));
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
  }

  /** Changes made while a write is under way share the next one. */
  function save() {
    next ??= (async () => {
      await running?.catch(() => {}); // told to whom it belongs
      running = next;
      next = null;
      await write();
    })();
    return next;
  }

  return {
    async keys() { return [...(await loaded()).keys()]; },
    async getItem(key) { return (await loaded()).get(key) ?? null; },
    async setItem(key, value) {
      (await loaded()).set(key, String(value));
      await save();
    },
    async removeItem(key) { if ((await loaded()).delete(key)) await save(); },
  };
}
