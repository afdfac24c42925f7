/* SPDX-License-Identifier: BSD-3-Clause */
/* version.h -- which Terrace this is: of the programs, of libterrace, of what is installed and archived. The Makefile
 * reads it here, and client/terrace.h, which includes nothing, has the same in numbers; it is that of the changelog's
 * newest section (test_package.py). */
#ifndef TERRACE_PROTOCOL_VERSION_H
#define TERRACE_PROTOCOL_VERSION_H

#define TERRACE_VERSION "0.7.0"

#endif
