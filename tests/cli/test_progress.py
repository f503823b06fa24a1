"""Progress is drawn in a terminal, on stderr, when a step begins, and by no thread."""

import io
import sys
import threading

from cnncost.cli.progress import progress, steps


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_in_a_terminal(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    threads = threading.active_count()
    with progress(2, "benchmark") as tell:
        tell("lenet5 batch 1")
        tell("lenet5 batch 64")
        assert threading.active_count() == threads
    text = screen.getvalue()
    assert text.index("lenet5 batch 1 ") < text.index("lenet5 batch 64")
    assert "0/2" in text
    assert "1/2" in text


def test_steps_in_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with steps("measuring") as tell:
        tell("copies")
    assert capsys.readouterr().err == "measuring: copies …\n"


def test_nothing_where_output_is_piped(capsys):
    with progress(2, "benchmark") as tell:
        tell("lenet5")
    with steps("measuring") as tell:
        tell("copies")
    assert capsys.readouterr() == ("", "")
