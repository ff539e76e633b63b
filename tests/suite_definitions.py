#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""New definitions: loaded beside the old and swapped under load, refused where they are no good, looked for again where
there is no room; what they find in old mail; what a restart keeps."""
# limit: 420
import json
import mmap
import os
import re
import shutil
import threading
import time

from harness import BUILD, CLEAN, EICAR, MARKER, SLACK, TESTS, Host, Suite, descendants, distribution, eventually, helper

suite = Suite("definitions", limit=400)
NEW = b"a signature of " + b"tomorrow finds this"


def signatures(host, **texts):
    """Other definitions: the usual ones, and these."""
    host.define(dict({"Mailward.Test.Eicar": EICAR, "Mailward.Test.Marker": MARKER},
                     **{"Mailward.Test." + name: text for name, text in texts.items()}))


def put_definitions(host, name, text):
    """As freshclam does: under another name first."""
    path = host.definitions + "/" + name
    with open(path + ".tmp", "wb") as f:
        f.write(text)
    os.chmod(path + ".tmp", 0o644)
    os.rename(path + ".tmp", path)


def definitions(host):
    return json.loads(host.tool("definitions", "--json")[1])


def count(host):
    return definitions(host)["signatures"]


def wait_count(host, number, timeout=30):
    host.wait("%d signatures are in use" % number, lambda: count(host) == number, timeout)


def issues(host):
    return {i["id"]: i for i in (host.status() or {}).get("issues", [])}


def finds_new(host):
    """The gate goes by the new ones a little after they are in use: not before the last word of an old worker."""
    return eventually(lambda: host.read(host.put("new-%d" % time.monotonic_ns(), NEW)) is None, 10, 0.3)


@suite.test("swap")
def _(suite):
    """Ten reloads under four readers: nobody waits longer than his deadline, nobody reads an infected byte."""
    with Host(suite) as host:
        host.policy(host.watch(deadline="5s", on_error="deny"))
        suite.check("swap: control: without the daemon an infected file is read",
                    host.read(host.put("control", MARKER)) == MARKER)
        host.start()
        stop, waits, bytes_read, errors = threading.Event(), [], [0, 0], []
        lock = threading.Lock()

        def reader(number):
            turn = 0
            while not stop.is_set():
                turn += 1
                bad = turn % 2
                content = b"%d %d\n" % (number, turn) + (MARKER if bad else CLEAN)
                path = host.put("%d-%d" % (number, turn), content)
                begun = time.monotonic()
                got = host.read(path)
                waited = time.monotonic() - begun
                with lock:
                    waits.append(waited)
                    bytes_read[bad] += len(got or b"")
                    if (got is None) != bool(bad):
                        errors.append((path, got is None))
                os.unlink(path)

        threads = [threading.Thread(target=reader, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        reloads = 0
        try:
            for i in range(10):
                text = "".join("Mailward.Filler.%d.%d:0:*:%s\n" % (i, j, os.urandom(16).hex()) for j in range(20000 + i))
                put_definitions(host, "filler.ndb", text.encode())
                if not eventually(lambda: count(host) == 20002 + i, 40):
                    break
                reloads += 1
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        suite.say("swap: %d reloads, %s" % (reloads, distribution(waits)))
        suite.check("swap: ten times the new ones came in use", reloads == 10, reloads)
        suite.check("swap: nobody waits longer than his deadline", max(waits) <= 5 + SLACK, max(waits))
        suite.check("swap: bytes of infected files read: 0", bytes_read[1] == 0, bytes_read)
        suite.check("swap: clean files are read", bytes_read[0] > 0, bytes_read)
        suite.check("swap: nobody was denied for the swap's sake", not errors, errors[:5])
        suite.check("swap: nobody ran into his deadline", host.counter("deadlines_passed") == 0,
                    host.counter("deadlines_passed"))


def resident(pid):
    with open("/proc/%d/statm" % pid) as f:
        fields = f.read().split()
    return (int(fields[1]) - int(fields[2])) * 4096


@suite.test("memory is given back")
def _(suite):
    with Host(suite) as host:
        text = lambda: "".join("Mailward.Filler.%d:0:*:%s\n" % (j, os.urandom(16).hex()) for j in range(60000)).encode()
        put_definitions(host, "filler.ndb", text())
        host.start()
        one = resident(host.pid("loader"))
        pid = host.pid("loader")
        for i in range(4):
            before = definitions(host)["version"]
            put_definitions(host, "filler.ndb", text())
            host.wait("other ones are in use", lambda: definitions(host)["version"] != before, 30)
        eventually(lambda: resident(host.pid("loader")) < 1.5 * one, 10)  # once no worker has it any more
        after = resident(host.pid("loader"))
        suite.say("memory: one engine %d MB, after four swaps %d MB" % (one >> 20, after >> 20))
        suite.check("memory: the same loader", host.pid("loader") == pid)
        suite.check("memory: the old engine's is given back", after < 1.5 * one, (one, after))
        suite.check("memory: what it takes is told",
                    one / 3 < definitions(host)["memory_bytes"] < 3 * one, definitions(host)["memory_bytes"])


def pss(pids):
    """Bytes; what several share is counted once."""
    total = 0
    for pid in pids:
        try:
            with open("/proc/%d/smaps_rollup" % pid) as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:")) << 10
        except OSError:
            pass
    return total


@suite.test("two engines at most")
def _(suite):
    """Freeing the old engine writes to it: no worker may share it then, or it is in memory twice."""
    with Host(suite) as host:
        text = lambda: "".join("Mailward.Filler.%d:0:*:%s\n" % (j, os.urandom(16).hex()) for j in range(120000)).encode()
        put_definitions(host, "filler.ndb", text())
        host.policy(host.watch(deadline="60s"), scanner={"workers": 4})
        host.start()
        loader, most = host.pid("loader"), [0]
        host.wait("four workers", lambda: len(host.workers()) == 4)
        before, version = pss([loader] + descendants(loader)), definitions(host)["version"]
        ended = threading.Event()

        def measure():
            while not ended.wait(0.01):
                most[0] = max(most[0], pss([loader] + descendants(loader)))
        thread = threading.Thread(target=measure)
        thread.start()
        put_definitions(host, "filler.ndb", text())
        host.wait("other ones are in use", lambda: definitions(host)["version"] != version, 60)
        engine = definitions(host)["memory_bytes"]
        back = eventually(lambda: pss([loader] + descendants(loader)) < before + 0.4 * engine, 15)
        ended.set()
        thread.join()
        suite.say("memory: %d MB, at most %d MB while they are swapped; the engine: %d MB" %
                  (before >> 20, most[0] >> 20, engine >> 20))
        suite.check("two engines: control: there were two", most[0] > before + 0.5 * engine, (before, most[0], engine))
        suite.check("two engines: not three", most[0] < before + 1.6 * engine, (before, most[0], engine))
        suite.check("two engines: then one again", back, pss([loader] + descendants(loader)))
        suite.check("two engines: an infected file is refused", host.read(host.put("bad", EICAR)) is None)


def peak_given_back(pid):
    """Bytes between the most that a process has had in memory and what it has now."""
    with open("/proc/%d/status" % pid) as f:
        fields = dict(line.split(":", 1) for line in f)
    return (int(fields["VmHWM"].split()[0]) - int(fields["VmRSS"].split()[0])) << 10


@suite.test("a worker that rests")
def _(suite):
    """libclamav takes 768 bytes for each logical signature in a scan, and again in each layer."""
    with Host(suite) as host:
        host.policy(host.watch(deadline="60s"), scanner={"workers": 1})
        put_definitions(host, "filler.ldb", "".join("Mailward.Filler.%d;Target:0;(0&1);%s;%s\n" % (
            j, os.urandom(16).hex(), os.urandom(16).hex()) for j in range(20000)).encode())
        paths = [host.put("clean-%d" % i, CLEAN * (i + 1)) for i in range(8)]
        host.start()
        worker = host.workers()[0]
        suite.check("rest: clean files are read", all(host.read(path) for path in paths))
        back = eventually(lambda: peak_given_back(worker) > 8 << 20, 5) and peak_given_back(worker)
        suite.say("memory: %d MB less than its most" % (peak_given_back(worker) >> 20))
        suite.check("rest: the same worker", host.workers() == [worker])
        suite.check("rest: what its scans took is given back", back, peak_given_back(worker))


@suite.test("broken")
def _(suite):
    with Host(suite) as host:
        host.start()
        suite.check("broken: in order before", host.tool("definitions")[0] == 0, host.tool("definitions"))
        before = definitions(host)
        put_definitions(host, "broken.ndb", b"This is no signature\n")
        told = host.wait("it is an issue", lambda: issues(host).get("definitions-broken"))
        suite.check("broken: the issue has a remedy", told["remedy"] and "Malformed" in told["text"], told)
        suite.check("broken: status and definitions end with 1",
                    (host.tool("status")[0], host.tool("definitions")[0]) == (1, 1))
        now = definitions(host)
        suite.check("broken: the old ones are in use",
                    (now["version"], now["signatures"]) == (before["version"], before["signatures"]), now)
        suite.check("broken: why not is told", now["refused"]["id"] == "broken", now["refused"])
        suite.check("broken: infected files are denied all the same", host.read(host.put("bad", MARKER)) is None)
        suite.check("broken: clean ones are read", host.read(host.put("good", CLEAN)) == CLEAN)
        os.unlink(host.definitions + "/broken.ndb")
        suite.check("broken: it is over when the file is gone",
                    eventually(lambda: not issues(host) and definitions(host)["refused"] is None, 15), issues(host))


@suite.test("no files")
def _(suite):
    """A pipe or a folder that is called like a database: libclamav would read it without end."""
    with Host(suite) as host:
        host.start()
        pids = host.pids()
        for make, take_away in ((os.mkfifo, os.unlink), (os.mkdir, os.rmdir)):
            make(host.definitions + "/daily.ndb")
            told = eventually(lambda: issues(host).get("definitions-broken"), 10)
            suite.check("no files: %s: status names it" % make.__name__, told and
                        "daily.ndb is no regular file" in told["text"], (told, issues(host)))
            take_away(host.definitions + "/daily.ndb")
            suite.check("no files: %s: it is over when it is gone" % make.__name__, eventually(lambda: not issues(host), 10),
                        issues(host))
        suite.check("no files: nothing was started again", host.pids() == pids, (host.pids(), pids))
        os.mkfifo(host.definitions + "/daily.ndb")
        host.stop()
        host.start()
        suite.check("no files: at the start, too", "daily.ndb is no regular file" in
                    host.wait("it is told", lambda: issues(host).get("no-definitions"))["text"], issues(host))
        os.unlink(host.definitions + "/daily.ndb")
        wait_count(host, 2)


def crashing(host):
    """Programs whose libclamav crashes while it loads a folder with a file crash* in it (tests/scanner/crash_load.c)."""
    host.programs = host.programs_with(helper("preloaded"))
    shutil.copy2(os.path.join(BUILD, "mailward-scanner"), host.programs + "/real")
    suite.run([os.environ.get("CC", "gcc"), "-shared", "-fPIC", "-O0", "-o", host.programs + "/preload.so",
               os.path.join(TESTS, "scanner", "crash_load.c")])


@suite.test("one that makes the engine crash")
def _(suite):
    """It is tried in a child first: the old ones stay, and status names the file."""
    with Host(suite) as host:
        crashing(host)
        host.start()
        loader, before = host.pid("loader"), definitions(host)
        for name, number in (("crash.ndb", 11), ("crash-stack.ndb", 11), ("crash-abort.ndb", 6)):
            put_definitions(host, name, b"Mailward.Test.Filler:0:*:%s\n" % os.urandom(16).hex().encode())
            told = eventually(lambda: issues(host).get("definitions-broken"), 10)
            if not suite.check("crash: %s: status names signal and file" % name, told and
                               "signal %d" % number in told["text"] and "loads %s" % name in told["text"], issues(host)):
                return
            suite.check("crash: %s: the old ones are in use, in the same loader" % name, host.pid("loader") == loader and
                        definitions(host)["version"] == before["version"], definitions(host))
            suite.check("crash: %s: infected files are denied, clean ones read" % name,
                        host.read(host.put("bad-" + name, MARKER)) is None and
                        host.read(host.put("good-" + name, CLEAN)) == CLEAN)
            os.unlink(host.definitions + "/" + name)
            host.wait("it is over", lambda: not issues(host))
        suite.check("crash: nothing was started again", not restarts(host), host.status()["processes"])
        signatures(host, New=NEW)
        wait_count(host, 3)
        suite.check("crash: control: others come in use", finds_new(host))
        suite.check("crash: still in the same loader", host.pid("loader") == loader)


def restarts(host):
    return sum(p.get("restarts", 0) for p in host.status()["processes"])


@suite.test("a start with one that makes the engine crash")
def _(suite):
    """One loader ends for it; the next one tries it first, says which file it is, and stays."""
    with Host(suite) as host:
        crashing(host)
        put_definitions(host, "crash.ndb", b"Mailward.Test.Filler:0:*:%s\n" % os.urandom(16).hex().encode())
        host.policy(host.watch(on_error="deny"))
        host.start()
        told = host.wait("it is an issue", lambda: issues(host).get("no-definitions"))
        suite.check("crash at the start: status names the file", "loads crash.ndb" in told["text"], told)
        suite.check("crash at the start: the tool for definitions does, too, and ends with 1",
                    host.tool("definitions")[0] == 1 and "crash.ndb" in host.tool("definitions")[1], host.tool("definitions"))
        good = host.put("good", CLEAN)
        rows = host.read(good) is None and host.blocked()
        suite.check("crash at the start: every verdict is unscanned(no-definitions)",
                    rows and rows[-1]["reason"] == "no-definitions", rows)
        loader, before = host.pid("loader"), restarts(host)
        suite.check("crash at the start: one loader ended for it", before == 1, host.status()["processes"])
        time.sleep(3)
        suite.check("crash at the start: and no other one", (host.pid("loader"), restarts(host)) == (loader, 1))
        os.unlink(host.definitions + "/crash.ndb")
        wait_count(host, 2)
        suite.check("crash at the start: without that file it judges", eventually(
            lambda: host.read(good) == CLEAN, 10) and host.read(host.put("bad", MARKER)) is None)
        suite.check("crash at the start: in the same loader", host.pid("loader") == loader)


def forged():
    """A signed database that nobody signed: a header as freshclam's, and a tar with one signature."""
    head = "ClamAV-VDB:01 Jan 2026 00-00 +0000:999:1:90:%s:%s:nobody:1767225600" % ("0" * 32, "A" * 342)
    return head.encode().ljust(512) + b"\x1f\x8b\x08" + os.urandom(200)


