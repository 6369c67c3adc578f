/**
 * One line of a conversation: a message with its quote, reactions, state and tools, or a note between
 * messages.
 */

import { h, icon, iconButton, popover } from './dom.js';
import { NO_TEXT, avatar, fullTime, isolated, named, onlyEmoji, previewText, richText, timeOf, worded } from './format.js';

const QUICK = ['👍', '❤️', '😂', '🎉', '😮', '😢', '🙏', '🔥'];
const STATUS = {
  queued: ['clock', 'Waiting to be sent'],
  sending: ['clock', 'Sending'],
  sent: ['sent', 'Sent'],
  delivered: ['delivered', 'Delivered'],
  read: ['delivered', 'Read'],
  failed: ['warn', 'Not sent'],
};

export const KEYS_HELP = 'Arrow keys move between messages. R replies, E edits, Delete deletes, plus reacts.';

export function openPicker(anchor, onPick) {
  const pick = (emoji) => h('button', { type: 'button', role: 'menuitem', class: 'pick', 'aria-label': `React with ${emoji}`, onclick: () => onPick(emoji) }, emoji);
  popover(anchor, 'React', h('div', { class: 'picker' }, QUICK.map(pick)));
}

function quote(view, on) {
  if (!view.quote) return null;
  return h('button', { type: 'button', class: 'quote', onclick: () => on.jump(view.quote.seq) },
    h('span', { class: 'unseen' }, 'In reply to '), h('bdi', { class: 'quote-name' }, view.quote.name), h('span', { class: 'quote-text', dir: 'auto' }, previewText(view.quote.text)));
}

function meta(view) {
  const [name, label] = STATUS[view.status] ?? [];
  return h('span', { class: 'meta' },
    view.edited && h('span', null, 'edited'),
    view.sent_at && h('time', { dir: 'auto', datetime: view.sent_at, title: fullTime(view.sent_at) }, timeOf(view.sent_at)),
    name && h('span', { class: `ticks ${view.status}`, role: 'img', 'aria-label': label, title: label }, icon(name)));
}

function content(view) {
  if (view.deleted) return h('span', { class: 'gone' }, 'Message deleted');
  if (view.body) return h('span', { class: 'text' }, richText(view.body));
  return view.attachments.length ? null : h('span', { class: 'gone' }, NO_TEXT);
}

function attachments(view) {
  if (view.deleted || !view.attachments.length) return null;
  const line = ({ name, url }) => [icon('file'), url ? h('a', { href: url, target: '_blank', rel: 'noopener noreferrer' }, named(name)) : named(name)];
  return h('ul', { class: 'attachments', 'aria-label': 'Attachments' }, view.attachments.map((attachment) => h('li', null, line(attachment))));
}

function reactions(view, on) {
  if (!view.reactions.length) return null;
  return h('div', { class: 'reactions' }, view.reactions.map(({ emoji, count, me }) => h('button', {
    type: 'button', class: 'reaction', 'aria-pressed': String(me), 'aria-label': `${emoji} ${count}${me ? ', yours' : ''}`, onclick: () => on.react(view, emoji, !me),
  }, h('span', null, emoji), h('span', { class: 'count' }, count))));
}

function tools(view, on) {
  if (view.pending || view.deleted) return null;
  const picker = (event) => openPicker(event.currentTarget, (emoji) => on.react(view, emoji, true));
  return h('div', { class: 'tools', role: 'toolbar', 'aria-label': 'Message' },
    iconButton('smile', 'React', picker, { 'aria-haspopup': 'menu' }),
    iconButton('reply', 'Reply', () => on.reply(view)),
    view.mine && view.body && iconButton('edit', 'Edit', () => on.edit(view)),
    view.can_delete && iconButton('trash', 'Delete', () => on.remove(view)));
}

function trouble(view, on) {
  if (view.status !== 'failed') return null;
  return h('div', { class: 'trouble' }, h('span', null, `Not sent: ${view.error}`),
    h('button', { type: 'button', class: 'link', onclick: () => on.retry(view) }, 'Try again'),
    h('button', { type: 'button', class: 'link', onclick: () => on.discard(view) }, 'Discard'));
}

/**
 * A message. `view` is plain data (see thread.js); `on` has react, reply, edit, remove, jump, retry and
 * discard.
 */
export function messageRow(view, on) {
  const classes = ['msg', view.mine ? 'mine' : 'theirs', view.first && 'first', view.last && 'last', view.pending && 'pending', view.mentioned && 'mentioned'];
  const large = view.body && !view.deleted && !view.quote && onlyEmoji(view.body);
  const said = view.deleted ? 'deleted a message' : [view.body, ...view.attachments.map(({ name }) => name)].filter(Boolean).join(', ') || NO_TEXT;
  const row = h('article', {
    class: classes.filter(Boolean).join(' '), tabindex: -1, 'data-seq': view.seq, 'data-status': view.status, 'data-client-id': view.client_id,
    'aria-label': `${view.mine ? 'You' : isolated(view.name)}: ${said}`,
  },
  view.avatars && h('span', { class: 'gutter' }, view.last && avatar(view.sender, view.name)),
  h('div', { class: 'stack' },
    view.first && view.avatars && h('bdi', { class: 'author' }, view.name),
    h('div', { class: `bubble${large ? ' emoji' : ''}` }, quote(view, on), attachments(view), h('div', { class: 'said', dir: 'auto' }, content(view), meta(view))),
    reactions(view, on), trouble(view, on)),
  tools(view, on));
  row.addEventListener('keydown', (event) => {
    if (event.target !== row || event.ctrlKey || event.metaKey || event.altKey || view.pending || view.deleted) return;
    const act = {
      r: () => on.reply(view),
      e: () => view.mine && view.body && on.edit(view),
      Delete: () => view.can_delete && on.remove(view),
      '+': () => openPicker(row.querySelector('.bubble'), (emoji) => on.react(view, emoji, true)),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  return row;
}

export function note(parts, kind) { return h('div', { class: `note ${kind}` }, h('span', null, worded([parts].flat()))); }
