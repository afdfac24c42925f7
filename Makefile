# Terrace. `make help` lists what there is. Everything is built below build/, one folder per mode.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
MAKEFLAGS += --no-builtin-rules

MODE   ?= release
CC     := gcc
AR     := ar
VERSION := $(shell sed -n 's/^.define TERRACE_VERSION "\(.*\)"/\1/p' protocol/version.h)
PREFIX ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
DESTDIR ?=

# What `make build` and `make install` need; and what the tests need besides.
BUILD_PACKAGES := gcc libc6-dev binutils make pkg-config libuv1-dev libhiredis-dev libxxhash-dev libinih-dev libmicrohttpd-dev \
            libjansson-dev libssl-dev protobuf-c-compiler libprotobuf-c-dev liblz4-dev python3
PACKAGES := $(BUILD_PACKAGES) clang libclang-rt-14-dev clang-format-14 libcmocka-dev openssl redis-server redis-tools \
            mandoc g++ memcached python3-pytest python3-pytest-xdist python3-redis prometheus xz-utils procps spin
# Clients of others, for tests/clients: 19 MB to fetch, 90 MB on disk.
PACKAGES += python3-hiredis python3-django-redis python3-rq python3-celery php-cli php-redis php-illuminate-redis php-predis \
            ruby-redis ruby-sidekiq libredis-perl prometheus-redis-exporter
# Shells, whose completions are tried; what looks at deploy/.
PACKAGES += bash zsh systemd python3-yaml
LIBRARIES := libuv hiredis libxxhash inih libmicrohttpd jansson openssl libprotobuf-c liblz4

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla -Wswitch-enum \
            -Wformat=2 -Werror
CFLAGS_release := -O2 -g -fno-omit-frame-pointer
# Of sanitizers a report wants lines only; gold links in two thirds of the time of ld.
CFLAGS_asan    := -O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined -fuse-ld=gold
CFLAGS_tsan    := -O1 -g1 -fno-omit-frame-pointer -fsanitize=thread -fuse-ld=gold
CFLAGS_clang   := -O1 -g
CFLAGS_cover   := -O0 -g --coverage
ifeq ($(MODE),clang)
CC := clang
endif

OUT      := build/$(MODE)
GENERATED := build/generated
BASE     := -std=gnu11 -D_GNU_SOURCE -I. -I$(GENERATED) $(WARNINGS) $(CFLAGS_$(MODE))
# What only tests is compiled sooner than it would run sooner.
build/release/tests/unit/%.o: BASE += -O1 -g1
LIBS      = $(shell pkg-config --libs $(LIBRARIES)) -lm -lpthread
UNIT_LIBS = -fuse-ld=gold -lcmocka $(LIBS)

