#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# limit: 420
"""
Stores that cannot move a file away: Postfix's queue, out of which an infected message is taken without anybody being
denied, and mbox and mdbox, where `mailward clean` takes one message out. Real Postfix and Dovecot; each scenario runs
first without the daemon (the infected message comes through), then with it, and ends with the next clean message
delivered and fetched.

invariants: mail-keeps-flowing, nothing-lost, no-byte-before-verdict
"""
import json
import os
import re
import subprocess
import sys
import time

from harness import BUILD, SLACK, Failure, Host, Suite, eventually

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "mail"))
import mail_host  # noqa: E402
import messages  # noqa: E402

READER = {"lmtp": "{}", "virtual": "{}.v", "local": "{}.l"}
SECONDS = 30

suite = Suite("stores", limit=400)


class Mail:
    """A Host with a mail host; queue and stores lie in the watched tree, what is watched is the caller's."""

    def __init__(self, file_system="tmpfs"):
        self.host = Host(suite, file_system=file_system)
        self.store = os.path.join(self.host.watched, "vmail")
        os.mkdir(self.store)
        self.mail = mail_host.MailHost(base=os.path.join(self.host.base, "mail"), store=self.store,
                                       queue=os.path.join(self.host.watched, "queue"))
        self.queue = self.mail.queue
        suite.at_end(self.mail.stop)
        self.mail.start()
        with open(f"{self.store}/home/carl/.forward", "w") as file:
            file.write("\"|exit 67\"\n")  # EX_NOUSER: local(8) bounces
        suite.track(self.mail.dovecot.pid)
        suite.track(self.mail.master_pid())
        self.guarded = False

    def postfix(self, program, *args):
        words = [f"/usr/sbin/{program}", "-c", self.mail.base + "/postfix", *args]
        return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            for line in self.mail.complaints()[-4:] + [one for one in self.mail.dovecot_lines() if "rror" in one][-4:]:
                suite.say(line)
            suite.say(self.host.log()[-600:])
        self.mail.stop()
        self.host.__exit__(kind, None, None)

    def guard(self, *watches):
        self.host.policy(*watches)
        self.host.start()
        self.guarded = True

    def name(self, what):
        return f"{what}, {'guarded' if self.guarded else 'control without the daemon'}"

    def send(self, route, message, user="anna"):
        return self.mail.send("eve@example.test", [f"{user}@{route}.test"], message)

    def uids(self, route, user="anna"):
        return set(self.mail.uids(READER[route].format(user)))

    def fetch(self, route, uid, user="anna"):
        return self.mail.fetch(READER[route].format(user), uid)[0]

    def deliver(self, route, message, user="anna"):
        """-> (queue id, uid) once Postfix says status=sent"""
        before = self.uids(route, user)
        queue_id = self.send(route, message, user)
        self.mail.wait_sent(queue_id, 1, SECONDS)
        new = sorted(self.uids(route, user) - before)
        if len(new) != 1:
            raise Failure(f"{route}: {len(new)} new messages for one that was sent")
        return queue_id, new[0]

    def qmgr(self):
        master = self.mail.master_pid()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as file:
                    name, rest = file.read().split("(", 1)[1].rsplit(")", 1)
                if name == "qmgr" and int(rest.split()[1]) == master:
                    return int(pid)
            except OSError:
                continue
        return None

    def check_next(self, after, routes=("lmtp", "virtual", "local"), user="anna"):
        for route in routes:
            started = time.monotonic()
            subject = f"next after {after} by {route}"
            _, uid = self.deliver(route, messages.clean(subject), user)
            seconds = time.monotonic() - started
            body = self.fetch(route, uid, user)
            suite.check(self.name(f"{after}: the next clean message by {route} is delivered within 5 s and fetched"),
                        seconds < 5 + SLACK and body is not None and subject.encode() in body, (seconds, body))

    def blocked(self, path):
        return [row for row in self.host.blocked("--path", path)]

    def clean(self, *args):
        """mailward clean; doveadm is that of this mail host."""
        folder = self.host.base + "/bin"
        if not os.path.exists(folder + "/doveadm"):
            with open(folder + "/doveadm", "w") as file:
                file.write(f"#!/bin/sh\nexec /usr/bin/doveadm -c {self.mail.base}/dovecot/dovecot.conf \"$@\"\n")
            os.chmod(folder + "/doveadm", 0o755)
        return suite.run([BUILD + "/mailward", "--runtime-dir", self.host.runtime, "clean", *args], timeout=60,
                         env=dict(os.environ, PATH=folder + ":" + os.environ["PATH"]))


