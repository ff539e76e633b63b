# SPDX-License-Identifier: GPL-2.0-only
"""Invariant proved-not-assumed: a canary is really refused in each watch that enforces, and where one is not, selftest
and status say so. And mailward probe, which tries what this kernel can do."""
import errno
import json
import os
import pwd
import signal
import subprocess
import time

from harness import BUILD, CLEAN, MARKER, SLACK, Host, Suite, eventually, processes

suite = Suite("selftest")
PREFIX = ".mailward-selftest-"
TOOL = os.path.join(BUILD, "mailward")


def results(host):
    """(exit code, {path: row}) of mailward selftest."""
    rc, text = host.tool("selftest", "--json", timeout=60)
    return rc, {row["path"]: row for row in map(json.loads, text.splitlines()) if "canary" in row}


def issues(host):
    return {issue["id"] for issue in host.status()["issues"]}


def left_over(host):
    return [name for folder, _, names in os.walk(host.fs) for name in names if name.startswith(PREFIX)]


def running(host):
    """pid of mailward-selftest, or None."""
    for pid, (parent, _, state, _) in processes().items():
        if parent == host.daemon.pid and state not in "ZX":
            try:
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    if f.read().startswith(b"mailward-selftest"):
                        return pid
            except OSError:
                pass
    return None


def scan_uid():
    try:
        return pwd.getpwnam("_mailward-scan").pw_uid
    except KeyError:
        return 65283


def errno_as(uid, path):
    """What an open by that uid ends with; the folders' permissions are not in the way."""
    fd = os.open(path, os.O_PATH)
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.read(os.open("/proc/self/fd/%d" % fd, os.O_RDONLY), 1)
            os._exit(0)
        except OSError as error:
            os._exit(error.errno)
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def quiet(host):
    """No selftest is under way, and none is due."""
    return eventually(lambda: not running(host), 20)


@suite.test("a canary is refused in each watch that enforces")
def _(suite):
    with Host(suite) as host:
        kinds = {"files": {}, "maildir": {"store": "maildir"}, "sdbox": {"store": "sdbox"}, "never": {"exec": "never"},
                 "observe": {"mode": "observe"}, "off": {"mode": "off"}, "mbox": {"store": "mbox"},
                 "mdbox": {"store": "mdbox"}, "queue": {"store": "postfix-queue"}, "report": {"on_infected": "report"}}
        path = {name: os.path.join(host.watched, name) for name in kinds}
        for each in path.values():
            os.makedirs(each)
        host.policy(*[host.watch(path[name], **words) for name, words in kinds.items()])
        host.start()
        suite.check("status is healthy as soon as it can tell", host.tool("status")[0] == 0, host.tool("status"))
        canaries = {w["path"]: w["canary"] for w in host.status()["watches"]}
        refusing = ("files", "maildir", "sdbox", "never")
        suite.check("and says that each watch which enforces has refused one",
                    all(canaries[path[n]] == ("blocked" if n in refusing else "not-applicable") for n in kinds), canaries)
        rc, rows = results(host)
        suite.check("selftest ends with 0", rc == 0, rows)
        for name in kinds:
            row, wanted = rows.get(path[name]), "blocked" if name in refusing else "not-applicable"
            suite.check("open and exec: %s (%s)" % (wanted, name), row and row["open"] == row["exec"] == wanted, row)
            suite.check("why is said where it is not applicable (%s)" % name, row and bool(row["why"]) == (wanted != "blocked"), row)
        suite.check("nothing is left in the folders", left_over(host) == [])
        suite.check("no row, no count", host.blocked() == [] and host.status()["blocked_24h"] == 0 and
                    host.counter("denied") == 0 and host.counter("would_deny") == 0, host.blocked())
        bad = host.put("bad", MARKER, path["files"])
        suite.check("control: what others are refused is counted and recorded", host.read(bad) is None and
                    eventually(lambda: len(host.blocked()) == 1, 5) and host.counter("denied") == 1)
        theirs = host.put("theirs", MARKER + b"theirs", path["files"])
        uid = scan_uid()
        suite.check("what a scanner's uid is refused beside the selftest is counted and recorded",
                    errno_as(uid, theirs) == errno.EPERM and host.counter("denied") == 2 and
                    eventually(lambda: any(r["uid"] == uid for r in host.blocked("--path", theirs)), 5), host.blocked())
        if host.status()["mode"] != "full":
            good = host.put("good", CLEAN, path["never"], 0o755)
            suite.check("control: exec = never refuses a clean program", host.probe("exec", good).rc == 1)


