#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# limit: 480
"""The tool and the recorder, each the real program, with tests/tool/stage.c in the parts of keeper and gate. No file
system is marked here."""
import json
import os
import pty
import random
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import tempfile
import threading
import time

from harness import BUILD, ROOT, WIRE_VERSION, Suite, eventually

suite = Suite("tool", limit=480)
TOOL, DAEMON = os.path.join(BUILD, "mailward"), os.path.join(BUILD, "mailwardd")
PATIENCE = 5.0
os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=0")  # the keeper does the same: a filter of system calls forbids it


def build_stage():
    program = os.path.join(BUILD, "tests", "stage")
    base = os.path.join(ROOT, "daemon", "base")
    used = [os.path.join(ROOT, "tests", "tool", "stage.c")]
    used += [os.path.join(base, name) for name in sorted(os.listdir(base)) if name.endswith(".c")]
    headers = [os.path.join(ROOT, "include", name) for name in os.listdir(os.path.join(ROOT, "include"))]
    if not os.path.exists(program) or os.path.getmtime(program) < max(map(os.path.getmtime, used + headers)):
        os.makedirs(os.path.dirname(program), exist_ok=True)
        subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror",
                        "-D_GNU_SOURCE", "-I" + os.path.join(ROOT, "include"), "-I" + base, "-o", program] + used,
                       check=True)
    return program


