/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/verbs.h"

#include "client/cli/cmd_check.h"
#include "client/cli/commands.h"
#include "client/cli/help.h"

#include <string.h>

/* --- options ------------------------------------------------------------------------------------------------------- */

const struct option_spec global_options[] = {
    {"--node", 'n', OPTION_TEXT, "H:P[,H:P]", "nodes to ask, or unix:/PATH (127.0.0.1:7379)"},
    {"--url", 0, OPTION_TEXT, "URL", "terrace://[user@]host:port[/db], terraces:// by TLS"},
    {"--user", 'u', OPTION_TEXT, "NAME", "user to log in as"},
    {"--password", 0, OPTION_TEXT, "TEXT", "better: TERRACE_PASSWORD in the environment"},
    {"--tls", 0, OPTION_FLAG, NULL, "by TLS"},
    {"--ca", 0, OPTION_TEXT, "FILE", "certificates to trust, PEM"},
    {"--cert", 0, OPTION_TEXT, "FILE", "own certificate, PEM"},
    {"--key", 0, OPTION_TEXT, "FILE", "its private key, PEM"},
    {"--db", 0, OPTION_NUMBER, "N", "database, 0 to 15"},
    {"--timeout", 't', OPTION_TIME, "TIME", "longest wait for a node (2s)"},
    {"--json", 0, OPTION_FLAG, NULL, "one JSON object on standard output, of errors too"},
    {"--color", 0, OPTION_TEXT, "WHEN", "auto (on a terminal), always, never"},
    {"--help", 'h', OPTION_FLAG, NULL, "this; behind a verb, more about it"},
    {"--version", 'V', OPTION_FLAG, NULL, "the version"},
    {0},
};

#define CONTRACT_OPTIONS                                                                           \
    {"--max-stale", 0, OPTION_TIME, "TIME", "at most so far behind L2"},                           \
        {"--fresh", 0, OPTION_FLAG, NULL, "nothing from memory: L2 is asked"},                     \
        {"--any", 0, OPTION_FLAG, NULL, "whatever the node has"},                                  \
        {"--atleast", 0, OPTION_NUMBER, "SEQ", "not older than this seq (set --seq, invalidate)"}, \
    {                                                                                              \
        "--soft", 0, OPTION_TIME, "TIME",                                                          \
            "what is older will do if L2 has not answered for so long"                             \
    }

#define WRITE_OPTIONS                                                                      \
    {"--ttl", 0, OPTION_TIME, "TIME", "life; the namespace's own unless given"},           \
        {"--swr", 0, OPTION_TIME, "TIME", "managed: then served while it is loaded anew"}, \
        {"--sie", 0, OPTION_TIME, "TIME", "managed: then served if it cannot be loaded"},  \
    {                                                                                      \
        "--tag", 0, OPTION_LIST, "TAG", "managed: carries this tag; several times"         \
    }

static const struct option_spec get_options[] = {
    CONTRACT_OPTIONS,
    {"--verbose", 'v', OPTION_FLAG, NULL, "age, ttl and state, on standard error"},
    {0}};
static const struct option_spec mget_options[] = {CONTRACT_OPTIONS, {0}};
static const struct option_spec fetch_options[] = {
    CONTRACT_OPTIONS,
    WRITE_OPTIONS,
    {"--negative", 0, OPTION_TIME, "TIME",
     "a COMMAND that ends with 1 says: there is nothing, for so long (1m at most)"},
    {"--verbose", 'v', OPTION_FLAG, NULL, "age, ttl and state, on standard error"},
    {0}};
static const struct option_spec set_options[] = {
    WRITE_OPTIONS,
    {"--nx", 0, OPTION_FLAG, NULL, "only if there is no such key"},
    {"--xx", 0, OPTION_FLAG, NULL, "only if there is one"},
    {"--seq", 0, OPTION_FLAG, NULL, "print the seq that covers the write"},
    {0}};
static const struct option_spec invalidate_options[] = {
    {"--soft", 0, OPTION_FLAG, NULL, "stale, not gone: it is asked for again"},
    {"--sync", 0, OPTION_TIME, "TIME", "wait until no node can serve the old value"},
    {"--dry-run", 0, OPTION_FLAG, NULL, "count only"},
    {"--all-of", 0, OPTION_FLAG, NULL, "tag: values that carry all of the tags, not any"},
    {"--ns", 0, OPTION_TEXT, "NAME", "of this namespace only"},
    {0}};
