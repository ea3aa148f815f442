"""The page of a run folder, of several side by side, and one request's life: all made from files, without a network.

Reading order: `page` (one run), `comparison` (several), `life` (one request); below them `chart` and `fleet_map` draw
SVG, `course` and `waterfall` prepare what is drawn, `style` is how it looks.
"""
