/**
 * How well a name answers what was typed: the whole name, its beginning, the beginning of a word in it, a
 * part of it.
 */

const plain = (text) => text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
const WORD_START = /(?<![\p{L}\p{N}])/u;

/** 0 is the best, `Infinity` does not match. The best of several names counts. */
export function rank(typed, ...names) {
  const wanted = plain(typed.trim());
  if (!wanted) return 0;
  return Math.min(...names.filter(Boolean).map((name) => {
    const text = plain(name);
    if (text === wanted) return 0;
    if (text.startsWith(wanted)) return 1;
    if (text.split(WORD_START).some((part) => part.startsWith(wanted))) return 2;
    return text.includes(wanted) ? 3 : Infinity;
  }), Infinity);
}

/**
 * Those of `items` that match, the best first; equally good ones stay in their order. `names(item)` gives the
 * names to compare.
 */
export function ranked(typed, items, names) {
  return items.map((item) => ({ item, at: rank(typed, ...names(item)) })).filter(({ at }) => at < Infinity)
    .sort((a, b) => a.at - b.at).map(({ item }) => item);
}
