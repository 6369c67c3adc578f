/**
 * The attachments of a message, as names and links. Only web addresses become links; anything else is named
 * and cannot be followed.
 */

const MOST_SHOWN = 10;
const SAFE = new Set(['http:', 'https:']);

/** The address as a link may hold it, or null. */
export function safeLink(url) {
  if (typeof url !== 'string') return null;
  try {
    const parsed = new URL(url);
    return SAFE.has(parsed.protocol) ? parsed.href : null;
  } catch {
    return null;
  }
}

function lastPart(url) {
  try { return decodeURIComponent(new URL(url).pathname.split('/').at(-1)); } catch { return ''; }
}

/**
 * Plain data for each attachment: {name, url?}. The protocol leaves their fields to the application, so any
 * of these may be missing.
 */
export function attachmentsOf(message) {
  const list = Array.isArray(message.attachments) ? message.attachments : [];
  return list.slice(0, MOST_SHOWN).map((one) => {
    const attachment = typeof one === 'object' && one ? one : {};
    const named = [attachment.name, attachment.filename, attachment.title, lastPart(attachment.url)].find((name) => typeof name === 'string' && name.trim());
    return { name: (named ?? 'Attachment').slice(0, 200), url: safeLink(attachment.url) ?? undefined };
  });
}