def absent():
    missing = mail_host.missing_packages()
    if missing:
        suite.skip("real mail", "not installed: " + " ".join(missing))
    return bool(missing)


# ---- Postfix's queue ----

def check_taken_out(mail, route, number):
    """An infected message by this route: in corrupt/, a copy in the quarantine, nothing in the mailbox."""
    what = f"an infected message {number} through the queue by {route}"
    before, qmgr = mail.uids(route), mail.qmgr()
    queue_id = mail.send(route, messages.infected(f"{what}"))
    gone = eventually(lambda: f"corrupt/{queue_id}" in mail.mail.queued(), 20)
    for line in [line for line in mail.mail.log().splitlines() if queue_id in line][-6:]:
        suite.say("postfix: " + line.split(": ", 1)[1])
    suite.check(mail.name(f"{what}: Postfix puts it in corrupt/"), gone, mail.mail.queued())
    suite.check(mail.name(f"{what}: nothing of it is delivered"), mail.uids(route) == before)
    rows = eventually(lambda: [row for row in mail.host.blocked("--path", mail.queue) if queue_id in row["path"] and
                               row["answer"] == "deny"], 5) or []
    suite.check(mail.name(f"{what}: `mailward blocked` says that it did not get through, and where it is kept"),
                rows and messages.SIGNATURE in rows[-1]["signature"] and "kept in the quarantine as" in rows[-1]["detail"], rows)
    items = [item for item in mail.host.tool_json("quarantine", "list") if item["path"].endswith("/" + queue_id)]
    suite.check(mail.name(f"{what}: the quarantine has one copy, under its name in hold/"),
                len(items) == 1 and items[0]["path"] == f"{mail.queue}/hold/{queue_id}", items)
    suite.check(mail.name(f"{what}: qmgr is the one of before"), qmgr and mail.qmgr() == qmgr, (qmgr, mail.qmgr()))
    return queue_id, items[0] if items else None


def queue_scenario(file_system):
    if absent():
        return
    with Mail(file_system) as mail:
        _, uid = mail.deliver("lmtp", messages.infected("control"))
        suite.check(mail.name("an infected message through the queue is delivered with its bytes"),
                    messages.is_infected(mail.fetch("lmtp", uid)))
        mail.guard(mail.host.watch(mail.queue, store="postfix-queue"))
        mail.check_next("the start")
        last = None
        for route in ("lmtp", "virtual", "local"):
            for number in (1, 2):
                last = check_taken_out(mail, route, number)
            mail.check_next(f"infected messages by {route}", (route,))
        fatal = [line for line in mail.mail.complaints() if re.search(r"(qmgr|cleanup|pickup|smtpd)\[\d+\]: (fatal|panic)", line) or
                 "throttling" in line]
        suite.check(mail.name("neither qmgr nor another of Postfix's lasting processes fell over, nothing is throttled"), not fatal, fatal)
        check_restored(mail, *last)


def check_restored(mail, queue_id, item):
    """Back in hold/, whole: postcat reads it, and postsuper lets it go on."""
    rc, text = mail.host.tool("release", item["id"])
    suite.check(mail.name("release says that its content does not last, and does nothing"), rc == 2 and "postsuper -H" in text and
                item["signature"] in text and mail.host.tool_json("allow", "list") == [], (rc, text))
    rc, text = mail.host.tool("quarantine", "restore", item["id"])
    suite.check(mail.name("restore says what is to be allowed before it goes on"), item["signature"] in text and "allow" in text, text)
    path = f"{mail.queue}/hold/{queue_id}"
    suite.check(mail.name("restored, it lies in hold/ under its queue id"), rc == 0 and os.path.exists(path), text)
    status = os.stat(path)
    suite.check(mail.name("restored, it is Postfix's own again"), status.st_mode & 0o7777 == 0o700 and status.st_size > 1000, status)
    body = mail.postfix("postcat", "-bh", path)
    rc, text = mail.host.tool("allow", "add", "--signature", item["signature"], "--until", "1h", "--reason", "a test")
    suite.check(mail.name("its signature is allowed"), rc == 0, text)
    suite.check(mail.name("restored, it is whole"), body.returncode == 0 and messages.is_infected(body.stdout.encode()), body.stderr)
    before = mail.uids("local")
    mail.postfix("postsuper", "-H", queue_id)
    mail.postfix("postqueue", "-f")
    mail.mail.wait_sent(queue_id, 1, SECONDS)
    new = sorted(mail.uids("local") - before)
    suite.check(mail.name("released by postsuper -H, it is delivered"), len(new) == 1 and
                messages.is_infected(mail.fetch("local", new[0])), new)


