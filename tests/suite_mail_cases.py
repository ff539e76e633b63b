#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# limit: 300
"""
The ten cases that a guard of real mail has to pass, for each kind of store: Postfix and Dovecot on loopback, SMTP in,
IMAP out. Here is what no other suite shows; where the others are is said below. Each case ends with the next clean
message delivered and fetched, and has its control without the daemon.

case                                   maildir                  sdbox                mbox, mdbox          postfix-queue
 1 clean mail by all seven paths       here                     here                 here                 stores (next after)
 2 infected zip, qmgr lives, next <5s  -                        -                    -                    stores (Postfix's queue ...)
 3 FETCH is NIL, the next one reads    mail_quarantine          mail_quarantine      never held: case 4   -
 4 never denied, 451 or bounced        -                        -                    stores, here         stores, here
 5 two recipients of one message       mail, mail_quarantine    here                 here                 here
 6 procmail and munpack, then exec     here (files); by who wrote it, without a path: vm_lineage (full mode)
 7 IMAP APPEND                         mail, mail_quarantine    here                 here                 -
 8 origin, a forged Received below     here                     here                 here                 here
 9 responder killed, opens held        here, mail               here                 here                 here
10 1 MB by LMTP, Dovecot's spool       here                     here                 here                 stores

invariants: no-byte-before-verdict, nothing-lost, mail-keeps-flowing
"""
import email
import glob
import os
import signal
import subprocess
import sys
import threading
import time

from harness import SLACK, Host, Suite, eventually

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "mail"))
import mail_host  # noqa: E402
import messages  # noqa: E402

suite = Suite("mail_cases", limit=290)
SECONDS = 30
# store -> the two who have one; anna's and ben's are maildir
OWNERS = {"maildir": ("anna", "ben"), **mail_host.OTHERS}
MOVES = ("maildir", "sdbox")
FORGED = ("Received: from innocent.bank.test (innocent.bank.test [203.0.113.7])\n\tby mx.local.test (Postfix) with ESMTPS "
          "id 4FAKE12\n\tfor <anna@lmtp.test>; Sat, 21 Nov 2026 17:59:21 +0000 (UTC)\n")
XCLIENT = "ADDR=198.51.100.23 NAME=mail.evil.test HELO=evil.helo PORT=4711"

