"""The notebook among the examples runs from top to bottom, and its plots show something."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from plotly.graph_objects import Figure

NOTEBOOK = Path(__file__).parents[2] / "examples" / "analysis.ipynb"


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Execute a cell as a notebook does; returns the value that it would show, None for none."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(tree, str(NOTEBOOK), "exec"), names)
        return None
    tree.body.pop()
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


def test_the_notebook_runs_and_shows_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the trace is one of the shipped examples, wherever the notebook stands
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (document["nbformat"], document["metadata"]["kernelspec"]["language"]) == (4, "python")
    code = ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in document["cells"] if cell["cell_type"] == "code")
    names: dict[str, Any] = {}
    shown = [run_cell(source, names) for source in code]
    assert all(value is not None for value in shown)
    figures: list[Any] = [value for value in shown if isinstance(value, Figure)]
    assert [len(figure.data) for figure in figures] == [3, 1, 1]
    for figure in figures:
        for line in figure.data:
            assert len(line.x) == len(line.y) >= 2
    curve_ms = list(figures[-1].data[0].y)
    assert curve_ms == sorted(curve_ms)
    assert names["compared"]["random"].verdicts.figures["ttft_s.mean"].verdict == "worse"