@suite.test("forged")
def _(suite):
    with Host(suite) as host:
        host.start()
        put_definitions(host, "daily.cvd", forged())
        told = host.wait("it is an issue", lambda: issues(host).get("definitions-broken"))
        suite.check("forged: it is refused for its signature", "verif" in told["text"].lower(), told)
        suite.check("forged: the old ones are in use", count(host) == 2, definitions(host))
        suite.check("forged: infected files are denied", host.read(host.put("bad", MARKER)) is None)
        suite.check("forged: it is not listed", [f["name"] for f in definitions(host)["files"]] == ["mailward-test.ndb"])
        suite.check("forged: what has no signature says so",
                    [f["verified"] for f in definitions(host)["files"]] == ["unsigned"])
        # control: the same kind of file loads where no signature is asked for
        os.unlink(host.definitions + "/daily.cvd")
        put_definitions(host, "daily.ndb", ("Mailward.Test.New:0:*:%s\n" % NEW.hex()).encode())
        wait_count(host, 3)
        suite.check("forged: other new ones come in use", finds_new(host))


@suite.test("folder")
def _(suite):
    """Removed, empty, made again, another one in its place; half written."""
    with Host(suite) as host:
        host.start()
        os.rename(host.definitions, host.definitions + "-away")
        host.wait("it is an issue", lambda: "definitions-gone" in issues(host))
        suite.check("folder: the old ones are in use without it",
                    count(host) == 2 and host.read(host.put("bad", MARKER)) is None, definitions(host))
        os.mkdir(host.definitions, 0o755)
        time.sleep(3)
        suite.check("folder: an empty one is none", "definitions-gone" in issues(host), issues(host))
        signatures(host, New=NEW)
        wait_count(host, 3)
        suite.check("folder: what is made in its place is found", finds_new(host))
        suite.check("folder: the issue is over", eventually(lambda: not issues(host), 10), issues(host))
        # freshclam brings several files one after the other: loaded once, when it is over
        loaded = host.log().count("definitions:")
        for i in range(6):
            put_definitions(host, "part%d.ndb" % i, ("Mailward.Part.%d:0:*:%s\n" % (i, os.urandom(16).hex())).encode())
            time.sleep(0.9)
        wait_count(host, 9)
        suite.check("folder: files that come one by one are loaded when they are all there",
                    host.log().count("definitions:") - loaded <= 2, host.log()[-600:])


