"""A trained network as one small file with a card of its scores.

    python -m siamese_oneshot.export RUN FILE.safetensors

takes a run's folder that has been evaluated. A packaged network's name, or a .safetensors file, in
place of RUN keeps the weights as they are, evaluates them, and writes header and card anew.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import subprocess
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from siamese_oneshot.cli.explain import explain_machine
from siamese_oneshot.data.splits import TRAINS_ON_VALIDATION
from siamese_oneshot.evaluation.tables import CORE
from siamese_oneshot.models.trained import TrainedModel
from siamese_oneshot.runs.checkpoint import (
    PRETRAINED,
    ROUNDED,
    find_weights,
    load_trained,
    save_trained,
)
from siamese_oneshot.runs.evaluation_record import (
    FILE,
    EvaluationRecord,
    ModelRecord,
    find_evaluation,
    read_evaluation,
)
from siamese_oneshot.runs.result import RunResult, read_result
from siamese_oneshot.utils.entry_point import entry_point
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.tables import Table
from siamese_oneshot.utils.text import bare_key


def export(
    source: str | Path,
    file: Path,
    *,
    evaluation: Path | None = None,
    command: str | None = None,
    trust: Collection[str] = (),
) -> Path:
    """Write a network and its card.

    Args:
        source: A run's folder, or the name or file of exported weights. Exported weights are
            copied bit by bit and keep their thresholds; those of a run are rounded.
        file: Ends in ``.safetensors``; the card is written beside it as ``.md``.
        evaluation: An ``evaluation.json`` of this network alone. None takes the one in the run's
            folder, or evaluates exported weights now.
        command: The training command for the card; None takes the recorded one.
        trust: Names of modules outside the package whose classes the run may reference.

    Returns:
        The card's file.

    Raises:
        UserError: If there is no network or no evaluation, the evaluation is of other data, split
            or lists than the run's own, or the file has another suffix.
    """
    if file.suffix != ".safetensors":
        raise UserError(f"{file} must end in .safetensors")
    is_folder = str(source) not in PRETRAINED and Path(source).is_dir()
    weights = None if is_folder else find_weights(source)
    if weights is not None and weights.suffix != ".safetensors":
        raise UserError(f"{source} is not a run's folder or a .safetensors file")
    record = _evaluation(source, weights, evaluation)
    (model,) = record.models
    trained = load_trained(source, trust)
    try:
        result = read_result(Path(source))
    except UserError:
        result = None  # weights, or a folder of weights
    _check(source, trained, record, result)
    known = {**trained.card, **trained.metadata}
    if result is not None:
        known |= {"command": result.command, "commit": result.commit}
    card = {
        "command": command or _portable(known.get("command") or "unknown"),
        "commit": known.get("commit") or "unknown",
        "trained_on": model.trained_on,
        "data_digest": record.data_digest,
        "scores": [dataclasses.asdict(one) for one in model.scores if one.key in CORE],
    }
    metadata = {key: value for key, value in trained.metadata.items() if key not in card}
    metadata["trained_on"] = model.trained_on
    exported = replace(trained, metadata=metadata, card=card)
    if weights is None:
        exported = replace(
            exported, threshold=model.threshold, reject_threshold=model.reject_threshold
        )
    save_trained(exported, file, weights)
    page = file.with_suffix(".md")
    page.write_text(card_page(exported, model, file.name, was_rounded=weights is not None))
    return page


def _evaluation(
    source: str | Path, weights: Path | None, evaluation: Path | None
) -> EvaluationRecord:
    """The evaluation of one network: given, in the run's folder, or made now."""
    if evaluation is None and weights is not None:
        with TemporaryDirectory() as folder:
            line = [str(source), f"output_dir={folder}", "logger=none", "plots=false"]
            subprocess.run([sys.executable, "-m", "siamese_oneshot.evaluate", *line], check=True)
            return read_evaluation(Path(folder) / FILE)
    path = evaluation or find_evaluation(Path(source))
    if path is None:
        raise UserError(
            f"{source} has not been evaluated: first run python -m siamese_oneshot.evaluate "
            f"{source}"
        )
    record = read_evaluation(path)
    if len(record.models) != 1 or record.network is None:
        raise UserError(f"{path} is not the evaluation of one network")
    return record


