"""What is there for Prometheus is accepted by its own judge."""

from pathlib import Path

from tests.promtool import promtool

FILES = Path(__file__).parents[2] / "deploy" / "prometheus"


def test_the_configuration_is_accepted(tmp_path: Path) -> None:
    """With the key in the file that it names."""
    for each in FILES.glob("*.yml"):
        (tmp_path / each.name).write_text(each.read_text())
    (tmp_path / "taskweir.key").write_text("root-key-0123456789")
    assert promtool("check", "config", "prometheus.yml", directory=tmp_path) == ""
