#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The allow list: what is allowed although the scanner finds something, and for how long.

invariants: never-two-valued, verdict-of-one-generation, nothing-lost
"""
import hashlib
import json
import os
import signal
import subprocess
import time

from harness import CLEAN, EICAR, MARKER, SLACK, Host, Suite, eventually

suite = Suite("allow")
SECOND = 1.0


def signature_of(host, path):
    host.read(path)
    return host.tool_json("explain", path)[0]["signature"]


def add(host, *words):
    rc, text = host.tool("allow", "add", *words, "--reason", "a test")
    return rc, text


def entries(host):
    return host.tool_json("allow", "list")


def answer(host, path):
    return host.tool_json("explain", path)[0]


def allowed_soon(host, path, content, limit=SECOND):
    started = time.monotonic()
    got = eventually(lambda: host.read(path) == content, limit + SLACK, 0.01)
    return got and time.monotonic() - started <= limit + SLACK


def denied_soon(host, path, limit=SECOND):
    started = time.monotonic()
    got = eventually(lambda: host.read(path) is None, limit + SLACK, 0.01)
    return got and time.monotonic() - started <= limit + SLACK


@suite.test("a signature that is allowed makes no file infected; every other one does")
def _(suite):
    with Host(suite, watches=None) as host:
        host.start()
        first, second, both = host.put("a", EICAR), host.put("b", MARKER), host.put("c", EICAR + b"\n" + MARKER)
        clean = host.put("d", CLEAN)
        eicar = signature_of(host, first)
        suite.check("control: denied before", host.read(first) is None and "Eicar" in eicar, eicar)
        suite.check("control: the file with both is denied", host.read(both) is None)
        host.read(clean)
        scans = host.counter("scans")
        rc, text = add(host, "--signature", eicar)
        suite.check("it is added", rc == 0 and "entry 1" in text, (rc, text))
        suite.check("a name that was blocked here draws no warning", "warning" not in host.error, host.error)
        suite.check("after the add the file opens, within 1 s", allowed_soon(host, first, EICAR))
        said = answer(host, first)
        suite.check("it is clean now, and explain names the entry", said["verdict"] == "clean" and said["allowed"] == 1 and
                    said["detail"].startswith("allowed: %s (entry 1)" % eicar), said)
        suite.check("another signature is denied all the same", host.read(second) is None)
        suite.check("the other signature in the same file is denied", host.read(both) is None)
        suite.check("by its own name", "Marker" in answer(host, both)["signature"], answer(host, both))
        after = host.counter("scans")
        host.read(clean)
        suite.check("what was clean is not scanned again", host.counter("scans") == after and after > scans, (scans, after))
        row = entries(host)
        suite.check("it is listed with who, why and until when", len(row) == 1 and row[0]["id"] == 1 and
                    row[0]["signature"] == eicar and row[0]["uid"] == 0 and row[0]["reason"] == "a test" and row[0]["until"],
                    row)
        seconds = time.mktime(time.strptime(row[0]["until"][:19], "%Y-%m-%dT%H:%M:%S")) - \
            time.mktime(time.strptime(row[0]["added"][:19], "%Y-%m-%dT%H:%M:%S"))
        suite.check("for 30 days, where nothing is said", abs(seconds - 30 * 86400) < 5, seconds)
        rc, text = host.tool("allow", "remove", "1")
        suite.check("it is removed", rc == 0, (rc, text))
        suite.check("after that the file is denied again, within 1 s", denied_soon(host, first))
        suite.check("the list is empty", entries(host) == [])
        rc, text = host.tool("allow", "remove", "1")
        suite.check("what is not there is not removed", rc == 2 and "no entry 1" in text, (rc, text))


@suite.test("a content that is allowed opens; another content with the same signature does not")
def _(suite):
    with Host(suite) as host:
        host.start()
        content = EICAR + b" by mistake"
        path, copy, other = host.put("a", content), host.put("sub/b", content), host.put("c", EICAR + b" another")
        suite.check("control: denied before", host.read(path) is None and host.read(copy) is None)
        digest = hashlib.sha256(content).hexdigest()
        rc, text = add(host, "--sha256", digest.upper())
        suite.check("it is added", rc == 0, (rc, text))
        suite.check("after the add it opens, within 1 s", allowed_soon(host, path, content))
        suite.check("and every copy of it", host.read(copy) == content)
        said = answer(host, path)
        suite.check("its verdict stays infected, the answer is allow, explain names the entry",
                    said["verdict"] == "infected" and said["answer"] == "allow" and said["allowed"] == 1 and
                    "entry 1" in said["detail"], said)
        suite.check("another content is denied", host.read(other) is None)
        denied = len([row for row in host.blocked() if row["answer"] == "deny"])
        host.read(path)
        suite.check("an open of it is no denial in the history", time.sleep(1.2) is None and
                    len([row for row in host.blocked() if row["answer"] == "deny"]) == denied, host.blocked()[-1:])
        with open(path, "ab") as f:
            f.write(b"!")
        suite.check("and so is this one once it has changed", host.read(path) is None)
        suite.check("the list shows the digest", entries(host)[0]["sha256"] == digest, entries(host))


@suite.test("an entry ends by itself")
def _(suite):
    with Host(suite) as host:
        host.start()
        path = host.put("a", EICAR)
        name = signature_of(host, path)
        suite.check("control: denied before", host.read(path) is None)
        rc, text = add(host, "--signature", name, "--until", "3s")
        added = time.monotonic()
        suite.check("control: it opens while the entry stands", rc == 0 and host.read(path) == EICAR, (rc, text))
        os.kill(host.pid("steward"), signal.SIGSTOP)
        gone = eventually(lambda: host.read(path) is None, 10, 0.02)
        took = time.monotonic() - added
        suite.check("it ends at its time, though the steward stands still", gone and 2 < took < 3 + SLACK, took)
        os.kill(host.pid("steward"), signal.SIGCONT)
        suite.check("and is listed no more", eventually(lambda: entries(host) == [], 5), entries(host))
        suite.check("the log says so", "entry 1 (%s) has ended" % name in host.log(), host.log()[-300:])


@suite.test("the list is there after a restart, of each process and of all")
def _(suite):
    with Host(suite) as host:
        host.start()
        path, other = host.put("a", EICAR), host.put("b", MARKER)
        name = signature_of(host, path)
        suite.check("control: denied before", host.read(path) is None)
        add(host, "--signature", name, "--until", "never")
        suite.check("control: allowed then", host.read(path) == EICAR)
        suite.check("an entry without an end says so", entries(host)[0]["until"] is None, entries(host))
        for part in ("gate", "steward"):
            pid = host.pid(part)
            os.kill(pid, signal.SIGKILL)
            host.wait("another %s runs" % part, lambda: host.pids().get(part) not in (None, pid))
            host.wait("it serves", lambda: host.tool("status")[0] in (0, 1))
            first = host.wait("an answer", lambda: host.probe("open", path).rc in (0, 1) and host.probe("open", path))
            suite.check("after the end of the %s the file opens" % part, first.rc == 0, first)
            suite.check("and the other one does not", host.read(other) is None)
        host.stop()
        host.start()
        suite.check("after a restart of all the file opens", host.read(path) == EICAR)
        suite.check("the other one does not", host.read(other) is None)
        rc, text = add(host, "--signature", "Some.Thing.Else")
        suite.check("numbers go on", "entry 2" in text, text)
        mode = os.stat(host.state + "/steward/allowed").st_mode & 0o777
        suite.check("the file is root's alone", mode == 0o600, oct(mode))


@suite.test("verdicts that rest on an entry, or came before it, are void after a restart and in sweeps too")
def _(suite):
    with Host(suite) as host:
        host.start()
        path, other = host.put("a", EICAR), host.put("b", MARKER)
        found = lambda: [os.path.basename(row["path"]) for row in host.tool_json("scan", host.watched, timeout=30)  # noqa: E731
                         if row.get("verdict") == "infected"]
        name = signature_of(host, path)
        suite.check("control: a sweep finds both", host.read(other) is None and sorted(found()) == ["a", "b"], found())
        host.stop()
        host.start()
        rc, text = add(host, "--signature", name, "--until", "5s")
        ends = time.monotonic() + 5
        suite.check("its verdict of before the restart is void: it opens", rc == 0 and host.read(path) == EICAR, (rc, text))
        suite.check("a sweep does not find it any more", found() == ["b"], found())
        host.stop()
        time.sleep(max(ends - time.monotonic() + 0.1, 0))
        host.start()
        suite.check("it ended while no daemon ran: denied", host.read(path) is None)
        suite.check("and a sweep finds it again", sorted(found()) == ["a", "b"], found())


@suite.test("two who change the list at once lose nothing of each other")
def _(suite):
    with Host(suite) as host:
        host.start()
        writers = [suite.popen([host.programs + "/mailward", "--runtime-dir", host.runtime, "allow", "add", "--signature",
                                "Name.%d" % i, "--reason", "writer %d" % i], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                   for i in range(12)]
        said = [writer.communicate(timeout=30) for writer in writers]
        suite.check("each is told that it is done", all(writer.returncode == 0 for writer in writers), said)
        rows = entries(host)
        suite.check("all are there, each with its number and reason", len({row["id"] for row in rows}) == 12 and
                    {(row["signature"], row["reason"]) for row in rows} == {("Name.%d" % i, "writer %d" % i) for i in range(12)}, rows)
        host.stop()
        host.start()
        suite.check("and after a restart", entries(host) == rows)


def tampered(suite, host, what, change, word):
    path = host.state + "/steward/allowed"
    good = open(path, "rb").read()
    change(path, good)
    before = len(host.log())
    host.start()
    suite.check("%s: nothing is allowed by it" % what, host.read(host.watched + "/a") is None)
    suite.check("%s: a line says so" % what, "is refused, nothing is allowed by it" in host.log()[before:] and
                word in host.log()[before:], host.log()[before:][-500:])
    issues = [issue["id"] for issue in host.status()["issues"]]
    suite.check("%s: status says so" % what, "allow-list" in issues, issues)
    rc, text = host.tool("allow", "list")
    suite.check("%s: the list is no empty list" % what, rc == 2, (rc, text))
    host.stop()
    os.unlink(path)
    with open(path, "wb") as f:
        f.write(good)
    os.chmod(path, 0o600)


@suite.test("a list that somebody else has changed is refused")
def _(suite):
    with Host(suite) as host:
        host.start()
        host.put("a", EICAR)
        name = signature_of(host, host.watched + "/a")
        add(host, "--signature", name)
        suite.check("control: allowed by a good list", host.read(host.watched + "/a") == EICAR)
        host.stop()

        def written(bytes_of):
            def change(path, good):
                with open(path, "wb") as f:
                    f.write(bytes_of(good))
            return change
        until = lambda good: good.replace(b" signature 1", b" signature 2", 1)
        tampered(suite, host, "a later end", written(until), "sum is wrong")
        tampered(suite, host, "cut in the middle", written(lambda good: good[:len(good) // 2]), "line ")
        tampered(suite, host, "garbage", written(lambda good: os.urandom(4096)), "no allow list")
        tampered(suite, host, "empty", written(lambda good: b""), "is empty")
        tampered(suite, host, "writable by others", lambda path, good: os.chmod(path, 0o622), "others than root")
        tampered(suite, host, "another user's", lambda path, good: os.chown(path, 4711, 4711), "others than root")

        def linked(path, good):
            os.rename(path, host.base + "/elsewhere")
            os.symlink(host.base + "/elsewhere", path)
        tampered(suite, host, "a symbolic link", linked, "refused")

        def fifo(path, good):
            os.unlink(path)
            os.mkfifo(path)
        tampered(suite, host, "a pipe", fifo, "no regular file")
        host.start()
        suite.check("control: the good one counts again", host.read(host.watched + "/a") == EICAR)
        host.stop()
        written(until)(host.state + "/steward/allowed", open(host.state + "/steward/allowed", "rb").read())
        host.start()
        rc, text = add(host, "--signature", name)
        suite.check("a new entry puts a refused list aside", rc == 0 and host.read(host.watched + "/a") == EICAR and
                    os.path.exists(host.state + "/steward/allowed.refused"), (rc, text))
        suite.check("and status is content", "allow-list" not in [i["id"] for i in host.status()["issues"]])


@suite.test("what is wrong is refused, with the reason")
def _(suite):
    with Host(suite) as host:
        host.start()
        good = "0" * 64
        for words, part in (
                (("--sha256", "12"), "no SHA-256"), (("--sha256", "g" * 64), "no SHA-256"),
                (("--sha256", good + "0"), "no SHA-256"), ((), "either --sha256"),
                (("--sha256", good, "--signature", "A"), "either --sha256"), (("--signature", ""), "no name"),
                (("--signature", "a\nb"), "no name"), (("--signature", "x" * 128), "no name"),
                (("--signature", "Mailward.Canary"), "proves that it sees"),
                (("--signature", "A", "--until", "yesterday"), "no time"),
                (("--signature", "A", "--until", "2020-01-01"), "in the past"),
                (("--signature", "A", "--until", "2020-01-01T00:00:00Z"), "in the past"),
                (("--signature", "A", "--until", "0s"), "in the past"),
                (("--signature", "A", "--signature", "B"), "twice"), (("--sign", "A"), "unexpected"),
                (("--signature",), "no name")):
            rc, text = add(host, *words) if words != ("--signature",) else host.tool("allow", "add", "--reason", "x",
                                                                                     "--signature")
            part = "needs a value" if words == ("--signature",) else part
            suite.check("refused: %s" % " ".join(w[:30].replace("\n", "\\n") for w in words), rc == 2 and part in text, (rc, text))
        rc, text = host.tool("allow", "add", "--signature", "A")
        suite.check("refused: without a reason", rc == 2 and "--reason" in text, (rc, text))
        suite.check("nothing of it is in the list", entries(host) == [])
        rc, text = add(host, "--signature", "Never.Seen.Here")
        suite.check("an unknown name is taken, with a warning", rc == 0 and "warning" in host.error and
                    "Never.Seen.Here" in host.error, host.error)
        rc, text = add(host, "--signature", "Never.Seen.Here")
        suite.check("the same once more names the entry that is there", rc == 2 and "entry 1" in text, (rc, text))
        rc, text = host.tool("allow", "add", "--signature", "B", "--until", "2099-12-31", "--reason", "\x1b[31mred",
                             "--json")
        suite.check("--json says the number", rc == 0 and json.loads(text)["id"] == 2, (rc, text))
        rc, text = host.tool("allow", "list")
        suite.check("hostile text forges nothing", "\x1b" not in text and "\\x1b" in text, text)
        suite.check("a date is one of UTC", entries(host)[1]["until"].startswith("2099-12-31T00:00:00"), entries(host))


@suite.test("only root changes the list")
def _(suite):
    with Host(suite) as host:
        host.start()
        program = os.path.join(os.path.dirname(host.runtime), "tool")
        with open(os.path.join(host.programs, "mailward"), "rb") as source, open(program, "wb") as f:
            f.write(source.read())
        os.chmod(program, 0o755)
        os.chmod(host.runtime + "/steward.sock", 0o666)  # as if in the group
        os.chmod(host.runtime, 0o755)
        words = [program, "--runtime-dir", host.runtime, "allow"]
        as_user = lambda *more: suite.run(words + list(more), user=65534, group=65534, extra_groups=[])
        result = as_user("list")
        suite.check("control: a member of the group may look", result.rc == 0, result)
        for more in (("add", "--signature", "A", "--reason", "x"), ("remove", "1")):
            result = as_user(*more)
            suite.check("%s is root's" % more[0], result.rc == 2 and "only root" in result.err, result)
        suite.check("and nothing was added", entries(host) == [])


def write_list(host, count):
    """As the steward writes it (daemon/think/allowed_text.h)."""
    text = "mailward-allowed 1\nnext %d\n" % (count + 1)
    for i in range(count):
        text += "entry %d sha256 0 1 0 %064x %s\n" % (i + 1, i, ("n" * 255).encode().hex())
    total = 0xcbf29ce484222325
    for byte in text.encode():
        total = (total ^ byte) * 0x100000001b3 & (1 << 64) - 1
        total ^= total >> 31
    path = host.state + "/steward/allowed"
    with open(path, "w") as f:
        f.write(text + "end %d %016x\n" % (count, total))
    os.chmod(path, 0o600)


@suite.test("a list that is full, and one of many entries")
def _(suite):
    with Host(suite) as host:
        host.start()
        path = host.put("a", EICAR)
        name = signature_of(host, path)
        host.stop()
        write_list(host, 511)
        host.start()
        suite.check("control: 511 are there", len(entries(host)) == 511 and host.read(path) is None)
        rc, text = add(host, "--signature", name)
        suite.check("the last one has room", rc == 0 and host.read(path) == EICAR, (rc, text))
        rc, text = add(host, "--signature", "One.More")
        suite.check("one more has not", rc == 2 and "full (512 entries)" in text, (rc, text))
        host.stop()
        host.start()
        suite.check("all of it is there after a restart", len(entries(host)) == 512 and host.read(path) == EICAR)


suite.main(at_once=3)
