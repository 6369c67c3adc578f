/**
 * What the server says of itself: who may sign up, what names and passwords must be, and where newcomers
 * begin.
 */

const DEADLINE_MS = 3_000;

/** Until the server was asked, and where it cannot be: the values that a server has unless told otherwise. */
const ASSUMED = {
  name: 'Tidings', sign_ups: 'open', directory: 'open', default_conversation: null,
  password: { min_bytes: 8, max_bytes: 1024 },
  username: { min_chars: 2, max_chars: 32, pattern: '[a-z0-9][a-z0-9_.\\-]{1,31}' },
  display_name: { max_chars: 64 },
  topic: { max_chars: 250 },
};

export class Server {
  #asking = null;
  info = ASSUMED;

  constructor(fetch = (...args) => globalThis.fetch(...args)) { this.fetch = fetch; }

  /** Asks (again) and answers `info`; what was known stays when the server does not answer in time. */
  read() {
    this.#asking ??= this.#ask().finally(() => { this.#asking = null; });
    return this.#asking;
  }

  async #ask() {
    try {
      const answer = await this.fetch('/v1/server', { signal: AbortSignal.timeout(DEADLINE_MS) });
      if (answer.ok) this.info = { ...ASSUMED, ...(await answer.json()) };
    } catch { /* the page works with what it knows; the connection's banner says that the server is away */ }
    return this.info;
  }
}

/** The rules as sentences, and what is wrong with a value: '' when nothing is. */
export function usernameRule({ username: { min_chars, max_chars, pattern } }) {
  const says = `${min_chars} to ${max_chars} characters: a to z, 0 to 9, and . _ - after the first.`;
  const whole = new RegExp(`^(?:${pattern})$`, 'u');
  return { says, max_chars, wrong: (value) => (whole.test(value.trim().toLowerCase()) ? '' : `A username has ${says}`) };
}

export function passwordRule({ password: { min_bytes, max_bytes } }) {
  const says = `At least ${min_bytes} characters.`;
  const bytes = (value) => new TextEncoder().encode(value).length;
  return { says, wrong: (value) => (bytes(value) < min_bytes ? `A password has at least ${min_bytes} characters.` : bytes(value) > max_bytes ? `A password has at most ${max_bytes} characters.` : '') };
}

export function nameRule({ display_name: { max_chars } }) {
  return { says: `Up to ${max_chars} characters.`, wrong: (value) => ([...value.trim()].length > max_chars ? `A name has at most ${max_chars} characters.` : '') };
}

export function topicRule({ topic: { max_chars } }) {
  return { says: `What it is about. Up to ${max_chars} characters; empty for none.`, wrong: (value) => ([...value.trim()].length > max_chars ? `A topic has at most ${max_chars} characters.` : '') };
}
