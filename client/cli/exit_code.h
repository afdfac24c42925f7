/* SPDX-License-Identifier: BSD-3-Clause */
/* exit_code.h -- how `terrace` ends. */
#ifndef TERRACE_CLIENT_CLI_EXIT_CODE_H
#define TERRACE_CLIENT_CLI_EXIT_CODE_H

enum exit_code {
    EXIT_FINE = 0,
    EXIT_FAILED = 1, /* nil, or a check failed */
    EXIT_USAGE = 2,  /* wrong usage or input */
};

#endif
