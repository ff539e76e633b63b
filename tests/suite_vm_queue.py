# SPDX-License-Identifier: GPL-2.0-only
# vm: alone
"""Full mode, Postfix's queue: an infected queue file is not there (ENOENT) for whoever opens it, and never EPERM; it stays
whole, a copy lies in the quarantine, and Postfix puts it in corrupt/ by itself.

invariants: mail-keeps-flowing, nothing-lost
"""
import errno
import os
import signal
import sys
import time

from full_mode import FullHost, check_nothing_left
from harness import CLEAN, MARKER, Suite, eventually

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "mail"))
import mail_host  # noqa: E402
import messages  # noqa: E402

suite = Suite("vm_queue", limit=300)
SLOW = mail_host.SLOW


def opened(path, flags=os.O_RDONLY):
    """0 and the bytes, or the errno and nothing."""
    try:
        fd = os.open(path, flags)
    except OSError as error:
        return error.errno, b""
    try:
        return 0, os.read(fd, 100000) if flags & os.O_ACCMODE != os.O_WRONLY else b""
    except OSError as error:
        return error.errno, b""
    finally:
        os.close(fd)


@suite.test("an infected queue file is as if it were not there")
def _(suite):
    with FullHost(suite) as host:
        queue = host.watched
        for name in ("incoming", "active", "corrupt", "maildrop"):
            os.mkdir(f"{queue}/{name}")
        host.policy(host.watch(queue, store="postfix-queue"))
        control = host.put("active/CONTROL", MARKER + b"control")
        suite.check("control: without the guard it is read", opened(control) == (0, MARKER + b"control"))
        os.unlink(control)
        host.guard()
        early = os.open(f"{queue}/incoming/BAD", os.O_RDWR | os.O_CREAT, 0o700)
        suite.at_end(lambda: os.close(early))
        host.put("incoming/BAD", MARKER, mode=0o700)  # as cleanup: the one close after the writing
        bad = f"{queue}/active/BAD"
        os.rename(f"{queue}/incoming/BAD", bad)
        # Who opens it earlier waits, and finds it empty: as in reduced mode.
        items = eventually(lambda: host.tool_json("quarantine", "list"), 20 * SLOW) or []
        suite.check("the quarantine has a copy of it, before anybody opens it", len(items) == 1 and
                    items[0]["path"] == f"{queue}/hold/BAD" and items[0]["size"] == len(MARKER), items)
        suite.check("once it is judged, an open says that it is not there", eventually(
            lambda: opened(bad)[0] == errno.ENOENT, 20 * SLOW), opened(bad))
        for flags, name in ((os.O_RDONLY, "reading"), (os.O_RDWR, "reading and writing")):
            suite.check(f"for {name} too, and never EPERM", opened(bad, flags) == (errno.ENOENT, b""), opened(bad, flags))
        suite.check("it is whole", os.stat(bad).st_size == len(MARKER))
        rows = host.rows(bad)
        suite.check("`mailward blocked` tells of it", rows and any(row["answer"] == "deny" for row in rows), rows)
        suite.check("a descriptor of before reads on: only opens are refused here", os.pread(early, 100, 0) == MARKER)
        corrupt = f"{queue}/corrupt/BAD"
        os.rename(bad, corrupt)
        suite.check("renamed, as qmgr does, it is still not there", opened(corrupt)[0] == errno.ENOENT, opened(corrupt))
        good = host.put("active/GOOD", CLEAN, mode=0o700)
        suite.check("a clean one is read", eventually(lambda: opened(good) == (0, CLEAN), 10 * SLOW), opened(good))
        os.kill(host.pid("steward"), signal.SIGSTOP)
        scans = host.counter("scans")
        late = host.put("incoming/LATE", MARKER + b"late", mode=0o700)
        host.wait("it is judged", lambda: host.counter("scans") > scans, 20 * SLOW)
        time.sleep(1)  # who opens it earlier finds it empty
        gone = opened(late)[0] == errno.ENOENT
        os.rename(late, f"{queue}/corrupt/LATE")
        os.kill(host.pid("steward"), signal.SIGCONT)
        items = eventually(lambda: [item for item in host.tool_json("quarantine", "list") if item["path"] == f"{queue}/hold/LATE"],
                           20 * SLOW)
        suite.check("put into corrupt/ before its copy is made: there is one all the same", gone and items,
                    host.log().splitlines()[-3:])
        suite.check("and it is whole there", os.stat(f"{queue}/corrupt/LATE").st_size == len(MARKER + b"late"))
        drop = host.put("maildrop/BAD", MARKER + b"drop", mode=0o700)
        suite.check("what pickup reads is left alone: cleanup's file of it will be judged", opened(drop) == (0, MARKER + b"drop"))
        host.kill()
        suite.check("no daemon: what was found is still not there", opened(corrupt)[0] == errno.ENOENT, opened(corrupt))
        fresh = host.put("active/FRESH", MARKER + b"fresh", mode=0o700)
        suite.check("no daemon: what nobody has judged is let go, since nothing in a queue is ever refused for want of an "
                    "answer", opened(fresh) == (0, MARKER + b"fresh"), opened(fresh))
        with open(corrupt, "wb") as file:
            file.write(CLEAN)
        suite.check("changed, it is another content, of which nothing is known", opened(corrupt) == (0, CLEAN), opened(corrupt))
        host.guard()
        result = host.release()
        suite.check("released", result.rc == 0, result)
    check_nothing_left(suite)


