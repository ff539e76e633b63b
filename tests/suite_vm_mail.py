# SPDX-License-Identifier: GPL-2.0-only
# vm: alone
"""Full mode, `mail-keeps-flowing`, with Postfix and Dovecot: gate and keeper dead for a minute, and once more with
the machine's own `/` as the watched file system, the gate killed in between."""
import os
import sys
import time

from full_mode import FullHost, check_nothing_left
from harness import Suite, eventually, in_machine

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "mail"))
import mail_host  # noqa: E402
import messages  # noqa: E402

suite = Suite("vm_mail", limit=300)
SLOW = mail_host.SLOW
DOWN = 60
READER = {"lmtp": "{}", "virtual": "{}.v", "local": "{}.l"}
SERVICES = {"postfix": ["/usr/lib/postfix/sbin/" + name for name in ("master", "cleanup", "qmgr", "local", "virtual", "lmtp")],
            "dovecot": ["/usr/sbin/dovecot"] + ["/usr/lib/dovecot/" + name for name in ("lmtp", "imap", "dovecot-lda")]}


class Mail:
    def __init__(self, store, queue, file_system="ext4", top=""):
        self.host = FullHost(suite, file_system)
        self.store = store or os.path.join(self.host.watched, "vmail")
        os.makedirs(self.store, exist_ok=True)
        self.mail = mail_host.MailHost(base=self.host.base + "/mail", store=self.store,
                                       queue=queue or os.path.join(self.host.watched, "queue"))
        self.host.policy(self.host.watch(self.store, store="maildir", deadline="20s", on_infected="deny"),
                         self.host.watch(self.store + "/mbox", store="mbox"),
                         self.host.watch(self.mail.queue, store="postfix-queue", on_infected="report"),
                         *(self.host.software(name, *paths) for name, paths in SERVICES.items()), top=top)
        suite.at_end(self.mail.stop)
        self.mail.start()
        suite.track(self.mail.dovecot.pid)
        suite.track(self.mail.master_pid())

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind is not None:
            for line in self.mail.complaints()[-4:] + [line for line in self.mail.dovecot_lines() if "rror" in line][-4:]:
                suite.say(line)
        self.mail.stop()
        self.host.__exit__(kind, *rest)

    def send(self, route, message, user="anna"):
        """-> the queue id, once Postfix says that it was delivered"""
        queue_id = self.mail.send("eve@example.test", ["%s@%s.test" % (user, route)], message)
        self.mail.wait_sent(queue_id)
        return queue_id

    def reader(self, route, user="anna"):
        return READER[route].format(user)

    def uids(self, route, user="anna"):
        return sorted(self.mail.uids(self.reader(route, user)))

    def fetch(self, route, uid, user="anna"):
        body, words = self.mail.fetch(self.reader(route, user), uid)
        self.words = words
        return body

    def deliver(self, route, message, user="anna"):
        """-> its uid, as a new session of the reader sees it"""
        before = set(self.uids(route, user))
        self.send(route, message, user)
        new = sorted(set(self.uids(route, user)) - before)
        if len(new) != 1:
            raise OSError("%s: %d new messages for one that was sent" % (route, len(new)))
        return new[0]

    def qmgr(self):
        """qmgr's process: who has failed has another number."""
        master = self.mail.master_pid()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/stat" % pid) as file:
                    name, rest = file.read().split("(", 1)[1].rsplit(")", 1)
                if name == "qmgr" and int(rest.split()[1]) == master:
                    return int(pid)
            except OSError:
                continue
        return None

    def check_flow(self, when, routes=("lmtp", "virtual"), judged=True):
        """A clean and an infected message by each route. judged: a daemon is there to judge the clean one."""
        for route in routes:
            uid = self.deliver(route, messages.clean("%s by %s" % (when, route)))
            body = self.fetch(route, uid)
            if judged:
                suite.check("%s: a clean message by %s is fetched" % (when, route), body is not None, self.words)
            else:
                suite.check("%s: a message by %s that nobody has judged is delivered and indexed, not a byte of it fetched" %
                            (when, route), body is None, self.words)
        uid = self.deliver(routes[0], messages.infected("%s, infected" % when))
        body = self.fetch(routes[0], uid)
        suite.check("%s: an infected message is delivered, not a byte of it fetched" % when, body is None, self.words)
        return uid

    def check_health(self, when, qmgr):
        left = self.mail.complaints()
        suite.check("%s: no part of Postfix fell over, nothing bounced or deferred" % when, not left, left[-3:])
        suite.check("%s: the queue is empty" % when, eventually(lambda: not self.mail.queued(), 20 * SLOW), self.mail.queued())
        suite.check("%s: qmgr is the one of before" % when, qmgr and self.qmgr() == qmgr, (qmgr, self.qmgr()))
        panics = [line for line in self.mail.dovecot_lines() if "Panic" in line or "Fatal" in line or "corrupt" in line]
        suite.check("%s: Dovecot neither panicked nor found its indexes damaged" % when, not panics, panics[-3:])


