/** People as this page knows them: profiles fetched when they are first asked for, many in one call where the server can do that. */

const GATHER_MS = 20;
const MOST_AT_ONCE = 100;
/** An account that is gone: the server has no name for it any more, and neither has the page. */
const erased = (id) => ({ id, display_name: 'deleted', erased: true });

export class Profiles {
  #wanted = new Set(); #asked = new Set(); #timer = null;
  known = new Map();

  /** `changed()` is called when names have come. */
  constructor(client, changed) { Object.assign(this, { client, changed }); }

  clear() {
    for (const held of [this.known, this.#wanted, this.#asked]) held.clear();
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** A profile, if known; else it is fetched. */
  get(id) {
    const profile = this.known.get(id);
    if (profile || !id || this.#wanted.has(id) || this.#asked.has(id)) return profile;
    if (id === this.client.user?.id) return this.client.user;
    this.#wanted.add(id);
    this.#timer ??= setTimeout(() => { this.#timer = null; this.#fetch(); }, GATHER_MS);
    return undefined;
  }

  name(id) {
    const profile = this.get(id);
    return profile ? profile.display_name || profile.username || 'Unnamed' : '…';
  }

  isErased(id) { return Boolean(this.known.get(id)?.erased); }

  /** What an answer to another call told of a person. An erased account stays erased, whatever was read before. */
  learn(id, { username, display_name }) {
    if (display_name !== undefined && !this.isErased(id)) this.known.set(id, { ...this.known.get(id), id, username, display_name });
  }

  erase(id) { this.known.set(id, erased(id)); }

  async #fetch() {
    const ids = [...this.#wanted].slice(0, MOST_AT_ONCE);
    for (const id of ids) { this.#wanted.delete(id); this.#asked.add(id); }
    try {
      for (const user of await this.#read(ids)) if (!this.isErased(user.id)) this.known.set(user.id, user);
    } catch { /* asked again when a name is next needed */ }
    for (const id of ids) this.#asked.delete(id);
    if (this.#wanted.size) this.#fetch();
    this.changed();
  }

  async #read(ids) {
    const found = await Promise.all(ids.map((id) => this.client.userById(id).catch((error) => {
      if (error.code === 'not_found') return erased(id);
      return null;
    })));
    return found.filter(Boolean);
  }
}
