#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# `make run`: a private Redis as L2 and a node in front of it, in the foreground. Ctrl-C ends both and leaves nothing.
#
# PORT (7379) and ADMIN_PORT (7380) choose where the node listens.
set -euo pipefail
build=$1
port=${PORT:-7379}
admin=${ADMIN_PORT:-7380}
dir=$(mktemp -d -t terrace-run.XXXXXX)
redis=0 node=0

finish() {
    trap - EXIT
    trap '' INT TERM # a second Ctrl-C must not leave the Redis behind
    if [ "$node" != 0 ]; then kill -TERM "$node" 2>/dev/null || true; wait "$node" 2>/dev/null || true; fi
    if [ "$redis" != 0 ]; then kill -TERM "$redis" 2>/dev/null || true; wait "$redis" 2>/dev/null || true; fi
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 0' INT TERM

# On a Unix socket of its own: it cannot meet a Redis that already runs here. setsid keeps Ctrl-C for this script, which
# ends the node first.
setsid redis-server --port 0 --unixsocket "$dir/redis.sock" --dir "$dir" --save '' --appendonly no \
    --logfile "$dir/redis.log" &
redis=$!
until redis-cli -s "$dir/redis.sock" ping >/dev/null 2>&1; do
    kill -0 "$redis" 2>/dev/null || { cat "$dir/redis.log" >&2; exit 1; }
done
setsid "$build/terraced" "$(dirname "$0")/namespaces.conf" --listen "127.0.0.1:$port" --admin "127.0.0.1:$admin" --l2 "unix://$dir/redis.sock" &
node=$!
until redis-cli -p "$port" ping >/dev/null 2>&1; do
    kill -0 "$node" 2>/dev/null || exit 1
done
cat <<TEXT

Terrace serves 127.0.0.1:$port in front of a private Redis. Try, in another terminal:

    redis-cli -p $port set greeting hello
    redis-cli -p $port get greeting
    redis-cli -p $port info l1

Keys that begin with resp: and emb: are managed (deploy/namespaces.conf); the README has a session with them.

Ctrl-C ends the node and its Redis.
TEXT
wait "$node" || true
