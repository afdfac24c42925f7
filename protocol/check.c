/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "terrace: CHECK failed: %s (%s:%d)\n", condition, file, line);
    abort();
}
