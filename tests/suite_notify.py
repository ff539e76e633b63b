#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Notices: who is told of what was found, in a digest by the local sendmail.

invariants: answered-in-time (nobody waits for a notice), nothing-lost, mail-keeps-flowing
"""
import email
import email.policy
import os
import pwd
import signal
import sys
import threading
import time

from harness import CLEAN, EICAR, MARKER, SLACK, Failure, Host, Suite, eventually

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "mail"))

suite = Suite("notify", limit=400)

SENDMAIL = """#!/bin/sh
# Keeps the mail, and how it was called; FOLDER/fail: fails, FOLDER/hang: stands still; FOLDER/slow: takes the
# mail and a moment more; FOLDER/refuse: does not take mail for whom it names.
cd %(folder)s || exit 1
[ -e hang ] && { : > hanging; exec sleep 1000; }
name=$(date +%%s%%N).$$
printf '%%s\\n' "$@" > "$name.args"
id -u >> "$name.args"
grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status >> "$name.args"
[ -e refuse ] && [ "$(cat refuse)" = "$5" ] && exit 67
[ -e fail ] && { echo "mailbox is on fire"; mv "$name.args" "$name.failed"; exit 75; }
cat > "$name.part"
mv "$name.part" "$name.mail"
[ -e slow ] && sleep 0.3
exit 0
"""


class Post:
    """A fake sendmail, and what it was given."""

    def __init__(self, host):
        self.folder = host.base + "/post"
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o777)
        self.command = host.base + "/bin/sendmail"
        with open(self.command, "w") as f:
            f.write(SENDMAIL % {"folder": self.folder})
        os.chmod(self.command, 0o755)

    def files(self, end):
        return sorted(name for name in os.listdir(self.folder) if name.endswith(end))

    def mails(self):
        out = []
        for name in self.files(".mail"):
            with open(os.path.join(self.folder, name), "rb") as f:
                out.append(email.message_from_bytes(f.read(), policy=email.policy.default))
        return out

    def to(self, recipient):
        return [mail for mail in self.mails() if mail["To"] == recipient]

    def raw(self):
        return [open(os.path.join(self.folder, name), "rb").read() for name in self.files(".mail")]

    def args(self, end=".args"):
        return [open(os.path.join(self.folder, name)).read().splitlines() for name in self.files(end)]

    def say(self, word, on=True):
        path = os.path.join(self.folder, word)
        if on:
            with open(path, "w") as f:
                f.write(on if isinstance(on, str) else "")
        elif os.path.exists(path):
            os.unlink(path)


def policy(host, post, notify="every = 1s", **words):
    words.setdefault("store", "files")
    host.policy(host.watch(**words), 'notify {\n    %s\n    command = "%s"\n}\n' % (notify, post.command))


def told(host, post, path):
    """How often was this file told of, once something else is found and told? What was still to be told stands in a mail
    by then: a digest has all that waits."""
    marker = host.put("marker%d" % len(os.listdir(host.watched)), MARKER + b" %d" % len(os.listdir(host.watched)))
    host.read(marker)
    host.wait("a digest", lambda: marker in text_of(post.mails()))
    return text_of(post.mails()).count(path + "\n")


def text_of(mails):
    return "".join(mail.get_content() for mail in mails)


MESSAGE = b"""Received: from a by b (Postfix) with ESMTP id 4Q1XYZ0abcz1; Mon, 1 Jan 2024 00:00:00 +0000
From: mallory@example.org
To: victim@example.org
Subject: the subject is nobody's business
Message-ID: <found.1@example.org>