@suite.test("room")
def _(suite):
    """Too little memory: the old ones stay. What the new ones would take goes by their size."""
    with Host(suite) as host:
        host.start()
        huge = host.definitions + "/huge.hdb"
        with open(huge + ".tmp", "wb") as f:
            f.truncate(1 << 40)
        os.rename(huge + ".tmp", huge)
        told = host.wait("it is an issue", lambda: issues(host).get("definitions-no-room"))
        suite.check("room: what it would take and what there is, is told",
                    re.search(r"about \d+ MB .* leaves \d+ MB", told["text"]), told)
        suite.check("room: the remedy says that it is tried again", "again" in told["remedy"], told)
        suite.check("room: it was not loaded", host.pids().get("loader") and count(host) == 2, definitions(host))
        suite.check("room: infected files are denied, clean ones read",
                    host.read(host.put("bad", MARKER)) is None and host.read(host.put("good", CLEAN)) == CLEAN)
        # room comes: the same name, with less in it
        put_definitions(host, "huge.hdb", b"0123456789abcdef0123456789abcdef:68:Mailward.Test.Hash\n")
        wait_count(host, 3)
        suite.check("room: it is tried again by itself", eventually(lambda: not issues(host), 10), issues(host))


@suite.test("freshclam")
def _(suite):
    """As Debian ships it, from a folder in place of the network; it brings a file of its own beside the old ones."""
    program = shutil.which("freshclam")
    if not program:
        suite.skip("freshclam", "freshclam is not installed")
        return
    with Host(suite) as host:
        host.start()
        source = host.base + "/tomorrow.ndb"
        with open(source, "w") as f:
            f.write("Mailward.Test.New:0:*:%s\n" % NEW.hex())
        with open(host.base + "/freshclam.conf", "w") as f:
            f.write("DatabaseDirectory %s\nDatabaseOwner root\nDatabaseCustomURL file://%s\nDatabaseMirror 127.0.0.1\n"
                    "MaxAttempts 1\n" % (host.definitions, source))
        said = suite.run(["unshare", "-n", program, "--config-file=" + host.base + "/freshclam.conf",
                          "--update-db=custom", "--stdout"], timeout=60)
        suite.check("freshclam: it brought a file", os.path.exists(host.definitions + "/tomorrow.ndb"), said)
        if not os.stat(host.definitions + "/tomorrow.ndb").st_mode & 4:  # of its own making only what it downloads is 0644
            told = host.wait("it is an issue", lambda: issues(host).get("definitions-broken"))
            suite.check("freshclam: a file that only its owner may read is told, with the remedy",
                        "tomorrow.ndb" in told["text"] and "chmod o+r" in told["text"], told)
            suite.check("freshclam: the old ones are in use", count(host) == 2)
            os.chmod(host.definitions + "/tomorrow.ndb", 0o644)
        wait_count(host, 3)
        suite.check("freshclam: what it brought is in use", finds_new(host))
        suite.check("freshclam: what it keeps for itself is no database",
                    sorted(f["name"] for f in definitions(host)["files"]) == ["mailward-test.ndb", "tomorrow.ndb"])