def check_control(mail):
    uid = mail.deliver("lmtp", messages.infected("control"))
    body = mail.fetch("lmtp", uid)
    suite.check("control: an infected message is fetched without the guard", body is not None and messages.is_infected(body), mail.words)
    os.unlink(next(os.path.join(path, name) for path, _, names in os.walk(mail.store + "/lmtp/anna") for name in names
                   if os.path.basename(path) in ("new", "cur")))


@suite.test("mail-keeps-flowing")
def _(suite):
    absent = mail_host.missing_packages()
    if absent:
        suite.skip("mail-keeps-flowing", "not installed: " + " ".join(absent))
        return
    with Mail(None, None) as mail:
        check_control(mail)
        mail.host.guard()
        qmgr = eventually(mail.qmgr, 10)
        mail.check_flow("guarded")
        approved = {route: mail.deliver(route, messages.clean("approved by " + route)) for route in ("lmtp", "virtual")}
        for route, uid in approved.items():
            suite.check("guarded: a message by %s is approved" % route, mail.fetch(route, uid) is not None, mail.words)
        mbox = mail.deliver("lmtp", messages.infected("in an mbox"), "mia")
        suite.check("guarded: an mbox is read, whatever is in it", mail.fetch("lmtp", mbox, "mia") is not None, mail.words)

        mail.host.kill()
        down = time.monotonic()
        infected = mail.check_flow("no daemon", judged=False)
        mail.send("local", messages.clean("no daemon, by local"))
        for route, uid in approved.items():
            body = mail.fetch(route, uid)
            suite.check("no daemon: a message by %s that was approved is fetched" % route, body is not None, mail.words)
        mbox = mail.deliver("lmtp", messages.clean("in an mbox, no daemon"), "mia")
        suite.check("no daemon: an mbox is written and read", mail.fetch("lmtp", mbox, "mia") is not None, mail.words)
        mail.check_health("no daemon", qmgr)
        time.sleep(max(0, down + DOWN - time.monotonic()))
        suite.say("there was no daemon for %.0f s" % (time.monotonic() - down))

        mail.host.guard()
        waiting = mail.uids("lmtp")
        suite.check("a daemon again: what came meanwhile and is infected is refused", mail.fetch("lmtp", infected) is None, mail.words)
        clean = waiting[waiting.index(infected) - 1]
        suite.check("a daemon again: what came meanwhile and is clean is fetched", mail.fetch("lmtp", clean) is not None, mail.words)
        suite.check("a daemon again: what came by local meanwhile is fetched",
                    mail.fetch("local", mail.uids("local")[-1]) is not None, mail.words)
        mail.check_flow("a daemon again", ("lmtp",))
        mail.check_health("a daemon again", qmgr)
        refused = [row for row in mail.host.blocked() if row["answer"] == "deny" and
                   (row["path"].startswith(mail.mail.queue) or "/mbox/" in row["path"])]
        suite.check("nothing of the queue or of an mbox was ever refused", not refused, refused[:2])
        result = mail.host.release()
        suite.check("released", result.rc == 0, result)
        body = mail.fetch("lmtp", infected)
        suite.check("released: the infected message is fetched", body is not None and messages.is_infected(body), mail.words)
    check_nothing_left(suite)


@suite.test("real mail with / itself as the watched file system")
def _(suite):
    absent = mail_host.missing_packages()
    if absent or not in_machine():
        if absent:
            suite.skip("mail with / watched", "not installed: " + " ".join(absent))
        else:
            suite.check("this is a machine of the tests' own (tests/vm/run)", False)
        return
    with Mail("/srv/vmail", "/srv/queue", "tmpfs", "allow-root-filesystem = yes\n") as mail:
        check_control(mail)
        mail.host.guard(timeout=60 * SLOW)
        qmgr = eventually(mail.qmgr, 10)
        mail.check_flow("/ watched", ("lmtp", "local"))
        gate = mail.host.pid("gate")
        os.kill(gate, 9)
        mail.check_flow("/ watched, the gate just killed", ("lmtp",), judged=True)
        suite.check("/ watched: there is another gate", eventually(
            lambda: mail.host.pids().get("gate") not in (None, gate) and mail.host.tool("status")[0] in (0, 1), 30 * SLOW))
        started = time.monotonic()
        result = suite.run(["/bin/sh", "-c", "ls / >/dev/null && id -un nobody && grep -c root /etc/passwd"], timeout=60 * SLOW)
        suite.check("/ watched: the host stays usable", result.rc == 0, result)
        suite.say("a shell with ls, id and grep took %.1f s" % (time.monotonic() - started))
        mail.check_health("/ watched", qmgr)
        result = mail.host.release()
        suite.check("/ watched: released", result.rc == 0, result)
    check_nothing_left(suite, "/ watched, released")


suite.main()
