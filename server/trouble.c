/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/trouble.h"

void trouble_note(struct trouble *trouble, enum status status, bool confirmed, struct slice matter)
{
    if (status == OK || trouble->status != OK) {
        return;
    }
    trouble->status = status;
    trouble->confirmed = confirmed;
    if (buf_append_slice(&trouble->matter, matter) != OK) {
        trouble->status = NO_MEMORY;
    }
}

void trouble_clear(struct trouble *trouble)
{
    buf_done(&trouble->matter);
    *trouble = (struct trouble){0};
}
