#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# compare.sh -- our node beside a plain redis-server, in one run, on one machine.
#
# What travels between machines is not a rate and not even CPU time per request, but the RATIO of two servers measured
# side by side. So both run here at the same time, pinned to one core, the load to another; rounds are interleaved and
# change who goes first; each figure is a median with its extremes. Values stay in memory, nothing is written to disk.
#
#   bench/compare.sh                          needs build/terraced and build/terrace-bench
#   ROUNDS=9 KEYS=100000 OPS=get bench/compare.sh
#   YARDSTICK=/path/to/lg bench/compare.sh    the independent load generator as well
#   NODE=/path/to/valkey-server bench/compare.sh   any server that takes Redis' flags, in our place
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BENCH=${BENCH:-$here/build/terrace-bench}
NODE=${NODE:-$here/build/terraced}
REDIS=${REDIS:-redis-server}
YARDSTICK=${YARDSTICK:-}
ROUNDS=${ROUNDS:-5}
KEYS=${KEYS:-1000000}
SIZE=${SIZE:-32}
CONNECTIONS=${CONNECTIONS:-50}
PIPELINES=${PIPELINES:-1 16 64}
OPS=${OPS:-get set}
WINDOW=${WINDOW:-1.5}   # seconds measured in each round
WARMUP=${WARMUP:-0.3}
SERVER_CORE=${SERVER_CORE:-0}
LOAD_CORE=${LOAD_CORE:-1}

work=$(mktemp -d)
declare -A pid port
cleanup() {
    local name
    for name in "${!pid[@]}"; do
        kill "${pid[$name]}" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

die() {
    echo "compare.sh: $*" >&2
    exit 2
}

free_port() {
    python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

# start NAME COMMAND...: on the server's core, its words into a file of its own
start() {
    local name=$1
    shift
    (cd "$work" && exec taskset -c "$SERVER_CORE" "$@" >"$work/$name.log" 2>&1) &
    pid[$name]=$!
}

start_redis_like() {
    local name=$1 program=$2
    port[$name]=$(free_port)
    start "$name" "$program" --port "${port[$name]}" --bind 127.0.0.1 --save '' --appendonly no --daemonize no
}

start_node() {
    case $(basename "$NODE") in
    *redis* | *valkey*) start_redis_like ours "$NODE" ;;
    *)
        port[ours]=$(free_port)
        start ours "$NODE" --listen "127.0.0.1:${port[ours]}" --admin "127.0.0.1:$(free_port)" --memory 4gb --threads 1
        ;;
    esac
}

load() {
    taskset -c "$LOAD_CORE" "$BENCH" --quiet "$@"
}

wait_for() {
    local name=$1 i
    for ((i = 0; i < 100; i++)); do
        if load --target "127.0.0.1:${port[$name]}" -c 1 --op ping -n 1 >/dev/null 2>&1; then
            return
        fi
        kill -0 "${pid[$name]}" 2>/dev/null || break
        sleep 0.1
    done
    cat "$work/$name.log" >&2
    die "$name does not answer"
}

fill() {
    load --target "127.0.0.1:${port[$1]}" --fill -k "$KEYS" -s "$SIZE" --op ping -n 1 >"$work/fill" ||
        die "$1 could not be filled: $(cat "$work/fill")"
}

# number NAME: that member of the JSON on standard input
number() {
    sed -n "s/.*\"$1\": *\([0-9.eE+-]*\).*/\1/p" | head -n 1
}

# sample TOOL SERVER OP PIPELINE: one round; its figures go behind the earlier ones
sample() {
    local tool=$1 server=$2 op=$3 pipeline=$4 us rps json
    if [[ $tool == bench ]]; then
        json=$(load --target "127.0.0.1:${port[$server]}" --pid "${pid[$server]}" -c "$CONNECTIONS" -P "$pipeline" \
            -k "$KEYS" -s "$SIZE" --op "$op" -d "$WINDOW" -w "$WARMUP" --seed "$RANDOM" --max-error-rate 0 \
            --min-hit-ratio "$([[ $op == get ]] && echo 1 || echo 0)" --json) || die "$server: $op P=$pipeline failed"
        us=$(number server_cpu_us <<<"$json")
    else
        json=$(taskset -c "$LOAD_CORE" "$YARDSTICK" -p "${port[$server]}" -pid "${pid[$server]}" -c "$CONNECTIONS" \
            -P "$pipeline" -n "$KEYS" -d "$SIZE" -op "$op" -t "$WINDOW" -w "$WARMUP") || die "$server: yardstick failed"
        us=$(number cpu_us <<<"$json")
    fi
    rps=$(number rps <<<"$json")
    [[ -n $us && -n $rps ]] || die "$server: no CPU time of process ${pid[$server]}"
    echo "$us $rps" >>"$work/$tool.$server.$op.$pipeline"
}