@suite.test("age")
def _(suite):
    with Host(suite) as host:
        old = time.time() - 3 * 86400
        os.utime(host.definitions + "/mailward-test.ndb", (old, old))
        host.policy(top="max-definitions-age = 4d\n")
        host.start()
        suite.check("age: below the limit is no issue", host.tool("status")[0] == 0 and
                    host.tool("definitions")[0] == 0, host.tool("status"))
        host.policy(top="max-definitions-age = 2d\n")
        host.tool("reload")
        suite.check("age: above it is one", "definitions-old" in issues(host), issues(host))
        suite.check("age: exit code 1", (host.tool("status")[0], host.tool("definitions")[0]) == (1, 1))
        suite.check("age: it is told", definitions(host)["max_age_s"] == 2 * 86400 and
                    abs(definitions(host)["age_s"] - 3 * 86400) < 3600, definitions(host))
        os.utime(host.definitions + "/mailward-test.ndb")
        suite.check("age: fresh ones end it", eventually(lambda: host.tool("status")[0] == 0, 20), issues(host))


def passes(host):
    """Over so far; the first one is over at once, when the daemon starts for the first time in an empty watch."""
    return host.log().count("recheck with the new definitions")


@suite.test("old mail")
def _(suite):
    """A signature that comes later finds what lies in the mailbox, before anybody opens it, the newest first."""
    with Host(suite) as host:
        there = host.watched + "/there"
        os.mkdir(there)
        for name in ("background", "open", "never"):
            os.mkdir(there + "/" + name)
        host.policy(*[host.watch(there + "/" + path, recheck=word) for path, word in
                      (("background", "background"), ("open", "on-open"), ("never", "never"))])
        host.start()
        bad = {name: host.put(name + "/bad", NEW, there) for name in ("background", "open", "never")}
        for path in bad.values():
            suite.check("old mail: control: it was clean: " + path.split("/")[-2], host.read(path) == NEW)
        mails = []
        for i in range(60):
            path = host.put("background/sub%d/%d" % (i % 3, i), b"number %d " % i + (NEW if i % 20 == 7 else CLEAN), there)
            os.utime(path, (1700000000 + i, 1700000000 + i))
            mails.append(path)
        for path in mails:
            host.wait("it was judged", lambda: host.read(path) is not None)
        signatures(host, New=NEW)
        wait_count(host, 3)
        host.wait("the pass is over", lambda: passes(host) == 2, 60)
        line = [l for l in host.log().splitlines() if "recheck with the new definitions" in l][-1]
        suite.say(line)
        suite.check("old mail: every file of the watch was judged anew, and no other", " 61 files, 61 judged" in line, line)
        rows = [r for r in host.blocked() if r["phase"] == "recheck"]
        suite.check("old mail: what turned out infected is told before anybody opens it",
                    sorted(r["path"] for r in rows) == sorted([bad["background"]] + [mails[i] for i in (7, 27, 47)]),
                    [r["path"] for r in rows])
        suite.check("old mail: the signature is in the record", all("Mailward.Test.New" in r["signature"] for r in rows), rows)
        known = lambda path: [(e["state"], e["verdict"]) for e in host.tool_json("explain", path)][0]
        suite.check("old mail: an open finds the verdict there: denied",
                    known(mails[7]) == ("known", "infected") and host.read(mails[7]) is None, known(mails[7]))
        suite.check("old mail: an open finds the verdict there: clean",
                    known(mails[8]) == ("known", "clean") and host.read(mails[8]) is not None, known(mails[8]))
        suite.check("old mail: on-open: it is unknown until the next open has it judged",
                    known(bad["open"])[0] == "unknown" and host.read(bad["open"]) is None, known(bad["open"]))
        suite.check("old mail: never: what was clean stays clean",
                    known(bad["never"]) == ("known", "clean") and host.read(bad["never"]) == NEW, known(bad["never"]))
        suite.check("old mail: never: control: what comes now is judged with the new ones",
                    host.read(host.put("never/later", NEW, there)) is None)
        # no pass without new definitions
        host.stop()
        host.start()
        time.sleep(3)
        suite.check("old mail: a restart alone begins no pass", passes(host) == 2)


