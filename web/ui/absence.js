/** Why a conversation cannot be shown, and what to do about it. */

const KEPT = 'What you had written is kept below, so that you can copy it.';

/**
 * `absent` is {why: left | removed | banned | deleted | gone | never | open, by?, title?, reason?}; `name` gives a person's
 * name. Answers {heading, text}.
 */
export function absence({ why, by, title, reason }, name, written) {
  const what = title ? { name: title } : 'this conversation';
  const heading = {
    left: ['You left ', what],
    removed: ['You were removed from ', what, ' by ', { name: name(by) }],
    banned: [{ name: name(by) }, ' banned you from ', what],
    deleted: by ? [{ name: name(by) }, ' deleted ', what] : ['This conversation was deleted'],
    gone: ['You are no longer a member of ', what],
    never: ['You are not in this conversation'],
    open: ['You are not in ', what],
  }[why];
  const text = {
    left: 'An open conversation is joined again by its link; for any other you need an invitation.',
    removed: 'Ask for an invitation if you think that this was a mistake.',
    banned: reason ? `The reason given: “${reason}”.` : 'No reason was given.',
    deleted: 'Its messages are gone for everyone.',
    gone: 'You left it elsewhere, were removed, or it was deleted.',
    open: 'Anybody may join it.',
    never: 'It does not exist, or you have to be invited. Ask the person who sent you the link to add you.',
  }[why];
  return { heading, text: written ? `${text} ${KEPT}` : text };
}
