/** The package as others take it: its types fit the code, its entries resolve, and nothing is depended on. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import * as tidings from 'tidings';
import * as file_storage from 'tidings/file-storage';
import { TidingsClient } from '../tidings.js';
import { PACKAGE } from './server.mjs';

const read = (name) => readFileSync(path.join(PACKAGE, name), 'utf8');
const meta = JSON.parse(read('package.json'));

test('the types compile, and so does a program that uses them', () => {
  const tsc = path.join(PACKAGE, 'node_modules/typescript/bin/tsc');
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, '--project', PACKAGE], { encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
});

test('the types name each public member of the code, and no other', () => {
  const declared = read('tidings.d.ts').split('export class TidingsClient {')[1].split('\n}')[0];
  const named = new Set([...declared.matchAll(/^ {2}(?:readonly )?([a-zA-Z_]+)\??[(<:]/gm)].map((match) => match[1]));
  const client = new TidingsClient({ origin: 'http://tidings.test' });
  const real = new Set([...Object.getOwnPropertyNames(TidingsClient.prototype), ...Object.keys(client), 'heartbeat_ms']);
  assert.deepEqual([...named].sort(), [...real].sort());
  assert.deepEqual(Object.keys(tidings).sort(), [...read('tidings.d.ts').matchAll(/^export (?:class|function) (\w+)/gm)].map((match) => match[1]).sort());
  assert.deepEqual(Object.keys(file_storage), ['fileStorage']);
});

test('the package is private, has no dependency, and every file that it names is there', () => {
  assert.deepEqual([meta.private, meta.dependencies, meta.type], [true, undefined, 'module']);
  for (const name of [...meta.files, ...Object.values(meta.exports).flatMap(Object.values)]) assert.ok(existsSync(path.join(PACKAGE, name)), name);
  const imports = [...read('tidings.js').matchAll(/\b(?:import|require)\s*\(|^import /gm)];
  assert.deepEqual(imports, [], 'the client is one file');
  assert.doesNotMatch(read('package-lock.json'), /"resolved"|:\/\//, 'no registry stands in the lock file');
});
