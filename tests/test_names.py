"""One name for each thing: names and words that the project replaced must not come back."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUFFIXES = {".py", ".yaml", ".md", ".html", ".css", ".js", ".txt", ".toml"}

# Words in any case, also in plural and as parts of identifiers, and what replaces them.
WORDS = {
    "yardstick": "within_alphabet",
    "roster": "class_index",
    "glyph": "synthetic",
    "recogniser": "OneShotClassifier",
    r"enrol\w*": "add_class",
    "ahead_of_paper": "delta_vs_koch2015",
    "twin network": "Siamese network",
    "twins": "both images",
    "comparator": "similarity",
    "likeness": "match_weight",
    "sharpness": "logit_scale",
    "tower": "encoder",
    "exam": "evaluation tasks",
    "sitting": "evaluator",
    "desk": "evaluator",
    "album": "validation_plots",
    "picture": "image",
    "subject": "model",
    r"splic(e|ed|es|ing)": "composite",
    "held_out": "val_alphabets",
    "on_bad": "on_error",
    "unknown_below": "reject_threshold",
    r"official (test )?run": "Lake's runs",
    "same or different": "verification",
    "mixed up": "confusions",
    "right alone": "discordant pairs",
    r"one_shot_(low|high)": "one_shot_ci_low, one_shot_ci_high",
    r"colour\w*": "color",
    r"(centre|centred|centring)": "center",
    r"(optim|normal|initial|minim|maxim|regular|recogn|general|summar|organ|visual|serial)is"
    r"(e|ed|es|er|ers|ing|ation|ations)": "-ize",
    r"(grey|behaviou?rs?|neighbour\w*|favour\w*|labell\w+|modell\w+|artefact)(?<!behavior)":
        "American spelling",
}  # fmt: skip

# Patterns, case-sensitive.
PATTERNS = {
    r"\bcallbacks\.(album|watch|rates|latest|averaging)\b": "the callbacks' names",
    r"\bsimilarity\.(whole|local|differences|weight)\b": "the similarity's names",
    r"\bencoder\.(size|units|local|paper|ink|pools|convolution)\b": "the encoder's names",
    r"\bsampler\.(alphabets|characters|drawers|size|steps)\b": "the sampler's names",
    r"\bsampler\.(turns|mirrors|style|distortion)\b": "the sampler's names",
    r"\bobjective=|\bconf/objective\b|\bobjective/": "loss",
    r"(?<!torch\.)(?<!import )\boptim\.|\boptim=|\bconf/optim\b": "optimizer",
    r"\bbatches=|\bbatches\.(?!append|py)(?=[a-z_])": "sampler",
    r"\bfallback=|\bdata\.fallback\b": "on_missing",
    r"\bdata\.(exam|glyphs)\b": "data.eval, data.synthetic",
    r"\bsplit=shares\b": "ratio_60_20_20",
    r"\bmodel=(local|residual|residual_local|small)\b": "the names in conf/model",
    r"\b(loss|sampler)=(pairs|all_pairs|episode|margin|contrastive)\b": "the names in conf/loss",
    r"\btest/(official|paper|across)\b|\bbest/one_shot": "test/lake_runs, best_val/…",
    r"\b(Ranking|Candidate)\b": "Prediction, ClassScore",
    r"siamese_oneshot[./](model|examine|exam|wandb_view)[./]": "the package's modules",
    r"\btrials?\b": "episode",
    r"\bOutcome\b": "ModelResults, PredictionResults, JobProgress",
    r"\bBLIND\b|\.blind\b|\bblind_split\b|\brefuse_blind": "trains_on_validation",
    r"siamese_oneshot[./]evaluation[./](runner|models|record)\b": "comparison, runs",
}

# Where a word is right all the same: (what is banned, path, line); each a regular expression.
ALLOWED = [
    ("", r"^tests/test_names\.py$", ""),
    ("trial", r"sweep|optuna|study|prun|search|hydra|importance|runs/(test_)?job\.py", ""),
    ("trial", "", r"(?i)optuna|study|search|Koch|Lake|paper|publi"),  # their own words
    ("comparator", r"published\.yaml|docs/", "(?i)attentive recurrent comparators"),
    ("same or different|splic", r"^docs/|README|published", ""),
    ("grey", "", "aria-labelledby"),
    ("comparator", r"test_published\.py$", "attentive recurrent comparators"),
    ("trial", r"made_jobs\.py$", '"trial": None'),  # Optuna's, in a job's record
    ("optim", r"test_cli_suggest\.py$", "Did you mean"),  # a slip of the user
    ("glyph", r"page\.js$", r"one\.glyph"),  # what Bokeh draws
    ("picture", r"benchmark\.py$", "speed/pictures_per_second"),  # as older revisions log it
]


def banned() -> list[tuple[str, re.Pattern[str], str]]:
    rules = [
        (word, re.compile(rf"(?i)(?<![a-z])({word})s?(?![a-z])"), better)
        for word, better in WORDS.items()
    ]
    return rules + [(text, re.compile(text), better) for text, better in PATTERNS.items()]


def allowed(word: str, path: str, line: str) -> bool:
    return any(
        re.search(what, word) and re.search(where, path) and re.search(text, line)
        for what, where, text in ALLOWED
    )


def sources() -> list[Path]:
    folders = ("siamese_oneshot", "conf", "tests", "docs")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    top = [ROOT / "README.md", ROOT / "pyproject.toml", ROOT / "CITATION.cff"]
    return [*top, *sorted(path for path in files if path.suffix in SUFFIXES)]


def offenders() -> dict[str, list[str]]:
    """Lines with replaced names, by file."""
    rules, lines = banned(), defaultdict(list)
    for path in sources():
        name = str(path.relative_to(ROOT))
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            for word, pattern, better in rules:
                match = pattern.search(line)
                if match and not allowed(word, name, line):
                    lines[name].append(f"  {number}: {match[0]} → {better}: {line.strip()[:90]}")
    return lines


@pytest.mark.parametrize(
    ("line", "caught"),
    [
        ("the yardstick", True),
        ("make_rosters(x)", True),
        ("class Recogniser:", True),
        ("an example of subjective optimization", False),
        ("optim.lr=1", True),
        ("torch.optim.Adam, LightningOptimizer, optimizer.lr", False),
        ("data.objective is fine, objective=pairs is not", True),
        ("the grey colour", True),
        ("behavior", False),
        ("behaviour", True),
        ("encoder.local_dim", False),
        ("encoder.local", True),
        ("normalisation", True),
        ("the model was modelled", True),
        ("test/lake_runs_accuracy", False),
        ("test/official_accuracy", False),
        ("test/official", True),
    ],
)
def test_the_rules_catch_names_and_leave_others(line: str, caught: bool) -> None:
    assert any(pattern.search(line) for _, pattern, _ in banned()) == caught


def test_no_replaced_name_is_left() -> None:
    lines = offenders()
    counts = "\n".join(f"{len(found):5} {name}" for name, found in lines.items())
    details = "\n".join("\n".join([name, *found]) for name, found in lines.items())
    if lines:
        pytest.fail(f"Replaced names in {len(lines)} files\n{counts}\n\n{details}", pytrace=False)


def test_modules_of_one_name_are_of_one_kind() -> None:
    """Tables are tables in three folders, and two commands have a runner."""
    names = [path.stem for path in (ROOT / "siamese_oneshot").rglob("[!_]*.py")]
    assert {name for name in names if names.count(name) > 1} == {"tables", "runner"}
