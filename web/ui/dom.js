/** Elements, icons and lists. Text only ever enters the page as text: nothing here, or anywhere, parses a string as HTML. */

const SVG = 'http://www.w3.org/2000/svg';

/** An element. `props`: `class`, `on<event>`, `dataset`, properties given as non-strings, else attributes; null and false are left out. */
export function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'class') el.className = value;
    else if (name === 'dataset') Object.assign(el.dataset, value);
    else if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
    else if (value === true) el.setAttribute(name, '');
    else el.setAttribute(name, value);
  }
  el.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return el;
}

const ICONS = {
  back: 'M15 5l-7 7 7 7',
  plus: 'M12 5v14M5 12h14',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20 20l-4-4',
  send: 'M4 12l16-8-6 17-3-7-7-2z',
  close: 'M6 6l12 12M18 6L6 18',
  reply: 'M10 8L5 13l5 5M5 13h9a5 5 0 0 1 5 5',
  edit: 'M4 20h4L19 9l-4-4L4 16v4zM13 7l4 4',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  smile: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM8.5 14a4 4 0 0 0 7 0M9 9.5v.5M15 9.5v.5',
  info: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 11v5M12 8v.1',
  people: 'M9 5a3.2 3.2 0 1 0 0 6.4A3.2 3.2 0 0 0 9 5zM3 19a6 6 0 0 1 12 0M16 5.5a3 3 0 0 1 0 5.6M17 14a6 6 0 0 1 4 5',
  hash: 'M9 4L7 20M17 4l-2 16M4.5 9h16M3.5 15h16',
  link: 'M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1',
  down: 'M12 5v13M6 13l6 6 6-6',
  clock: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4l3 2',
  sent: 'M6 12.5l4 4 8-9',
  delivered: 'M2.5 12.5l4 4 8-9M11 16l.5.5 8-9',
  warn: 'M12 4l9 16H3L12 4zM12 10v4M12 17v.1',
  more: 'M6 12h.1M12 12h.1M18 12h.1',
  leave: 'M10 5H5v14h5M14 8l4 4-4 4M18 12H9',
  file: 'M6 3h8l4 4v14H6zM14 3v4h4',
  chat: 'M4 5h16v11H10l-4 4v-4H4z',
};

/** A line icon; decoration only, so its button or label says what it means. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('class', `icon icon-${name}`);
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

export function iconButton(name, label, onclick, more = {}) {
  return h('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label, onclick, ...more }, icon(name));
}

const kept = new WeakMap();

/** What stands in a rebuilt element where the focus was. */
function likeness(el, focused) {
  const same = (other) => other.tagName === focused.tagName && other.getAttribute('aria-label') === focused.getAttribute('aria-label') && other.name === focused.name;
  return [...el.querySelectorAll('button, a, input')].find(same) ?? el;
}

/**
 * Makes `parent` hold exactly `items` [{key, sig, build}] in order. An element is built again only when its `sig` changed,
 * and the focus stays where it was, on the rebuilt or moved element.
 */
export function reconcile(parent, items) {
  const before = kept.get(parent) ?? new Map();
  const after = new Map();
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  let refocus = focused;
  let cursor = parent.firstChild;
  for (const { key, sig, build } of items) {
    let entry = before.get(key);
    before.delete(key);
    if (entry?.sig !== sig) {
      const el = build();
      if (entry) {
        if (focused && entry.el.contains(focused)) refocus = likeness(el, focused);
        if (cursor === entry.el) cursor = el;
        entry.el.replaceWith(el);
      }
      entry = { el, sig };
    }
    if (entry.el === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(entry.el, cursor);
    after.set(key, entry);
  }
  for (const { el } of before.values()) el.remove();
  kept.set(parent, after);
  if (refocus?.isConnected && document.activeElement !== refocus) refocus.focus({ preventScroll: true });
}

export function elementFor(parent, key) { return kept.get(parent)?.get(key)?.el ?? null; }

/** Runs `fn` once before the next paint, however often it is asked. A hidden page paints nothing, so there a short wait stands in. */
export function onFrame(fn) {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    const run = () => { due = false; fn(); };
    if (document.hidden) setTimeout(run, 200);
    else requestAnimationFrame(run);
  };
}

/** Moves the focus among `elements` with the arrow keys, Home and End. Answers whether the key was one of them. */
export function rove(event, elements, { horizontal = false } = {}) {
  const [previous, next] = horizontal ? ['ArrowLeft', 'ArrowRight'] : ['ArrowUp', 'ArrowDown'];
  const at = elements.findIndex((el) => el.contains(document.activeElement));
  const to = { [previous]: Math.max(0, at - 1), [next]: Math.min(elements.length - 1, at + 1), Home: 0, End: elements.length - 1 }[event.key];
  if (to === undefined || !elements.length || event.ctrlKey || event.metaKey || event.altKey) return false;
  event.preventDefault();
  elements[to].focus();
  return true;
}

/** A small panel beside `anchor`, closed by Escape, by a click elsewhere and by losing the focus; the focus then returns. */
export function popover(anchor, label, content) {
  const back = document.activeElement;
  const panel = h('div', { class: 'popover', role: 'menu', 'aria-label': label }, content);
  (anchor.closest('main, aside, nav, dialog') ?? document.body).append(panel);
  const [box, own] = [anchor.getBoundingClientRect(), panel.getBoundingClientRect()];
  const above = box.top - own.height - 6;
  panel.style.top = `${above > 8 ? above : Math.min(box.bottom + 6, innerHeight - own.height - 8)}px`;
  panel.style.left = `${Math.max(8, Math.min(box.left + box.width / 2 - own.width / 2, innerWidth - own.width - 8))}px`;
  const outside = (event) => { if (!panel.contains(event.target)) close(false); };
  const close = (restore = true) => {
    document.removeEventListener('pointerdown', outside, true);
    if (!panel.isConnected) return;
    panel.remove();
    if (restore && back?.isConnected) back.focus();
  };
  panel.addEventListener('keydown', (event) => {
    event.stopPropagation();
    const horizontal = panel.firstElementChild?.classList.contains('picker');
    if (event.key === 'Escape' || event.key === 'Tab') { event.preventDefault(); close(); }
    else rove(event, [...panel.querySelectorAll('button')], { horizontal });
  });
  panel.addEventListener('click', (event) => { if (event.target.closest('button')) close(); });
  document.addEventListener('pointerdown', outside, true);
  panel.querySelector('button')?.focus();
  return close;
}