static const struct option_spec ping_options[] = {
    {"--count", 'c', OPTION_NUMBER, "N", "so many times (1); 0: until Ctrl-C"},
    {"--interval", 'i', OPTION_TIME, "TIME", "between two (1s)"},
    {0}};
static const struct option_spec watch_options[] = {
    {"--count", 'c', OPTION_NUMBER, "N", "end after so many"}, {0}};
static const struct option_spec top_options[] = {
    {"--interval", 'i', OPTION_TIME, "TIME", "between two looks (1s)"},
    {"--once", '1', OPTION_FLAG, NULL, "one screen, of one interval, and no terminal"},
    {"--count", 'c', OPTION_NUMBER, "N", "end after so many"},
    {"--sort", 's', OPTION_TEXT, "FIELD", "namespaces by ops, hits, bytes or name (ops)"},
    {0}};

static const struct option_spec warm_options[] = {
    {"--keys", 0, OPTION_FLAG, NULL, "these keys: the words behind submit"},
    {"--pattern", 0, OPTION_TEXT, "GLOB", "keys of L2 that fit"},
    {"--tag", 0, OPTION_TEXT, "TAG", "managed values that carry it"},
    {"--hot", 0, OPTION_NUMBER, "N", "the N keys that all nodes are asked for most"},
    {"--set", 0, OPTION_TEXT, "KEY", "the members of a set in L2"},
    {"--zset", 0, OPTION_TEXT, "KEY", "of a sorted set, highest scores first; --top N of them"},
    {"--file", 0, OPTION_TEXT, "NAME", "a key per line of a file in the node's warm-dir"},
    {"--log", 0, OPTION_TEXT, "NAME", "an access log there; --top N of its keys"},
    {"--snapshot", 0, OPTION_TEXT, "NAME", "keys of a snapshot; \"\": the newest"},
    {"--top", 0, OPTION_NUMBER, "N", "of --zset and --log: so many"},
    {"--priority", 'p', OPTION_NUMBER, "0..9", "9 first (4)"},
    {"--rate", 'r', OPTION_NUMBER, "N", "keys per second over all nodes"},
    {"--bytes", 0, OPTION_NUMBER, "N", "bytes per second over all nodes"},
    {"--mode", 0, OPTION_TEXT, "MODE", "missing (what is not there), stale, force"},
    {"--target", 0, OPTION_TEXT, "TARGET", "all nodes, self (the one that is asked), l2"},
    {"--deadline", 0, OPTION_TIME, "TIME", "ended after so long, done or not"},
    {"--dry-run", 0, OPTION_FLAG, NULL, "look what would be done"},
    {"--schedule", 0, OPTION_TEXT, "WHEN", "register: every 5m; 08:55 mon-fri"},
    {"--before-expiry", 0, OPTION_TEXT, "20%",
     "register, with --hot: when so much of a life is left"},
    {"--wait", 'w', OPTION_FLAG, NULL, "submit: then watch it"},
    {"--interval", 'i', OPTION_TIME, "TIME", "watch: between two looks (1s)"},
    {0}};

/* --- verbs --------------------------------------------------------------------------------------------------------- */

static enum exit_code run_check(struct cli *cli)
{
    char error[CHECK_ERROR_SIZE] = "";
    const enum exit_code code = cmd_check(cli->argc, cli->argv, cli->json, error);
    return code == EXIT_USAGE ? cli_fail(cli, code, "%s", error) : code;
}

static enum exit_code run_completions(struct cli *cli)
{
    const char *shell = cli->words.arguments[0];
    if (strcmp(shell, "bash") == 0) {
        completions_bash(stdout);
    } else if (strcmp(shell, "zsh") == 0) {
        completions_zsh(stdout);
    } else {
        return cli_fail(cli, EXIT_USAGE, "expected bash or zsh, not '%s'", shell);
    }
    return EXIT_FINE;
}

