"""A trained network as one small file with a card of its scores.

    python -m siamese_oneshot.export RUN FILE.safetensors

rounds the weights of a run's folder, and evaluates them as they are in the file.

    python -m siamese_oneshot.export RUN FILE.onnx

writes FILE.encoder.onnx and FILE.similarity.onnx, and compares both with PyTorch. RUN may also be a
packaged network's name, or a file of weights.

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
from siamese_oneshot.utils.config import conf_dir, takes
from siamese_oneshot.utils.entry_point import entry_point
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import atomic_write, check_writable
from siamese_oneshot.utils.tables import Table, text_of
from siamese_oneshot.utils.text import bare_key, quoted


def export(run: str | Path, file: Path, trust: Collection[str] = (), tta: bool = False) -> Path:
    """Write the network of a run, its weights rounded, and its card.

    Args:
        run: The run's folder.
        file: Ends in ``.safetensors``; the card is written beside it as ``.md``.
        trust: Names of modules outside the package whose classes the run may reference.
        tta: Whether the exported network compares images by test-time augmentation.

    Returns:
        The card's file.

    Raises:
        UserError: If there is no network, the run's data have changed since its training, or the
            file has another suffix.
    """
    if file.suffix != ".safetensors":
        raise UserError(f"{file} must end in .safetensors")
    if not Path(run).is_dir():
        raise UserError(f"{run} is not a run's folder: a .safetensors file is made of one")
    check_writable(file.parent)
    trained = load_trained(run, trust)
    trained = _with_tta(trained) if tta else trained
    try:
        result = read_result(Path(run))
    except UserError:
        result = None  # a folder of weights
    with TemporaryDirectory() as folder:
        rounded = Path(folder) / file.name
        save_trained(trained, rounded)
        record = _evaluate(rounded, Path(run), trust)
    model = record.network
    assert model is not None, "one network was evaluated"
    known = trained.metadata
    if result is not None:
        _check_lists(run, model.scores, result)
        known = {**known, "command": result.command, "commit": result.commit}
    card = {
        "command": _portable_command(known.get("command") or "unknown"),
        "commit": known.get("commit") or "unknown",
        "trained_on": model.trained_on,
        "data_digest": record.data_digest,
        "scores": [dataclasses.asdict(one) for one in model.scores if one.key in CORE],
    }
    portable = _without_folders(trained.metadata)
    kept = {key: value for key, value in portable.items() if key not in card}
    if "data_digest" in portable:  # by which evaluate knows the images
        kept["data_digest"] = portable["data_digest"]
    exported = replace(
        trained, metadata={**kept, "trained_on": model.trained_on}, card=card,
        threshold=model.threshold, reject_threshold=model.reject_threshold,
        temperature=model.temperature,
    )  # fmt: skip
    save_trained(exported, file)
    page = file.with_suffix(".md")
    with atomic_write(page) as text:
        text.write(card_page(exported, file.name).encode())
    return page


def _with_tta(trained: TrainedModel) -> TrainedModel:
    """A network with test-time augmentation; its thresholds are to be measured."""
    if trained.network.tta:
        return trained
    if not takes(trained.description, "tta"):
        raise UserError(
            f"{trained.description['_target_']} has no argument tta, so a file cannot say that the "
            "network has test-time augmentation: add tta=False to it, or leave --tta out"
        )
    trained.network.tta = True
    return replace(
        trained, description={**trained.description, "tta": True},
        threshold=None, reject_threshold=None, temperature=None,
    )  # fmt: skip


def _with_own_thresholds(source: str | Path, trust: Collection[str], tta: bool) -> TrainedModel:
    """A network whose thresholds were measured with test-time augmentation, if that is asked for.

    Raises:
        UserError: They were measured without.
    """
    trained = load_trained(source, trust)
    if tta and not trained.network.tta:
        raise UserError(
            f"the thresholds of {source} were chosen without test-time augmentation: export "
            "FILE.safetensors with --tta first, which measures them, then export that file"
        )
    return trained


def _evaluate(file: Path, run: Path, trust: Collection[str]) -> EvaluationRecord:
    """Evaluate rounded weights, on the data of their run where that is known."""
    from hydra import compose, initialize_config_dir

    from siamese_oneshot.comparison.runner import evaluate

    with TemporaryDirectory() as folder:
        line = [f"models=[{quoted(file)}]", f"output_dir={quoted(folder)}", "plots=false"]
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = compose("evaluate", [*line, "logger=none"])
        cfg.trust = list(trust)
        if (run / CONFIG).is_file():
            data = OmegaConf.load(run / CONFIG).data
            cfg.data.update({key: data[key] for key in cfg.data if key in data})
        print("evaluating the rounded weights by every protocol, for the card", flush=True)
        with redirect_stdout(None):  # it names the temporary folder
            evaluate(cfg)
        return read_evaluation(Path(folder) / FILE)


def _check_lists(run: str | Path, scores: Sequence[Score], result: RunResult) -> None:
    """Refuse scores of other test lists than the run's own, as after a change of its images."""
    names = {f"{score.split}/{score.key}": score for score in scores if score.split == "test"}
    own = result.task_digests
    differ = [name for name, score in names.items() if own.get(name, score.digest) != score.digest]
    if differ:
        raise UserError(
            f"the data of {run} have changed since its training: not its own lists are "
            f"{', '.join(differ)}"
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
    views = " It averages over three views (test-time augmentation)." if trained.network.tta else ""
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
        f"symbols are, in images of {trained.size}x{trained.size} pixels.{views}",
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
    add("source", metavar="RUN", nargs="?", help="a run's folder; for .onnx, .html any network")
    text = "the file to write; ends in .safetensors, .onnx or .html"
    add("file", metavar="FILE", nargs="?", type=Path, help=text)
    add("--runtime", type=Path, metavar="TGZ", help="of an .html: onnxruntime-web of npm pack")
    text = "compare by test-time augmentation: more accurate, with three times the computation"
    add("--tta", action="store_true", help=text)
    text = "a module outside the package whose classes the run may reference; repeatable"
    add("--trust", action="append", default=[], metavar="MODULE", help=text)
    given = vars(parser.parse_args())
    try:
        names = ("source", "file", "runtime", "trust", "tta")
        source, file, runtime, trust, tta = (given[name] for name in names)
        if file is None:
            raise UserError(
                "name a run's folder and the file to write, such as: python -m "
                f"siamese_oneshot.export {source or 'pretrained'} network.onnx (or .html; a run's "
                "also .safetensors)"
            )
        if file.suffix == ".onnx":
            print(text_of(export_onnx(_with_own_thresholds(source, trust, tta), file)))
        elif file.suffix == ".html":
            export_page(_with_own_thresholds(source, trust, tta), file, runtime)
            print(f"written: {file}; open it in a browser")
        elif file.suffix == ".safetensors":
            print(f"written: {file} and {export(source, file, trust, tta)}")
        else:
            raise UserError(f"{file} must end in .safetensors, .onnx or .html")
    except UserError as problem:
        sys.exit(f"Error: {problem}")
    except OSError as problem:
        sys.exit(f"Error: {explain_machine(problem) or problem}")


if __name__ == "__main__":
    main()
