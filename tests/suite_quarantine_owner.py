#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The quarantine against the owner of a mailbox: every name, folder, link and moment there is his, and the steward is root.
Nothing but the file that was judged may be moved, read, given to anybody, overwritten or removed, and nobody else's mail
may suffer from what he does.

invariants: nothing-lost, no-byte-before-verdict, answered-in-time
"""
import ctypes
import fcntl
import os
import random
import signal
import subprocess
import threading
import time

from harness import EICAR, MARKER, CLEAN, SLACK, Host, Suite, eventually
from quarantine import FOLDER, age, facts, gone, item, items, maildir, own_mount, policy

suite = Suite("quarantine_owner", limit=240)
libc = ctypes.CDLL(None, use_errno=True)


def exchange(one, other):
    """renameat2(2), RENAME_EXCHANGE: both names exist at every moment."""
    return libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2)


def put(path, content):
    with open(path, "wb") as f:
        f.write(content)
    return path


@suite.test("a name left behind, opened in another mount namespace, is not taken for the quarantine's own")
def _(suite):
    for file_system in ("tmpfs", "ext4"):
        with Host(suite, file_system=file_system) as host:
            host.policy(host.watch(path=host.fs, store="maildir"))
            one = os.path.join(maildir(host, "anna"), "cur", "1:2,S")
            # A delivery's, which nobody takes away. Made first: the kernel finds the latest name by a handle.
            two = put(os.path.join(maildir(host, "berta"), "tmp", "2"), EICAR)
            os.link(two, one)
            clean = host.put("clean", CLEAN)
            host.start()
            there = ["unshare", "-m", "cat"]
            suite.check("control: %s: a clean one is read there" % file_system, suite.run(there + [clean]).out.encode() == CLEAN)
            suite.check("denied, and moved", host.read(one) is None and eventually(lambda: gone(one), 5) and not gone(two))
            result = suite.run(there + [two])
            suite.check("%s: not a byte of its other name" % file_system, result.rc != 0 and EICAR not in result.out.encode(), result)
            row = item(host)
            inside = os.path.join(host.fs, FOLDER, row["id"], "0")
            suite.check("control: root, who looks into the quarantine, reads it there", open(inside, "rb").read() == EICAR)


@suite.test("a lease that he holds on what was moved does not hold up the steward")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(store="maildir"), scanner={"max_file_size": "10k"})
        path = put(os.path.join(maildir(host), "cur", "1:2,S"), CLEAN * 500)
        host.start()
        fd = os.open(path + ".mine", os.O_RDWR | os.O_CREAT)
        os.close(fd)
        os.unlink(path + ".mine")
        host.stop()
        fd = os.open(path, os.O_RDWR)
        host.start()
        suite.check("too large: denied and moved", host.read(path) is None and gone(path))
        host.kill()
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        suite.check("control: he has a lease on it", fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_WRLCK)
        host.start()
        pid = host.pid("steward")
        other = put(os.path.join(maildir(host), "cur", "2:2,S"), EICAR)
        started = time.monotonic()
        suite.check("another one is moved away at once", host.read(other) is None and eventually(lambda: gone(other), 5),
                    time.monotonic() - started)
        suite.check("by the same steward, which answers", len(items(host)) == 2 and host.pid("steward") == pid)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        os.close(fd)
        host.policy(host.watch(store="maildir"))
        ident = next(r["id"] for r in items(host) if r["path"] == path)
        suite.check("once it is given back a release makes its sum, and gives it back", host.tool("reload")[0] == 0 and
                    host.tool("release", ident)[0] == 0 and host.read(path) == CLEAN * 500, items(host))


@suite.test("a file of a million gigabytes of nothing does not keep the steward at its sum for ever")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(store="maildir"), scanner={"max_file_size": "10k"})
        folder = os.path.join(maildir(host), "cur")
        huge, large = put(os.path.join(folder, "1:2,S"), CLEAN), put(os.path.join(folder, "2:2,S"), CLEAN * 500)
        os.truncate(huge, 1 << 50)
        host.start()
        suite.check("both are denied and moved", host.read(huge) is None and host.read(large) is None and gone(huge, large))
        sums = lambda: {r["path"]: r["sha256"] for r in items(host)}
        suite.check("the other one has its SHA-256", eventually(lambda: sums().get(large), 5), sums())
        suite.check("that one has none", huge in sums() and sums()[huge] is None)
        spent = lambda pid: sum(map(int, open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[11:13]))
        pid = host.pid("steward")
        before = spent(pid)
        time.sleep(1)
        suite.check("and nobody goes on with it", spent(pid) - before < 50, spent(pid) - before)
        ident = next(r["id"] for r in items(host) if r["path"] == huge)
        rc, text = host.tool("quarantine", "restore", ident)
        suite.check("it can be given back", rc == 0 and not gone(huge), (rc, text))
        os.rename(huge, huge + "S")
        suite.check("it is denied, and stays", host.read(huge + "S") is None and not gone(huge + "S") and len(items(host)) == 1)


@suite.test("another name of what was copied, changed meanwhile, is a file that nobody has judged")
def _(suite):
    with Host(suite) as host:
        own_mount(host)
        policy(host, recheck="on-open")
        one = os.path.join(maildir(host, "anna"), "cur", "1:2,S")
        two = put(os.path.join(maildir(host, "berta"), "tmp", "2"), EICAR)  # a delivery's, which nobody takes away
        os.link(two, one)
        host.start()
        suite.check("denied, and moved", host.read(one) is None and gone(one) and not gone(two))
        host.stop()
        with open(two, "ab") as f:
            f.write(b"changed")
        other = os.path.join(maildir(host, "berta"), "cur", "2:2,S")
        os.rename(two, other)
        host.start()
        pid = host.pid("steward")
        time.sleep(1)  # the search for its other names
        suite.check("the search finds it, and the steward is the same", host.pid("steward") == pid, host.log()[-300:])
        suite.check("opened, it is judged, and moved as an object of its own", host.read(other) is None and gone(other) and
                    len(item(host, 2)) == 2)


@suite.test("a huge file of no content makes nobody else's mail go")
def _(suite):
    with Host(suite) as host:
        policy(host, "quarantine { max-size = 8M }\n", on_limit="quarantine")
        one = put(os.path.join(maildir(host, "berta"), "cur", "1:2,S"), bytes(500000) + EICAR)
        host.start()
        suite.check("control: moved", host.read(one) is None and gone(one))
        mine = item(host)["id"]
        host.stop()
        age(host, mine, 2)
        big = os.path.join(maildir(host, "anna"), "cur", "2:2,S")
        with open(big, "wb") as f:
            f.write(EICAR)
            f.truncate(7900 << 10)
        full = put(os.path.join(maildir(host, "anna"), "cur", "3:2,S"), EICAR + os.urandom(7900 << 10))
        host.start()
        suite.check("denied", host.read(big) is None)
        suite.check("one that takes no room is moved, and nothing goes for it", eventually(lambda: gone(big), 5) and
                    mine in [r["id"] for r in items(host)], items(host))
        suite.check("one that takes nearly all of it is denied where it lies", host.read(full) is None and not gone(full))
        suite.check("berta's is still there", mine in [r["id"] for r in items(host)])
        suite.check("status says that it is full", eventually(lambda: [i for i in host.status()["issues"] if
                                                                       i["id"] == "quarantine" and "full" in i["text"]], 10))


@suite.test("one file system mounted at two places: each object is there once, and comes back")
def _(suite):
    with Host(suite, file_system="ext4") as host:
        paths = []
        for name in ("one", "two"):
            os.makedirs(os.path.join(host.fs, name, "cur"))
            os.mkdir(os.path.join(host.base, name))
            host.mount("--bind", os.path.join(host.fs, name), os.path.join(host.base, name))
            paths.append(put(os.path.join(host.base, name, "cur", "1:2,S"), name.encode() + EICAR))
        host.assert_private = lambda: None  # they are the test's own: of host.fs
        host.policy(*[host.watch(path=os.path.join(host.base, n), store="maildir") for n in ("one", "two")])
        host.start()
        for path in paths:
            suite.check("denied and moved", host.read(path) is None and gone(path))
        rows = item(host, 2)
        host.stop()
        host.start()
        suite.check("a new daemon has two objects, too", len(items(host)) == 2, items(host))
        for row in rows:
            rc, text = host.tool("quarantine", "restore", row["id"])
            suite.check("it comes back", rc == 0, text)
        suite.check("both are where they were", not gone(*paths[:1]) and not gone(*paths[1:]) and items(host) == [])


@suite.test("a disk that hangs: the open is denied at its deadline, and the file is moved once the disk goes on")
def _(suite):
    with Host(suite, file_system="ext4") as host:
        policy(host, deadline="1s")
        path = put(os.path.join(maildir(host), "cur", "1:2,S"), EICAR)
        clean = host.put("anna/Maildir/cur/2:2,S", CLEAN)
        other = put(os.path.join(maildir(host), "cur", "3:2,S"), MARKER)
        host.start()
        os.sync()
        fd = os.open(host.fs, os.O_RDONLY)
        fcntl.ioctl(fd, 0xC0045877, 0)  # FIFREEZE
        try:
            for infected in (path, other):
                started = time.monotonic()
                suite.check("denied", host.read(infected) is None)
                suite.check("at its deadline", time.monotonic() - started < 1 + SLACK, time.monotonic() - started)
            suite.check("a clean one reads meanwhile", host.read(clean) == CLEAN)
            rows = host.wait("both records", lambda: (lambda r: r if len(r) == 2 else None)(host.blocked()))
            suite.check("what was found is told, not that time was over", all(
                r["verdict"] == "infected" and r["reason"] == "" for r in rows), rows)
        finally:
            fcntl.ioctl(fd, 0xC0045878, 0)  # FITHAW
            os.close(fd)
        suite.check("afterwards both are moved by themselves", eventually(lambda: gone(path, other), 10), os.listdir(
            os.path.dirname(path)))
        suite.check("and listed", len(item(host, 2)) == 2)


class Mischief:
    """What an owner can do with the names in one of his folders, again and again: the name of what is infected becomes
    that of a clean message, a folder, a pipe, a link to a file elsewhere, and another file comes where one has gone."""

    def __init__(self, host, folder, pause):
        self.folder, self.end, self.turns, self.pause = folder, threading.Event(), 0, pause
        self.name = os.path.join(folder, "1:2,S")
        self.secret = put(os.path.join(host.outside, "secret"), b"of nobody's business")
        os.chmod(self.secret, 0o600)
        self.spare = put(os.path.join(os.path.dirname(folder), "spare"), b"another clean one\n" + CLEAN)
        self.things = [put(os.path.join(folder, "2:2,S"), CLEAN)] + [os.path.join(folder, n) for n in ("3", "4", "5")]
        os.chown(self.things[0], 4711, 4712)
        os.mkdir(self.things[1])
        put(os.path.join(self.things[1], "inside"), CLEAN)
        os.mkfifo(self.things[2])
        os.symlink(self.secret, self.things[3])
        self.names = [self.name] + self.things
        self.before = self.inodes()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def inodes(self):
        """{inode: what it is} of everything in the folder, but for the spare one's names."""
        spare = os.lstat(self.spare).st_ino
        found = {}
        for name in os.listdir(self.folder):
            s = os.lstat(os.path.join(self.folder, name))
            if s.st_ino != spare:
                found[s.st_ino] = (s.st_mode, s.st_uid, s.st_gid, s.st_size)
        return found

    def run(self):
        while not self.end.is_set():
            time.sleep(random.uniform(0.002, self.pause))  # as long as it takes to judge it, now and then
            one, other = random.sample(self.names, 2)
            if exchange(one, other) == 0:
                time.sleep(random.uniform(0, 0.004))  # between the look at a name and its move there are some writes
                exchange(one, other)
            if self.turns % 3 == 0:
                self.squat(one)
            self.turns += 1

    def squat(self, name):
        """Another file where one has just gone, for a moment."""
        try:
            os.link(self.spare, name)
            if os.lstat(name).st_ino == os.lstat(self.spare).st_ino:
                os.unlink(name)
        except OSError:
            pass

    def add(self, new):
        """This file too, under a name that is free. -> whether there was one"""
        for name in self.names:
            try:
                os.link(new, name)
                return True
            except FileExistsError:
                pass
        return False


