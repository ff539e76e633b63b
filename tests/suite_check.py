# SPDX-License-Identifier: GPL-2.0-only
"""Policies, good and malformed, through `mailward check` and through the policy reader as the keeper drives it."""
import array
import ctypes
import fcntl
import json
import os
import re
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
import time

from harness import BUILD, ROOT, SLACK, Suite

suite = Suite("check")
TOOL = os.path.join(BUILD, "mailward")
DAEMON = os.path.join(BUILD, "mailwardd")


# ---- a file system of our own, and the frames ----

def wire_enum(name, text):
    """{word: number} of an enum in include/wire.h."""
    body = re.sub(r"/\*.*?\*/", "", re.search(r"enum %s \{(.*?)\};" % name, text, re.S).group(1), flags=re.S)
    found, number = {}, 0
    for part in body.split(","):
        word, _, value = part.strip().partition("=")
        if word.strip():
            number = eval(value, {}, found) if value else number
            found[word.strip()] = number
            number += 1
    return found


with open(os.path.join(ROOT, "include", "wire.h")) as f:
    WIRE = f.read()
KINDS = {number: word for word, number in wire_enum("leash_kind", WIRE).items()}
FDS = wire_enum("start_fd", WIRE)
FD_LEASH, FD_POLICY = FDS["FD_LEASH"], FDS["FD_POLICY"]
F_GET_SEALS, ALL_SEALS = 1034, 1 | 2 | 4 | 8


