"""A run's network as one small file: ``python -m siamese_oneshot.export RUN FILE.safetensors``."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from siamese_oneshot.cli.explain import explain_machine
from siamese_oneshot.data.splits import BLIND
from siamese_oneshot.runs.checkpoint import ROUNDED, TrainedModel, load_trained, save_trained
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.utils.errors import UserError

_FIGURES = ("one_shot", "lake_runs", "within_alphabet", "cross_alphabet", "verification", "mnist")


def export(run: Path, file: Path, trust: Collection[str] = ()) -> Path:
    """Write a run's network and its card; the card needs the run's evaluation.

    Args:
        run: a run's folder, with ``evaluation/evaluation.json`` in it.
        file: ends in ``.safetensors``; the card goes beside it as ``.md``, too.
        trust: Names of modules outside the package whose classes the run may reference.

    Returns:
        The card's file.

    Raises:
        UserError: no network, no evaluation, one of other data, split or lists than the run's own,
            or a file of another kind.
    """
    if file.suffix != ".safetensors":
        raise UserError(f"{file} must end in .safetensors")
    found = _evaluation(run)
    trained = load_trained(run, trust)
    _check(run, trained, found)
    card = {
        "command": _portable(trained.metadata.get("command") or _recorded(run, "command")),
        "commit": trained.metadata.get("commit") or _recorded(run, "commit"),
        "trained_on": found["trained_on"],
        "data_digest": found["data_digest"],
        "scores": [score for score in found["scores"] if score["key"] in _FIGURES],
    }
    metadata = {name: value for name, value in trained.metadata.items() if name not in card}
    metadata["trained_on"] = card["trained_on"]
    made = replace(
        trained,
        metadata=metadata,
        card=card,
        threshold=found["threshold"],
        reject_threshold=found["reject_threshold"],
    )
    save_trained(made, file)
    page = file.with_suffix(".md")
    page.write_text(_page(made, file))
    return page


def _evaluation(run: Path) -> dict[str, Any]:
    if not run.is_dir():
        raise UserError(f"{run} is not a run's folder: export takes one, after evaluate <folder>")
    path = run / "evaluation" / "evaluation.json"
    try:
        content = json.loads(path.read_text())
        (model,) = content["models"]
        found: dict[str, Any] = {**content, **model}
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: run python -m siamese_oneshot.evaluate {run} first"
        ) from None
    except (ValueError, KeyError, TypeError) as problem:
        raise UserError(f"{path} is not the evaluation of one run: {problem}") from problem
    return found


def _check(run: Path, trained: TrainedModel, found: dict[str, Any]) -> None:
    """Stop where the card would tell what was found on other data, split or lists.

    Lists are those of the run's result; validation's may be of another length.
    """
    own = {name: trained.metadata.get(name) for name in ("data_digest", "split")}
    differ = [name for name, value in own.items() if value and found[name] != value]
    try:
        lists = read_result(run).task_digests
    except UserError:
        lists = {}  # no run, but weights
    tested = [one for one in found["scores"] if one["split"] == "test"]
    asked = {f"test/{one['key']}": one["digest"] for one in tested}
    differ += [key for key, digest in asked.items() if lists.get(key, digest) != digest]
    if differ:
        raise UserError(
            f"{run / 'evaluation'} is not of the run's own {', '.join(differ)}: run python -m "
            f"siamese_oneshot.evaluate {run} again, with the data settings it was trained with"
        )


def _recorded(run: Path, name: str) -> str:
    try:
        return str(json.loads((run / "result.json").read_text())[name])
    except (OSError, ValueError, KeyError):
        return "unknown"


def _portable(command: str) -> str:
    """The command without the folders of the machine that it ran on."""
    here = ("hydra.", "resume=", "data.root=")
    return shlex.join(word for word in shlex.split(command) if not word.startswith(here))


def _page(trained: TrainedModel, file: Path) -> str:
    """The card for people."""
    card, metadata = trained.card, trained.metadata
    seen = ", whose alphabets trained, too" if metadata.get("split") in BLIND else ""
    lines = [
        f"# {file.name}",
        "",
        f"- network: {trained.parameters:,} parameters, images of {trained.size}x{trained.size}",
        f"- experiment {metadata.get('experiment')}, seed {metadata.get('seed')}, split "
        f"{metadata.get('split')}: {card['trained_on']}; data digest {card['data_digest']}",
        f"- trained with `{card['command']}` at commit {card['commit']}",
        "- evaluated with `python -m siamese_oneshot.evaluate <its folder>`, before its weights "
        f"were rounded to {ROUNDED}",
        f"- verification threshold {trained.threshold:.4f}, unknown below "
        f"{trained.reject_threshold:.4f}; both chosen on validation{seen}",
        "",
        "| score | % | 95% interval | episodes | protocol |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    lines += [
        f"| {one['name']} | {100 * one['value']:.2f} | {100 * one['low']:.1f}-"
        f"{100 * one['high']:.1f} | {one['n']:,} | {one['protocol']} |"
        for one in card["scores"]
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run's folder that has been evaluated")
    parser.add_argument("file", type=Path, help="what to write; ends in .safetensors")
    parser.add_argument(
        "--trust", action="append", default=[], metavar="MODULE",
        help="a module outside the package whose classes the run may reference; repeatable",
    )  # fmt: skip
    arguments = parser.parse_args()
    try:
        print(f"written: {arguments.file} and {export(arguments.run, arguments.file, arguments.trust)}")
    except UserError as problem:
        sys.exit(f"Error: {problem}")
    except OSError as problem:
        sys.exit(f"Error: {explain_machine(problem) or problem}")


if __name__ == "__main__":
    main()
