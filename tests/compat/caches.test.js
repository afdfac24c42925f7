// SPDX-License-Identifier: BSD-3-Clause
// connect-redis (sessions of Express), keyv and cache-manager.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import KeyvRedis from '@keyv/redis';
import { createCache } from 'cache-manager';
import { RedisStore } from 'connect-redis';
import { Keyv } from 'keyv';
import { createClient } from 'redis';
import { readPort, sees, writePort } from './flows.js';

const url = (port) => `redis://127.0.0.1:${port}`;
let writer, reader;
before(async () => {
  [writer, reader] = [writePort, readPort].map((port) => createClient({ url: url(port) }));
  await Promise.all([writer.connect(), reader.connect()]);
});
after(() => Promise.all([writer.quit(), reader.quit()]));

test('connect-redis keeps sessions', async () => {
  const [here, there] = [writer, reader].map((client) => {
    const store = new RedisStore({ client, prefix: 'sess:', ttl: 100 });
    return Object.fromEntries(['set', 'get', 'touch', 'destroy', 'length', 'ids', 'all', 'clear']
      .map((name) => [name, promisify(store[name].bind(store))]));
  });
  const session = { user: 7, cookie: { originalMaxAge: 50000, expires: new Date(Date.now() + 50000) } };
  await here.set('one', session);
  await here.set('two', { ...session, user: 8 });
  await sees(async () => (await there.get('one'))?.user === 7);
  assert.ok((await reader.ttl('sess:one')) <= 50);
  await here.touch('one', { cookie: { expires: new Date(Date.now() + 90000) } });
  await sees(async () => (await reader.ttl('sess:one')) > 80);
  assert.equal(await there.length(), 2);
  assert.deepEqual((await there.ids()).sort(), ['one', 'two']);
  assert.deepEqual((await there.all()).map((found) => found.user).sort(), [7, 8]);
  await here.destroy('one');
  await sees(async () => (await there.get('one')) == null);
  await here.clear();
  assert.equal(await there.length(), 0);
});

test('keyv keeps values of a namespace', async () => {
  const make = (port) => new Keyv({ store: new KeyvRedis(url(port)), namespace: 'kv', useKeyPrefix: false });
  const [here, there] = [make(writePort), make(readPort)];
  assert.equal(await here.set('a', { n: 1 }, 50000), true);
  await here.set('b', 'text');
  await sees(async () => (await there.get('a'))?.n === 1);
  assert.deepEqual(await there.get(['a', 'none', 'b']), [{ n: 1 }, undefined, 'text']);
  assert.equal(await there.has('a'), true);
  const names = [];
  for await (const [name] of there.iterator('kv')) names.push(name);
  assert.deepEqual(names.sort(), ['a', 'b']);
  assert.equal(await here.delete('a'), true);
  await sees(async () => (await there.get('a')) === undefined);
  await here.clear();
  await sees(async () => (await there.get('b')) === undefined);
  await Promise.all([here.disconnect(), there.disconnect()]);
});

test('cache-manager computes once', async () => {
  const stores = [writePort, readPort].map((port) => new Keyv({ store: new KeyvRedis(url(port)), namespace: 'cm' }));
  const [here, there] = stores.map((store) => createCache({ stores: [store], ttl: 50000 }));
  let calls = 0;
  const compute = async () => ++calls;
  assert.equal(await here.wrap('w', compute), 1);
  await sees(async () => (await there.get('w')) === 1);
  assert.equal(await there.wrap('w', compute), 1);
  assert.equal(calls, 1);
  await here.mset([{ key: 'x', value: 1 }, { key: 'y', value: 2 }]);
  await sees(async () => (await there.mget(['x', 'y', 'z'])).join() === [1, 2, undefined].join());
  await here.mdel(['x', 'w']);
  await sees(async () => (await there.get('x')) === undefined);
  await here.clear();
  await sees(async () => (await there.get('y')) === undefined);
  await Promise.all(stores.map((store) => store.disconnect()));
});
