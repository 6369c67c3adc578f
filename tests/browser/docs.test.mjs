/** The documentation as the server shows it, in a real browser: on a phone, in both themes, within its policy. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { serve } from '../../clients/js/test/server.mjs';
import { Browser, startChromedriver, stop } from './webdriver.mjs';

let [driver, server, browser] = [];

before(async () => {
  [driver, server] = await Promise.all([startChromedriver(), serve()]);
  browser = await Browser.open(driver, { width: 360, height: 740 });
});

after(async () => {
  await browser?.quit();
  if (driver) await stop(driver.child);
  await server?.end();
});

test('every page of the menu fits a phone and is styled in both themes', async () => {
  await browser.size(360, 740);
  await browser.goto(`${server.origin}/docs`);
  const menu = await browser.run('return [...document.querySelectorAll("header nav a")].map((a) => a.getAttribute("href"))');
  assert.ok(menu.length >= 10);
  for (const address of menu) {
    await browser.goto(server.origin + address);
    const seen = {};
    for (const theme of ['light', 'dark']) {
      await browser.theme(theme);
      seen[theme] = await browser.run('return { background: getComputedStyle(document.body).backgroundColor, text: getComputedStyle(document.body).color }');
    }
    assert.notDeepEqual(seen.light, seen.dark, `${address} has one theme only: is the style sheet there?`);
    const page = await browser.run(`return {
      wide: document.documentElement.scrollWidth, window: innerWidth,
      here: document.querySelector('[aria-current=page]')?.getAttribute('href'),
      small: [...document.querySelectorAll('header a')].filter((a) => a.getBoundingClientRect().height < 24).length,
    }`);
    assert.ok(page.wide <= page.window, `${address} is ${page.wide} pixels wide`);
    assert.deepEqual([page.here, page.small], [address, 0], address);
    assert.deepEqual((await browser.consoleLines()).map(({ message }) => message), [], `${address}: the browser has something to say, such as a policy that is broken`);
  }
});

test('a section has an address that leads to it', async () => {
  await browser.goto(`${server.origin}/docs/protocol#4-limits`);
  const top = await browser.run('return document.getElementById("4-limits").getBoundingClientRect().top');
  assert.ok(top >= 0 && top < 300, `${top}`);
  await browser.goto(`${server.origin}/docs/protocol`);
  await browser.click('#first-steps .anchor');
  assert.equal(await browser.run('return location.hash'), '#first-steps');
});
