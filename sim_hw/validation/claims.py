"""What a press article claimed of the CloudMatrix384, beside what the catalog says and why the two differ."""

from __future__ import annotations

from msgspec import Struct

from sim_hw.clusters.sheet import find_supernode
from sim_hw.clusters.totals import totals

CLAIMED_OF = "cloudmatrix384"
OTHER = "gb200-nvl72"


class Claim(Struct, frozen=True):
    """One claim in its words; `catalogue` is the number that the catalog gives for it, in `unit` ("1": a ratio)."""

    what: str
    claimed: str
    catalogue: float
    unit: str
    why: str


def claims(name: str = CLAIMED_OF) -> tuple[Claim, ...]:
    """Of that cluster; none were made of others."""
    if name != CLAIMED_OF:
        return ()
    ours, other = totals(find_supernode(CLAIMED_OF)), totals(find_supernode(OTHER))
    flops, other_flops = ours.flops["bf16"], other.flops["bf16"]
    return (
        Claim("arithmetic, BF16", "over 300 PFLOPS", flops, "FLOP/s", _ABOUT_FLOPS),
        Claim("arithmetic over an NVL72", "nearly 2 times", flops / other_flops, "1", "300 over 180 PFLOPS is 1.67"),
        Claim(
            "memory over an NVL72",
            "over 3 times",
            ours.hbm_bytes / other.hbm_bytes,
            "1",
            "agrees; 3.57 is said of 13.8 TB a rack, where drivers show 14.3",
        ),
        Claim("memory bandwidth over an NVL72", "over 2 times", _bandwidths(), "1", "agrees"),
        Claim("power", "559 kW", ours.provisioned_w, "W", "agrees: what is provisioned, never measured"),
        Claim("optical modules", "6,912", ours.optical_modules, "module", "agrees: 14 for UB and 4 for RDMA an NPU"),
        Claim("line rate of a module", "800G", 400e9, "bit/s", _ABOUT_MODULES),
        Claim("racks", "16, as 12 + 4", ours.compute_racks + ours.network_racks, "rack", "agrees"),
        Claim("price", "up to $8.2M", ours.price_usd, "USD", "agrees: RMB 60 M; the press has $8.0M to 8.2M"),
        Claim(
            "W per FLOP/s over an NVL72",
            "less efficient",
            (ours.provisioned_w / flops) / (other.provisioned_w / other_flops),
            "1",
            "agrees; 2.3 where 780 TFLOP/s of an NPU are counted",
        ),
    )


_ABOUT_FLOPS = "780 to 800 TFLOP/s an NPU are counted; it is 707.8 in BF16, 752 in FP16 (288.8 together)"
_ABOUT_MODULES = "sources part; 400G fits two links of 224 Gbit/s, 800G would be half empty"


def _bandwidths() -> float:
    ours, other = totals(find_supernode(CLAIMED_OF)), totals(find_supernode(OTHER))
    return ours.hbm_bytes_per_s / other.hbm_bytes_per_s
