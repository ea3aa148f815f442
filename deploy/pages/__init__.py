"""What all pages that we write share, and two pages of their own.

`plots` embeds Plotly and its figures, `document` and `style` are the frame of pages for reading (reports and traces;
the dashboards page has a look of its own), `units` writes values with units. `trace_page` is what `supernode trace
describe --out` writes, `metrics_page` makes docs/metrics.md.
"""
