/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/client_name.h"

const char client_name_error[] =
    "ERR Client names cannot contain spaces, newlines or special characters.";

bool client_name_is_valid(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] < '!' || name.data[i] > '~') {
            return false;
        }
    }
    return true;
}

enum status client_text_set(struct buf *text, struct slice value)
{
    struct buf fresh = {0};
    enum status status = buf_append_slice(&fresh, value);
    if (status != OK) {
        return status;
    }
    buf_done(text);
    *text = fresh;
    return OK;
}
