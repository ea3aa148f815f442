"""The page of a run folder, of several side by side, and one request's life: all made from files, without a network.

Reading order: `page` (one run), `comparison` (several), `life` (one request); below them `course` reads a run
over time; `chart`, `fleet_map` and `waterfall` are the kinds of figures. Frame, cards and style are `deploy.pages`.
"""
