# SPDX-License-Identifier: GPL-2.0-only
"""A clamd with configuration, signatures, socket and log of its own; and one that is none, and answers what a test says."""
import array, os, shutil, signal, socket, subprocess, threading, time


class Clamd:
    """Debian's clamd, run by hand: no service, nothing of /etc/clamav."""

    def __init__(self, folder, databases, **settings):
        """databases: name -> text; settings: words of clamd.conf(5) that differ from what Mailward needs."""
        self.folder, self.database = folder, os.path.join(folder, "db")
        os.makedirs(self.database, exist_ok=True)
        os.chmod(folder, 0o755)
        for name, text in databases.items():
            self.put(name, text)
        self.socket, self.process = os.path.join(folder, "clamd.ctl"), None
        self.settings = dict(AlertExceedsMax="yes", **settings) if "AlertExceedsMax" not in settings else settings

    def put(self, name, text):
        with open(os.path.join(self.database, name + "~"), "w") as out:
            out.write(text)
        os.rename(os.path.join(self.database, name + "~"), os.path.join(self.database, name))

    def start(self):
        config = os.path.join(self.folder, "clamd.conf")
        temporary = os.path.join(self.folder, "tmp")
        os.makedirs(temporary, exist_ok=True)
        with open(config, "w") as out:
            out.write("DatabaseDirectory %s\nLocalSocket %s\nLocalSocketMode 666\nForeground yes\nLogFile %s/log\nTemporaryDirectory %s\n"
                      "User root\nFixStaleSocket yes\n" % (self.database, self.socket, self.folder, temporary))
            out.write("".join("%s %s\n" % pair for pair in self.settings.items()))
        self.process = subprocess.Popen(["/usr/sbin/clamd", "-c", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while ask(self.socket, b"zPING\0") != b"PONG\0":
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError("clamd does not start: " + open(self.folder + "/log").read()[-500:])
            time.sleep(0.05)
        return self

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, *_):
        self.stop()


def ask(path, command):
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(10)
            one.connect(path)
            one.sendall(command)
            return one.recv(4096)
    except OSError:
        return b""


class FakeClamd:
    """answer(command, content) -> bytes to send; None: say nothing until the end; it may also raise ConnectionError to close.
    command: b"VERSION" or b"FILDES", content: the file's bytes, or None. A deep mail is answered as it should be, and the
    version too, unless answer() says otherwise by not returning NotImplemented."""
    VERSION = b"ClamAV 1.4.6/27500/Sat Nov 21 08:00:00 2026\0"

    def __init__(self, path, answer):
        self.path, self.answer, self.asked = path, answer, []
        self.held = []
        self.listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.unlink(path)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen(64)
        self.open = True
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while self.open:
            try:
                one, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(one,), daemon=True).start()

    def _one(self, one):
        data, control, _, _ = one.recvmsg(100, socket.CMSG_SPACE(4))
        command, content = data[1:].split(b"\0")[0], None
        for level, kind, part in control:
            fd = array.array("i", part)[0]
            content = os.pread(fd, 1 << 24, 0)
            os.close(fd)
        self.asked.append((data, content))
        try:
            said = self.answer(command, content)
            if said is NotImplemented:
                said = self.as_it_should(command, content)
            if said is None:
                self.held.append(one)
                return
            one.sendall(said)
        except ConnectionError:
            pass
        one.close()

    def as_it_should(self, command, content):
        if command == b"VERSION":
            return self.VERSION
        if content and b"Subject: canary" in content and len(content) > 5000:
            return b"fd[7]: Heuristics.Limits.Exceeded.MaxRecursion FOUND\0"
        return b"fd[7]: OK\0"

    def close(self):
        self.open = False
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for one in self.held:
            one.close()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
