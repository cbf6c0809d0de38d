"""`taskweir tasks`."""

import pytest

from receiver.cli.text import age, duration, failure_of, outcome_of, plain
from receiver.formats import timestamp
from tests.cli.driving import Cli, submitted
from tests.cli.stub import answer, stub


def test_the_list_shows_the_newest_first(cli: Cli) -> None:
    """A table with a head, one row per task, in a pipe as wide as it needs."""
    first, second = submitted(cli, "one", "--wait"), submitted(cli, "two")
    result = cli("tasks", "list", "--limit", "2")
    assert result.code == 0
    head, *rows = result.lines
    assert head.split() == ["task", "status", "age", "provider", "model", "outcome"]
    assert [row.split()[0] for row in rows] == [second["id"], first["id"]]
    assert first["outputs"][0]["url"] in rows[1]
    assert "handed over to apikley" in rows[0]


def test_the_list_as_json_is_an_array(cli: Cli) -> None:
    """--json gives what the API gives, without its pages."""
    made = submitted(cli, "json")
    result = cli("tasks", "list", "--json", "--limit", "1")
    assert [task["id"] for task in result.json] == [made["id"]]


def test_more_than_a_page_is_fetched(cli: Cli) -> None:
    """--limit counts tasks, however many pages of the API that is."""
    pages = [
        {"items": [{"id": "task_3"}, {"id": "task_2"}], "next_cursor": "task_2"},
        {"items": [{"id": "task_1"}, {"id": "task_0"}], "next_cursor": "task_0"},
    ]
    with stub([answer(200, page) for page in pages]) as server:
        settings = {"TASKWEIR_URL": server.url, "TASKWEIR_API_KEY": "0123456789abcdef"}
        result = cli("tasks", "list", "--json", "--limit", "3", **settings)
    assert [task["id"] for task in result.json] == ["task_3", "task_2", "task_1"]
    assert ["limit=3" in server.requests[0], "cursor=task_2&limit=1" in server.requests[1]] == [True, True]


def test_a_page_without_a_task_is_not_the_end(cli: Cli) -> None:
    """What a filter lets through may be far behind: the list ends where there is no cursor."""
    pages = [
        {"items": [], "next_cursor": "task_7"},
        {"items": [{"id": "task_3"}], "next_cursor": "task_2"},
        {"items": [], "next_cursor": None},
    ]
    with stub([answer(200, page) for page in pages]) as server:
        settings = {"TASKWEIR_URL": server.url, "TASKWEIR_API_KEY": "0123456789abcdef"}
        result = cli("tasks", "list", "--json", "--limit", "3", **settings)
    assert [task["id"] for task in result.json] == ["task_3"]
    assert ["cursor=task_7&limit=3" in server.requests[1], "cursor=task_2&limit=2" in server.requests[2]] == [
        True,
        True,
    ]


def test_the_filters_reach_the_server(cli: Cli) -> None:
    """Each filter narrows the list."""
    failed = submitted(cli, "[fail]", "--wait")
    cli("submit", "reve2img", "reve-2.0", "--input", '{"prompt": "x"}')
    by_status = cli("tasks", "list", "--status", "failed", "--json").json
    assert failed["id"] in [task["id"] for task in by_status]
    assert {task["status"] for task in by_status} == {"failed"}
    assert {task["provider"] for task in cli("tasks", "list", "--provider", "reve2img", "--json").json} == {"reve2img"}
    assert {task["model"] for task in cli("tasks", "list", "--model", "reve-2.0", "--json").json} == {"reve-2.0"}


def test_an_empty_list_says_so(cli: Cli) -> None:
    """Nothing on standard output but, as JSON, an empty array."""
    nothing = ["tasks", "list", "--model", "no-such-model"]
    result = cli(*nothing)
    assert (result.code, result.out) == (0, "")
    assert "no tasks" in result.err
    assert cli(*nothing, "--json").json == []


