# SPDX-License-Identifier: GPL-2.0-only
"""Other ways to the same file: mount namespaces, bind mounts, chroots, overlays, long and hostile names. Each also as
the first open of that file that the kernel has ever seen (fresh file, caches dropped where the file system has them)."""
import atexit
import errno
import json
import os
import shutil
import subprocess

from harness import CLEAN, EICAR, MARKER, SLACK, Failure, Host, Suite, drop_caches, eventually, helper

suite = Suite("places")
NOBODY = 65534

# Each place: a shell script that opens $FILE ($REL below $DIR) with $PROBE on its own way; the last line's exit code.
PLACES = {
    "another mount namespace": 'exec unshare -m --propagation private "$PROBE" open "$DIR/$REL"',
    "a bind mount": 'mkdir -p "$TMP/b"; mount --bind "$DIR" "$TMP/b"; exec "$PROBE" open "$TMP/b/$REL"',
    "a bind mount of the file": ': > "$TMP/f"; mount --bind "$DIR/$REL" "$TMP/f"; exec "$PROBE" open "$TMP/f"',
    "a bind mount where the watched path is gone":
        'mkdir -p "$TMP/b"; mount --bind "$DIR" "$TMP/b"; umount -l "$FS"; exec "$PROBE" open "$TMP/b/$REL"',
    "a path covered by another mount":
        'mkdir -p "$TMP/b"; mount --bind "$DIR" "$TMP/b"; mount -t tmpfs none "$DIR"; exec "$PROBE" open "$TMP/b/$REL"',
    "a chroot": 'exec "$PROBE" --chroot "$DIR" open "/$REL"',
    "a chroot above": 'exec "$PROBE" --chroot "$FS" open "/in/$REL"',
    "a relative path": 'exec "$PROBE" --cd "$DIR" open "$REL"',
    "a symbolic link": 'ln -s "$DIR/$REL" "$TMP/l"; exec "$PROBE" open "$TMP/l"',
    "a symbolic link inside": 'ln -s "$REL" "$DIR/l-$NUMBER"; exec "$PROBE" open "$DIR/l-$NUMBER"',
    "an overlay of root": 'mkdir "$TMP/u" "$TMP/w" "$TMP/m"; mount -t overlay -o '
        '"lowerdir=$DIR,upperdir=$TMP/u,workdir=$TMP/w" o "$TMP/m"; exec "$PROBE" open "$TMP/m/$REL"',
    "a read-only overlay": 'mkdir "$TMP/e" "$TMP/m"; mount -t overlay -o "lowerdir=$DIR:$TMP/e" o "$TMP/m"; '
        'exec "$PROBE" open "$TMP/m/$REL"',
}
# The same as nobody, in a user namespace that nobody may make.
UNPRIVILEGED = {
    "an overlay made in an unprivileged user namespace":
        'mount -t tmpfs none "$TMP"; mkdir "$TMP/u" "$TMP/w" "$TMP/m"; mount -t overlay -o '
        '"userxattr,lowerdir=$DIR,upperdir=$TMP/u,workdir=$TMP/w" o "$TMP/m"; exec "$PROBE" open "$TMP/m/$REL"',
    "an overlay whose path lies":  # it shows a path outside of every watch
        'mount -t tmpfs none "$TMP"; mkdir -p "$TMP/u" "$TMP/w" "$TMP$OUT"; mount -t overlay -o '
        '"userxattr,lowerdir=$DIR,upperdir=$TMP/u,workdir=$TMP/w" o "$TMP$OUT"; '
        'exec "$PROBE" --chroot "$TMP" open "$OUT/$REL"',
    "a bind mount in an unprivileged user namespace":
        'mount -t tmpfs none "$TMP"; mkdir "$TMP/b"; mount --rbind "$DIR" "$TMP/b"; exec "$PROBE" open "$TMP/b/$REL"',
}


class Place:
    number = 0

    def __init__(self, host, name):
        self.host, self.name = host, name
        self.script = PLACES.get(name) or UNPRIVILEGED[name]

    def open(self, rel):
        """-> Result of the probe; everything it mounted is gone with its namespace."""
        Place.number += 1
        temporary = "%s/place" % self.host.base
        shutil.rmtree(temporary, ignore_errors=True)
        os.mkdir(temporary, 0o777)
        os.chmod(temporary, 0o777)
        static = static_probe()
        where = dict(os.environ, PROBE=static, DIR=self.host.watched, REL=rel, FS=self.host.fs, TMP=temporary,
                     OUT=self.host.outside, NUMBER="%d-%d" % (os.getpid(), Place.number))
        before = ["unshare", "-m", "--propagation", "private"]
        if self.name in UNPRIVILEGED:
            before = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "unshare", "-Urm",
                      "--propagation", "private"]
        return self.host.suite.run(before + ["sh", "-ec", self.script], env=where)


