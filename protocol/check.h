/* SPDX-License-Identifier: BSD-3-Clause */
/* check.h -- what must be true, or the process must stop.
 *
 * A failed CHECK is a bug in this program, never bad input and never trouble outside. It stays on in production: a
 * cache that goes on after a broken invariant serves wrong answers.
 *
 * The exception is libterrace as it is released (TERRACE_GUEST): the process is another's, who alone ends it. There a CHECK
 * says nothing; its tests run with CHECKs, in the modes of the sanitizers.
 *
 * MAGIC guards the door of public functions: every opaque struct begins with a magic word that is set by its `new` and
 * overwritten by its `free`, so that a stale or foreign pointer stops at the door (after Varnish's miniobj.h). */
#ifndef TERRACE_PROTOCOL_CHECK_H
#define TERRACE_PROTOCOL_CHECK_H

/* Prints the condition and its place on stderr and aborts. */
_Noreturn void check_failed(const char *condition, const char *file, int line);

#ifdef TERRACE_GUEST
#define CHECK(condition) ((void)(condition))
#else
#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))
#endif
#define CHECK_MAGIC(object, word) CHECK((object) != 0 && (object)->magic == (word))

#endif