@suite.test("each policy is put to the proof, and each definition")
def _(suite):
    with Host(suite) as host:
        first, second, third = (os.path.join(host.watched, name) for name in ("first", "second", "third"))
        os.makedirs(first)
        os.makedirs(second)
        host.policy(host.watch(first))
        host.start()
        seen = lambda: {w["path"]: w["canary"] for w in host.status()["watches"]}
        suite.check("control: one watch, one canary", seen() == {first: "blocked"}, seen())
        host.policy(host.watch(first), host.watch(second), host.watch(third))
        suite.check("control: another policy is taken", host.tool("reload")[0] == 0)
        suite.check("a new watch is tested", eventually(lambda: seen().get(second) == "blocked" and
                                                        seen().get(first) == "blocked", 10), seen())
        suite.check("one whose folder is missing could not be", eventually(lambda: seen().get(third) == "not-possible", 10) and
                    issues(host) == {"watch-not-covered"} and results(host)[0] == 1, (seen(), issues(host)))
        os.mkdir(third)
        suite.check("it is as soon as the folder is there", eventually(lambda: seen().get(third) == "blocked", 15) and
                    eventually(lambda: host.tool("status")[0] == 0, 5), (seen(), host.tool("status")))
        host.define({"Mailward.Test.Other": b"other-" + b"definitions-4711", "Mailward.Test.Marker": MARKER})
        loader = lambda: host.log().count("definitions: ")
        suite.check("control: new definitions are loaded", eventually(lambda: loader() == 2, 20), host.log()[-300:])
        time.sleep(3)  # old workers have had their last word
        rc, rows = results(host)
        suite.check("with new definitions, and their new canary, it is refused again", rc == 0 and len(rows) == 3, rows)
        suite.check("status is healthy", host.tool("status")[0] == 0, host.tool("status"))
        suite.check("nothing is left, nothing recorded", left_over(host) == [] and host.blocked() == [], host.blocked())


@suite.test("a guard that is broken is noticed")
def _(suite):
    with Host(suite) as host:
        host.stand_in()
        host.start()
        suite.check("control: a scanner that finds the canary: 0, healthy", results(host)[0] == 0 and
                    host.tool("status")[0] == 0)
        host.behave("blind")
        rc, rows = results(host)
        row = rows[host.watched]
        suite.check("a scanner that says clean of everything: 1", rc == 1 and row["canary"] == "not-blocked" and
                    row["open"] == row["exec"] == "not-blocked" and "went through" in row["why"], row)
        rc, text = host.tool("status")
        suite.check("status is degraded and says how", rc == 1 and "canary-not-blocked: " + host.watched in text and
                    host.status()["health"] == "degraded" and issues(host) == {"canary-not-blocked"}, text)
        suite.check("the log says so", "selftest: watch 1: an open of the canary went through" in host.log(), host.log()[-400:])
        suite.check("people see a table", "not-blocked" in host.tool("selftest")[1])
        host.behave("paranoid")
        rc, rows = results(host)
        suite.check("one that calls everything infected: 1, for nothing is told apart",
                    rc == 1 and rows[host.watched]["canary"] == "not-possible" and
                    "a clean file is refused too" in rows[host.watched]["why"], rows)
        suite.check("status is degraded", issues(host) == {"canary-not-possible"}, issues(host))
        host.behave()
        suite.check("mended: 0, healthy again", results(host)[0] == 0 and host.tool("status")[0] == 0)
        suite.check("and the log says so", "a canary is refused again" in host.log(), host.log()[-400:])
        host.behave("delay 400")
        host.policy(host.watch(deadline="100ms", on_timeout="allow"))
        host.tool("reload")
        suite.check("a verdict that comes after the deadline counts for the next open: 0", results(host)[0] == 0, results(host))
        host.policy(host.watch(deadline="100ms"))
        host.tool("reload")
        suite.check("nor does a clean file that was refused for its time mislead it: 0", results(host)[0] == 0, results(host))
        suite.check("nothing is left, nothing recorded", left_over(host) == [] and host.blocked() == [], host.blocked())
    with Host(suite) as host:
        host.stand_in("mute")
        host.start()
        rc, rows = results(host)
        suite.check("a scanner that names no canary: 1", rc == 1 and "no canary" in rows[host.watched]["why"] and
                    issues(host) == {"canary-not-possible"}, (rows, issues(host)))


