"""Shapes with a name. A preset holds sections as a workload file would; sections of the file replace them whole."""

from __future__ import annotations

from typing import Final

# Log-normals whose mean and cv after clipping are those measured on AzureLLMInferenceTrace_conv.csv of 2023 (19,366
# rows): mean 1,154.7, cv 0.960, maximum 14,050 in; mean 211.1, cv 0.771, maximum 1,000 out. The values below stand
# before clipping, found by matching the two moments. Lengths are drawn independently: in the file the correlation of
# their logarithms is 0.09. The real histograms have several peaks (quartiles 396, 1,020, 1,189 in), which two moments
# do not hold; `trace:` draws from the histogram itself.
_AZURE_CONVERSATION: Final[dict[str, dict[str, float]]] = {
    "prompt_tokens": {"mean": 1155.6, "cv": 0.972, "minimum": 1, "maximum": 14_050},
    "output_tokens": {"mean": 212.9, "cv": 0.819, "minimum": 1, "maximum": 1_000},
}

PRESETS: Final = {"azure_conversation": _AZURE_CONVERSATION}