@suite.test("Postfix's queue on tmpfs: an infected message ends in corrupt/")
def _(_suite):
    queue_scenario("tmpfs")


@suite.test("Postfix's queue on ext4: an infected message ends in corrupt/")
def _(_suite):
    queue_scenario("ext4")


@suite.test("a bounce that carries the infected message")
def _(_suite):
    if absent():
        return

    def bounce(mail, subject, count):
        """-> queue ids of all bounces so far"""
        mail.mail.send("anna@virtual.test", ["carl@local.test"], messages.infected(subject))
        found = lambda: re.findall(r"sender non-delivery notification: (\S+)", mail.mail.log())  # noqa: E731
        eventually(lambda: len(found()) >= count, 20)
        return found()

    with Mail() as mail:
        before = mail.uids("virtual")
        ids = bounce(mail, "control", 1)
        new = eventually(lambda: mail.uids("virtual") - before, 20)
        suite.check(mail.name("the bounce brings the infected message back to its sender"),
                    ids and new and messages.is_infected(mail.fetch("virtual", sorted(new)[-1])), ids)
        # Observed, the message itself passes: what is found in the bounce is found by itself.
        mail.guard(mail.host.watch(mail.queue, store="postfix-queue", mode="observe"))
        ids = bounce(mail, "observed", 2)
        last = ids[-1]
        rows = eventually(lambda: [row for row in mail.host.blocked("--path", mail.queue) if row["path"].endswith("/" + last)], 10)
        suite.check(mail.name("the bounce is a queue file of its own, and found infected"), len(ids) == 2 and rows and
                    messages.SIGNATURE in rows[-1]["signature"], (ids, mail.host.blocked("--path", mail.queue)))
        mail.host.policy(mail.host.watch(mail.queue, store="postfix-queue"))
        suite.check("enforced from now on", mail.host.tool("reload")[0] == 0)
        before = mail.uids("virtual")
        queue_id = mail.mail.send("anna@virtual.test", ["carl@local.test"], messages.infected("enforced"))
        suite.check(mail.name("an infected message that would bounce ends in corrupt/"),
                    eventually(lambda: f"corrupt/{queue_id}" in mail.mail.queued(), 20), mail.mail.queued())
        time.sleep(1)
        brought = [uid for uid in mail.uids("virtual") - before if messages.is_infected(mail.fetch("virtual", uid) or b"")]
        suite.check(mail.name("no bounce brings it back"), not brought, brought)
        mail.check_next("bounces")


@suite.test("a quarantine that has no room for a message of the queue")
def _(_suite):
    if absent():
        return
    with Mail() as mail:
        mail.guard(mail.host.watch(mail.queue, store="postfix-queue"), "quarantine { max-size = 1M }\n")
        check_taken_out(mail, "lmtp", 1)
        issues = lambda: [issue for issue in mail.host.status()["issues"] if issue["id"] == "queue"]  # noqa: E731
        suite.check("control: no issue yet", not issues(), issues())
        large = messages.with_attachment("large", "invoice.zip", messages.zipped("invoice.com", messages.eicar()), ("y" * 60 + "\n") * 20000)
        _, uid = mail.deliver("lmtp", large)
        suite.check("a message that finds no room in the quarantine goes through", messages.is_infected(mail.fetch("lmtp", uid)))
        suite.check("and status says so", eventually(issues, 5) and "no room" in issues()[0]["text"], mail.host.status()["issues"])
        check_taken_out(mail, "lmtp", 2)
        suite.check("until there is room again", eventually(lambda: not issues(), 10), issues())