@suite.test("old mail in a deep folder")
def _(suite):
    """Its path is longer than any that can be told; it is judged anew all the same, though it is the newest."""
    with Host(suite) as host:
        host.policy(host.watch(recheck="background", mode="observe"))
        host.start()
        host.wait("the first pass is over", lambda: passes(host) == 1)
        old = host.put("old", CLEAN)
        os.utime(old, (1700000000, 1700000000))
        folder = os.open(host.watched, os.O_RDONLY)
        for _ in range(30):
            os.mkdir("d" * 200, dir_fd=folder)
            deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = deeper
        with open(os.open("bad", os.O_WRONLY | os.O_CREAT, dir_fd=folder), "wb") as f:
            f.write(NEW)
        os.close(folder)
        signatures(host, New=NEW)
        host.wait("the pass is over", lambda: passes(host) == 2, 60)
        line = [l for l in host.log().splitlines() if "recheck with the new definitions" in l][-1]
        suite.check("deep: it was judged anew", " 1 infected" in line, line)


@suite.test("old mail in a maildir")
def _(suite):
    """What turns out infected is handled like new: it goes to the quarantine before anybody opens it."""
    with Host(suite) as host:
        host.policy(host.watch(store="maildir", recheck="background"))
        host.start()
        bad, good = host.put("Maildir/cur/1.bad:2,S", NEW), host.put("Maildir/cur/2.good:2,S", CLEAN)
        suite.check("maildir: control: it was clean", host.read(bad) == NEW and host.read(good) == CLEAN)
        signatures(host, New=NEW)
        host.wait("the pass is over", lambda: passes(host) == 2, 60)
        suite.check("maildir: it is no more in the mailbox", eventually(lambda: not os.path.exists(bad), 10))
        items = host.tool_json("quarantine", "list")
        suite.check("maildir: it is in the quarantine", [i["signature"].split(".UNOFFICIAL")[0] for i in items] ==
                    ["Mailward.Test.New"], items)
        rows = [r for r in host.blocked() if r["phase"] == "recheck"]
        suite.check("maildir: it is told, once, under its name", [r["path"] for r in rows] == [bad], rows)
        suite.check("maildir: the others stay", host.read(good) == CLEAN)
        suite.check("maildir: nobody was denied for it", host.counter("denied") == 0, host.counter("denied"))


