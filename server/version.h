/* SPDX-License-Identifier: BSD-3-Clause */
/* version.h -- which Redis this node speaks as, and which Terrace it is. */
#ifndef TERRACE_SERVER_VERSION_H
#define TERRACE_SERVER_VERSION_H

#include "protocol/version.h"

#define REDIS_VERSION "7.0.15" /* the oracle of docs/compatibility.md: clients branch on it */

#endif
