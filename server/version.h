/* SPDX-License-Identifier: BSD-3-Clause */
/* version.h -- which Redis this node speaks as, and which Terrace it is. */
#ifndef TERRACE_SERVER_VERSION_H
#define TERRACE_SERVER_VERSION_H

#define REDIS_VERSION "7.0.15" /* the oracle of docs/compatibility.md: clients branch on it */

#ifndef TERRACE_VERSION /* the Makefile says it */
#define TERRACE_VERSION "unknown"
#endif

#endif
