/**
 * The dialogs: confirm, new conversation, account, claim. Each is a native dialog: focus stays in it and
 * Escape closes it.
 */

import { field, form, newPasswordField, usernameField } from './auth.js';
import { h, icon, iconButton, rove } from './dom.js';
import { PeoplePicker } from './people.js';
import { nameRule, topicRule } from './server.js';
import { PrivacyChoices } from './privacy.js';
import { SecondFactor } from './second_factor.js';
import { Sessions } from './sessions.js';

export function openDialog(title, content, { className = '' } = {}) {
  const dialog = h('dialog', { class: `dialog ${className}`, 'aria-label': title });
  const close = () => dialog.close();
  dialog.append(h('header', { class: 'dialog-bar' }, h('h2', null, title), iconButton('close', 'Close', close)), ...[content(close)].flat());
  dialog.addEventListener('close', () => dialog.remove());
  dialog.addEventListener('pointerdown', (event) => { if (event.target === dialog) close(); });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Answers true when the action was chosen. */
export function confirm({ title, text, action, danger = false }) {
  return new Promise((resolve) => {
    let chosen = false;
    const dialog = openDialog(title, (close) => [h('p', { class: 'dialog-text' }, text), h('div', { class: 'dialog-actions' },
      h('button', { type: 'button', class: 'secondary', onclick: close }, 'Cancel'),
      h('button', { type: 'button', class: danger ? 'primary danger' : 'primary', 'data-confirm': true, onclick: () => { chosen = true; close(); } }, action))], { className: 'narrow' });
    dialog.querySelector('[data-confirm]').focus();
    dialog.addEventListener('close', () => resolve(chosen));
  });
}

function choice(name, legend, options) {
  return h('fieldset', { class: 'choice' }, h('legend', null, legend), options.map(([value, label], index) => h('label', null, h('input', { type: 'radio', name, value, checked: index === 0 }), h('span', null, label))));
}

/** Takes an id, or any link that ends in one. */
export function conversationId(text) {
  const tail = text.trim().split('#/join/').at(-1);
  try { return decodeURIComponent(tail); } catch { return tail; }
}

export const conversationName = (info, value) => field('Name', 'name', { value, required: true, dir: 'auto' }, nameRule(info));
export const conversationTopic = (info, value) => field('Topic', 'topic', { value, dir: 'auto' }, topicRule(info));

const HISTORY = (first) => [['from_join', 'From when they join'], ['all', 'Everything']].sort(([a]) => (a === first ? -1 : 1));

/** `open(id)` shows a conversation once it is there. */
/** `join(id)` shows what a link leads to, `browse()` the open channels. */
export function newConversation({ client, server, open, join, browse, mode = 'person' }) {
  const modes = { person: 'Person', group: 'Group', channel: 'Channel', join: 'Join' };
  openDialog('New conversation', (close) => {
    const panel = h('div', { role: 'tabpanel', id: 'new-panel' });
    const done = (c) => { close(); open(c.id); };
    const tabs = Object.entries(modes).map(([key, label]) => h('button', { type: 'button', role: 'tab', 'data-mode': key, 'aria-controls': 'new-panel', onclick: () => show(key) }, label));
    const show = (key) => {
      for (const tab of tabs) { tab.setAttribute('aria-selected', String(tab.dataset.mode === key)); tab.tabIndex = tab.dataset.mode === key ? 0 : -1; }
      panel.replaceChildren(views[key]());
      panel.querySelector('input').focus();
    };
    const views = {
      person: () => {
        const problem = h('p', { class: 'problem', role: 'alert' });
        const picker = new PeoplePicker({ client, label: 'Who would you like to write to?', id: 'person', onPick: async (user) => {
          try { done(await client.createConversation({ kind: 'direct', members: [user.id] })); } catch (error) { problem.textContent = error.message; }
        } });
        return h('div', { class: 'form roomy' }, picker.el, problem);
      },
      group: () => {
        const picker = new PeoplePicker({ client, label: 'People', several: true, id: 'members' });
        return form({ action: 'Create group', fields: [conversationName(server.info), picker.el, choice('history', 'New members see', HISTORY('from_join'))],
          work: async ({ name, history }) => done(await client.createConversation({ kind: 'group', name, history, members: [...picker.chosen.keys()] })) });
      },
      channel: () => form({ action: 'Create channel', fields: [conversationName(server.info), choice('join', 'Who may join', [['open', 'Anyone with the link'], ['invite', 'Only those invited']]), choice('history', 'New members see', HISTORY('all'))],
        work: async ({ name, join, history }) => done(await client.createConversation({ kind: 'channel', name, join, history })) }),
      join: () => h('div', { class: 'form' }, form({ action: 'Look', fields: [field('Link or id', 'id', { required: true, autocapitalize: 'none', spellcheck: 'false', dir: 'ltr' }, 'Members find the link of an open conversation under Details.')],
        work: async ({ id }) => { close(); join(conversationId(id)); } }),
      h('button', { type: 'button', class: 'secondary', onclick: () => { close(); browse(); } }, icon('hash'), 'Browse open channels')),
    };
    const strip = h('div', { class: 'segments', role: 'tablist', 'aria-label': 'Kind', onkeydown: (event) => { if (rove(event, tabs, { horizontal: true })) { const { mode: key } = document.activeElement.dataset; show(key); tabs.find((tab) => tab.dataset.mode === key).focus(); } } }, tabs);
    queueMicrotask(() => show(mode));
    return [strip, panel];
  });
}

export function claimDialog({ client, server, told }) {
  openDialog('Claim your account', (close) => [h('p', { class: 'dialog-text' }, 'Choose a username and password. Your messages and conversations stay, and you can sign in anywhere.'),
    form({ action: 'Claim account', fields: [usernameField(server.info), newPasswordField(server.info)],
      work: async (values) => { const user = await client.claim(values); close(); told(`You are @${user.username} now.`); } })], { className: 'narrow' });
}

/** What is lost by signing out, or nothing. */
function signOutCosts(user, unsent) {
  const costs = [user.guest && 'Without claiming, this guest and its messages are out of reach: nobody can sign in to it again.', unsent && 'Messages that were not sent yet are lost.'];
  return costs.filter(Boolean).join(' ');
}

export function accountDialog({ client, store, server, told, claim }) {
  const me = client.user;
  openDialog('Account', (close) => [
    form({ action: 'Save', fields: [field('Display name', 'display_name', { value: me.display_name ?? '', required: true, dir: 'auto' }, nameRule(server.info))],
      work: async (values) => { await client.updateMe(values); close(); told('Saved.'); } }),
    new PrivacyChoices({ client }).el,
    new Sessions({ client }).el,
    me.username && new SecondFactor({ client, told }).el,
    h('div', { class: 'dialog-foot' },
      h('span', { class: 'sub' }, me.username ? `Signed in as @${me.username}` : 'Guest on this device'),
      me.guest && h('button', { type: 'button', class: 'secondary', onclick: () => { close(); claim(); } }, 'Claim your account'),
      h('button', { type: 'button', class: 'secondary', 'data-action': 'sign-out', onclick: async () => {
        close();
        const lost = signOutCosts(client.user, client.outbox.length);
        if (lost && !(await confirm({ title: 'Sign out?', text: lost, action: 'Sign out', danger: true }))) return;
        store.drafts.forget();
        client.signOut();
      } }, 'Sign out'))], { className: 'narrow' });
}
