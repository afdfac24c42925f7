/* SPDX-License-Identifier: BSD-3-Clause */
/* sockets.h -- the sockets of a node's threads, for their links: connections of net.h that take what they can. */
#ifndef TERRACE_TESTS_SIM_SOCKETS_H
#define TERRACE_TESTS_SIM_SOCKETS_H

#include "tests/sim/node.h"

struct link_io sockets_io(struct thread *thread);
struct socket *sockets_find(struct thread *thread, const struct link *link); /* NULL: it has none */
void sockets_flush(struct thread *thread); /* at the end of a turn */

#endif
