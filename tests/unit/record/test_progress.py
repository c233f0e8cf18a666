from __future__ import annotations

import pytest

from samebits.record.progress import Progress, Silence


def test_silence_is_a_listener_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    listener: Progress = Silence()
    listener.on_start(3, 1)
    listener.on_step(1, 1.0, 1.0, 1.0)
    listener.on_note("a note")
    listener.on_finish()
    assert capfd.readouterr() == ("", "")
