# SPDX-License-Identifier: GPL-2.0-only
"""
A private mail host: Postfix and Dovecot with configuration, queue, stores, sockets and logs in folders that the caller
gives, on free ports of the loopback interface. /etc/postfix and /etc/dovecot are not read for their settings and never
written. Run it in a mount namespace of your own (unshare -m --propagation private): the users are made by a bind mount
over /etc/passwd and /etc/group.

    host = MailHost(base="/mnt/outside/mail", store="/mnt/watched/vmail", queue="/mnt/queue/postfix")
    host.start()
    host.send("eve@example.test", ["anna@lmtp.test"], message)
    host.wait_status("status=sent")
    imap = host.imap("anna")
    host.stop()

Where mail for each domain goes:
    NAME@lmtp.test      Postfix lmtp -> Dovecot LMTP -> STORE/lmtp/NAME      (maildir of the virtual user NAME)
    NAME@virtual.test   Postfix virtual              -> STORE/virtual/NAME   (the same; IMAP user NAME.v)
    NAME@lda.test       Postfix pipe -> dovecot-lda  -> STORE/lmtp/NAME      (the same mailbox)
    mia, mel@lmtp.test  Postfix lmtp -> Dovecot LMTP -> STORE/mbox/NAME/inbox (mbox)
    moe, max@lmtp.test  the same                     -> STORE/mdbox/NAME     (mdbox)
    sue, sam@lmtp.test  the same                     -> STORE/sdbox/NAME     (sdbox)
    NAME@local.test     Postfix local                -> STORE/home/NAME/Maildir  (users of the private passwd; NAME.l)
"""

import imaplib
import os
import random
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import time

VMAIL_UID = 5000
USERS = ("anna", "ben", "carl", "dora")
LOCAL_UIDS = {"anna": 5001, "ben": 5002, "carl": 5003, "dora": 5004}
OTHERS = {"mbox": ("mia", "mel"), "mdbox": ("moe", "max"), "sdbox": ("sue", "sam")}
PASSWORD = "test"
SLOW = float(os.environ.get("TIME_FACTOR", "1"))
NEEDED = {
    "postfix": "/usr/sbin/postfix",
    "dovecot-core": "/usr/sbin/dovecot",
    "dovecot-imapd": "/usr/lib/dovecot/imap",
    "dovecot-lmtpd": "/usr/lib/dovecot/lmtp",
}


def missing_packages():
    """Debian packages that are not there, by the programs they bring."""
    return [package for package, path in NEEDED.items() if not os.path.exists(path)]


def free_ports(count):
    """Ports on which nobody listened a moment ago, below those that a client's socket gets by itself (from 32768 on)."""
    sockets, ports = [], []
    while len(ports) < count:
        one, port = socket.socket(), random.randrange(20000, 32000)
        sockets.append(one)
        try:
            one.bind(("127.0.0.1", port))
            ports.append(port)
        except OSError:  # taken
            pass
    for one in sockets:
        one.close()
    return ports


def wait_for(what, condition, seconds):
    """condition()'s first true value; raises TimeoutError naming `what`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def _write(path, text, mode=0o644):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)


def _children(parent):
    """{pid: command name} of a process's children."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                name, rest = file.read().split("(", 1)[1].rsplit(")", 1)
            if int(rest.split()[1]) == parent:
                found[int(pid)] = name
        except OSError:
            continue
    return found


