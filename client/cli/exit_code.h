/* SPDX-License-Identifier: BSD-3-Clause */
/* exit_code.h -- how `terrace` ends. */
#ifndef TERRACE_CLIENT_CLI_EXIT_CODE_H
#define TERRACE_CLIENT_CLI_EXIT_CODE_H

enum exit_code {
    EXIT_FINE = 0,        /* warnings included */
    EXIT_FAILED = 1,      /* nil, refused, or a check failed */
    EXIT_USAGE = 2,       /* wrong usage or input */
    EXIT_UNREACHABLE = 3, /* no node answered in time, or its L2 cannot be asked */
};

#endif
