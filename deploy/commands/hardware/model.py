"""`supernode model`: models (`list`, `show`), and what the cost model says of one point of a stage, or collective."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

import typer
from msgspec import to_builtins

from deploy.calibration.applied import load_calibrated
from deploy.hardware.lookup import load_model
from deploy.hardware.model_page import model_list, model_page, model_summary
from deploy.hardware.operating_points import (
    InstanceOptions,
    one_of,
)
from deploy.hardware.point_answers import (
    CLUSTER,
    MODEL,
    answer_aggregated,
    answer_decode,
    answer_prefill,
    physics_refusing,
)
from deploy.hardware.point_page import (
    Answer,
    operator_answer,
    point_page,
    with_intervals,
)
from deploy.settings.options import OptionGroup, with_options
from deploy.terminal.output import say
from sim_hw.description import describe
from sim_hw.models.published import MODELS
from sim_hw.models.totals import totals
from sim_hw.steps.predict import predict_operator

app = typer.Typer(help="Show models, and predict one operating point.")

TOKENS_PER_RANK = 128
"""Of the published rows."""

Cluster = Annotated[str, typer.Option(metavar="NAME", help="Hardware profile, or a .yaml file of one.")]
Model = Annotated[str, typer.Option(metavar="NAME", help="Model, config.json or mindformers .yaml.")]
Npus = Annotated[int | None, typer.Option(metavar="N", help="NPUs (packages, GPUs) of the instance.")]
Ep = Annotated[int | None, typer.Option(metavar="N", help="Ranks of expert parallelism; a rank is a die.")]
Tp = Annotated[int | None, typer.Option(metavar="N", help="Ranks that share the attention of each layer.")]
ExpertTp = Annotated[int | None, typer.Option(metavar="N", help="Ranks that share each expert; 1.")]
Pp = Annotated[int | None, typer.Option(metavar="N", help="Pipeline stages of prefill; 1.")]
Cp = Annotated[int | None, typer.Option(metavar="N", help="Ranks that share each prompt in prefill; 1.")]
Slots = Annotated[int | None, typer.Option(metavar="N", help="Experts that a rank holds in each layer.")]
Reserve = Annotated[float | None, typer.Option(metavar="SHARE", help="Of memory, for activations and graphs; 0.1.")]
Microbatch = Annotated[str | None, typer.Option(metavar="on|off", help="Two micro-batches, or no overlap at all.")]
OverlapName = Annotated[str | None, typer.Option(metavar="KIND", help="none, single_batch or two_batches.")]
Eplb = Annotated[str | None, typer.Option(metavar="KIND", help="Expert balance: default, greedy or perfect.")]
BatchTokens = Annotated[int | None, typer.Option(metavar="N", help="Prompt tokens of a pass, per NPU; 16384.")]
Prompt = Annotated[int | None, typer.Option(metavar="N", help="Tokens of each prompt; 4096.")]
Reuse = Annotated[float | None, typer.Option(metavar="SHARE", help="Share of each prompt that is cached; 0.")]
CachePlane = Annotated[str | None, typer.Option(metavar="PLANE", help="Plane of cache traffic: ub or vpc; ub.")]
Output = Annotated[int | None, typer.Option(metavar="N", help="Tokens of each answer; 1024.")]
Running = Annotated[int | None, typer.Option(metavar="N", help="Requests per NPU that decode; 96, or what can.")]
TokenBudget = Annotated[int | None, typer.Option(metavar="N", help="Token rows of a step, per NPU; 512.")]
Batch = Annotated[int | None, typer.Option(metavar="N", help="Requests per NPU; 96, or what fits.")]
Context = Annotated[int | None, typer.Option(metavar="N", help="Tokens of KV per request so far; 4096.")]
Mtp = Annotated[int | None, typer.Option(metavar="K", help="Speculative tokens; 1 if the model has the module.")]
Acceptance = Annotated[float | None, typer.Option(metavar="SHARE", help="Of speculative tokens; 0.7.")]
AcceptLength = Annotated[float | None, typer.Option(metavar="X", help="Tokens that a step yields, for --acceptance.")]
DrafterName = Annotated[str | None, typer.Option(metavar="KIND", help="What drafts: mtp, eagle, ngram or model; mtp.")]
DraftModel = Annotated[str | None, typer.Option(metavar="NAME", help="Of --drafter model, a small dense one.")]
CompareDrafts = Annotated[int | None, typer.Option(metavar="K", help="A row for 0 to K speculative tokens each.")]
PrecisionName = Annotated[str | None, typer.Option(metavar="NAME", help="Of weights and products: int8, fp8, bf16 ...")]
KvPrecision = Annotated[str | None, typer.Option(metavar="NAME", help="Of cached KV: bf16, int8 or fp8.")]
ExpertFormat = Annotated[str | None, typer.Option(metavar="KIND", help="Experts' weights: nvfp4, w4a8 or none.")]
Afd = Annotated[str | None, typer.Option(metavar="A:F", help="Attention on A NPUs, experts on F others.")]
TpotSlo = Annotated[str | None, typer.Option(metavar="TIME", help="Find the largest batch within it, such as 50ms.")]
CalibrationFile = Annotated[str | None, typer.Option(metavar="FILE", help="What supernode calibrate wrote.")]
AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]

INSTANCE_OPTIONS: Final = OptionGroup(
    {
        "npus": (Npus, None),
        "ep": (Ep, None),
        "tp": (Tp, None),
        "expert_tp": (ExpertTp, None),
        "pp": (Pp, None),
        "cp": (Cp, None),
        "slots_per_rank": (Slots, None),
        "reserve": (Reserve, None),
        "microbatch": (Microbatch, None),
        "overlap": (OverlapName, None),
        "eplb": (Eplb, None),
        "precision": (PrecisionName, None),
        "kv_precision": (KvPrecision, None),
        "expert_weights": (ExpertFormat, None),
    },
    lambda given: InstanceOptions(num_npus=given.pop("npus"), **given),
)
"""What all stages have."""


@app.command("list")
def list_known(as_json: AsJson = False) -> None:
    """The built-in models: shape, parameters, KV per token."""
    if as_json:
        _say_json({"models": [model_summary(shape) for shape in MODELS]})
    else:
        say(model_list(MODELS))


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Model, Hugging Face config.json or mindformers .yaml.")],
    as_json: AsJson = False,
) -> None:
    """The shape of a model and what follows from it."""
    shape = load_model(name)
    if as_json:
        _say_json({"shape": describe(shape), "derived": to_builtins(totals(shape))})
    else:
        say(model_page(shape, totals(shape)))


@app.command()
@with_options(instance=INSTANCE_OPTIONS)
def prefill(
    instance: InstanceOptions,
    cluster: Cluster = CLUSTER,
    model: Model = MODEL,
    batch_tokens: BatchTokens = None,
    prompt: Prompt = None,
    reuse: Reuse = None,
    cache_plane: CachePlane = None,
    calibration: CalibrationFile = None,
    as_json: AsJson = False,
) -> int:
    """Throughput and time of a prefill pass, by operator."""
    answer = answer_prefill(instance, cluster, model, batch_tokens, prompt, reuse, cache_plane, calibration)
    _show(answer, as_json)
    return 0


@app.command()
@with_options(instance=INSTANCE_OPTIONS)
def decode(
    instance: InstanceOptions,
    cluster: Cluster = CLUSTER,
    model: Model = MODEL,
    batch: Batch = None,
    context: Context = None,
    mtp: Mtp = None,
    acceptance: Acceptance = None,
    drafter: DrafterName = None,
    accept_length: AcceptLength = None,
    tpot_slo: TpotSlo = None,
    afd: Afd = None,
    calibration: CalibrationFile = None,
    compare_drafts: CompareDrafts = None,
    draft_model: DraftModel = None,
    as_json: AsJson = False,
) -> int:
    """Throughput and time of a decode step, by operator."""
    given = (
        batch,
        context,
        mtp,
        acceptance,
        drafter,
        accept_length,
        tpot_slo,
        afd,
        calibration,
        compare_drafts,
        draft_model,
    )
    answer = answer_decode(instance, cluster, model, *given)
    _show(answer, as_json)
    return 0


@app.command()
@with_options(instance=INSTANCE_OPTIONS)
def aggregated(
    instance: InstanceOptions,
    cluster: Cluster = CLUSTER,
    model: Model = MODEL,
    batch: Running = None,
    prompt: Prompt = None,
    output: Output = None,
    token_budget: TokenBudget = None,
    reuse: Reuse = None,
    cache_plane: CachePlane = None,
    mtp: Mtp = None,
    acceptance: Acceptance = None,
    drafter: DrafterName = None,
    accept_length: AcceptLength = None,
    tpot_slo: TpotSlo = None,
    calibration: CalibrationFile = None,
    as_json: AsJson = False,
) -> int:
    """Throughput and times of both stages in the same steps."""
    load = batch, prompt, output, token_budget, reuse, cache_plane
    drafts = mtp, acceptance, drafter, accept_length
    _show(answer_aggregated(instance, cluster, model, *load, *drafts, tpot_slo, calibration), as_json)
    return 0


@app.command("op")
def operator(
    name: Annotated[str, typer.Argument(metavar="dispatch|combine", help="The collective.")],
    cluster: Cluster = CLUSTER,
    ep: Annotated[int | None, typer.Option(metavar="N", help="Ranks (those of the decode instance).")] = None,
    batch: Annotated[int, typer.Option(metavar="N", help="Tokens per rank.")] = TOKENS_PER_RANK,
    calibration: CalibrationFile = None,
    as_json: AsJson = False,
) -> None:
    """Latency and bandwidth of one collective."""
    which = one_of("operator", name, ["dispatch", "combine"])
    supernode = load_calibrated(cluster, calibration)
    ranks = supernode.defaults.decode.ep if ep is None else ep
    with physics_refusing():
        prediction = predict_operator("dispatch" if which == "dispatch" else "combine", supernode, ranks, batch)
    _show(operator_answer(name, supernode.name, ranks, batch, prediction), as_json)


def _show(answer: Answer, as_json: bool) -> None:
    told = with_intervals(answer)
    if as_json:
        _say_json(told)
    else:
        say(point_page(told))


def _say_json(document: Any) -> None:
    say(json.dumps(document, indent=2) + "\n")
