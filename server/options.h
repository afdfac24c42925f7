/* SPDX-License-Identifier: BSD-3-Clause */
/* options.h -- the settings of a node: file, environment, flags, CONFIG GET and SET, all from options.def.
 *
 * One line of options.def gives the field here, the parser, --help, --print-config, CONFIG and the reference page:
 *
 *   OPTION(type, field, "name", default text, minimum, maximum, when, "help")
 *
 * type   TEXT char*; WORD one of a list; NUMBER int64; BYTES int64 ("64mb", Redis' units); TIME int64 ms ("1s",
 *        "250ms", "5m"); PERCENT int64 ("80%"); BOOL ("yes", "no")
 * when   START (only before the node runs) or LIVE (CONFIG SET and SIGHUP too)
 *
 * Precedence: flag > environment (TERRACE_NAME, dashes as underscores) > file > default. The file is INI (inih); names
 * before the first section, or in [terrace], are these options; they are also those of the namespace `default`. Each
 * section [namespace NAME] is a namespace, with the settings of namespace_options.def; only the file has these.
 *
 * Errors: one line that says where ("FILE:LINE", "flag --x", "environment TERRACE_X", "default of 'x'"), what, and what
 * was expected; where several settings do not go together, where the one is from that must change. In one section of a
 * file no option may be given twice.
 * Nothing is applied unless everything is good. */
#ifndef TERRACE_SERVER_OPTIONS_H
#define TERRACE_SERVER_OPTIONS_H

#include "server/tls.h"
#include "tiers/namespace.h"

#include <stdio.h>

typedef char *option_text;
typedef int64_t option_number;
typedef bool option_bool;

#define OPTION_FIELD_TEXT                                                 option_text
#define OPTION_FIELD_WORD                                                 option_text
#define OPTION_FIELD_NUMBER                                               option_number
#define OPTION_FIELD_BYTES                                                option_number
#define OPTION_FIELD_TIME                                                 option_number
#define OPTION_FIELD_PERCENT                                              option_number
#define OPTION_FIELD_BOOL                                                 option_bool
#define OPTION(type, field, name, fallback, minimum, maximum, when, help) OPTION_FIELD_##type field;

enum {
    OPTIONS_MAX = 80,           /* lines of options.def, */
    NAMESPACE_OPTIONS_MAX = 32, /* and of namespace_options.def */
};

struct namespace_options {
#include "server/namespace_options.def"
    char *name;
    unsigned line; /* of its section in the file */
    /* Of each option, in the order of the .def; 0: its default. */
    unsigned lines[NAMESPACE_OPTIONS_MAX];
};

enum option_source {
    OPTION_BY_DEFAULT,
    OPTION_IN_FILE,
    OPTION_IN_ENVIRONMENT,
    OPTION_BY_FLAG
};

struct option_origin {
    enum option_source source;
    unsigned line; /* of the file */
};

struct options {
#include "server/options.def"
    struct namespace_options *namespaces; /* without `default` */
    unsigned namespace_count;
    char *file; /* where it was read from, or NULL */
    /* As options_load read them, in the order of the .def. */
    struct option_origin origins[OPTIONS_MAX];
};
#undef OPTION

enum {
    OPTIONS_ERROR_MAX = 512
};

enum options_verdict {
    OPTIONS_RUN,
    OPTIONS_DONE, /* --help, --version, --check-config, --print-config answered on stdout: exit 0 */
    OPTIONS_WRONG, /* `error` says what: exit 78 */
};

/* Fills *options from all sources. `environment` as environ. On OPTIONS_WRONG nothing in *options needs freeing. */
enum options_verdict options_load(struct options *options, int argc, char **argv,
                                  char **environment, char error[OPTIONS_ERROR_MAX]);
/* Reads the same sources again (SIGHUP). INVALID: error says what, *ret is untouched. */
enum status options_reload(const struct options *running, int argc, char **argv, char **environment,
                           struct options *ret, char error[OPTIONS_ERROR_MAX]) MUST_USE;
enum status options_copy(const struct options *from, struct options *ret) MUST_USE;
void options_done(struct options *options);
/* What is set and has no effect where it stands: a line for each, as errors are, with file and line or flag. */
typedef void options_advice_fn(void *arg, const char *text);
void options_advise(const struct options *options, options_advice_fn *on_advice, void *arg);

/* One option by name (any case). INVALID: unknown, START-only, or a bad value; error says which. */
enum status options_set(struct options *options, struct slice name, struct slice value,
                        bool running, char error[OPTIONS_ERROR_MAX]) MUST_USE;
/* The value as CONFIG GET prints it, appended to `text`. MISS: no such option. */
enum status options_get(const struct options *options, const char *name, struct buf *text) MUST_USE;
/* Names in order; NULL past the end. */
const char *options_name(unsigned i);
bool options_is_live(unsigned i);
void options_print(const struct options *options,
                   FILE *file); /* as a file that loads again; secrets masked */
void options_help(FILE *file);

/* Takes over the options of a file's text, which `file` names in errors. What a fuzzer drives. INVALID: error says
 * where and what; *options may hold the lines before it. */
enum status options_read_text(struct options *options, const char *file, struct slice text,
                              char error[OPTIONS_ERROR_MAX]) MUST_USE;

/* The budget of the node: `memory`, or what 0 stands for. */
size_t options_memory(const struct options *options);
/* Its workers: `threads`, or what 0 stands for. */
unsigned options_threads(const struct options *options);
/* The namespaces, `default` first, for tiers/namespace.h; what they point to is in *options. Returns how many. */
unsigned options_specs(const struct options *options, struct namespace_spec specs[NAMESPACES_MAX]);

/* [tls://]HOST:PORT, one after the other, out of `listen` or `admin`; brackets around an IPv6 host are taken off. `rest` begins
 * as the whole text. MISS: no more. MALFORMED: not HOST:PORT (options_load lets no such text through). */
struct option_address {
    struct slice host; /* borrows */
    uint16_t port;     /* 0: any free one */
    bool tls;
};
enum status options_next_address(struct slice *rest, struct option_address *ret_address) MUST_USE;
/* The first one of `listen` that speaks TLS, or does not. MISS: there is none. */
enum status options_first_address(const struct options *options, bool tls,
                                  struct option_address *ret_address) MUST_USE;

/* `tls-auth-clients`. */
enum tls_asks options_tls_asks(const struct options *options);

/* `revalidate-rate`: REVALIDATE_AUTO (tiers.h) or keys per second. MALFORMED: neither (options_load lets no such text
 * through). */
enum {
    OPTION_RATE_MAX = 1000000
};
enum status options_rate(struct slice value, int64_t *ret_rate) MUST_USE;

#endif
