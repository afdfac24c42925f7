<?php
// SPDX-License-Identifier: BSD-3-Clause
// What a PHP application does with phpredis. WRITE_PORT, READ_PORT: where its two servers are.

error_reporting(E_ALL);
set_error_handler(function ($number, $text, $file, $line) {
    throw new ErrorException($text, 0, $number, $file, $line);
});

function client(string $port): Redis
{
    $redis = new Redis();
    $redis->connect('127.0.0.1', (int) getenv($port), 5.0, null, 0, 5.0);
    return $redis;
}

function check($right, string $what): void
{
    if (!$right) {
        throw new Exception("not so: $what");
    }
}

function same($wanted, $got, string $what): void
{
    check($wanted === $got, "$what: " . json_encode($got));
}

// At once, or, from another node, within its bound.
function sees(callable $condition, string $what): void
{
    $ends_at = microtime(true) + (getenv('KIND') === 'pair' ? 2 : 0);
    while (!$condition()) {
        check(microtime(true) < $ends_at, $what);
        usleep(5000);
    }
}

$writer = client('WRITE_PORT');
$reader = client('READ_PORT');

$flows = [
    'values' => function () use ($writer, $reader) {
        same(true, $writer->set('v', "bin\0ary\r\n"), 'set');
        sees(fn () => $reader->get('v') === "bin\0ary\r\n", 'get');
        same(false, $reader->get('none'), 'get of nothing');
        same(true, $writer->mSet(['a' => '1', 'b' => '2']), 'mset');
        sees(fn () => $reader->mGet(['a', 'none', 'b']) === ['1', false, '2'], 'mget');
        same(2, $writer->incr('a'), 'incr');
        same(1.5, $writer->incrByFloat('b', -0.5), 'incrbyfloat');
        same(true, $writer->setex('e', 100, 'x'), 'setex');
        check($reader->ttl('e') > 98, 'ttl');
        same(Redis::REDIS_STRING, $reader->type('e'), 'type');
        same(false, $writer->lPush('v', 'x'), 'lpush on a string');
        check(strpos($writer->getLastError(), 'WRONGTYPE') === 0, 'its error');
        $writer->clearLastError();
    },
    'serializers and prefixes' => function () use ($reader) {
        $own = client('WRITE_PORT');
        $own->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_PHP);
        $own->setOption(Redis::OPT_PREFIX, 'app:');
        $own->set('array', ['a' => [1, 2.5, null]]);
        same(['a' => [1, 2.5, null]], $own->get('array'), 'an array');
        sees(fn () => unserialize($reader->get('app:array')) === ['a' => [1, 2.5, null]], 'its serialization');
        $own->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
        $own->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_NONE);
        for ($i = 0; $i < 50; $i++) {
            $own->set("scan:$i", $i);
        }
        $found = 0;
        $cursor = null;
        while (($keys = $own->scan($cursor, 'app:scan:*', 10)) !== false) {
            $found += count($keys);
        }
        same(50, $found, 'scan');
    },
    'a lock' => function () use ($writer, $reader) {
        $release = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end";
        same(true, $writer->set('lock', 'a', ['nx', 'px' => 20000]), 'taken');
        same(false, $reader->set('lock', 'b', ['nx', 'px' => 20000]), 'taken twice');
        same(0, $reader->eval($release, ['lock', 'b'], 1), 'released by another');
        same(1, $writer->eval($release, ['lock', 'a'], 1), 'released');
        same(true, $reader->set('lock', 'b', ['nx', 'px' => 20000]), 'taken after');
        same(1, $reader->evalSha(sha1($release), ['lock', 'b'], 1), 'evalsha');
    },
    'pipelines' => function () use ($writer) {
        $pipe = $writer->multi(Redis::PIPELINE);
        for ($i = 0; $i < 300; $i++) {
            $pipe->set("p:$i", $i)->get("p:$i");
        }
        $answers = $pipe->exec();
        same(600, count($answers), 'answers');
        for ($i = 0; $i < 300; $i++) {
            check($answers[2 * $i] === true && $answers[2 * $i + 1] === (string) $i, "answer $i");
        }
    },
    'hashes' => function () use ($writer, $reader) {
        same(true, $writer->hMSet('h', ['name' => 'ann', 'age' => '5']), 'hmset');
        sees(fn () => $reader->hGetAll('h') === ['name' => 'ann', 'age' => '5'], 'hgetall');
        same(6, $writer->hIncrBy('h', 'age', 1), 'hincrby');
        sees(fn () => $reader->hMGet('h', ['age', 'none']) === ['age' => '6', 'none' => false], 'hmget');
    },
    'tags' => function () use ($writer, $reader) {
        foreach (['one', 'two'] as $page) {
            $writer->set("page:$page", $page);
            $writer->sAdd('tag', "page:$page");
        }
        sees(fn () => $reader->get('page:one') === 'one', 'a page');
        $flush = "local n = 0 for _, k in ipairs(redis.call('SMEMBERS', KEYS[1])) do n = n + redis.call('DEL', k) end return n";
        same(2, $writer->eval($flush, ['tag'], 1), 'flushed');
        same(false, $writer->get('page:one'), 'gone');
        sees(fn () => $reader->mGet(['page:one', 'page:two']) === [false, false], 'gone everywhere');
    },
    'a transaction' => function () use ($writer, $reader) {
        same([true, 2, '2'], $writer->multi()->set('t', '1')->incr('t')->get('t')->exec(), 'multi');
        $writer->watch('t');
        $reader->set('t', '9');
        same(false, $writer->multi()->set('t', '3')->exec(), 'watched');
        sees(fn () => $writer->get('t') === '9', 'the other won');
        $answers = $writer->multi()->incr('limit')->expire('limit', 60)->exec();
        same([1, true], $answers, 'a limit');
    },
    'queues' => function () use ($writer, $reader) {
        $writer->rPush('q', 'a', 'b');
        same(['q', 'a'], $reader->blPop(['q'], 1), 'blpop');
        same('b', $reader->brpoplpush('q', 'working', 1), 'brpoplpush');
        same([], $reader->rawCommand('BLPOP', 'q', '0.05'), 'nothing');
        $id = $writer->xAdd('s', '*', ['n' => '1']);
        same(['s' => [$id => ['n' => '1']]], $reader->xRead(['s' => '0'], 1, 50), 'xread');
    },
    'sessions' => function () use ($writer, $reader) {
        foreach (['0', '1'] as $locking) {
            ini_set('session.save_handler', 'redis');
            ini_set('session.save_path', 'tcp://127.0.0.1:' . getenv('WRITE_PORT') . '?prefix=sess:&database=0');
            ini_set('redis.session.locking_enabled', $locking);
            ini_set('session.use_cookies', '0');
            ini_set('session.cache_limiter', '');
            session_id("session$locking");
            session_start();
            $_SESSION['user'] = 7;
            if ($locking === '1') {
                check($writer->exists("sess:session1_LOCK") === 1, 'it is locked');
            }
            session_write_close();
            sees(fn () => $reader->get("sess:session$locking") === 'user|i:7;', 'the session is stored');
            check($reader->ttl("sess:session$locking") > 1000, 'for its life');
            check($writer->exists("sess:session{$locking}_LOCK") === 0, 'it is not locked any more');
            $_SESSION = [];
            session_start();
            same(7, $_SESSION['user'], 'read back');
            session_destroy();
            same(0, $writer->exists("sess:session$locking"), 'destroyed');
        }
    },
    'messages' => function () use ($writer) {
        // A subscriber in another process: phpredis blocks in subscribe().
        $code = '$r = new Redis(); $r->connect("127.0.0.1", (int) getenv("READ_PORT"));
                 $r->setOption(Redis::OPT_READ_TIMEOUT, 10);
                 $r->subscribe(["news"], function ($r, $channel, $message) { echo "$channel=$message"; $r->unsubscribe(["news"]); exit(0); });';
        $process = proc_open([PHP_BINARY, '-r', $code], [1 => ['pipe', 'w'], 2 => STDERR], $pipes);
        $ends_at = microtime(true) + 10;
        while ($writer->publish('news', 'hello') === 0) {
            check(microtime(true) < $ends_at, 'somebody listens');
            usleep(5000);
        }
        same('news=hello', stream_get_contents($pipes[1]), 'the message');
        proc_close($process);
    },
];

foreach ($flows as $name => $flow) {
    try {
        $flow();
    } catch (Throwable $error) {
        fwrite(STDERR, "$name: {$error->getMessage()} at line {$error->getLine()}\n" . $error->getTraceAsString() . "\n");
        exit(1);
    }
    fwrite(STDOUT, "ok $name\n"); // not echo: a session cannot begin after output
}