class Stage:
    """Runtime and state folders on a tmpfs of their own, the recorder, and who plays its keeper and gate."""

    def __init__(self, size="64m", start=True):
        self.base = tempfile.mkdtemp(prefix="mailward-tool-")
        suite.at_end(self.close)
        os.chmod(self.base, 0o755)
        self.runtime, self.state = self.base + "/run", self.base + "/state"
        os.mkdir(self.runtime)
        os.mkdir(self.state)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755,size=" + size, "mailward-state", self.state], check=True)
        if start:
            self.start()

    def start(self):
        self.process = suite.popen([build_stage(), DAEMON, self.runtime, self.state], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, start_new_session=True)
        if not eventually(lambda: self.look()["readies"] > 0, 10):
            raise AssertionError("the recorder was never ready: " + self.command("log"))

    def command(self, word, /, **values):
        line = word + "".join(" %s=%s" % (key, value.hex() if isinstance(value, bytes) else value)
                              for key, value in values.items())
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer.startswith("ok"):
            raise AssertionError("stage says %r to %r" % (answer, line[:200]))
        return answer[3:].strip()

    def look(self):
        return json.loads(self.command("look"))

    def record(self, path=b"/watched/file", **values):
        base = dict(watch=b"/watched", policy=b"mailward.conf:3", signature=b"Mailward.Test.Eicar", exe=b"/usr/bin/cat",
                    ino=7, wait_ms=41)
        base.update(values)
        return int(self.command("record", path=path, **base))

    def end(self, by):
        code, ms = self.command("end", by=by).split()
        return int(code), int(ms)

    def restart(self, by="stop"):
        result = self.end(by)
        before = self.look()["readies"]
        self.command("start")
        eventually(lambda: self.look()["readies"] > before, 10)
        return result

    def healthy(self):
        self.command("page", marks_stand=1, workers_serving=2, definitions_known=1, definitions_signatures=12,
                     definitions_time_ns=time.time_ns() - 3600 * 10**9, loop_ns=time.monotonic_ns() + 3600 * 10**9,
                     version=b"test 1")
        self.command("page", policy_number=1, canary_policy=1, guard_mode=1)
        self.command("watch", index=0, path=b"/watched", fs=b"tmpfs")
        for index in range(3):
            self.command("canary", index=index, state=1)
        self.command("process", index=0, name=b"gate")
        self.command("process", index=1, name=b"recorder", pid=self.look()["pid"])

    def tool(self, *args, timeout=10, **options):
        return suite.run([TOOL, "--runtime-dir", self.runtime, "--state-dir", self.state] + list(args), timeout=timeout,
                         **options)

    def rows(self, *args):
        result = self.tool("blocked", "--json", *args)
        if result.rc not in (0, 1):
            raise AssertionError("blocked: %r" % result)
        return [json.loads(line) for line in result.out.splitlines()]

    def count(self, *args):
        return sum(row["count"] for row in self.rows(*args) if row["phase"] != "lost")

    def connect(self, name="recorder.sock"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(self.runtime + "/" + name)
        return sock

    def close(self):
        subprocess.run(["umount", "-l", self.state], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.base, ignore_errors=True)


def request(verb=1, version=WIRE_VERSION, since=0, uid=0xffffffff, reason=0, path=b""):
    return struct.pack("=IIqII4096s", version, verb, since, uid, reason, path)


FIELDS = ["time", "access", "answer", "verdict", "signature", "heuristics", "reason", "watch", "policy", "pid", "uid", "user", "exe",
          "path", "path_hex", "wait_ms", "count", "phase", "queue_id", "message_id", "detail"]


@suite.test("a denial is shown within a second, with all that is known of it")
def _(suite):
    stage = Stage()
    suite.check("control: nothing is shown before", stage.rows() == [])
    started = time.monotonic()
    stage.record(queue_id=b"4XyZ", message_id=b"a@b.example")
    rows = eventually(stage.rows, PATIENCE)
    suite.check("it shows within a second", rows and time.monotonic() - started < 1 + PATIENCE)
    suite.say("shown after %.0f ms" % ((time.monotonic() - started) * 1000))
    row = rows[0]
    suite.check("the fields are those of the manual, in its order", list(row) == FIELDS, list(row))
    suite.check("their values are those of the record",
                (row["access"], row["answer"], row["verdict"], row["signature"], row["watch"], row["policy"], row["pid"],
                 row["uid"], row["exe"], row["path"], row["path_hex"], row["wait_ms"], row["count"], row["phase"],
                 row["queue_id"], row["message_id"]) ==
                ("open", "deny", "infected", "Mailward.Test.Eicar", "/watched", "mailward.conf:3", 4711, 0,
                 "/usr/bin/cat", "/watched/file", "", 41, 1, "scan", "4XyZ", "a@b.example"), row)
    suite.check("the uid has its name", eventually(lambda: stage.rows()[0]["user"] == "root", PATIENCE), row["user"])
    for _ in range(4):
        stage.record()
    suite.check("equal ones are counted in that row", eventually(lambda: stage.rows()[0]["count"] == 5, PATIENCE))
    suite.check("and are one row", len(stage.rows()) == 1)
    text = stage.tool("blocked").out.splitlines()
    suite.check("people get a header and a line", len(text) == 2 and text[0].startswith("TIME") and
                text[1].endswith(" /watched/file"), text)
    suite.say(text[1])
    suite.check("without --no-header the header only", len(stage.tool("blocked", "--no-header").out.splitlines()) == 1)
    stage.record(answer=1, ino=9, path=b"/watched/clean")
    stage.record(would=1, ino=10, path=b"/watched/would")
    eventually(lambda: len(stage.rows()) == 2, PATIENCE)
    suite.check("an allowed access is in no history, what would have been denied is",
                [r["answer"] for r in stage.rows()] == ["deny", "would-deny"])


@suite.test("names of users")
def _(suite):
    stage = Stage()
    pid = stage.look()["pid"]
    for uid in (0, 65534, 4242, 61190, 0xffffffff):
        stage.record(uid=uid, ino=uid + 1)
    rows = eventually(lambda: (lambda r: r if len(r) == 5 else None)(stage.rows()), PATIENCE)
    suite.check("uids have their names where they have one, else none",
                eventually(lambda: [r["user"] for r in stage.rows()] == ["root", "nobody", "", "", ""], PATIENCE), rows)
    suite.check("an unknown uid is null", rows and rows[4]["uid"] is None and rows[2]["uid"] == 4242)
    suite.check("people see the number then", " 4242 " in stage.tool("blocked").out)
    children = lambda: open("/proc/%d/task/%d/children" % (pid, pid)).read().split()
    asker = [int(child) for child in children()]
    suite.check("one process asks the name service", len(asker) == 1, asker)
    links = os.listdir("/proc/%d/fd" % asker[0]) if asker else []
    suite.check("it holds nothing of the recorder's but its socket", sorted(links) == ["0", "1", "2", "3"], links)
    os.kill(asker[0], signal.SIGSTOP)
    stage.record(uid=77, ino=77)
    started = time.monotonic()
    suite.check("it hangs: rows are shown all the same", eventually(lambda: len(stage.rows()) == 6, PATIENCE) and
                time.monotonic() - started < 2 + PATIENCE)
    stage.end("kill")
    suite.check("it ends with the recorder", eventually(lambda: not os.path.exists("/proc/%d" % asker[0]), PATIENCE))


@suite.test("filters")
def _(suite):
    stage = Stage()
    stage.record(path=b"/watched/a/1", ino=1, uid=0)
    stage.record(path=b"/watched/ab", ino=2, uid=1)
    stage.record(path=b"/watched/a/2", ino=3, uid=1, verdict=3, reason=1, signature=b"")
    stage.record(path=b"/watched/old", ino=4, age_s=7200)
    eventually(lambda: len(stage.rows()) == 4, PATIENCE)
    paths = lambda *args: sorted(r["path"] for r in stage.rows(*args))
    suite.check("--path: below it, not its neighbour", paths("--path", "/watched/a") == ["/watched/a/1", "/watched/a/2"])
    suite.check("--path: itself", paths("--path", "/watched/ab") == ["/watched/ab"])
    suite.check("--user by name", paths("--user", "root") == ["/watched/a/1", "/watched/old"])
    suite.check("--user by number", paths("--user", "1") == ["/watched/a/2", "/watched/ab"])
    suite.check("--reason timeout", paths("--reason", "timeout") == ["/watched/a/2"])
    suite.check("--reason infected", paths("--reason", "infected") == ["/watched/a/1", "/watched/ab", "/watched/old"])
    suite.check("--reason exec-never", paths("--reason", "exec-never") == [])
    suite.check("--since 1h", "/watched/old" not in paths("--since", "1h") and len(paths("--since", "1h")) == 3)
    suite.check("--since a time", len(paths("--since", "2001-01-01T00:00:00Z")) == 4)
    suite.check("two filters together", paths("--user", "1", "--path", "/watched/a") == ["/watched/a/2"])
    suite.check("--fail-on-found: 1 with a row, 0 without",
                (stage.tool("blocked", "--fail-on-found").rc, stage.tool("blocked", "--fail-on-found", "--path", "/x").rc)
                == (1, 0))
    for args in (["--since", "yesterday"], ["--reason", "virus"], ["--user", "no-such-user"], ["--nonsense"], ["word"],
                 ["--path", ""], ["--since"]):
        result = stage.tool("blocked", *args)
        suite.check("blocked %s is a usage error" % " ".join(args), result.rc == 2 and result.err.count("\n") == 1, result)


HOSTILE = [b"/watched/new\nline 2026-01-01T00:00:00Z deny", b"/watched/\x1b[2J\x1b]0;title\x07", b"/watched/\xff\xfe",
           b"/watched/bidi \xe2\x80\xae gpj.exe", b"/watched/c1\xc2\x9b31m", b"/watched/\r{\"answer\":\"allow\"}",
           b"/watched/ls \xe2\x80\xa8 x", b"/watched/" + b"\n" * 4000]


@suite.test("hostile names forge nothing")
def _(suite):
    stage = Stage()
    control = stage.tool("blocked").out.count("\n")
    for i, path in enumerate(HOSTILE):
        stage.record(path=path, ino=100 + i, exe=path[:500], signature=path[:100], queue_id=path[:30])
    rows = eventually(lambda: (lambda r: r if len(r) == len(HOSTILE) else None)(stage.rows()), PATIENCE)
    suite.check("each is one row of JSON, its bytes in path_hex",
                rows and [bytes.fromhex(r["path_hex"]) for r in rows] == HOSTILE)
    text = stage.tool("blocked").out
    suite.check("each is one line", text.count("\n") == control + len(HOSTILE), text.count("\n"))
    suite.check("no control character and nothing that turns text gets out",
                not any(ord(c) < 32 and c != "\n" or 127 <= ord(c) < 160 or c in "\u202e\u2028" for c in text))
    stage.record(path=b"/watched/Gr\xc3\xb6\xc3\x9fe \"q\"\\x0a", ino=200)
    plain = eventually(lambda: [r for r in stage.rows() if r["path"].startswith("/watched/Gr")], PATIENCE)
    suite.check("plain UTF-8 is literal", plain and plain[0]["path"] == "/watched/Größe \"q\"\\x0a" and
                plain[0]["path_hex"] == "", plain)
    folder = stage.base + "/d\n\x1b[31m"
    os.mkdir(folder)
    for args in (["status"], ["explain", folder + "/none"], ["blocked", "--since", "\x1b[2J"], ["\x1b[31mverb"]):
        result = suite.run([TOOL, "--runtime-dir", folder] + args)
        suite.check("%s says one harmless line of error" % args[0].strip("\x1b[31m"),
                    result.rc in (2, 3) and result.err.count("\n") == 1 and "\x1b" not in result.err, result)
    master, slave = pty.openpty()
    process = subprocess.run([TOOL, "--runtime-dir", stage.runtime, "blocked"], stdout=slave, timeout=10,
                             env=dict(os.environ, NO_COLOR="1", TERM="xterm", COLUMNS="100"))
    os.close(slave)
    shown = b""
    try:
        while True:
            shown += os.read(master, 65536)
    except OSError:
        pass
    os.close(master)
    suite.check("nor on a terminal with NO_COLOR", process.returncode == 0 and b"\x1b" not in shown and shown)


@suite.test("follow and watch")
def _(suite):
    stage = Stage()
    stage.record(ino=1, path=b"/watched/before")
    eventually(stage.rows, PATIENCE)
    follow = suite.popen([TOOL, "--runtime-dir", stage.runtime, "blocked", "--follow", "--json"], stdout=subprocess.PIPE)
    watch = suite.popen([TOOL, "--runtime-dir", stage.runtime, "watch", "--json"], stdout=subprocess.PIPE)
    suite.check("who watches is known to the gate", eventually(lambda: stage.look()["watchers"] == 1, PATIENCE))
    stage.record(ino=2, path=b"/watched/denied")
    stage.record(ino=3, path=b"/watched/allowed", answer=1, verdict=1, signature=b"")
    started = time.monotonic()
    first, second = json.loads(watch.stdout.readline()), json.loads(watch.stdout.readline())
    suite.check("watch shows each decision", [(first["path"], first["answer"]), (second["path"], second["answer"])] ==
                [("/watched/denied", "deny"), ("/watched/allowed", "allow")])
    row = json.loads(follow.stdout.readline())
    suite.check("follow shows what came after its start", row["path"] == "/watched/denied", row)
    suite.check("within a second", time.monotonic() - started < 1 + PATIENCE)
    code, _ = stage.restart("kill")
    suite.check("control: the recorder was killed", code == 128 + signal.SIGKILL)
    stage.record(ino=4, path=b"/watched/after")
    row = json.loads(follow.stdout.readline())
    suite.check("follow goes on over a restart of the recorder, without repeats", row["path"] == "/watched/after", row)
    watch.kill()
    watch.wait()
    eventually(lambda: stage.look()["watchers"] == 1, PATIENCE)
    result = []
    thread = threading.Thread(target=lambda: result.append(stage.tool("watch", "--fail-on-found").rc))
    watchers = stage.look()["watchers"]
    thread.start()
    eventually(lambda: stage.look()["watchers"] > watchers, PATIENCE)
    stage.record(ino=5)
    thread.join(10)
    suite.check("watch --fail-on-found ends with the first denial", result == [1], result)
    suite.check("watchers are counted down", eventually(lambda: stage.look()["watchers"] == 0, PATIENCE))


@suite.test("a recorder that is killed loses nothing, restarts keep the history")
def _(suite):
    stage = Stage()
    for round_ in range(10):
        stage.record(ino=1000 * round_, vary=1, repeat=100)
        if round_ % 2:
            stage.restart("kill")
    total = eventually(lambda: stage.count() >= 1000 and stage.count(), PATIENCE)
    suite.check("1000 denials, the recorder killed five times: each is there", total and total >= 1000, total)
    suite.say("counted %d (a record may be counted twice after a kill, never not at all)" % total)
    code, ms = stage.restart("stop")
    suite.check("LEASH_STOP: it ends in order", code == 0 and ms < 1000 + PATIENCE * 1000, (code, ms))
    code, ms = stage.restart("term")
    suite.check("SIGTERM: it ends in order", code == 0 and ms < 1000 + PATIENCE * 1000, (code, ms))
    suite.check("the history is still there", stage.count() == total, stage.count())
    stage.command("signal", number=int(signal.SIGSTOP))
    stage.record(ino=5000, vary=1, repeat=200)
    stage.command("signal", number=int(signal.SIGCONT))
    suite.check("what came while it stood still is there", eventually(lambda: stage.count() == total + 200, PATIENCE))
    stage.end("stop")
    with sqlite3.connect(stage.state + "/recorder/history.sqlite") as database:
        suite.check("the database is whole", database.execute("pragma integrity_check").fetchone()[0] == "ok")
    mode = os.stat(stage.state + "/recorder/history.sqlite").st_mode & 0o777
    suite.check("nobody else may read it", mode == 0o600, oct(mode))


@suite.test("gaps")
def _(suite):
    stage = Stage()
    put = stage.record(ino=1, vary=1, repeat=5)
    stage.command("lost", count=77)
    gaps = eventually(lambda: [r for r in stage.rows() if r["phase"] == "lost"], PATIENCE)
    suite.check("lost records leave a row with their count", gaps and gaps[0]["count"] == 77 and put == 5, gaps)
    stage.restart("stop")
    suite.check("once, also after a restart", [r["count"] for r in stage.rows() if r["phase"] == "lost"] == [77])
    suite.check("people are told", "77 records lost" in stage.tool("blocked").out)
    stage.command("signal", number=int(signal.SIGSTOP))
    put = stage.record(ino=100, repeat=60000, path=b"/watched/" + b"x" * 100)
    stage.command("signal", number=int(signal.SIGCONT))
    suite.check("control: the ring was full", put < 60000, put)
    lost = lambda: sum(r["count"] for r in stage.rows() if r["phase"] == "lost") - 77
    suite.check("a full ring: recorded and lost make up all", eventually(lambda: stage.count() + lost() == 60005, 20),
                (stage.count(), lost()))
    stage.command("note", count=12, answer=2, watch=0)
    stage.command("watch", index=0, path=b"/watched")
    note = eventually(lambda: [r for r in stage.rows("--since", "1min") if r["phase"] == "down"], PATIENCE)
    suite.check("what the keeper answered for a dead gate is a row", note and note[0]["count"] == 12, note)


@suite.test("keeper and gate die: the recorder tells what was let go")
def _(suite):
    stage = Stage()
    stage.record(ino=1, vary=1, repeat=50)
    stage.command("page", waiting=23)
    code, ms = stage.end("orphan")
    suite.check("it ends by itself within a second", code == 0 and ms < 1000 + PATIENCE * 1000, (code, ms))
    stage.command("page", waiting=0, started_ns=time.time_ns())
    stage.command("start")
    eventually(lambda: stage.look()["befores"] == 2, PATIENCE)
    look = stage.look()
    suite.check("the next one counts 23 released unjudged", (look["before_released"], look["lately"]) == (23, 23), look)
    suite.check("and 50 denials in the hour before", look["before_hours"][0] == 50, look)
    suite.check("the last records were saved", stage.count() == 50)
    stage.end("orphan")
    stage.command("start")
    eventually(lambda: stage.look()["befores"] == 3, PATIENCE)
    suite.check("nobody waited the second time: still 23", stage.look()["before_released"] == 23)


@suite.test("the disk fails")
def _(suite):
    stage = Stage(size="2m")
    stage.record(ino=1)
    eventually(lambda: stage.count() == 1, PATIENCE)
    with open(stage.state + "/fill", "wb") as f:
        try:
            while True:
                f.write(b"\0" * 65536)
                f.flush()
        except OSError:
            pass
    for i in range(20):
        stage.record(ino=1000 * (i + 1), vary=1, repeat=40, path=b"/watched/" + b"y" * 4000)
        time.sleep(0.05)
    suite.check("disk full: it serves on, with the new rows and the old", eventually(lambda: stage.count() == 801, PATIENCE),
                stage.count())
    suite.check("it says so, once", eventually(lambda: stage.look()["logs"] == 1, PATIENCE), stage.look()["logs"])
    suite.say(stage.command("log"))
    stage.record(ino=100000, vary=1, repeat=3000)
    suite.check("no more than 1000 rows are kept then", eventually(lambda: 900 <= len(stage.rows()) <= 1100, PATIENCE),
                len(stage.rows()))
    os.unlink(stage.state + "/fill")
    subprocess.run(["mount", "-o", "remount,size=64m", stage.state], check=True)
    suite.check("with room again: saved, and a gap for what memory could not keep",
                eventually(lambda: "again" in stage.command("log"), 10 + PATIENCE), stage.command("log"))
    gap = eventually(lambda: [r for r in stage.rows() if r["phase"] == "lost"], PATIENCE)
    suite.check("rows and gap make up all", gap and stage.count() + gap[0]["count"] == 3801, (stage.count(), gap))
    total = stage.count()
    stage.end("stop")
    subprocess.run(["mount", "-o", "remount,ro", stage.state], check=True)
    stage.command("start")
    eventually(lambda: stage.look()["readies"] == 2, PATIENCE)
    before = stage.look()["logs"]
    stage.record(ino=200000, path=b"/watched/read-only")
    seen = lambda: stage.rows("--path", "/watched/read-only", "--reason", "infected")
    suite.check("read-only: it starts, and a new row is shown", eventually(seen, PATIENCE))
    suite.say(stage.command("log"))
    subprocess.run(["mount", "-o", "remount,rw", stage.state], check=True)
    suite.check("writable again: the new row and the old ones are there",
                eventually(lambda: stage.count() == total + 1, 10 + PATIENCE), (stage.count(), total))
    stage.restart("stop")
    suite.check("and stay", stage.count() == total + 1 and stage.look()["logs"] - before <= 2)
    stage.end("stop")
    path = stage.state + "/recorder/history.sqlite"
    with open(path, "r+b") as f:
        f.write(b"\0garbage" * 512)
    stage.command("start")
    eventually(lambda: stage.look()["readies"] == 4, PATIENCE)
    stage.record(ino=9, path=b"/watched/new")
    suite.check("a damaged database is put aside and a new one begun",
                eventually(lambda: [r["path"] for r in stage.rows()] == ["/watched/new"], PATIENCE))
    suite.check("and kept", os.path.exists(path + ".damaged"))


@suite.test("hostile clients")
def _(suite):
    stage = Stage()
    stage.record(ino=1, vary=1, repeat=3000)
    eventually(lambda: stage.count() == 3000, PATIENCE)
    frames = [b"", b"x", b"\0" * 4119, request() + b"x", request(version=WIRE_VERSION + 1), request(verb=0), request(verb=99),
              request(reason=77), request(path=b"/" * 4096), b"\xff" * len(request()), b"\0" * 100000]
    for frame in frames:
        with stage.connect() as sock:
            try:
                sock.send(frame)
                sock.settimeout(PATIENCE)
                answer = sock.recv(65536)
            except (ConnectionError, BrokenPipeError):
                answer = b""
            suite.check("a frame of %d bytes %s costs its connection" % (len(frame), frame[:8].hex()), answer == b"")
    null = os.open("/dev/null", os.O_RDONLY)
    for fds, verb in (([null], 1), ([null] * 3, 4), ([null], 4), ([], 4), ([null] * 200, 1)):
        with stage.connect() as sock:
            socket.send_fds(sock, [request(verb=verb)], fds)
            sock.settimeout(PATIENCE)
            try:
                answer = sock.recv(65536)
            except ConnectionError:
                answer = b""
            suite.check("verb %d with %d descriptors is refused" % (verb, len(fds)), answer == b"")
    os.close(null)
    with stage.connect() as sock:
        sock.send(request())
        sock.shutdown(socket.SHUT_WR)
        suite.check("a half-closed client harms nobody", stage.count() == 3000)
    pid = stage.look()["pid"]
    open_fds = lambda: len(os.listdir("/proc/%d/fd" % pid))
    suite.check("no descriptor is left over", eventually(lambda: open_fds() < 25, PATIENCE), open_fds())

    silent = [stage.connect() for _ in range(3)]
    for sock in silent:
        sock.send(request(verb=2))
    stage.record(ino=10000, vary=1, repeat=100)
    started = time.monotonic()
    suite.check("three that never read keep nobody waiting", stage.count() == 3100 and time.monotonic() - started < PATIENCE)
    crowd = []
    failed = 0
    for i in range(1000):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.connect(stage.runtime + "/recorder.sock")
            if i % 3 == 0:
                sock.send(request(verb=1 + i % 2))
            crowd.append(sock)
        except OSError:
            failed += 1
            sock.close()
    suite.say("1000 clients at once: %d could not connect" % failed)
    suite.check("among 1000 clients the tool is served", eventually(lambda: stage.tool("blocked").rc == 0, 30))
    suite.check("with no more than 256 at once", open_fds() < 256 + 25, open_fds())
    before = stage.look()["beats"]
    time.sleep(1)
    suite.check("and the recorder beats on", stage.look()["beats"] - before >= 2)
    suite.check("who neither asks nor reads is dropped after ten seconds",
                eventually(lambda: open_fds() < 60, 15 + PATIENCE), open_fds())
    for sock in crowd + silent:
        sock.close()
    suite.check("all of them gone: no descriptor is left over", eventually(lambda: open_fds() < 25, PATIENCE), open_fds())
    for target in ("leash", "gate"):
        for size in (0, 1, 5, 60000):
            if size:
                stage.command("junk", size=size, to=target)
    suite.check("wrong frames of keeper and gate don't end it", stage.count() == 3100)
    suite.check("it is still the same process", stage.look()["pid"] == pid and os.path.exists("/proc/%d" % pid))


@suite.test("a recorder that lies harms no tool")
def _(suite):
    stage = Stage()
    stage.record()
    eventually(stage.rows, PATIENCE)
    with stage.connect() as sock:
        sock.send(request())
        good, last = sock.recv(100000), sock.recv(100000)
    stage.end("kill")
    os.unlink(stage.runtime + "/recorder.sock")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(stage.runtime + "/recorder.sock")
    server.listen(8)

    def ask(frames, *options):
        process = subprocess.Popen([TOOL, "--runtime-dir", stage.runtime, "blocked", *options], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        sock, _ = server.accept()
        sock.recv(100000)
        try:
            for frame in frames:
                sock.send(frame)
        except BrokenPipeError:
            pass  # it has seen enough
        sock.close()
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err
    rc, out, _ = ask([good, last])
    suite.check("control: a true row is shown", rc == 0 and b"Mailward.Test.Eicar" in out, out)
    for name, frames in (("nothing", []), ("a short frame", [good[:100]]), ("a long one", [good + b"x"]),
                         ("all ones", [b"\xff" * len(good)]), ("another version", [b"\x63" + good[1:]]),
                         ("no end", [good])):
        rc, out, err = ask(frames)
        suite.check("%s: can't tell" % name, rc == 4 and err.count(b"\n") == 1, (rc, out, err))
    random.seed(4711)
    codes = {}
    harm = []
    for i in range(600):
        frame = bytearray(good)
        if i < 300:  # each byte of its head, where the sizes and kinds lie
            frame[i] ^= 0xff
        for _ in range(0 if i < 300 else random.choice((1, 3, 300))):
            frame[random.randrange(len(frame))] = random.randrange(256)
        rc, out, err = ask([bytes(frame), last], *(["--json"] if i % 300 < 250 else []))
        codes[rc] = codes.get(rc, 0) + 1
        lines = out.split(b"\n")
        if rc not in (0, 4) or b"\x1b" in out or any(c < 32 for line in lines for c in line) or len(lines) > 3:
            harm.append((rc, out, err))
    suite.check("600 changed rows: shown harmlessly or refused", not harm, harm[:1])
    suite.check("control: both happened", codes.get(0, 0) > 20 and codes.get(4, 0) > 20, codes)
    server.close()


@suite.test("explain")
def _(suite):
    stage = Stage()
    path = stage.base + "/a file"
    open(path, "w").close()
    os.symlink(path, stage.base + "/link")
    stage.command("explain", answer=2, verdict=2, state=1, signature=b"Test.X", watch=b"/watched", policy=b"m.conf:4")
    result = stage.tool("explain", path)
    suite.check("where an open would be denied: 1, and why", result.rc == 1 and "Test.X" in result.out and
                "m.conf:4" in result.out and "would be denied" in result.out, result)
    answer = json.loads(stage.tool("explain", stage.base + "/link", "--json").out)
    suite.check("links are followed", answer["path"] == path and answer["answer"] == "deny" and
                answer["verdict"] == "infected" and answer["policy"] == "m.conf:4", answer)
    suite.check("who found it, and who was asked besides", answer["levels"] == {
        "libclamav": "found", "heuristics": "asked", "content": "not asked", "clamd": "not asked"}, answer)
    stage.command("explain", answer=1, verdict=1, state=1)
    suite.check("allowed: 0", stage.tool("explain", path).rc == 0)
    for levels, said in ((3, ("nothing found", "nothing found", "not asked", "not asked")),
                         (7, ("nothing found", "nothing found", "nothing found", "not asked")),
                         (14, ("not asked", "nothing found", "nothing found", "nothing found")), (0, ("not known",) * 4)):
        stage.command("explain", answer=1, verdict=1, state=1, levels=levels)
        text, answer = stage.tool("explain", path).out, json.loads(stage.tool("explain", "--json", path).out)
        suite.check("clean, levels %d: each says what it is worth" % levels, tuple(answer["levels"].values()) == said and
                    "levels   " + "; ".join("%s: %s" % pair for pair in answer["levels"].items()) in text, (text, answer))
    stage.command("explain", answer=0, verdict=0, state=2)
    result = stage.tool("explain", path)
    suite.check("not known yet: 0, it would wait", result.rc == 0 and "would wait for a scan" in result.out, result)
    for origin, name in enumerate(("any", "mail", "other", "unknown")):
        stage.command("explain", answer=1, verdict=1, state=1, origin=origin, exec_answer=2, policy=b"m.conf:4",
                      exec_policy=b"m.conf:6")
        result, answer = stage.tool("explain", path), json.loads(stage.tool("explain", "--json", path).out)
        suite.check("origin %s, and an exec that would be denied" % name, result.rc == 0 and
                    (answer["answer"], answer["policy"], answer["exec_answer"], answer["exec_policy"], answer["origin"]) ==
                    ("allow", "m.conf:4", "deny", "m.conf:6", name) and
                    "exec     would be denied (m.conf:6)" in result.out, (result, answer))
    stage.command("explain", answer=2, verdict=2, state=1, policy=b"m.conf:4")
    answer = json.loads(stage.tool("explain", "--json", path).out)
    suite.check("where nothing is said of an exec, it gets what an open gets",
                (answer["exec_answer"], answer["exec_policy"]) == ("deny", "m.conf:4"), answer)
    stage.command("explain", answer=0, verdict=0, state=0)
    suite.check("outside: 0", "no watch" in stage.tool("explain", path).out)
    suite.check("no such file: 2", stage.tool("explain", path + "x").rc == 2)
    suite.check("no path: 2", stage.tool("explain").rc == 2)
    stage.command("explain", silent=1)
    started = time.monotonic()
    result = stage.tool("explain", path)
    suite.check("the gate is silent: can't tell, in about a second",
                result.rc == 4 and 0.5 < time.monotonic() - started < 1 + PATIENCE, result)
    stage.command("signal", number=int(signal.SIGSTOP))
    result = stage.tool("explain", path)
    suite.check("the recorder is stopped: can't tell", result.rc == 4, result)
    stage.command("signal", number=int(signal.SIGCONT))
    stage.command("explain", answer=1, verdict=1, state=1)
    suite.check("control: it answers again", eventually(lambda: stage.tool("explain", path).rc == 0, PATIENCE))


@suite.test("status")
def _(suite):
    stage = Stage()
    status = lambda: json.loads(stage.tool("status", "--json").out)
    suite.check("before the marks stand: 4", stage.tool("status").rc == 4 and status()["health"] == "unknown")
    stage.healthy()
    result = stage.tool("status")
    suite.check("healthy: 0", result.rc == 0 and "healthy" in result.out, result)
    suite.check("10 to 20 lines for people", 8 <= result.out.count("\n") <= 20, result.out)
    page = status()
    suite.check("every field of the contract", all(name in page for name in (
        "mode", "health", "issues", "definitions", "watches", "processes", "waiting", "blocked_24h",
        "released_unjudged", "uptime_s")) and page["mode"] == "reduced" and page["issues"] == [], page)
    suite.check("of a watch", page["watches"] == [{"path": "/watched", "store": "files", "mode": "enforce",
                                                   "covered": "yes", "why": "", "file_system": "tmpfs", "marked": True,
                                                   "hooks": False, "canary": "blocked", "canary_why": ""}], page["watches"])
    field = lambda name: stage.tool("status", "--field", name).out.strip()
    suite.check("--field", (field("watches.0.covered"), field("definitions.signatures"), field("health")) ==
                ("yes", "12", "healthy"))
    suite.check("--field that isn't there: 2", stage.tool("status", "--field", "watches.7.path").rc == 2)
    for name, change, back in (
            ("watch-not-covered", lambda: stage.command("watch", index=1, path=b"/gone", why=b"no such dir", covered=0),
             lambda: stage.command("watch", index=1, path=b"/gone", covered=1)),
            ("watch-partly-covered", lambda: stage.command("watch", index=1, path=b"/gone", why=b"a part", covered=2),
             lambda: stage.command("watch", index=1, path=b"/gone", covered=1)),
            ("canary-not-blocked", lambda: stage.command("canary", index=1, state=2, text=b"it went through"),
             lambda: stage.command("canary", index=1, state=1)),
            ("canary-not-possible", lambda: stage.command("canary", index=1, state=3, text=b"read-only"),
             lambda: stage.command("canary", index=1, state=1)),
            ("canary-not-tried", lambda: stage.command("canary", index=1, state=0),
             lambda: stage.command("canary", index=1, state=1)),
            ("definitions-old", lambda: stage.command("page", definitions_time_ns=time.time_ns() - 8 * 86400 * 10**9),
             stage.healthy),
            ("no-definitions", lambda: stage.command("page", definitions_signatures=0, workers_serving=0), stage.healthy),
            ("no-worker", lambda: stage.command("page", workers_serving=0, workers_gone_ns=time.monotonic_ns() - 3 * 10**9),
             lambda: stage.command("page", workers_serving=2, workers_gone_ns=0)),
            ("records-lost", lambda: stage.command("page", records_lost=1), lambda: stage.command("page", records_lost=0)),
            ("kernel-refused", lambda: stage.command("page", kernel_refused=1),
             lambda: stage.command("page", kernel_refused=0)),
            ("released-unjudged", lambda: stage.command("page", released_lately=3, released_unjudged=3),
             lambda: stage.command("page", released_lately=0)),
            ("reload-failed", lambda: stage.command("page", reload_failed=b"m.conf:3: no"),
             lambda: stage.command("page", reload_failed=b"")),
            ("gate-silent", lambda: stage.command("page", loop_ns=time.monotonic_ns() - 3 * 10**9), stage.healthy),
            ("process-restarting", lambda: stage.command("process", index=0, name=b"gate", restarts=5), stage.healthy)):
        change()
        result = stage.tool("status")
        found = [issue["id"] for issue in status()["issues"]]
        suite.check("issue %s: 1" % name, result.rc == 1 and found == [name] and name in result.out, (result, found))
        back()
    suite.check("control: healthy again", stage.tool("status").rc == 0)
    stage.command("page", workers_serving=0)
    suite.check("before the first worker serves: 4", stage.tool("status").rc == 4, stage.tool("status"))
    stage.command("page", workers_gone_ns=time.monotonic_ns())
    suite.check("while all are replaced: as before", stage.tool("status").rc == 0, stage.tool("status"))
    stage.command("page", workers_serving=2, workers_gone_ns=0)
    later = time.monotonic_ns() + 60 * 10**9
    stage.command("page", canary_policy=0, canary_due_ns=later)
    suite.check("before the first selftest is over: 4", stage.tool("status").rc == 4 and status()["health"] == "unknown")
    stage.command("page", canary_due_ns=1)
    found = [issue["id"] for issue in status()["issues"]]
    suite.check("a first selftest that is overdue: 1", stage.tool("status").rc == 1 and
                found == ["canary-not-tried"] * 2, found)
    stage.command("page", canary_policy=1, policy_number=2, canary_due_ns=later)
    suite.check("after a reload, what the next one will find is no issue yet", stage.tool("status").rc == 0 and
                status()["watches"][0]["canary"] == "not-yet", status())
    stage.command("page", policy_number=1)
    stage.command("canary", index=1, state=2, text=b"through")
    suite.check("what went through stays one while the next selftest runs", stage.tool("status").rc == 1)
    stage.healthy()
    stage.command("page", canary_due_ns=0)
    for mode, name in ((0, "none"), (1, "reduced"), (2, "full")):
        stage.command("page", guard_mode=mode, guard_why=b"no BPF LSM", guard_remedy=b"lsm=...,bpf")
        text, page = stage.tool("status").out, status()
        suite.check("mode %s, why, and what to do about it" % name,
                    "\nmode         %s (no BPF LSM): " % name in text and "lsm=...,bpf" in text and
                    (page["mode"], page["mode_why"], page["mode_remedy"]) == (name, "no BPF LSM", "lsm=...,bpf"), text)
    stage.command("page", guard_mode=1, guard_why=b"", guard_remedy=b"")
    suite.check("reduced mode is no issue", stage.tool("status").rc == 0)
    stage.command("watch", index=1, path=b"/gone", marked=0, hooks=1, covered=2, why=b"a part")
    watch = status()["watches"][1]
    suite.check("partly covered, mark and hooks are told", (watch["covered"], watch["marked"], watch["hooks"]) ==
                ("partly", False, True), watch)
    stage.command("watch", index=1, path=b"/gone", covered=1)
    stage.command("signal", number=int(signal.SIGSTOP))
    started = time.monotonic()
    page = status()
    took = time.monotonic() - started
    suite.check("the recorder is stopped: status answers within a second and says so",
                took < 1 + PATIENCE and [p["state"] for p in page["processes"]] == ["running", "stopped"], page["processes"])
    suite.say("status took %.0f ms" % (took * 1000))
    result = stage.tool("blocked", timeout=15)
    suite.check("blocked can't tell then", result.rc == 4, result)
    stage.command("signal", number=int(signal.SIGCONT))
    stage.command("watch", index=1, path=b"/evil\nhealth       healthy\x1b[2J", why=b"x\ny", covered=0)
    text = stage.tool("status").out
    suite.check("a watched path forges no line", "\x1b" not in text and "\nhealth       healthy" not in text[1:])
    stage.command("keeper", silent=1)
    started = time.monotonic()
    result = stage.tool("status")
    suite.check("the keeper is silent: 4 within a second", result.rc == 4 and time.monotonic() - started < 1 + PATIENCE, result)


@suite.test("selftest")
def _(suite):
    stage = Stage()
    stage.healthy()
    stage.command("watch", index=1, path=b"/mbox", store=3)
    stage.command("canary", index=1, state=4, text=b"a store of this kind is never refused")
    result = stage.tool("selftest")
    suite.check("all blocked: 0", result.rc == 0, result)
    suite.check("a line for each watch below its titles", [line.split()[:3] for line in result.out.splitlines()] ==
                [["OPEN", "EXEC", "WATCH"], ["blocked", "blocked", "/watched"], ["not-applicable", "not-applicable", "/mbox"]],
                result)
    stage.command("canary", index=0, state=2, open=1, exec=2, text=b"an exec \x1b[2J\nblocked")
    result = stage.tool("selftest", "--json")
    rows = [json.loads(line) for line in result.out.splitlines()]
    suite.check("one that went through: 1", result.rc == 1 and stage.tool("selftest").rc == 1, result)
    suite.check("JSON Lines", [list(row) for row in rows] == [["path", "canary", "open", "exec", "why"]] * 2 and
                (rows[0]["canary"], rows[0]["open"], rows[0]["exec"]) == ("not-blocked", "blocked", "not-blocked"), rows)
    text = stage.tool("selftest").out
    suite.check("what is said forges no line", text.count("\n") == 3 and "\x1b" not in text, text)
    stage.command("canary", index=0, state=3)
    suite.check("one that could not be tried: 1", stage.tool("selftest").rc == 1)
    stage.command("selftest", result=2, text=b"the selftest has ended (signal 9)")
    result = stage.tool("selftest")
    suite.check("a run that ended: 4, and how", result.rc == 4 and "signal 9" in result.err, result)
    suite.check("a usage error: 2", stage.tool("selftest", "all").rc == 2)
    stage.process.kill()
    stage.process.wait()
    suite.check("not running: 3", stage.tool("selftest").rc == 3)


@suite.test("reload")
def _(suite):
    stage = Stage()
    suite.check("taken: 0", stage.tool("reload").rc == 0)
    stage.command("reload", result=2, text=b"mailward.conf:3: no such word \x1b[31m")
    result = stage.tool("reload")
    suite.check("refused: 2, the complaint is shown", result.rc == 2 and "mailward.conf:3" in result.err and
                "\x1b" not in result.err, result)
    answer = json.loads(stage.tool("reload", "--json").out)
    suite.check("refused in JSON", answer["result"] == "refused" and "mailward.conf:3" in answer["complaints"][0], answer)


@suite.test("nobody there, wrong use")
def _(suite):
    stage = Stage(start=False)
    for verb in (["status"], ["blocked"], ["watch"], ["explain", "/"], ["reload"], ["selftest"]):
        result = stage.tool(*verb)
        suite.check("%s: not running" % verb[0], result.rc == 3 and "not running" in result.err, result)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.bind(stage.runtime + "/keeper.sock")
    suite.check("a socket of a dead daemon: not running", stage.tool("status").rc == 3)
    for args in ([], ["nonsense"], ["--runtime-dir"], ["--nonsense", "status"], ["status", "x"], ["reload", "x"]):
        suite.check("usage error: %s" % " ".join(args), suite.run([TOOL] + args).rc == 2)
    for verb in ("top", "report", "metrics", "diag"):
        result = suite.run([TOOL, verb])
        suite.check("%s: said to be missing" % verb, result.rc == 2 and "not in this version yet" in result.err, result)
    result = suite.run([TOOL, "nonsense"])
    suite.check("an unknown verb lists those that there are", all(v in result.err for v in
                ("status", "blocked", "watch", "explain", "check", "reload")), result)
    for args in (["--help"], ["--version"], ["blocked", "--help"], ["--help", "status"]):
        result = suite.run([TOOL] + args)
        suite.check("%s: 0" % " ".join(args), result.rc == 0 and result.out and not result.err, result)
    with open("/dev/full", "w") as full:
        suite.check("a full disk under the output: 2", subprocess.run([TOOL, "--help"], stdout=full,
                                                                    stderr=subprocess.DEVNULL).returncode == 2)
    linked = suite.run(["ldd", TOOL]).out
    suite.check("the tool links neither the engine nor a database", "libclamav" not in linked and "sqlite" not in linked and
                "jansson" in linked, linked)


suite.main()
