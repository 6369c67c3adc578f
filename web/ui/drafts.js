/**
 * What is written and not sent yet, kept in the browser so that it survives a reload: one text for each conversation.
 * Bounded: the newest `MOST_DRAFTS` stay, and a text longer than `MOST_CHARACTERS` is kept in this page only.
 */

const KEY = 'tidings.draft';
export const MOST_DRAFTS = 50;
export const MOST_CHARACTERS = 20_000;

export class Drafts {
  #user = null; #texts = new Map();

  constructor(storage, { now = () => Date.now() } = {}) { Object.assign(this, { storage, now }); }

  /** Whose drafts these are from now on; `null` while nobody is signed in. */
  of(user) {
    if (user === this.#user) return;
    this.#user = user;
    this.#texts.clear();
    if (user) for (const { conversation, text } of this.#stored()) this.#texts.set(conversation, text);
  }

  /** With a sign-out one's drafts leave the device. */
  forget() {
    for (const { conversation } of this.#stored()) this.#drop(conversation);
    this.#texts.clear();
  }

  get(conversation) { return this.#texts.get(conversation) ?? ''; }

  set(conversation, text) {
    if (!this.#user || text === this.get(conversation)) return;
    if (!text.trim()) {
      this.#texts.delete(conversation);
      this.#drop(conversation);
      return;
    }
    const fresh = this.storage.getItem(this.#key(conversation)) === null;
    this.#texts.set(conversation, text);
    if (text.length > MOST_CHARACTERS) return this.#drop(conversation);
    // A full storage costs surviving a reload, not the text.
    try { this.storage.setItem(this.#key(conversation), JSON.stringify({ text, at_ms: this.now() })); } catch { return; }
    if (!fresh) return;
    for (const old of this.#stored().sort((a, b) => b.at_ms - a.at_ms).slice(MOST_DRAFTS)) {
      this.#texts.delete(old.conversation);
      this.#drop(old.conversation);
    }
  }

  // One key for each conversation: two tabs share the storage, and neither may overwrite what the other
  // keeps.
  #key(conversation) { return `${KEY}.${this.#user}.${conversation}`; }
  #drop(conversation) { this.storage.removeItem(this.#key(conversation)); }

  #stored() {
    const prefix = this.#key('');
    const keys = Array.from({ length: this.storage.length }, (_, index) => this.storage.key(index));
    return keys.filter((key) => key?.startsWith(prefix)).map((key) => {
      const conversation = key.slice(prefix.length);
      try { return { conversation, at_ms: 0, text: '', ...JSON.parse(this.storage.getItem(key)) }; } catch { return { conversation, at_ms: 0, text: '' }; }
    });
  }
}