def _check(
    source: str | Path, trained: TrainedModel, record: EvaluationRecord, result: RunResult | None
) -> None:
    """Refuse an evaluation on other data, another split or other test lists than the run's own."""
    (model,) = record.models
    evaluated = {"data_digest": record.data_digest, "split": model.split}
    differ = [key for key, value in evaluated.items() if trained.metadata.get(key, value) != value]
    digests = {} if result is None else result.task_digests
    for score in model.scores:
        key = f"{score.split}/{score.key}"
        if score.split == "test" and digests.get(key, score.digest) != score.digest:
            differ.append(key)
    if differ:
        raise UserError(
            f"the evaluation of {source} is not of the run's own {', '.join(differ)}: run "
            f"python -m siamese_oneshot.evaluate {source} again, with its training's data settings"
        )


def _portable(command: str) -> str:
    """The command without folders of the machine that it ran on."""

    def is_local(word: str) -> bool:
        key = bare_key(word)
        return key in ("resume", "data.root") or key.partition(".")[0] == "hydra"

    return shlex.join(word for word in shlex.split(command) if not is_local(word))


def card_page(trained: TrainedModel, model: ModelRecord, name: str, was_rounded: bool) -> str:
    """The card as Markdown: of an exported network, its evaluation and its file's ``name``.

    ``was_rounded``: whether the evaluated weights were those of the file, rounded.
    """
    card, metadata = trained.card, trained.metadata
    is_trained_on = metadata.get("split") in TRAINS_ON_VALIDATION
    caveat = ", whose alphabets are also training alphabets" if is_trained_on else ""
    rounding = "with its weights" if was_rounded else "before its weights were"
    table = Table("", ["task", ">accuracy % (95% interval)", ">n", "protocol"])
    for score in model.scores:
        if score.key in CORE:
            table.add(score.name, score.percent, f"{score.n:,}", score.details)
    lines = [
        f"# {name}",
        "",
        f"- network: {trained.parameters:,} parameters, {trained.size}x{trained.size} images",
        f"- experiment {metadata.get('experiment')}, seed {metadata.get('seed')}, split "
        f"{metadata.get('split')}: {card['trained_on']}; data digest {card['data_digest']}",
        f"- trained with `{card['command']}` at commit {card['commit']}",
        f"- evaluated with `python -m siamese_oneshot.evaluate`, {rounding} rounded to {ROUNDED}",
        f"- verification threshold {trained.threshold:.4f}, reject threshold for unknown classes "
        f"{trained.reject_threshold:.4f}; both chosen on validation data{caveat}",
        "",
        table.markdown(),
    ]
    return "\n".join(lines)


@entry_point()
def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("source", help="an evaluated run's folder, or exported weights")
    add("file", type=Path, help="the file to write; ends in .safetensors")
    add("--evaluation", type=Path, metavar="JSON", help="the evaluation.json to take scores from")
    add("--command", help="the training command for the card")
    trust = "a module outside the package whose classes the run may reference; repeatable"
    add("--trust", action="append", default=[], metavar="MODULE", help=trust)
    given = vars(parser.parse_args())
    try:
        file = given.pop("file")
        print(f"written: {file} and {export(given.pop('source'), file, **given)}")
    except UserError as problem:
        sys.exit(f"Error: {problem}")
    except (OSError, subprocess.CalledProcessError) as problem:
        reason = explain_machine(problem) if isinstance(problem, OSError) else None
        sys.exit(f"Error: {reason or problem}")


if __name__ == "__main__":
    main()
