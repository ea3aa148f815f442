"""Options that several commands have, with one meaning in all of them."""

from __future__ import annotations

from typing import Annotated

import typer

Config = Annotated[str | None, typer.Option(metavar="FILE", help="YAML file of settings; flags win over it.")]
Cluster = Annotated[str | None, typer.Option(metavar="NAME", help="Hardware profile, or a .yaml file of one.")]
Model = Annotated[str | None, typer.Option(metavar="NAME", help="Model, config.json or mindformers .yaml.")]
PlanText = Annotated[str | None, typer.Option(metavar="PLAN", help="Instances, such as 14x16p+1x160d+48c.")]
Policy = Annotated[str | None, typer.Option(metavar="NAME", help="Routing policy, NAME[:key=value] or FILE.py:Class.")]
Admission = Annotated[str | None, typer.Option(metavar="NAME", help="Who is let in, NAME[:key=value].")]
Order = Annotated[str | None, typer.Option(metavar="NAME", help="Who goes first to prefill, NAME[:key=value].")]
Classes = Annotated[
    str | None, typer.Option(metavar="CLASSES", help="Request classes, NAME:key=value,...;NAME:... (docs/policies.md).")
]
Cache = Annotated[str | None, typer.Option(metavar="MODE", help="Prefix KV cache: pool, local or none.")]
CachePlane = Annotated[str | None, typer.Option(metavar="PLANE", help="Plane of cache traffic: ub or vpc.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
