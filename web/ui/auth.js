/** The first page: play at once as a guest, sign in, or make an account. */

import { h, rove } from './dom.js';
import { nameRule, passwordRule, usernameRule } from './server.js';

const MODES = {
  guest: { tab: 'Guest', action: 'Start chatting', hint: 'No account needed. You can claim yours later and keep everything.' },
  signin: { tab: 'Sign in', action: 'Sign in', hint: '' },
  signup: { tab: 'New account', action: 'Create account', hint: '' },
};
/** What each policy of the server offers, the first one opened, and what it has to say. */
const POLICIES = {
  open: { modes: ['guest', 'signin', 'signup'] },
  guests: { modes: ['guest', 'signin'], guest: 'No account needed. Guests keep their messages on this device.' },
  closed: { modes: ['signin'], signin: 'This server takes no new accounts. Ask the people who run it for one.' },
  external: { modes: ['signin'], signin: 'Accounts come from another service here. Open the chat from there.' },
};

/**
 * A labelled field. `rule` {says, wrong, max_chars?} is shown below it from the start, and holds it to what
 * the server takes.
 */
export function field(label, name, more = {}, rule) {
  const help = rule && h('small', { id: `help-${name}` }, rule.says ?? rule);
  const input = h('input', { name, id: `field-${name}`, autocomplete: 'off', maxlength: rule?.max_chars, 'aria-describedby': help && help.id, ...more });
  const check = () => input.setCustomValidity(input.value && rule?.wrong ? rule.wrong(input.value) : '');
  input.addEventListener('input', check);
  check();
  return h('div', { class: 'field' }, h('label', { for: `field-${name}` }, label), input, help);
}

/** The fields of a new account, for signing up and for claiming one. */
export const usernameField = (info) => field('Username', 'username', { ...USERNAME, autocomplete: 'username' }, usernameRule(info));
export const newPasswordField = (info) => field('Password', 'password', { type: 'password', required: true, autocomplete: 'new-password' }, passwordRule(info));

/** Six digits of an authenticator app. */
export const codeField = () => field('Code', 'code', { required: true, inputmode: 'numeric', autocomplete: 'one-time-code', maxlength: 8 }, 'Six digits, from your authenticator app.');

const USERNAME = { autocapitalize: 'none', spellcheck: 'false', required: true };

export function brand() {
  return h('span', { class: 'brand' }, h('img', { src: '/icon.svg', alt: '', width: 32, height: 32 }), h('span', null, 'Tidings'));
}

const values = (el) => Object.fromEntries([...new FormData(el)].map(([key, value]) => [key, key === 'password' ? value : value.trim()]));

/** A form that shows its own trouble and cannot be sent twice. `work(values)` may throw. */
export function form({ fields, action, work, className = '' }) {
  const problem = h('p', { class: 'problem', role: 'alert' });
  const button = h('button', { type: 'submit', class: 'primary' }, action);
  const el = h('form', { class: `form ${className}`, novalidate: true }, fields, problem, button);
  el.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    const missing = el.querySelector('input:invalid');
    if (missing) {
      problem.textContent = missing.value ? missing.validationMessage : `${missing.labels[0]?.textContent ?? 'This'} is needed.`;
      missing.focus();
      return;
    }
    problem.textContent = '';
    button.disabled = true;
    try {
      await work(values(el));
    } catch (error) {
      problem.textContent = error.code === 'conflict' && values(el).username ? `The username ${values(el).username} is taken. Choose another.` : error.message;
    }
    button.disabled = false;
  });
  return el;
}

export class Auth {
  #alive = true;

  /**
   * Shown once the server has said who may sign up, or has not said so in time. `invited`: the address is a
   * link to somebody or something.
   */
  constructor({ client, server, invited }) {
    Object.assign(this, { client, server });
    this.panel = h('div', { id: 'auth-panel' });
    this.card = h('div', { class: 'auth-card' }, h('h1', null, brand()), h('p', { class: 'tagline' }, invited ? 'You are invited. Come in, and you will be taken there.' : 'Say it once. It arrives.'), this.panel);
    this.el = h('main', { class: 'auth' }, this.card);
    server.read().then((info) => { if (this.#alive) this.#offer(info); });
  }

  destroy() { this.#alive = false; }

  #offer({ name, sign_ups }) {
    this.policy = POLICIES[sign_ups] ?? POLICIES.open;
    if (name && name !== 'Tidings') this.card.querySelector('.brand').lastElementChild.replaceChildren(h('bdi', null, name));
    const { modes } = this.policy;
    this.tabs = modes.map((mode) => h('button', { type: 'button', role: 'tab', id: `tab-${mode}`, 'aria-controls': 'auth-panel', onclick: () => this.show(mode) }, MODES[mode].tab));
    if (modes.length > 1) {
      this.panel.setAttribute('role', 'tabpanel');
      this.panel.before(h('div', { class: 'segments', role: 'tablist', 'aria-label': 'How to come in', onkeydown: (event) => { if (rove(event, this.tabs, { horizontal: true })) document.activeElement.click(); } }, this.tabs));
    }
    this.show(modes[0]);
    this.el.querySelector('input').focus();
  }

  show(mode) {
    this.tabs.forEach((tab) => {
      const on = tab.id === `tab-${mode}`;
      tab.setAttribute('aria-selected', String(on));
      tab.tabIndex = on ? 0 : -1;
    });
    const { action } = MODES[mode];
    const hint = this.policy[mode] ?? MODES[mode].hint;
    const { info } = this.server;
    const fields = {
      guest: () => [field('What should we call you?', 'display_name', { placeholder: 'Optional', dir: 'auto' }, nameRule(info))],
      signin: () => [field('Username', 'username', { ...USERNAME, autocomplete: 'username' }), field('Password', 'password', { type: 'password', required: true, autocomplete: 'current-password' })],
      signup: () => [usernameField(info), field('Display name', 'display_name', { placeholder: 'Optional', dir: 'auto' }, nameRule(info)), newPasswordField(info)],
    }[mode]();
    const asked = h('div', { class: 'more-fields' });
    const work = async (values) => {
      const known = Object.fromEntries(Object.entries(values).filter(([, value]) => value));
      try {
        await { guest: () => this.client.guest(known), signin: () => this.client.signIn(known), signup: () => this.client.signUp(known) }[mode]();
      } catch (error) {
        if (error.code === 'second_factor_needed' && !asked.hasChildNodes()) {
          asked.append(codeField());
          asked.querySelector('input').focus();
        }
        throw error;
      }
    };
    if (this.tabs.length > 1) this.panel.setAttribute('aria-labelledby', `tab-${mode}`);
    this.panel.replaceChildren(form({ fields: [fields, asked], action, work }), ...(hint ? [h('p', { class: 'hint' }, hint)] : []));
  }
}
