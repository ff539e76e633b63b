# SPDX-License-Identifier: GPL-2.0-only
"""origin = mail in reduced mode: by the labels of processes where the kernel takes the tracepoints, else by the mark on the
disk alone. What that is worth without BPF LSM is what is shown here; tests/suite_vm_gate.py shows it in full mode."""
import errno
import os
import shutil
import subprocess

from harness import CLEAN, MARKER, Host, Suite, eventually

suite = Suite("origin")
MARK = "trusted.mailward.origin"


def marked(path):
    return MARK in os.listxattr(path)


def keeps_marks(folder):
    path = folder + "/probe"
    with open(path, "wb"):
        pass
    try:
        os.setxattr(path, MARK, b"x")
        return True
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return False
    finally:
        os.unlink(path)


def deliverer(host):
    """A program of its own: `deliverer FILE` copies what it is given; what it starts is mail software too."""
    path = host.base + "/bin/deliverer"
    shutil.copy("/bin/dash", path)
    os.chmod(path, 0o755)
    return path


def deliver(program, path, data):
    subprocess.run([program, "-c", 'cat >"$0"', path], input=data, check=True)


def start(suite, host, program, *watches):
    host.policy('mail-software deliverer { roots = { "%s" } }' % program, *watches)
    host.start()
    status = host.status()
    if status["mode"] == "full":
        suite.skip("reduced mode", "this kernel has full mode")
        return None
    return status


@suite.test("the mark on the disk")
def _(suite):
    with Host(suite, file_system="ext4") as host:
        program = deliverer(host)
        mine, mails = host.put("mine", MARKER), host.put("mails", MARKER)
        os.setxattr(mails, MARK, b"mail")
        left = host.put("left", MARKER, where=host.outside)
        os.setxattr(left, MARK, b"mail")
        free = host.put("free", MARKER, where=host.outside)
        suite.check("control: all are read without the guard", all(host.read(p) for p in (mine, mails, left, free)))
        status = start(suite, host, program, host.watch(origin="mail"))
        if not status:
            return
        suite.check("a file that is marked is judged", host.read(mails) is None)
        suite.check("one without a mark is none of ours", host.read(mine) == MARKER)
        suite.check("and no record of it", not host.blocked("--path", mine))
        suite.check("a marked file that left the watch is judged by it", host.read(left) is None)
        rows = eventually(lambda: host.blocked("--path", left), 5)
        suite.check("its record names that watch", rows and rows[0]["watch"] == host.watched, rows)
        suite.check("control: others outside are free", host.read(free) == MARKER)
        watch = status["watches"][0]
        suite.check("status says that this is not all that the word promises", watch["covered"] == "partly" and
                    "origin" in watch["why"], watch)


@suite.test("an ordinary user and the mark")
def _(suite):
    with Host(suite, file_system="ext4") as host:
        mails = host.put("mails", CLEAN, mode=0o666)
        os.chown(mails, 65534, 65534)
        os.setxattr(mails, MARK, b"mail")
        code = ("import os, sys\nos.setgid(65534)\nos.setuid(65534)\n"
                "for f in (lambda: os.removexattr(%r, %r), lambda: os.setxattr(%r, %r, b'x')):\n"
                "    try:\n        f()\n        sys.exit(1)\n    except PermissionError:\n        pass\n"
                "sys.exit(%r in os.listxattr(%r))\n" % (mails, MARK, mails, MARK, MARK, mails))
        result = suite.run(["/usr/bin/python3", "-c", code])
        suite.check("the owner of a file can neither remove, nor set, nor see it", result.rc == 0, result)
        suite.check("control: it is there", marked(mails))


@suite.test("written by mail software")
def _(suite):
    for file_system in ("ext4", "tmpfs"):
        with Host(suite, file_system=file_system) as host:
            program = deliverer(host)
            if not keeps_marks(host.fs):
                suite.skip("marks on %s" % file_system, "it keeps no trusted attributes here")
                continue
            status = start(suite, host, program, host.watch(origin="mail"))
            if not status:
                return
            if not status["labels"]:
                suite.skip("labels on %s" % file_system, "the kernel takes no tracepoint programs")
                return
            bad, good, out = host.watched + "/bad", host.watched + "/good", host.outside + "/out"
            mine = host.put("mine", MARKER)
            for path, data in ((bad, MARKER), (good, CLEAN), (out, MARKER)):
                deliver(program, path, data)
                suite.check("%s: what mail software wrote is marked" % file_system, eventually(lambda: marked(path), 5),
                            os.listxattr(path))
            many = ["%s/many-%d" % (host.watched, i) for i in range(200)]
            for path in many:
                deliver(program, path, CLEAN)
            without = eventually(lambda: not [p for p in many if not marked(p)], 10) or [p for p in many if not marked(p)]
            suite.check("%s: each of many, whose writers are gone at once" % file_system, without is True, without)
            suite.check("%s: control: what others wrote is not" % file_system, not marked(mine))
            suite.check("%s: it is judged: infected" % file_system, eventually(lambda: host.read(bad) is None, 5))
            suite.check("%s: it is judged: clean" % file_system, host.read(good) == CLEAN)
            suite.check("%s: outside of the watch too" % file_system, host.read(out) is None)
            got = subprocess.run([program, "-c", 'cat "$0"', out], capture_output=True).stdout
            suite.check("%s: but not for mail software itself, whose own queue may lie there" % file_system,
                        got == MARKER, got)
            got = subprocess.run([program, "-c", 'cat "$0"', bad], capture_output=True).stdout
            suite.check("%s: whose label gives it nothing within the watch" % file_system, got == b"", got)
            suite.check("%s: control: what others wrote is free" % file_system, host.read(mine) == MARKER)
            host.stop()
            suite.check("%s: control: it is read without the guard" % file_system, host.read(bad) == MARKER)
            host.start()
            suite.check("%s: after a restart it is known by its mark" % file_system, host.read(bad) is None)


@suite.test("origin = any beside it")
def _(suite):
    with Host(suite, file_system="ext4") as host:
        program = deliverer(host)
        spool = host.watched + "/spool"
        os.mkdir(spool)
        other = host.put("bad", MARKER, where=spool)
        mine = host.put("mine", MARKER)
        status = start(suite, host, program, host.watch(origin="mail"), host.watch(spool))
        if not status:
            return
        suite.check("a watch within that asks nobody's origin guards all", host.read(other) is None)
        suite.check("control: the outer one does not", host.read(mine) == MARKER)
        suite.check("and is covered", {w["path"]: w["covered"] for w in status["watches"]}[spool] == "yes", status)


suite.main()
