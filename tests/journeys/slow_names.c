/* SPDX-License-Identifier: BSD-3-Clause */
/* slow_names.c -- LD_PRELOAD: names that end in ".hangs" are looked up for ever, as at a name server that is away. */
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    static const char ending[] = ".hangs";
    static const char told[] = "slow_names: it hangs\n";
    const size_t size = name != NULL ? strlen(name) : 0;
    if (size >= sizeof ending && strcmp(name + size - (sizeof ending - 1), ending) == 0) {
        (void)!write(STDERR_FILENO, told, sizeof told - 1);
        for (;;) {
            (void)pause();
        }
    }
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = NULL;
    *(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
    return next(name, service, hints, found);
}