@suite.test("a queue that only reports, and one whose steward is dead")
def _(_suite):
    if absent():
        return
    with Mail() as mail:
        mail.guard(mail.host.watch(mail.queue, store="postfix-queue", on_infected="report"))
        _, uid = mail.deliver("lmtp", messages.infected("reported"))
        suite.check("on-infected = report: it is delivered", messages.is_infected(mail.fetch("lmtp", uid)))
        suite.check("on-infected = report: and recorded", eventually(lambda: [
            row for row in mail.host.blocked("--path", mail.queue) if row["answer"] == "would-deny"], 5))
        mail.host.policy(mail.host.watch(mail.queue, store="postfix-queue"))
        mail.host.tool("reload")
        steward = mail.host.pid("steward")
        os.kill(steward, 19)
        qmgr = mail.qmgr()
        started = time.monotonic()
        _, uid = mail.deliver("lmtp", messages.infected("nobody to take it out"))
        suite.check("the steward stands still: the message goes through after some seconds, nobody is denied",
                    messages.is_infected(mail.fetch("lmtp", uid)) and time.monotonic() - started < 10 + SLACK,
                    time.monotonic() - started)
        mail.check_next("a steward that stands still", ("lmtp",))
        suite.check("and qmgr is the one of before", qmgr == mail.qmgr())
        os.kill(steward, 9)
        suite.check("there is another steward", eventually(lambda: mail.host.pids().get("steward") not in (None, steward), 15))
        check_taken_out(mail, "lmtp", 3)


# ---- files of many messages ----

def many_scenario(kind, user, files, number):
    if absent():
        return
    with Mail() as mail:
        path_of = lambda: sorted(os.path.join(folder, name) for folder, _, names in os.walk(f"{mail.store}/{kind}/{user}")  # noqa: E731
                                 for name in names if files(name))
        _, uid = mail.deliver("lmtp", messages.infected("control"), user)
        suite.check(mail.name(f"{kind}: an infected message is fetched"), messages.is_infected(mail.fetch("lmtp", uid, user)))
        subprocess.run(["/usr/bin/doveadm", "-c", mail.mail.base + "/dovecot/dovecot.conf", "expunge", "-u", user, "mailbox", "INBOX",
                        "all"], check=True)
        subprocess.run(["/usr/bin/doveadm", "-c", mail.mail.base + "/dovecot/dovecot.conf", "purge", "-u", user], check=True)
        mail.guard(mail.host.watch(f"{mail.store}/{kind}", store=kind))
        uids = {}
        for subject, message in (("first", messages.clean("first")), ("bad", messages.infected("bad")),
                                 ("third", messages.clean("third"))):
            uids[subject] = mail.deliver("lmtp", message, user)[1]
            uids[subject + " message"] = message
        suite.check(mail.name(f"{kind}: nothing is held or denied: the infected message is fetched"),
                    messages.is_infected(mail.fetch("lmtp", uids["bad"], user)))
        message_id = uids["bad message"]["Message-ID"]
        located = lambda: [row for path in path_of() for row in mail.host.blocked("--path", path)  # noqa: E731
                           if row["message_id"] == message_id and re.search(number, row["detail"])]
        rows = eventually(located, 10)
        suite.check(mail.name(f"{kind}: the report says which message of the file it is, by number and Message-ID"), rows,
                    mail.host.blocked("--path", f"{mail.store}/{kind}"))
        path = rows[-1]["path"]
        result = mail.clean(path)
        suite.check(mail.name(f"{kind}: clean shows what it would do, and does nothing"),
                    result.rc == 0 and "would be removed by: doveadm expunge, user " + user in result.out and "--yes" in result.out and
                    messages.is_infected(mail.fetch("lmtp", uids["bad"], user)), result)
        result = mail.clean(message_id, "--yes", "--json")
        suite.check(mail.name(f"{kind}: clean --yes, by Message-ID, has done it"), result.rc == 0 and '"done": true' in
                    result.out.replace('":true', '": true'), result)
        left = mail.uids("lmtp", user)
        suite.check(mail.name(f"{kind}: exactly the one is gone"), left == {uids["first"], uids["third"]}, (left, uids))
        bodies = [mail.fetch("lmtp", uids[one], user) for one in ("first", "third")]
        suite.check(mail.name(f"{kind}: the others are fetched whole"), all(
            body and f"Subject: {one}".encode() in body and b"Nothing to see." in body
            for body, one in zip(bodies, ("first", "third"))), bodies)
        text = b"".join(open(one, "rb").read() for one in path_of())
        suite.check(mail.name(f"{kind}: its bytes are gone from the store"), b"invoice.zip" not in text)
        items = mail.host.tool_json("quarantine", "list")
        suite.check(mail.name(f"{kind}: the quarantine has it"), len(items) == 1 and items[0]["message_id"] == message_id, items)
        result = mail.clean(path, "--yes")
        suite.check(mail.name(f"{kind}: once more there is nothing to take out"), result.rc == 2 and not result.out, result)
        mail.check_next(f"cleaning {kind}", ("lmtp",), user)
        errors = [line for line in mail.mail.dovecot_lines() if "Error" in line or "Panic" in line]
        suite.check(mail.name(f"{kind}: Dovecot has nothing against it"), not errors, errors[:3])
        suite.check(mail.name(f"{kind}: nothing bounced or was deferred"), not mail.mail.complaints(), mail.mail.complaints()[:3])