@suite.test("a folder that is replaced while it is tested")
def _(suite):
    with Host(suite) as host:
        host.stand_in()
        host.start()
        aside = host.fs + "/aside"
        canary = lambda: host.status()["watches"][0]["canary"]
        suite.check("control: healthy before", canary() == "blocked" and results(host)[0] == 0, issues(host))
        host.behave("hold")
        asking = suite.popen([TOOL, "--runtime-dir", host.runtime, "selftest", "--json"], stdout=subprocess.PIPE)
        found = eventually(lambda: left_over(host), 10)
        suite.check("control: a canary is being tried", found)
        os.rename(host.watched, aside)
        bad = host.put("bad", MARKER, aside)
        suite.check("control: where the folder is now, everything goes through", host.read(bad) == MARKER)
        os.mkdir(host.watched)
        host.behave()
        said = asking.communicate(timeout=60)[0].decode()
        suite.check("who asked is told that nothing is known: 1", asking.returncode == 1 and '"not-possible"' in said and
                    "replaced" in said, (asking.returncode, said))
        suite.check("the new folder is tested by itself, and guarded", eventually(
            lambda: canary() == "blocked" and not host.status()["issues"], 15), (canary(), host.status()["issues"]))
        suite.check("nobody was told that a canary went through", "went through" not in host.log(), host.log()[-600:])
        suite.check("nothing is left in either", left_over(host) == [], left_over(host))
        host.behave("blind")
        suite.check("control: of a folder that stays, it would be told", results(host)[0] == 1 and
                    "went through" in host.log(), host.log()[-400:])


@suite.test("without definitions")
def _(suite):
    with Host(suite, definitions=False) as host:
        loose = os.path.join(host.fs, "loose")
        os.mkdir(loose)
        host.policy(host.watch(on_error="deny"), host.watch(loose, on_error="allow"))
        host.start()
        rc, rows = results(host)
        suite.check("on-error = deny refuses it, as every file", rows[host.watched]["canary"] == "blocked" and
                    "no definitions" in rows[host.watched]["why"], rows)
        suite.check("on-error = allow lets it go: no canary can be blocked, 1", rc == 1 and
                    rows[loose]["canary"] == "not-possible" and "no definitions" in rows[loose]["why"], rows)
        suite.check("the issue is that there are none", issues(host) == {"no-definitions"}, issues(host))
        suite.check("nothing is left", left_over(host) == [])


