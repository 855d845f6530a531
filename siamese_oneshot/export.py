"""A trained network as one small file with a card of its scores.

    python -m siamese_oneshot.export RUN FILE.safetensors

rounds the weights of a run's folder, and evaluates them as they are in the file. A packaged
network's name, or a .safetensors file, in place of RUN keeps the weights as they are.

    python -m siamese_oneshot.export RUN FILE.onnx

writes FILE.encoder.onnx and FILE.similarity.onnx, and compares both with PyTorch.

    python -m siamese_oneshot.export RUN FILE.html

writes one page to draw on, which runs the network in the browser without a server.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import OmegaConf

from siamese_oneshot.cli.explain import explain_machine
from siamese_oneshot.data.splits import TRAINS_ON_VALIDATION
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.evaluation.tables import CORE
from siamese_oneshot.models.trained import TrainedModel
from siamese_oneshot.onnx_export import export_onnx, export_page
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
    read_evaluation,
)
from siamese_oneshot.runs.record import CONFIG
from siamese_oneshot.runs.result import RunResult, read_result
from siamese_oneshot.utils.config import conf_dir
from siamese_oneshot.utils.entry_point import entry_point
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import atomic_write, check_writable
from siamese_oneshot.utils.tables import Table, text_of
from siamese_oneshot.utils.text import bare_key, quoted


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
        evaluation: An ``evaluation.json`` of exported weights; None evaluates the file now.
        command: The training command for the card; None takes the recorded one.
        trust: Names of modules outside the package whose classes the run may reference.

    Returns:
        The card's file.

    Raises:
        UserError: If there is no network, the evaluation is of other data, split or lists than the
            run's own, or the file has another suffix.
    """
    if file.suffix != ".safetensors":
        raise UserError(f"{file} must end in .safetensors")
    is_folder = str(source) not in PRETRAINED and Path(source).is_dir()
    weights = None if is_folder else find_weights(source)
    if weights is not None and weights.suffix != ".safetensors":
        raise UserError(f"{source} is not a run's folder or a .safetensors file")
    if evaluation is not None and weights is None:
        raise UserError(
            "--evaluation is for exported weights: those of a run are rounded, and then evaluated"
        )
    check_writable(file.parent)
    trained = load_trained(source, trust)
    try:
        result = read_result(Path(source))
    except UserError:
        result = None  # weights, or a folder of weights
    run = Path(source) if is_folder else None
    with TemporaryDirectory() as folder:
        if weights is None:
            weights = Path(folder) / file.name
            save_trained(trained, weights)
        record = read_evaluation(evaluation) if evaluation else _evaluate(weights, run, trust)
        return _write(source, trained, result, record, weights, file, command)


def _write(
    source: str | Path,
    trained: TrainedModel,
    result: RunResult | None,
    record: EvaluationRecord,
    weights: Path,
    file: Path,
    command: str | None,
) -> Path:
    """Write the file with the weights of another one, and the card of the record."""
    if len(record.models) != 1 or record.network is None:
        raise UserError("this is not the evaluation of one network")
    (model,) = record.models
    _check(source, trained, record, result)
    known = {**trained.card, **trained.metadata}
    if result is not None:
        known |= {"command": result.command, "commit": result.commit}
    card = {
        "command": command or _portable_command(known.get("command") or "unknown"),
        "commit": known.get("commit") or "unknown",
        "trained_on": model.trained_on,
        "data_digest": record.data_digest,
        "scores": [dataclasses.asdict(one) for one in model.scores if one.key in CORE],
    }
    portable = _without_folders(trained.metadata)
    metadata = {key: value for key, value in portable.items() if key not in card}
    metadata["trained_on"] = model.trained_on
    exported = replace(trained, metadata=metadata, card=card)
    if not trained.card:  # of a run, whose weights are rounded now
        exported = replace(
            exported, threshold=model.threshold, reject_threshold=model.reject_threshold,
            temperature=model.temperature,
        )  # fmt: skip
    save_trained(exported, file, weights)
    page = file.with_suffix(".md")
    with atomic_write(page) as text:
        text.write(card_page(exported, file.name).encode())
    return page


def _evaluate(file: Path, run: Path | None, trust: Collection[str]) -> EvaluationRecord:
    """Evaluate exported weights, on the data of their run where that is known."""
    from hydra import compose, initialize_config_dir

    from siamese_oneshot.comparison.runner import evaluate

    with TemporaryDirectory() as folder:
        line = [f"models=[{quoted(file)}]", f"output_dir={quoted(folder)}", "plots=false"]
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = compose("evaluate", [*line, "logger=none"])
        cfg.trust = list(trust)
        if run is not None and (run / CONFIG).is_file():
            data = OmegaConf.load(run / CONFIG).data
            cfg.data.update({key: data[key] for key in cfg.data if key in data})
        print("evaluating the rounded weights by every protocol, for the card", flush=True)
        with redirect_stdout(None):  # it names the temporary folder
            evaluate(cfg)
        return read_evaluation(Path(folder) / FILE)


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


def _portable(words: Sequence[str]) -> list[str]:
    """A command's words without folders of the machine that it ran on."""
    kept = []
    for word in words:
        key = bare_key(word)
        if key in ("init_from", "teachers"):
            word = re.sub(r"[^=,'\"\[\]]*/", "", word)
        if key not in ("resume", "data.root") and key.partition(".")[0] != "hydra":
            kept.append(word)
    return kept


