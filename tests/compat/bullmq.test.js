// SPDX-License-Identifier: BSD-3-Clause
// BullMQ: its scripts write keys that they do not declare, its workers block on a sorted set and on streams of events.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { FlowProducer, Queue, QueueEvents, Worker } from 'bullmq';
import { readPort, until, writePort } from './flows.js';

const at = (port) => ({ connection: { host: '127.0.0.1', port, maxRetriesPerRequest: null } });
const open = [];
const keep = (thing) => { open.push(thing); return thing; };
after(async () => { for (const thing of open.reverse()) await thing.close(); });

test('jobs are done once, in order, with results, retries and delays', async () => {
  const queue = keep(new Queue('work', at(writePort)));
  const done = [];
  const events = keep(new QueueEvents('work', at(readPort)));
  await events.waitUntilReady();
  const worker = keep(new Worker('work', async (job) => {
    if (job.name === 'broken' && job.attemptsMade < 1) throw new Error('as it should');
    done.push(job.name);
    await job.updateProgress(50);
    return { doubled: job.data.n * 2 };
  }, at(readPort)));
  await worker.waitUntilReady();
  const job = await queue.add('first', { n: 21 });
  assert.deepEqual(await job.waitUntilFinished(events, 10000), { doubled: 42 });
  const broken = await queue.add('broken', { n: 1 }, { attempts: 3, backoff: { type: 'fixed', delay: 20 } });
  assert.deepEqual(await broken.waitUntilFinished(events, 10000), { doubled: 2 });
  const late = await queue.add('late', { n: 2 }, { delay: 50 });
  assert.deepEqual(await late.waitUntilFinished(events, 10000), { doubled: 4 });
  await queue.addBulk(Array.from({ length: 50 }, (_, i) => ({ name: `bulk ${i}`, data: { n: i } })));
  await until(() => done.length === 53);
  assert.deepEqual(done.slice(3), Array.from({ length: 50 }, (_, i) => `bulk ${i}`));
  await until(async () => (await queue.getJobCounts('completed', 'waiting', 'active')).completed === 53);
});

test('a parent waits for its children', async () => {
  const flows = keep(new FlowProducer(at(writePort)));
  keep(new Worker('parents', async (job) => Object.values(await job.getChildrenValues()).sort(), at(readPort)));
  keep(new Worker('children', async (job) => job.data, at(readPort)));
  const events = keep(new QueueEvents('parents', at(readPort)));
  await events.waitUntilReady();
  const { job } = await flows.add({
    name: 'parent', queueName: 'parents',
    children: ['a', 'b'].map((data) => ({ name: 'child', queueName: 'children', data })),
  });
  assert.deepEqual(await job.waitUntilFinished(events, 10000), ['a', 'b']);
});

test('a limited worker, a paused queue, an emptied one', async () => {
  const queue = keep(new Queue('limited', at(writePort)));
  const done = [];
  await queue.pause();
  const worker = keep(new Worker('limited', async (job) => { done.push(job.id); },
    { ...at(readPort), limiter: { max: 2, duration: 100 } }));
  await worker.waitUntilReady();
  await queue.addBulk(Array.from({ length: 6 }, () => ({ name: 'job', data: {} })));
  assert.equal(done.length, 0);
  await queue.resume();
  await until(() => done.length === 6);
  await queue.obliterate({ force: true });
  assert.equal(await queue.count(), 0);
});
