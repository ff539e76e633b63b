#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""tests/fuse_server.py MOUNTPOINT WORD        a file system with one file in it, whose server may fall silent

Speaks fuse(4) over /dev/fuse itself, so that nothing need be installed. The file is `bad`; its content comes from standard
input. Says `ready` once it is mounted. While a file WORD is there it answers nothing any more: whoever asks waits. Who
kills it sets them free."""
import ctypes
import errno
import os
import struct
import sys
import time

ROOT, FILE = 1, 2
LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, BATCH_FORGET = \
    1, 2, 3, 14, 15, 17, 18, 25, 26, 27, 28, 29, 42


def attributes(node, content):
    mode, size = (0o40755, 4096) if node == ROOT else (0o100644, len(content))
    return struct.pack("<6Q10I", node, size, 8, 1700000000, 1700000000, 1700000000, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(code, node, body, content):
    """Bytes, or a negative errno."""
    if code == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 8, 8, 65536, 1, 1, 0, *[0] * 8)
    if code == LOOKUP:
        if node != ROOT or body.rstrip(b"\0") != b"bad":
            return -errno.ENOENT
        return struct.pack("<4Q2I", FILE, 0, 0, 0, 0, 0) + attributes(FILE, content)
    if code == GETATTR:
        return struct.pack("<Q2I", 0, 0, 0) + attributes(node, content)  # nothing is remembered
    if code in (OPEN, OPENDIR):
        return struct.pack("<Q2I", 1, 0, 0)
    if code == READ:
        _, at, size = struct.unpack("<QQI", body[:20])
        return content[at:at + size]
    if code == READDIR:
        at = struct.unpack("<QQI", body[:20])[1]
        names = [(ROOT, b".", 4), (ROOT, b"..", 4), (FILE, b"bad", 8)]
        return b"".join(struct.pack("<QQII", ino, i + 1, len(name), kind) + name.ljust((len(name) + 7) // 8 * 8, b"\0")
                        for i, (ino, name, kind) in enumerate(names) if i >= at)
    if code == STATFS:
        return struct.pack("<5Q10I", 1000, 500, 500, 100, 50, 4096, 255, 4096, *[0] * 7)
    if code in (RELEASE, RELEASEDIR, FLUSH):
        return b""
    return -errno.ENOSYS


def main():
    point, word = sys.argv[1:]
    content = sys.stdin.buffer.read()
    fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    words = "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions" % fuse
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tests", point.encode(), b"fuse.tests", 6, words.encode()) < 0:  # nosuid, nodev
        sys.exit("mount: " + os.strerror(ctypes.get_errno()))
    print("ready", flush=True)
    while True:
        try:
            request = os.read(fuse, 1 << 20)
        except OSError as error:
            if error.errno == errno.ENODEV:  # unmounted
                return
            continue
        _, code, unique, node = struct.unpack("<IIQQ", request[:24])
        while os.path.exists(word):
            time.sleep(0.05)
        if code in (FORGET, BATCH_FORGET):
            continue
        said = answer(code, node, request[40:], content)
        error, data = (said, b"") if isinstance(said, int) else (0, said)
        os.write(fuse, struct.pack("<IiQ", 16 + len(data), error, unique) + data)


main()
