"""A relay to one local port whose connections can be cut, or left standing with nothing passing."""

import socket
import threading
from contextlib import suppress

CHUNK = 1 << 16


class CuttingRelay:
    """Passes bytes on between whoever dials `port` and a local port, two threads a connection."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._passing = threading.Event()
        self._passing.set()
        self._closing = threading.Event()
        self._calm: threading.Event | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close every connection of now, both ends."""
        with self._lock:
            ends = list(self._open)
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut_every(self, seconds: float | None) -> None:
        """Go on cutting until told None."""
        if self._calm is not None:
            self._calm.set()
            self._calm = None
        if seconds is not None:
            self._calm = threading.Event()
            threading.Thread(target=self._keep_cutting, args=(seconds, self._calm), daemon=True).start()

    def pass_on(self, *, passing: bool) -> None:
        """Without passing, connections stand and take what the kernel's buffers take: a half-open link."""
        if passing:
            self._passing.set()
        else:
            self._passing.clear()

    def close(self) -> None:
        """Cut everything for ever."""
        self._closing.set()
        self.cut_every(None)
        self._passing.set()
        self._listener.close()
        self.cut()

    def _keep_cutting(self, seconds: float, calm: threading.Event) -> None:
        while not calm.wait(seconds):
            self.cut()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # the API server is down
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
            threading.Thread(target=self._join, args=(near, far), daemon=True).start()

    def _join(self, near: socket.socket, far: socket.socket) -> None:
        back = threading.Thread(target=self._pass, args=(far, near), daemon=True)
        back.start()
        self._pass(near, far)
        back.join()
        with self._lock:
            self._open -= {near, far}
        near.close()
        far.close()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                self._passing.wait()
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
