"""Pages: whole, self-contained, well-formed, true to the folder, and safe whatever names a trace or a setting has."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from deploy.cli import main
from deploy.pages.document import grid
from deploy.pages.plots import TEXT_PX
from deploy.report.comparison import MAX_RUNS, comparison_page
from deploy.report.page import run_page
from deploy.run_folder import RUN_NAME
from deploy.run_folder.read import open_run
from scheduler.protocol.errors import InputError
from tests.unit.deploy.run_folder.made import DEMO, make_run

EVIL = """<script>alert("1")</script>'&<img src=x onerror=alert(2)>"""
VOID = frozenset({"meta", "link", "br", "img", "input"})
MAX_BYTES = 2_000_000
"""Beside plotly.js, which a page holds once."""


class Outline(HTMLParser):
    """Tags that are open, so that each is closed in order; what refers to elsewhere; how many of each tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.counts: dict[str, int] = {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def own_part(page: str) -> str:
    """The page without plotly.js."""
    before, script, after = page.partition(get_plotlyjs())
    assert script
    return before + after


def figures_of(page: str) -> list[dict[str, Any]]:
    """What is drawn, in the order of the page."""
    return [json.loads(data) for data in re.findall(r'class="figure">(.*?)</script>', page)]


def outline_of(page: str) -> Outline:
    """Of a page that is well-formed, small, asks nobody for anything and draws nothing that is no number."""
    own = own_part(page)
    outline = Outline(own)
    assert not outline.open
    assert all(link.startswith("data:") for link in outline.links)
    assert not re.search(r"@import|url\(", own)
    assert len(own.encode()) < MAX_BYTES
    assert not re.search(r'(?:[ "ML\[,]|:)(?:nan|inf|NaN|Infinity)\b', own)
    figures = figures_of(page)
    assert outline.counts["script"] == len(figures) + 2
    assert not [figure for figure in figures if not figure["traces"]]
    assert "id=" not in own
    return outline


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that nobody changes."""
    return make_run(tmp_path_factory.mktemp("run"))


def changed(made: Path, folder: Path, **trace: object) -> Path:
    """A copy whose trace and policy have other names."""
    shutil.copytree(made, folder)
    run = json.loads((folder / RUN_NAME).read_text())
    run["trace"] |= trace
    run["title"] = run["config"]["policy"] = run["command"][0] = EVIL
    (folder / RUN_NAME).write_text(json.dumps(run))
    return folder


def test_a_page_has_its_figures(made: Path) -> None:
    run = open_run(str(made))
    page = run_page(run)
    outline = outline_of(page)
    assert outline.counts["figure"] >= 20
    for one in run.instances:
        assert f"{one.address}: " in page
    maps = [one for one in figures_of(page) if one["layout"].get("dragmode") is False]
    cells = [[cell for row in one["traces"][0]["z"] for cell in row if cell is not None] for one in maps]
    assert [len(one) for one in cells] == [384, 384]
    assert "ttft=2s,tpot=50ms" in page
    assert "SLO 2 s" in page


def words_of(page: str) -> list[str]:
    """What a reader sees of a page up to its configuration, whose names are those that a user writes."""
    before, _, _ = own_part(page).partition("<h2>Configuration</h2>")
    return re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", before, flags=re.DOTALL).split()


