/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static bool has_keys;
static bool is_begun;

/* The other screen, no cursor, no lines that wrap; and back. */
#define ENTER "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
#define LEAVE "\x1b[?7h\x1b[?25h\x1b[0m\x1b[?1049l"

void terminal_end(void)
{
    if (!is_begun) {
        return;
    }
    is_begun = false;
    (void)terminal_write(SLICE_LITERAL(LEAVE));
    if (has_keys) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        has_keys = false;
    }
}

bool terminal_is_there(void)
{
    const char *kind = getenv("TERM");
    return isatty(STDOUT_FILENO) == 1 && kind != NULL && strcmp(kind, "dumb") != 0;
}

bool terminal_begin(void)
{
    if (isatty(STDOUT_FILENO) != 1) {
        return false;
    }
    if (isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before) == 0) {
        struct termios raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VMIN] = 0;
        raw.c_cc[VTIME] = 0;
        raw.c_cc[VSUSP] = _POSIX_VDISABLE; /* a stopped program would leave its screen behind */
        has_keys = tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) == 0;
    }
    is_begun = true;
    (void)atexit(terminal_end);
    return terminal_write(SLICE_LITERAL(ENTER));
}

void terminal_size(unsigned *ret_rows, unsigned *ret_columns)
{
    struct winsize size = {0};
    const bool is_known =
        ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
    *ret_rows = is_known ? size.ws_row : 24;
    *ret_columns = is_known ? size.ws_col : 80;
}

int terminal_keys(void)
{
    return has_keys ? STDIN_FILENO : -1;
}

int terminal_key(void)
{
    unsigned char key = 0;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (!has_keys || poll(&input, 1, 0) <= 0) {
        return -1;
    }
    const ssize_t size = read(STDIN_FILENO, &key, 1);
    return size == 1 ? key : size < 0 && (errno == EAGAIN || errno == EINTR) ? -1 : 'q';
}

bool terminal_write(struct slice bytes)
{
    while (bytes.size > 0) {
        const ssize_t size = write(STDOUT_FILENO, bytes.data, bytes.size);
        if (size < 0 && errno != EINTR && errno != EAGAIN) {
            return false;
        }
        bytes.data += size > 0 ? size : 0;
        bytes.size -= size > 0 ? (size_t)size : 0;
    }
    return true;
}

bool terminal_is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0') {
            return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
        }
    }
    return false;
}
