"""A client that follows events while its server is killed and started anew."""

import threading
from contextlib import suppress
from pathlib import Path

from receiver.client import ClientError, Event, Patience, Task, Taskweir, Unreachable
from tests.processes import a_process, a_sandbox, environment, eventually
from tests.service.world import API_KEY, APIKLEY_MODEL, free_port


class UntilOver(Patience):
    """Patient until the test is over."""

    def __init__(self) -> None:
        super().__init__(None)
        self.over = False

    def missed(self, failure: ClientError) -> None:
        if self.over:
            raise failure
        super().missed(failure)


def test_a_follower_misses_nothing_when_the_server_is_killed(tmp_path: Path) -> None:
    """Every event once and in order, from the first and from now on; submits go on as soon as it is back."""
    port, log = free_port(), tmp_path / "server.log"
    url, ready = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}/health/ready"
    patience = UntilOver()
    seen: dict[int | None, list[Event]] = {0: [], None: []}

    def follow(after: int | None) -> None:
        with suppress(Unreachable), Taskweir(url, API_KEY) as reader:
            for event in reader.events(after=after, follow=True, patience=patience):
                seen[after].append(event)

    followers = [threading.Thread(target=follow, args=(after,)) for after in seen]
    with a_sandbox(tmp_path, finish_after_s=0.2) as sandbox, Taskweir(url, API_KEY) as client:
        env = environment(tmp_path, port, sandbox)
        with a_process("serve", env=env, log=log, ready=ready):
            client.submit("apikley", APIKLEY_MODEL, {"prompt": "before anybody listens"}).wait(timeout=20)
            for each in followers:
                each.start()
            eventually(lambda: len(seen[0]) == 2, log.read_text)
            _submit_some(client, "[never]")  # told as submitted, and at once the server is gone
        with a_process("serve", env=env, log=log, ready=ready):
            for task in _submit_some(client, "a heron"):
                task.wait(timeout=20)
            recorded = [event.seq for event in client.events()]
            eventually(lambda: all(events and events[-1].seq == recorded[-1] for events in seen.values()), lambda: seen)
        patience.over = True
    for each in followers:
        each.join(20)
    assert [event.seq for event in seen[0]] == recorded
    from_now_on = [event.seq for event in seen[None]]
    assert from_now_on == recorded[-len(from_now_on) :]


def _submit_some(client: Taskweir, prompt: str) -> list[Task]:
    return [client.submit("apikley", APIKLEY_MODEL, {"prompt": f"{prompt} {number}"}) for number in range(3)]