class Mail:
    """All stores of one mail host in one watched tree."""

    def __init__(self):
        self.host = host = Host(suite)
        self.store = os.path.join(host.watched, "vmail")
        os.mkdir(self.store)
        self.mail = mail_host.MailHost(base=host.base + "/mail", store=self.store, queue=host.watched + "/queue")
        self.mail.spool = host.watched + "/spool"
        os.mkdir(self.mail.spool)
        os.chmod(self.mail.spool, 0o1777)
        suite.at_end(self.mail.stop)
        self.mail.start()
        suite.track(self.mail.dovecot.pid)
        suite.track(self.mail.master_pid())
        self.guarded, self.heard = False, {}

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            for line in self.mail.complaints()[-4:] + [one for one in self.mail.dovecot_lines() if "rror" in one][-4:]:
                suite.say(line)
        self.mail.stop()
        self.host.__exit__(kind, None, None)

    def watches(self, *more, **words):
        host = self.host
        return [host.watch(f"{self.store}/lmtp", store="maildir", **words),
                *(host.watch(f"{self.store}/{kind}", store=kind, **(words if kind == "sdbox" else {})) for kind in mail_host.OTHERS), *more]

    def guard(self, *watches):
        self.host.policy(*watches)
        self.host.start()
        self.guarded = True

    def name(self, what):
        return f"{what}, {'guarded' if self.guarded else 'control without the daemon'}"

    def send(self, message, *users, route="lmtp", xclient=None):
        """By SMTP until Postfix says status=sent for each -> queue id"""
        queue_id = self.mail.send("eve@example.test", [f"{user}@{route}.test" for user in users], message, xclient)
        self.mail.wait_sent(queue_id, len(users), SECONDS)
        return queue_id

    def bodies(self, user):
        """All that a client gets, one session for each."""
        replies = [(uid, *self.mail.fetch(user, uid)) for uid in self.mail.uids(user)]
        self.heard[user] = [(uid, words) for uid, _, words in replies]
        return [body for _, body, _ in replies if body]

    def has(self, user, message):
        """Does a client get this message whole?"""
        wanted = [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]
        for body in self.bodies(user):
            got = email.message_from_bytes(body)
            if got["Message-ID"] == message["Message-ID"]:
                parts = [part.get_payload(decode=True) for part in got.walk() if not part.is_multipart()]
                return [one.replace(b"\r\n", b"\n").rstrip() for one in parts] == [one.replace(b"\r\n", b"\n").rstrip() for one in wanted]
        return False

    def infected_at(self, user):
        return [body for body in self.bodies(user) if messages.is_infected(body)]

    def found(self, message):
        """What was found in it: (items of the quarantine, rows of blocked), by its Message-ID"""
        ours = lambda rows: [row for row in rows if row["message_id"] == message["Message-ID"]]  # noqa: E731
        return ours(self.host.tool_json("quarantine", "list")), ours(self.host.blocked())

    def check_next(self, after, kinds=tuple(OWNERS)):
        message = messages.clean(f"next after {after}")
        users = [user for kind in kinds for user in OWNERS[kind]]
        started = time.monotonic()
        self.send(message, *users)
        seconds = time.monotonic() - started
        missing = [user for user in users if not self.has(user, message)]
        suite.check(self.name(f"{after}: the next clean message is delivered within 5 s and fetched, {', '.join(kinds)}"),
                    not missing and seconds < 5 + SLACK, (seconds, [self.why(user) for user in missing]))
        left = self.mail.complaints()
        suite.check(self.name(f"{after}: nothing bounced, was deferred or fell over"), not left, left[-3:])

    def why(self, user):
        """For a failure: what a client of this user was told, what the daemon blocked last, what Dovecot said of the user."""
        return (user, self.heard[user], [row["detail"] for row in self.host.blocked()[-3:]] if self.guarded else None,
                [line for line in self.mail.dovecot_lines() if user in line][-12:])

    def doveadm(self, *words):
        subprocess.run(["/usr/bin/doveadm", "-c", self.mail.base + "/dovecot/dovecot.conf", *words], check=True)

    def empty(self):
        """Takes all mail away, as a client would; from an mdbox also the files, which purge leaves where somebody has one."""
        for kind, users in OWNERS.items():
            for user in users:
                self.doveadm("expunge", "-u", user, "mailbox", "INBOX", "all")
                if kind == "mdbox":
                    mail_host.wait_for(f"purge of {user}", lambda: self.doveadm("purge", "-u", user) or not glob.glob(
                        f"{self.store}/mdbox/{user}/storage/m.*"), 20)


def absent():
    missing = mail_host.missing_packages()
    if missing:
        suite.skip("real mail", "not installed: " + " ".join(missing))
    return bool(missing)


# ---- 1: clean mail ----

def check_clean(mail):
    for route, user, reader in (("lmtp", "anna", "anna"), ("virtual", "anna", "anna.v"), ("local", "anna", "anna.l"),
                                ("lda", "anna", "anna"), ("lmtp", "mia", "mia"), ("lmtp", "moe", "moe"), ("lmtp", "sue", "sue")):
        for message in (messages.clean("plain"), messages.clean_attachment("with an attachment")):
            mail.send(message, user, route=route)
            suite.check(mail.name(f"1: a clean message ({message['Subject']}) by {route} for {reader} is fetched whole"),
                        mail.has(reader, message))


# ---- 5: two recipients ----

def check_two_recipients(mail):
    for kind, users in OWNERS.items():
        message = messages.infected(f"for two, {kind}")
        mail.send(message, *users)
        what = f"5: one infected message for two, {kind}"
        if not mail.guarded:
            suite.check(mail.name(f"{what}: both fetch it"), all(mail.infected_at(user) for user in users))
        elif kind in MOVES:
            gone = lambda: sum(item["moved"] for item in mail.found(message)[0]) == 2  # noqa: E731
            suite.check(mail.name(f"{what}: both names are in the quarantine"), eventually(gone, 10), mail.found(message)[0])
            suite.check(mail.name(f"{what}: neither fetches a byte"), not any(mail.infected_at(user) for user in users))
        else:
            where = lambda: {row["path"].split("/vmail/")[1].split("/")[1] for row in mail.found(message)[1]  # noqa: E731
                             if row["answer"] == "would-deny"}
            suite.check(mail.name(f"{what}: both mailboxes are reported, with the message"),
                        eventually(lambda: where() == set(users), 10), (mail.found(message)[1], mail.host.blocked()[-3:]))
            suite.check(mail.name(f"{what}: and served, since nothing else of them could be"),
                        all(len(mail.infected_at(user)) == 1 for user in users))
    if mail.guarded:
        mail.check_next("two recipients")


