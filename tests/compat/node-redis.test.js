// SPDX-License-Identifier: BSD-3-Clause
// node-redis 4, and 5 with RESP2 and RESP3.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import * as redis4 from 'redis4';
import * as redis5 from 'redis';
import { RELEASE, readPort, sees, until, writePort } from './flows.js';

const VERSIONS = {
  'version 4': (port) => redis4.createClient({ url: `redis://127.0.0.1:${port}/1` }),
  'version 5, RESP2': (port) => redis5.createClient({ url: `redis://127.0.0.1:${port}/1`, RESP: 2 }),
  'version 5, RESP3': (port) => redis5.createClient({ url: `redis://127.0.0.1:${port}/1`, RESP: 3 }),
};

for (const [version, make] of Object.entries(VERSIONS)) {
  describe(version, () => {
    const at = (name) => `${version}:${name}`;
    let writer, reader;
    before(async () => {
      [writer, reader] = [make(writePort), make(readPort)];
      for (const client of [writer, reader]) {
        client.on('error', (error) => { throw error; });
        await client.connect();
      }
    });
    after(() => Promise.all([writer, reader].map((client) => client.quit())));

    test('values', async () => {
      assert.equal(await writer.set(at('v'), 'grün', { EX: 100 }), 'OK');
      await sees(async () => (await reader.get(at('v'))) === 'grün');
      assert.deepEqual(await reader.mGet([at('v'), at('none')]), ['grün', null]);
      assert.ok((await reader.ttl(at('v'))) > 97);
      assert.equal(await writer.incrBy(at('n'), 5), 5);
      await assert.rejects(writer.lPush(at('v'), 'x'), /WRONGTYPE/);
      const answers = await Promise.all(
        Array.from({ length: 300 }, (_, i) => [writer.set(at('p'), String(i)), writer.get(at('p'))]).flat());
      assert.deepEqual(answers, Array.from({ length: 300 }, (_, i) => ['OK', String(i)]).flat());
    });

    test('a lock', async () => {
      assert.equal(await writer.set(at('lock'), 'a', { NX: true, PX: 20000 }), 'OK');
      assert.equal(await reader.set(at('lock'), 'b', { NX: true, PX: 20000 }), null);
      assert.equal(await reader.eval(RELEASE, { keys: [at('lock')], arguments: ['b'] }), 0);
      assert.equal(await writer.eval(RELEASE, { keys: [at('lock')], arguments: ['a'] }), 1);
    });

    test('a block and a watched key', async () => {
      assert.deepEqual(await writer.multi().set(at('t'), '1').incr(at('t')).get(at('t')).exec(), ['OK', 2, '2']);
      const own = writer.duplicate();
      await own.connect();
      await own.watch(at('t'));
      await reader.set(at('t'), '9');
      await assert.rejects(own.multi().set(at('t'), '3').exec(), /watched keys/);
      await own.quit();
      await sees(async () => (await writer.get(at('t'))) === '9');
    });

    test('hashes, sets, boards, streams', async () => {
      await writer.hSet(at('h'), { a: '1', b: '2' });
      await sees(async () => (await reader.hGetAll(at('h'))).b === '2');
      await writer.sAdd(at('s'), ['x', 'y']);
      assert.deepEqual([...(await reader.sMembers(at('s')))].sort(), ['x', 'y']);
      await writer.zAdd(at('z'), [{ score: 1.5, value: 'm' }]);
      assert.equal(await reader.zScore(at('z'), 'm'), 1.5);
      assert.deepEqual(await reader.zRangeWithScores(at('z'), 0, -1), [{ value: 'm', score: 1.5 }]);
      const id = await writer.xAdd(at('x'), '*', { f: 'v' });
      assert.equal((await reader.xRange(at('x'), '-', '+'))[0].id, id);
    });

    test('a blocking queue', async () => {
      const worker = reader.duplicate();
      await worker.connect();
      const waiting = worker.blPop(at('jobs'), 8);
      await until(async () => /blocked_clients:[1-9]/.test(await reader.info('clients')));
      await writer.rPush(at('jobs'), 'a');
      assert.equal((await waiting).element, 'a');
      await worker.quit();
    });

    test('messages', async () => {
      const listener = reader.duplicate();
      await listener.connect();
      const got = [];
      await listener.subscribe(at('news'), (text) => got.push(text));
      await listener.pSubscribe(at('n*'), (text) => got.push(text));
      assert.equal(await writer.publish(at('news'), 'hello'), 2);
      await until(() => got.length === 2);
      await listener.unsubscribe(at('news'));
      assert.equal(await writer.publish(at('news'), 'again'), 1);
      await until(() => got.length === 3);
      await listener.quit();
    });

    test('scans', async () => {
      for (let i = 0; i < 50; i++) await writer.set(at(`scan:${i}`), String(i));
      const found = new Set();
      for await (const keys of reader.scanIterator({ MATCH: at('scan:*'), COUNT: 10 })) {
        for (const key of [keys].flat()) found.add(key);
      }
      assert.equal(found.size, 50);
    });
  });
}

describe("version 5's cache in the client", () => {
  test('a change on the other side reaches it', async () => {
    const writer = redis5.createClient({ url: `redis://127.0.0.1:${writePort}`, RESP: 3 });
    const reader = redis5.createClient({
      url: `redis://127.0.0.1:${readPort}`, RESP: 3, clientSideCache: { ttl: 0, maxEntries: 0, evictPolicy: 'LRU' },
    });
    await Promise.all([writer.connect(), reader.connect()]);
    const calls = async () =>
      Number(/cmdstat_get:calls=(\d+)/.exec(await reader.sendCommand(['INFO', 'commandstats']))?.[1] ?? 0);
    await writer.set('near', 'old');
    await sees(async () => (await reader.get('near')) === 'old');
    const before = await calls();
    for (let i = 0; i < 20; i++) assert.equal(await reader.get('near'), 'old');
    assert.equal(await calls(), before, 'twenty reads asked nobody');
    await writer.set('near', 'new');
    await until(async () => (await reader.get('near')) === 'new');
    await writer.del('near');
    await until(async () => (await reader.get('near')) === null);
    await Promise.all([writer.quit(), reader.quit()]);
  });
});
