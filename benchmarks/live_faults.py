"""What a live session does when its camera fails, shown on the real command line against real servers.

    python benchmarks/live_faults.py --out benchmarks/results/live_faults.json
    python benchmarks/live_faults.py --cameras HTTP --in-a-row 0          a quick look

Each kind of camera is watched by one session, with lanczos, so that the network's time is not what is measured. The
session begins while its camera is off; then come the faults, one after the other, each for 5 to 8 s:

    killed          the camera's process, which is started again
    hung            it is stopped (SIGSTOP), and woken
    wrong password  it is started again with another password, and then with the right one
    404             it is started again with its stream under another path, and then under the right one
    cable cut       the carrier is taken away (a network namespace's link down), and given back
    5 % loss        of the camera's packets, for 20 s (nft)

Of each: seconds until the session said so (`noticed_s`), seconds from the camera's return until its pictures came again
(`recovered_s`), pictures lost of the 30 a second (`lost`: all of them; `lost_after`: those beyond the outage itself),
and the process's memory, threads and file descriptors before and after. A camera is back when it listens, or when its
cable carries again.

Then --in-a-row faults (100) of all kinds in one session of RTSP over TCP, each for 4 to 8 s, with nobody's help.
Last, passwords and paths that are wrong from the start: the session ends by itself, and says why.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from live_cameras import FPS, PASSWORD, RTSP_SCRIPT, Cable, Camera
from live_run import LiveRun, Usage
from results_file import write_result

CAMERAS = ("RTSP over TCP", "RTSP over UDP", "HTTP", "UDP")
LOSS = "5 % loss"
FAULTS = ("killed", "hung", "wrong password", "404", "cable cut", LOSS)
NEEDS_CABLE = {"cable cut", LOSS}
NEEDS_PASSWORD = {"wrong password", "404"}
LOSS_SECONDS = 20.0
PATIENCE_SECONDS = 60
SETTLE_SECONDS = 4

Deed = Callable[[], object]


@dataclass(frozen=True)
class Fault:
    camera: str
    kind: str
    away_s: float
    noticed_s: float | None  # None: nothing was said, because there was no fault to be told
    recovered_s: float | None
    lost: int
    lost_after: int
    before: Usage
    after: Usage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", nargs="+", default=CAMERAS, choices=CAMERAS)
    parser.add_argument("--faults", nargs="+", default=FAULTS, choices=FAULTS)
    parser.add_argument("--in-a-row", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    cable = Cable.laid()
    try:
        skipped = [f"{kind}: needs root, ip and nft" for kind in sorted(NEEDS_CABLE) if cable is None]
        cameras = arguments.cameras
        if not RTSP_SCRIPT.is_file():
            skipped.append(f"RTSP: there is no {RTSP_SCRIPT}")
            cameras = [name for name in cameras if not name.startswith("RTSP")]
        for words in skipped:
            print("skipped:", words)
        print(HEAD)
        table = [row for name in cameras for row in one_by_one(name, cable, arguments.faults, chance)]
        row = in_a_row(cameras[0], cable, arguments.faults, arguments.in_a_row, chance) if arguments.in_a_row else None
        wrong = [
            from_the_start(name, cable, kind) for name in cameras if name != "UDP" for kind in sorted(NEEDS_PASSWORD)
        ]
    finally:
        if cable:
            cable.remove()
    write_result(
        arguments.out,
        seed=arguments.seed,
        skipped=skipped,
        one_by_one=[asdict(fault) for fault in table],
        in_a_row=row,
        wrong_from_the_start=wrong,
    )


HEAD = f"{'camera':14} {'fault':15} away s  noticed s  recovered s   lost  after   MB           threads  descriptors"


def shown(fault: Fault) -> Fault:
    noticed, recovered = ("-" if s is None else f"{s:.2f}" for s in (fault.noticed_s, fault.recovered_s))
    before, after = fault.before, fault.after
    print(
        f"{fault.camera:14} {fault.kind:15} {fault.away_s:6.2f} {noticed:>10} {recovered:>12} {fault.lost:6} "
        f"{fault.lost_after:6}   {before.rss_mb:.0f} -> {after.rss_mb:.0f}   {before.threads} -> {after.threads}   "
        f"{before.descriptors} -> {after.descriptors}",
        flush=True,
    )
    return fault


@contextmanager
def watched(camera: Camera) -> Iterator[LiveRun]:
    """A session that was begun while its camera was off, and has its first pictures."""
    with LiveRun(*camera.arguments, "--model", "lanczos", "--to", "null") as run:
        try:
            run.until(lambda: run.said("Cannot read", 0), PATIENCE_SECONDS, "word that the camera is off")
            camera.start()
            run.flows(FPS)
            yield run
        finally:
            camera.kill()


def one_by_one(name: str, cable: Cable | None, kinds: Sequence[str], chance: random.Random) -> Iterator[Fault]:
    camera = Camera(name, cable)
    with watched(camera) as run:
        for kind in possible(kinds, camera, cable):
            away_seconds = LOSS_SECONDS if kind == LOSS else chance.uniform(5, 8)
            yield shown(failed(run, camera, cable, kind, away_seconds))


def possible(kinds: Sequence[str], camera: Camera, cable: Cable | None) -> list[str]:
    absent = (set() if cable else NEEDS_CABLE) | (set() if camera.asks_for_password else NEEDS_PASSWORD)
    return [kind for kind in kinds if kind not in absent]


def failed(run: LiveRun, camera: Camera, cable: Cable | None, kind: str, away_seconds: float) -> Fault:
    """One fault, from a steady flow to the next."""
    begin, end = deeds(kind, camera, cable)
    run.flows(FPS)
    before, first = run.usage(), run.stats[-1]
    began = time.monotonic()
    begin()
    if kind != LOSS:
        run.until(lambda: run.said("source: ", began), PATIENCE_SECONDS, f"word of it ({kind})")
    time.sleep(max(0.0, began + away_seconds - time.monotonic()))
    end()
    back = time.monotonic()
    noticed = run.said("source: ", began)
    is_told = noticed is not None and noticed < back
    came = run.until(lambda: run.said("is back", back), PATIENCE_SECONDS, f"its return ({kind})") if is_told else None
    time.sleep(SETTLE_SECONDS)
    run.flows(FPS)
    last = run.stats[-1]
    lost = round(FPS * (last["time"] - first["time"])) - (last["frames_in"] - first["frames_in"])
    return Fault(
        camera.name,
        kind,
        away_s=round(back - began, 2),
        noticed_s=round(noticed - began, 2) if noticed else None,
        recovered_s=round(came - back, 2) if came else None,
        lost=lost,
        lost_after=lost if kind == LOSS else lost - round(FPS * (back - began)),
        before=before,
        after=run.usage(),
    )


def deeds(kind: str, camera: Camera, cable: Cable | None) -> tuple[Deed, Deed]:
    """What begins a fault, and what ends it."""

    def again(**other: str) -> None:
        camera.kill()
        camera.start(**other)

    if kind == "killed":
        return camera.kill, camera.start
    if kind == "hung":
        return camera.hang, camera.wake
    if kind == "wrong password":
        return lambda: again(password="admin:another"), again
    if kind == "404":
        return lambda: again(path="/elsewhere"), again
    assert cable is not None
    return (cable.cut, cable.mend) if kind == "cable cut" else (lambda: cable.lose(5), cable.lose_none)


def in_a_row(name: str, cable: Cable | None, kinds: Sequence[str], count: int, chance: random.Random) -> dict[str, Any]:
    """As many faults as asked for, in one session."""
    camera = Camera(name, cable)
    faults: list[Fault] = []
    with watched(camera) as run:
        kinds = [kind for kind in possible(kinds, camera, cable) if kind != LOSS]
        for number in range(count):
            faults.append(shown(failed(run, camera, cable, kinds[number % len(kinds)], chance.uniform(4, 8))))
        run.end()
        report = run.report
    summaries = {kind: recovery([fault for fault in faults if fault.kind == kind]) for kind in kinds}
    summaries["all"] = recovery(faults)
    for kind, summary in summaries.items():
        print(f"{count} in a row, {kind:15}:", ", ".join(f"{name} {value}" for name, value in summary.items()))
    print(f"faults told {report['faults']}, times connected again {report['reconnects']}")
    ends = [faults[0].before, faults[-1].after]
    return {
        "camera": name,
        "recovered_s": summaries,
        "usage_first_and_last": [asdict(usage) for usage in ends],
        "reconnects": report["reconnects"],
        "faults": [asdict(fault) for fault in faults],
    }


def recovery(faults: Sequence[Fault]) -> dict[str, float]:
    seconds = sorted(fault.recovered_s for fault in faults if fault.recovered_s is not None)
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {
        "count": len(seconds),
        "p50": round(cuts[49], 2),
        "p95": round(cuts[94], 2),
        "p99": round(cuts[98], 2),
        "most": seconds[-1],
    }


def from_the_start(name: str, cable: Cable | None, kind: str) -> dict[str, Any]:
    """How long until a session has ended that was given the wrong address, and what it said."""
    camera = Camera(name, cable)
    camera.start(**({"password": "admin:another"} if kind == "wrong password" else {"path": "/elsewhere"}))
    try:
        with LiveRun(*camera.arguments, "--model", "lanczos", "--to", "null") as run:
            seconds, exit_code = run.wait(PATIENCE_SECONDS)
            line = run.lines[-1][1]
    finally:
        camera.kill()
    print(f"{name:14} {kind:15} from the start: exit code {exit_code} after {seconds:.1f} s: {line}", flush=True)
    assert PASSWORD.partition(":")[2] not in line
    return {"camera": name, "kind": kind, "exit_code": exit_code, "seconds": round(seconds, 1), "line": line}


if __name__ == "__main__":
    main()
