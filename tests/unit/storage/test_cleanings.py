"""What is written down about jobs that were cleaned away."""

from __future__ import annotations

import json
import os
from pathlib import Path

from submitit.storage import cleanings
from submitit.storage.names import client_name
from submitit.storage.paths import Layout


def test_it_covers_the_jobs_and_no_others(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    jobs = ["1", "2", "3", "7", "12_0", "12_2", "local-9", "007", "1_2_3"]
    cleanings.append(layout, [cleanings.cleaning("f", [(job, 100.0) for job in jobs], "ada")])
    (path,) = cleanings.paths(layout)
    (read,) = cleanings.read(path)
    assert all(read.covers(job, 100.0) for job in jobs)
    assert not any(read.covers(job, 100.0) for job in ("4", "12", "12_1", "1_2", "local-8", "0", "٣", "02"))
    assert not read.covers("1", 100.5), "an id that came round again is another job's"
    assert "ada" in read.words()
    assert read.owner == os.geteuid()


def test_several_of_one_process_are_kept_and_old_ones_gathered(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    cleanings.append(layout, [cleanings.cleaning("f", [("1", 1.0)], "ada")])
    first = Path(cleanings.paths(layout)[0])
    cleanings.append(layout, [cleanings.cleaning("f", [("2", 1.0)], "ada")])
    assert len(cleanings.read(str(first))) == 2
    other = first.with_name(f"20200101-000000-elsewhere-1-00000000{cleanings.SUFFIX}")
    os.rename(first, other)
    cleanings.append(layout, [cleanings.cleaning("f", [("3", 1.0)], "ada")])
    assert len(cleanings.paths(layout)) == 2
    os.utime(other, (1, 1))
    cleanings.append(layout, [cleanings.cleaning("f", [("4", 1.0)], "ada")])
    assert cleanings.paths(layout) == [layout.locate(f"journal/{client_name()}{cleanings.SUFFIX}")]
    assert all(cleanings.find(layout, "f", str(number)) for number in (1, 2, 3, 4))
    assert cleanings.find(layout, "f", "5") is None
    assert cleanings.find(layout, "g", "1") is None


def test_what_is_no_such_line_tells_nothing(tmp_path: Path) -> None:
    good = {"event": "cleaned", "folder": "f", "time": 1, "until": 1, "spans": {"": [[1, 2]]}, "named": ["x"]}
    broken = [
        {**good, "event": "submitted"},
        {**good, "spans": {"": [[1]]}},
        {**good, "spans": {"": [["1", "2"]]}},
        {**good, "spans": [1]},
        {**good, "named": [1]},
        {**good, "until": "1"},
        {**good, "until": 1e300},
        {**good, "folder": 3},
        {**good, "user": 3},
        {key: value for key, value in good.items() if key != "folder"},
    ]
    path = tmp_path / f"a{cleanings.SUFFIX}"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in broken) + "[]\nno\n")
    assert cleanings.read(str(path)) == []
    path.write_text(f"{json.dumps(good)}\n")
    assert len(cleanings.read(str(path))) == 1
    assert cleanings.read(str(tmp_path / "none")) == []
