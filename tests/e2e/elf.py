# SPDX-License-Identifier: Apache-2.0
"""ELF files made for a test: code that is a hole in the file, and a description of it of any size."""

import struct

TEXT = 0x1000


def padded(body):
    return body + bytes(-len(body) % 4)


def entry(body):
    body = padded(body)
    return struct.pack("<I", len(body)) + body


def library(program, text_bytes, descriptions=1):
    """One whose code is described by the instructions `program`, as often as said, side by side."""
    text_bytes = -(-text_bytes // 16) * 16
    header = TEXT + text_bytes
    frames = header + 12
    # version 1, "zR": addresses by 4 bytes relative to where they stand; CFA = rsp + 8, return address below it
    section = entry(struct.pack("<IB3sBBBBB", 0, 1, b"zR\0", 1, 0x78, 16, 1, 0x1B) + bytes([0x0C, 7, 8, 0x90, 1]))
    for i in range(descriptions):
        size = text_bytes // descriptions
        at = len(section)
        start = TEXT + i * size - (frames + at + 8)
        section += entry(struct.pack("<IiIB", at + 4, start, size, 0) + program)
    section += bytes(4)
    # version 1, the section by 4 bytes relative to where they stand, no table behind
    eh_header = bytes([1, 0x1B, 0xFF, 0xFF]) + struct.pack("<i", frames - header - 4) + bytes(4)
    size = frames + len(section)
    segments = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, size, size, 0x1000)
    segments += struct.pack("<IIQQQQQQ", 0x6474E550, 4, header, header, header, 12, 12, 4)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = ident + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    return (head + segments).ljust(header, b"\0") + eh_header + section


def many_rows(n, shift=0):
    """Of so many rows of one byte each or more; files with another shift differ."""
    one = bytes([0x44, 0x0E, 16 + 8 * (shift % 8), 0x44, 0x0E, 8])
    return library(one * (n // 2), n * 4)
