/** The page that docs/QUICKSTART.md shows, in two windows of a real browser, from a host of its own: `TIDINGS_BIN=… node --test tests/browser/page.test.mjs`. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { serve } from '../../clients/js/test/server.mjs';
import { Browser, startChromedriver, stop, until } from './webdriver.mjs';

let [driver, server, site, one, two] = [];

before(async () => {
  site = createServer((request, response) => { response.setHeader('content-type', 'text/html').end(site.page); }).listen(0, '127.0.0.1');
  await new Promise((resolve) => { site.once('listening', resolve); });
  site.origin = `http://127.0.0.1:${site.address().port}`;
  [driver, server] = await Promise.all([startChromedriver(), serve(['--set', `gateway.allowed_origins=${site.origin}`])]);
  [one, two] = await Promise.all([Browser.open(driver), Browser.open(driver)]);
});

after(async () => {
  for (const browser of [one, two]) await browser?.quit();
  if (driver) await stop(driver.child);
  await server?.end();
  site?.close();
});

test('fifteen lines in a page: two guests talk in two windows', async () => {
  const text = await readFile(new URL('../../docs/QUICKSTART.md', import.meta.url), 'utf8');
  const [, block] = text.match(/```html\n([^]*?)```/);
  assert.ok(block.trim().split('\n').length <= 16);
  site.page = block.replaceAll('http://127.0.0.1:8080', server.origin);
  await one.goto(`${site.origin}/chat.html`);
  await until('the channel', () => one.run('return location.hash.length > 1'));
  await one.fill('#body', 'from the first');
  await one.press('Enter');
  await one.see('#lines li', 'from the first');
  await two.goto(await one.run('return location.href'));
  await two.see('#lines li', 'from the first');
  await two.fill('#body', 'from the second');
  await two.press('Enter');
  await one.see('#lines li', 'from the second');
});
