/** Beside a conversation: who is in it, their roles, inviting, its settings, leaving. */

import { h, icon, iconButton, onFrame, popover, reconcile } from './dom.js';
import { avatar, isolated, lastSeen, named, plural } from './format.js';
import { mutedFor } from './notes.js';
import { PeoplePicker } from './people.js';

const ROLE = { owner: 'Owner', admin: 'Admin', member: '' };
const RANK = { owner: 0, admin: 1, member: 2 };

export class Details {
  #off = []; #blocked = null; #bans = [];

  /** `actions`: close, confirm, rename, invite, fail, told, gone. */
  constructor({ client, store, id, actions }) {
    Object.assign(this, { client, store, id, actions });
    this.body = h('div', { class: 'details-body' });
    this.el = h('aside', { class: 'details', 'aria-label': 'Details', onkeydown: (event) => { if (event.key === 'Escape') { event.stopPropagation(); actions.close(); } } },
      h('header', { class: 'bar' }, h('div', { class: 'bar-in' }, h('h2', null, 'Details'), iconButton('close', 'Close details', () => actions.close()))), this.body);
    this.picker = new PeoplePicker({ client, label: 'Invite', id: 'invite', skip: (user) => store.room(id).members?.has(user), onPick: (user) => this.#try('Nobody was invited.', async () => { const added = await client.addMember(id, user.id); if (added.invited) actions.told(`${user.display_name} is asked, and joins by accepting.`); else store.loadMembers(id); }) });
    const render = onFrame(() => this.render());
    this.#off.push(store.on(`room:${id}`, render), store.on('people', render));
    this.#loadBlock();
    this.#loadBans();
    this.render();
  }

  destroy() { for (const off of this.#off) off(); }
  focus() { this.el.querySelector('button').focus(); }

  async #try(what, work) { try { await work(); } catch (error) { this.actions.fail(what, error); } }

  async #loadBlock() {
    const peer = this.client.conversations.get(this.id)?.peer;
    if (!peer) return;
    await this.#try('Blocks could not be read.', async () => { this.#blocked = (await this.client.api('GET', '/v1/blocks')).users.includes(peer); });
    this.render();
  }

  render() {
    const c = this.client.conversations.get(this.id);
    if (!c) return reconcile(this.body, []);
    const room = this.store.room(this.id);
    const direct = c.kind === 'direct';
    const items = [{ key: 'top', sig: JSON.stringify([this.store.title(c), c.topic, c.peer && this.store.presence.get(c.peer)?.state, c.join]), build: () => this.#top(c) }];
    const admin = c.role === 'owner' || c.role === 'admin';
    if (!direct && (admin || c.join === 'open')) items.push({ key: 'invite', sig: '', build: () => this.picker.el });
    if (!direct) items.push(...this.#members(c, room));
    if (!direct && admin && this.#bans.length) items.push({ key: 'bans', sig: JSON.stringify(this.#bans), build: () => this.#banned() });
    items.push({ key: 'actions', sig: JSON.stringify([c.role, this.#blocked]), build: () => this.#actions(c) });
    reconcile(this.body, items);
  }

  #top(c) {
    const title = this.store.title(c);
    const presence = this.store.presence.get(c.peer);
    const username = this.store.person(c.peer)?.username;
    const glyph = c.kind === 'direct' ? null : icon(c.kind === 'channel' ? 'hash' : 'people');
    const about = { direct: username ? `@${username}` : 'Guest', group: c.join === 'open' ? 'Open group' : 'Group, by invitation', channel: c.join === 'invite' ? 'Channel, by invitation' : 'Open channel' }[c.kind];
    return h('div', { class: 'details-top' }, avatar(c.peer ?? c.id, title, { large: true, glyph }), h('strong', null, named(title)), h('span', { class: 'sub' }, about), c.topic && h('span', { class: 'topic', dir: 'auto' }, c.topic),
      presence && h('span', { class: 'sub' }, presence.state === 'online' ? 'Online' : presence.state === 'away' ? 'Away' : lastSeen(presence.last_seen)),
      c.kind !== 'direct' && c.join === 'open' && h('button', { type: 'button', class: 'secondary', onclick: () => this.actions.invite(c) }, icon('link'), 'Invite with a link'));
  }

  #members(c, room) {
    if (!room.members) return [{ key: 'members', sig: 'loading', build: () => h('div', { class: 'top' }, h('span', { class: 'spinner', role: 'img', 'aria-label': 'Loading members' })) }];
    const members = [...room.members.values()].sort((a, b) => (RANK[a.role] ?? 3) - (RANK[b.role] ?? 3) || this.store.name(a.user).localeCompare(this.store.name(b.user)));
    const views = members.map(({ user, username, role, muted_until }) => ({ user, muted: mutedFor({ muted_until }) > 0, username: username ?? this.store.person(user)?.username, role, name: this.store.name(user), state: this.store.presence.get(user)?.state, me: user === this.client.user?.id }));
    const count = Math.max(c.kind === 'channel' ? c.member_count ?? 0 : 0, members.length);
    return [{ key: 'members', sig: JSON.stringify([views, c.role, count, room.members_cursor]), build: () => h('section', { class: 'members' }, h('h3', null, plural(count, 'member')), h('ul', null, views.map((view) => this.#member(c, view))),
      room.members_cursor && h('button', { type: 'button', class: 'link', onclick: () => this.store.loadMembers(this.id, { more: true }) }, 'Show more')) }];
  }

  #member(c, view) {
    const acts = this.#memberActions(c, view);
    const menu = (event) => popover(event.currentTarget, view.name, acts.map(([label, act, danger]) => h('button', { type: 'button', role: 'menuitem', class: danger ? 'danger' : '', onclick: act }, label)));
    return h('li', { class: 'member', 'data-username': view.username }, avatar(view.user, view.name, { presence: view.me ? 'online' : view.state === 'offline' ? null : view.state }),
      h('span', { class: 'who-text' }, h('strong', null, named(view.name), view.me && ' (you)'), h('span', { class: 'sub' }, [view.username ? `@${view.username}` : 'Guest', view.muted && 'muted'].filter(Boolean).join(' · '))),
      ROLE[view.role] && h('span', { class: 'role' }, ROLE[view.role]), acts.length > 0 && iconButton('more', `Actions for ${view.name}`, menu, { 'aria-haspopup': 'menu' }));
  }

  /** Keeps a member from writing for so long, or, without a time, lets them write again. */
  #mute(user, duration_s) {
    const path = `/v1/conversations/${encodeURIComponent(this.id)}/members/${encodeURIComponent(user)}/mute`;
    return () => this.#try('The mute was not changed.', async () => {
      await (duration_s ? this.client.api('PUT', path, { body: { duration_s } }) : this.client.api('DELETE', path));
      this.store.loadMembers(this.id);
    });
  }

  /** Who is banned, for an admin's eyes. */
  async #loadBans() {
    const id = this.id;
    const role = this.client.conversations.get(id)?.role;
    if (role !== 'owner' && role !== 'admin') return;
    try {
      const { bans } = await this.client.bans(id);
      if (id !== this.id) return;
      this.#bans = bans;
      this.render();
    } catch { /* the list comes with the next look */ }
  }

  #banned() {
    const lift = ({ user }) => () => this.#try('The ban was not lifted.', async () => { await this.client.unban(this.id, user); this.#loadBans(); });
    return h('section', { class: 'members banned' }, h('h3', null, 'Banned'), h('ul', null, this.#bans.map((ban) => h('li', { class: 'member' }, avatar(ban.user, ban.display_name, {}),
      h('span', { class: 'who-text' }, h('strong', null, named(ban.display_name)), h('span', { class: 'sub' }, ban.reason ?? '')),
      h('button', { type: 'button', class: 'link', 'aria-label': `Lift the ban on ${ban.display_name}`, onclick: lift(ban) }, 'Lift')))));
  }

  #memberActions(c, { user, name, role, me, muted }) {
    if (me) return [];
    const acts = [];
    const change = (to) => () => this.#try('The role was not changed.', async () => { await this.client.setRole(this.id, user, to); this.store.loadMembers(this.id); });
    if (c.role === 'owner') {
      acts.push(role === 'admin' ? ['Make member', change('member')] : ['Make admin', change('admin')]);
      acts.push(['Hand over ownership', async () => {
        if (await this.actions.confirm({ title: `Make ${isolated(name)} the owner?`, text: 'You stay as an admin. Only the new owner can hand it back.', action: 'Hand over', danger: true })) change('owner')();
      }]);
    }
    if (c.role === 'owner' || (c.role === 'admin' && role === 'member')) {
      acts.push(muted ? ['Unmute', this.#mute(user, null)] : ['Mute for an hour', this.#mute(user, 3_600)]);
      acts.push(['Ban', async () => {
        if (!(await this.actions.confirm({ title: `Ban ${isolated(name)}?`, text: 'They are removed, and nobody can add them until you lift the ban below the list of members.', action: 'Ban', danger: true }))) return;
        this.#try('Nobody was banned.', async () => { await this.client.ban(this.id, user); this.store.loadMembers(this.id); this.#loadBans(); });
      }, true]);
      acts.push(['Remove', async () => {
        if (!(await this.actions.confirm({ title: `Remove ${isolated(name)}?`, text: 'They stop seeing new messages at once.', action: 'Remove', danger: true }))) return;
        this.#try('Nobody was removed.', async () => { await this.client.removeMember(this.id, user); this.store.loadMembers(this.id); });
      }, true]);
    }
    acts.push(['Message', () => this.#try('The conversation could not be opened.', async () => this.actions.open((await this.client.createConversation({ kind: 'direct', members: [user] })).id))]);
    return acts;
  }

  #actions(c) {
    const button = (label, act, danger, glyph) => h('button', { type: 'button', class: `line-button${danger ? ' danger' : ''}`, onclick: act }, icon(glyph), label);
    const list = [];
    if (c.kind === 'direct') {
      const blocked = this.#blocked;
      if (blocked !== null) list.push(button(blocked ? 'Unblock' : 'Block', () => this.#block(c, !blocked), !blocked, 'close'));
    } else {
      if (c.role === 'owner' || c.role === 'admin') list.push(button('Change name or topic', () => this.actions.rename(c), false, 'edit'));
      list.push(button('Leave', () => this.#leave(c), true, 'leave'));
      if (c.role === 'owner') list.push(button('Delete for everyone', () => this.#erase(c), true, 'trash'));
    }
    return h('div', { class: 'details-actions' }, list);
  }

  #block(c, on) {
    return this.#try('That did not work.', async () => {
      if (on && !(await this.actions.confirm({ title: `Block ${isolated(this.store.title(c))}?`, text: 'Until you unblock, neither of you can write to the other, or sees whether the other is there, types or has read.', action: 'Block', danger: true }))) return;
      await this.client.api(on ? 'PUT' : 'DELETE', `/v1/blocks/${encodeURIComponent(c.peer)}`);
      this.#blocked = on;
      if (!on) this.client.rewatch([c.peer]);
      this.render();
    });
  }

  async #leave(c) {
    const title = this.store.title(c);
    if (!(await this.actions.confirm({ title: `Leave ${isolated(title)}?`, text: c.join === 'open' ? 'You can come back with its link.' : 'Someone has to invite you back.', action: 'Leave', danger: true }))) return;
    this.#try('You are still in it.', async () => { await this.client.leave(this.id); this.actions.gone(); });
  }

  async #erase(c) {
    if (!(await this.actions.confirm({ title: `Delete ${isolated(this.store.title(c))}?`, text: 'All of its messages go, for everyone, for good.', action: 'Delete', danger: true }))) return;
    this.#try('It was not deleted.', async () => { await this.client.deleteConversation(this.id); this.actions.gone(); });
  }
}
