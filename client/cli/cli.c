/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/cli.h"

#include "client/cli/help.h"
#include "client/cli/json.h"
#include "protocol/version.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TIMEOUT_PRESET_MS = 2000,
    MESSAGE_MAX = 1024
};

/* --- the way out --------------------------------------------------------------------------------------------------- */

enum exit_code cli_print(struct cli *cli, struct slice bytes, enum exit_code code)
{
    const bool wrote = bytes.size == 0 || fwrite(bytes.data, 1, bytes.size, stdout) == bytes.size;
    if (!wrote || fflush(stdout) != 0) {
        (void)fprintf(stderr, "terrace %s: standard output: %s\n",
                      cli->verb == NULL ? "" : cli->verb->name, strerror(errno));
        return EXIT_FAILED;
    }
    return code;
}

enum exit_code cli_print_json(struct cli *cli, json_t *object, enum exit_code code)
{
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(object);
    if (text == NULL) {
        (void)fputs("terrace: out of memory\n", stderr);
        return EXIT_FAILED;
    }
    enum exit_code written = cli_print(cli, slice_of(text), code);
    free(text);
    if (written == code) {
        written = cli_print(cli, SLICE_LITERAL("\n"), code);
    }
    return written;
}

enum exit_code cli_print_table(struct cli *cli, struct table *table, enum exit_code code)
{
    struct buf text = {0};
    if (table_write(table, cli->color, &text) == OK) {
        code = cli_print(cli, buf_slice(&text), code);
    } else {
        code = cli_fail(cli, EXIT_FAILED, "out of memory");
    }
    buf_done(&text);
    table_done(table);
    return code;
}