# ---- 7: APPEND ----

def check_append(mail):
    for kind in mail_host.OTHERS:
        user, message = OWNERS[kind][0], messages.infected(f"appended, {kind}")
        before = len(mail.infected_at(user))
        reply = mail.mail.append(user, message)
        suite.check(mail.name(f"7: APPEND of an infected message is taken, {kind}"), reply.startswith("OK"), reply)
        if kind in MOVES and mail.guarded:
            suite.check(mail.name(f"7: and moved away, {kind}"), eventually(lambda: mail.found(message)[0], 10), mail.host.blocked()[-2:])
            suite.check(mail.name(f"7: not a byte of it is fetched, {kind}"), not mail.infected_at(user))
            continue
        suite.check(mail.name(f"7: it is fetched, {kind}"), len(mail.infected_at(user)) == before + 1)
        if mail.guarded:
            rows = eventually(lambda: mail.found(message)[1], 10)
            # One file is told of by the first infected message in it.
            suite.check(mail.name(f"7: and reported with its number, {kind}"), before or (rows and "in stored message" in rows[-1]["detail"]),
                        mail.host.blocked()[-2:])
    if mail.guarded:
        mail.check_next("APPEND")


# ---- 8: origin ----

def forged(subject):
    return FORGED.encode() + messages.infected(subject).as_bytes()


def check_origin(mail):
    for kind, users in OWNERS.items():
        user, data = users[1], forged(f"from afar, {kind}")
        message = email.message_from_bytes(data)
        queue_id = mail.send(data, user, xclient=XCLIENT)
        what = f"8: XCLIENT and a forged Received, {kind}"
        if not mail.guarded:
            body = mail.infected_at(user)[-1]
            suite.check(mail.name(f"{what}: the true line is on top, the forged one below"),
                        0 < body.find(b"[198.51.100.23]") < body.find(b"4FAKE12") and queue_id.encode() in body, body[:900])
            continue
        rows = eventually(lambda: mail.found(message)[0 if kind in MOVES else 1], 10)
        suite.check(mail.name(f"{what}: it is known by the queue id that Postfix gave it, not by the forged one"),
                    rows and {row["queue_id"] for row in rows} == {queue_id}, (queue_id, rows or mail.host.blocked()[-2:]))
        lines = [line for line in mail.mail.log().splitlines() if f"{queue_id}: client=" in line]
        suite.check(mail.name(f"{what}: by which Postfix's log tells the client"), lines and "198.51.100.23" in lines[0], lines)
    if mail.guarded:
        mail.check_next("a forged origin")


# ---- 10: a large message ----

def check_large(mail):
    text = "".join(f"{number:060d}\n" for number in range(20000))
    users = [users[0] for users in OWNERS.values()]
    clean = messages.clean("large", text)
    mail.send(clean, *users)
    missing = [user for user in users if not mail.has(user, clean)]
    suite.check(mail.name("10: a clean message of 1.2 MB by LMTP is fetched whole by each"), not missing, missing)
    bad = messages.with_attachment("large and infected", "invoice.zip", messages.zipped("invoice.com", messages.eicar()), text)
    for user in users:
        mail.send(bad, user)
    if not mail.guarded:
        suite.check(mail.name("10: a large infected one too"), all(mail.infected_at(user) for user in users))
        return
    suite.check(mail.name("10: a large infected one is moved away, maildir and sdbox"),
                eventually(lambda: len(mail.found(bad)[0]) == 2, 15), mail.found(bad))
    spooled = [row["path"] for row in mail.host.blocked() if row["path"].startswith(mail.mail.spool)]
    suite.check(mail.name("10: Dovecot's nameless spool files are nobody's business"), not spooled and not os.listdir(mail.mail.spool), spooled)
    mail.check_next("a large message")


@suite.test("clean mail, two recipients, APPEND, origin, large messages: each store")
def _(suite):
    if absent():
        return
    with Mail() as mail:
        for check in (check_clean, check_append, check_origin, check_two_recipients, check_large):
            check(mail)
        mail.empty()
        mail.guard(*mail.watches(), mail.host.watch(mail.mail.spool), mail.host.watch(f"{mail.store}/virtual", store="maildir"),
                   mail.host.watch(f"{mail.store}/home", store="maildir"))
        for check in (check_clean, check_append, check_origin):
            check(mail)
        mail.empty()
        check_two_recipients(mail)
        mail.empty()
        check_large(mail)
        errors = [line for line in mail.mail.dovecot_lines() if "Panic" in line or " 451 " in line]
        suite.check("no panic in Dovecot's log, and never 451", not errors, errors[:3])


