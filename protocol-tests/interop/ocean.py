"""An ocean between a client and its brokers: proxies that let every byte through, later, and count the crossings.

A round trip is counted by a clock that only messages move. What a client sends carries the time of the latest thing
that it has heard, on any connection; what a broker answers carries one more than what it was last asked. So a client
that does several things at once pays for them once, and the time of the last answer is the number of round trips that
it had to wait for. A new connection costs one for TCP, which no proxy sees, and waits for it.
"""

import heapq
import itertools
import socket
import threading
import time

ONE_WAY = 0.05


class Ocean:
    """A proxy in front of each broker. `shores` are the ports to connect to."""

    def __init__(self, brokers):
        self._listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(brokers)]
        self.shores = [listener.getsockname()[1] for listener in self._listeners]
        self._lock = threading.Lock()
        self._behind = []
        self._crossings = Crossings()
        self.forget()

    def connect(self, brokers):
        """Begins to forward to these addresses, in the order of `shores`."""
        self._behind = [tuple(broker.rsplit(":", 1)) for broker in brokers]
        for number, listener in enumerate(self._listeners):
            threading.Thread(target=self._accept, args=(number, listener), daemon=True).start()

    def close(self):
        for listener in self._listeners:
            listener.close()

    def forget(self):
        """Counts from here on, and leaves out what is still under way."""
        with self._lock:
            self._since = time.monotonic()
            self._started = None
            self._heard = 0
            self._connections = 0
            self.trace = []
            self.longest_thought = 0.0

    @property
    def round_trips(self):
        with self._lock:
            return self._heard

    def story(self):
        """The trace, a line for each burst."""
        return "\n".join(f"{at:7.3f} s  connection {connection} to broker {broker}  {what:>9}  {size:6} bytes"
                         f"  round trip {clock}" for at, connection, broker, what, size, clock in self.trace)

    def _accept(self, number, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            Crossing(self, number, client)

    def _note(self, crossing, what, size, clock):
        if crossing.opened < self._since:
            return
        if self._started is None:
            self._started = time.monotonic()
        at = time.monotonic() - self._started
        self.trace.append((at, crossing.number, crossing.broker + 1, what, size, clock))


class Crossing:
    """One connection."""

    def __init__(self, ocean, broker, client):
        self.ocean, self.broker, self.client = ocean, broker, client
        host, port = ocean._behind[broker]
        self.server = socket.create_connection((host, int(port)))
        for end in (self.client, self.server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with ocean._lock:
            ocean._connections += 1
            self.number = ocean._connections
            # TCP's own round trip.
            self.asked = self.reached = ocean._heard + 1
            self.opened = time.monotonic()
        self.begins = time.monotonic() + 2 * ONE_WAY
        self.asked_at = None
        threading.Thread(target=self._outward, daemon=True).start()
        threading.Thread(target=self._homeward, daemon=True).start()

    def _outward(self):
        while data := receive(self.client):
            with self.ocean._lock:
                self.asked = max(self.asked, self.ocean._heard)
                self.ocean._note(self, "asks", len(data), self.asked)
            self.ocean._crossings.add(max(time.monotonic(), self.begins) + ONE_WAY, self._ask, data, self.asked)
        self.ocean._crossings.add(max(time.monotonic(), self.begins) + ONE_WAY, shut, self.server)

    def _ask(self, data, clock):
        self.asked_at, self.reached = time.monotonic(), clock
        send(self.server, data)

    def _homeward(self):
        while data := receive(self.server):
            with self.ocean._lock:
                clock = self.reached + 1
                # Not only the first answer: a flight may hold several requests, and a broker stall between them.
                if self.asked_at is not None and self.opened >= self.ocean._since:
                    self.ocean.longest_thought = max(self.ocean.longest_thought, time.monotonic() - self.asked_at)
            self.ocean._crossings.add(time.monotonic() + ONE_WAY, self._tell, data, clock)
        self.ocean._crossings.add(time.monotonic() + ONE_WAY, shut, self.client)

    def _tell(self, data, clock):
        with self.ocean._lock:
            if self.opened >= self.ocean._since:
                self.ocean._heard = max(self.ocean._heard, clock)
            self.ocean._note(self, "is told", len(data), clock)
        send(self.client, data)


class Crossings:
    """Does things at their time, in the order of their times."""

    def __init__(self):
        self._waiting, self._numbers, self._changed = [], itertools.count(), threading.Condition()
        threading.Thread(target=self._run, daemon=True).start()

    def add(self, at, action, *arguments):
        with self._changed:
            heapq.heappush(self._waiting, (at, next(self._numbers), action, arguments))
            self._changed.notify()

    def _run(self):
        while True:
            with self._changed:
                while not self._waiting or self._waiting[0][0] > time.monotonic():
                    self._changed.wait(self._waiting[0][0] - time.monotonic() if self._waiting else None)
                _, _, action, arguments = heapq.heappop(self._waiting)
            action(*arguments)


def receive(end):
    try:
        return end.recv(65536)
    except OSError:
        return b""


def send(end, data):
    try:
        end.sendall(data)
    except OSError:
        pass


def shut(end):
    try:
        end.shutdown(socket.SHUT_WR)
    except OSError:
        pass