MASTER_CF = """\
127.0.0.1:{smtp_port} inet n - n - - smtpd
pickup     unix  n - n 60   1 pickup
cleanup    unix  n - n -    0 cleanup
qmgr       unix  n - n 300  1 qmgr
rewrite    unix  - - n -    - trivial-rewrite
bounce     unix  - - n -    0 bounce
defer      unix  - - n -    0 bounce
trace      unix  - - n -    0 bounce
verify     unix  - - n -    1 verify
flush      unix  n - n 1000 0 flush
proxymap   unix  - - n -    - proxymap
proxywrite unix  - - n -    1 proxymap
smtp       unix  - - n -    - smtp
relay      unix  - - n -    - smtp
showq      unix  n - n -    - showq
error      unix  - - n -    - error
retry      unix  - - n -    - error
discard    unix  - - n -    - discard
local      unix  - n n -    - local
virtual    unix  - n n -    - virtual
lmtp       unix  - - n -    - lmtp
lda        unix  - n n -    - pipe
  flags=DRhu user=vmail argv=/usr/lib/dovecot/dovecot-lda -c {base}/dovecot/dovecot.conf -f ${{sender}} -d ${{user}}
anvil      unix  - - n -    1 anvil
scache     unix  - - n -    1 scache
postlog    unix-dgram n - n - 1 postlogd
"""

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {base}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {maillog}
maillog_file_prefixes = {base}
myhostname = mx.local.test
mydestination = local.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, permit_auth_destination, reject
smtpd_authorized_xclient_hosts = 127.0.0.1
lda_destination_recipient_limit = 1
smtpd_recipient_restrictions =
smtpd_client_connection_rate_limit = 0
disable_dns_lookups = yes
smtp_dns_support_level = disabled
notify_classes =
biff = no
alias_maps =
alias_database =
local_recipient_maps =
home_mailbox = Maildir/
virtual_mailbox_domains = virtual.test, lmtp.test, lda.test
virtual_mailbox_base = {store}/virtual
virtual_mailbox_maps = texthash:{base}/postfix/mailboxes
virtual_uid_maps = static:{vmail}
virtual_gid_maps = static:{vmail}
virtual_minimum_uid = 100
transport_maps = texthash:{base}/postfix/transports
message_size_limit = 52428800
mailbox_size_limit = 0
virtual_mailbox_limit = 0
minimal_backoff_time = 5s
maximal_backoff_time = 10s
queue_run_delay = 5s
"""

DOVECOT_CONF = """\
base_dir = {base}/dovecot/run
state_dir = {base}/dovecot/state
log_path = {dovecot_log}
mail_temp_dir = {spool}
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = {vmail}
mail_plugins =
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {base}/dovecot/users
}}
userdb {{
  driver = passwd-file
  args = {base}/dovecot/users
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0666
  }}
}}
service auth {{
  unix_listener auth-userdb {{
    mode = 0666
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@local.test
  mail_plugins =
}}
"""


class MailHost:
    def __init__(self, base, store, queue):
        self.base, self.store, self.queue = base, store, queue
        self.maillog = os.path.join(base, "mail.log")
        self.dovecot_log = os.path.join(base, "dovecot.log")
        self.smtp_port, self.imap_port = free_ports(2)
        self.spool = "/tmp"  # of Dovecot, for large messages
        self.dovecot = None
        self.postfix_started = False

    # ---- configuration ----
    def _folders(self):
        for path in (self.base, f"{self.base}/postfix", f"{self.base}/data", f"{self.base}/dovecot", self.store,
                     self.queue, *(f"{self.store}/{kind}" for kind in ("mbox", "mdbox", "sdbox", "virtual", "lmtp", "home"))):
            os.makedirs(path, exist_ok=True)
            os.chmod(path, 0o755)
        shutil.chown(f"{self.base}/data", "postfix", "root")
        for path in ("virtual", "lmtp", "mbox", "mdbox", "sdbox"):
            os.chown(f"{self.store}/{path}", VMAIL_UID, VMAIL_UID)
        for name, uid in LOCAL_UIDS.items():
            home = f"{self.store}/home/{name}"
            os.makedirs(home, exist_ok=True)
            os.chown(home, uid, uid)
        for path in (self.maillog, self.dovecot_log):
            _write(path, "", 0o666)

    def _queue_folders(self):
        """As postfix-files has them; then `postfix start` need not check them."""
        for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace",
                     "maildrop", "public", "pid"):
            path = f"{self.queue}/{name}"
            os.makedirs(path, exist_ok=True)
            if name != "pid":
                shutil.chown(path, "postfix", "postdrop" if name in ("maildrop", "public") else "root")
            os.chmod(path, {"maildrop": 0o730, "public": 0o710, "pid": 0o755}.get(name, 0o700))
        _write(f"{self.queue}/quick-start", "")

    def _system_users(self):
        """Own /etc/passwd and /etc/group, in this mount namespace only."""
        lines = {"/etc/passwd": [f"vmail:x:{VMAIL_UID}:{VMAIL_UID}::{self.store}:/usr/sbin/nologin"],
                 "/etc/group": [f"vmail:x:{VMAIL_UID}:"]}
        for name, uid in LOCAL_UIDS.items():
            lines["/etc/passwd"].append(f"{name}:x:{uid}:{uid}::{self.store}/home/{name}:/usr/sbin/nologin")
            lines["/etc/group"].append(f"{name}:x:{uid}:")
        for path, more in lines.items():
            with open(path) as file:
                text = file.read()
            own = os.path.join(self.base, os.path.basename(path))
            _write(own, text + "\n".join(more) + "\n")
            subprocess.run(["mount", "--bind", own, path], check=True)

    def _postfix_files(self):
        fields = dict(base=self.base, store=self.store, queue=self.queue, maillog=self.maillog, vmail=VMAIL_UID,
                      smtp_port=self.smtp_port)
        _write(f"{self.base}/postfix/main.cf", MAIN_CF.format(**fields))
        _write(f"{self.base}/postfix/master.cf", MASTER_CF.format(**fields))
        _write(f"{self.base}/postfix/transports", f"lmtp.test lmtp:unix:{self.base}/dovecot/run/lmtp\nlda.test lda:\n")
        _write(f"{self.base}/postfix/mailboxes",
               "".join(f"{name}@{domain}.test {name}/\n" for name in USERS + sum(OTHERS.values(), ())
                       for domain in ("virtual", "lmtp", "lda")))
        # Whoever of Postfix reads a file that is younger than some seconds waits until it is not.
        for name in os.listdir(f"{self.base}/postfix"):
            os.utime(f"{self.base}/postfix/{name}", (time.time() - 60,) * 2)

    def _dovecot_files(self):
        users = []
        for name in USERS:
            for suffix, uid, folder in (("", VMAIL_UID, f"lmtp/{name}"), (".v", VMAIL_UID, f"virtual/{name}"),
                                        (".l", LOCAL_UIDS[name], f"home/{name}/Maildir")):
                mail = f"userdb_mail=maildir:{self.store}/{folder}"
                users.append(f"{name}{suffix}:{PASSWORD}:{uid}:{uid}::{self.store}/{folder}::{mail}\n")
                users.append(f"{name}{suffix}@lmtp.test:{PASSWORD}:{uid}:{uid}::{self.store}/{folder}::{mail}\n")
        for kind, names in OTHERS.items():
            for name in names:
                folder = f"{self.store}/{kind}/{name}"
                inbox = f":INBOX={folder}/inbox" if kind == "mbox" else ""
                for who in (name, f"{name}@lmtp.test"):
                    users.append(f"{who}:{PASSWORD}:{VMAIL_UID}:{VMAIL_UID}::{folder}::userdb_mail={kind}:{folder}{inbox}\n")
        _write(f"{self.base}/dovecot/users", "".join(users))
        _write(f"{self.base}/dovecot/dovecot.conf",
               DOVECOT_CONF.format(base=self.base, dovecot_log=self.dovecot_log, vmail=VMAIL_UID, spool=self.spool,
                                   imap_port=self.imap_port))

    # ---- running ----
    def start(self, dovecot=True):
        """Both answer on their ports when this returns; without dovecot it is Postfix alone."""
        self._folders()
        self._system_users()
        self._postfix_files()
        self._dovecot_files()
        self._queue_folders()
        if dovecot:
            self.dovecot = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", f"{self.base}/dovecot/dovecot.conf"],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=open(self.dovecot_log, "ab"))
        done = subprocess.run(["/usr/sbin/postfix", "-c", f"{self.base}/postfix", "start"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"postfix start: {done.stdout}{done.stderr}{self.log()}")
        self.postfix_started = True
        wait_for("SMTP", lambda: self._answers(self.smtp_port), 20 * SLOW)
        if dovecot:
            wait_for("IMAP", lambda: self._answers(self.imap_port), 20 * SLOW)

    @staticmethod
    def _answers(port):
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as one:
                return one.recv(4)
        except OSError:
            return b""

    def master_pid(self):
        """Postfix's master, or 0."""
        try:
            with open(f"{self.queue}/pid/master.pid") as file:
                return int(file.read().strip())
        except (OSError, ValueError):
            return 0

    def stop(self):
        if self.postfix_started:
            subprocess.run(["/usr/sbin/postfix", "-c", f"{self.base}/postfix", "stop"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
            self.postfix_started = False
        if self.dovecot and self.dovecot.poll() is None:
            # By SIGTERM it takes a second at least.
            for pid in (self.dovecot.pid, *_children(self.dovecot.pid)):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.dovecot.wait()
        self.dovecot = None
        for path in ("/etc/passwd", "/etc/group"):
            subprocess.run(["umount", path], stderr=subprocess.DEVNULL)

    # ---- SMTP in ----
    def send(self, sender, recipients, message, xclient=None):
        """One SMTP transaction; message: bytes or email.message. Returns the queue id Postfix gave it. xclient: words of
        XCLIENT (who the client is to be taken for)."""
        data = message if isinstance(message, bytes) else message.as_bytes()
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=60) as smtp:
            smtp.ehlo("client.test")
            if xclient:
                code, reply = smtp.docmd("XCLIENT", xclient)
                if code != 220:
                    raise RuntimeError(f"XCLIENT: {code} {reply.decode()}")
                smtp.ehlo("evil.helo")
            smtp.mail(sender)
            for one in recipients:
                code, reply = smtp.rcpt(one)
                if code != 250:
                    raise RuntimeError(f"RCPT {one}: {code} {reply.decode()}")
            code, reply = smtp.data(data)
        match = re.search(rb"queued as (\S+)", reply)
        if code != 250 or not match:
            raise RuntimeError(f"DATA: {code} {reply.decode()}")
        return match.group(1).decode()

    # ---- what the logs say ----
    def log(self):
        with open(self.maillog, errors="replace") as file:
            return file.read()

    def dovecot_lines(self):
        with open(self.dovecot_log, errors="replace") as file:
            return file.read().splitlines()

    def status_lines(self, queue_id):
        """Postfix's own word on each recipient of a message."""
        return [line for line in self.log().splitlines() if f" {queue_id}: " in line and "status=" in line]

    def wait_sent(self, queue_id, recipients=1, seconds=30 * SLOW):
        """Postfix's status lines once it says status=sent for each recipient."""
        def sent():
            lines = [line for line in self.status_lines(queue_id) if "status=sent" in line]
            return lines if len(lines) >= recipients else None
        return wait_for(f"status=sent of {queue_id}", sent, seconds)

    def complaints(self):
        """Lines that mean that a part of Postfix fell over."""
        words = ("fatal:", "panic:", "throttling", "malformed response", "status=bounced", "status=deferred")
        return [line for line in self.log().splitlines() if any(word in line for word in words)]

    def queued(self):
        """Messages that Postfix still has."""
        names = []
        for queue in ("incoming", "active", "deferred", "corrupt", "hold"):
            for _, _, files in os.walk(f"{self.queue}/{queue}"):
                names += [f"{queue}/{name}" for name in files]
        return names

    def processes(self):
        """Command names of Postfix master's children."""
        return list(_children(self.master_pid()).values())

    # ---- IMAP out ----
    def imap(self, user):
        """A new session of this user, INBOX selected; the caller logs out."""
        session = imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=60)
        session.login(user, PASSWORD)
        answer, data = session.select("INBOX")
        if answer != "OK":
            raise RuntimeError(f"SELECT: {answer} {data}")
        return session

    def asked(self, user, *command):
        """Dovecot's reply to a UID command in a session of its own; (None, its words) where it ended the session. While another
        session rebuilds the index of an sdbox it says `please relogin`, and a client does."""
        for _ in range(3):
            session = self.imap(user)
            try:
                return session.uid(*command)
            except (imaplib.IMAP4.abort, imaplib.IMAP4.error, OSError) as error:
                words = str(error)
            finally:
                close(session)
            if "please relogin" not in words:
                break
        return None, words

    def uids(self, user):
        """UIDs of the INBOX, oldest first."""
        answer, data = self.asked(user, "SEARCH", "ALL")
        if answer != "OK":
            raise RuntimeError(f"SEARCH: {answer} {data}")
        return [int(uid) for uid in data[0].split()]

    def fetch(self, user, uid):
        """(bytes or None, Dovecot's reply in words): BODY[] of one message, in a session of its own."""
        answer, data = self.asked(user, "FETCH", str(uid), "(BODY.PEEK[])")
        if answer is None:
            return None, data
        body = next((part[1] for part in data if isinstance(part, tuple)), None)
        return body, answer if body else f"{answer} {data}"

    def append(self, user, message):
        """IMAP APPEND into INBOX. Dovecot's reply."""
        data = message if isinstance(message, bytes) else message.as_bytes()
        session = self.imap(user)
        try:
            answer, reply = session.append("INBOX", None, None, data)
            return f"{answer} {reply[0].decode() if reply and reply[0] else ''}"
        finally:
            close(session)


def close(session):
    """Ends a session, whatever became of it."""
    try:
        session.logout()
    except (imaplib.IMAP4.abort, imaplib.IMAP4.error, OSError):
        session.shutdown()