def _portable_command(command: str) -> str:
    return shlex.join(_portable(shlex.split(command)))


def _without_folders(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a training, and of those that it began from or distilled, likewise."""
    own = {**metadata, "overrides": _portable(metadata.get("overrides") or [])}
    if "name" in own:
        own["name"] = Path(own["name"]).name
    if "command" in own:
        own["command"] = _portable_command(own["command"])
    if own.get("init_from"):
        own["init_from"] = _without_folders(own["init_from"])
    if own.get("teachers"):
        own["teachers"] = [_without_folders(teacher) for teacher in own["teachers"]]
    return own


def card_page(trained: TrainedModel, name: str) -> str:
    """The card as Markdown, as model hubs read it: of an exported network in the file ``name``."""
    card, metadata = trained.card, trained.metadata
    is_trained_on = metadata.get("split") in TRAINS_ON_VALIDATION
    caveat = ", whose alphabets are also training alphabets" if is_trained_on else ""
    table = Table("", ["task", ">accuracy % (95% interval)", ">n", "protocol"])
    for score in (Score(**values) for values in card["scores"]):
        table.add(score.name, score.percent, f"{score.n:,}", score.details)
    ours, source = trained.name in PRETRAINED, metadata.get("data_source") or "unknown"
    where = trained.name if ours else name
    lines = [
        "---",
        f"license: {'mit' if ours else 'other'}",
        "library_name: siamese_oneshot",
        "tags: [one-shot-learning, siamese-network, image-classification]",
        f"datasets: [{source}]",
        "metrics: [accuracy]",
        "---",
        "",
        f"# {name}",
        "",
        f"A Siamese network of {trained.parameters:,} parameters that says how alike two drawn "
        f"symbols are, in images of {trained.size}x{trained.size} pixels.",
        "",
        "## Use",
        "",
        "```python",
        "from siamese_oneshot import OneShotClassifier",
        "",
        f'classifier = OneShotClassifier.from_pretrained("{where}")',
        'classifier.add_class("alef", "alef.png")',
        'print(classifier.predict("photo.jpg")[0].best)',
        "```",
        "",
        f"- verification threshold {trained.threshold:.4f}, reject threshold for unknown classes "
        f"{trained.reject_threshold:.4f}, temperature of probabilities "
        f"{trained.temperature or 1:.4f}; chosen on validation data{caveat}",
        "",
        "## Limits",
        "",
        "It compares single symbols drawn with lines, of alphabets that it has not seen. "
        "Probabilities assume that an image shows one of the given classes, drawn as in the "
        "training data; pens, fonts and photographs of other kinds may be recognized less often, "
        "so measure it on your own. It was not made or tested to identify people, such as by "
        "signatures.",
        "",
        "## Data",
        "",
        f"- experiment {metadata.get('experiment')}, seed {metadata.get('seed')}, split "
        f"{metadata.get('split')} of {source}: {card['trained_on']}; data digest "
        f"{card['data_digest']}",
        f"- trained with `{card['command']}` at commit {card['commit']}",
        *(f"- learned from the answers of {one['name']}: experiment {one.get('experiment')}, seed "
          f"{one.get('seed')}, split {one.get('split')}" for one in metadata.get("teachers", ())),
        "- license: " + (
            "MIT, as Omniglot's own" if ours else
            "to be chosen by whoever publishes the weights; the package is under the MIT license"
        ),
        "",
        "## Metrics",
        "",
        "Measured with `python -m siamese_oneshot.evaluate` on the weights as they are in the "
        f"file, rounded to {ROUNDED}.",
        "",
        table.markdown(),
    ]  # fmt: skip
    return "\n".join(lines)


@entry_point()
def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m siamese_oneshot.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", metavar="RUN", nargs="?", help="a run's folder, or exported weights")
    text = "the file to write; ends in .safetensors, .onnx or .html"
    add("file", metavar="FILE", nargs="?", type=Path, help=text)
    add("--evaluation", type=Path, metavar="JSON", help="the evaluation.json of exported weights")
    add("--command", help="the training command for the card")
    add("--runtime", type=Path, metavar="TGZ", help="of an .html: onnxruntime-web of npm pack")
    trust = "a module outside the package whose classes the run may reference; repeatable"
    add("--trust", action="append", default=[], metavar="MODULE", help=trust)
    given = vars(parser.parse_args())
    try:
        source, file, runtime = (given.pop(name) for name in ("source", "file", "runtime"))
        if file is None:
            raise UserError(
                "name a run's folder and the file to write, such as: python -m "
                f"siamese_oneshot.export {source or 'pretrained'} network.safetensors (or .onnx, "
                "or .html)"
            )
        if file.suffix == ".onnx":
            print(text_of(export_onnx(load_trained(source, given["trust"]), file)))
        elif file.suffix == ".html":
            export_page(load_trained(source, given["trust"]), file, runtime)
            print(f"written: {file}; open it in a browser")
        else:
            print(f"written: {file} and {export(source, file, **given)}")
    except UserError as problem:
        sys.exit(f"Error: {problem}")
    except OSError as problem:
        sys.exit(f"Error: {explain_machine(problem) or problem}")


if __name__ == "__main__":
    main()
