#!/usr/bin/perl
# SPDX-License-Identifier: BSD-3-Clause
# What a Perl application does with Redis.pm. WRITE_PORT, READ_PORT: where its two servers are.
use strict;
use warnings;
use Redis;
use Time::HiRes qw(time sleep);

sub client { return Redis->new(server => "127.0.0.1:$ENV{$_[0]}", reconnect => 0, read_timeout => 5) }

sub check { my ($right, $what) = @_; die "not so: $what\n" if !$right; return }

sub same {
    my ($wanted, $got, $what) = @_;
    return check(($got // 'nothing') eq ($wanted // 'nothing'), "$what: " . ($got // 'nothing'));
}

# At once, or, from another node, within its bound.
sub sees {
    my ($condition, $what) = @_;
    my $ends_at = time + ($ENV{KIND} eq 'pair' ? 2 : 0);
    while (!$condition->()) {
        check(time < $ends_at, $what);
        sleep 0.005;
    }
    return;
}

my $writer = client('WRITE_PORT');
my $reader = client('READ_PORT');
my $release = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end";

my @flows = (
    values => sub {
        same('OK', $writer->set(v => "bin\0ary\r\n"), 'set');
        sees(sub { ($reader->get('v') // '') eq "bin\0ary\r\n" }, 'get');
        same(undef, $reader->get('none'), 'get of nothing');
        $writer->mset(a => 1, b => 2);
        sees(sub { join(',', map { $_ // '-' } $reader->mget(qw(a none b))) eq '1,-,2' }, 'mget');
        same(3, $writer->incrby('a', 2), 'incrby');
        $writer->setex('e', 100, 'x');
        check($reader->ttl('e') > 98, 'ttl');
        check(!eval { $writer->lpush('v', 'x'); 1 } && $@ =~ /WRONGTYPE/, 'lpush on a string');
        same('a,b,e,v', join(',', sort $reader->keys('?')), 'keys');
    },
    'a lock' => sub {
        same('OK', $writer->set('lock', 'a', 'NX', 'PX', 20000), 'taken');
        same(undef, $reader->set('lock', 'b', 'NX', 'PX', 20000), 'taken twice');
        same(0, $reader->eval($release, 1, 'lock', 'b'), 'released by another');
        my $sha = $writer->script_load($release);
        same(1, $writer->evalsha($sha, 1, 'lock', 'a'), 'released');
        same(0, $writer->exists('lock'), 'gone');
    },
    pipelines => sub {
        my @got;
        for my $i (0 .. 199) {
            $writer->set("p:$i", $i, sub { push @got, $_[0] });
            $writer->get("p:$i", sub { push @got, $_[0] });
        }
        $writer->wait_all_responses;
        same(join(',', map { ('OK', $_) } 0 .. 199), join(',', @got), 'the answers');
    },
    'hashes and lists' => sub {
        $writer->hmset('h', name => 'ann', age => 5);
        sees(sub { my %h = $reader->hgetall('h'); ($h{name} // '') eq 'ann' && $h{age} == 5 }, 'hgetall');
        $writer->rpush('l', qw(a b c));
        same('a,b,c', join(',', $reader->lrange('l', 0, -1)), 'lrange');
        same('l,a', join(',', $reader->blpop('l', 1)), 'blpop');
    },
    transactions => sub {
        $writer->multi;
        $writer->incr('limit');
        $writer->expire('limit', 60);
        same('1,1', join(',', $writer->exec), 'multi');
        $writer->watch('limit');
        $reader->set('limit', 9);
        $writer->multi;
        $writer->incr('limit');
        check(!defined $writer->exec, 'watched');
        sees(sub { $writer->get('limit') == 9 }, 'the other won');
    },
    messages => sub {
        my $listener = client('READ_PORT');
        my @got;
        $listener->subscribe('news', sub { push @got, "$_[1]=$_[0]" });
        $listener->psubscribe('n*', sub { push @got, "$_[1]=$_[0]" });
        check($writer->publish('news', 'hello') == 2, 'two listen');
        my $ends_at = time + 5;
        while (@got < 2) { $listener->wait_for_messages(0.02); check(time < $ends_at, 'messages'); }
        same('news=hello,news=hello', join(',', @got), 'the messages');
    },
    info => sub {
        my $info = $writer->info;
        same('7.0.15', $info->{redis_version}, 'the version');
    },
);

while (my ($name, $flow) = splice @flows, 0, 2) {
    if (!eval { $flow->(); 1 }) {
        print STDERR "$name: $@";
        exit 1;
    }
    print "ok $name\n";
}