def test_a_narrow_terminal_keeps_the_ids_whole(cli: Cli) -> None:
    """Ids are there to be copied; what is long and less needed is cut."""
    made = submitted(cli, "narrow", "--wait")
    code, shown = cli.on_terminal("tasks", "list", "--limit", "1", columns=80)
    assert code == 0
    assert made["id"] in shown
    assert "…" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_show_tells_all_of_a_task(cli: Cli) -> None:
    """Its input, metadata, outputs, cost and times."""
    made = submitted(cli, "a heron at dawn", "--wait", "--metadata", "order=42")
    result = cli("tasks", "show", made["id"])
    assert result.code == 0
    for text in (made["id"], made["provider_task_id"], made["outputs"][0]["url"], "a heron at dawn", "42", "credits"):
        assert text in result.out
    assert "waits for" not in result.out


def test_show_tells_what_an_open_task_waits_for(cli: Cli) -> None:
    """In the words of `waiting_for.text`."""
    made = submitted(cli, "[never]")
    assert "callback expected" in cli("tasks", "show", made["id"]).out


def test_show_tells_why_a_task_failed(cli: Cli) -> None:
    """Kind, the provider's own code, and its message."""
    made = submitted(cli, "[fail]", "--wait")
    assert failure_of(made) in cli("tasks", "show", made["id"]).out


def test_show_as_json(cli: Cli) -> None:
    """The task as the API gives it."""
    made = submitted(cli, "json")
    assert cli("tasks", "show", made["id"], "--json").json["input"] == {"prompt": "json"}


def test_show_takes_the_providers_own_id(cli: Cli) -> None:
    """`<provider>:<id>` is an id too."""
    made = submitted(cli, "by its own id")
    result = cli("tasks", "show", f"apikley:{made['provider_task_id']}", "--json")
    assert result.json["id"] == made["id"]


@pytest.mark.parametrize("id", ["task_nope", "", "..", "%2e", "ä?x#y"])
def test_an_unknown_task_is_exit_status_1(cli: Cli, id: str) -> None:
    """Whatever is typed as an id, it is one that nobody has, not another address."""
    result = cli("tasks", "show", id)
    assert (result.code, result.out) == (1, "")
    assert "no task" in result.err


def test_an_id_is_not_a_path(cli: Cli) -> None:
    """One with a slash would lead to another address, and is refused before it is asked for."""
    made = submitted(cli, "x")
    result = cli("tasks", "show", f"{made['id']}/timeline")
    assert (result.code, result.out) == (1, "")
    assert "slash" in result.err


def test_a_limit_below_one_is_wrong_usage(cli: Cli) -> None:
    """Exit status 2."""
    assert cli("tasks", "list", "--limit", "0").code == 2


def test_what_a_prompt_holds_cannot_steer_the_terminal(cli: Cli) -> None:
    """No escape sequence, no line break and no markup gets through."""
    made = submitted(cli, "[bold]x[/]\x1b[2J\nnext\u202e")
    result = cli("tasks", "show", made["id"])
    assert "[bold]x[/] [2J next " in result.out


def test_plain_is_one_line_without_control_characters() -> None:
    """Of every kind that a terminal heeds."""
    assert plain("a\x00b\x1bc\rd\ne\x7ff\x9bg\u2028h\u202ei") == "a b c d e f g h i"
    assert plain(None) == ""
    assert plain(7) == "7"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (42, "42 s"), (119, "119 s"), (180, "3 min"), (7200, "2 h"), (86400 * 12, "12 d")],
)
def test_ages_are_short(seconds: float, text: str) -> None:
    """Two units never mix, and a clock that runs ahead makes nothing negative."""
    assert duration(seconds) == text
    assert age(timestamp(2**42)) == "0.0 s"


def test_several_outputs_are_counted() -> None:
    """The first URL, and how many more there are."""
    outputs = [{"role": "main", "url": f"u{number}"} for number in range(3)] + [{"role": "thumbnail", "url": "t"}]
    assert outcome_of({"outputs": outputs, "error": None}) == "u0 and 2 more"
    assert outcome_of({"outputs": [], "error": {"kind": "timeout", "code": None, "message": "late"}}) == "timeout: late"
