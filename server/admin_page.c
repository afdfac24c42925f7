/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/admin_page.h"

/* The file, with a NUL behind it. The path is seen from the project root, where the build runs. */
__asm__(".pushsection .rodata\n"
        ".global admin_page_html\n"
        ".type admin_page_html, %object\n"
        "admin_page_html:\n"
        ".incbin \"server/admin_page.html\"\n"
        ".byte 0\n"
        ".size admin_page_html, . - admin_page_html\n"
        ".popsection\n");
extern const char admin_page_html[];

struct slice admin_page(void)
{
    return slice_of(admin_page_html);
}