PROTOCOL := $(wildcard protocol/*.c) $(GENERATED)/protocol/envelope.pb-c.c $(GENERATED)/protocol/terrace.pb-c.c
TIERS    := $(wildcard tiers/*.c tiers/base/*.c)
SERVER   := $(filter-out server/main.c,$(wildcard server/*.c))
BENCH    := $(filter-out bench/main.c,$(wildcard bench/*.c))
# What the near cache of the client (client/near.c) takes along of a node: L1, its memory, its policies, and what these need;
# no thread, no socket, no clock.
L1       := tiers/item.c tiers/base/lock.c tiers/base/rand.c $(wildcard tiers/l1*.c tiers/arena*.c tiers/policy*.c tiers/whatif*.c)
# The client library (client/terrace.h), and what it uses besides.
LIBTERRACE := $(wildcard client/*.c)
LIBTERRACE_LIBRARIES := libuv libprotobuf-c libxxhash openssl
SONAME   := libterrace.so.0
CLIENT   := $(filter-out client/cli/% client/examples/%,$(wildcard client/*.c client/*/*.c))
CLI      := $(filter-out client/cli/main.c,$(wildcard client/cli/*.c client/check/*.c))
UNIT     := $(wildcard tests/unit/test_*.c)
ifeq ($(MODE),tsan)
UNIT     := $(shell grep -l thread_create $(UNIT)) # tests/run.py: the rest cannot race
endif
SIM      := $(wildcard tests/sim/*.c)
obj       = $(patsubst %.c,$(OUT)/%.o,$(1))
UNIT_BIN := $(patsubst tests/unit/%.c,$(OUT)/tests/unit/%,$(UNIT))

# Bench, client and node have modules of the same name; a test links with one of them.
BENCH_TESTS  := test_histogram test_zipf test_trace test_memcached
CLIENT_TESTS := test_native_warm test_client_warm_job test_history test_check_index test_check_order test_check_zones test_check_judge test_check_judge_random test_near test_near_proof test_near_threads test_near_want test_wheel test_cluster test_cluster_balance test_cluster_random test_flights test_client_liar test_client_nonsense test_client_lives test_client_ends test_client_near
CLI_TESTS    := test_cli_clock test_cli_warm test_cli_words test_cli_text test_cli_screen test_cli_doctor
FUZZERS     := $(patsubst %.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: help all build deps build-deps run demo test unit sim check soak mutants bench bench-memory bench-l1 bench-client bench-near bench-bans bench-instructions bench-coherence bench-envelope bench-managed bench-large bench-policy bench-whatif bench-warm-start bench-snapshot-restart bench-scale bench-warm-foreground bench-warm-queue install uninstall format lint asan tsan fuzz model cover clean dist compat compat-redis
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 24

# With sanitizers only what a test runs so.
BUILT_asan := terraced terrace libterrace.a
BUILT_tsan := terraced libterrace.a
BUILT := $(or $(BUILT_$(MODE)),terraced terrace-bench terrace libterrace.a $(if $(filter release,$(MODE)),libterrace.so.$(VERSION) $(SONAME) libterrace.so))
build: $(addprefix $(OUT)/,$(BUILT)) ## release binaries and libterrace in build/ (the default)
	@if [ $(MODE) = release ]; then ln -sf $(addprefix release/,$(BUILT)) build/; fi
all: build ## the same

deps: ## install the Debian packages that are missing
build-deps: PACKAGES := $(BUILD_PACKAGES)
build-deps: # of these, the ones without which nothing can be built
deps build-deps:
	@missing=$$(for p in $(PACKAGES); do \
	    dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'install ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	    echo "installing:" $$missing; \
	    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; fi

run: deps ## a private Redis and a node in front of it, until Ctrl-C
	@$(MAKE) --no-print-directory build
	@deploy/run.sh build

demo: deps ## two nodes, one Redis, one story
	@$(MAKE) --no-print-directory build
	@/usr/bin/python3 deploy/demo.py build

test: deps ## everything CI runs
	@$(MAKE) --no-print-directory check
check: ## the same, on a machine that has the packages
	@$(MAKE) --no-print-directory -j2 build unit
	@$(MAKE) --no-print-directory -j2 MODE=asan build unit
	@$(MAKE) --no-print-directory -j2 MODE=tsan build unit
	@$(MAKE) --no-print-directory -j2 $(FUZZERS)
	@tests/run.py build

compat: deps ## flows with clients from npm (ioredis, node-redis, bullmq, connect-redis, keyv, cache-manager), and suites that others wrote
	@command -v npm >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
	    --no-install-recommends nodejs npm; }
	@$(MAKE) --no-print-directory build
	@/usr/bin/python3 tests/compat/run.py build $(FILES)
	@$(if $(FILES),,/usr/bin/python3 tests/compat/suites.py build)

compat-redis: deps ## Redis' own test suite from outside, beside redis-server; SUITE_ARGS="--mode alone unit/type/hash"
	@command -v tclsh >/dev/null && command -v dpkg-source >/dev/null || { apt-get update -q && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends tcl dpkg-dev; }
	@$(MAKE) --no-print-directory build
	@/usr/bin/python3 tests/compat/redis_suite.py build $(SUITE_ARGS)

soak: deps ## unit tests and journeys with random seeds, then R1 to R12 of the reliability goals, for about two hours; SOAK_SCALE=0.1: a tenth of it
	@$(MAKE) --no-print-directory -j2 build unit
	@TEST_SEED=$${TEST_SEED:-random} tests/run.py build unit journeys
	@TEST_SEED=$${TEST_SEED:-random} SOAK_SCALE=$${SOAK_SCALE:-1} SOAK_REPORT=$${SOAK_REPORT:-bench/results/reliability.md} \
	    /usr/bin/python3 -m pytest -q -p no:cacheprovider tests/soak

mutants: deps ## the rules of coherence, each broken once in the code: the suite must see it; MUTANTS="WORD ..."
	@$(MAKE) --no-print-directory -j2 build unit
	@tests/mutants/run.py $${MUTANTS:-} --report $${MUTANTS_REPORT:-build/mutants.md}

# Programs that use libterrace as any application, on orders of a test.
APPLICATIONS := $(addprefix $(OUT)/tests/,journeys/loaders journeys/near_load soak/pound clients/terrace_threads clients/terrace_async)
# Allocations of this one fail as it says.
REFUSED := $(OUT)/tests/clients/terrace_memory

# What stands beside nodes of every mode, and is made once (one measures in process); the simulator looks for no races.
BESIDE := $(addprefix $(OUT)/,bench_l1 bench_scale tests/fault/proxy tests/clients/hiredis_flows $(addprefix tests/journeys/,hiredis_client slow_names.so \
              wrong_clock.so asleep.so module.so)) build/man/made

# cmocka programs, what journeys need, the simulator
unit: $(UNIT_BIN) $(APPLICATIONS) $(REFUSED) $(if $(filter tsan,$(MODE)),,$(OUT)/tests/sim/sim) $(if $(filter release,$(MODE)),$(BESIDE))

sim: $(OUT)/tests/sim/sim ## the simulator: SEEDS=A..B (1..10000)
	@$(OUT)/tests/sim/sim --seeds $${SEEDS:-1..10000}

bench: deps ## ours, redis-server and memcached in one table, twelve quiet minutes; QUICK=1: three
	@$(MAKE) --no-print-directory build $(OUT)/bench_l1
	@/usr/bin/python3 bench/compare.py $(if $(QUICK),--quick) $${BENCH_ARGS:-}
bench-memory: deps ## hit ratio of the same three at equal real memory; TRACES="FILE ..."
	@$(MAKE) --no-print-directory build
	@/usr/bin/python3 bench/equal_memory.py $${BENCH_ARGS:-} $(TRACES)
bench-l1: deps ## L1 in process: times, bytes per item, what changing sizes do; BENCH_ARGS=1000000|memory|churn
	@$(MAKE) --no-print-directory $(OUT)/bench_l1
	@$(OUT)/bench_l1 $${BENCH_ARGS:-}
bench-envelope: deps ## what the envelopes of managed values save and cost: compression by kind of value, tags
	@$(MAKE) --no-print-directory $(OUT)/bench_envelope
	@$(OUT)/bench_envelope
bench-coherence: deps ## what coherence costs: propagation, Redis' CPU, hits, waiting; BENCH_ARGS=--quick
	@$(MAKE) --no-print-directory build
	@/usr/bin/python3 bench/coherence.py $${BENCH_ARGS:-}

bench-managed: deps ## what writes of managed keys cost Redis; BENCH_ARGS=--quick
	@$(MAKE) --no-print-directory build
	@/usr/bin/python3 bench/managed.py $${BENCH_ARGS:-}
bench-large: deps ## how fast large values pass a node, and in how much memory; BENCH_ARGS=--quick
	@$(MAKE) --no-print-directory build
	@/usr/bin/python3 bench/large.py $${BENCH_ARGS:-}
bench-client: deps ## libterrace beside hiredis on the same node: one call at a time, batches, callbacks; BENCH_ARGS=--quick
	@$(MAKE) --no-print-directory build $(OUT)/bench_client
	@/usr/bin/python3 bench/client.py $${BENCH_ARGS:-}
bench-near: deps ## L0, the near cache of libterrace: ns of a hit, staleness after a stranger's write; BENCH_ARGS=--quick
	@$(MAKE) --no-print-directory build $(OUT)/bench_near
	@/usr/bin/python3 bench/near.py $${BENCH_ARGS:-}
bench-bans: deps ## what invalidations by tag and prefix cost: hits, memory, a check in process; BENCH_ARGS=--quick
	@$(MAKE) --no-print-directory build $(OUT)/bench_bans
	@/usr/bin/python3 bench/bans.py $${BENCH_ARGS:-}
bench-scale: deps ## from 2 to 4 nodes under load, with warming and without, second by second: BENCH_ARGS="--svg FILE --csv FILE"
	@$(MAKE) --no-print-directory build $(OUT)/bench_scale
	@/usr/bin/python3 bench/scale.py $${BENCH_ARGS:-}
bench-snapshot-restart: deps ## a node that starts again with its snapshot, under load, judged; BENCH_ARGS="--svg FILE"
	@$(MAKE) --no-print-directory build
	@/usr/bin/python3 bench/snapshot_restart.py $${BENCH_ARGS:-}
bench-warm-start: deps ## a node that starts cold beside ones that start warm, second by second: TRACE="FILE", BENCH_ARGS="--svg FILE"
	@$(MAKE) --no-print-directory build
	@/usr/bin/python3 bench/warm_start.py $${BENCH_ARGS:-} $${TRACE:?name a trace file: TRACE="FILE"}
bench-warm-foreground: deps ## what clients feel of a warm job at full rate: their p99 with and without it; BENCH_ARGS=--smoke
	@$(MAKE) --no-print-directory build
	@/usr/bin/python3 bench/warm_foreground.py $${BENCH_ARGS:-}
bench-warm-queue: deps ## how long all of Redis waits for a call to the queue of warm jobs, with 10, 100 and 1,000 of them
	@/usr/bin/python3 bench/warm_queue.py $${BENCH_ARGS:-}
bench-instructions: deps ## requests in instructions, and what bans add to a hit, by valgrind: the same on a busy machine; BENCH_ARGS=--quick
	@command -v valgrind >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
	    --no-install-recommends valgrind; }
	@$(MAKE) --no-print-directory build
	@/usr/bin/python3 bench/instructions.py $${BENCH_ARGS:-}
bench-policy: deps ## hit ratios of the policies on trace files: TRACES="FILE...", BENCH_ARGS=--sizes
	@$(MAKE) --no-print-directory $(OUT)/bench_policy
	@$(OUT)/bench_policy $${BENCH_ARGS:-} $${TRACES:?name trace files: TRACES="FILE..."}
bench-whatif: deps ## what CACHE.WHATIF says, against what L1 then does: TRACES="FILE...", BENCH_ARGS=--ttl
	@$(MAKE) --no-print-directory $(OUT)/bench_whatif
	@$(OUT)/bench_whatif $${BENCH_ARGS:-} $${TRACES:?name trace files: TRACES="FILE..."}

asan: ## unit tests and journeys under AddressSanitizer and UBSan
	@$(MAKE) --no-print-directory -j2 MODE=asan build unit
	@tests/run.py build unit-asan sim-asan journeys-asan
tsan: ## the same under ThreadSanitizer
	@$(MAKE) --no-print-directory -j2 MODE=tsan build unit
	@tests/run.py build unit-tsan journeys-tsan
fuzz: ## every parser for FUZZ_SECONDS (60) each
	@$(MAKE) --no-print-directory -j2 $(FUZZERS)
	@for f in $(FUZZERS); do k=$${f##*/fuzz_}; mkdir -p build/fuzz/found/$$k; \
	    $$f -max_total_time=$${FUZZ_SECONDS:-60} -timeout=10 -artifact_prefix=build/fuzz/found/$$k/ \
	        build/fuzz/found/$$k tests/fuzz/corpus/$$k || exit 1; done
model: deps ## the rules of coherence, searched exhaustively; and every rule left out once
	@tests/model/run.py
cover: ## line coverage of the unit tests, by gcov
	@$(MAKE) --no-print-directory -j2 MODE=cover unit
	@for t in build/cover/tests/unit/test_*; do [ ! -x $$t ] || $$t >/dev/null; done
	@cd build/cover && for d in protocol tiers tiers/base; do gcov -n -o $$d $$d/*.gcno 2>/dev/null | \
	    grep -A1 "^File '$$d/" | grep -v '^--' | paste - - | sed -E "s/File '([^']*)'.*:([0-9.]+%) of ([0-9]+)/\\2\\t\\3\\t\\1/"; done

format: ## write the one style
	@clang-format -i $$(git ls-files '*.c' '*.h')
lint: ## style and clang-tidy; prints what it finds
	@clang-format --dry-run --Werror $$(git ls-files '*.c' '*.h')
	@clang-tidy --quiet $$(git ls-files '*.c') -- $(BASE)

# Man pages are made of what they are about; what a program cannot say of itself stands in docs/man/*.in.
build/man/made: docs/man/make.py $(wildcard docs/man/*.in) client/terrace.h client/options.def server/options.def \
                server/namespace_options.def build/release/terrace
	@rm -rf build/man; mkdir -p build/man
	@/usr/bin/python3 docs/man/make.py $(VERSION) build/release/terrace build/man
	@touch $@

PROGRAMS := terraced terrace-bench terrace
SHARE    := $(PREFIX)/share
install: build build/man/made ## PREFIX=/usr/local LIBDIR=PREFIX/lib SYSCONFDIR=/etc UNITDIR=PREFIX/lib/systemd/system DESTDIR=: programs, libterrace, terrace.pc, man pages, completions, unit, example configuration
	install -d $(addprefix $(DESTDIR),$(PREFIX)/bin $(PREFIX)/include $(LIBDIR)/pkgconfig $(SHARE)/man/man1 $(SHARE)/man/man3 \
	    $(SHARE)/man/man5 $(SHARE)/man/man8 $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(UNITDIR) $(SYSCONFDIR)/terrace)
	install -m 755 $(addprefix build/release/,$(PROGRAMS)) $(DESTDIR)$(PREFIX)/bin
	install -m 644 client/terrace.h $(DESTDIR)$(PREFIX)/include
	install -m 644 build/release/libterrace.a build/release/libterrace.so.$(VERSION) $(DESTDIR)$(LIBDIR)
	cp -dP build/release/$(SONAME) build/release/libterrace.so $(DESTDIR)$(LIBDIR)
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|; s|@REQUIRES@|$(LIBTERRACE_LIBRARIES)|' \
	    client/terrace.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/terrace.pc
	cp -dP --no-preserve=mode,ownership -r build/man/man? $(DESTDIR)$(SHARE)/man
	build/release/terrace completions bash >$(DESTDIR)$(SHARE)/bash-completion/completions/terrace
	build/release/terrace completions zsh >$(DESTDIR)$(SHARE)/zsh/site-functions/_terrace
	sed -e 's|/usr/local/bin|$(PREFIX)/bin|; s|/etc/terrace|$(SYSCONFDIR)/terrace|' deploy/systemd/terraced.service >$(DESTDIR)$(UNITDIR)/terraced.service
	@# what somebody has written there stays
	test -e $(DESTDIR)$(SYSCONFDIR)/terrace/terraced.conf || install -m 644 deploy/terraced.conf $(DESTDIR)$(SYSCONFDIR)/terrace
uninstall: ## take them away again, but for a configuration that was changed
	! cmp -s deploy/terraced.conf $(DESTDIR)$(SYSCONFDIR)/terrace/terraced.conf || rm $(DESTDIR)$(SYSCONFDIR)/terrace/terraced.conf
	rm -f $(DESTDIR)$(UNITDIR)/terraced.service $(addprefix $(DESTDIR)$(PREFIX)/bin/,$(PROGRAMS)) $(DESTDIR)$(PREFIX)/include/terrace.h $(DESTDIR)$(LIBDIR)/libterrace.a \
	    $(DESTDIR)$(LIBDIR)/libterrace.so* $(DESTDIR)$(LIBDIR)/pkgconfig/terrace.pc
	cd $(DESTDIR)$(SHARE) && rm -f man/man1/terrace.1 man/man3/libterrace.3 man/man3/terrace_*.3 man/man5/terrace-options.5 \
	    man/man8/terraced.8 bash-completion/completions/terrace zsh/site-functions/_terrace
dist: ## a source archive of what is committed
	@mkdir -p build
	git archive --prefix=terrace-$(VERSION)/ -o build/terrace-$(VERSION).tar.gz HEAD
clean: ## remove build/
	rm -rf build

# --- how things are made ---------------------------------------------------------------------------------------------

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC    $(MODE) $<'
	@$(CC) $(BASE) -MMD -MP -c $< -o $@

# What protobuf-c makes of a .proto; its header is included by those that are named here.
$(GENERATED)/%.pb-c.c $(GENERATED)/%.pb-c.h: %.proto
	@mkdir -p $(GENERATED)
	@protoc-c --c_out=$(GENERATED) $<
$(OUT)/protocol/envelope.o build/fuzz/protocol/envelope.o: $(GENERATED)/protocol/envelope.pb-c.h
$(OUT)/protocol/native_codec.o build/fuzz/protocol/native_codec.o: $(GENERATED)/protocol/terrace.pb-c.h
$(OUT)/protocol/native_warm.o build/fuzz/protocol/native_warm.o: $(GENERATED)/protocol/terrace.pb-c.h
$(OUT)/client/warm_list.o build/fuzz/client/warm_list.o: $(GENERATED)/protocol/terrace.pb-c.h
# On the wire a string is bytes; of the strings of protobuf-c nobody would know what stands behind a zero.
# Both at once (&:): made twice, the header would be newer than what was built with it, and an install would build anew.
$(GENERATED)/protocol/terrace.pb-c.c $(GENERATED)/protocol/terrace.pb-c.h &: protocol/terrace.proto
	@mkdir -p $(GENERATED)/proto/protocol
	@sed -E 's/^( *)string /\1bytes /' $< >$(GENERATED)/proto/$<
	@protoc-c --proto_path=$(GENERATED)/proto --c_out=$(GENERATED) $(GENERATED)/proto/$<

$(OUT)/tiers/beat.o: tiers/scripts/beat.lua
$(OUT)/tiers/lease.o: tiers/scripts/lease.lua
$(OUT)/tiers/replay.o: tiers/scripts/replay.lua
$(OUT)/tiers/ban_script.o: tiers/scripts/ban.lua

$(OUT)/tiers/managed_write.o: tiers/scripts/managed.lua
$(OUT)/tiers/dictionary_desk.o: tiers/scripts/dictionary.lua
$(OUT)/tiers/verdict.o: tiers/scripts/verdict.lua
$(OUT)/tiers/flight_ask.o: tiers/scripts/whole_hash.lua
$(OUT)/server/admin_page.o: server/admin_page.html
$(OUT)/server/hot_lists.o: tiers/scripts/hot.lua
$(OUT)/server/hot_held.o: tiers/scripts/held.lua
$(OUT)/tiers/warm_script.o: tiers/scripts/warm.lua tiers/scripts/warm_verbs.lua

$(OUT)/libnode.a: $(call obj,$(SERVER) $(TIERS) $(PROTOCOL))
	@rm -f $@; $(AR) rcs $@ $^
$(OUT)/libbench.a: $(call obj,$(BENCH) $(PROTOCOL))
	@rm -f $@; $(AR) rcs $@ $^

$(OUT)/libprotocol.a: $(call obj,$(PROTOCOL))
	@rm -f $@; $(AR) rcs $@ $^
$(OUT)/libclient.a: $(call obj,$(CLIENT) $(L1) $(PROTOCOL))
	@rm -f $@; $(AR) rcs $@ $^

# libterrace: objects of its own, which are position independent and show nothing but what client/terrace.h asks to be shown.
# It is a guest in the process, so it never ends it: what is released has no CHECK (protocol/check.h).
# The archive is one object in which all other names are local, so that none of ours meets one of an application's.
# With sanitizers it is made of the objects that the tests have, too.
lib_obj = $(if $(filter release,$(MODE)),$(patsubst %.c,$(OUT)/lib/%.o,$(1)),$(call obj,$(1)))
$(OUT)/lib/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC    $(MODE) lib $<'
	@$(CC) $(BASE) -DTERRACE_GUEST -DNDEBUG -fPIC -fvisibility=hidden -MMD -MP -c $< -o $@
$(OUT)/lib/protocol/envelope.o: $(GENERATED)/protocol/envelope.pb-c.h
$(OUT)/lib/protocol/native_codec.o $(OUT)/lib/protocol/native_warm.o $(OUT)/lib/client/warm_list.o: $(GENERATED)/protocol/terrace.pb-c.h
$(OUT)/lib/below.a: $(call lib_obj,$(L1) $(PROTOCOL))
	@mkdir -p $(@D); rm -f $@; $(AR) rcs $@ $^
$(OUT)/lib/terrace.o: $(call lib_obj,$(LIBTERRACE)) $(OUT)/lib/below.a
	@$(CC) -r -nostdlib $^ -o $@
	@objcopy $(if $(filter release,$(MODE)),--localize-hidden,--wildcard --keep-global-symbol='terrace_*') $@
$(OUT)/libterrace.a: $(OUT)/lib/terrace.o
	@rm -f $@; $(AR) rcs $@ $^
$(OUT)/libterrace.so.$(VERSION): $(call lib_obj,$(LIBTERRACE)) $(OUT)/lib/below.a client/libterrace.map
	@echo '  LINK  $@'
	@$(CC) $(BASE) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=client/libterrace.map -Wl,-z,defs,-z,relro,-z,now \
	    $(filter %.o %.a,$^) -o $@ -Wl,--as-needed $(shell pkg-config --libs $(LIBTERRACE_LIBRARIES)) -lm -lpthread
$(OUT)/$(SONAME) $(OUT)/libterrace.so: $(OUT)/libterrace.so.$(VERSION)
	@ln -sf libterrace.so.$(VERSION) $@

$(OUT)/terraced: $(call obj,server/main.c) $(OUT)/libnode.a
	@echo '  LINK  $@'
	@$(CC) $(BASE) $^ -o $@ $(LIBS)
$(OUT)/terrace-bench: $(call obj,bench/main.c) $(OUT)/libbench.a
	@echo '  LINK  $@'
	@$(CC) $(BASE) $^ -o $@ $(LIBS)

$(OUT)/bench_l1: $(call obj,bench/core/l1.c) $(OUT)/libnode.a
	@echo '  LINK  $@'
	@$(CC) $(BASE) $^ -o $@ $(LIBS)

$(OUT)/bench_envelope: $(call obj,bench/core/envelope.c bench/rng.c) $(OUT)/libnode.a
	@echo '  LINK  $@'
	@$(CC) $(BASE) $^ -o $@ $(LIBS)

$(OUT)/bench_client: $(call obj,$(wildcard bench/core/client*.c) bench/rng.c protocol/histogram.c) $(OUT)/libterrace.a
	@echo '  LINK  $@'
	@$(CC) $(BASE) $^ -o $@ $(LIBS)

$(OUT)/bench_scale: $(call obj,bench/core/scale.c bench/rng.c bench/zipf.c protocol/histogram.c protocol/check.c) $(OUT)/libterrace.a
	@echo '  LINK  $@'
	@$(CC) $(BASE) $^ -o $@ $(LIBS)

$(OUT)/bench_near: $(call obj,bench/core/near.c bench/rng.c protocol/histogram.c) $(OUT)/libterrace.a
	@echo '  LINK  $@'
	@$(CC) $(BASE) $^ -o $@ $(LIBS)

$(OUT)/bench_bans: $(call obj,bench/core/bans.c) $(OUT)/libnode.a
	@echo '  LINK  $@'
	@$(CC) $(BASE) $^ -o $@ $(LIBS)

$(OUT)/bench_policy: $(call obj,bench/core/policy.c bench/core/sweep.c bench/trace.c bench/values.c bench/rng.c) $(OUT)/libnode.a
	@echo '  LINK  $@'
	@$(CC) $(BASE) $^ -o $@ $(LIBS)

$(OUT)/bench_whatif: $(call obj,bench/core/whatif.c bench/core/sweep.c bench/trace.c bench/values.c bench/rng.c) $(OUT)/libnode.a
	@echo '  LINK  $@'
	@$(CC) $(BASE) $^ -o $@ $(LIBS)

$(OUT)/libcli.a: $(call obj,$(CLI))
	@rm -f $@; $(AR) rcs $@ $^
$(OUT)/terrace: $(call obj,client/cli/main.c) $(OUT)/libcli.a $(OUT)/libterrace.a $(OUT)/libprotocol.a
	@echo '  LINK  $@'
	@$(CC) $(BASE) $^ -o $@ $(LIBS)

$(addprefix $(OUT)/tests/unit/,$(CLI_TESTS)): $(OUT)/tests/unit/%: $(OUT)/tests/unit/%.o $(OUT)/libcli.a $(OUT)/libterrace.a $(OUT)/libprotocol.a
	@$(CC) $(BASE) $^ -o $@ $(UNIT_LIBS)
$(addprefix $(OUT)/tests/unit/,$(CLIENT_TESTS)): $(OUT)/tests/unit/%: $(OUT)/tests/unit/%.o $(OUT)/libclient.a
	@$(CC) $(BASE) $^ -o $@ $(UNIT_LIBS)
$(addprefix $(OUT)/tests/unit/,$(BENCH_TESTS)): $(OUT)/tests/unit/%: $(OUT)/tests/unit/%.o $(OUT)/libbench.a
	@$(CC) $(BASE) $^ -o $@ $(UNIT_LIBS)
$(OUT)/tests/unit/test_%: $(OUT)/tests/unit/test_%.o $(OUT)/libnode.a
	@$(CC) $(BASE) $^ -o $@ $(UNIT_LIBS)
$(OUT)/tests/unit/test_hot $(OUT)/tests/unit/test_held: $(OUT)/bench/zipf.o $(OUT)/bench/rng.o # a load to count

# Allocations of this one fail as it says.
comma := ,
$(OUT)/tests/unit/test_l1_want: LIBS += $(addprefix -Wl$(comma)--wrap=,malloc calloc aligned_alloc mmap arena_alloc \
                                          arena_alloc_line arena_alloc_pages arena_run_new)
$(OUT)/tests/unit/test_native_codec: LIBS += $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc)
$(OUT)/tests/unit/test_near_want: LIBS += $(addprefix -Wl$(comma)--wrap=,malloc calloc aligned_alloc mmap arena_alloc \
                                          arena_alloc_line arena_alloc_pages)

$(OUT)/tests/unit/test_cluster: LIBS += -Wl,--wrap=calloc

$(OUT)/tests/sim/sim: $(call obj,$(SIM)) $(OUT)/libnode.a
	@echo '  LINK  $@'
	@$(CC) $(BASE) $^ -o $@ $(LIBS)

$(OUT)/tests/journeys/hiredis_client: $(OUT)/tests/journeys/hiredis_client.o
	@$(CC) $(BASE) $^ -o $@ $(shell pkg-config --libs hiredis)

$(REFUSED): %: %.o $(OUT)/libclient.a
	@$(CC) $(BASE) $^ -o $@ $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc strdup) $(LIBS)

$(APPLICATIONS): %: %.o $(OUT)/libterrace.a $(OUT)/libprotocol.a
	@$(CC) $(BASE) $^ -o $@ $(LIBS)

$(OUT)/tests/clients/hiredis_flows: $(OUT)/tests/clients/hiredis_flows.o
	@$(CC) $(BASE) $^ -o $@ $(shell pkg-config --libs hiredis libuv)

$(OUT)/tests/journeys/%.so: tests/journeys/%.c
	@mkdir -p $(@D)
	@$(CC) -std=gnu11 -D_GNU_SOURCE $(WARNINGS) -O2 -fPIC -shared $< -o $@

$(OUT)/tests/fault/proxy: $(call obj,$(wildcard tests/fault/*.c)) $(OUT)/libnode.a
	@$(CC) $(BASE) $^ -o $@ $(LIBS)

# The fuzzers want clang's instrumentation in everything they reach.
FUZZ_FLAGS := -std=gnu11 -D_GNU_SOURCE -I. -I$(GENERATED) $(WARNINGS) -O1 -g1 -fsanitize=fuzzer-no-link,address,undefined \
              -fno-sanitize-recover=undefined
# Of the server, what knows nothing of nodes, connections and calls, and so can be a parser; the rest comes as it is released: the table
# of commands wants it, and nothing runs it.
FUZZ_SERVER := server/acl.c server/warm_show.c $(shell grep -L '"server/\(call\|worker\|node\|conn\)\.h"' $(SERVER))
FUZZ_CORE  := $(patsubst %.c,build/fuzz/%.o,$(PROTOCOL) $(TIERS) $(FUZZ_SERVER) $(wildcard client/check/*.c) client/warm_list.c \
                $(addprefix client/cli/,tree.c json.c text.c sample.c) bench/memcached.c)
build/fuzz/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC    fuzz $<'
	@clang $(FUZZ_FLAGS) -MMD -MP -c $< -o $@
build/fuzz/libnode.a: $(FUZZ_CORE)
	@rm -f $@; $(AR) rcs $@ $^
build/fuzz/tests/fuzz/fuzz_%: build/fuzz/tests/fuzz/fuzz_%.o build/fuzz/libnode.a build/release/libnode.a
	@echo '  LINK  $@'
	@clang -fsanitize=fuzzer,address,undefined $^ -o $@ $(LIBS)

.SECONDARY:
-include $(shell find build -name '*.d' 2>/dev/null)
