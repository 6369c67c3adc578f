/** How people, times and texts are shown. */

import { h } from './dom.js';

const clock = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'short' });
const longWeekday = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const date = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const longDate = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });

const DAY_MS = 86_400_000;
const midnight = (value) => new Date(value).setHours(0, 0, 0, 0);
const daysAgo = (value) => Math.round((midnight(Date.now()) - midnight(value)) / DAY_MS);

export const timeOf = (value) => clock.format(new Date(value));
export const fullTime = (value) => full.format(new Date(value));
export const dayKey = (value) => midnight(value);

/** For the list: the time today, then the weekday, then the date. */
export function shortTime(value) {
  const days = daysAgo(value);
  const day = new Date(value);
  if (days <= 0) return clock.format(day);
  return days < 7 ? weekday.format(day) : date.format(day);
}

/** For the line between two days. */
export function dayName(value) {
  const days = daysAgo(value);
  if (days <= 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return days < 300 ? longWeekday.format(new Date(value)) : longDate.format(new Date(value));
}

export function lastSeen(value) {
  if (!value) return 'Offline';
  const days = daysAgo(value);
  if (days <= 0) return `Last seen at ${timeOf(value)}`;
  return days === 1 ? 'Last seen yesterday' : `Last seen on ${date.format(new Date(value))}`;
}

function hue(text) {
  let sum = 0;
  for (const char of text) sum = (sum * 31 + char.codePointAt(0)) % 9973;
  return sum % 8;
}

/** Initials in a colour of one's own; `presence` adds the dot. */
export function avatar(id, name, { presence, large, glyph } = {}) {
  const words = (name || '?').trim().split(/[\s._-]+/).filter(Boolean);
  const letters = words.length > 1 ? [...words[0]][0] + [...words.at(-1)][0] : [...(words[0] ?? '?')].slice(0, 1).join('');
  return h('span', { class: `avatar hue-${hue(id)}${large ? ' large' : ''}`, 'aria-hidden': 'true' },
    glyph ?? letters.toUpperCase(), presence && h('span', { class: `dot ${presence}` }));
}

const URL_PATTERN = /\bhttps?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]]/gi;

/** A message's text as nodes: links become links, everything else stays text. */
export function richText(text) {
  const nodes = [];
  let at = 0;
  for (const { 0: url, index } of text.matchAll(URL_PATTERN)) {
    nodes.push(text.slice(at, index), h('a', { href: url, target: '_blank', rel: 'noopener noreferrer' }, url));
    at = index + url.length;
  }
  return [...nodes, text.slice(at)].filter((node) => node !== '');
}

/** One or a few emoji alone are shown large. */
export const onlyEmoji = (text) => /^(?:\p{Extended_Pictographic}(?:\u200d\p{Extended_Pictographic}|[\ufe0f\u{1f3fb}-\u{1f3ff}])*\s*){1,3}$/u.test(text);

/** One line that stands for a message, in the list and in quotes. */
export function oneLine(message) {
  if (!message) return '';
  if (message.deleted) return 'Message deleted';
  const text = (message.body ?? '').replace(/\s+/g, ' ').trim();
  if (text) return text.slice(0, 200);
  return message.attachments?.length ? 'Attachment' : 'Game data';
}

export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString()} ${count === 1 ? one : many}`;