@suite.test("newest first")
def _(suite):
    """With one worker, the order of the verdicts is the order of the mails."""
    with Host(suite) as host:
        host.policy(host.watch(recheck="background", mode="observe"), scanner={"workers": 1})
        host.start()
        mails = [host.put("%d/m%d" % (i % 5, i), b"number %d " % i + NEW) for i in range(40)]
        for i, path in enumerate(mails):
            age = (i * 17) % 40
            os.utime(path, (1700000000 + age, 1700000000 + age))
        signatures(host, New=NEW)
        host.wait("the pass is over", lambda: passes(host) == 2, 60)
        rows = [r for r in host.tool_json("blocked") if r["phase"] == "recheck"]
        ages = [int(os.stat(r["path"]).st_mtime) - 1700000000 for r in sorted(rows, key=lambda r: r["time"])]
        # a few are asked at one time, and rows carry milliseconds: each is near its place
        places = [abs(place - (39 - age)) for place, age in enumerate(ages)]
        suite.check("newest first: all are told", len(ages) == 40, len(ages))
        suite.check("newest first: in this order", ages and max(places) <= 8, ages)


@suite.test("readers go first")
def _(suite):
    """While a pass is under way, an open waits for its own scan and for nothing else."""
    with Host(suite) as host:
        host.policy(host.watch(recheck="background"), scanner={"workers": 2})
        host.start()
        for i in range(1500):
            host.put("old/%d" % i, b"%d " % i + CLEAN * 200)
        host.wait("all is judged", lambda: host.counter("cases") == 0, 60)
        signatures(host, New=NEW)
        wait_count(host, 3)
        waits, under_way = [], 0
        for i in range(200):
            content = b"fresh %d" % i + CLEAN
            path = host.put("new-%d" % i, content)
            begun = time.monotonic()
            suite.check("readers: %d" % i, host.read(path) == content) if host.read(path) != content else None
            waits.append(time.monotonic() - begun)
            under_way += passes(host) == 1
        suite.say("readers: %d opens while the pass was under way: %s" % (under_way, distribution(waits)))
        host.wait("the pass is over", lambda: passes(host) == 2, 120)
        suite.check("readers: control: the pass was under way", under_way > 20, under_way)
        suite.check("readers: none waited for its end", max(waits) < 1 + SLACK, max(waits))


