/** People as this page knows them: profiles are fetched when they are first needed, many in one call. */

const GATHER_MS = 20;
const MOST_AT_ONCE = 100;
/** After a call that failed its people are not asked for again at once. */
const PAUSE_MS = 3_000;
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

  /**
   * What an answer to another call told of a person. An erased account stays erased, whatever was read
   * before.
   */
  learn(id, { username, display_name }) {
    if (display_name !== undefined && !this.isErased(id)) this.known.set(id, { ...this.known.get(id), id, username, display_name });
  }

  erase(id) { this.known.set(id, erased(id)); }

  async #fetch() {
    const ids = [...this.#wanted].slice(0, MOST_AT_ONCE);
    for (const id of ids) { this.#wanted.delete(id); this.#asked.add(id); }
    const again = () => { for (const id of ids) this.#asked.delete(id); };
    try {
      const { users } = await this.client.api('GET', `/v1/users?ids=${ids.map(encodeURIComponent).join(',')}`);
      const found = new Map(users.map((user) => [user.id, user]));
      for (const id of ids) if (!this.isErased(id)) this.known.set(id, found.get(id) ?? erased(id));
      again();
    } catch {
      setTimeout(() => { again(); this.changed(); }, PAUSE_MS);
    }
    if (this.#wanted.size) this.#fetch();
    this.changed();
  }
}