def static_probe():
    """The probe where nobody may run it too, and where a chroot doesn't hide its libraries: it is open already."""
    path = "/tmp/mailward-probe-%d" % os.getpid()
    if not os.path.exists(path):
        shutil.copy(helper("probe"), path)
        os.chmod(path, 0o755)
        suite_end.append(path)
    return path


suite_end = []


@suite.test("places")
def _(suite):
    for kind in ("tmpfs", "ext4"):
        with Host(suite, kind) as host:
            os.chmod(host.base, 0o755)
            tried = []
            for number, name in enumerate(list(PLACES) + list(UNPRIVILEGED)):
                for what, content in (("first", MARKER), ("known", MARKER), ("clean", CLEAN)):
                    host.put("%s-%d" % (what, number), content + b"\n%d %s" % (number, what.encode()))
                control = Place(host, name).open("first-%d" % number)
                if control.rc != 0:
                    suite.skip("%s on %s" % (name, kind), "it can't be made here: %s" % control.err[-200:].strip())
                    continue
                suite.check("control: %s on %s shows the infected file without the guard" % (name, kind),
                            control.bytes > 0, control)
                tried.append((number, name))
            drop_caches()
            host.start()
            total = 0
            for number, name in tried:
                place = Place(host, name)
                first = place.open("first-%d" % number)
                suite.check("%s on %s, as the first open ever, is denied" % (name, kind),
                            first.rc == 1 and "open: denied" in first.out, first)
                inside = host.probe("open", host.watched + "/known-%d" % number)
                known = place.open("known-%d" % number)
                suite.check("%s on %s, after it was denied by its own name, is denied" % (name, kind),
                            inside.rc == 1 and known.rc == 1 and "open: denied" in known.out, (inside, known))
                clean = place.open("clean-%d" % number)
                suite.check("%s on %s shows a clean file" % (name, kind), clean.rc == 0 and clean.bytes > 0, clean)
                total += first.bytes + known.bytes
            suite.check("bytes of infected files read in other places on %s: 0" % kind, total == 0, total)
            rows = host.blocked()
            paths = {r["path"] for r in rows}
            suite.check("the record names the file by its true path, wherever it was opened, on %s" % kind,
                        all(host.watched + "/first-%d" % number in paths for number, name in tried),
                        [name for number, name in tried if host.watched + "/first-%d" % number not in paths])


@suite.test("a watched overlay through another mount")
def _(suite):
    """Its files have other device numbers than its folders, where its layers lie on two file systems."""
    for kind in ("overlay", "overlay-export"):
        with Host(suite, kind) as host:
            other = host.base + "/other"
            os.mkdir(other)
            host.mount("--bind", host.watched, other)
            for name, content in (("first", MARKER), ("known", MARKER), ("good", CLEAN)):
                host.put(name, content + name.encode())
            suite.check("control: a file of a watched %s is read through a bind mount without the guard" % kind,
                        host.read(other + "/first"))
            host.start()
            suite.check("a file of a watched %s is denied through a bind mount, as its first open" % kind,
                        host.read(other + "/first") is None)
            suite.check("a file of a watched %s is denied through a bind mount, after it was denied by its own name" % kind,
                        host.read(host.watched + "/known") is None and host.read(other + "/known") is None)
            suite.check("a clean file of a watched %s is read through a bind mount" % kind, host.read(other + "/good"))
            result = suite.run(["unshare", "-m", "--propagation", "private", helper("probe"), "open",
                                host.watched + "/first"])
            suite.check("a file of a watched %s is denied in another mount namespace" % kind, result.rc == 1, result)


@suite.test("a mount below the watch")
def _(suite):
    with Host(suite) as host:
        below = host.watched + "/below"
        os.mkdir(below)
        host.mount("-t", "tmpfs", "mailward-below", below)
        bad, good = host.put("below/bad", MARKER), host.put("below/good", CLEAN)
        suite.check("control: a file on a mount below the watch is read without the guard", host.read(bad))
        host.start()
        suite.check("a file on a mount below the watch is denied", host.read(bad) is None)
        suite.check("a clean file on a mount below the watch is allowed", host.read(good) == CLEAN)


