/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/window.h"

#include "bench/clock.h"
#include "bench/cpu.h"

static void count_bytes(const struct pool *pool, uint64_t *ret_in, uint64_t *ret_out)
{
    *ret_in = 0;
    *ret_out = 0;
    for (uint32_t i = 0; i < pool->config.connections; i++) {
        *ret_in += pool->conns[i].bytes_in;
        *ret_out += pool->conns[i].bytes_out;
    }
}

void window_open(struct window *window, const struct pool *pool, uint64_t pid)
{
    *window = (struct window){.pid = pid};
    count_bytes(pool, &window->bytes_in, &window->bytes_out);
    window->own_cpu_ns = cpu_own_ns();
    window->has_server_cpu = pid != 0 && cpu_of_process(pid, &window->server_cpu_ns) == OK;
    window->begin_ns = clock_ns();
}

void window_close(struct window *window, const struct pool *pool)
{
    uint64_t now_ns = clock_ns();
    uint64_t server_ns = 0;
    window->has_server_cpu = window->has_server_cpu &&
                             cpu_of_process(window->pid, &server_ns) == OK &&
                             server_ns >= window->server_cpu_ns;
    window->server_cpu_ns = window->has_server_cpu ? server_ns - window->server_cpu_ns : 0;
    window->own_cpu_ns = cpu_own_ns() - window->own_cpu_ns;
    uint64_t bytes_in = 0;
    uint64_t bytes_out = 0;
    count_bytes(pool, &bytes_in, &bytes_out);
    window->bytes_in = bytes_in - window->bytes_in;
    window->bytes_out = bytes_out - window->bytes_out;
    window->seconds = (double)(now_ns - window->begin_ns) / 1e9;
}
