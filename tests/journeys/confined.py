#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""confined -- runs a program that may make certain system calls only, as SystemCallFilter of a unit has it, but that any other one
kills it (SIGSYS) in place of failing: so whoever lives makes none.

    confined.py NAME,NAME,... PROGRAM [ARGUMENT...]        x86-64
"""

import ctypes
import os
import re
import struct
import sys

HEADER = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
ARCH_X86_64, AT_NUMBER, AT_ARCH = 0xC000003E, 0, 4  # struct seccomp_data
LOAD, EQUALS, ANSWER = 0x20, 0x15, 0x06              # BPF: a word of it; jump if equal; return
KILL, ALLOW = 0x80000000, 0x7FFF0000
NO_NEW_PRIVS, SET_SECCOMP, MODE_FILTER = 38, 22, 2   # prctl


def step(code, value, if_true=0, if_false=0):
    return struct.pack("HBBI", code, if_true, if_false, value)


def program(numbers):
    steps = [step(LOAD, AT_ARCH), step(EQUALS, ARCH_X86_64, 1, 0), step(ANSWER, KILL), step(LOAD, AT_NUMBER)]
    for number in numbers:
        steps += [step(EQUALS, number, 0, 1), step(ANSWER, ALLOW)]
    return steps + [step(ANSWER, KILL)]


class Filter(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("steps", ctypes.c_char_p)]


def confine(names):
    with open(HEADER, encoding="utf-8") as header:
        numbers = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", header.read())}
    steps = program(sorted(numbers[name] for name in names if name in numbers))
    libc = ctypes.CDLL(None, use_errno=True)
    code = b"".join(steps)
    if libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.prctl(SET_SECCOMP, MODE_FILTER, ctypes.byref(Filter(len(steps), code))) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    confine(sys.argv[1].split(","))
    os.execv(sys.argv[2], sys.argv[2:])
