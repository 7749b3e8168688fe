"""A batch made beside the step is waited for on the GPU, and its memory is kept until then."""

from contextlib import contextmanager

import torch

from medtranslate.data.side_stream import SideStream


class Queue:
    """Stands for a queue of a GPU, and notes what happens in order."""

    def __init__(self, name, notes):
        self.name, self.notes, self.device = name, notes, "cuda:0"

    def record_event(self):
        self.notes.append(f"{self.name}: made")
        return "made"

    def wait_event(self, event):
        self.notes.append(f"{self.name}: waits for {event}")


class Image:
    """Stands for a tensor on a GPU."""

    def __init__(self, notes):
        self._notes = notes

    def record_stream(self, queue):
        self._notes.append(f"kept for {queue.name}")


def test_the_step_waits_on_the_gpu_for_what_was_made_beside_it(monkeypatch):
    notes = []

    @contextmanager
    def within(queue):
        notes.append(f"enter {queue.name}")
        yield
        notes.append(f"leave {queue.name}")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Queue("side", notes))
    monkeypatch.setattr(torch.cuda, "stream", within)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Queue("main", notes))
    side = SideStream(torch.device("cuda"))

    batch, made = side.make(lambda step: notes.append(f"cut {step}") or {"a": Image(notes)}, 3)
    taken = side.take_over(batch, made)

    assert taken is batch
    assert notes == [
        "enter side", "cut 3", "side: made", "leave side", "main: waits for made", "kept for main"
    ]  # fmt: skip