@suite.test("a watched path that appears later")
def _(suite):
    with Host(suite) as host:
        late = host.fs + "/late"
        host.policy(host.watch(), host.watch(late))
        host.start()
        covered = lambda: next(w for w in host.status()["watches"] if w["path"] == late)["covered"]
        watch = next(w for w in host.status()["watches"] if w["path"] == late)
        rc, _ = host.tool("status")
        suite.check("a watch whose path does not exist is told: covered no, status 1",
                    watch["covered"] == "no" and watch["why"] and rc == 1, (watch, rc))
        os.mkdir(late)
        bad = host.put("bad", MARKER, late)
        suite.check("it is taken up when it appears", eventually(
            lambda: covered() == "yes", 20),
            host.status()["watches"])
        suite.check("and then guarded", eventually(lambda: host.read(bad) is None, 3 + SLACK))
        os.rename(late, host.fs + "/gone")
        os.mkdir(late)
        fresh = host.put("bad-too", MARKER, late)
        suite.check("a folder that takes the place of one that was renamed away is guarded",
                    eventually(lambda: host.read(fresh) is None, 10))
        os.unlink(fresh)

        def removed():
            """Not while a selftest has its canary there."""
            try:
                os.rmdir(late)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
            return not os.path.exists(late)
        suite.check("control: the folder is empty but for what a selftest puts there for a moment", eventually(removed, 10),
                    os.path.exists(late) and os.listdir(late))
        suite.check("a watch whose folder was removed is told", eventually(
            lambda: covered() == "no", 20),
            host.status()["watches"])


@suite.test("paths over 4096 bytes")
def _(suite):
    for kind in ("tmpfs", "ext4"):
        with Host(suite, kind) as host:
            part = "d" * 200

            def make(top, depth):
                os.mkdir(top)
                fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
                for _ in range(depth):
                    os.mkdir(part, dir_fd=fd)
                    below = os.open(part, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
                    os.close(fd)
                    fd = below
                for name, content in (("bad", MARKER), ("good", CLEAN)):
                    file = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)
                    os.write(file, content + top.encode())
                    os.close(file)
                os.close(fd)
                return "/".join([top] + [part] * depth)

            first = make(host.watched + "/before", 30)
            control = make(host.outside + "/before", 30)
            got = host.probe("--walk", "open", first + "/bad")
            suite.check("control: a file below 6,000 bytes of path is read without the guard on %s" % kind,
                        got.rc == 0 and got.bytes > 0, got)
            drop_caches()
            host.start()
            second = make(host.watched + "/after", 30)
            for name, folder in (("made before the start", first), ("made after it", second)):
                got = host.probe("--walk", "open", folder + "/bad")
                suite.check("a file below 6,000 bytes of path, %s, is denied on %s" % (name, kind), got.rc == 1, got)
                got = host.probe("--walk", "open", folder + "/good")
                suite.check("a clean file below 6,000 bytes of path, %s, is allowed on %s" % (name, kind),
                            got.rc == 0, got)
            got = host.probe("--walk", "open", control + "/good")
            suite.check("a clean file outside the watch, below 6,000 bytes of path, is allowed on %s" % kind,
                        got.rc == 0, got)
            rows = eventually(lambda: [r for r in host.blocked() if r["verdict"] == "infected"], 5)
            suite.check("the record tells which file it was, though its path is too long to be told, on %s" % kind,
                        rows and all(r["path"] or "inode" in r.get("detail", "") for r in rows), rows)


HOSTILE = b"evil\n2026-01-01T00:00:00Z  open  allow  clean\x1b[2J\x1b]0;owned\x07\r\xff\xfe\xc0\xaf'\"\\ \t{}"