static const struct verb verbs[] = {
    {"get", "KEY", 1, 1, ARGUMENT_TEXT, NULL, get_options, "Print the value of a key",
     "The raw bytes and a newline; nothing and exit 1 if there is no such key.\n", false, cmd_get},
    {"set", "KEY VALUE|-", 2, 2, ARGUMENT_TEXT, NULL, set_options, "Store a value",
     "- reads the value from standard input, to its end.\n", false, cmd_set},
    {"del", "KEY...", 1, ARGUMENTS_ANY, ARGUMENT_TEXT, NULL, NULL, "Delete keys, here and in L2",
     "Prints how many there were; exit 1 if none.\n", false, cmd_del},
    {"mget", "KEY...", 1, ARGUMENTS_ANY, ARGUMENT_TEXT, NULL, mget_options,
     "Print the values of several keys",
     "A line KEY, tab, VALUE for each that is there; exit 1 if none is. Values with line ends: --json.\n",
     false, cmd_mget},
    {"fetch", "KEY [-- COMMAND [ARGUMENT]...]", 1, ARGUMENTS_ANY, ARGUMENT_TEXT, NULL,
     fetch_options, "Read with a contract; load what is not there",
     "If the key is this client's to load, COMMAND is run, and what it prints is the value for everybody.\n"
     "A command that ends with another code than 0 fails the load; without one the load is handed on.\n",
     false, cmd_fetch},
    {"invalidate", "key|tag|prefix|pattern|all [WORD...]", 1, ARGUMENTS_ANY, ARGUMENT_CHOICE,
     "key tag prefix pattern all", invalidate_options, "End values everywhere",
     "Prints the seq, and how many values this node had. key deletes in L2 too; see docs/semantics.md.\n",
     false, cmd_invalidate},
    {"stats", "[SECTION]", 0, 1, ARGUMENT_CHOICE,
     "server clients memory stats commandstats latencystats keyspace l1 l2 coherence invalidation namespaces",
     NULL, "All figures of a node (INFO)", "", false, cmd_stats},
    {"top", "", 0, 0, ARGUMENT_NONE, NULL, top_options, "Watch nodes at work",
     "Keys: q ends, space holds the screen, s sorts by the next column, + and - change the interval.\n"
     "Not on a terminal it prints one screen after the other; --json an object for each.\n",
     false, cmd_top},
    {"watch", "[PREFIX]", 0, 1, ARGUMENT_TEXT, NULL, watch_options,
     "Print what changes, as it does",
     "A line for each key that is written, deleted or invalidated; `*` means that any may have changed.\n",
     false, cmd_watch},
    {"nodes", "", 0, 0, ARGUMENT_NONE, NULL, NULL, "The nodes of the cluster, as one sees them", "",
     false, cmd_nodes},
    {"namespaces", "", 0, 0, ARGUMENT_NONE, NULL, NULL, "Namespaces, their rules and figures", "",
     false, cmd_namespaces},
    {"explain", "KEY", 1, 1, ARGUMENT_TEXT, NULL, NULL, "Why a key is where it is", "", false,
     cmd_explain},
    {"tags", "KEY", 1, 1, ARGUMENT_TEXT, NULL, NULL, "The tags of a managed value",
     "Exit 1 if there are none.\n", false, cmd_tags},
    {"warm", "submit|register|list|status|watch|pause|resume|cancel|setrate [WORD...]", 1,
     ARGUMENTS_ANY, ARGUMENT_CHOICE,
     "submit register list status watch pause resume cancel setrate", warm_options,
     "Bring keys into memory before they are asked for",
     "submit and register take the job as JSON (- is standard input) or as options, and print its number;\n"
     "the others take that number. watch, and submit --wait, end with 0 when it is done, with 1 if it failed.\n",
     false, cmd_warm},
    {"hot", "[N]", 0, 1, ARGUMENT_TEXT, NULL, NULL, "The keys that are read most", "", false,
     cmd_hot},
    {"doctor", "", 0, 0, ARGUMENT_NONE, NULL, NULL, "Look for what is wrong, and say what to do",
     "Exit 1 if a check failed, 0 with warnings.\n", false, cmd_doctor},
    {"ping", "", 0, 0, ARGUMENT_NONE, NULL, ping_options, "How long nodes take to answer", "",
     false, cmd_ping},
    {"check", "FILE...", 1, ARGUMENTS_ANY, ARGUMENT_FILE, NULL, NULL,
     "Judge a recorded history: staleness, sessions, lost writes", "", true, run_check},
    {"completions", "bash|zsh", 1, 1, ARGUMENT_CHOICE, "bash zsh", NULL,
     "Print what completes words in a shell", "`make install` puts them where the shells look.\n",
     false, run_completions},
};

const struct verb *verb_at(size_t i)
{
    return i < sizeof verbs / sizeof verbs[0] ? &verbs[i] : NULL;
}

const struct verb *verb_find(const char *name)
{
    const struct verb *verb;
    for (size_t i = 0; (verb = verb_at(i)) != NULL; i++) {
        if (strcmp(verb->name, name) == 0) {
            return verb;
        }
    }
    return NULL;
}
