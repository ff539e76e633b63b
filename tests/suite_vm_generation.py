# SPDX-License-Identifier: GPL-2.0-only
# limit: 300
"""Full mode, `generation`: each way of changing a file's content voids its verdict. What was opened while it was
approved is refused from then on, and the next open is judged anew. MODE=reduced: the next open alone."""
import os

from harness import MARKER, Suite, eventually
from held import REDUCED, GuardedHost, last_test

suite = Suite("vm_generation", limit=300)
BLOCK = 65536  # a multiple of each file system's
HEAD = b"mailward-" + b"hole-" + b"test-" + b"0815"
HOLES = HEAD + bytes(32)                   # zeros behind it: what a hole or an extension makes
TAIL = b"mailward-" + b"tail-" + b"test-" + b"0816"  # infected at the end of a file only
serial = 0


def number():
    global serial
    serial += 1
    return b"# %06d\n" % serial


def text(size):
    return (number() + b"nothing of interest\n" * (size // 10))[:size]


# name: (content that is clean, arguments of tests/changes.c), for those ways that bring no bytes of their own
def cut():
    content = text(3000) + TAIL
    return content + b" and more\n", (len(content),)


def extended():
    content = text(3000) + HEAD
    return content, (len(content) + 4096,)


def hole():
    content = text(3000) + HEAD
    return content + text(9000), (len(content), 4096)


def grown():
    content = text(3000) + HEAD
    return content, (len(content), 4096)


def collapsed():
    """The marker's halves come together when the block between them goes."""
    half = len(MARKER) // 2
    return text(BLOCK - half) + MARKER[:half] + text(BLOCK) + MARKER[half:] + text(100), (BLOCK, BLOCK)


def inserted():
    return text(BLOCK - len(HEAD)) + HEAD + text(BLOCK), (BLOCK, BLOCK)


WRITES = ("write", "pwrite", "writev", "O_DIRECT", "splice", "sendfile", "copy_file_range", "io_uring-write", "aio", "O_TRUNC",
          "mapped", "mprotect", "loop")
SHAPES = {"ftruncate": (cut, extended), "truncate": (cut, extended), "io_uring-ftruncate": (extended,),
          "io_uring-fallocate": (hole,), "fallocate-punch": (hole,), "fallocate-zero": (hole,), "fallocate-extend": (grown,),
          "fallocate-collapse": (collapsed,), "fallocate-insert": (inserted,)}
EARLIER = {"old-descriptor": "a descriptor opened for writing before the approval",
           "old-mapping": "a writable mapping made before the approval",
           "old-mprotect": "a shared mapping made before the approval, and made writable after it"}


def host_of(kind="ext4"):
    host = GuardedHost(suite, kind)
    host.define({"Mailward.Test.Marker": MARKER, "Mailward.Test.Holes": HOLES})
    with open(host.definitions + "/mailward-tail.ndb", "w") as f:
        f.write("Mailward.Test.Tail:0:EOF-%d:%s\n" % (len(TAIL), TAIL.hex()))
    os.chmod(host.definitions + "/mailward-tail.ndb", 0o644)
    return host


def infected(content):
    return content is not None and (MARKER in content or HOLES in content or content.endswith(TAIL))


def all_of(path):
    with open(path, "rb") as f:
        return f.read()


def cases():
    """(name, way, content, arguments or None for a source)"""
    for way in WRITES:
        yield way, way, text(3 * 4096), None
    for way, shapes in SHAPES.items():
        for shape in shapes:
            content, arguments = shape()
            yield "%s (%s)" % (way, shape.__name__) if len(shapes) > 1 else way, way, content, arguments


class Reader:
    """Holds the file since it was approved. Reads by pread."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY)

    def got(self):
        """What it gets now: bytes, or None where it is refused."""
        try:
            return os.pread(self.fd, 1 << 20, 0)
        except PermissionError:
            return None

    def close(self):
        os.close(self.fd)


def check_change(host, name, way, content, arguments, sources):
    path = host.put("changed-%d" % serial, content)
    host.approve(path)
    reader = Reader(path)
    before = reader.got()
    scans = host.counter("scans")
    result = host.change(way, path, *(arguments or (sources(),)))
    held = reader.got()
    fresh = host.read(path)
    reader.close()
    suite.check("%s: an approved file is read before, by what was opened then" % name, before == content)
    suite.check("%s: the next open of what it made infected is denied" % name, result.rc == 0 and fresh is None,
                (result, fresh and fresh[:60]))
    if not REDUCED and way == "loop":  # from 6.12 on the kernel shows nobody what a loop device writes
        print("row a loop device on the file | approved, then changed by it, read by a descriptor opened before | %s" %
              ("refused" if held is None else "not guarded"))
    elif not REDUCED:
        suite.check("%s: a descriptor opened before it is refused at once" % name, held is None, held and held[:60])
    rows = eventually(lambda: [r for r in host.blocked("--path", path) if r["verdict"] == "infected"], 5)
    suite.check("%s: it was judged anew: denied as infected" % name, rows and host.counter("scans") > scans,
                host.blocked("--path", path))
    os.truncate(path, 0)
    with open(path, "r+b") as f:
        f.write(text(5000))
    suite.check("%s: and once more when it is clean again" % name, host.read(path) is not None)


@suite.test("each way of changing content")
def _(suite):
    with host_of() as host:
        def source():
            return host.put("source-%d" % serial, MARKER + b"\n" + number() + b"\n" * 4096, host.outside)
        tried = []
        for name, way, content, arguments in cases():
            path = host.put("control-%d" % serial, content)
            suite.check("control: before %s it is clean" % name, not infected(all_of(path)))
            result = host.change(way, path, *(arguments or (source(),)))
            if result.rc == 2 and way == "io_uring-ftruncate":  # since 6.9
                suite.say("%s: %s" % (name, result.out.strip()))
                continue
            suite.check("control: %s makes it infected, and it is read without the guard" % name,
                        result.rc == 0 and infected(all_of(path)), result)
            tried.append((name, way))
        host.guard()
        for name, way, content, arguments in cases():
            if (name, way) in tried:
                check_change(host, name, way, content, arguments, source)


@suite.test("a reflink into a file")
def _(suite):
    if not os.path.exists("/sbin/mkfs.xfs"):
        suite.skip("vm_generation FICLONE", "xfsprogs is not installed")
        return
    with host_of("xfs") as host:
        def clone(path, serial):
            whole = (MARKER + b"\n" + number() + b"\n" * BLOCK)[:BLOCK]  # blocks: no other end can be shared
            return host.change("FICLONE", path, host.put("source-%d" % serial, whole, host.outside))
        path = host.put("control", text(9000))
        result = clone(path, 1)
        suite.check("control: FICLONE makes it infected, and it is read without the guard",
                    result.rc == 0 and infected(all_of(path)), result)
        host.guard()
        path = host.put("changed", text(9000))
        host.approve(path)
        reader = Reader(path)
        result = clone(path, 2)
        held, fresh = reader.got(), host.read(path)
        reader.close()
        suite.check("FICLONE: the next open is denied", result.rc == 0 and fresh is None, (result, fresh and fresh[:60]))
        if not REDUCED:
            suite.check("FICLONE: a descriptor opened before it is refused at once", held is None, held and held[:60])


@suite.test("writers that were there before the approval")
def _(suite):
    with host_of() as host:
        source = host.put("source", MARKER, host.outside)

        def change(way, name, guarded):
            path = host.put(name, text(9000))
            changer = host.changing(way, path, source, "keep")
            changer.word("ready")
            known = host.read(path) is not None and host.read(path) is not None
            changer.go()
            there = host.read(path) if guarded else all_of(path)
            changer.end()
            return known, there, host.read(path) if guarded else all_of(path)
        for way, shown in EARLIER.items():
            known, there, gone = change(way, "control-" + way, False)
            suite.check("control: by %s it becomes infected, and is read without the guard" % shown,
                        known and infected(there) and infected(gone))
        host.guard()
        for way, shown in EARLIER.items():
            known, there, gone = change(way, way, True)
            suite.check("a clean file is read while there is %s" % shown, known)
            suite.check("what is written by %s is denied to the next open" % shown, there is None, there and there[:60])
            suite.check("and when that writer is gone (%s)" % way, gone is None, gone and gone[:60])


@suite.test("a write in flight")
def _(suite):
    """It began before the file is opened and judged, and its bytes land after that: the kernel waits for a page of the
    writer's that nobody gives it (userfaultfd)."""
    with host_of() as host:
        source = host.put("source", MARKER, host.outside)
        path = host.put("control", text(9000))
        changer = host.changing("in-flight", path, source, "keep")
        changer.word("ready")
        changer.go("in flight")
        before = all_of(path)
        changer.go()
        suite.check("control: the bytes land after the file was read", not infected(before) and infected(all_of(path)))
        changer.end()
        host.guard()
        path = host.put("changed", text(9000))
        host.approve(path)
        changer = host.changing("in-flight", path, source, "keep")
        changer.word("ready")
        changer.go("in flight")
        judged = host.read(path)
        suite.say("opened while the write is in flight: %s" % ("allowed, the old bytes" if judged else "denied"))
        suite.check("no infected byte is got while the write is in flight", not infected(judged))
        changer.go()
        suite.check("the next open after the write has landed is denied, with the writer there", host.read(path) is None)
        changer.end()
        suite.check("and when the writer is gone", host.read(path) is None)


last_test(suite)
suite.main()
