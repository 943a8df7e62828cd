"""`lipt-stream train`: a network from a folder of images, in the time there is."""

from __future__ import annotations

import sys
import time
import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from rich.console import Console

from lipt_stream.cli.screen import screen
from lipt_stream.cli.signals import stopping_on_signals
from lipt_stream.cli.train_pictures import draw_curves, draw_stills
from lipt_stream.cli.train_progress import show_degrading, show_training
from lipt_stream.engine.device_errors import translated
from lipt_stream.engine.runtimes import MAX_THREADS
from lipt_stream.engine.upscaler import pick_device
from lipt_stream.errors import LiptError, SettingsError, TrainingError
from lipt_stream.train.evaluate import quiet_pillow
from lipt_stream.train.loop import Trainer
from lipt_stream.train.materials import Folders, load_materials
from lipt_stream.train.run import LOG, PAIRS, make_trainer, open_run, read_origins, train, write_weights
from lipt_stream.train.spec import TrainSpec, usual
from lipt_stream.train.validation import CEILING

WEIGHTS = "weights.safetensors"


def train_network(
    data: Annotated[
        list[Path],
        typer.Option(
            help="A folder of images (films too, with --degrade video), searched with its subfolders; repeatable."
        ),
    ],
    out: Annotated[Path, typer.Option(help="A folder for weights, checkpoint, log, curves and picture.")],
    model: Annotated[str, typer.Option(help="nano, tiny, tiny24, small or base.")] = "tiny",
    scale: Annotated[
        int | None, typer.Option(help="2, 3 or 4; 1 for the other tasks.", show_default="2; 1 for the other tasks")
    ] = None,
    minutes: Annotated[float, typer.Option(help="The whole budget; everything else follows from it.")] = 60.0,
    task: Annotated[str, typer.Option(help="sr, deblock or denoise.")] = "sr",
    degrade: Annotated[
        str | None,
        typer.Option(
            help="bicubic, or video: as real encoders leave a film.",
            show_default="bicubic; video for the other tasks",
        ),
    ] = None,
    valid: Annotated[
        Path | None, typer.Option(help="Images to select by.", show_default="one of each twenty of --data")
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="Weights to start from, of this network or a smaller one, at any scale.")
    ] = None,
    distill: Annotated[Path | None, typer.Option(help="Weights of a larger network, to learn from as well.")] = None,
    distill_weight: Annotated[
        float | None, typer.Option(help="The teacher's part of the loss.", show_default="0.5 with --distill")
    ] = None,
    distill_ensemble: Annotated[
        bool,
        typer.Option(
            "--distill-ensemble",
            help="The teacher sees each crop in one of eight flips and rotations: their mean is learnt.",
        ),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, exactly.")] = False,
    stop_after: Annotated[float | None, typer.Option(help="Minutes after which this call ends; see --resume.")] = None,
    batch: Annotated[int, typer.Option(help="Crops in a step.")] = 16,
    patch: Annotated[int, typer.Option(help="Side of a crop in LR pixels.")] = 64,
    tail_patch: Annotated[int, typer.Option(help="The same in the last part of the budget.")] = 96,
    tail_share: Annotated[float, typer.Option(help="How much of the budget that part is.")] = 0.15,
    loss: Annotated[
        str,
        typer.Option(
            help="l1, and the root of the squared error in the last part; or psnr, each crop's, all the time."
        ),
    ] = "l1",
    learning_rate: Annotated[float, typer.Option(help="The highest one.")] = 3e-3,
    branches: Annotated[
        bool, typer.Option("--branches", help="Train each 3x3 convolution as the paper's six branches, merged.")
    ] = False,
    variants: Annotated[int, typer.Option(help="Degradations of each image, with --degrade video.")] = 1,
    seed: Annotated[int, typer.Option(help="Of crops and degradations.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16 (autocast).")] = "auto",
    compiled: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="torch.compile.", show_default="on a GPU")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", show_default="all cores")] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="Where degraded images are kept.", show_default="OUT/pairs")
    ] = None,
    licence: Annotated[str, typer.Option(help="Written into the weights.")] = "Apache-2.0",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Train a network within a budget of minutes; killed at any moment it loses at most one of them."""
    spec = asked_spec(
        model=model,
        scale=scale,
        task=task,
        degrade=degrade,
        minutes=minutes,
        batch=batch,
        patch=patch,
        tail_patch=tail_patch,
        tail_share=tail_share,
        loss=loss,
        learning_rate=learning_rate,
        distill=distill,
        distill_weight=distill_weight,
        distill_ensemble=distill_ensemble,
        branches=branches,
        variants=variants,
        seed=seed,
        precision=precision,
        stop_after=stop_after,
        threads=threads,
        pairs=pairs,
    )
    until = time.monotonic() + 60 * stop_after if stop_after else None
    chosen = pick_device(device)
    if threads:
        torch.set_num_threads(threads)
    quiet_pillow()
    warnings.filterwarnings("ignore", message="TensorFloat32")  # torch.compile's advice to round float32
    console = Console(file=screen(sys.stderr), quiet=quiet, highlight=False, emoji=False)
    folders = Folders(data=data, valid=valid, out=out, pairs=pairs or out / PAIRS)
    with open_run(spec, out, resume=resume) as checkpoint:
        with translated("reading the images", "Give fewer or smaller ones"):
            origins = read_origins(spec, init, distill, resumes=resume)
            with show_degrading(console) as degraded:
                materials = load_materials(spec, folders, chosen, degraded)
            for skipped in materials.skipped:
                console.print(str(skipped), soft_wrap=True, markup=False)
        with _in_one_line(chosen):
            trainer = make_trainer(
                spec,
                materials,
                out,
                device=chosen,
                precision=cast("Any", precision),
                compiler="inductor" if compiled or (compiled is None and chosen.type == "cuda") else "",
                origins=origins,
                checkpoint=checkpoint,
            )
        console.print(f"{materials.images}, {len(materials.validation)} to validate by, on {chosen}")
        if trainer.resumed_elsewhere:
            console.print("it began on another kind of device: its crops are drawn anew from here on")
        learnt_from = f"{materials.images}, from " + ", ".join(folder.resolve().name for folder in data)
        learnt_from += f"; begun from {init.stem}" if init else ""
        learnt_from += f"; taught by {distill.stem}" if distill else ""

        def write_results() -> None:
            network = write_weights(trainer, out / WEIGHTS, licence=licence, training_data=learnt_from)
            if not draw_curves(out / LOG, out / "curves.png"):
                console.print("no curves were drawn: that takes `.venv/bin/pip install -e '.[plots]'`", markup=False)
            draw_stills(network, materials.validation, out / "stills.png", chosen)

        try:
            with (
                _in_one_line(chosen),
                stopping_on_signals("finishing the step, and writing the checkpoint") as signals,
                show_training(console, spec) as show,
            ):
                for progress in train(trainer, lambda: signals.stop.requested or _past(until)):
                    show(progress)
        except TrainingError as error:
            try:
                write_results()  # of the last state that was good
            except LiptError as other:
                raise TrainingError(f"{error.message}, and its results are not written: {other}", error.hint) from other
            raise
        write_results()
    console.print(_conclusion(trainer, out), soft_wrap=True, markup=False)
    if signals.received:
        raise typer.Exit(signals.exit_code)


def asked_spec(
    *,
    model: str,
    scale: int | None,
    task: str,
    degrade: str | None,
    minutes: float,
    batch: int,
    patch: int,
    tail_patch: int,
    tail_share: float,
    loss: str,
    learning_rate: float,
    distill: Path | None,
    distill_weight: float | None,
    distill_ensemble: bool,
    branches: bool,
    variants: int,
    seed: int,
    precision: str,
    stop_after: float | None,
    threads: int | None,
    pairs: Path | None,
) -> TrainSpec:
    """The run that these options of the command ask for. SettingsError where they ask for none, or contradict."""
    if precision not in ("auto", "float32", "bfloat16"):
        raise SettingsError(f"--precision {precision} is none of auto, float32 and bfloat16", "auto is the usual one")
    if stop_after is not None and not stop_after > 0:
        raise SettingsError(f"--stop-after {stop_after} leaves no time", "Give minutes above 0")
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise SettingsError(f"--threads {threads} is not from 1 to {MAX_THREADS}", "Leave it out for all cores")
    if distill_weight is not None and (not distill or distill_weight == 0):
        raise SettingsError(f"--distill-weight {distill_weight} teaches nothing", "Give --distill, and more than 0")
    if distill_ensemble and not distill:
        raise SettingsError("--distill-ensemble has no teacher", "Give one by --distill")
    usual_scale, usual_source = usual(task)
    spec = TrainSpec(
        model=model,
        scale=usual_scale if scale is None else cast("Any", scale),
        task=cast("Any", task),
        degrade=usual_source if degrade is None else cast("Any", degrade),
        minutes=minutes,
        batch=batch,
        patch=patch,
        tail_patch=tail_patch,
        tail_share=tail_share,
        loss=cast("Any", loss),
        learning_rate=learning_rate,
        distill_weight=(0.5 if distill_weight is None else distill_weight) if distill else 0.0,
        distill_ensemble=distill_ensemble,
        branches=branches,
        variants=variants,
        seed=seed,
    )
    if pairs and spec.degrade == "bicubic":
        raise SettingsError(f"--pairs {pairs} would not be used", "Add --degrade video, or leave it out")
    return spec


def _in_one_line(device: torch.device) -> AbstractContextManager[None]:
    too_large = "Use a smaller --batch or --tail-patch, or a smaller --model"
    too_large += "" if device.type == "cpu" else ", or --device cpu"
    return translated("training", too_large, if_not_compiled="Use --no-compile")


def _past(moment: float | None) -> bool:
    return moment is not None and time.monotonic() >= moment


def _conclusion(trainer: Trainer, out: Path) -> str:
    state = "done" if trainer.finished else "stopped, go on with --resume"
    found = trainer.result_psnr
    psnr = "not validated yet" if found is None else f"{found:.3f} dB on the validation images"
    if found == CEILING:
        psnr += ", the most that counts, on each: these tell no network from another (give others by --valid)"
    elif found is not None and found == trainer.start_psnr:
        psnr += " as at the start, which is kept: nothing better came (a lower --learning-rate may help)"
    return f"{state}: {trainer.step} steps, {psnr} -> {out / WEIGHTS}"
