/* SPDX-License-Identifier: BSD-3-Clause */
/* json.h -- bytes and figures as JSON.
 *
 * JSON has text only. Bytes that are UTF-8 become a string; others an object {"base64": "..."}, so that nothing is lost and
 * nobody takes the one for the other. */
#ifndef TERRACE_CLIENT_CLI_JSON_H
#define TERRACE_CLIENT_CLI_JSON_H

#include "protocol/bytes.h"

#include <jansson.h>

json_t *json_bytes(struct slice bytes); /* NULL: no memory */
/* Bytes as the name of a field: what is no text is shown as \xHH. Cut to the room there is. */
void json_name(struct slice bytes, char *dst, size_t room);
/* A name:value line of INFO: a number, or text. */
json_t *json_figure(struct slice text);
/* The text of INFO: {"server": {"redis_version": ...}, ...}; values made of fields are objects. NULL: no memory. */
json_t *json_info(struct slice text);

#endif
