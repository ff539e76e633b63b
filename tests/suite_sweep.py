#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Sweeps: mailward scan and the daily one. What they find, what they never follow or open, how they go on after a stop,
and that nobody waits for them.

invariants: never-two-valued, answered-in-time
"""
import ctypes
import io
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import zipfile

from harness import BUILD, CLEAN, EICAR, MARKER, SLACK, TESTS, Host, Suite, eventually, session_members

suite = Suite("sweep", limit=420)


def scan(host, *arguments, json_too=True, timeout=60):
    """(exit code, findings by path, summary); the tool's own words where it has no JSON."""
    rc, text = host.tool("scan", *(("--json",) if json_too else ()), *arguments, timeout=timeout)
    rows = []
    for line in text.splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            rows.append({"kind": "words", "text": line})
    findings = {row["path"]: row for row in rows if row["kind"] == "finding"}
    summary = next((row for row in rows if row["kind"] == "summary"), {})
    return rc, findings, summary if summary else {"words": text}


def popen_scan(host, *arguments, **more):
    """As a process of its own, for what is stopped half-way."""
    return suite.popen([os.path.join(BUILD, "mailward"), "--runtime-dir", host.base + "/run", "--state-dir",
                        host.base + "/state", "scan", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


def in_minutes(minutes):
    return time.strftime("%H:%M", time.localtime(time.time() + 60 * minutes))


@suite.test("the daily sweep")
def _(suite):
    """At the time that the policy names, of watches and paths; its results in status."""
    with Host(suite, "ext4") as host:
        watched = host.put("mail/bad", MARKER)
        aside = host.put("aside/bad", EICAR, host.outside)
        host.put("elsewhere/bad", EICAR, host.outside)
        host.put("mail/clean", CLEAN)
        host.policy(host.watch(), "schedule { sweep = never }")
        host.start()
        suite.check("schedule: control: never means that none is planned",
                    host.status()["sweeps"]["schedule"]["next"] == "", host.status()["sweeps"])
        host.policy(host.watch(), "")
        host.tool("reload")
        planned = host.wait("one is planned", lambda: host.status()["sweeps"]["schedule"]["next"])
        at = time.strptime(planned, "%Y-%m-%dT%H:%M:%SZ")
        import calendar
        minute = time.localtime(calendar.timegm(at))
        suite.check("schedule: without the block it is at 03:00, and up to an hour later", minute.tm_hour == 3 or
                    (minute.tm_hour == 4 and minute.tm_min == 0), planned)
        when = in_minutes(1 if time.localtime().tm_sec < 54 else 2)
        silent = Silent(host, host.outside + "/silent") if os.path.exists("/dev/fuse") else None
        host.policy(host.watch(), 'schedule { sweep = "%s"  paths = { "%s", "%s" } }' % (
            when, host.outside + ("/silent" if silent else "/aside"), os.path.dirname(aside)))
        rc, text = host.tool("reload")
        suite.check("schedule: the policy is taken", rc == 0, text)
        if silent:
            silent.fall_silent()
        suite.check("schedule: control: nothing was swept before its time",
                    host.status()["sweeps"]["schedule"]["state"] == "never", host.status()["sweeps"])
        sweep = host.wait("the sweep has ended", lambda: host.status()["sweeps"]["schedule"]["state"] == "ended" and
                          host.status()["sweeps"]["schedule"], 140)
        suite.check("schedule: it begins at its minute", time.strftime("%H:%M", time.localtime(calendar.timegm(
            time.strptime(sweep["begun"], "%Y-%m-%dT%H:%M:%SZ")))) == when, (sweep, when))
        suite.check("schedule: a path whose file system has fallen silent is left out, and the log says so", not silent or
                    "silent is not swept: calls on its file system (fuse.tests) may never end" in host.log(), host.log()[-600:])
        suite.check("schedule: watches and paths were swept, nothing else", sweep["files"] == 3 and sweep["infected"] == 2, sweep)
        rows = host.wait("it is recorded", lambda: [r for r in host.blocked() if r.get("phase") == "sweep"])
        suite.check("schedule: what was found is in the history, with phase sweep",
                    sorted(r["path"] for r in rows) == sorted([watched, aside]), rows)
        suite.check("schedule: the next one is planned for tomorrow", sweep["next"] > sweep["ended"], sweep)
        rc, text = host.tool("status")
        suite.check("schedule: status shows it", re.search(r"sweep +schedule: ended .*3 files, 2 infected.*; next ", text), text)


@suite.test("a sweep that was missed, and one that was broken off")
def _(suite):
    with Host(suite, "ext4") as host:
        host.put("mail/bad", MARKER)
        host.put("mail/clean", CLEAN)
        aside = host.put("aside/bad", EICAR, host.outside)
        when = in_minutes(-180)
        host.policy(host.watch(), 'schedule { sweep = "%s"  paths = { "%s" } }' % (when, os.path.dirname(aside)))
        host.start()
        host.wait("its state is kept", lambda: os.path.exists(host.base + "/state/steward/sweep-schedule"))
        host.stop()
        with open(host.base + "/state/steward/sweep-schedule") as f:
            state = f.read()
        ended = time.time_ns() - 2 * 86400 * 10**9
        with open(host.base + "/state/steward/sweep-schedule", "w") as f:  # as the host left it two days ago
            f.write(re.sub(r"\nstate \d", "\nstate 3", re.sub(r"(begun|ended|known)_ns \d+", r"\1_ns %d" % ended, state)))
        host.start()
        started = time.time()
        first = host.status()["sweeps"]["schedule"]["ended"]
        sweep = host.wait("the missed one is caught up", lambda: host.status()["sweeps"]["schedule"]["ended"] > first and
                          host.status()["sweeps"]["schedule"], 120)
        suite.say("a missed one: %.0f s after the start" % (time.time() - started))
        suite.check("schedule: one that was missed is caught up soon after the start, once", time.time() - started > 50 and
                    sweep["state"] == "ended" and sweep["files"] == 3, sweep)
        host.stop()
        with open(host.base + "/state/steward/sweep-schedule") as f:
            state = f.read()
        with open(host.base + "/state/steward/sweep-schedule", "w") as f:  # as a stop in its second folder leaves it
            f.write(re.sub(r"\nroot \d+\n", "\nroot 1\n", re.sub(r"\nstate 3\n", "\nstate 1\n", state)))
        host.start()
        host.wait("it goes on", lambda: "sweep goes on" in host.log() and
                  host.status()["sweeps"]["schedule"]["state"] == "ended", 30)
        again = host.status()["sweeps"]["schedule"]
        suite.check("schedule: one that a stop broke off goes on at the next start, with the folders that are left",
                    again["begun"] == sweep["begun"] and again["files"] == sweep["files"] + 1, (sweep, again))


@suite.test("infected among clean")
def _(suite):
    with Host(suite, "ext4") as host:
        outside = host.outside
        for i in range(200):
            host.put("tree/%d/clean-%d" % (i % 7, i), CLEAN + b"%d" % i, outside)
            host.put("mail/%d/clean-%d" % (i % 7, i), CLEAN + b"mail %d" % i)
        bad = host.put("tree/3/deeper/bad", EICAR, outside)
        watched = host.put("mail/4/bad", MARKER)
        empty = host.put("tree/empty", b"", outside)
        host.start()
        suite.check("control: outside of the watch it can be read", host.read(bad) == EICAR)
        rc, found, summary = scan(host, outside + "/tree")
        suite.check("infected among clean is found, where no watch is", rc == 1 and list(found) == [bad], (rc, found, summary))
        suite.check("its row says what it is", found.get(bad, {}).get("signature", "").startswith("Mailward.Test") and
                    found[bad]["verdict"] == "infected" and found[bad]["action"] == "reported" and found[bad]["watch"] == "",
                    found)
        suite.check("every file was looked at", summary.get("files") == 202 and summary["infected"] == 1 and
                    summary["unscanned"] == 0 and summary["state"] == "ended", summary)
        suite.check("and is still there", host.read(bad) == EICAR and os.path.exists(empty))
        rc, found, summary = scan(host, host.watched)
        suite.check("infected among clean is found in a watch", rc == 1 and list(found) == [watched] and
                    found[watched]["action"] == "denied" and found[watched]["watch"] == host.watched and
                    ":" in found[watched]["policy"], (rc, found, summary))
        rows = [r for r in host.blocked() if r.get("phase") == "sweep"]
        suite.check("the history names both, with phase sweep", sorted(r["path"] for r in rows) == sorted([bad, watched]), rows)
        rc, found, summary = scan(host, outside + "/tree/0", watched[:-4] + "/clean-4")
        suite.check("clean folders and a single file end with 0", rc == 0 and not found and summary["files"] == 30, (rc, found, summary))
        rc, found, summary = scan(host, bad)
        suite.check("a single infected file ends with 1", rc == 1 and list(found) == [bad], (rc, found, summary))
        rc, text = host.tool("scan", outside + "/tree")
        suite.check("for people: one line for a finding, one at the end", rc == 1 and bad in text and
                    re.search(r"\n202 files, .*: 1 infected, 0 unscanned; 201 were known already", text), text)
        rc, text = host.tool("scan", outside + "/nothing")
        suite.check("a path that is not there: 2", rc == 2 and "nothing" in text, (rc, text))
        rc, text = host.tool("scan", "/dev/null")
        suite.check("a device: 2", rc == 2 and "neither" in text, (rc, text))
        rc, text = host.tool("scan")
        suite.check("no path: 2", rc == 2, (rc, text))
        rc, text = host.tool("scan", "--resume")
        suite.check("nothing to resume: 2", rc == 2 and "no scan" in text, (rc, text))
        host.stop()
        rc, text = host.tool("scan", outside)
        suite.check("no daemon: 3", rc == 3, (rc, text))


@suite.test("hostile names")
def _(suite):
    """Names that are no text, that forge lines and columns, and a path that is longer than 4095 bytes."""
    with Host(suite, "ext4") as host:
        folder = os.path.join(host.outside, "names").encode()
        os.mkdir(folder)
        names = [b"line\nbreak", b"\x1b[31mred", b"\xff\xfe", b"a b", b"-rf", b"--all", b"\\x41", b"'\"$(id)", "ﬁle‮gpj".encode(),
                 b"x" * 255]
        for name in names:
            with open(folder + b"/" + name, "wb") as f:
                f.write(MARKER)
        deep = os.open(folder, os.O_RDONLY)
        for _ in range(30):  # 30 x 200 bytes: no path of it is short enough to be told
            os.mkdir(b"d" * 200, dir_fd=deep)
            deeper = os.open(b"d" * 200, os.O_RDONLY, dir_fd=deep)
            os.close(deep)
            deep = deeper
        with open(os.open("bad", os.O_WRONLY | os.O_CREAT, dir_fd=deep), "wb") as f:
            f.write(MARKER)
        os.close(deep)
        host.start()
        rc, found, summary = scan(host, folder.decode())
        got = {bytes.fromhex(row["path_hex"]) for row in found.values() if row["verdict"] == "infected"}
        suite.check("hostile names: each is found, byte by byte", got == {folder + b"/" + name for name in names},
                    (rc, sorted(got), summary))
        suite.check("hostile names: what has too long a path is said to be unreadable", summary.get("unreadable") == 1 and
                    any("longer than 4095" in row["detail"] for row in found.values()), (summary, found))
        rc, text = host.tool("scan", folder.decode())
        suite.check("hostile names: none forges a line or a colour", "\x1b" not in text and
                    len(text.splitlines()) == len(names) + 3, text)


@suite.test("links and other traps")
def _(suite):
    with Host(suite, "ext4") as host:
        tree, away = host.outside + "/tree", host.outside + "/away"
        bad = host.put("away/bad", EICAR, host.outside)
        host.put("tree/clean", CLEAN, host.outside)
        os.symlink("/", tree + "/to-the-root")
        os.symlink(away, tree + "/to-a-folder")
        os.symlink(bad, tree + "/to-a-file")
        os.symlink(".", tree + "/to-itself")
        os.mkfifo(tree + "/pipe")
        os.mknod(tree + "/device", 0o20600, os.makedev(1, 5))  # /dev/zero: a read would never end
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(tree + "/socket")
        os.mkdir(tree + "/loop")
        suite.run(["mount", "--bind", tree, tree + "/loop"])
        os.mkdir(tree + "/other")
        suite.run(["mount", "-t", "tmpfs", "tmpfs", tree + "/other"])
        suite.at_end(lambda: [suite.run(["umount", "-l", tree + "/" + name]) for name in ("loop", "other", "proc")])
        mounted = host.put("other/bad", MARKER, tree)
        os.mkdir(tree + "/proc")
        suite.run(["mount", "-t", "proc", "proc", tree + "/proc"])
        host.start()
        suite.check("control: the links lead to something infected", open(tree + "/to-a-file", "rb").read() == EICAR)
        rc, found, summary = scan(host, tree)
        suite.check("links: none is followed, nothing but a file is opened", rc == 0 and not found and
                    summary.get("files") == 1, (rc, found, summary))
        suite.check("links: mount points below are left out, and counted", summary.get("mounts") == 3, summary)
        rc, found, summary = scan(host, "--mounts", tree)
        suite.check("--mounts enters them; a loop of bind mounts is left, and /proc is never read", rc == 1 and
                    list(found) == [mounted] and summary.get("files") == 2, (rc, found, summary))
        rc, found, summary = scan(host, tree + "/to-a-folder")
        suite.check("a link that is named itself is followed", rc == 1 and list(found) == [bad], (rc, found, summary))
        os.chmod(away, 0)
        rc, found, summary = scan(host, away)
        suite.check("a folder that its owner has shut is no hiding place", rc == 1 and list(found) == [bad], (rc, found, summary))
        rc, found, summary = scan(host, tree + "/proc")
        suite.check("/proc itself: nothing is read", summary.get("files") == 0, (rc, found, summary))
        before = os.stat(bad).st_atime_ns
        scan(host, "--all", away)
        suite.check("a sweep leaves the time of access alone", os.stat(bad).st_atime_ns == before)


class Silent:
    """A file system of tests/fuse_server.py on `point`, with an infected file in it; .fall_silent()."""

    def __init__(self, host, point):
        os.makedirs(point, exist_ok=True)
        self.word = host.base + "/silent"
        with open(host.base + "/content", "wb") as f:
            f.write(EICAR)
        self.server = suite.popen(["/usr/bin/python3", os.path.join(TESTS, "fuse_server.py"), point, self.word],
                                  stdin=open(host.base + "/content", "rb"), stdout=subprocess.PIPE)
        suite.at_end(lambda: suite.run(["umount", "-l", point]))
        suite.at_end(self.server.kill)
        if self.server.stdout.readline() != b"ready\n":
            raise RuntimeError("no file system of the tests' own")

    def fall_silent(self):
        with open(self.word, "w"):
            pass


@suite.test("a file system that falls silent")
def _(suite):
    """Whoever touches it waits without end; so no sweep does, and nobody waits for one that would."""
    if not os.path.exists("/dev/fuse"):
        suite.skip("a file system that falls silent", "there is no /dev/fuse")
        return
    with Host(suite, "ext4") as host:
        tree, far = host.outside + "/tree", host.outside + "/tree/far"
        bad = host.put("tree/near/bad", EICAR, host.outside)
        silent = Silent(host, far)
        suite.check("silent: control: it can be read", open(far + "/bad", "rb").read() == EICAR)
        host.policy(host.watch(on_infected="quarantine"), 'schedule { sweep = never  paths = { "%s" } }' % far)
        host.start()
        pids = host.pids()
        rc, found, summary = scan(host, far)
        suite.check("silent: it is not scanned, and that is said, with 2", rc == 2 and "fuse" in summary["words"], (rc, summary))
        silent.fall_silent()
        started = time.monotonic()
        rc, found, summary = scan(host, "--mounts", tree, timeout=20)
        suite.check("silent: a sweep goes round it", rc == 1 and list(found) == [bad] and summary["mounts"] == 1 and
                    time.monotonic() - started < 10, (rc, found, summary))
        message = host.put("message", MARKER)
        suite.check("silent: what is infected goes to the quarantine meanwhile",
                    host.read(message) is None and eventually(lambda: not os.path.exists(message), 5))
        suite.check("silent: nothing was started again", host.pids() == pids, (host.pids(), pids))


@suite.test("files that change")
def _(suite):
    """One that grows all the time, and folders that come, go and move while they are walked."""
    with Host(suite, "ext4") as host:
        tree = host.outside + "/tree"
        for i in range(300):
            host.put("tree/%d/file" % i, CLEAN + b"%d" % i, host.outside)
        bad = host.put("tree/150/bad", EICAR, host.outside)
        host.start()
        stop = threading.Event()

        def grow():
            with open(tree + "/grows", "ab", buffering=0) as f:
                while not stop.is_set():
                    f.write(b"another line\n")
                    time.sleep(0.002)

        def move():
            i = 0
            while not stop.is_set():
                os.rename(tree + "/%d" % (i % 100), tree + "/moved")
                os.rename(tree + "/moved", tree + "/%d" % (i % 100))
                os.makedirs(tree + "/new/deep")
                os.removedirs(tree + "/new/deep")
                os.makedirs(tree + "/kept", exist_ok=True)
                i += 1
                time.sleep(0.001)
        threads = [threading.Thread(target=f) for f in (grow, move)]
        for thread in threads:
            thread.start()
        try:
            started = time.monotonic()
            rc, found, summary = scan(host, tree, timeout=90)
            took = time.monotonic() - started
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        suite.say("%d files while it all moved, %d vanished, in %.1f s" % (summary.get("files", 0), summary.get("vanished", 0), took))
        suite.check("changing: the scan ends, and finds what lies still", rc == 1 and bad in found, (rc, list(found)[:5], summary))
        growing = found.get(tree + "/grows", {})
        suite.check("changing: a file that never is the same is unscanned, or judged as it was; never silently left",
                    not growing or growing["reason"] == "busy", growing)
        suite.check("changing: it is counted", bool(growing) == bool(summary.get("changing")), (growing, summary))
        suite.check("changing: what moved is no error", summary.get("unreadable") == 0, summary)


@suite.test("a file that is never the same")
def _(suite):
    with Host(suite, "ext4") as host:
        host.stand_in("delay 50")
        path = host.put("grows/file", CLEAN, host.outside)
        host.start()
        stop = threading.Event()

        def grow():
            with open(path, "ab", buffering=0) as f:
                while not stop.is_set():
                    f.write(b"x")
                    time.sleep(0.002)
        thread = threading.Thread(target=grow)
        thread.start()
        try:
            rc, found, summary = scan(host, os.path.dirname(path), timeout=90)
        finally:
            stop.set()
            thread.join()
        suite.check("never the same: the scan ends, and it is unscanned(busy), not clean", rc == 1 and
                    found.get(path, {}).get("reason") == "busy" and summary["changing"] == 1, (rc, found, summary))
        rc, found, summary = scan(host, os.path.dirname(path))
        suite.check("never the same: control: once it is still it is clean", rc == 0 and summary["files"] == 1, (rc, found, summary))


@suite.test("known files")
def _(suite):
    with Host(suite, "ext4") as host:
        for i in range(50):
            host.put("known/%d" % i, CLEAN + b"%d" % i, host.outside)
        host.start()
        rc, _, first = scan(host, host.outside + "/known")
        scans = host.counter("scans")
        rc, _, again = scan(host, host.outside + "/known")
        suite.check("known: what is unchanged is not scanned again", rc == 0 and again.get("known") == 50 and
                    host.counter("scans") == scans, (first, again, scans, host.counter("scans")))
        rc, _, anew = scan(host, "--all", host.outside + "/known")
        suite.check("known: --all scans it again", rc == 0 and anew.get("known") == 0 and
                    host.counter("scans") == scans + 50, (anew, scans, host.counter("scans")))
        changed = host.put("known/7", EICAR, host.outside)
        rc, found, summary = scan(host, host.outside + "/known")
        suite.check("known: what has changed is scanned", rc == 1 and list(found) == [changed] and summary["known"] == 49,
                    (rc, found, summary))


@suite.test("what cannot be scanned")
def _(suite):
    with Host(suite, "ext4") as host:
        host.put("large/file", CLEAN * 100000, host.outside)
        host.put("large/small", CLEAN, host.outside)
        host.policy(host.watch(), scanner={"max-file-size": "1M"})
        host.start()
        rc, found, summary = scan(host, host.outside + "/large")
        row = next(iter(found.values()), {})
        suite.check("unscanned: told with its reason, and 1", rc == 1 and row.get("verdict") == "unscanned" and
                    row["reason"] == "too-large" and summary["unscanned"] == 1 and summary["infected"] == 0, (rc, found, summary))


def many(host, count, bad_every=100, where=None):
    bad = []
    for i in range(count):
        infected = i % bad_every == bad_every // 2
        path = host.put("many/%d/%d" % (i % 10, i), (MARKER if infected else CLEAN) + b"%d" % i, where or host.outside)
        if infected:
            bad.append(path)
    return bad


def kept(host):
    try:
        with open(host.base + "/state/steward/sweep-scan") as f:
            return f.read()
    except OSError:
        return ""


def found_in(text):
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return ({row["path"] for row in rows if row["kind"] == "finding"},
            next((row for row in rows if row["kind"] == "summary"), None))


COUNT = 240  # 20 ms each: a stop after the first that are kept has most of them before it


@suite.test("stopped and resumed")
def _(suite):
    """Ctrl-C, kill -9 of the steward, kill -9 of the daemon: each time the rest is scanned, and nothing is left out."""
    with Host(suite, "ext4") as host:
        host.stand_in("delay 20")
        bad = many(host, COUNT)
        host.start()

        def interrupted(what, stop):
            process = popen_scan(host, "--json", "--all", host.outside + "/many")
            host.wait("its state is kept", lambda: re.search(r"\nstate 1\n(.*\n)*counts.files [1-9]", kept(host)), 60)
            stop(process)
            try:
                text = process.communicate(timeout=30)[0].decode()
            except subprocess.TimeoutExpired:
                process.kill()
                text = process.communicate()[0].decode()
            return process.returncode, text

        def resume(what, text):
            before, summary = found_in(text)
            suite.check("control: %s stops it half-way" % what, summary is None, text[-300:])
            state = host.wait("the state is known", lambda: (host.status() or {}).get("sweeps", {}).get("scan", {}).get("state") ==
                              "interrupted" and host.status()["sweeps"]["scan"])
            rc, text = host.tool("scan", "--resume", "--json", timeout=120)
            after, summary = found_in(text)
            suite.say("%s: %d files before, %d in all" % (what, state["files"], summary["files"] if summary else -1))
            suite.check("after %s all files were judged" % what, summary and summary["files"] == COUNT and
                        summary["vanished"] == 0 and summary["infected"] == len(bad) and rc == 1, (rc, summary))
            suite.check("after %s every finding was told" % what, before | after == set(bad), (sorted(before), sorted(after)))
            suite.check("after %s it goes on, and does not begin anew" % what,
                        summary and 0 < state["files"] < COUNT and summary["files"] >= state["files"], (state, summary))
        rc, text = interrupted("Ctrl-C", lambda process: process.send_signal(signal.SIGINT))
        suite.check("Ctrl-C: the tool says how it goes on", "--resume" in text and rc == -signal.SIGINT, (rc, text[-200:]))
        resume("Ctrl-C", text)

        rc, text = interrupted("kill -9 of the steward", lambda process: os.kill(host.pid("steward"), signal.SIGKILL))
        suite.check("kill -9 of the steward: the tool says so", rc == 2 and "--resume" in text, (rc, text[-200:]))
        host.wait("there is another steward", lambda: host.pids().get("steward"))
        resume("kill -9 of the steward", text)

        rc, text = interrupted("kill -9 of the daemon", lambda process: host.kill())
        host.start()
        resume("kill -9 of the daemon", text)
        rc, text = host.tool("scan", "--resume")
        suite.check("what has ended is not resumed", rc == 2, (rc, text))


@suite.test("a hostile state")
def _(suite):
    """What lies in the state folder is checked as if an enemy had written it."""
    with Host(suite) as host:
        host.start()
        host.stop()
        folder = host.base + "/state/steward/"
        for junk in (b"", b"\0" * 4096, b"mailward-sweep 1\nkind 0\n", os.urandom(100000)):
            for name in ("sweep-scan", "sweep-schedule"):
                with open(folder + name, "wb") as f:
                    f.write(junk)
            host.start()
            path = host.put("bad-%d" % len(junk), EICAR)
            rc, found, summary = scan(host, path)
            suite.check("a state of %d bytes of junk stops nothing" % len(junk), rc == 1 and len(found) == 1 and
                        "no state of a sweep" in host.log(), (rc, found, summary))
            host.stop()
        for name in ("sweep-scan", "sweep-schedule"):
            os.unlink(folder + name)
            os.mkfifo(folder + name)
        host.start()
        suite.check("a pipe in its place stops nothing", scan(host, path)[0] == 1, host.log())


@suite.test("readers go first")
def _(suite):
    """A slow scanner, a sweep of many files, and readers of files that nobody knows: each gets its answer within its
    deadline, as without the sweep."""
    with Host(suite, "ext4") as host:
        host.stand_in("delay 50")
        many(host, 3000, where=host.outside)
        host.policy(host.watch(deadline="5s"), scanner={"workers": 2})
        host.start()

        def waits(name, count):
            out = []
            for i in range(count):
                path = host.put("%s-%d" % (name, i), CLEAN + name.encode() + b"%d" % i)
                started = time.monotonic()
                assert host.read(path) is not None
                out.append(time.monotonic() - started)
            return out
        alone = waits("alone", 20)
        passed = host.counter("deadlines_passed")
        process = popen_scan(host, "--json", host.outside + "/many")
        host.wait("the sweep is under way", lambda: host.counter("behind") > 5, 30)
        during = waits("during", 40)
        judged = host.counter("behind")
        running = process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        for name, values in (("alone", alone), ("during a sweep", during)):
            suite.say("%-15s median %.0f ms, longest %.0f ms" % (name, statistics.median(values) * 1000, max(values) * 1000))
        suite.check("control: the sweep was under way all the time", running and judged > 5, judged)
        suite.check("readers: no deadline passes because of a sweep", host.counter("deadlines_passed") == passed)
        suite.check("readers: each gets its answer within its deadline", max(during) < 5 + SLACK, max(during))
        suite.check("readers: none waits for more than one scan besides its own", statistics.median(during) <
                    statistics.median(alone) + 0.05 + 0.25, (statistics.median(alone), statistics.median(during)))


def toil(pid):
    """Seconds of processor time."""
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def command(pid):
    with open("/proc/%d/cmdline" % pid) as f:
        return f.read().split("\0")[:-1]


def policies(host):
    """{pid: SCHED_IDLE or not} of workers and hasher."""
    out = {}
    for pid in host.workers() + [host.hasher()]:
        try:
            out[pid] = os.sched_getscheduler(pid)
        except (OSError, TypeError):
            pass
    return out


def ioprio(pid):
    return ctypes.CDLL(None).syscall({"x86_64": 252, "aarch64": 31}[os.uname().machine], 1, pid)  # ioprio_get(2)


def idle(host):
    return [pid for pid, policy in policies(host).items() if policy == os.SCHED_IDLE]


@suite.test("idle priority")
def _(suite):
    """Every processor has something to do: a sweep's scan comes last, until a reader opens the very file, or has no other
    worker."""
    toilsome = io.BytesIO()
    with zipfile.ZipFile(toilsome, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for i in range(60):
            archive.writestr("%d.html" % i, b"<p>%d</p>" % i + b"<a href=x>a line of text</a> <b>and another</b>\n" * 6000)
    toilsome = toilsome.getvalue()
    with Host(suite, "ext4") as host:
        host.policy(host.watch(deadline="40s", on_timeout="deny"), scanner={"workers": 1, "scan-time": "100s"})
        busy = [sys.executable, "-c", "while True: pass"]
        first, second, third = (host.put("toil/%d" % i, toilsome + b"%d" % i) for i in range(3))
        other = host.put("other", CLEAN)
        host.start(beside=[busy for _ in os.sched_getaffinity(0)])
        hogs = [pid for pid in session_members(host.daemon.pid) if command(pid) == busy]
        suite.check("idle: control: each processor has something to do", len(hogs) == len(os.sched_getaffinity(0)), hogs)
        suite.check("idle: nobody has it while nothing is swept", not idle(host), policies(host))

        def reading(what, swept, read):
            """A sweep's scan of one file is under way; then the other one is opened."""
            process = popen_scan(host, "--json", swept)
            found = eventually(lambda: [p for p in idle(host) if p in host.workers()], 20)
            if not suite.check("idle: %s: the sweep's scan has it" % what, found, policies(host)):
                return
            pid = found[0]
            before = toil(pid)
            time.sleep(1.5)
            spent = toil(pid) - before
            suite.check("idle: %s: all others go first" % what, os.sched_getscheduler(pid) == os.SCHED_IDLE and spent < 0.6,
                        spent)
            suite.check("idle: %s: the disk's, too" % what, ioprio(pid) >> 13 == 3, ioprio(pid))
            got, begun = [], time.monotonic()
            thread = threading.Thread(target=lambda: got.append(host.read(read)))
            thread.start()
            raised = eventually(lambda: os.sched_getscheduler(pid) == os.SCHED_OTHER, 5, 0.005)
            after = time.monotonic() - begun
            thread.join()
            waited = time.monotonic() - begun
            suite.say("%s: at the priority of all others after %.0f ms, answered after %.1f s" % (what, after * 1000, waited))
            suite.check("idle: %s: it is raised at once" % what, raised and after < 1, after)
            suite.check("idle: %s: the reader is answered within his deadline" % what, got and got[0] and
                        waited < 40 + SLACK, (waited, got and len(got[0] or b"")))
            process.communicate(timeout=90)
            suite.check("idle: %s: no deadline passed" % what, host.counter("deadlines_passed") == 0)
        reading("a reader of that file", first, first)
        reading("a reader of another one", second, other)
        host.policy(host.watch(deadline="40s", on_timeout="deny"), scanner={"workers": 1, "scan-time": "20s"})
        host.tool("reload")
        host.wait("a worker with that limit", lambda: host.counter("cases") == 0 and host.tool("status")[0] == 0, 30)
        started = time.monotonic()
        rc, found, summary = scan(host, third)
        suite.say("nobody waits: %.1f s" % (time.monotonic() - started))
        suite.check("idle: nobody waits: it is not called unscanned because all others go first", rc == 0 and
                    summary["files"] == 1 and summary["known"] == 0, (rc, found, summary))
        for pid in hogs:
            os.kill(pid, signal.SIGKILL)


@suite.test("control files")
def _(suite):
    """What mail software keeps beside the messages is never denied, and never moved, by a sweep neither."""
    with Host(suite, "ext4") as host:
        host.policy(host.watch(store="maildir"))
        message = host.put("anna/cur/1.M1P1.host:2,S", b"Subject: x\n\n" + MARKER)
        control = host.put("anna/dovecot-uidlist", MARKER)
        os.makedirs(host.watched + "/anna/new")
        os.makedirs(host.watched + "/anna/tmp")
        host.start()
        rc, found, summary = scan(host, "--quarantine", host.watched)
        suite.check("control files: control: a message beside it is moved away", not os.path.exists(message) and
                    found.get(message, {}).get("action") == "quarantined", (rc, found, summary))
        suite.check("control files: it is reported, and stays", os.path.exists(control) and host.read(control) == MARKER and
                    found.get(control, {}).get("action") == "not-quarantined", (rc, found, summary))


@suite.test("on a terminal")
def _(suite):
    import pty
    with Host(suite, "ext4") as host:
        host.stand_in("delay 20")
        many(host, 200)
        host.start()
        master, slave = pty.openpty()
        import fcntl
        import struct
        import termios
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 160, 0, 0))
        process = suite.popen([os.path.join(BUILD, "mailward"), "--runtime-dir", host.base + "/run", "scan",
                               host.outside + "/many"], stdout=slave, stderr=slave)
        os.close(slave)
        text = b""
        try:
            while True:
                piece = os.read(master, 65536)
                if not piece:
                    break
                text += piece
        except OSError:
            pass
        rc = process.wait(20)
        bars = [bar for bar in re.findall(r"\r\x1b\[K([^\r\n]+)", text.decode()) if "files/s" in bar]
        suite.say(bars[len(bars) // 2] if bars else repr(text[-200:]))
        suite.check("a terminal gets a bar, with files, bytes, rate and time left", rc == 1 and len(bars) > 3 and any(
            re.match(r"\[#+-+\] +\d+% \d+/200 files, \S+/\S+, \d+ files/s, \S+/s, \S+ left", bar) for bar in bars), (rc, bars[-3:]))
        shown = [int(re.search(r"(\d+)%", bar).group(1)) for bar in bars]
        suite.check("it only grows", shown == sorted(shown), shown)
        rc, text = host.tool("scan", host.outside + "/many")
        suite.check("control: a pipe gets none", "\r" not in text and "files/s" not in text, text)


@suite.test("the quarantine")
def _(suite):
    """In a watch its policy says what is moved away; elsewhere who asks for the scan. What lies in the quarantine is not
    swept."""
    with Host(suite, "ext4") as host:
        host.policy(host.watch(on_infected="quarantine"))
        inside, outside = host.put("bad", MARKER), host.put("bad", EICAR, host.outside)
        host.start()
        rc, found, summary = scan(host, host.fs)
        suite.check("quarantine: in a watch it is moved away", rc == 1 and not os.path.exists(inside) and
                    found.get(inside, {}).get("action") == "quarantined", (rc, found, summary))
        suite.check("quarantine: outside it is reported alone", os.path.exists(outside) and
                    found.get(outside, {}).get("action") == "reported", found)
        rc, found, summary = scan(host, "--quarantine", host.fs)
        suite.check("quarantine: --quarantine moves it away there, too", not os.path.exists(outside) and
                    found.get(outside, {}).get("action") == "quarantined" and summary["moved"] == 1, (rc, found, summary))
        items = host.tool_json("quarantine", "list")
        suite.check("quarantine: both are listed", len(items) == 2, items)
        rc, found, summary = scan(host, "--all", host.fs)
        suite.check("quarantine: what lies there is not swept", rc == 0 and not found, (rc, found, summary))
        for item in items:
            host.tool("quarantine", "restore", item["id"])
        suite.check("quarantine: both come back", os.path.exists(inside) and os.path.exists(outside))


suite.main(at_once=3)