@suite.test("a file name of hostile bytes")
def _(suite):
    with Host(suite) as host:
        folder = os.fsencode(host.watched)
        path = os.path.join(folder, HOSTILE)
        with open(path, "wb") as f:
            f.write(EICAR)
        suite.check("control: the file is read without the guard", host.read(path) == EICAR)
        host.start()
        suite.check("a file with a hostile name is denied", host.read(path) is None)
        raw = lambda *args: subprocess.run([host.programs + "/mailward", "--runtime-dir", host.runtime, "--state-dir",
                                            host.state] + list(args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                           timeout=10).stdout
        host.wait("a row", lambda: len(raw("blocked", "--no-header").splitlines()) >= 1, 5)
        for args in (("blocked",), ("blocked", "--no-header"), ("blocked", "--json"), ("status",), ("explain", path),
                     ("explain", path, "--json"), ("blocked", "--path", path)):
            text = raw(*args)
            name = b" ".join(a if isinstance(a, bytes) and a != path else b"PATH" if a == path else a.encode()
                             for a in args).decode()
            suite.check("`%s` prints no control byte of a file name" % name,
                        not any(b < 32 and b != 10 or b == 127 for b in text), text[:300])
            suite.check("`%s` is valid UTF-8" % name, is_utf8(text), text[:300])
            suite.check("a newline in a file name forges no line of `%s`" % name,
                        not any(line.lstrip().startswith(b"2026-01-01T00:00:00Z  open  allow")
                                for line in text.splitlines()), text[:300])
        lines = raw("blocked", "--no-header").splitlines()
        suite.check("one denial is one line", len(lines) == 1, lines)
        row = json.loads(raw("blocked", "--json").splitlines()[0])
        suite.check("path shows hostile bytes as \\xNN", "\\x0a" in row["path"].lower() and "\\x1b" in row["path"].lower()
                    and "\\xff" in row["path"].lower(), row["path"])
        suite.check("path_hex holds all of it", bytes.fromhex(row["path_hex"]) == path, row["path_hex"])
        plain = host.put("plain name äöü", EICAR)
        host.read(plain)
        row = host.wait("its row", lambda: [r for r in host.blocked() if "plain" in r["path"]], 5)[0]
        suite.check("a name of valid UTF-8 is literal", row["path"] == plain, row["path"])
        suite.check("the log is valid UTF-8 without control bytes",
                    not any(ord(c) < 32 and c != "\n" for c in host.log()), host.log()[-300:])


def is_utf8(text):
    try:
        text.decode()
        return True
    except UnicodeDecodeError:
        return False


@suite.test("refuses the file system of /")
def _(suite):
    """In a chroot whose `/` is a tmpfs of the test: the machine's own `/` is never at stake, whatever the daemon does."""
    with Host(suite) as host:
        root = host.base + "/root"
        os.mkdir(root)
        host.mount("-t", "tmpfs", "-o", "mode=0755", "mailward-root", root)
        for name in ("usr", "bin", "lib", "lib64", "sbin", "etc"):
            if os.path.isdir("/" + name):
                os.mkdir(root + "/" + name)
                host.mount("--bind", "/" + name, root + "/" + name)
        for name in ("proc", "sys", "dev", "mailward", "run", "state", "definitions", "spool", "build", "etc2", "fs2"):
            os.mkdir(root + "/" + name)
        host.mount("-t", "proc", "proc", root + "/proc")
        host.mount("--rbind", "/dev", root + "/dev")
        host.mount("--bind", os.path.realpath(host.programs), root + "/build")
        for name, source in (("run", host.runtime), ("state", host.state), ("definitions", host.definitions)):
            host.mount("--bind", source, root + "/" + name)
        host.mount("--bind", host.base + "/etc", root + "/etc2")
        if os.stat(root).st_dev == os.stat("/").st_dev:
            raise Failure("the root of the chroot is not a file system of the test")
        bad = host.put("bad", MARKER, root + "/spool")
        argv = ["chroot", root, "/build/mailwardd", "--config", "/etc2/mailward.conf", "--runtime-dir", "/run",
                "--state-dir", "/state", "--definitions", "/definitions", "--foreground"]
        host.write_policy(host.watch("/spool"))
        result = suite.run(argv, timeout=10)
        suite.check("a watch on the file system of / ends the start with an error", result.rc not in (0, 124), result)
        suite.check("one line says why, and the word that allows it", "allow-root-filesystem" in result.err + result.out,
                    result.err + result.out)
        suite.check("and no mark was set: the file opens", host.read(bad))
        host.write_policy("allow-root-filesystem = yes\n" + host.watch("/spool"))
        host.daemon = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=open(host.base + "/logs/daemon.log", "wb"), start_new_session=True)
        suite.track(host.daemon.pid)
        suite.check("control: with the word it starts and guards", eventually(
            lambda: host.daemon.poll() is None and host.tool("status")[0] in (0, 1) and host.read(bad) is None, 30),
            host.log()[-400:])
        inside = suite.run(["chroot", root, "/build/mailward", "--runtime-dir", "/run", "status"], timeout=10)
        suite.check("status answers in a system whose / is watched", inside.rc in (0, 1), inside)
        host.stop()


atexit.register(lambda: [os.unlink(p) for p in suite_end if os.path.exists(p)])
suite.main()
