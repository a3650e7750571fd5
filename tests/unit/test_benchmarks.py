"""What `make bench` makes of its values: the fit of a growth, the JSON and back, and the published page."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import page
import picture
import pytest
import results
from results import Group
from samples import Figure, Growth, Race, Sample, Target, fitted_exponent, one_more

ROOT = Path(__file__).resolve().parents[2]


def growth(power: float) -> dict[int, Sample]:
    return {size: Sample([round(3e-6 * size**power, 9)] * 3) for size in (100, 1000, 10_000)}


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_is_that_of_the_growth(power: float) -> None:
    assert fitted_exponent(growth(power)) == pytest.approx(power, rel=1e-3)


def test_two_sizes_are_too_few_for_an_exponent() -> None:
    assert fitted_exponent({100: Sample([1.0]), 1000: Sample([10.0])}) is None


def test_one_job_more_is_told_apart_from_what_is_paid_once() -> None:
    assert one_more({size: Sample([5.0 + 0.25 * size]) for size in (100, 1000)}) == pytest.approx(0.25)
    assert one_more({100: Sample([5.0]), 1000: Sample([4.0])}) is None


def groups() -> dict[str, Group]:
    figure = Figure("a figure", "ms", Sample([0.01, 0.02]), Sample([1.0]), Target(0.005), ["a note"])
    missing = Figure("nothing", "s", None, beside="a pool")
    race = Race(
        "peers: a race",
        "ms",
        Sample([0.01]),
        {"parsl": Sample([0.02])},
        ["dask: <none>"],
        {"parsl": Target(2, "ratio")},
    )
    local = Growth("local: map_array, submission", "ms", growth(1), growth(2), ["a note"], {1000: Target(1.5, "worst")})
    return {
        "one": Group({"python": "3"}, [figure, missing], ["no cluster"]),
        "two": Group({"python": "3"}, [race, local]),
    }


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    results.write(path, groups())
    assert results.read(path) == groups()


def test_the_page_says_what_was_missed_and_what_is_missing() -> None:
    text = page.fill(
        "".join(
            f"<!-- measured: {name} -->\nold\n<!-- end -->\n" for name in ("reference", "peers", "growth", "context")
        ),
        groups(),
    )
    assert "old" not in text
    assert "| a figure | 15 ms (10 to 20, n=2) | 1000 ms | 66.7x | &lt;= 5 ms, **missed** |" in text
    assert "| parsl | 20 ms, 2x |" in text
    assert "- a race: dask: &lt;none>" in text
    assert "| local: map_array, submission | 300 µs | 3 ms | 30 ms | 1.00 | 3 µs |" in text
    assert "| not measured, one | no cluster |" in text


def test_the_picture_is_one_whatever_was_measured() -> None:
    for measured in (groups(), {"two": groups()["two"]}, {}):
        ElementTree.fromstring(picture.draw(measured))


def test_the_published_page_and_picture_are_those_of_the_published_values() -> None:
    """`python benchmarks/publish.py` writes them anew."""
    data, text, drawing = (ROOT / "docs" / f"performance.{suffix}" for suffix in ("json", "md", "svg"))
    published = results.read(data)
    assert published
    assert page.fill(text.read_text(), published) == text.read_text()
    assert picture.draw(published) == drawing.read_text()