def scans(host):
    return host.counter("scans")


def verdict_file(host):
    return host.state + "/steward/verdicts"


@suite.test("restart")
def _(suite):
    """What was judged is known after a restart; what was changed meanwhile is judged."""
    with Host(suite, "ext4") as host:
        host.policy(host.watch(mode="enforce", on_down="allow"))
        host.start()
        begun = scans(host)
        good, bad = host.put("good", CLEAN * 3), host.put("bad", MARKER)
        changed, sneaked = host.put("changed", CLEAN * 4), host.put("sneaked", CLEAN * 5)
        for path in (good, changed, sneaked):
            host.wait("%s is clean" % path, lambda: host.read(path) is not None)
        suite.check("restart: control: infected", host.read(bad) is None)
        suite.check("restart: control: each was scanned once", scans(host) - begun == 4, (begun, scans(host)))
        host.stop()
        suite.check("restart: the file is root's alone", os.stat(verdict_file(host)).st_mode & 0o7777 == 0o600,
                    oct(os.stat(verdict_file(host)).st_mode))
        with open(changed, "r+b") as f:
            f.write(MARKER)
        # size and modification time as before; a hostile owner could do no more
        times = os.stat(sneaked)
        with open(sneaked, "r+b") as f:
            f.write(MARKER)
        os.utime(sneaked, ns=(times.st_atime_ns, times.st_mtime_ns))
        host.start()
        before = scans(host)
        suite.check("restart: an unchanged clean file opens", host.read(good) == CLEAN * 3)
        suite.check("restart: an unchanged infected one is denied", host.read(bad) is None)
        suite.check("restart: without a scan", scans(host) == before, (before, scans(host)))
        suite.check("restart: what was changed meanwhile is denied", host.read(changed) is None)
        suite.check("restart: also with its old times", host.read(sneaked) is None)
        suite.check("restart: these were scanned", scans(host) == before + 2, (before, scans(host)))
        row = [r for r in host.blocked("--path", bad)][-1]
        suite.check("restart: the record names the signature", row["signature"].startswith("Mailward.Test.Marker"), row)
        # other definitions: what was known is not
        host.stop()
        signatures(host, New=CLEAN * 3)
        host.start()
        before = scans(host)
        suite.check("restart: with other definitions it is judged anew",
                    host.read(good) is None and scans(host) > before, (before, scans(host)))
        # the gate alone
        known = host.put("known", b"Something else that is clean.\n" * 6)
        suite.check("restart: control: a clean file", host.read(known) is not None)
        before, pid = scans(host), host.pid("gate")
        os.kill(pid, 9)
        host.wait("another gate", lambda: host.pids().get("gate") not in (None, pid) and host.tool("status")[0] in (0, 1))
        suite.check("restart: the next gate knows what the last one knew",
                    eventually(lambda: host.read(known), 10) and scans(host) == before, (before, scans(host)))


