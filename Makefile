# Terrace. `make help` lists what there is. Everything is built below build/, one folder per mode.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
MAKEFLAGS += --no-builtin-rules

MODE   ?= release
CC     := gcc
VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=

PACKAGES := gcc clang libclang-rt-14-dev clang-format-14 pkg-config libuv1-dev libhiredis-dev libxxhash-dev libinih-dev \
            libmicrohttpd-dev libjansson-dev libcmocka-dev redis-server redis-tools \
            python3 python3-pytest python3-redis prometheus xz-utils procps
LIBRARIES := libuv hiredis libxxhash inih libmicrohttpd

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla -Wswitch-enum \
            -Wformat=2 -Werror
CFLAGS_release := -O2 -g -fno-omit-frame-pointer
CFLAGS_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
CFLAGS_tsan    := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
CFLAGS_clang   := -O1 -g
CFLAGS_cover   := -O0 -g --coverage
ifeq ($(MODE),clang)
CC := clang
endif

OUT      := build/$(MODE)
BASE     := -std=gnu11 -D_GNU_SOURCE -DTERRACE_VERSION='"$(VERSION)"' -I. $(WARNINGS) $(CFLAGS_$(MODE))
UV       := $(shell pkg-config --cflags --libs libuv 2>/dev/null)
LIBS     := -luv -lhiredis -linih -lmicrohttpd -lxxhash -lm -lpthread

PROTOCOL := $(wildcard protocol/*.c)
TIERS    := $(wildcard tiers/*.c tiers/base/*.c)
SERVER   := $(filter-out server/main.c,$(wildcard server/*.c))
BENCH    := $(filter-out bench/main.c,$(wildcard bench/*.c))
UNIT     := $(wildcard tests/unit/test_*.c)
obj       = $(patsubst %.c,$(OUT)/%.o,$(1))
UNIT_BIN := $(patsubst tests/unit/%.c,$(OUT)/tests/unit/%,$(UNIT))

.PHONY: build all
build: $(OUT)/terraced $(OUT)/terrace-bench
all: build

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(CC) $(BASE) -MMD -MP -c $< -o $@

$(OUT)/tiers/beat.o: tiers/scripts/beat.lua

$(OUT)/terraced: $(call obj,server/main.c $(SERVER) $(TIERS) $(PROTOCOL))
	@echo '  LINK  $@'
	@$(CC) $(BASE) $^ -o $@ $(LIBS)

$(OUT)/terrace-bench: $(call obj,bench/main.c $(BENCH) $(PROTOCOL))
	@echo '  LINK  $@'
	@$(CC) $(BASE) $^ -o $@ -luv -ljansson -lxxhash -lm -lpthread

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