@suite.test("Postfix with an infected message in its queue")
def _(suite):
    absent = mail_host.missing_packages()
    if absent:
        suite.skip("Postfix with an infected message in its queue", "not installed: " + " ".join(absent))
        return
    with FullHost(suite) as host:
        store = host.watched + "/vmail"
        os.mkdir(store)
        mail = mail_host.MailHost(base=host.base + "/mail", store=store, queue=host.watched + "/queue")
        host.policy(host.watch(mail.queue, store="postfix-queue", deadline="20s"))
        suite.at_end(mail.stop)
        mail.start()
        suite.track(mail.dovecot.pid)
        suite.track(mail.master_pid())
        try:
            queue_id = mail.send("eve@example.test", ["anna@virtual.test"], messages.infected("control"))
            mail.wait_sent(queue_id)
            body = mail.fetch("anna.v", mail.uids("anna.v")[-1])[0]
            suite.check("control: without the guard it is delivered", body is not None and messages.is_infected(body))
            host.guard()
            before = mail.uids("anna.v")
            for number in range(4):
                queue_id = mail.send("eve@example.test", ["anna@virtual.test"], messages.infected("bad %d" % number))
                suite.check("infected message %d ends in corrupt/" % number, eventually(
                    lambda: f"corrupt/{queue_id}" in mail.queued(), 60 * SLOW), mail.queued())  # noqa: B023
                sent = mail.send("eve@example.test", ["anna@virtual.test"], messages.clean("next %d" % number))
                mail.wait_sent(sent)
            new = mail.uids("anna.v")[len(before):]
            bodies = [mail.fetch("anna.v", uid)[0] for uid in new]
            suite.check("the four clean messages are delivered, and nothing else", len(new) == 4 and not any(
                messages.is_infected(body) for body in bodies), new)
            fatal = [line for line in mail.complaints() if "qmgr[" in line and "fatal" in line or "throttling" in line]
            suite.check("qmgr never fell over, nothing is throttled", not fatal, fatal)
            kept = {item["path"].rsplit("/", 1)[1] for item in host.tool_json("quarantine", "list")}
            said = [line for line in host.log().splitlines() if "queue" in line]
            suite.check("each is in the quarantine", len(kept) == 4, (kept, said))
        finally:
            mail.stop()
        host.release()
    check_nothing_left(suite, "released, with Postfix")


suite.main()