@suite.test("changed behind the file system's back")
def _(suite):
    """While the daemon is down, on the device itself: no time of the file changes, but the digest tells."""
    with Host(suite, "ext4") as host:
        host.policy(host.watch(on_down="allow"))
        host.start()
        content = b"a content that can be found on the device " * 4
        same, path = host.put("same", CLEAN * 5), host.put("changed", content)
        suite.check("device: control: clean", host.read(path) == content and host.read(same) == CLEAN * 5)
        host.stop()
        before, image = os.stat(path), host.base + "/image"
        # Held open it stays bound to the image, and nobody else's file system gets its number meanwhile.
        loop = os.open(host.suite.run(["losetup", "-n", "-O", "NAME", "-j", image]).out.strip(), os.O_RDONLY)
        host.suite.run(["umount", host.fs])
        with open(image, "r+b") as f:
            with mmap.mmap(f.fileno(), 0) as memory:
                at = memory.find(content)
                memory[at:at + len(MARKER)] = MARKER
        host.suite.run(["mount", os.readlink("/proc/self/fd/%d" % loop), host.fs])
        os.close(loop)
        after = os.stat(path)
        suite.check("device: control: it is the same file with the same times", at > 0 and
                    (after.st_dev, after.st_ino, after.st_ctime_ns, after.st_mtime_ns) ==
                    (before.st_dev, before.st_ino, before.st_ctime_ns, before.st_mtime_ns), (before, after))
        host.start()
        begun = scans(host)
        suite.check("device: what was not changed is known", host.read(same) == CLEAN * 5 and scans(host) == begun)
        suite.check("device: what was changed is denied", host.read(path) is None)


@suite.test("hostile file of verdicts")
def _(suite):
    with Host(suite) as host:
        host.start()
        good = host.put("good", CLEAN)
        host.read(good)
        host.stop()
        with open(verdict_file(host), "rb") as f:
            saved = f.read()
        suite.check("verdicts: there are some", len(saved) > 100, len(saved))

        def control():
            before = scans(host)
            host.read(good)
            return scans(host) - before

        def torn(content):
            with open(verdict_file(host), "wb") as f:
                f.write(content)

        def begin(what, spoil, said):
            torn(saved)
            os.chmod(verdict_file(host), 0o600)
            spoil()
            start = len(host.log())
            host.start()
            suite.check("verdicts: %s: judged anew" % what, control() == 1)
            suite.check("verdicts: %s: and said" % what, said in host.log()[start:], host.log()[start:])
            host.stop()

        torn(saved)
        host.start()
        suite.check("verdicts: control: whole, it counts", control() == 0)
        host.stop()
        begin("one byte changed", lambda: torn(saved[:100] + bytes([saved[100] ^ 1]) + saved[101:]), "torn")
        begin("cut", lambda: torn(saved[:-1]), "torn")
        begin("longer", lambda: torn(saved + b"x"), "torn")
        begin("empty", lambda: torn(b""), "torn")
        begin("random", lambda: torn(os.urandom(5000)), "torn")
        begin("others may write", lambda: os.chmod(verdict_file(host), 0o666), "root's alone")
        begin("another's", lambda: os.chown(verdict_file(host), 12345, 0), "root's alone")
        os.chown(verdict_file(host), 0, 0) if os.path.exists(verdict_file(host)) else None

        def link():
            os.rename(verdict_file(host), host.state + "/elsewhere")
            os.symlink(host.state + "/elsewhere", verdict_file(host))
        begin("a link", link, "not taken")


@suite.test("network")
def _(suite):
    """Whoever loads them has no network."""
    with Host(suite) as host:
        host.start()
        own = os.readlink("/proc/self/ns/net")
        with open("/proc/%d/net/dev" % host.pid("loader")) as f:
            interfaces = [line.split(":")[0].strip() for line in f if ":" in line]
        suite.check("network: the loader is in another network", os.readlink("/proc/%d/ns/net" % host.pid("loader")) != own)
        suite.check("network: without an interface but a loopback that is down", interfaces in (["lo"], []), interfaces)
        with open("/proc/%d/net/route" % host.pid("loader")) as f:
            suite.check("network: and without a route", len(f.readlines()) <= 1)
        suite.check("network: control: the test itself has one or could", os.path.exists("/proc/self/net/dev"))


suite.main(at_once=3)
