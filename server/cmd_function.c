/* SPDX-License-Identifier: BSD-3-Clause */
/* FUNCTION, FCALL and FCALL_RO on a node without an L2: there are no functions, and none can be loaded. What tools do before
 * and after their work (FLUSH, LIST, DUMP and RESTORE of nothing) is answered as by a Redis that has none. */
#include "server/call.h"
#include "server/commands.h"
#include "server/subcommand.h"

/* FUNCTION DUMP of no functions: version 10 of Redis' files, and the CRC64 of that. */
static const char dump_of_none[] = "\x0a\x00\x5d\x9b\x5c\x40\x0f\x7f\xa2\xda";

static struct slice none(void)
{
    return (struct slice){.data = dump_of_none, .size = sizeof dump_of_none - 1};
}

static void refuse_functions(struct call *call)
{
    reply_error(call->reply, "ERR this node has no L2 to run functions");
}

void cmd_fcall(struct call *call)
{
    reply_error(call->reply, "ERR Function not found");
}

void cmd_function_load(struct call *call)
{
    for (uint32_t i = 2; i + 1 < call->argc; i++) {
        if (!slice_is_nocase(call->argv[i], "replace")) {
            reply_errorf(call->reply, "ERR Unknown option given: %.*s", (int)call->argv[i].size,
                         call->argv[i].data);
            return;
        }
    }
    refuse_functions(call);
}

void cmd_function_delete(struct call *call)
{
    reply_error(call->reply, "ERR Library not found");
}

void cmd_function_flush(struct call *call)
{
    if (call->argc > 3) {
        subcommand_error(call, "FUNCTION");
    } else if (call->argc == 3 && !slice_is_nocase(call->argv[2], "sync") &&
               !slice_is_nocase(call->argv[2], "async")) {
        reply_error(call->reply, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
    } else {
        reply_ok(call->reply);
    }
}

void cmd_function_list(struct call *call)
{
    bool with_code = false;
    bool with_name = false;
    for (uint32_t i = 2; i < call->argc; i++) {
        if (!with_code && slice_is_nocase(call->argv[i], "withcode")) {
            with_code = true;
        } else if (with_name || !slice_is_nocase(call->argv[i], "libraryname")) {
            reply_errorf(call->reply, "ERR Unknown argument %.*s", (int)call->argv[i].size,
                         call->argv[i].data);
            return;
        } else if (++i == call->argc) {
            reply_error(call->reply, "ERR library name argument was not given");
            return;
        } else {
            with_name = true;
        }
    }
    reply_array(call->reply, 0);
}

void cmd_function_stats(struct call *call)
{
    reply_map(call->reply, 2);
    reply_bulk_text(call->reply, "running_script");
    reply_null(call->reply);
    reply_bulk_text(call->reply, "engines");
    reply_map(call->reply, 1);
    reply_bulk_text(call->reply, "LUA");
    reply_map(call->reply, 2);
    reply_pair_integer(call->reply, "libraries_count", 0);
    reply_pair_integer(call->reply, "functions_count", 0);
}

void cmd_function_kill(struct call *call)
{
    reply_error(call->reply, "NOTBUSY No scripts in execution right now.");
}

void cmd_function_dump(struct call *call)
{
    reply_bulk(call->reply, none());
}

void cmd_function_restore(struct call *call)
{
    if (call->argc > 4) {
        subcommand_error(call, "FUNCTION");
    } else if (call->argc == 4 && !slice_is_nocase(call->argv[3], "append") &&
               !slice_is_nocase(call->argv[3], "replace") &&
               !slice_is_nocase(call->argv[3], "flush")) {
        reply_error(
            call->reply,
            "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.");
    } else if (call->argv[2].size < none().size) {
        reply_error(call->reply, "ERR DUMP payload version or checksum are wrong");
    } else if (!slice_equal(call->argv[2], none())) {
        refuse_functions(call);
    } else {
        reply_ok(call->reply);
    }
}

void cmd_function_help(struct call *call)
{
    static const char *const lines[] = {
        "LOAD [REPLACE] <FUNCTION CODE>",
        "    Create a new library with the given library name and code.",
        "DELETE <LIBRARY NAME>",
        "    Delete the given library.",
        "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
        "    Describe all libraries, or those whose name matches, with their code if asked.",
        "STATS",
        "    Return the function that runs, and the engines.",
        "KILL",
        "    Kill the current running function.",
        "FLUSH [ASYNC|SYNC]",
        "    Delete all the libraries.",
        "DUMP",
        "    Return a serialized payload representing the current libraries.",
        "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
        "    Restore the libraries represented by the given payload.",
    };
    reply_help(call->reply, "FUNCTION", lines, sizeof(lines) / sizeof(lines[0]));
}
