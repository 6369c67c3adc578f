/** QR codes, drawn as one path. */

import { generate } from '../vendor/lean-qr.js';

const SVG = 'http://www.w3.org/2000/svg';
/** The empty border that scanners need, in modules. */
const QUIET = 4;

/** The dark modules of a QR code as one path of squares, and its side, both in modules. */
export function qrPath(text) {
  const code = generate(text);
  let path = '';
  for (let y = 0; y < code.size; y += 1) for (let x = 0; x < code.size; x += 1) if (code.get(x, y)) path += `M${x + QUIET} ${y + QUIET}h1v1h-1z`;
  return { path, side: code.size + 2 * QUIET };
}

/** `label` says what the code holds. */
export function qrCode(text, label = 'The link as a QR code') {
  const { path, side } = qrPath(text);
  const svg = document.createElementNS(SVG, 'svg');
  const dark = document.createElementNS(SVG, 'path');
  dark.setAttribute('d', path);
  for (const [name, value] of [['viewBox', `0 0 ${side} ${side}`], ['role', 'img'], ['aria-label', label], ['class', 'qr'], ['shape-rendering', 'crispEdges']]) svg.setAttribute(name, value);
  svg.append(dark);
  return svg;
}
