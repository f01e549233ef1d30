"""Clients that go on and on, and remember what they were told."""

import threading
import time
import urllib.error

from conftest import Node, make_event, ndjson


class Load:
    """Posts batches until stopped. An event is in `acknowledged` when a 2xx came back, and in
    `unanswered` when nothing certain did; refused ones are forgotten."""

    def __init__(self, node: Node, batch: int = 20, rest: float = 0.0, **changes):
        self.node, self.batch, self.rest, self.changes = node, batch, rest, changes
        self.token = node.token
        self.acknowledged: set[str] = set()
        self.unanswered: set[str] = set()
        self.refused: list[tuple[int, dict]] = []
        self.faults: list[str] = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self) -> "Load":
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(timeout=90)
        assert not self.thread.is_alive(), "the server neither answers nor closes"
        assert not self.faults, self.faults

    def run(self) -> None:
        while not self.stopping.is_set():
            events = [make_event(**self.changes) for _ in range(self.batch)]
            ids = {event["eventID"] for event in events}
            try:
                status, answer = self.node.post(ndjson(events), token=self.token)
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError):
                    self.unanswered |= ids
                time.sleep(0.01)
                continue
            except (OSError, ValueError, EOFError, Exception) as error:
                # A connection that broke in the middle of an answer has many names.
                self.unanswered |= ids
                if isinstance(error, AssertionError):
                    self.faults.append(repr(error))
                time.sleep(0.01)
                continue
            if status == 200:
                if answer.get("accepted") != len(ids):
                    self.faults.append(f"200 with {answer}")
                self.acknowledged |= ids
            else:
                self.refused.append((status, answer))
                time.sleep(0.02)
            if self.rest:
                time.sleep(self.rest)


def duplicates(tally: dict[str, int]) -> dict[str, int]:
    return {event_id: count for event_id, count in tally.items() if count != 1}
