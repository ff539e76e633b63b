# SPDX-License-Identifier: GPL-2.0-only
"""A file that was opened outside may be in the kernel's ignore marks, and they follow it into the watch. Moves and links
into a watch take them back; how many opens are missed until then is printed."""
import os
import time

from harness import CLEAN, MARKER, Host, Suite, eventually

suite = Suite("moves")
ROUNDS = 200


def by_rename(host, i):
    source = host.put("file-%d" % i, MARKER + b"%d" % i, host.outside)
    return source, lambda: os.rename(source, host.watched + "/file-%d" % i), host.watched + "/file-%d" % i


def by_link(host, i):
    source = host.put("linked-%d" % i, MARKER + b"%d" % i, host.outside)
    return source, lambda: os.link(source, host.watched + "/linked-%d" % i), host.watched + "/linked-%d" % i


def by_folder(host, i):
    source = host.put("folder-%d/cur/file" % i, MARKER + b"%d" % i, host.outside)
    return (source, lambda: os.rename(host.outside + "/folder-%d" % i, host.watched + "/folder-%d" % i),
            host.watched + "/folder-%d/cur/file" % i)


def by_deep_rename(host, i):
    """Into a folder that is itself new."""
    source = host.put("deep-%d" % i, MARKER + b"%d" % i, host.outside)
    folder = host.watched + "/new-%d/cur" % i

    def move():
        os.makedirs(folder)
        os.rename(source, folder + "/file")
    return source, move, folder + "/file"


WAYS = {"a file is renamed": by_rename, "a file is linked": by_link, "a folder is renamed": by_folder,
        "a file is renamed into a new folder": by_deep_rename}


@suite.test("moves and links into the watch")
def _(suite):
    for kind in ("tmpfs", "ext4"):
        with Host(suite, kind) as host:
            host.start()
            for name, way in WAYS.items():
                missed, unmarked = 0, 0
                for i in range(ROUNDS):
                    source, move, target = way(host, i)
                    unmarked += host.read(source) is None
                    host.read(source)
                    move()
                    missed += host.read(target) is not None
                suite.say("%s, %s into the watch, %d times: events missed: %d" % (kind, name, ROUNDS, missed))
                suite.check("control: outside, before %s, each was read on %s" % (name, kind), unmarked == 0, unmarked)
                later, no_flush = 0, 0
                for i in range(ROUNDS, ROUNDS + 50):
                    source, move, target = way(host, i)
                    host.read(source)
                    before = host.counter("flushes")
                    move()
                    no_flush += not eventually(lambda: host.counter("flushes") > before, 5, 0.01)
                    later += host.read(target) is not None
                suite.check("each time %s into the watch a flush is counted on %s" % (name, kind), no_flush == 0, no_flush)
                suite.check("after the flush nothing is missed when %s into the watch on %s" % (name, kind), later == 0,
                            later)
                suite.say("%s, %s, after the flush, 50 times: events missed: %d" % (kind, name, later))


@suite.test("marks = none closes the window")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(marks="none"))
        host.start()
        for name, way in WAYS.items():
            missed = 0
            for i in range(ROUNDS):
                source, move, target = way(host, i)
                host.read(source)
                host.read(source)
                move()
                missed += host.read(target) is not None
            suite.check("with marks = none nothing is missed when %s into the watch at once" % name, missed == 0, missed)


@suite.test("moves by others")
def _(suite):
    """In a mount namespace of their own, by another uid, while many things happen outside."""
    with Host(suite) as host:
        os.chmod(host.watched, 0o777)
        os.chmod(host.outside, 0o777)
        host.start()
        source = host.put("by-nobody", MARKER, host.outside)
        os.chown(source, 65534, 65534)
        host.read(source)
        before = host.counter("flushes")
        moved = suite.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "unshare", "-Urm", "sh", "-ec",
                           'mkdir /tmp/x-$$ && mount --rbind "$0" /tmp/x-$$ && mv /tmp/x-$$/out/by-nobody /tmp/x-$$/in/ && '
                           'umount -l /tmp/x-$$ && rmdir /tmp/x-$$', host.fs])
        suite.check("control: nobody moved it in a user namespace of his own", moved.rc == 0, moved)
        suite.check("a move in another mount namespace is seen",
                    eventually(lambda: host.counter("flushes") > before, 5))
        suite.check("and the file is guarded", host.read(host.watched + "/by-nobody") is None)
        before = host.counter("flushes")
        for i in range(2000):
            with open(host.outside + "/busy", "wb") as f:
                f.write(b"x")
            os.rename(host.outside + "/busy", host.outside + "/busy-too")
        suite.say("2000 renames outside: %d flushes" % (host.counter("flushes") - before))
        before = host.counter("flushes")
        for i in range(50):
            os.mkdir(host.outside + "/folder")
            os.rename(host.outside + "/folder", host.outside + "/folder-%d" % i)
        time.sleep(0.5)
        suite.check("folders that are moved about outside take no marks back", host.counter("flushes") == before,
                    host.counter("flushes") - before)
        leaving = host.put("leaving/bad", MARKER)
        suite.check("control: an infected file in a folder of the watch is denied", host.read(leaving) is None)
        os.rename(os.path.dirname(leaving), host.outside + "/left")
        suite.check("a folder that left the watch opens", eventually(
            lambda: host.read(host.outside + "/left/bad") is not None, 3))
        source = host.put("last", MARKER, host.outside)
        host.read(source)
        before = host.counter("flushes")
        os.rename(source, host.watched + "/last")
        eventually(lambda: host.counter("flushes") > before, 5)
        suite.check("a move after many renames outside is seen", host.read(host.watched + "/last") is None)
        approved = host.put("approved", CLEAN)
        host.read(approved)
        os.rename(approved, host.outside + "/approved")
        suite.check("a file that left the watch opens", host.read(host.outside + "/approved") == CLEAN)


suite.main()