class Place:
    """A tmpfs with etc/ (policies) and another one at fs/ (watched paths)."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="mailward-test-", dir="/tmp")
        suite.at_end(self.close)
        self.mounts = []
        self.mount("-t", "tmpfs", "-o", "mode=0755", "mailward-test", self.base)
        for name in ("etc", "fs", "bin"):
            os.mkdir(self.base + "/" + name)
        self.fs, self.config = self.base + "/fs", self.base + "/etc/p.conf"
        self.mount("-t", "tmpfs", "-o", "mode=0755", "mailward-watched", self.fs)
        self.watched = self.folder("v")

    def mount(self, *args):
        subprocess.run(["mount"] + list(args), check=True, stdout=subprocess.DEVNULL)
        self.mounts.append(args[-1])

    def folder(self, name):
        os.makedirs(self.fs + "/" + name)
        return self.fs + "/" + name

    def close(self):
        for point in reversed(self.mounts):
            subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL)
        os.rmdir(self.base)

    def write(self, text, name=None, mode=0o644):
        path = name or self.config
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(path, mode)
        return path

    def check(self, *words, env=None, timeout=30):
        return suite.run([TOOL, "check"] + list(words), timeout=timeout, env=dict(os.environ, **(env or {})))

    def object(self, *words, env=None):
        result = self.check("--json", *words, env=env)
        return result.rc, json.loads(result.out)


class Reader:
    """mailward-policy as the keeper starts it: its leash at descriptor 3, maybe an older policy at FD_POLICY."""

    def __init__(self, config=None, policy=None):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        high = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD, 200)
        table = fcntl.fcntl(policy, fcntl.F_DUPFD, 201) if policy is not None else None

        actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, high, FD_LEASH)]
        if table is not None:
            actions.append((os.POSIX_SPAWN_DUP2, table, FD_POLICY))
        started = time.monotonic()
        pid = os.posix_spawn(DAEMON, ["mailward-policy"] + ([config] if config else []), os.environ, file_actions=actions)
        suite.track(pid)
        theirs.close()
        os.close(high)
        if table is not None:
            os.close(table)
        self.frames, self.fds = [], []
        ours.settimeout(20)
        while True:
            try:
                data, control, _, _ = ours.recvmsg(8192, socket.CMSG_SPACE(64))
            except OSError:
                break
            if not data:
                break
            fds = array.array("i")
            for level, kind, bytes_ in control:
                fds.frombytes(bytes_[:len(bytes_) - len(bytes_) % 4])
            version, kind, value = struct.unpack_from("<IIQ", data)
            text = data[24 + 168 + 96:24 + 168 + 96 + 1024].split(b"\0")[0].decode("utf-8", "backslashreplace")
            self.frames.append((KINDS.get(kind, kind), value, text, fds[0] if len(fds) else -1))
            self.fds += list(fds)
        ours.close()
        self.rc = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        suite.watchdog.forget(pid)
        self.seconds = time.monotonic() - started
        suite.at_end(self.close)

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def kinds(self):
        return [frame[0] for frame in self.frames]

    def of(self, kind):
        return [frame for frame in self.frames if frame[0] == kind]

    def texts(self, kind="LEASH_COMPLAINT"):
        return [frame[2] for frame in self.of(kind)]

    def roots(self):
        """[(watch, path)] of the descriptors that came."""
        return [(value, os.readlink("/proc/self/fd/%d" % fd)) for _, value, _, fd in self.of("LEASH_ROOT")]


# ---- malformed policies: (name, text, line, words of the complaint) ----
W = "watch /v {\n%s\n}\n"
BAD = [
    ("an unknown word at the top", "colour = red\n", 1, "known here: allow-root-filesystem, on-stop, watch, scanner"),
    ("an unknown word in a watch", W % "colour = red", 2, "known here: store, mode, origin, exec, deadline"),
    ("an unknown word in scanner", "scanner { threads = 4 }", 1, "known here: workers, max-file-size"),
    ("an unknown block", "guard /v { }\n", 1, "unknown word 'guard'"),
    ("a word repeated", W % "mode = off\n\nmode = off", 4, "repeated (first in FILE:2)"),
    ("a watch repeated", "watch /v { }\nwatch \"/v/\" { }\n", 2, "is repeated (first in FILE:1)"),
    ("scanner repeated", "scanner { }\nscanner { }\n", 2, "is repeated (first in FILE:1)"),
    ("a relative path", "watch v { }\n", 1, "write it from / on"),
    ("a home path", "watch \"~/Maildir\" { }\n", 1, "write it from / on"),
    ("a path with ..", "watch /v/../etc { }\n", 1, "write the path that is meant"),
    ("no path", "watch { }\n", 1, "write it in quotes"),
    ("a control character in a path", "watch \"/v\a\" { }\n", 1, "remove it"),
    ("an escape sequence in a path", "watch \"/v\033[2J\" { }\n", 1, "remove it"),
    ("a newline in a path", "watch \"/v\n\" { }\n", 1, "is not closed on its line"),
    ("a zero byte", b"watch /v { }\n# \0\n", 2, "not a text file"),
    ("no unit", W % "deadline = 5", 2, "its unit (ms s min h d), as in 5s"),
    ("a wrong unit", W % "deadline = 5sec", 2, "its unit (ms s min h d)"),
    ("a size without a unit", "scanner { max-file-size = 100 }", 1, "its unit (k M G), as in 100M"),
    ("a fraction", W % "deadline = 0.5s", 2, "whole number"),
    ("a negative number", W % "deadline = -5s", 2, "whole number"),
    ("a number beyond all bounds", W % "deadline = 99999999999999999999s", 2, "whole number"),
    ("a deadline too short", W % "deadline = 99ms", 2, "use 100ms to 60s"),
    ("a deadline too long", W % "deadline = 61s", 2, "use 100ms to 60s"),
    ("an unknown store", W % "store = exim", 2, "use one of files, maildir"),
    ("an unknown mode", W % "mode = on", 2, "use one of off, observe, enforce"),
    ("a value of another word", W % "on-infected = allow", 2, "use one of deny, quarantine, report"),
    ("a heuristic without its value", W % "on-macro = block", 2, "use one of allow, deny, report, quarantine"),
    ("origin = mail without mail software", W % "origin = mail", 2, "guards nothing: no mail software is named; add mail-software"),
    ("an unknown origin", W % "origin = postfix", 2, "use one of any, mail"),
    ("an unknown word for exec", W % "exec = no", 2, "use one of scan, never"),
    ("mbox without exec", W % "store = mbox\nexec = never", 3, "exec = never cannot be kept in store = mbox"),
    ("mdbox without exec", W % "exec = never\nstore = mdbox", 2, "exec = never cannot be kept in store = mdbox"),
    ("a queue without exec", W % "exec = never\nstore = postfix-queue", 2, "use exec = scan"),
    ("an unknown word for a stop", "\non-stop = detach\n", 2, "use one of hold, release"),
    ("on-stop repeated", "on-stop = hold\non-stop = release\n", 2, "'on-stop' is repeated (first in FILE:1)"),
    ("mbox that denies", W % "store = mbox\non-infected = deny", 3, "use report"),
    ("mdbox that denies", W % "store = mdbox\non-error = deny", 3, "use allow"),
    ("a queue that denies what is infected", W % "store = postfix-queue\non-infected = deny", 3, "use quarantine"),
    ("a queue that quarantines what is too large", W % "store = postfix-queue\non-limit = quarantine", 3, "use allow"),
    ("a queue that denies", W % "on-timeout = deny\nstore = postfix-queue", 2, "use allow"),
    ("a block that is not closed", "watch /v {\n mode = off\n", 3, "line 1: a closing brace is missing"),
    ("a brace too many", "watch /v { }\n}\n", 2, "remove it"),
    ("a string that is not closed", "watch \"/v { }\n", 1, "is missing"),
    ("no equal sign", W % "mode off", 2, "needs an equal sign"),
    ("no value", W % "mode =", 3, "write mode = ..."),
    ("a semicolon", W % "mode = off;", 2, "no semicolons"),
    ("a carriage return", "watch /v { }\r\n", 1, "Unix line ends"),
    ("a byte order mark", b"\xef\xbb\xbfwatch /v { }\n", 1, "plain UTF-8"),
    ("typographic quotes", "watch \u201c/v\u201d { }\n", 1, "straight quotes"),
    ("a C comment", "/* watch */\n", 1, "a comment begins with #"),
    ("an include", "include(\"/etc/passwd\")\n", 1, "<policy file>.d"),
    ("an environment variable", "watch ${HOME} { }\n", 1, "in quotes"),
    ("a list for one value", W % "mode = { off, enforce }", 2, "keep one"),
    ("too much memory", "scanner { workers = 64 max-scan-size = 16G }\n", 1, "lower workers or max-scan-size"),
    ("too many watches", "".join("watch /v/%d { }\n" % i for i in range(65)), 65, "64 is the limit"),
    ("roots that are relative", "mail-software a { roots = { \"master\" } }\n", 1, "write it from / on"),
    ("mail-software without roots", "mail-software a { }\n", 1, "roots = { "),
    ("random bytes", bytes((i * 197 + 31) % 256 for i in range(4096)), 1, ""),
]


@suite.test("malformed policies")
def _(s):
    place = Place()
    for name, text, line, words in BAD:
        config = place.write(text)
        expected, words = "%s:%d: " % (config, line), words.replace("FILE", config)
        result = place.check(config)
        said = [l for l in result.err.splitlines() if l.startswith("error: " + expected) and words in l]
        s.check("check refuses %s with its line and the remedy" % name, result.rc == 2 and said, (expected, words, result))
        rc, found = place.object(config)
        s.check("check --json too: %s" % name,
                rc == 2 and any(t.startswith(expected) and words in t for t in found["errors"]), found)
        reader = Reader(config)
        s.check("the reader refuses %s with its line and the remedy" % name,
                reader.rc == 2 and any(t.startswith(expected) and words in t for t in reader.texts()) and
                set(reader.kinds()) == {"LEASH_COMPLAINT"}, (expected, words, reader.rc, reader.frames))
        reader.close()


@suite.test("a good policy")
def _(s):
    place = Place()
    other = place.folder("w")
    config = place.write("watch \"%s\" { store = maildir }\nwatch \"%s\" { mode = observe }\n" % (place.watched, other))
    result = place.check(config)
    s.check("control: check finds nothing wrong", result.rc == 0 and "maildir" in result.out and not result.err, result)
    reader = Reader(config)
    s.check("the reader ends well", reader.rc == 0, (reader.rc, reader.frames))
    s.check("the table comes first, the end last, the roots in the order of the watches",
            reader.kinds() == ["LEASH_POLICY", "LEASH_ROOT", "LEASH_ROOT", "LEASH_POLICY_END"] and
            reader.roots() == [(0, place.watched), (1, other)], (reader.kinds(), reader.roots()))
    table = reader.of("LEASH_POLICY")[0][3]
    s.check("the table is sealed", fcntl.fcntl(table, F_GET_SEALS) & ALL_SEALS == ALL_SEALS)
    try:
        os.pwrite(table, b"x", 0)
        written = True
    except OSError:
        written = False
    s.check("nobody can write into it", not written)
    s.check("a root is a folder that can be read", all(
        stat.S_ISDIR(os.fstat(fd).st_mode) and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        for _, _, _, fd in reader.of("LEASH_ROOT")))

    os.rmdir(other)
    again = Reader(policy=table)
    s.check("with that table alone the roots are found again",
            again.rc == 0 and again.kinds() == ["LEASH_ROOT", "LEASH_WATCH_WITHOUT", "LEASH_POLICY_END"] and
            again.roots() == [(0, place.watched)] and again.texts("LEASH_WATCH_WITHOUT") == ["does not exist (yet)"],
            (again.rc, again.frames))
    os.mkdir(other)
    back = Reader(policy=table)
    s.check("a folder that appears is taken up", back.roots() == [(0, place.watched), (1, other)], back.frames)
    os.rmdir(other)
    os.symlink("/etc", other)
    link = Reader(policy=table)
    s.check("a link put in its place is not followed", link.roots() == [(0, place.watched)] and
            "symbolic link" in link.texts("LEASH_WATCH_WITHOUT")[0], link.frames)
    junk = os.memfd_create("junk")
    os.write(junk, b"\xff" * os.fstat(table).st_size)
    bad = Reader(policy=junk)
    s.check("a table that is not sound is refused", bad.rc == 1 and not bad.frames, (bad.rc, bad.frames))
    os.close(junk)


@suite.test("paths are literal")
def _(s):
    place = Place()
    for name in ("${HOME}", "a b", "\\n\\x41", "it's", "#x", "{a,b}=c;d", "\u00e4", "*"):
        path = place.folder(name)
        place.write("watch \"%s\" { }\n" % path)
        reader = Reader(place.config)
        s.check("a folder called %s is watched" % name, reader.roots() == [(0, path)], (reader.roots(), reader.frames))
        reader.close()


@suite.test("paths that are not there, not folders, or links")
def _(s):
    place = Place()
    place.write("watch %s/missing { }\n" % place.fs)
    result, reader = place.check(place.config), Reader(place.config)
    s.check("a path that does not exist is a warning of check", result.rc == 1 and "does not exist (yet)" in result.out, result)
    s.check("and no error of the reader", reader.rc == 0 and reader.texts("LEASH_WATCH_WITHOUT") == ["does not exist (yet)"],
            (reader.rc, reader.frames))
    open(place.fs + "/inbox", "w").close()
    place.write("watch %s/inbox { store = mbox }\n" % place.fs)
    result, reader = place.check(place.config), Reader(place.config)
    s.check("a file is refused, with the folder as remedy",
            result.rc == 2 and ":1: " in result.err and "watch the folder" in result.err and reader.rc == 2, result)
    os.symlink(place.watched, place.fs + "/link")
    place.write("watch %s/link { }\n" % place.fs)
    result, reader = place.check(place.config), Reader(place.config)
    s.check("a link is watched under its real name, with a warning",
            result.rc == 1 and "symbolic link" in result.out and reader.rc == 0 and
            reader.roots() == [(0, place.watched)] and any("symbolic link" in t for t in reader.texts()), (result, reader.frames))
    s.check("check shows the real name", place.object(place.config)[1]["watches"][0]["path"] == place.watched)
    place.write("watch %s { }\nwatch %s/link { }\n" % (place.watched, place.fs))
    result = place.check(place.config)
    s.check("a watch that is repeated by a link is refused with both lines",
            result.rc == 2 and place.config + ":2: " in result.err and place.config + ":1 too" in result.err, result)
    os.symlink(place.fs + "/loop", place.fs + "/loop")
    place.write("watch %s/loop { }\n" % place.fs)
    s.check("a loop of links is refused", place.check(place.config).rc == 2)


@suite.test("the file system of /")
def _(s):
    place = Place()
    on_root = tempfile.mkdtemp(prefix="mailward-test-", dir="/var/tmp")
    s.at_end(lambda: os.rmdir(on_root))
    if os.stat(on_root).st_dev != os.stat("/").st_dev:
        s.skip("a watch on the file system of / is refused", "/var/tmp is another file system here")
        return
    place.write("\nwatch %s { }\n" % on_root)
    result, reader = place.check(place.config), Reader(place.config)
    s.check("a watch on the file system of / is refused with its line and the word that allows it",
            result.rc == 2 and place.config + ":2: " in result.err and "allow-root-filesystem = yes" in result.err, result)
    s.check("the reader refuses it too", reader.rc == 2 and "allow-root-filesystem = yes" in reader.texts()[0], reader.frames)
    point = place.folder("bound")
    place.mount("--bind", on_root, point)
    place.write("watch %s { mode = observe }\n" % point)
    result = place.check(place.config)
    s.check("a bind mount of it is refused too", result.rc == 2 and "file system of /" in result.err, result)
    place.write("watch %s { mode = off }\n" % on_root)
    s.check("a watch that is off is not", place.check(place.config).rc == 0)
    place.write("allow-root-filesystem = yes\nwatch %s { }\n" % on_root)
    reader = Reader(place.config)
    s.check("control: with the word it is taken", place.check(place.config).rc == 0 and reader.roots() == [(0, on_root)],
            reader.frames)
    place.write("watch %s { }\n" % place.fs)
    reader = Reader(place.config)
    s.check("a mount of / below a watch is left out, and said",
            reader.rc == 0 and point not in [path for _, path in reader.roots()] and
            any(point in t and "file system of /" in t for t in reader.texts("LEASH_WATCH_WITHOUT")), reader.frames)


@suite.test("mounts below a watch")
def _(s):
    place = Place()
    inner, own, hidden = place.folder("v/inner"), place.folder("v/own"), place.folder("v/hidden")
    place.mount("-t", "tmpfs", "mailward-inner", inner)
    os.mkdir(inner + "/deeper")
    place.mount("-t", "tmpfs", "mailward-deeper", inner + "/deeper")
    place.mount("-t", "tmpfs", "mailward-own", own)
    place.mount("-t", "tmpfs", "mailward-hidden", hidden)
    place.mount("-t", "tmpfs", "mailward-over", hidden)
    os.mkdir(hidden + "/over")
    place.write("watch %s { }\nwatch %s { mode = observe }\n" % (place.watched, own))
    reader = Reader(place.config)
    roots = reader.roots()
    s.check("each is a root of the watch that is answerable for it",
            sorted(roots) == sorted([(0, place.watched), (0, inner), (0, inner + "/deeper"), (0, hidden), (1, own)]), roots)
    over = [fd for _, _, _, fd in reader.of("LEASH_ROOT") if os.readlink("/proc/self/fd/%d" % fd) == hidden]
    s.check("of two mounts on one folder it is the one on top", os.listdir(over[0]) == ["over"])
    s.check("the watch's own folder is its first root", [path for watch, path in roots if watch == 0][0] == place.watched)
    name = place.fs + "/v/sp ace\ttab\\back"
    os.mkdir(name)
    place.mount("-t", "tmpfs", "mailward-odd", name)
    s.check("a mount point of odd characters is found", (0, name) in Reader(place.config).roots())


def mount_fuse(place, point):
    """A FUSE file system whose server never answers; closing the descriptor ends it."""
    device = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = "fd=%d,rootmode=40000,user_id=0,group_id=0" % device
    if libc.mount(b"mailward-fuse", point.encode(), b"fuse", 0, options.encode()) != 0:
        error = ctypes.get_errno()
        os.close(device)
        raise OSError(error, os.strerror(error))
    place.mounts.append(point)
    suite.at_end(lambda: os.close(device))


@suite.test("file systems that never answer")
def _(s):
    place = Place()
    point = place.folder("remote")
    if not os.path.exists("/dev/fuse"):
        s.skip("enforce on FUSE is refused", "no /dev/fuse here")
        return
    mount_fuse(place, point)
    for path, name in ((point, "its root"), (point + "/some/where", "a path in it")):
        place.write("\nwatch %s { }\n" % path)
        started = time.monotonic()
        result = place.check(place.config)
        seconds = time.monotonic() - started
        s.check("enforce on FUSE is refused without waiting for it: %s" % name,
                result.rc == 2 and place.config + ":2: " in result.err and "use mode = observe" in result.err, result)
        s.check("at once: %s" % name, seconds < 1 + SLACK, seconds)
        s.check("the reader refuses it too: %s" % name, Reader(place.config).rc == 2)
    place.write("watch %s { mode = observe }\nwatch %s { }\n" % (point, place.watched))
    reader = Reader(place.config)
    s.check("observe there holds up no other watch", reader.rc == 0 and reader.roots() == [(1, place.watched)] and
            "does not answer" in reader.texts("LEASH_WATCH_WITHOUT")[0], reader.frames)
    s.check("for longer than it may", reader.seconds < 3 + SLACK, reader.seconds)
    more = [place.folder("remote%d" % i) for i in range(7)]
    for each in more:
        mount_fuse(place, each)
    place.write("".join("watch %s { mode = observe }\n" % each for each in more) + "watch %s { }\n" % place.watched)
    reader = Reader(place.config)
    s.check("seven of them take no longer than two", reader.rc == 0 and reader.roots() == [(7, place.watched)] and
            len(reader.of("LEASH_WATCH_WITHOUT")) == 7 and reader.seconds < 6 + SLACK, (reader.seconds, reader.frames))
    place.write("watch %s { }\n" % place.fs)
    reader = Reader(place.config)
    s.check("FUSE below a watch is left out, and said",
            reader.rc == 0 and reader.roots() == [(0, place.fs)] and
            place.fs + "/remote" in reader.texts("LEASH_WATCH_WITHOUT")[0] and "fuse" in reader.texts("LEASH_WATCH_WITHOUT")[0], reader.frames)
    result = place.check(place.config)
    s.check("check warns of it", result.rc == 1 and "not all of it" in result.out, result)


@suite.test("files that are not trusted")
def _(s):
    place = Place()
    good = "watch %s { }\n" % place.watched

    def refused(name, path, words):
        result, reader = place.check(path), Reader(path)
        s.check("%s is refused, with the remedy" % name, result.rc == 2 and words in result.err, result)
        s.check("by the reader too: %s" % name, reader.rc == 2 and words in " ".join(reader.texts()), reader.frames)

    place.write(good)
    s.check("control: the same policy is taken", place.check(place.config).rc == 0)
    os.chmod(place.config, 0o646)
    refused("a policy that others may write", place.config, "chmod go-w")
    os.chmod(place.config, 0o664)
    os.chown(place.config, 0, 65534)
    refused("a policy that a group may write", place.config, "chmod go-w")
    os.chmod(place.config, 0o644)
    os.chown(place.config, 65534, 0)
    refused("a policy of another user", place.config, "chown root")
    os.chown(place.config, 0, 0)
    refused("a folder", place.base + "/etc", "not a regular file")
    os.mkfifo(place.base + "/fifo")
    refused("a pipe", place.base + "/fifo", "not a regular file")
    refused("a policy that is not there", place.base + "/nowhere", "write the policy there")
    place.write(good + "#" * (1 << 20), place.base + "/large")
    refused("a policy larger than 1M", place.base + "/large", "shorten it")

    drop_ins = place.config + ".d"
    os.mkdir(drop_ins)
    place.write("watch %s/b { }\n" % place.fs, drop_ins + "/20-b.conf")
    place.write("watch %s/a { }\n" % place.fs, drop_ins + "/10-a.conf")
    place.write("broken", drop_ins + "/30-c.conf~")
    place.write("broken", drop_ins + "/.hidden.conf")
    rc, found = place.object(place.config)
    s.check("drop-ins are read by name, and only *.conf",
            [w["policy"] for w in found["watches"]] == [place.config + ":1", drop_ins + "/10-a.conf:1", drop_ins + "/20-b.conf:1"],
            found)
    place.write("\n\nwatch %s { }\n" % place.watched, drop_ins + "/20-b.conf")
    refused("a watch repeated in a drop-in", place.config, drop_ins + "/20-b.conf:3: the watch \"%s\" is repeated (first in %s:1)" % (
        place.watched, place.config))
    os.unlink(drop_ins + "/20-b.conf")
    os.chmod(drop_ins + "/10-a.conf", 0o666)
    refused("a drop-in that others may write", place.config, "chmod go-w")
    os.chmod(drop_ins + "/10-a.conf", 0o644)
    os.chmod(drop_ins, 0o777)
    refused("a folder of drop-ins that others may write", place.config, "chmod go-w")
    os.chmod(drop_ins, 0o755)
    for i in range(40):
        place.write("", "%s/x%d.conf" % (drop_ins, i))
    refused("more files than there may be", place.config, "32 is the limit")


@suite.test("Postfix's limit")
def _(s):
    place = Place()
    place.write("watch %s { }\nscanner { max-file-size = 10M }\n" % place.watched)

    def with_postconf(script):
        path = place.base + "/bin/postconf"
        with open(path, "w") as f:
            f.write("#!/bin/sh\n" + script)
        os.chmod(path, 0o755)
        started = time.monotonic()
        result = place.check(place.config, env={"PATH": place.base + "/bin:/usr/bin:/bin"})
        return result, time.monotonic() - started

    result, _ = with_postconf('[ "$*" = "-h message_size_limit mailbox_size_limit virtual_mailbox_limit" ] && echo 10240000\n')
    s.check("a limit below max-file-size is fine", result.rc == 0 and "warning" not in result.out, result)
    result, _ = with_postconf("echo 10485761\n")
    s.check("one byte above it is a warning with both numbers",
            result.rc == 1 and "10485761" in result.out and "10485760" in result.out and "raise max-file-size" in result.out, result)
    result, _ = with_postconf("echo 0\n")
    s.check("no limit is a warning", result.rc == 1 and "any size" in result.out, result)
    for name, script in (("fails", "exit 1\n"), ("says nonsense", "echo yes\n"), ("says nothing", "exit 0\n")):
        result, _ = with_postconf(script)
        s.check("a postconf that %s is said" % name, result.rc == 0 and "did not tell" in result.out, result)
    result, seconds = with_postconf("echo noise >&2\nexec sleep 60\n")
    s.check("a postconf that hangs is left after five seconds",
            result.rc == 0 and "did not tell" in result.out and seconds < 5.6 + SLACK, (seconds, result))
    s.check("what it writes to standard error does not show", "noise" not in result.err, result)
    place.write("watch %s { }\n\nscanner {\n max-file-size = 10M\n max-scan-size = 15M\n}\n" % place.watched)
    result, _ = with_postconf("echo 10485761\n")
    s.check("the warning names the line of max-file-size", place.config + ":4: " in result.out, result)
    result, _ = with_postconf("echo 10000000\n")
    s.check("a message whose parts together are above max-scan-size is a warning",
            result.rc == 1 and "17500000" in result.out and "raise max-scan-size" in result.out, result)
    place.write("watch %s { store = mbox }\nscanner { max-file-size = 10M }\n" % place.watched)
    result, _ = with_postconf("printf '1024\\n0\\n51200000\\n'\n")
    s.check("mbox files that grow beyond it are warnings", result.rc == 1 and "mailbox_size_limit = 0" in result.out and
            "virtual_mailbox_limit" in result.out, result)
    rc, found = place.object(place.config, env={"PATH": place.base + "/bin:/usr/bin:/bin"})
    s.check("--json has the limits", found["message_size_limit"] == 1024 and found["limits"]["mailbox_size_limit"] == 0, found)
    result, _ = with_postconf("yes\n")
    s.check("a postconf that does not end its output is left", result.rc == 0 and "did not tell" in result.out, result)
    place.write("watch %s { }\nscanner { max-file-size = 10M }\n" % place.watched)
    os.unlink(place.base + "/bin/postconf")
    if os.path.exists("/usr/sbin/postconf"):
        nothing = place.base + "/nothing"
        open(nothing, "w").close()
        place.mount("--bind", nothing, "/usr/sbin/postconf")
    result = place.check(place.config, env={"PATH": place.base + "/bin"})
    s.check("no postconf is said", result.rc == 0 and "postconf is not here" in result.out, result)


@suite.test("what check prints")
def _(s):
    place = Place()
    odd = place.folder("a b\033[31m\u202e")
    place.write("watch %s {\n store = maildir\n on-error = allow\n deadline = 250ms\n}\nwatch %s/off { mode = off }\n"
                "mail-software postfix { roots = { \"/bin/sh\" } }\n"
                "watch %s {\n origin = mail\n exec = never\n}\n" %
                (place.watched, place.fs, place.folder("w")))
    result = place.check(place.config)
    lines = result.out.splitlines()
    s.check("a row for each watch, with its answers and the lines that decide",
            lines[1].split() == [place.watched, "maildir", "enforce", "any", "scan", "250ms", "quarantine", "deny", "quarantine", "allow",
                                 "allow:3", "deny", "report", "report", "quarantine", "report", "report", "quarantine", "cached", "on-open",
                                 place.config + ":1"], result)
    s.check("origin and exec too", lines[3].split()[1:6] == ["files", "enforce", "mail:9", "never:10", "5s"], result)
    s.check("and what a stop does", "\non-stop: hold" in result.out, result)
    s.check("a title over each column", lines[0].split() == "PATH STORE MODE ORIGIN EXEC DEADLINE INFECTED TIMEOUT LIMIT "
            "ENCRYPTED ERROR DOWN MACRO BROKEN PHISHING UNWANTED OTHER TYPE MARKS RECHECK POLICY".split(), lines[0])
    result = suite.run([TOOL, "--no-header", "check", place.config])
    s.check("--no-header leaves the titles out", result.out.startswith(place.watched), result)
    rc, found = place.object(place.config)
    watch = found["watches"][0]
    s.check("--json has the same",
            rc == 0 and watch["store"] == "maildir" and watch["deadline_ms"] == 250 and watch["covered"] is True and
            watch["file_system"] == "tmpfs" and watch["answers"]["error"] == {
                "answer": "allow", "policy": place.config + ":3", "default": False} and
            watch["answers"]["down"] == {"answer": "deny", "policy": place.config + ":1", "default": True}, watch)
    s.check("a watch that is off is no warning", found["warnings"] == [] and found["watches"][1]["mode"] == "off", found)
    s.check("--json has the blocks mail-software", found["mail_software"] == [
        {"name": "postfix", "roots": ["/bin/sh"], "policy": place.config + ":7"}], found)
    s.check("--json has origin, exec and on-stop", found["on_stop"] == "hold" and
            [(w["origin"], w["exec"]) for w in found["watches"]] == [("any", "scan"), ("any", "scan"), ("mail", "never")], found)
    place.write("on-stop = release\n\nmail-software a { roots = { \"/bin/sh\", \"/no/such/program\" } }\n")
    result = place.check(place.config)
    s.check("a root that is not there is a warning with its line",
            result.rc == 1 and place.config + ":3: " in result.out and "\"/no/such/program\" labels nobody now" in result.out and
            "/bin/sh" not in result.out, result)
    s.check("release is shown", "\non-stop: release" in result.out and place.object(place.config)[1]["on_stop"] == "release", result)
    place.write("mail-software a { roots = { \"/etc\", \"/etc/passwd\" } }\n")
    result = place.check(place.config)
    s.check("nor is a folder or a text a program", result.rc == 1 and result.out.count("it is no program") == 2, result)
    os.rmdir(odd)
    odd = place.folder("a b\u202eexe")
    place.write("watch \"%s\" { }\n" % odd)
    result = place.check(place.config)
    s.check("a hostile path forges neither a column nor a direction",
            result.rc == 0 and len(result.out.splitlines()[1].split()) == 21 and "\u202e" not in result.out, result)
    result = suite.run([TOOL, "check", place.config, "more"])
    s.check("two files are a usage error", result.rc == 2, result)
    result = suite.run([TOOL, "--runtime-dir", place.base, "check"])
    s.check("without a file and a daemon it is the default policy", "/etc/mailward/mailward.conf" in result.out + result.err, result)


@suite.test("the example and the man page")
def _(s):
    place = Place()
    with open(os.path.join(ROOT, "daemon", "mailward.conf.example")) as f:
        example = f.read()
    for path in re.findall(r'^watch "(.*?)"', example, re.M):
        os.makedirs(place.fs + path)
    roots = re.findall(r'"(/usr/[^"]*)"', example)
    for path in roots:  # they need not be installed here
        os.makedirs(os.path.dirname(place.fs + path), exist_ok=True)
        place.write("#!/bin/sh\n", place.fs + path, 0o755)
    example = example.replace('"/usr/', '"%s/usr/' % place.fs)
    place.write(re.sub(r'^watch "', 'watch "' + place.fs, example, flags=re.M))
    result, reader = place.check(place.config, env={"PATH": "/nowhere"}), Reader(place.config)
    s.check("the example loads without a warning", result.rc == 0 and "maildir" in result.out, result)
    s.check("and each of its watches has its root", reader.rc == 0 and len(reader.roots()) == 4, reader.frames)
    with open(os.path.join(ROOT, "daemon", "mailward.conf.5")) as f:
        page = f.read()
    words = [w for w in place.check(place.write("x = y\n")).err.split("known here: ")[1].split("\n")[0].split(", ")]
    for block in ("watch /v { x = y }", "scanner { x = y }", "mail-software a { x = y }", "attachments { x = y }"):
        words += place.check(place.write(block)).err.split("known here: ")[1].split("\n")[0].split(", ")
    missing = [w for w in words if w not in page]
    s.check("the man page has every word", len(words) > 20 and not missing, missing)
    if shutil.which("groff"):
        result = suite.run(["groff", "-t", "-man", "-ww", "-Tascii", "-z", os.path.join(ROOT, "daemon", "mailward.conf.5")])
        s.check("groff has nothing against the man page", result.rc == 0 and not result.err, result)


suite.main()