@suite.test("mdbox: reported with its message, taken out by mailward clean")
def _(_suite):
    many_scenario("mdbox", "moe", lambda name: name.startswith("m."), r"in stored message [12], at byte \d+")


@suite.test("mbox of Dovecot: reported with its message, taken out by mailward clean")
def _(_suite):
    many_scenario("mbox", "mia", lambda name: name == "inbox", r"in stored message 3, at byte \d+")  # Dovecot's own is the first


@suite.test("a plain mbox without Dovecot, which local(8) delivers into")
def _(_suite):
    if absent():
        return
    with Mail() as mail:
        spool = os.path.join(mail.store, "spool")
        os.mkdir(spool, 0o1777)
        os.chmod(spool, 0o1777)
        mail.postfix("postconf", "-e", f"mail_spool_directory = {spool}", "home_mailbox =")
        mail.postfix("postfix", "reload")
        mail.guard(mail.host.watch(spool, store="mbox"))
        path, sent = f"{spool}/ben", {}
        for number, message in enumerate((messages.clean("one"), messages.infected("two"), messages.clean("three"),
                                          messages.infected("four")), 1):
            sent[number] = message
            queue_id = mail.send("local", message, "ben")
            mail.mail.wait_sent(queue_id, 1, SECONDS)
        row = eventually(lambda: [row for row in mail.host.blocked("--path", path) if row["message_id"] == sent[2]["Message-ID"]], 10)
        suite.check("plain mbox: the first infected one is told", row and "in stored message 2, at byte" in row[-1]["detail"],
                    mail.host.blocked())
        before, status = open(path, "rb").read(), os.stat(path)
        with open(path + ".lock", "w"):
            pass
        result = mail.clean(path, "--yes")
        suite.check("plain mbox: while another holds its lock nothing is done", result.rc == 2 and "somebody works on" in result.err and
                    open(path, "rb").read() == before, result)
        os.unlink(path + ".lock")
        result = mail.clean(path)
        suite.check("plain mbox: clean shows what it would do", result.rc == 0 and "would be removed by: rewrite" in result.out and
                    open(path, "rb").read() == before, result)
        result = mail.clean(path, "--yes")
        suite.check("plain mbox: clean --yes has done it", result.rc == 0 and "removed by: rewrite" in result.out, result)
        after, now = open(path, "rb").read(), os.stat(path)
        start = before.index(sent[2]["Message-ID"].encode())
        start = before.rindex(b"\nFrom ", 0, start) + 1
        end = before.index(b"\n\nFrom ", start) + 2
        suite.check("plain mbox: exactly the bytes of that message are gone", after == before[:start] + before[end:])
        suite.check("plain mbox: owner, mode and inode are as before", (now.st_uid, now.st_gid, now.st_mode, now.st_ino) ==
                    (status.st_uid, status.st_gid, status.st_mode, status.st_ino), (status, now))
        suite.check("plain mbox: no lock and no copy is left", os.listdir(spool) == ["ben"], os.listdir(spool))
        row = eventually(lambda: [row for row in mail.host.blocked("--path", path) if row["message_id"] == sent[4]["Message-ID"]], 10)
        if not row:
            open(path, "rb").close()
            row = eventually(lambda: [row for row in mail.host.blocked("--path", path)
                                      if row["message_id"] == sent[4]["Message-ID"]], 10)
        suite.check("plain mbox: then the next infected one is told", row, mail.host.blocked("--path", path)[-2:])
        result = mail.clean(path, "--yes")
        suite.check("plain mbox: and taken out", result.rc == 0 and b"invoice.zip" not in open(path, "rb").read(), result)
        queue_id = mail.send("local", messages.clean("five"), "ben")
        mail.mail.wait_sent(queue_id, 1, SECONDS)
        text = open(path, "rb").read()
        suite.check("plain mbox: the next clean message is delivered behind the others", [
            line.split(b" ", 1)[1] for line in text.splitlines() if line.startswith(b"Subject: ")] == [b"one", b"three", b"five"], text)
        kept = {item["message_id"] for item in mail.host.tool_json("quarantine", "list")}
        suite.check("plain mbox: the quarantine has both", kept == {sent[2]["Message-ID"], sent[4]["Message-ID"]}, kept)
        suite.check("plain mbox: nothing bounced or was deferred", not mail.mail.complaints(), mail.mail.complaints())


