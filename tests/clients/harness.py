"""Starts and stops a server under test, collects cases, and counts what passed."""

import contextlib
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
import traceback

CASES = []


def case(function=None, *, differs=None):
    """Registers a case. `differs` says why real Redis may legitimately answer otherwise; such a case is not run against it."""

    def register(function):
        CASES.append((function.__name__, function, differs))
        return function

    return register(function) if function else register


def equal(found, expected):
    if found != expected or type(found) is not type(expected):
        raise AssertionError(f"found {found!r}, expected {expected!r}")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Server:
    """A server process on free loopback ports, in a folder of its own. `command` may use {port}, {port2}, {port3} and {dir}."""

    def __init__(self, command):
        self.folder = tempfile.mkdtemp(prefix="clients-")
        self.host = "127.0.0.1"
        self.port, port2, port3 = free_ports(3)
        self.command = [part.format(port=self.port, port2=port2, port3=port3, dir=self.folder) for part in shlex.split(command)]
        self.process = None
        self.start()

    def start(self):
        with open(f"{self.folder}/server.log", "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = open(f"{self.folder}/server.log", errors="replace").read()
                self.close()
                raise SystemExit(f"{shlex.join(self.command)} does not answer:\n{log[-3000:]}")
            time.sleep(0.02)

    def answers(self):
        try:
            with socket.create_connection((self.host, self.port), timeout=1) as connection:
                connection.sendall(b"*1\r\n$4\r\nPING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self):
        """SIGTERM; the exit code must be 0."""
        self.process.terminate()
        equal(self.process.wait(timeout=30), 0)

    def restart(self):
        self.stop()
        self.start()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Given:
    """A server that somebody else started: never stopped here."""

    process = None

    def __init__(self, address):
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)

    def close(self):
        pass


class Wire:
    """A bare connection: what is sent and what comes back, byte by byte."""

    def __init__(self, server):
        self.socket = socket.create_connection((server.host, server.port), timeout=10)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        return self.file.readline()

    def ask(self, *args):
        self.send(b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(a), a) for a in map(as_bytes, args)))
        return self.line()

    def close(self):
        self.file.close()
        self.socket.close()


def as_bytes(value):
    return value if isinstance(value, bytes) else str(value).encode()


@contextlib.contextmanager
def wire(server):
    connection = Wire(server)
    try:
        yield connection
    finally:
        connection.close()


def run(server, clients, is_oracle):
    """Runs every case with every client. Returns (passed, failed)."""
    passed, failed = 0, 0
    for name, function, differs in CASES:
        if is_oracle and differs:
            print(f"skip {name} against Redis: {differs}")
            continue
        for label, client in clients:
            try:
                client.flushall()
                function(client, server)
                passed += 1
            except Exception:  # the next case still says something
                failed += 1
                print(f"FAIL {name} [{label}]")
                traceback.print_exc()
    return passed, failed
