/** How people, times and texts are shown. */

import { attachmentsOf } from './attachments.js';
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

/** For a session: when it was used last, and when it began. */
export function lastUsed(value) {
  const days = daysAgo(value);
  if (days <= 0) return `used today at ${timeOf(value)}`;
  return days === 1 ? 'used yesterday' : `used on ${date.format(new Date(value))}`;
}
export const since = (value) => `Since ${date.format(new Date(value))}`;

function hue(text) {
  let sum = 0;
  for (const char of text) sum = (sum * 31 + char.codePointAt(0)) % 9973;
  return sum % 8;
}

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** What a reader counts as one character, such as a family of emoji or a letter with its accents. */
export const characters = (text) => Array.from(graphemes.segment(text), ({ segment }) => segment);

const TELLING = /[\p{L}\p{N}\p{Extended_Pictographic}]/u;

/** The first telling character of a name's first and last word, or of its only word. */
export function initials(name) {
  const words = (name || '?').trim().split(/[\s._-]+/).filter(Boolean);
  const firsts = (words.length > 1 ? [words[0], words.at(-1)] : [words[0] ?? '?']).map((word) => characters(word).find((one) => TELLING.test(one)) ?? characters(word)[0]);
  return firsts.join('').toUpperCase();
}

/** Initials in a colour of one's own; `presence` adds the dot. */
export function avatar(id, name, { presence, large, glyph } = {}) {
  return h('span', { class: `avatar hue-${hue(id)}${large ? ' large' : ''}`, 'aria-hidden': 'true' },
    glyph ?? initials(name), presence && h('span', { class: `dot ${presence}` }));
}

/** A name in a sentence: its direction, and the marks around it, are its own. */
export const named = (name) => h('bdi', null, name);

/** Texts, and {name} where a name stands, as nodes. */
export const worded = (parts) => parts.map((part) => (part.name === undefined ? part : named(part.name)));

/** A name in a text that cannot hold elements, such as a label: the same by invisible marks. */
export const isolated = (name) => `\u2068${name}\u2069`;

const INLINE = /\b(?<url>https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]])|(?<![\w@])@[\w.-]{2,64}/gi;

/**
 * Neither links nor mentions decide the direction of the text around them, so each is an element of its own.
 */
function pieces(text, link) {
  const nodes = [];
  let at = 0;
  for (const { 0: found, index, groups } of text.matchAll(INLINE)) {
    nodes.push(text.slice(at, index), groups.url ? link(found) : named(found));
    at = index + found.length;
  }
  return [...nodes, text.slice(at)].filter((node) => node !== '');
}

/** A message's text as nodes: links become links, everything else stays text. */
export const richText = (text) => pieces(text, (url) => h('a', { href: url, dir: 'ltr', target: '_blank', rel: 'noopener noreferrer' }, url));

/** The same for a preview or a quote, where a link cannot be followed. */
export const previewText = (text) => pieces(text, (url) => h('span', { dir: 'ltr' }, url));

/** One or a few emoji alone are shown large. */
export const onlyEmoji = (text) => /^(?:\p{Extended_Pictographic}(?:\u200d\p{Extended_Pictographic}|[\ufe0f\u{1f3fb}-\u{1f3ff}])*\s*){1,3}$/u.test(text);

/** What a message says that has neither text nor attachments. */
export const NO_TEXT = 'Data message, for programs';

/** One line that stands for a message, in the list and in quotes. */
export function oneLine(message) {
  if (!message) return '';
  if (message.deleted) return 'Message deleted';
  const text = (message.body ?? '').replace(/\s+/g, ' ').trim();
  if (text) return text.slice(0, 200);
  return attachmentsOf(message)[0]?.name ?? NO_TEXT;
}

export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString()} ${count === 1 ? one : many}`;