@suite.test("limits of the mail software in status")
def _(_suite):
    with Host(suite) as host:
        folder = host.base + "/bin"
        config = host.base + "/postfix"
        os.mkdir(config)
        open(config + "/main.cf", "w").close()
        host.policy(host.watch(), scanner={"max_file_size": "10M"})
        host.start()

        def status(postconf, doveconf="exit 1"):
            for name, script in (("postconf", postconf), ("doveconf", doveconf)):
                with open(f"{folder}/{name}", "w") as file:
                    file.write("#!/bin/sh\n" + script + "\n")
                os.chmod(f"{folder}/{name}", 0o755)
            started = time.monotonic()
            result = suite.run([BUILD + "/mailward", "--runtime-dir", host.runtime, "status", "--json"], timeout=60,
                               env=dict(os.environ, PATH=folder + ":" + os.environ["PATH"], MAIL_CONFIG=config))
            issues = [issue for issue in json.loads(result.out)["issues"] if issue["id"] == "mail-limit"]
            return result.rc, issues, time.monotonic() - started

        rc, issues, _ = status("printf '1024\\n0\\n0\\n'")
        suite.check("limits below the scanner's are no issue", rc == 0 and not issues, issues)
        rc, issues, _ = status("printf '10485761\\n0\\n0\\n'")
        suite.check("message_size_limit above max-file-size is an issue, with both numbers and the remedy",
                    rc == 1 and len(issues) == 1 and "10485761" in issues[0]["text"] and "10485760" in issues[0]["text"] and
                    "max-file-size" in issues[0]["remedy"], issues)
        rc, issues, _ = status("echo 1024", "printf '2 M\\n11 M\\n'")
        suite.check("Dovecot's quota_max_mail_size too", rc == 1 and "quota_max_mail_size" in issues[0]["text"], issues)
        for name, script in (("hangs", "exec sleep 60"), ("floods", "yes"), ("fails", "exit 1"), ("lies", "printf '\\033[31m\\n-5\\n'")):
            rc, issues, seconds = status(script, script)
            suite.check(f"a postconf that {name} is no issue, and status is quick all the same",
                        rc == 0 and not issues and seconds < 1.5 + SLACK, (rc, issues, seconds))


@suite.test("a large message by LMTP, which Dovecot spools outside of its store")
def _(_suite):
    if absent():
        return
    with Mail() as mail:
        mail.guard(mail.host.watch(mail.queue, store="postfix-queue"), mail.host.watch(f"{mail.store}/lmtp", store="maildir"))
        text = "".join(f"{number:060d}\n" for number in range(20000))
        _, uid = mail.deliver("lmtp", messages.clean("large", text))
        body = mail.fetch("lmtp", uid)
        suite.check("a clean message of 1.2 MB by LMTP is fetched whole", body and text.encode() in body.replace(b"\r\n", b"\n"))
        mail.check_next("a large message", ("lmtp",))


suite.main(at_once=3)
