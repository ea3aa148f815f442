"""How a page for reading looks, in light, dark and print."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root {
  color-scheme: light dark;
  --page: #f7f7f5; --card: #ffffff; --ink: #1d2126; --soft: #5c6570; --faint: #8b939d; --rule: #e3e4e1;
  --grid: #ecedea;
  --a: #2f6690; --b: #d1495b; --c: #3a8f6a; --d: #c98a1b; --e: #7a5ea8; --f: #6c7a89; --good: #2e7d4f; --bad: #b3352f;
  --cell: #e9ebe8; --shadow: 0 1px 2px rgba(20, 24, 28, .05);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131518; --card: #1b1e22; --ink: #e4e6e8; --soft: #a3abb4; --faint: #7b848e; --rule: #2d3137;
  --grid: #272b30;
    --a: #6aa9d8; --b: #ee7483; --c: #62c295; --d: #e6b150; --e: #ac92db; --f: #98a4b1; --good: #63c08a;
  --bad: #ef7b73;
    --cell: #2a2e34; --shadow: none;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 14px/1.5 Inter, "Segoe UI", "Helvetica Neue", Helvetica, Arial, sans-serif;
  font-variant-numeric: tabular-nums; }
main { max-width: 1240px; margin: 0 auto; padding: 36px 28px 64px; }
h1 { font-size: 26px; line-height: 1.25; font-weight: 620; letter-spacing: -.01em; margin: 0 0 6px;
  overflow-wrap: anywhere; }
h2 { font-size: 17px; font-weight: 620; margin: 44px 0 4px; letter-spacing: -.005em; }
h3 { font-size: 13px; font-weight: 600; margin: 0 0 2px; }
p { margin: 0 0 12px; }
.lead, .about, figcaption { color: var(--soft); }
.about { max-width: 78ch; margin-bottom: 14px; }
.warn { border-left: 3px solid var(--bad); padding: 6px 12px; background: var(--card); margin: 14px 0 0; }
.tiles { display: grid; gap: 1px; margin: 26px 0 0;
  background: var(--rule); border: 1px solid var(--rule); border-radius: 8px; overflow: hidden;
  box-shadow: var(--shadow); }
.fives { grid-template-columns: repeat(5, 1fr); } .fours { grid-template-columns: repeat(4, 1fr); }
.tile { background: var(--card); padding: 13px 16px 12px; }
.tile span { display: block; color: var(--soft); font-size: 12px; }
.tile b { display: block; font-size: 23px; font-weight: 600; line-height: 1.3; letter-spacing: -.015em;
  white-space: nowrap; }
.tile b.good { color: var(--good); } .tile b.bad { color: var(--bad); }
.grid { display: grid; gap: 14px; grid-template-columns: minmax(0, 1fr); }
.twos { grid-template-columns: repeat(2, minmax(0, 1fr)); }
.threes { grid-template-columns: repeat(3, minmax(0, 1fr)); }
@media screen and (max-width: 900px) { .grid { grid-template-columns: minmax(0, 1fr); } }
figure, .card { margin: 0; background: var(--card); border: 1px solid var(--rule); border-radius: 8px;
  padding: 13px 16px 11px; box-shadow: var(--shadow); min-width: 0; position: relative; }
.card + .grid, .grid + .card, .card + .card, .grid + .grid { margin-top: 14px; }
figcaption { font-size: 12px; margin-bottom: 6px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: 12px; color: var(--soft); margin-top: 7px; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 6px;
  vertical-align: middle; }
td .legend { margin-top: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { padding: 5px 10px; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
  td:last-child, th:last-child { padding-right: 0; }
th { color: var(--soft); font-weight: 500; font-size: 12px; } tr:last-child td { border-bottom: 0; }
td.text, th.text { text-align: left; } td.wrap { white-space: normal; overflow-wrap: anywhere; }
td.best { color: var(--good); font-weight: 600; }
  td.differs { background: color-mix(in srgb, var(--d) 14%, transparent); }
code, pre { font: 12.5px/1.55 "JetBrains Mono", "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.settings { columns: 2 420px; column-gap: 40px; }
.settings div { display: flex; justify-content: space-between; gap: 16px; padding: 4px 0;
  border-bottom: 1px solid var(--grid);
  break-inside: avoid; }
.settings span { color: var(--soft); } .settings b { font-weight: 500; overflow-wrap: anywhere; text-align: right; }
.settings .changed b { color: var(--a); font-weight: 640; }
footer { margin-top: 44px; color: var(--faint); font-size: 12px; }
@media (max-width: 760px) { .fives, .fours { grid-template-columns: 1fr 1fr; } }
@media screen and (max-width: 760px) { figure.wide > div { overflow-x: auto; } figure.wide .plot { min-width: 760px; } }
@media (max-width: 640px) { main { padding: 22px 14px 40px; } h1 { font-size: 21px; } .tile b { font-size: 20px; } }
@media print {
  :root { --page: #fff; --card: #fff; --ink: #000; --soft: #444; --faint: #666; --rule: #ccc; --grid: #e6e6e6;
  --shadow: none;
    --a: #2f6690; --b: #d1495b; --c: #3a8f6a; --d: #c98a1b; --e: #7a5ea8; --f: #6c7a89; --cell: #e9ebe8; }
  body { font-size: 11px; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  main { max-width: none; padding: 0; } h2 { break-after: avoid; margin-top: 26px; }
  figure, .card, .tiles { break-inside: avoid; }
  .threes { grid-template-columns: 1fr 1fr; }
}
@page { size: A4; margin: 13mm; }
"""