"""


@suite.test("what is denied is told once, by a digest with nothing of the mail in it")
def _(suite):
    with Host(suite) as host:
        post = Post(host)
        policy(host, post)
        host.start()
        path = host.put("message", MESSAGE + EICAR)
        host.put("clean", CLEAN)
        suite.check("control: nobody was told before", not post.mails())
        suite.check("control: denied", host.read(path) is None and host.read(host.watched + "/clean") == CLEAN)
        suite.check("the postmaster is told", eventually(lambda: post.mails(), 15))
        mails = post.to("postmaster")
        body = text_of(mails)
        suite.check("of the file, its signature, what was done and its ids", len(mails) == 1 and path in body and
                    "Mailward.Test.Eicar" in body and "denied" in body and "4Q1XYZ0abcz1" in body and
                    "<found.1@example.org>" in body, body)
        raw = post.raw()[0]
        suite.check("and of nothing else in it", not any(word in raw for word in (
            b"nobody's business", b"mallory", b"victim", EICAR[:20])), raw)
        mail = mails[0]
        suite.check("it has the headers of an automatic mail", mail["Auto-Submitted"] == "auto-generated" and
                    mail["Message-ID"].startswith("<mailward.") and mail["Date"].datetime and mail["MIME-Version"] == "1.0"
                    and "Mailward" in mail["From"] and "1 message or file" in mail["Subject"], mail.items())
        args = post.args()[0]
        suite.check("sendmail is called with a null sender", args[:5] == ["-oi", "-f", "<>", "--", "postmaster"], args)
        suite.check("without rights, and free to be setgid", args[5] not in ("0",) and "CapEff:\t0000000000000000" in args
                    and "NoNewPrivs:\t0" in args and "Seccomp:\t0" in args, args)
        for _ in range(3):
            host.read(path)
        os.kill(host.pid("gate"), signal.SIGKILL)
        host.wait("it is judged again", lambda: host.probe("open", path).rc == 1 and host.tool("status")[0] in (0, 1))
        suite.check("it is told once, whoever opens it and whoever judges it again", told(host, post, path) == 1, text_of(post.mails()))
        host.stop()
        host.start()
        suite.check("control: it is denied after a restart", host.read(path) is None)
        suite.check("and not told again after a restart, while others are", told(host, post, path) == 1 and len(post.mails()) == 3,
                    text_of(post.mails()))


@suite.test("what is moved to the quarantine is told, with the way back")
def _(suite):
    with Host(suite) as host:
        post = Post(host)
        policy(host, post, store="maildir")
        path = host.put("box/new/1.2.host", MESSAGE + EICAR)
        for name in ("cur", "tmp"):
            os.makedirs(host.watched + "/box/" + name, exist_ok=True)
        host.start()
        host.read(path)
        items = host.wait("it is in the quarantine", lambda: host.tool_json("quarantine", "list"))
        suite.check("control: it was moved", not os.path.exists(path))
        suite.check("the postmaster is told", eventually(lambda: post.mails(), 15))
        body = text_of(post.mails())
        suite.check("where it lay and how to give it back", path in body and
                    "mailward release %s" % items[0]["id"] in body and "moved to the quarantine" in body, body)
        suite.check("once", body.count("mailward release") == 1 and "denied" not in body, body)


@suite.test("what is only reported is told as that")
def _(suite):
    with Host(suite) as host:
        post = Post(host)
        policy(host, post, store="mbox")
        path = host.put("box", b"From a@b Mon Jan  1 00:00:00 2024\n" + MESSAGE + EICAR + b"\n")
        host.start()
        suite.check("control: an mbox is never denied", host.read(path) is not None)
        suite.check("the postmaster is told", eventually(lambda: post.mails(), 15))
        suite.check("that it was reported only", "reported only" in text_of(post.mails()), text_of(post.mails()))
        scans = host.counter("scans")
        with open(path, "ab") as f:
            f.write(b"From a@b Mon Jan  1 00:00:00 2024\n" + MESSAGE.replace(b"found.1", b"found.2") + CLEAN + b"\n")
        host.read(path)
        host.wait("it was judged again", lambda: host.counter("scans") > scans)
        time.sleep(2.5)
        suite.check("not again with each mail that comes in", len(post.mails()) == 1)
        with open(path, "r+b") as f:  # the first one is taken out, and another one of that outbreak comes
            f.write(b"From a@b Mon Jan  1 00:00:00 2024\n" + MESSAGE.replace(b"found.1", b"found.2") + CLEAN + b"\n")
            f.write(b"From a@b Mon Jan  1 00:00:00 2024\n" + MESSAGE.replace(b"found.1", b"found.3") + EICAR + b"\n")
            f.truncate()
        host.read(path)
        suite.check("of another message in it, with the same finding, people are told", eventually(lambda: len(post.mails()) == 2, 10) and
                    "<found.3@example.org>" in text_of(post.mails()[1:]), text_of(post.mails()[1:]))


@suite.test("many at once are one mail, and the next one waits its time")
def _(suite):
    with Host(suite) as host:
        post = Post(host)
        policy(host, post, notify="every = 3s")
        host.start()
        for i in range(30):
            host.put("many/%d" % i, EICAR + b" %d" % i)
        for i in range(30):
            host.read(host.watched + "/many/%d" % i)
        suite.check("the postmaster is told", eventually(lambda: post.mails(), 15))
        first = time.monotonic()
        body = text_of(post.mails())
        suite.check("of all 30 in one mail", len(post.mails()) == 1 and body.count("denied: ") == 30, body.count("denied: "))
        host.put("late", MARKER)
        host.read(host.watched + "/late")
        suite.check("what comes later is told", eventually(lambda: len(post.mails()) == 2, 15))
        took = time.monotonic() - first
        suite.check("not before its time", took > 2, took)
        same = EICAR + b" the same"
        for i in range(5):
            host.put("copies/%d" % i, same)
            host.read(host.watched + "/copies/%d" % i)
        suite.check("copies of one message are told", eventually(lambda: len(post.mails()) == 3, 15))
        body = text_of(post.mails()[2:])
        suite.check("as one, with each place", body.count("denied: ") == 1 and body.count("   file  ") == 5, body)


@suite.test("hostile names forge nothing")
def _(suite):
    with Host(suite) as host:
        post = Post(host)
        policy(host, post)
        host.start()
        names = [b"a\nBcc: everybody@example.org\n\nhello", b"\xff\xfe\x00"[:2], b"\x1b[31mred", "ünïcode".encode(),
                 b".", b"x" * 250, b"From here"]
        for i, name in enumerate(names):
            folder = os.fsencode(host.watched) + b"/%d" % i
            os.mkdir(folder)
            path = folder + b"/" + (name if name != b"." else b"dot")
            with open(path, "wb") as f:
                f.write(EICAR + b"%d" % i)
            host.read(path)
        suite.check("all are told", eventually(lambda: text_of(post.mails()).count("denied: ") == len(names), 20),
                    text_of(post.mails()).count("denied: "))
        for raw in post.raw():
            head = raw.split(b"\n\n")[0]
            suite.check("no header of theirs, no bytes but plain ones, no long lines", b"Bcc" not in head and
                        all(byte == 10 or 32 <= byte < 127 for byte in raw) and
                        max(map(len, raw.split(b"\n"))) <= 998 and b"\nFrom " not in raw, raw[:600])
        body = text_of(post.mails())
        suite.check("a name is shown as it is where it can be", "ünïcode" in body and "\\x0aBcc" in body and
                    "\\x1b[31mred" in body and "\\xff\\xfe" in body, body)


@suite.test("where sendmail fails it is tried again, over a restart, and nobody waits")
def _(suite):
    with Host(suite) as host:
        post = Post(host)
        policy(host, post)
        post.say("fail")
        host.start()
        path = host.put("a", EICAR)
        started = time.monotonic()
        suite.check("control: denied", host.read(path) is None and time.monotonic() - started < 2 + SLACK)
        suite.check("control: it was tried", eventually(lambda: post.args(".failed"), 15))
        suite.check("the log says what sendmail said", eventually(lambda: "mailbox is on fire" in host.log() and
                                                                  "exit code 75" in host.log(), 5), host.log()[-300:])
        os.kill(host.pid("steward"), signal.SIGKILL)
        host.wait("another steward", lambda: host.tool("quarantine", "list")[0] == 0)
        host.stop()
        post.say("fail", False)
        suite.check("control: nothing came through", not post.mails())
        host.start()
        suite.check("after a restart it is told", eventually(lambda: post.mails(), 15) and path in text_of(post.mails()))
        suite.check("once", told(host, post, path) == 1, text_of(post.mails()))


@suite.test("what is being mailed when the daemon ends is told once")
def _(suite):
    with Host(suite) as host:
        post = Post(host)
        policy(host, post)
        post.say("slow")
        path = host.put("a", EICAR)
        for word in ("control: without a stop", "stopped while sendmail runs"):
            host.start()
            host.read(path)
            host.wait("it is mailed", lambda: path in text_of(post.mails()))
            if word.startswith("control"):
                time.sleep(1)
            host.stop()
            host.start()
            suite.check("%s: once" % word, told(host, post, path) == 1, text_of(post.mails()))
            host.stop()
            path = host.put("b", EICAR + b"2")


@suite.test("a sendmail that stands still holds up nothing")
def _(suite):
    with Host(suite) as host:
        post = Post(host)
        policy(host, post, store="maildir")
        post.say("hang")
        first, second = host.put("box/new/1", EICAR), host.put("box/new/2", MARKER)
        host.start()
        host.read(first)
        host.wait("sendmail stands still", lambda: post.files("hanging"))
        started = time.monotonic()
        suite.check("another one is moved away meanwhile", host.read(second) is None and
                    time.monotonic() - started < 2 + SLACK and eventually(lambda: not os.path.exists(second), 5))
        suite.check("and status answers", host.tool("status")[0] in (0, 1))
        started = time.monotonic()
        host.stop()
        suite.check("and the daemon ends in time", time.monotonic() - started < 2 + SLACK)


@suite.test("the owner of a mailbox is told of his own, where he is a user here")
def _(suite):
    with Host(suite) as host:
        post = Post(host)
        policy(host, post, notify="every = 1s\n    owner = yes")
        user = next(u for u in pwd.getpwall() if u.pw_uid not in (0, os.getuid()) and u.pw_name.isalnum())
        own, roots, nameless = host.put("own", EICAR), host.put("roots", MARKER), host.put("nameless", EICAR + b"3")
        os.chown(own, user.pw_uid, user.pw_gid)
        os.chown(nameless, 54321, 54321)
        host.start()
        for path in (own, roots, nameless):
            host.read(path)
        suite.check("the owner is told", eventually(lambda: post.to(user.pw_name), 15), user.pw_name)
        body = text_of(post.to(user.pw_name))
        suite.check("of his own alone", own in body and roots not in body and nameless not in body, body)
        suite.check("the postmaster of all", eventually(lambda: all(p in text_of(post.to("postmaster"))
                                                                      for p in (own, roots, nameless)), 10))
        told(host, post, own)
        suite.check("nobody else", {str(mail["To"]) for mail in post.mails()} == {"postmaster", user.pw_name},
                    [str(mail["To"]) for mail in post.mails()])
        os.chown(host.watched, user.pw_uid, user.pw_gid)
        virtual = host.put("virtual", MARKER + b"4")
        os.chown(virtual, user.pw_uid, user.pw_gid)
        host.read(virtual)
        suite.check("control: the postmaster is told of a virtual mailbox",
                    eventually(lambda: virtual in text_of(post.to("postmaster")), 15))
        time.sleep(2)
        suite.check("its one system user is not", virtual not in text_of(post.to(user.pw_name)))


@suite.test("an owner whose mail is not taken, or who has no name for mail, keeps no other from his")
def _(suite):
    with Host(suite) as host:
        post = Post(host)
        policy(host, post, notify="every = 1s\n    owner = yes")
        with open("/etc/passwd") as f, open(host.base + "/passwd", "w") as own:
            own.write(f.read() + "".join("%s:x:%d:%d::/:/bin/false\n" % (name, 54321 + i, 54321 + i)
                                         for i, name in enumerate(("DOMAIN\\odd", "amy", "bob"))))
        host.mount("--bind", host.base + "/passwd", "/etc/passwd")
        post.say("refuse", "amy")
        host.start()
        for i in range(3):
            path = host.put("own%d" % i, EICAR + b"%d" % i)
            os.chown(path, 54321 + i, 54321 + i)
            host.read(path)
        suite.check("control: the first two were tried and not told", eventually(lambda: "exit code 67" in host.log() and
                    "nobody can be told under this name" in host.log(), 20), host.log()[-300:])
        suite.check("the third one is told", eventually(lambda: post.to("bob"), 10), [str(mail["To"]) for mail in post.mails()])
        suite.check("of his own", "own2" in text_of(post.to("bob")) and "own1" not in text_of(post.to("bob")))


@suite.test("a directory of users that stands still holds up nothing")
def _(suite):
    with Host(suite) as host:
        post = Post(host)
        policy(host, post, notify="every = 1s\n    owner = yes")
        own = host.put("own", EICAR)
        os.chown(own, 54321, 54321)
        host.start()
        steward = host.pid("steward")
        os.mkfifo(host.base + "/passwd")
        host.mount("--bind", host.base + "/passwd", "/etc/passwd")
        suite.check("control: denied", host.read(own) is None)
        suite.check("the log says that his name is not to be had", eventually(
            lambda: "a notice to an owner could not be mailed" in host.log(), 15), host.log()[-300:])
        suite.check("the postmaster is told", eventually(lambda: own in text_of(post.to("postmaster")), 10))
        suite.check("and the steward is the one of before", host.pid("steward") == steward)


@suite.test("without the block nobody is told")
def _(suite):
    with Host(suite) as host:
        post = Post(host)
        host.start()
        path = host.put("a", EICAR)
        suite.check("control: denied", host.read(path) is None)
        host.wait("its row, which the gate tells later", lambda: host.blocked())
        time.sleep(0.5)  # what is collected is on the disk in the steward's next turn
        suite.check("no mail, no file of it", not post.mails() and not os.path.exists(host.state + "/steward/notices"))


@suite.test("a damaged queue is told of, and what is whole is used")
def _(suite):
    with Host(suite) as host:
        post = Post(host)
        policy(host, post)
        post.say("fail")
        host.start()
        first, second = host.put("a", EICAR), host.put("b", MARKER)
        host.read(first)
        host.read(second)
        host.wait("both are on the disk", lambda: eventually(lambda: os.path.exists(host.state + "/steward/notices"), 1) and
                  os.path.getsize(host.state + "/steward/notices") > 2 * 1500)
        host.stop()
        queue = host.state + "/steward/notices"
        with open(queue, "r+b") as f:
            f.seek(os.path.getsize(queue) - 700)
            f.write(b"\xff" * 100)
        post.say("fail", False)
        host.start()
        suite.check("the log says so", "a part of it is damaged; 1 of them" in host.log(), host.log()[-400:])
        suite.check("the first is told", eventually(lambda: first in text_of(post.mails()) or second in text_of(post.mails()), 15))
        host.stop()
        post.say("fail")
        with open(queue, "wb") as f:
            f.write(os.urandom(10000))
        os.chmod(queue, 0o666)
        with open(host.state + "/steward/notices.told", "wb") as f:
            f.write(b"nonsense")
        host.start()
        suite.check("garbage is not used", "others than root" in host.log() and "is forgotten" in host.log(),
                    host.log()[-500:])
        suite.check("and the daemon is well", host.read(first) is None and host.tool("status")[0] in (0, 1))


@suite.test("by Postfix's own sendmail, to a mailbox that is watched itself")
def _(suite):
    import mail_host
    import messages
    with Host(suite) as host:
        store = host.watched + "/vmail"
        os.mkdir(store)
        mail = mail_host.MailHost(base=host.base + "/mail", store=store, queue=host.base + "/queue")
        suite.at_end(mail.stop)
        mail.start()
        suite.track(mail.dovecot.pid)
        suite.track(mail.master_pid())
        # Where sendmail looks for its configuration; in this mount namespace alone.
        host.mount("--bind", mail.base + "/postfix", "/etc/postfix")
        mail.wait_sent(mail.send("eve@example.test", ["carl@lmtp.test"], messages.infected("before")))
        body, _ = mail.fetch("carl", mail.uids("carl")[0])
        suite.check("control: without the daemon the infected message comes through", messages.is_infected(body))
        host.policy(host.watch(store, store="maildir"),
                    'notify {\n    postmaster = "anna@lmtp.test"\n    every = 2s\n}\n')
        host.start()
        suite.check("control: no notice before", mail.uids("anna") == [])
        mail.wait_sent(mail.send("eve@example.test", ["ben@lmtp.test"], messages.infected("now")))
        item = host.wait("it is in the quarantine", lambda: host.tool_json("quarantine", "list"))[0]
        uids = host.wait("a notice in the mailbox of the postmaster", lambda: mail.uids("anna"), 30)
        body, words = mail.fetch("anna", uids[0])
        notice = email.message_from_bytes(body or b"", policy=email.policy.default)
        text = notice.get_content() if body else words
        suite.check("the notice is read by IMAP, from a mailbox that is watched", "mailward release " + item["id"] in text,
                    text)
        suite.check("it says where and what", item["signature"] in text and "lmtp/ben" in text and
                    not messages.is_infected(body), text)
        head = body.split(b"\r\n\r\n")[0].decode()
        suite.check("its sender is nobody, so that it never bounces", "Return-Path: <>" in head or
                    "from=<>" in mail.log(), head)
        mail.wait_sent(mail.send("eve@example.test", ["ben@lmtp.test"], messages.infected("the next")))
        two = host.wait("the next notice", lambda: (lambda two: two if len(two) == 2 else None)(mail.uids("anna")), 30)
        items = host.tool_json("quarantine", "list")
        last = email.message_from_bytes(mail.fetch("anna", two[1])[0] or b"", policy=email.policy.default).get_content()
        suite.check("no notice of the notice", len(items) == 2 and last.count("mailward release") == 1 and items[1]["id"] in last, last)
        suite.check("Postfix is well", not [line for line in mail.complaints()], mail.complaints()[-3:])
        mail.stop()


suite.main(at_once=3)
