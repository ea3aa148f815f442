"""Options of electricity and money."""

from __future__ import annotations

from typing import Annotated

import typer

SiteName = Annotated[str | None, typer.Option(metavar="NAME", help="Where it stands: PUE, price of electricity.")]
Pue = Annotated[float | None, typer.Option(metavar="X", help="Energy at the meter over that at the supernode.")]
TariffName = Annotated[str | None, typer.Option(metavar="NAME", help="Of electricity; the site's flat one if none.")]
Price = Annotated[str | None, typer.Option(metavar="TEXT", help="bought, bought=USD, rented=USD or a contract.")]
Parking = Annotated[str | None, typer.Option(metavar="RULE", help="Park who is idle: idle=30s,spare=1.")]
PowerCap = Annotated[str | None, typer.Option(metavar="WATTS", help="Never draw more at the feeds, such as 350kW.")]
