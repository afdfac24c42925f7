/* SPDX-License-Identifier: BSD-3-Clause */
/* terrace: the command line. verbs.c has the table of what it can. */
#include "client/cli/cli.h"

int main(int argc, char **argv)
{
    return (int)cli_run(argc, argv);
}