# spread FILE COLUMN: median, least, most
spread() {
    awk -v column="$2" '{ print $column }' "$1" | sort -g | awk '
        { v[NR] = $1 }
        END { m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; print m, v[1], v[NR] }'
}

row() {
    local tool=$1 op=$2 pipeline=$3 ours redis rate_ours rate_redis
    ours=$(spread "$work/$tool.ours.$op.$pipeline" 1)
    redis=$(spread "$work/$tool.redis.$op.$pipeline" 1)
    rate_ours=$(spread "$work/$tool.ours.$op.$pipeline" 2)
    rate_redis=$(spread "$work/$tool.redis.$op.$pipeline" 2)
    awk -v tool="$tool" -v op="$op" -v p="$pipeline" -v o="$ours" -v r="$redis" -v ro="$rate_ours" -v rr="$rate_redis" '
        BEGIN {
            split(o, a); split(r, b); split(ro, c); split(rr, d)
            printf "| %-5s | %-3s | %2d | %7.3f (%.3f-%.3f) | %7.3f (%.3f-%.3f) | %5.2f | %8.0f | %8.0f |\n",
                tool, toupper(op), p, a[1], a[2], a[3], b[1], b[2], b[3], a[1] / b[1], c[1], d[1]
        }'
}

[[ -x $BENCH ]] || die "$BENCH is not there: build it first"
command -v "$NODE" >/dev/null || die "$NODE is not there: build it first"
command -v "$REDIS" >/dev/null || die "$REDIS is not there"
[[ -z $YARDSTICK || -x $YARDSTICK ]] || die "YARDSTICK=$YARDSTICK cannot be run"
tools=(bench)
[[ -z $YARDSTICK ]] || tools+=(lg)

echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) processors, $(uname -sr)"
echo "command: ROUNDS=$ROUNDS KEYS=$KEYS SIZE=$SIZE CONNECTIONS=$CONNECTIONS WINDOW=$WINDOW PIPELINES='$PIPELINES' OPS='$OPS'" \
    "NODE=$(basename "$NODE") YARDSTICK=$(basename "${YARDSTICK:-none}") bench/compare.sh"
echo "peer:    $("$REDIS" --version); servers on core $SERVER_CORE, load on core $LOAD_CORE"
echo "before:  load average $(cut -d ' ' -f 1-3 /proc/loadavg)"

start_node
start_redis_like redis "$REDIS"
for server in ours redis; do
    wait_for "$server"
    fill "$server"
done

for ((round = 1; round <= ROUNDS; round++)); do
    order=(ours redis)
    ((round % 2)) || order=(redis ours)
    for pipeline in $PIPELINES; do
        for op in $OPS; do
            for tool in "${tools[@]}"; do
                for server in "${order[@]}"; do
                    sample "$tool" "$server" "$op" "$pipeline"
                done
            done
        done
    done
    [[ ! -t 2 ]] || echo "round $round of $ROUNDS" >&2
done

echo "after:   load average $(cut -d ' ' -f 1-3 /proc/loadavg)"
echo
echo "Server CPU, us per request: median (least-most) of $ROUNDS interleaved rounds; ratio of the medians."
echo "| load  | op  |  P | ours                  | redis                 | ratio | ours r/s | redis r/s |"
echo "|-------|-----|----|-----------------------|-----------------------|-------|----------|-----------|"
for tool in "${tools[@]}"; do
    for op in $OPS; do
        for pipeline in $PIPELINES; do
            row "$tool" "$op" "$pipeline"
        done
    done
done
