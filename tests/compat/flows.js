// SPDX-License-Identifier: BSD-3-Clause
// What flows of several clients share: where the two servers of an application are, and how the reader sees a write.

import { setTimeout as sleep } from 'node:timers/promises';

export const writePort = Number(process.env.WRITE_PORT);
export const readPort = Number(process.env.READ_PORT);
export const kind = process.env.KIND;
const BOUND_MS = 2000;
const DEADLINE_MS = 10000;

export const RELEASE =
  "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end";
export const LIMIT = `
  local n = redis.call('INCR', KEYS[1])
  if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
  return n <= tonumber(ARGV[1]) and 1 or 0`;
export const FLUSH_TAG = `
  local n = 0
  for _, name in ipairs(redis.call('SMEMBERS', KEYS[1])) do n = n + redis.call('DEL', name) end
  return n`;

export async function until(condition, deadlineMs = DEADLINE_MS, what = condition.toString()) {
  const endsAt = Date.now() + deadlineMs;
  for (;;) {
    const answer = await condition();
    if (answer) return answer;
    if (Date.now() > endsAt) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await sleep(5);
  }
}

// At once, or, from another node, within its bound.
export function sees(condition) {
  return until(condition, kind === 'pair' ? BOUND_MS : 0);
}