# ---- the queue ----

@suite.test("two recipients and the origin: the queue")
def _(suite):
    if absent():
        return
    with Mail() as mail:
        mail.guard(mail.host.watch(mail.mail.queue, store="postfix-queue"))
        for what, data, users, xclient in (("5: one infected message for two", messages.infected("for two").as_bytes(), ("anna", "sue"), None),
                                           ("8: XCLIENT and a forged Received", forged("from afar"), ("mia",), XCLIENT)):
            queue_id = mail.mail.send("eve@example.test", [f"{user}@lmtp.test" for user in users], data, xclient)
            suite.check(mail.name(f"{what}: in corrupt/"), eventually(lambda: f"corrupt/{queue_id}" in mail.mail.queued(), 20), mail.mail.queued())
            items = [item for item in mail.host.tool_json("quarantine", "list") if item["path"].endswith("/" + queue_id)]
            suite.check(mail.name(f"{what}: one copy in the quarantine, under the queue id that Postfix gave it"),
                        len(items) == 1 and items[0]["queue_id"] == queue_id, items)
            suite.check(mail.name(f"{what}: nobody fetches a byte"), not any(mail.bodies(user) for user in users))
        bounced = [line for line in mail.mail.log().splitlines() if "sender non-delivery" in line]
        suite.check("no bounce was sent", not bounced, bounced)
        before = len(mail.mail.complaints())
        message = messages.clean("next")
        mail.send(message, *(user for users in OWNERS.values() for user in users))
        missing = [user for users in OWNERS.values() for user in users if not mail.has(user, message)]
        suite.check(mail.name("the next clean message is delivered to each store and fetched"), not missing and
                    len(mail.mail.complaints()) == before, (missing, mail.mail.complaints()[before:]))


# ---- 9: the responder is killed ----

class Fetches:
    """One client for each user, all at once."""

    def __init__(self, mail, uids):
        self.mail, self.ended = mail, {}
        self.threads = [threading.Thread(target=self.fetch, args=(user, uid), daemon=True) for user, uid in uids.items()]
        for thread in self.threads:
            thread.start()

    def fetch(self, user, uid):
        started = time.monotonic()
        body, words = self.mail.mail.fetch(user, uid)
        self.ended[user] = (body, words, time.monotonic() - started)

    def wait(self, seconds):
        end = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(end - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self.threads)


@suite.test("9: the gate is killed while opens of each store are held")
def _(suite):
    if absent():
        return
    for on_down in ("deny", "allow"):
        state = {}

        def blow(mail):
            gate = mail.host.pid("gate")
            os.kill(gate, signal.SIGKILL)
            state["gate"] = gate
        run_kill("the gate is killed, on-down = %s" % on_down, blow, on_down, state)


def run_kill(what, blow, on_down, state):
    users = {kind: names[0] for kind, names in OWNERS.items()}
    with Mail() as mail:
        mail.guard(*mail.watches(deadline="40s", on_down=on_down),
                   mail.host.watch(mail.mail.queue, store="postfix-queue", deadline="2s", on_infected="report"))
        mail.check_next("the start")
        workers = mail.host.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        message = messages.infected("judged by nobody")
        for user in users.values():
            mail.send(message, user)
        uids = {user: max(mail.mail.uids(user)) for user in users.values()}
        fetches = Fetches(mail, uids)
        suite.check(f"{what}: no worker works: delivered to each store, and mbox and mdbox are not held",
                    eventually(lambda: {users["mbox"], users["mdbox"]} <= set(fetches.ended), 10), fetches.ended)
        time.sleep(0.3)
        suite.check(f"{what}: control: maildir and sdbox are held", not {users["maildir"], users["sdbox"]} & set(fetches.ended), fetches.ended)
        blow(mail)
        started = time.monotonic()
        ended = fetches.wait(2 + SLACK)
        suite.check(f"{what}: each client has its answer within 2 s", ended, time.monotonic() - started)
        got = {kind: messages.is_infected(fetches.ended.get(user, (None,))[0] or b"") for kind, user in users.items()}
        suite.check(f"{what}: the infected bytes come out of maildir and sdbox by on-down, of mbox and mdbox in any case",
                    got == {kind: on_down == "allow" or kind not in MOVES for kind in OWNERS}, got)
        for pid in workers:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        mail.host.wait("protection is back", lambda: mail.host.pids().get("gate", state["gate"]) != state["gate"] and
                       mail.host.tool("status")[0] in (0, 1), 30)
        mail.check_next(what)
        suite.check(f"{what}: then not a byte of it from maildir and sdbox", not any(mail.infected_at(users[kind]) for kind in MOVES))
        bad = messages.infected("afterwards")
        mail.send(bad, *users.values())
        suite.check(f"{what}: an infected one is found", eventually(lambda: len(mail.found(bad)[0]) == 2, 15), mail.found(bad))
        suite.check(f"{what}: not a byte of it from maildir and sdbox", not any(mail.infected_at(users[kind]) for kind in MOVES))


