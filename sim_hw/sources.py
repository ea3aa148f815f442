"""The texts that figures of chips and clusters name in short."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

SOURCES: Final[Mapping[str, str]] = {
    "CM": "CloudMatrix paper, arXiv 2506.12708; v2 and v3 are its versions",
    "MS": "Ascend/msmodeling, tensor_cast/device.py: Huawei's own profiles for performance models",
    "HAMi": "Project-HAMi/HAMi, device configuration for Ascend",
    "CITIC": "CITIC Securities note of 25 June 2025",
    "HC2025": "Huawei Connect 2025 keynote, as reported by stcn.com",
    "A3": "Huawei Atlas 900 A3 SuperPoD and Atlas 800T A3 product pages",
    "SA": "SemiAnalysis article on CloudMatrix 384, by way of reportify.cn and others",
    "AIC": "ai-dynamo/aiconfigurator, systems/*.yaml",
    "IX": "SemiAnalysisAI/InferenceX-app, specification constants",
    "IS": "alibaba/InferSim, hardware table",
    "SMI": "nvidia-smi readings in public repositories",
    "IDX": "deepseek-ai, layout of the H800 service and profile, as quoted by the CloudMatrix paper",
    "LMSYS": "SGLang team, accounts of large-scale expert parallelism on H100 and GB200",
    "DGX": "NVIDIA DGX H100 data sheet",
}
"""Short name to what it stands for."""


def named_in(texts: Iterable[str]) -> dict[str, str]:
    """Those of `SOURCES` that the texts mention, in their order there."""
    words = {word for text in texts for word in re.findall(r"\w+", text)}
    return {short: full for short, full in SOURCES.items() if short in words}