enum exit_code cli_fail(struct cli *cli, enum exit_code code, const char *format, ...)
{
    char message[MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    const char *gap = cli->verb == NULL ? "" : " ";
    struct buf shown = {0};
    if (text_append_shown(&shown, slice_of(message)) == OK && buf_append(&shown, "", 1) == OK) {
        (void)fprintf(stderr, "terrace%s%s: %s\n", gap, cli->verb == NULL ? "" : cli->verb->name,
                      shown.data);
    }
    buf_done(&shown);
    if (cli->json && !cli->told) {
        json_t *object =
            json_pack("{s:o,s:i}", "error", json_bytes(slice_of(message)), "exit", (int)code);
        (void)cli_print_json(cli, object, code);
    }
    cli->told = true;
    return code;
}

enum exit_code cli_exit_of(enum terrace_status status)
{
    switch (status) {
    case TERRACE_OK:
    case TERRACE_STALE: return EXIT_FINE;
    case TERRACE_MISS:
    case TERRACE_NEGATIVE:
    case TERRACE_LOAD:
    case TERRACE_LOST:
    case TERRACE_UNMET:
    case TERRACE_BUSY:
    case TERRACE_DENIED:
    case TERRACE_REFUSED:
    case TERRACE_NO_MEMORY:
    case TERRACE_CLOSED: return EXIT_FAILED;
    case TERRACE_BAD_ARGUMENT: return EXIT_USAGE;
    case TERRACE_UNKNOWN: /* it went out, and no answer came: of the node, or of its L2 */
    case TERRACE_DEADLINE:
    case TERRACE_UNREACHABLE: return EXIT_UNREACHABLE;
    }
    return EXIT_FAILED;
}

static const char *words_of(enum terrace_status status)
{
    switch (status) {
    case TERRACE_LOST: return "it was invalidated or written meanwhile, and nothing was kept";
    case TERRACE_UNMET: return "the condition does not hold";
    case TERRACE_UNKNOWN: return "it was sent, and whether it was done is not known";
    case TERRACE_DEADLINE: return "no answer in time";
    case TERRACE_UNREACHABLE: return "no node can be reached";
    case TERRACE_BUSY: return "too much is under way";
    case TERRACE_DENIED: return "not allowed (NOAUTH or NOPERM)";
    case TERRACE_REFUSED: return "the node refuses it";
    case TERRACE_BAD_ARGUMENT: return "a wrong argument";
    case TERRACE_NO_MEMORY: return "out of memory";
    case TERRACE_OK:
    case TERRACE_MISS:
    case TERRACE_STALE:
    case TERRACE_NEGATIVE:
    case TERRACE_LOAD:
    case TERRACE_CLOSED: return terrace_status_name(status);
    }
    return terrace_status_name(status);
}

enum exit_code cli_fail_status(struct cli *cli, enum terrace_status status, const char *what,
                               const char *text)
{
    const bool says_more =
        text != NULL && text[0] != '\0' && strcmp(text, terrace_status_name(status)) != 0;
    return cli_fail(cli, cli_exit_of(status), "%s: %s", what, says_more ? text : words_of(status));
}

const char *cli_without_address(const char *text, const char *address)
{
    const size_t size = strlen(address);
    const bool begins = strncmp(text, address, size) == 0 && strncmp(text + size, ": ", 2) == 0;
    return begins ? text + size + 2 : text;
}

/* --- what all verbs take ------------------------------------------------------------------------------------------- */

/* Cuts the addresses out of a URL: behind the scheme and what stands in front of the first @ (others begin regions), up to
 * the path. */
static char *hosts_of_url(const char *url)
{
    const char *at = strstr(url, "://");
    at = at == NULL ? url : at + 3;
    const size_t size = strcspn(at, "/?");
    char *hosts = strndup(at, size);
    char *sign = hosts == NULL ? NULL : strchr(hosts, '@');
    if (sign != NULL) {
        memmove(hosts, sign + 1, strlen(sign + 1) + 1);
    }
    return hosts;
}

static enum exit_code read_nodes(struct cli *cli)
{
    const char *given = words_text(&cli->words, "--node");
    const char *url = words_text(&cli->words, "--url");
    cli->nodes = given == NULL && url != NULL ? hosts_of_url(url)
                                              : strdup(given == NULL ? "127.0.0.1:7379" : given);
    if (cli->nodes == NULL) {
        return cli_fail(cli, EXIT_FAILED, "out of memory");
    }
    char *rest = NULL;
    for (char *one = strtok_r(cli->nodes, ", ", &rest); one != NULL;
         one = strtok_r(NULL, ", ", &rest)) {
        if (cli->node_count == NODES_MAX || strlen(one) >= ADDRESS_MAX) {
            return cli_fail(cli, EXIT_USAGE, "--node: at most %d addresses", NODES_MAX);
        }
        cli->addresses[cli->node_count++] = one;
    }
    return cli->node_count > 0
               ? EXIT_FINE
               : cli_fail(cli, EXIT_USAGE, "--node: expected HOST:PORT or unix:/PATH");
}

static enum exit_code read_color(struct cli *cli)
{
    const char *word = words_text(&cli->words, "--color");
    if (word != NULL && strcmp(word, "always") == 0) {
        cli->color = true;
    } else if (word == NULL || strcmp(word, "auto") == 0) {
        const char *none = getenv("NO_COLOR");
        const char *terminal = getenv("TERM");
        cli->color = isatty(STDOUT_FILENO) == 1 && (none == NULL || none[0] == '\0') &&
                     terminal != NULL && strcmp(terminal, "dumb") != 0;
    } else if (strcmp(word, "never") != 0) {
        return cli_fail(cli, EXIT_USAGE, "--color: expected auto, always or never, not '%s'", word);
    }
    return EXIT_FINE;
}

static enum exit_code read_globals(struct cli *cli)
{
    cli->json = words_has(&cli->words, "--json");
    cli->timeout_ms = words_number(&cli->words, "--timeout", TIMEOUT_PRESET_MS);
    if (cli->timeout_ms <= 0) {
        return cli_fail(cli, EXIT_USAGE, "--timeout: expected 1ms or more");
    }
    const enum exit_code code = read_color(cli);
    return code == EXIT_FINE ? read_nodes(cli) : code;
}

/* --- the nodes ----------------------------------------------------------------------------------------------------- */

static enum terrace_status set_all(struct cli *cli, struct terrace_options *options, char *error)
{
    static const char *const texts[][2] = {{"--user", "user"},   {"--password", "password"},
                                           {"--ca", "tls-ca"},   {"--cert", "tls-cert"},
                                           {"--key", "tls-key"}, {"--db", "db"}};
    const char *url = words_text(&cli->words, "--url");
    const char *password = getenv("TERRACE_PASSWORD");
    enum terrace_status status = TERRACE_OK;
    if (url != NULL) {
        status = terrace_options_parse(options, url, error, TERRACE_ERROR_SIZE);
    }
    if (status == TERRACE_OK && password != NULL && password[0] != '\0') {
        status = terrace_options_set(options, "password", password, error, TERRACE_ERROR_SIZE);
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && status == TERRACE_OK; i++) {
        const char *text = words_text(&cli->words, texts[i][0]);
        if (text != NULL) {
            status = terrace_options_set(options, texts[i][1], text, error, TERRACE_ERROR_SIZE);
        }
    }
    if (status == TERRACE_OK && words_has(&cli->words, "--tls")) {
        status = terrace_options_set(options, "tls", "yes", error, TERRACE_ERROR_SIZE);
    }
    return status;
}

/* Every endpoint is asked once, each time it is asked for: nobody at a terminal waits for pauses between tries, and what it
 * is told is how the node is now. */
static struct terrace *open_client(struct cli *cli, const char *endpoints, size_t count,
                                   char error[TERRACE_ERROR_SIZE])
{
    char timeout[32];
    char retries[32];
    (void)snprintf(timeout, sizeof timeout, "%lldms", (long long)cli->timeout_ms);
    (void)snprintf(retries, sizeof retries, "%zu", count - 1);
    const char *const own[][2] = {{"endpoints", endpoints},      {"timeout", timeout},
                                  {"connect-timeout", timeout},  {"retries", retries},
                                  {"failures-to-down", "1000"},  {"fail", "closed"},
                                  {"client-name", "terrace-cli"}};
    struct terrace_options *options = terrace_options_new();
    if (options == NULL) {
        (void)snprintf(error, TERRACE_ERROR_SIZE, "out of memory");
        return NULL;
    }
    enum terrace_status status = set_all(cli, options, error);
    for (size_t i = 0; i < sizeof own / sizeof own[0] && status == TERRACE_OK; i++) {
        status = terrace_options_set(options, own[i][0], own[i][1], error, TERRACE_ERROR_SIZE);
    }
    struct terrace *client =
        status == TERRACE_OK ? terrace_open(options, error, TERRACE_ERROR_SIZE) : NULL;
    terrace_options_free(options);
    return client;
}

static char *join_addresses(const struct cli *cli)
{
    struct buf text = {0};
    bool fine = true;
    for (size_t i = 0; i < cli->node_count && fine; i++) {
        fine = buf_printf(&text, "%s%s", i == 0 ? "" : ",", cli->addresses[i]) == OK;
    }
    if (fine && buf_append(&text, "", 1) == OK) {
        return text.data;
    }
    buf_done(&text);
    return NULL;
}

enum exit_code cli_open(struct cli *cli)
{
    char error[TERRACE_ERROR_SIZE] = "";
    char *endpoints = join_addresses(cli);
    if (endpoints == NULL) {
        return cli_fail(cli, EXIT_FAILED, "out of memory");
    }
    cli->all = open_client(cli, endpoints, cli->node_count, error);
    enum exit_code code = EXIT_FINE;
    if (cli->all == NULL) {
        code = cli_fail(cli, EXIT_USAGE, "%s", error);
    } else {
        const enum terrace_status status =
            terrace_ping(cli->all, cli->timeout_ms, error, sizeof error);
        if (status != TERRACE_OK) {
            code = cli_fail_status(cli, status, endpoints, cli_without_address(error, endpoints));
        }
    }
    free(endpoints);
    return code;
}

struct terrace *cli_node(struct cli *cli, size_t i, char error[TERRACE_ERROR_SIZE])
{
    error[0] = '\0';
    if (cli->each[i] == NULL) {
        cli->each[i] = open_client(cli, cli->addresses[i], 1, error);
    }
    return cli->each[i];
}

bool cli_ask_words(struct cli *cli, struct terrace *client, struct cli_reply *reply,
                   const struct slice *words, size_t count)
{
    enum {
        WORDS_MAX = 1024
    };
    const void *data[WORDS_MAX];
    size_t sizes[WORDS_MAX];
    *reply = (struct cli_reply){.status = TERRACE_BAD_ARGUMENT};
    if (count > WORDS_MAX) {
        (void)snprintf(reply->error, sizeof reply->error, "at most %d words", WORDS_MAX);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        data[i] = words[i].data;
        sizes[i] = words[i].size;
    }
    reply->status = terrace_command(client, data, sizes, count, cli->timeout_ms, &reply->value,
                                    reply->error, sizeof reply->error);
    if (reply->status != TERRACE_OK) {
        return false;
    }
    const struct slice bytes = {reply->value.data, reply->value.size};
    const struct slice text = tree_read(bytes, &reply->tree) != OK
                                  ? SLICE_LITERAL("an answer that is no RESP3")
                              : tree_is_error(&reply->tree) ? tree_text(&reply->tree)
                                                            : (struct slice){0};
    if (text.size > 0) {
        reply->status = TERRACE_REFUSED;
        (void)snprintf(reply->error, sizeof reply->error, "%.*s", (int)text.size, text.data);
    }
    return text.size == 0;
}

bool cli_ask(struct cli *cli, struct terrace *client, struct cli_reply *reply, ...)
{
    enum {
        WORDS_MAX = 16
    };
    struct slice words[WORDS_MAX];
    size_t count = 0;
    va_list arguments;
    va_start(arguments, reply);
    for (const char *word = va_arg(arguments, const char *); word != NULL && count < WORDS_MAX;
         word = va_arg(arguments, const char *)) {
        words[count++] = slice_of(word);
    }
    va_end(arguments);
    return cli_ask_words(cli, client, reply, words, count);
}

void cli_reply_done(struct cli_reply *reply)
{
    tree_done(&reply->tree);
    terrace_value_done(&reply->value);
    *reply = (struct cli_reply){0};
}

/* --- the program --------------------------------------------------------------------------------------------------- */

static enum exit_code check_count(struct cli *cli)
{
    const struct verb *verb = cli->verb;
    const size_t count = cli->words.argument_count;
    if (count >= verb->least && count <= verb->most) {
        return EXIT_FINE;
    }
    return cli_fail(cli, EXIT_USAGE, "%s: expected %s; --help tells more",
                    count < verb->least ? "arguments are missing" : "too many arguments",
                    verb->arguments[0] == '\0' ? "none" : verb->arguments);
}

/* The words behind the verb. */
static enum exit_code run_verb(struct cli *cli, int argc, char **argv)
{
    if (cli->verb->is_raw) {
        cli->argc = argc;
        cli->argv = argv;
        return cli->verb->run(cli);
    }
    const enum status status = words_read(&cli->words, argc, (const char *const *)argv,
                                          cli->verb->options, global_options, false);
    if (status != OK) {
        return cli_fail(cli, EXIT_USAGE, "%s", cli->words.error);
    }
    if (words_has(&cli->words, "--help")) {
        help_print_verb(stdout, cli->verb);
        return EXIT_FINE;
    }
    enum exit_code code = read_globals(cli);
    if (code == EXIT_FINE) {
        code = check_count(cli);
    }
    return code == EXIT_FINE ? cli->verb->run(cli) : code;
}

static enum exit_code run(struct cli *cli, int argc, char **argv)
{
    const enum status status = words_read(&cli->words, argc - 1, (const char *const *)argv + 1,
                                          NULL, global_options, true);
    const int at = 1 + cli->words.used;
    if (status != OK) {
        return cli_fail(cli, EXIT_USAGE, "%s", cli->words.error);
    }
    if (words_has(&cli->words, "--version")) {
        return cli->json
                   ? cli_print_json(cli, json_pack("{s:s}", "version", TERRACE_VERSION), EXIT_FINE)
                   : cli_print(cli, SLICE_LITERAL("terrace " TERRACE_VERSION "\n"), EXIT_FINE);
    }
    if (words_has(&cli->words, "--help")) {
        help_print(stdout);
        return EXIT_FINE;
    }
    if (at == argc && cli->json) {
        return cli_fail(cli, EXIT_USAGE, "which VERB? --help lists them");
    }
    if (at == argc) {
        help_print(stderr);
        return EXIT_USAGE;
    }
    cli->verb = verb_find(argv[at]);
    return cli->verb == NULL
               ? cli_fail(cli, EXIT_USAGE, "no verb '%s'; --help lists them", argv[at])
               : run_verb(cli, argc - at - 1, argv + at + 1);
}

/* For errors that come before the words are read. */
static bool asks_for_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            return true;
        }
    }
    return false;
}

enum exit_code cli_run(int argc, char **argv)
{
    struct cli cli = {.json = asks_for_json(argc, argv)};
    const enum exit_code code = run(&cli, argc, argv);
    terrace_close(cli.all);
    for (size_t i = 0; i < cli.node_count; i++) {
        terrace_close(cli.each[i]);
    }
    words_done(&cli.words);
    free(cli.nodes);
    return code;
}