# ---- 6: what becomes a file ----

def home_of(mail, user):
    """procmail in .forward, without the flag that waits; munpack writes what it finds into att/."""
    uid, home = mail_host.LOCAL_UIDS[user], f"{mail.store}/home/{user}"
    att = f"{home}/att"
    os.mkdir(att)
    script = mail.host.base + "/bin/split"
    with open(script, "w") as f:
        f.write('#!/bin/sh\ncd "$HOME/att" && exec /usr/bin/munpack -q -f -C "$HOME/att" >/dev/null 2>&1\n')
    os.chmod(script, 0o755)
    with open(f"{home}/.procmailrc", "w") as f:
        f.write(f"SHELL=/bin/sh\nPATH=/usr/bin:/bin\nDEFAULT={home}/Maildir/\n\n:0 c\n| {script}\n")
    with open(f"{home}/.forward", "w") as f:
        f.write('"|exec /usr/bin/procmail"\n')
    for path in (att, f"{home}/.procmailrc", f"{home}/.forward"):
        os.chown(path, uid, uid)
    return att


def run_it(path, interpreter=None):
    return suite.run([interpreter, path] if interpreter else [path]) if os.access(path, os.F_OK) else None


def executed(path, interpreter=None):
    try:
        return run_it(path, interpreter)
    except PermissionError as error:
        return error


@suite.test("6: procmail and munpack make a file of an attachment; it is not executed")
def _(suite):
    if absent():
        return
    tools = [path for path in ("/usr/bin/procmail", "/usr/bin/munpack") if not os.path.exists(path)]
    if tools:
        suite.skip("real mail", "not installed: " + " ".join(tools))
        return
    with Mail() as mail:
        att = home_of(mail, "dora")
        script = lambda name: b"#!/bin/sh\necho it ran\n# " + (messages.eicar() if name.startswith("bad") else b"harmless") + b"\n"  # noqa: E731

        def arrive(name):
            path = f"{att}/{name}"
            mail.send(messages.with_attachment(name, name, script(name)), "dora", route="local")
            whole = lambda: os.path.exists(path) and os.stat(path).st_size == len(script(name))  # noqa: E731
            suite.check(mail.name(f"6: munpack has made a file of {name}"), eventually(whole, 10), os.listdir(att))
            os.chmod(path, 0o755)
            return path
        for name in ("bad0.sh", "good0.sh"):
            result = executed(arrive(name))
            suite.check(mail.name(f"6: {name} runs"), getattr(result, "out", "") == "it ran\n", result)
        mail.guard(mail.host.watch(f"{mail.store}/home/dora/att"), mail.host.watch(f"{mail.store}/lmtp", store="maildir"))
        for name in ("bad1.sh", "good1.sh"):
            path = arrive(name)
            result, read = executed(path), executed(path, "/bin/sh")
            if name.startswith("bad"):
                suite.check(mail.name(f"6: {name} is not executed"), isinstance(result, PermissionError), result)
                suite.check(mail.name(f"6: nor read by a shell"), read.rc != 0 and "it ran" not in read.out, read)
                rows = eventually(lambda: {row["access"] for row in mail.host.blocked("--path", path)} == {"open", "exec"}, 5)
                suite.check(mail.name("6: both are in `mailward blocked`"), rows, mail.host.blocked("--path", path))
            else:
                suite.check(mail.name(f"6: {name} runs"), getattr(result, "out", "") == "it ran\n" and read.out == "it ran\n", (result, read))
        bodies = mail.bodies("dora.l")
        suite.check("6: procmail has delivered each mail besides", len(bodies) == 4, len(bodies))
        mail.check_next("an attachment", ("maildir",))


suite.main(at_once=3)