def opened(path):
    """Whether a byte came: never by a link, never waiting for a pipe."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return b""
    try:
        return os.read(fd, 4096)
    except OSError:
        return b""
    finally:
        os.close(fd)


@suite.test("he exchanges names at every moment: nothing but what was judged is ever moved, and nothing is followed")
def _(suite):
    for copies in (False, True):
        with Host(suite, file_system="ext4") as host:
            if copies:
                own_mount(host)
            policy(host, deadline="1s")
            folder = os.path.join(maildir(host), "cur")
            words = "copied: " if copies else "moved: "
            mischief = Mischief(host, folder, 0.15 if copies else 0.02)
            host.start()
            pid = host.pid("steward")
            mischief.thread.start()
            got, slowest, infected = [], 0, 0
            end = time.monotonic() + 6
            while time.monotonic() < end:
                content = b"%d " % infected + EICAR
                new = put(os.path.join(os.path.dirname(folder), "tmp", "new"), content)
                infected += mischief.add(new)
                os.unlink(new)
                for _ in range(3):
                    started = time.monotonic()
                    for name in os.listdir(folder):
                        if EICAR in opened(os.path.join(folder, name)):
                            got.append(name)
                    slowest = max(slowest, time.monotonic() - started)
            mischief.end.set()
            mischief.thread.join()
            suite.say("%s%d infected files, %d in the quarantine, %d rounds of exchanges, the slowest look at the folder took %.2f s" % (
                words, infected, len(items(host)), mischief.turns, slowest))
            suite.check(words + "not a byte of what is infected", not got, got[:3])
            started = time.monotonic()
            rows = items(host)
            suite.check(words + "some were moved away", len(rows) > 5, len(rows))
            suite.check(words + "the steward answers, and is the same", time.monotonic() - started < 2 and
                        host.pid("steward") == pid, (time.monotonic() - started, host.log()[-300:]))
            spare = os.lstat(mischief.spare).st_ino
            after = mischief.inodes()
            lost = {i: what for i, what in mischief.before.items() if after.get(i) != what}
            suite.check(words + "message, folder, pipe and link are all still there, as they were", not lost, (lost, os.listdir(folder)))
            place = os.path.join(host.state, "steward/quarantine") if copies else os.path.join(host.fs, FOLDER)
            kept = [os.path.join(root, n) for root, folders, names in os.walk(place) for n in names + folders
                    if n.isdigit() or n.startswith("not-judged")]
            wrong = [k for k in kept if not os.path.isfile(k) or EICAR not in open(k, "rb").read()]
            suite.check(words + "nothing but what is infected lies in the quarantine", not wrong, wrong[:3])
            suite.check(words + "what was not his own is as it was", open(mischief.secret, "rb").read() == b"of nobody's business" and
                        os.stat(mischief.secret).st_mode & 0o777 == 0o600 and os.lstat(mischief.spare).st_ino == spare)


@suite.test("a copy that is given back can't be exchanged on its way, nor does its folder add to it")
def _(suite):
    with Host(suite, file_system="ext4") as host:
        own_mount(host)
        policy(host)
        one, two = (os.path.join(maildir(host, user), "cur", "1:2,S") for user in ("anna", "berta"))
        put(one, EICAR + bytes(40 << 20))
        os.link(one, two)
        acl = bytes.fromhex("02000000" "01000700ffffffff" "02000700" "67120000" "04000000ffffffff" "10000700ffffffff"
                            "20000000ffffffff")
        os.setxattr(os.path.dirname(one), "system.posix_acl_default", acl)
        suite.check("control: new files there get an ACL", "system.posix_acl_access" in
                    os.listxattr(put(os.path.join(os.path.dirname(one), "new"), CLEAN)))
        os.chmod(one, 0o640)
        before = facts(one)
        planted = put(os.path.join(maildir(host), "planted"), b"planted by anna")
        number = os.stat(planted).st_ino
        host.start()
        suite.check("denied, and moved", host.read(one) is None and eventually(lambda: gone(one, two), 10))
        row = host.wait("2 of 2", lambda: [r for r in items(host) if r["moved"] == 2])[0]
        end, seen = threading.Event(), []

        def exchanges():
            while not end.is_set():
                for name in os.listdir(os.path.dirname(one)):
                    if name.startswith(".") or name == os.path.basename(one):
                        path = os.path.join(os.path.dirname(one), name)
                        if os.path.lexists(planted) and os.lstat(path).st_ino != number:
                            exchange(path, planted)
                            seen.append(name)
        thread = threading.Thread(target=exchanges)
        thread.start()
        try:
            rc, text = host.tool("quarantine", "restore", row["id"], timeout=30)
        finally:
            end.set()
            thread.join()
        suite.say("exchanged: %s" % sorted(set(seen)))
        theirs = [os.path.join(os.path.dirname(two), n) for n in os.listdir(os.path.dirname(two))]
        suite.check("berta gets nothing of anna's", theirs == [two] and os.lstat(two).st_ino != number, (theirs, text))
        after = facts(two)
        suite.check("what she gets is what it was", {k: v for k, v in after.items() if k not in ("ino", "links")} ==
                    {k: v for k, v in before.items() if k not in ("ino", "links")}, (before, after))


suite.main()
