/** The first page: play at once as a guest, sign in, or make an account. */

import { h, rove } from './dom.js';

const MODES = {
  guest: { tab: 'Guest', action: 'Start chatting', hint: 'No account needed. You can claim yours later and keep everything.' },
  signin: { tab: 'Sign in', action: 'Sign in', hint: '' },
  signup: { tab: 'New account', action: 'Create account', hint: '' },
};

export function field(label, name, more = {}, help) {
  const input = h('input', { name, id: `field-${name}`, autocomplete: 'off', ...more });
  return h('div', { class: 'field' }, h('label', { for: `field-${name}` }, label), input, help && h('small', null, help));
}

export const USERNAME = { autocapitalize: 'none', spellcheck: 'false', maxlength: 64, required: true };

export function brand() {
  return h('span', { class: 'brand' }, h('img', { src: '/icon.svg', alt: '', width: 32, height: 32 }), h('span', null, 'Tidings'));
}

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
      await work(Object.fromEntries([...new FormData(el)].map(([key, value]) => [key, key === 'password' ? value : value.trim()])));
    } catch (error) {
      problem.textContent = error.message;
    }
    button.disabled = false;
  });
  return el;
}

export class Auth {
  constructor({ client }) {
    this.client = client;
    this.tabs = Object.entries(MODES).map(([mode, { tab }]) => h('button', { type: 'button', role: 'tab', id: `tab-${mode}`, 'aria-controls': 'auth-panel', onclick: () => this.show(mode) }, tab));
    this.panel = h('div', { role: 'tabpanel', id: 'auth-panel' });
    const strip = h('div', { class: 'segments', role: 'tablist', 'aria-label': 'How to come in', onkeydown: (event) => { if (rove(event, this.tabs, { horizontal: true })) document.activeElement.click(); } }, this.tabs);
    this.el = h('main', { class: 'auth' }, h('div', { class: 'auth-card' }, h('h1', null, brand()), h('p', { class: 'tagline' }, 'Say it once. It arrives.'), strip, this.panel));
    this.show('guest');
  }

  destroy() {}

  show(mode) {
    this.tabs.forEach((tab) => {
      const on = tab.id === `tab-${mode}`;
      tab.setAttribute('aria-selected', String(on));
      tab.tabIndex = on ? 0 : -1;
    });
    const { action, hint } = MODES[mode];
    const fields = {
      guest: [field('What should we call you?', 'display_name', { placeholder: 'Optional', maxlength: 64 })],
      signin: [field('Username', 'username', { ...USERNAME, autocomplete: 'username' }), field('Password', 'password', { type: 'password', required: true, autocomplete: 'current-password' })],
      signup: [field('Username', 'username', { ...USERNAME, autocomplete: 'username' }), field('Display name', 'display_name', { placeholder: 'Optional', maxlength: 64 }),
        field('Password', 'password', { type: 'password', required: true, minlength: 8, autocomplete: 'new-password' }, 'At least 8 characters.')],
    }[mode];
    const work = (values) => {
      const known = Object.fromEntries(Object.entries(values).filter(([, value]) => value));
      return { guest: () => this.client.guest(known), signin: () => this.client.signIn(known), signup: () => this.client.signUp(known) }[mode]();
    };
    this.panel.setAttribute('aria-labelledby', `tab-${mode}`);
    this.panel.replaceChildren(form({ fields, action, work }), ...(hint ? [h('p', { class: 'hint' }, hint)] : []));
  }
}
