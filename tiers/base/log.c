/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/base/log.h"

#include "protocol/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "verbose", "notice", "warning"};

void log_open(struct log *log, int fd, bool json, enum log_level level)
{
    *log = (struct log){.fd = fd, .json = json};
    atomic_store(&log->level, (int)level);
}

bool log_level_read(const char *name, enum log_level *ret_level)
{
    for (int i = 0; i <= (int)LOG_WARNING; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* One line of text, whatever L2 or a client said. */
static void log_escape(char *dst, size_t room, const char *text)
{
    static const char cut[] = "...";
    const struct slice bytes = slice_of(text);
    size_t used = 0;
    for (size_t at = 0, size; at < bytes.size; at += size) {
        const unsigned char c = (unsigned char)text[at];
        size = utf8_character(bytes, at);
        if (used + size + 1 + sizeof(cut) > room) {
            memcpy(dst + used, cut, sizeof(cut) - 1);
            used += sizeof(cut) - 1;
            break;
        }
        if (c == '"' || c == '\\') {
            dst[used++] = '\\';
        }
        if (size > 1) {
            memcpy(dst + used, text + at, size);
            used += size;
        } else {
            dst[used++] = (char)(size == 0 ? '?' : c < 0x20 || c == 0x7f ? ' ' : c);
        }
        size = size > 0 ? size : 1;
    }
    dst[used] = '\0';
}

/* false: the second has had its lines. */
static bool log_may_write(struct log *log, int64_t second)
{
    if (atomic_exchange(&log->second, second) != second) {
        atomic_store(&log->lines, 0);
    }
    if (atomic_fetch_add(&log->lines, 1) >= LOG_LINES_PER_SECOND) {
        atomic_fetch_add(&log->suppressed, 1);
        return false;
    }
    return true;
}

void log_write(struct log *log, enum log_level level, const char *event, const char *format, ...)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if ((int)level < atomic_load_explicit(&log->level, memory_order_relaxed) ||
        !log_may_write(log, now.tv_sec)) {
        return;
    }
    char message[LOG_MESSAGE_MAX + 1];
    char escaped[LOG_LINE_MAX - 256];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(message, sizeof(message), format, arguments) >= (int)sizeof(message)) {
        memcpy(message + LOG_MESSAGE_MAX - 3, "...", 3);
    }
    va_end(arguments);
    log_escape(escaped, sizeof(escaped), message);
    struct tm utc;
    char stamp[32];
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
    char line[LOG_LINE_MAX];
    unsigned lost = atomic_exchange(&log->suppressed, 0);
    int size = snprintf(
        line, sizeof(line),
        log->json
            ? "{\"ts\":\"%s.%03ldZ\",\"level\":\"%s\",\"event\":\"%s\",\"msg\":\"%s\",\"lost\":%u}\n"
            : "ts=%s.%03ldZ level=%s event=%s msg=\"%s\" lost=%u\n",
        stamp, now.tv_nsec / 1000000, level_names[level], event, escaped, lost);
    size = size < (int)sizeof(line) ? size : (int)sizeof(line) - 1;
    if (write(log->fd, line, (size_t)size) < 0) {
        return; /* nobody to tell */
    }
}
