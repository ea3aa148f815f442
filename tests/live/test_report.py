"""A browser opens the pages of a run: all is drawn, nothing is fetched, nothing is said on its console."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.cli import main

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the program chromium")

DEMO = str(Path(__file__).parents[2] / "examples" / "demo.jsonl")

PROBE = """<script>
Promise.all(drawn).then(async () => {
  const faults = [];
  for (const plot of document.querySelectorAll(".plot")) {
    const box = plot.getBoundingClientRect();
    if (box.width < 100 || box.height < 30) faults.push("a plot without room");
    if (!plot.querySelector(".trace, .hm, .points path")) faults.push("an empty plot");
    for (const line of plot.querySelectorAll("path.js-line"))
      if (line.getTotalLength() < 10) faults.push("no line");
    for (const text of plot.querySelectorAll("text"))
      if (text.textContent.trim() && parseFloat(getComputedStyle(text).fontSize) < 11) faults.push("small text");
  }
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 0) faults.push("wider than the window by " + wide);
  const first = document.querySelector(".plot");
  Plotly.Fx.hover(first, [{curveNumber: 0, pointNumber: 80}]);
  if (!first.querySelector(".hoverlayer").textContent.includes("%")) faults.push("nothing is read off");
  document.documentElement.dataset.faults = faults.join("; ") || "none";
});
</script>"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page of a run and one that compares two; each probes itself when it is shown."""
    folder = tmp_path_factory.mktemp("pages")
    runs = [str(folder / policy) for policy in ("cloudmatrix", "round_robin")]
    for run in runs:
        replay = ["replay", DEMO, "--slo", "ttft=2s,tpot=50ms", "--policy", Path(run).name, "--out", run]
        assert main(replay) == 0
    assert main(["report", runs[0], "--output", str(folder / "run.html")]) == 0
    assert main(["report", *runs, "--output", str(folder / "comparison.html")]) == 0
    for page in folder.glob("*.html"):
        before, _, after = page.read_text(encoding="utf-8").rpartition("</body>")
        page.write_text(f"{before}{PROBE}</body>{after}", encoding="utf-8")
    return folder


@pytest.mark.parametrize("width", [400, 820, 1400])
@pytest.mark.parametrize(("name", "num_plots"), [("run.html", 23), ("comparison.html", 8)])
def test_everything_is_drawn_at_any_width(pages: Path, tmp_path: Path, name: str, num_plots: int, width: int) -> None:
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    looks = [f"--window-size={width},900", "--enable-logging=stderr", "--log-level=0", "--virtual-time-budget=4000"]
    shown = subprocess.run(
        [*browser, *looks, "--dump-dom", (pages / name).as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert 'data-ready="yes"' in shown.stdout
    assert re.search(r'data-faults="([^"]*)"', shown.stdout)[1] == "none"  # type: ignore[index]
    assert shown.stdout.count('class="plot js-plotly-plot"') == num_plots
    assert not [line for line in shown.stderr.splitlines() if "CONSOLE" in line]
