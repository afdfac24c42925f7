// SPDX-License-Identifier: BSD-3-Clause
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import Redis from 'ioredis';
import { FLUSH_TAG, LIMIT, RELEASE, readPort, sees, until, writePort } from './flows.js';

let writer, reader;
before(() => {
  writer = new Redis({ port: writePort, keyPrefix: 'io:' });
  reader = new Redis({ port: readPort, keyPrefix: 'io:' });
  for (const client of [writer, reader]) {
    client.defineCommand('release', { numberOfKeys: 1, lua: RELEASE });
    client.defineCommand('allow', { numberOfKeys: 1, lua: LIMIT });
  }
});
after(() => Promise.all([writer.quit(), reader.quit()]));

test('values and errors', async () => {
  assert.equal(await writer.set('v', 'grün', 'EX', 100), 'OK');
  await sees(async () => (await reader.get('v')) === 'grün');
  assert.ok((await reader.ttl('v')) > 97);
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  await writer.set('b', bytes);
  await sees(async () => (await reader.getBuffer('b'))?.equals(bytes));
  await assert.rejects(writer.lpush('v', 'x'), /WRONGTYPE/);
  await assert.rejects(writer.call('NOSUCH', 'a'), /unknown command 'NOSUCH', with args beginning with: 'a' /);
});

test('automatic pipelines keep their order', async () => {
  const auto = new Redis({ port: writePort, enableAutoPipelining: true });
  const answers = await Promise.all(
    Array.from({ length: 500 }, (_, i) => [auto.set(`auto:${i % 7}`, i), auto.get(`auto:${i % 7}`)]).flat());
  assert.deepEqual(answers, Array.from({ length: 500 }, (_, i) => ['OK', String(i)]).flat());
  await auto.quit();
});

test('a lock by SET NX PX and a script', async () => {
  assert.equal(await writer.set('lock', 'a', 'PX', 20000, 'NX'), 'OK');
  assert.equal(await reader.set('lock', 'b', 'PX', 20000, 'NX'), null);
  assert.equal(await reader.release('lock', 'b'), 0);
  assert.equal(await writer.release('lock', 'a'), 1);
  assert.equal(await reader.set('lock', 'b', 'PX', 20000, 'NX'), 'OK');
});

test('a limit by MULTI and by a script', async () => {
  const counts = [];
  for (const client of [writer, reader, writer]) {
    const answers = await client.multi().incr('limit').expire('limit', 60).exec();
    counts.push(answers[0][1]);
  }
  assert.deepEqual(counts, [1, 2, 3]);
  const allowed = [];
  for (const client of [writer, reader, writer]) allowed.push(await client.allow('limit:lua', 2, 60000));
  assert.deepEqual(allowed, [1, 1, 0]);
});

test('watched keys', async () => {
  await writer.set('watched', 1);
  await writer.watch('watched');
  await reader.set('watched', 2);
  assert.equal(await writer.multi().set('watched', 3).exec(), null);
  await sees(async () => (await reader.get('watched')) === '2');
});

test('tags', async () => {
  await writer.mset('page:1', 'one', 'page:2', 'two');
  await writer.sadd('tag', 'io:page:1', 'io:page:2');
  await sees(async () => (await reader.mget('page:1', 'page:2')).join() === 'one,two');
  assert.equal(await writer.eval(FLUSH_TAG, 1, 'tag'), 2);
  assert.equal(await writer.get('page:1'), null);
  await sees(async () => (await reader.exists('page:1', 'page:2')) === 0);
});

test('sessions as hashes', async () => {
  await writer.hset('session', { user: '7', seen: '0' });
  await sees(async () => (await reader.hgetall('session')).user === '7');
  assert.equal(await writer.hincrby('session', 'seen', 1), 1);
  await sees(async () => (await reader.hget('session', 'seen')) === '1');
});

test('a blocking queue', async () => {
  const worker = reader.duplicate();
  const waiting = worker.blpop('jobs', 8);
  await until(async () => /blocked_clients:[1-9]/.test(await reader.info('clients')));
  await writer.rpush('jobs', 'a');
  assert.deepEqual(await waiting, ['io:jobs', 'a']);
  assert.equal(await worker.blpop('jobs', 0.05), null);
  await worker.quit();
});

test('messages', async () => {
  const listener = reader.duplicate();
  const got = [];
  listener.on('message', (channel, text) => got.push([channel, text]));
  listener.on('pmessage', (pattern, channel, text) => got.push([pattern, channel, text]));
  assert.equal(await listener.subscribe('news'), 1);
  assert.equal(await listener.psubscribe('n*s'), 2);
  assert.equal(await writer.publish('io:news', 'x'), 0);
  await until(async () => (await writer.publish('news', 'hello')) >= 2);
  await until(() => got.length >= 2);
  assert.deepEqual(got.slice(0, 2).map((words) => words.at(-1)), ['hello', 'hello']);
  await listener.quit();
});

test('streams of scanned keys', async () => {
  await writer.mset(Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`scan:${i}`, i])));
  const found = new Set();
  for await (const keys of reader.scanStream({ match: 'io:scan:*', count: 10 })) keys.forEach((key) => found.add(key));
  assert.equal(found.size, 100);
});
