"""What is there for Prometheus and Grafana is accepted by Prometheus' own judge, and names only what /metrics has."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.promtool import promtool

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = DEPLOY / "prometheus"
OF_OTHERS = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}


def alerts() -> dict[str, Any]:
    """Each alert by its name."""
    [group] = yaml.safe_load((FILES / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def known() -> set[str]:
    """The names of all series, as the list says that tests/service/test_metrics.py holds to /metrics."""
    rows = re.findall(r"^\| `(taskweir_\w+)` \| (\w+) \|", (FILES / "README.md").read_text(), re.MULTILINE)
    return OF_OTHERS | {
        name + ending
        for name, kind in rows
        for ending in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))
    }


def named(query: str) -> set[str]:
    """The metrics that a query names."""
    return set(re.findall(r"\b(?:taskweir|process)_\w+|\bup\b", re.sub(r'"[^"]*"', "", query)))


def test_the_configuration_is_accepted(tmp_path: Path) -> None:
    """With the rules that it names, and the key in the file that it names."""
    for each in FILES.glob("*.yml"):
        (tmp_path / each.name).write_text(each.read_text())
    (tmp_path / "taskweir.key").write_text("root-key-0123456789")
    assert promtool("check", "config", "prometheus.yml", directory=tmp_path) == ""


def test_alerts_go_off_where_they_should_and_only_there() -> None:
    """Each of them, over series in which something goes wrong beside what does not."""
    assert promtool("test", "rules", "alerts_test.yml", directory=FILES) == ""
    told = yaml.safe_load((FILES / "alerts_test.yml").read_text())["tests"]
    asked = [(rule["alertname"], len(rule["exp_alerts"])) for test in told for rule in test["alert_rule_test"]]
    assert sorted(asked) == sorted((name, count) for name in alerts() for count in (0, 1))


def test_each_alert_has_its_entry_in_the_runbook() -> None:
    """Under its own name, where its `runbook_url` leads; no entry is of an alert that is not there."""
    text = (DEPLOY / "RUNBOOK.md").read_text()
    entries = re.findall(r"^## (\w+)$", text, re.MULTILINE)
    assert entries == list(alerts())
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook_url"].endswith(f"/RUNBOOK.md#{name.lower()}")
        assert rule["labels"]["severity"] in ("critical", "warning")
        entry = text.split(f"## {name}\n")[1].split("\n## ")[0]
        assert all(f"**{word}**" in entry for word in ("Means", "Look", "Do")), name


@pytest.mark.parametrize("name", list(alerts()))
def test_alerts_name_only_what_there_is(name: str) -> None:
    """Each metric in an alert is one that /metrics has."""
    found = named(alerts()[name]["expr"])
    assert found
    assert found <= known()


def test_the_dashboard_can_be_imported(tmp_path: Path) -> None:
    """Panels with ids and places of their own, within the 24 columns, all from the Prometheus that is chosen at import;
    each query is one that Prometheus can run, over metrics that there are; all are on it that tell how things go."""
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= dashboard.keys()
    assert "id" not in dashboard  # it would overwrite whatever has that id
    assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource", "provider"]
    panels = [each for each in dashboard["panels"] if each["type"] != "row"]
    ids = [each["id"] for each in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    targets = [target for panel in panels for target in panel["targets"]]
    assert all(each["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for each in (*panels, *targets))
    queries = [each["expr"].replace("$__rate_interval", "5m").replace("$provider", ".*") for each in targets]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert promtool("check", "rules", "rules.yml", directory=tmp_path) == ""
    found = set().union(*map(named, queries))
    assert found <= known()
    missing = {name.removesuffix("_bucket") for name in known() - OF_OTHERS if not name.endswith(("_sum", "_count"))}
    assert missing - {name.removesuffix("_bucket") for name in found} == {"taskweir_build_info", "taskweir_event_seq"}
