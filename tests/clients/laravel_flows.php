<?php
// SPDX-License-Identifier: BSD-3-Clause
// What Laravel does with Redis, by its two drivers: limiters, whose scripts are its own, a cache, locks, queues.
// WRITE_PORT: where its server is.
require_once 'Illuminate/Redis/autoload.php';
require_once 'Illuminate/Support/autoload.php';
require_once 'Predis/autoload.php';

use Illuminate\Redis\RedisManager;

function check($condition, $what)
{
    if (!$condition) {
        throw new Exception($what);
    }
}

function limits($redis)
{
    $limited = fn () => $redis->throttle('mails')->allow(2)->every(60)->block(0)->then(fn () => 'sent', fn () => 'later');
    check([$limited(), $limited(), $limited()] === ['sent', 'sent', 'later'], 'two in a minute');
    $deeper = fn () => $redis->funnel('reports')->limit(1)->releaseAfter(60)->block(0)->then(fn () => 'in', fn () => 'full');
    $both = $redis->funnel('reports')->limit(1)->releaseAfter(60)->block(0)->then(fn () => ['in', $deeper()], fn () => 'full');
    check($both === ['in', 'full'] && $deeper() === 'in', 'one at a time, and the place is given back');
}

function keeps($redis)
{
    $redis->setex('cache:user', 60, serialize(['name' => 'Ada']));
    check(unserialize($redis->get('cache:user')) === ['name' => 'Ada'] && $redis->ttl('cache:user') > 50, 'a cached value');
    check($redis->set('lock', 'me', 'EX', 10, 'NX') && !$redis->set('lock', 'you', 'EX', 10, 'NX'), 'one has the lock');
    $release = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end";
    check($redis->eval($release, 1, 'lock', 'you') === 0 && $redis->eval($release, 1, 'lock', 'me') === 1, 'its owner gives it back');
    check($redis->get('lock') === null, 'nobody has it');
}

function queues($redis)
{
    $redis->zadd('queues:mail:delayed', time() - 1, 'late', time() + 1000, 'soon');
    $migrate = "local val = redis.call('zrangebyscore', KEYS[1], '-inf', ARGV[1])
        if next(val) ~= nil then
            redis.call('zremrangebyrank', KEYS[1], 0, #val - 1)
            redis.call('rpush', KEYS[2], unpack(val))
        end
        return val";
    check($redis->eval($migrate, 2, 'queues:mail:delayed', 'queues:mail', time()) === ['late'], 'what is due moves');
    check($redis->lpop('queues:mail') === 'late' && $redis->zcard('queues:mail:delayed') === 1, 'and is taken');
    [$first, $second] = $redis->transaction(function ($block) {
        $block->incr('jobs');
        $block->incr('jobs');
    });
    check([$first, $second] === [1, 2], 'a transaction');
    check(count($redis->pipeline(fn ($pipe) => array_map(fn ($at) => $pipe->rpush('many', $at), range(1, 100)))) === 100, 'a pipeline');
    check($redis->llen('many') === 100, 'all of it');
}

foreach (['phpredis', 'predis'] as $driver) {
    $server = ['host' => '127.0.0.1', 'port' => (int) getenv('WRITE_PORT'), 'database' => 3];
    $redis = (new RedisManager(null, $driver, ['default' => $server, 'options' => ['prefix' => "app_$driver:"]]))->connection();
    foreach (['limits', 'keeps', 'queues'] as $flow) {
        $flow($redis);
        echo "ok $flow by $driver\n";
    }
}