@suite.test("where no program may run, or no file be made")
def _(suite):
    with Host(suite) as host:
        host.start()
        suite.check("control: both are blocked", results(host)[1][host.watched]["exec"] == "blocked")
        subprocess.run(["mount", "-o", "remount,noexec", host.fs], check=True)
        rc, rows = results(host)
        row = rows[host.watched]
        suite.check("noexec: the open is blocked, an exec needs no guard: 0", rc == 0 and row["canary"] == row["open"] == "blocked" and
                    row["exec"] == "not-applicable" and "noexec" in row["why"], row)
        subprocess.run(["mount", "-o", "remount,ro,exec", host.fs], check=True)
        rc, rows = results(host)
        suite.check("read-only: it can't be told, 1", rc == 1 and rows[host.watched]["canary"] == "not-possible" and
                    "Read-only" in rows[host.watched]["why"], rows)
        suite.check("status is degraded, with the remedy", issues(host) == {"canary-not-possible"} and
                    "mailward selftest" in host.tool("status")[1], host.tool("status"))
        subprocess.run(["mount", "-o", "remount,rw", host.fs], check=True)
        suite.check("mended: 0, healthy again", results(host)[0] == 0 and host.tool("status")[0] == 0)


@suite.test("it leaves nothing behind")
def _(suite):
    with Host(suite) as host:
        host.stand_in()
        host.start()
        mine = host.put(PREFIX + "mine", CLEAN)
        os.chown(mine, 4711, 4711)
        host.behave("hold")
        asking = suite.popen([TOOL, "--runtime-dir", host.runtime, "selftest"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        theirs = lambda: [name for name in left_over(host) if not name.endswith("mine")]
        found = eventually(theirs, 10)
        suite.check("control: while a canary is tried, there is a file", len(found or []) == 1, found)
        os.kill(running(host), signal.SIGKILL)
        suite.check("a selftest that is killed: who asked can't tell", asking.wait(10) == 4, asking.returncode)
        suite.check("control: its file is still there", theirs() == found, theirs())
        suite.check("status says that the selftest has ended", "canary-not-tried" in issues(host) and
                    "signal 9" in host.tool("status")[1], host.tool("status"))
        host.behave()
        suite.check("the next one is healthy and has removed it", results(host)[0] == 0 and theirs() == [], theirs())
        suite.check("a file of a user with such a name stays", os.path.exists(mine))
        for name, number in (("is told to end", signal.SIGTERM), ("is killed with the keeper", None)):
            host.behave("hold")
            asking = suite.popen([TOOL, "--runtime-dir", host.runtime, "selftest"], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
            suite.check("control: a file again, before it %s" % name, eventually(theirs, 10))
            pid = running(host)
            if number:
                os.kill(pid, number)
                asking.wait(10)
            else:
                os.kill(host.daemon.pid, signal.SIGKILL)
                host.daemon.wait()
            suite.check("one that %s removes its file" % name, eventually(lambda: theirs() == [], 2 + SLACK), theirs())
            suite.check("and ends: %s" % name, eventually(lambda: not os.path.exists("/proc/%d" % pid), 2 + SLACK))
            host.behave()
            if number:
                suite.check("control: the next one is healthy", results(host)[0] == 0)
    with Host(suite) as host:
        host.stand_in("hold")
        host.start(wait=False)
        suite.check("control: at the start there is a file", eventually(lambda: left_over(host), 15))
        suite.check("a stop while it runs takes no longer than any", host.stop() < 2 + SLACK)
        suite.check("and leaves nothing", left_over(host) == [], (left_over(host), host.log()[-600:]))


@suite.test("the start waits for it, but not for long")
def _(suite):
    with Host(suite) as host:
        host.stand_in("hold")
        started = time.monotonic()
        host.start(wait=False)
        suite.check("ready comes without it after three seconds", eventually(lambda: "ready (pid" in host.log(), 10, 0.02) and
                    time.monotonic() - started < 4 + SLACK)
        suite.say("ready after %.1f s" % (time.monotonic() - started))
        suite.check("status can't tell yet then", host.tool("status")[0] == 4, host.tool("status"))
        suite.check("but does in the end: 1", eventually(lambda: host.tool("status")[0] == 1, 30), host.tool("status"))
        host.behave()
        suite.check("control: it is healthy once the scanner is", results(host)[0] == 0 and host.tool("status")[0] == 0)


@suite.test("what the mail software wrote")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(origin="mail", exec="never"), top='mail-software test { roots = { "/bin/cat" } }\n')
        host.start()
        watch = host.status()["watches"][0]
        rc, rows = results(host)
        suite.check("a canary with the mark of mail software is refused where origin = mail", rows[host.watched]["canary"] == "blocked"
                    and rc == 0, (rows, watch))
        bad = host.put("not-of-mail", MARKER)
        suite.check("control: without the mark the same watch lets an infected file go", host.read(bad) == MARKER)
        os.setxattr(bad, "trusted.mailward.origin", b"mail")
        suite.check("control: with it, it is refused", eventually(lambda: host.read(bad) is None, 5))


# ---- probe ----

def probe(*options):
    result = suite.run([TOOL, "probe", "--json", *options], timeout=60)
    return result.rc, json.loads(result.out)


@suite.test("probe")
def _(suite):
    rc, found = probe()
    suite.check("the fields of the manual, in its order", list(found) ==
                ["kernel", "mode", "why", "remedy", "labels", "fanotify", "lsm", "hooks"], list(found))
    suite.check("0 in full mode, else 1", rc == (0 if found["mode"] == "full" else 1) and
                found["mode"] in ("full", "reduced"), (rc, found["mode"]))
    suite.check("a mode that is not full has its reason", bool(found["why"]) == (found["mode"] != "full"), found)
    suite.say("%s: %s" % (found["mode"], found["why"] or "everything attaches"))
    if found["remedy"]:
        suite.say(found["remedy"])
    suite.check("the kernel is this one", found["kernel"] == os.uname().release, found["kernel"])
    suite.check("what fanotify can do is said", set(found["fanotify"]) ==
                {"permission", "exec", "names", "evictable", "report_fd_error", "pidfd"} and
                found["fanotify"]["permission"] and found["fanotify"]["names"], found["fanotify"])
    suite.check("each hook has its state", all(list(h) == ["name", "state", "error"] and
                h["state"] in ("attached", "absent", "failed") and bool(h["error"]) == (h["state"] == "failed")
                for h in found["hooks"]), found["hooks"])
    attached = [h["name"] for h in found["hooks"] if h["state"] == "attached"]
    suite.check("labels are known where their tracepoints attach", found["labels"] == ("sched_process_fork" in attached), found)
    text = suite.run([TOOL, "probe"], timeout=60)
    suite.check("people get the same", text.rc == rc and "mode      %s" % found["mode"] in text.out and
                found["why"] in text.out and found["remedy"] in text.out and
                all(name in text.out for name in attached), text)
    suite.check("nothing stays attached", eventually(lambda: "mailward" not in
                suite.run(["sh", "-c", "ls /sys/fs/bpf/mailward 2>/dev/null"]).out, 5))
    result = suite.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", TOOL, "probe"])
    suite.check("not root: 2, and said", result.rc == 2 and "root" in result.err, result)
    result = suite.run(["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", TOOL, "probe", "--json"])
    none = json.loads(result.out) if result.out else {}
    suite.check("without rights: none, 1, and why", result.rc == 1 and none.get("mode") == "none" and none["why"] and
                none["remedy"], result)
    suite.check("a usage error: 2", suite.run([TOOL, "probe", "all"]).rc == 2)


@suite.test("probe beside a daemon")
def _(suite):
    with Host(suite) as host:
        bad, good = host.put("bad", MARKER), host.put("good", CLEAN)
        host.start()
        mode = host.status()["mode"]
        before = host.pids()
        for _ in range(3):
            rc, found = probe()
            suite.check("it says what the daemon says", found["mode"] == mode, (found["mode"], mode))
        suite.check("the daemon goes on: infected refused, clean allowed", host.read(bad) is None and host.read(good) == CLEAN)
        suite.check("with the same processes", host.pids() == before)
        suite.check("and is healthy", host.tool("status")[0] == 0, host.tool("status"))
        why = host.status()["mode_why"]
        suite.check("status gives the same reason", (why == "") == (mode == "full"), why)


suite.main()
