# SPDX-License-Identifier: BSD-3-Clause
# What a Ruby application does with redis-rb and Sidekiq. WRITE_PORT, READ_PORT: where its two servers are.

require 'redis'

def client(port)
  Redis.new(host: '127.0.0.1', port: ENV.fetch(port).to_i, timeout: 5, reconnect_attempts: 0)
end

def check(right, what)
  raise "not so: #{what}" unless right
end

def same(wanted, got, what)
  check(wanted == got, "#{what}: #{got.inspect}")
end

# At once, or, from another node, within its bound.
def sees(what)
  ends_at = Process.clock_gettime(Process::CLOCK_MONOTONIC) + (ENV['KIND'] == 'pair' ? 2 : 0)
  until yield
    check(Process.clock_gettime(Process::CLOCK_MONOTONIC) < ends_at, what)
    sleep 0.005
  end
end

RELEASE = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end"
WRITER = client('WRITE_PORT')
READER = client('READ_PORT')
FLOWS = {}

FLOWS['values'] = lambda do
  same('OK', WRITER.set('v', "bin\0ary\r\n"), 'set')
  sees('get') { READER.get('v') == "bin\0ary\r\n" }
  same(nil, READER.get('none'), 'get of nothing')
  WRITER.mapped_mset('a' => '1', 'b' => '2')
  sees('mget') { READER.mapped_mget('a', 'b', 'none') == { 'a' => '1', 'b' => '2', 'none' => nil } }
  same(1.25, WRITER.incrbyfloat('f', 1.25), 'incrbyfloat')
  WRITER.setex('e', 100, 'x')
  check(READER.ttl('e') > 98, 'ttl')
  begin
    WRITER.lpush('v', 'x')
    raise 'no error'
  rescue Redis::CommandError => e
    check(e.message.start_with?('WRONGTYPE'), e.message)
  end
  same((0..9).map { |i| "scan:#{i}" },
       begin
         10.times { |i| WRITER.set("scan:#{i}", i) }
         READER.scan_each(match: 'scan:*', count: 3).to_a.uniq.sort
       end, 'scan')
end

FLOWS['a lock and a limit'] = lambda do
  same(true, WRITER.set('lock', 'a', nx: true, px: 20_000), 'taken')
  same(false, READER.set('lock', 'b', nx: true, px: 20_000), 'taken twice')
  same(0, READER.eval(RELEASE, keys: ['lock'], argv: ['b']), 'released by another')
  sha = WRITER.script(:load, RELEASE)
  same(1, WRITER.evalsha(sha, keys: ['lock'], argv: ['a']), 'released')
  same(0, WRITER.exists('lock'), 'gone')
  got = 3.times.map { WRITER.multi { |t| t.incr('limit'); t.expire('limit', 60) }.first }
  same([1, 2, 3], got, 'a limit')
end

FLOWS['pipelines and transactions'] = lambda do
  answers = WRITER.pipelined { |p| 200.times { |i| p.set("p:#{i}", i); p.get("p:#{i}") } }
  same(200.times.flat_map { |i| ['OK', i.to_s] }, answers, 'a pipeline')
  same(['OK', 2, '2'], WRITER.multi { |t| t.set('t', 1); t.incr('t'); t.get('t') }, 'multi')
  result = WRITER.watch('t') do
    READER.set('t', 9)
    WRITER.multi { |t| t.set('t', 3) }
  end
  same(nil, result, 'watched')
  sees('the other won') { WRITER.get('t') == '9' }
end

FLOWS['hashes, sets and boards'] = lambda do
  WRITER.hset('h', 'name' => 'ann', 'age' => '5')
  sees('hgetall') { READER.hgetall('h') == { 'name' => 'ann', 'age' => '5' } }
  same(6, WRITER.hincrby('h', 'age', 1), 'hincrby')
  WRITER.sadd('tag', %w[x y])
  same(%w[x y], READER.smembers('tag').sort, 'smembers')
  WRITER.zadd('board', [[1.5, 'a'], [2, 'b']])
  same([['b', 2.0], ['a', 1.5]], READER.zrevrange('board', 0, -1, with_scores: true), 'zrevrange')
end

FLOWS['queues'] = lambda do
  waiting = Thread.new { client('READ_PORT').blpop('jobs', timeout: 8) }
  until READER.info('clients')['blocked_clients'].to_i.positive?
    sleep 0.005
  end
  WRITER.rpush('jobs', 'a')
  same(%w[jobs a], waiting.value, 'blpop')
  same(nil, READER.blpop('jobs', timeout: 0.05), 'nothing')
  id = WRITER.xadd('s', { 'n' => '1' })
  same({ 's' => [[id, { 'n' => '1' }]] }, READER.xread('s', '0'), 'xread')
end

FLOWS['messages'] = lambda do
  got = []
  listener = Thread.new do
    listening = client('READ_PORT')
    listening.subscribe('news', 'more') do |on|
      on.message do |channel, text|
        got << [channel, text]
        listening.unsubscribe if got.size == 2
      end
    end
  end
  sleep 0.005 until WRITER.pubsub(:numsub, 'more') == ['more', 1]
  WRITER.publish('news', 'one')
  WRITER.publish('more', 'two')
  check(listener.join(5), 'it ends')
  same([%w[news one], %w[more two]], got, 'the messages')
end

FLOWS['Sidekiq'] = lambda do
  require 'sidekiq'
  require 'sidekiq/api'
  require 'sidekiq/fetch'
  url = "redis://127.0.0.1:#{ENV.fetch('WRITE_PORT')}/4"
  Sidekiq.configure_client { |config| config.redis = { url: url } }
  3.times { |i| Sidekiq::Client.push('class' => 'Job', 'args' => [i]) }
  Sidekiq::Client.push_bulk('class' => 'Job', 'args' => [[7], [8]])
  Sidekiq::Client.push('class' => 'Job', 'args' => ['later'], 'at' => Time.now.to_f + 1000)
  queue = Sidekiq::Queue.new
  same([5, 1], [queue.size, Sidekiq::ScheduledSet.new.size], 'sizes')
  same([0, 1, 2, 7, 8], queue.map { |job| job.args.first }.sort, 'the jobs')
  Sidekiq.redis = { url: "redis://127.0.0.1:#{ENV.fetch('READ_PORT')}/4" }
  work = Sidekiq.redis { |conn| conn.brpop('queue:default', timeout: 2) }
  same(0, Sidekiq.load_json(work.last)['args'].first, 'the first comes first')
  Sidekiq::Queue.new.clear
  same(0, Sidekiq::Queue.new.size, 'cleared')
  same(1, Sidekiq::Stats.new.scheduled_size, 'stats')
end

FLOWS.each do |name, flow|
  begin
    flow.call
  rescue StandardError => e
    warn "#{name}: #{e.class} #{e.message}\n#{e.backtrace.first(5).join("\n")}"
    exit 1
  end
  puts "ok #{name}"
end
