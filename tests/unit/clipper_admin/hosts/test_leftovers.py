"""Finding what still runs of a cluster whose state does not tell."""

import subprocess
import sys
from pathlib import Path

from clipper_admin.hosts.identity import ProcessIdentity

PROGRAM = "import time; time.sleep(60)"


def test_processes_are_known_by_where_their_output_goes(tmp_path: Path) -> None:
    logs, elsewhere = tmp_path / "logs", tmp_path / "elsewhere"
    for directory in (logs, elsewhere):
        directory.mkdir()
    link = tmp_path / "link"
    link.symlink_to(logs)
    with (
        (logs / "it.log").open("w") as log,
        (elsewhere / "it.log").open("w") as other_log,
        subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=log) as process,
        subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=other_log) as other,
    ):
        (logs / "it.log").unlink()
        assert ProcessIdentity.all_writing_to(link) == [ProcessIdentity.of(process.pid)]
        process.kill()
        other.kill()

    assert ProcessIdentity.all_writing_to(logs) == []
    assert ProcessIdentity.all_writing_to(tmp_path / "missing") == []
