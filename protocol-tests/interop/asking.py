"""Asking `hop subscribe --health`, and reading its metrics as strictly as their format is written down."""

import http.client
import re
import socket

from support import PATIENCE
from watching import wait_until

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'({NAME})(?:\{{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"(?:,(?!\}}))?)+)\}})? (-?[0-9.]+)')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


class Health:
    """Of a reader (see watching.py) that was started with `--health 127.0.0.1:0`."""

    def __init__(self, reader):
        announced = "hop: health on http://"
        wait_until(lambda: reader.said or reader.process.poll() is not None, what="the health's address")
        assert reader.said[0][1].startswith(announced), reader.said
        host, port = reader.said[0][1].removeprefix(announced).split(":")
        self.address = (host, int(port))

    def get(self, path, method="GET"):
        """The status and the text of an answer."""
        response, text = self.response(path, method)
        return response.status, text

    def response(self, path, method="GET"):
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response, response.read().decode("utf-8")
        finally:
            connection.close()

    def raw(self, request):
        """Everything that is answered to these bytes."""
        with socket.create_connection(self.address, timeout=PATIENCE) as connection:
            connection.sendall(request)
            return read_all(connection)

    def metrics(self):
        response, text = self.response("/metrics")
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return parse(text)

    def total(self, name):
        return sum(self.metrics()[name].values())


def read_all(connection):
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def parse(text):
    """The samples of each metric, by their labels."""
    assert text.endswith("\n") and "\r" not in text
    metrics, name = {}, None
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("#"):
            # A metric begins with both lines, and never begins again.
            help_line = re.fullmatch(rf"# HELP ({NAME}) [^\\]+", line)
            assert help_line and help_line[1] not in metrics, line
            name = help_line[1]
            kind = re.fullmatch(rf"# TYPE {name} (counter|gauge)", next(lines))
            assert kind, line
            assert name.endswith("_total") == (kind[1] == "counter"), line
            metrics[name] = {}
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample and sample[1] == name, line
        labels = tuple(sorted(LABEL.findall(sample[2] or "")))
        assert labels not in metrics[name], line
        metrics[name][labels] = float(sample[3])
    return metrics