def sizes_in(value: Any) -> Iterator[int]:
    """Of every font that a figure names."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("font", "tickfont", "textfont") and "size" in inner:
                yield inner["size"]
            yield from sizes_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from sizes_in(inner)


def rows_of(page: str) -> list[list[str]]:
    """The figures of each row, told by the ends of their opening tags: empty, or that it is wide."""
    rows = re.findall(r'<div class="grid \w+">(.*?</figure>)</div>', page, flags=re.DOTALL)
    return [re.findall(r"<figure( class=wide)?>", row) for row in rows]


def test_nobody_reads_a_key_of_the_summary(made: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", "--seed", "7")
    page = run_page(open_run(str(made)))
    figures = json.dumps([[one["layout"], one["traces"]] for one in figures_of(page)])
    for one in (page, comparison_page([open_run(str(made)), open_run(str(other))])):
        words = words_of(one)
        assert "Energy" in words
        assert not [word for word in words if "_" in word or "facility" in word]
    assert not re.findall(r"by_rack|usd_|_joules|per_output", figures)
    for title in ("Energy by part", "Energy by rack", "supernode, at its feeds", "site, at the meter"):
        assert page.count(f">{title}<") == 1


def test_all_text_in_figures_has_one_size(made: Path, tmp_path: Path) -> None:
    described = tmp_path / "described"
    assert main(["trace", "describe", DEMO, "--out", str(described)]) == 0
    run = open_run(str(made))
    for page in (run_page(run), comparison_page([run, run]), (described / "trace.html").read_text(encoding="utf-8")):
        assert {size for figure in figures_of(page) for size in sizes_in(figure)} == {TEXT_PX}


def test_no_figure_stands_alone_but_one_as_wide_as_the_machine(made: Path, tmp_path: Path) -> None:
    described = tmp_path / "described"
    assert main(["trace", "describe", DEMO, "--out", str(described)]) == 0
    run = open_run(str(made))
    for page in (run_page(run), comparison_page([run, run]), (described / "trace.html").read_text(encoding="utf-8")):
        rows = rows_of(page)
        assert sum(map(len, rows)) == page.count("<figure")
        assert all(len(row) > 1 or row == [" class=wide"] for row in rows)


@pytest.mark.parametrize("num", range(1, 12))
def test_rows_hold_two_or_three(num: int) -> None:
    sizes = [len(row) for row in rows_of(grid(*["<figure></figure>"] * num, ""))]
    assert sum(sizes) == num
    assert sizes == sorted(sizes, reverse=True)
    assert set(sizes) <= {2, 3} or num == 1


def test_what_reads_alike_stands_out_nowhere(made: Path, tmp_path: Path) -> None:
    run, capped = open_run(str(made)), open_run(str(make_run(tmp_path / "capped", "--power-cap", "280kW")))
    assert 'class="best"' not in comparison_page([run, run])
    lines = re.findall(r"<tr><td>[^<]*</td>(?:<td[^>]*>[^<]*</td>)+</tr>", comparison_page([run, capped]))
    bold = [line for line in lines if 'class="best"' in line]
    assert bold
    for line in bold:
        cells = re.findall(r"<td class=\"(\w*)\">([^<]*)</td>", line)
        assert len({text for _, text in cells}) > 1
        assert len({text for kind, text in cells if kind == "best"}) == 1


def test_legends_are_whole_where_many_instances_decode(tmp_path: Path) -> None:
    few = run_page(open_run(str(make_run(tmp_path / "few", "--plan", "2x16p+6x32d+48c"))))
    many = run_page(open_run(str(make_run(tmp_path / "many", "--plan", "2x16p+7x32d+48c"))))
    held = re.compile(r"<h3>KV held by decode instances</h3>.*?</figure>", re.DOTALL)
    found = [re.findall(r"</i>([^<]*)</span>", match[0]) for page in (few, many) if (match := held.search(page))]
    assert found == [[f"decode-{index}" for index in range(6)], ["fullest", "mean", "emptiest"]]


def test_names_cannot_be_markup(made: Path, tmp_path: Path) -> None:
    evil = open_run(str(changed(made, tmp_path / "evil", name=EVIL, path=EVIL)))
    for page in (run_page(evil), comparison_page([evil, open_run(str(made))])):
        outline = outline_of(page)
        assert "img" not in outline.counts
        assert "&lt;script&gt;" in page


def test_the_same_run_has_the_same_page(made: Path) -> None:
    assert run_page(open_run(str(made))) == run_page(open_run(str(made)))


def test_runs_side_by_side(made: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", "--policy", "round_robin", "--seed", "7")
    page = comparison_page([open_run(str(made)), open_run(str(other))])
    outline_of(page)
    table = page[page.index("What differs") : page.index("What came of it")]
    assert "round_robin" in table
    assert "cloudmatrix<" in table
    assert "<td>seed</td>" in table
    assert "cache_plane" not in table
    with pytest.raises(InputError, match=f"at most {MAX_RUNS}"):
        comparison_page([open_run(str(made))] * (MAX_RUNS + 1))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--limit", "1"),
        ("--cache", "none"),
        ("--cache", "local"),
        ("--cluster", "h800-cluster"),
        ("--plan", "2x16p+1x160d+48c"),
    ],
)
def test_other_systems_and_small_runs_have_pages(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    outline_of(run_page(open_run(str(make_run(tmp_path, *arguments)))))


def test_the_command_writes_where_it_is_told(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(made, folder)
    monkeypatch.chdir(tmp_path)
    for arguments, path in (
        ([str(folder)], folder / "report.html"),
        ([str(folder), "--output", "own.html"], Path("own.html")),
        ([str(folder), str(made)], Path("comparison.html")),
    ):
        assert main(["report", *arguments]) == 0
        assert capsys.readouterr() == (f"{path}\n", "")
        outline_of(path.read_text(encoding="utf-8"))
    assert main(["report", str(folder), "--output", str(folder / "requests.csv")]) == 2
    assert "would overwrite what is read" in capsys.readouterr().err
    assert main(["report", str(folder), "--output", str(tmp_path / "no" / "page.html")]) == 2
    assert main(["report", "nowhere"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_fleet_has_maps_of_each_supernode_and_tells_what_broke(tmp_path: Path) -> None:
    faults = tmp_path / "faults.yaml"
    faults.write_text("schedule:\n  - {at: 1s, part: sn/1/leaf/7, for: 2s}\n")
    run = open_run(str(make_run(tmp_path / "run", "--plan", "2*(14x16p+1x160d+48c)", "--faults", str(faults))))
    page = run_page(run)
    outline_of(page)
    for title in ("Utilisation, supernode 0", "Utilisation, supernode 1", "Power, supernode 1"):
        assert page.count(f">{title}<") == 1
    assert [(one.broken, one.mended) for one in run.part_changes] == [(("sn/1/leaf/7",), ()), ((), ("sn/1/leaf/7",))]
    assert page.count("<td>sn/1/leaf/7</td>") == 2
    assert "<td>leaf switches</td><td>1</td><td>1</td><td>2 s</td><td>2 s</td><td>0</td>" in page
    assert page.count("Capacity lost") == 1
    assert [one.supernode for one in run.instances] == [0] * 14 + [1] * 14 + [0, 1]
