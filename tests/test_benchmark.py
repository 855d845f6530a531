"""The benchmark command: checkouts in turn, throughput of a run, one tiny measure."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import BATCHES, TINY

from siamese_oneshot import benchmark
from siamese_oneshot.benchmark import ROOT, Checkout, Ran, compare, images_per_second, main
from siamese_oneshot.utils.errors import UserError


def test_checkouts_take_turns_and_ratios_are_of_rounds() -> None:
    turns, seconds = [], {"this": iter([2.0, 4.0, 8.0]), "old": iter([3.0, 8.0, 4.0])}

    def measure(code: Checkout) -> benchmark.Values:
        turns.append(code.name)
        return {"s": next(seconds[code.name])} | ({"own": 1.0} if code.name == "this" else {})

    table = compare(measure, [Checkout("this", ROOT), Checkout("old", ROOT)], 3)
    assert turns == ["this", "old"] * 3
    assert table.rows[0] == ("s", "4", "4", "1.500", "0.500-2.000")
    assert table.rows[1] == ("own", "1", "-", "-", "-"), "only one of them has it"


@pytest.mark.parametrize("column", ["speed/images_per_second", "speed/pictures_per_second"])
def test_throughput_leaves_out_the_first_steps(tmp_path: Path, column: str) -> None:
    path = tmp_path / "csv" / "version_0" / "metrics.csv"
    path.parent.mkdir(parents=True)
    assert images_per_second(tmp_path) is None
    path.write_text(f"step,{column},x\n" + "".join(f"{n},{n}.0,\n{n},,1\n" for n in range(7)))
    assert images_per_second(tmp_path) == 4.0


def test_steps_are_the_difference_of_two_trainings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, taken = [], iter([(7.0, 5.0, 0.5), (11.0, 7.0, 0.75)])

    def run(self: Checkout, *words: str, folder: str) -> Ran:
        lines.append(words)
        seconds, processor, memory = next(taken)
        return Ran(seconds, processor, "", memory)

    monkeypatch.setattr(Checkout, "run", run)
    main(["train", "--steps", "2", "--repeats", "1", "--experiment", "paper", "--overrides", "a=1"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train:", "s/step", "1"] in rows
    assert ["train:", "rest,", "s", "5"] in rows
    assert ["train:", "s", "of", "processor/step", "0.5"] in rows
    assert ["train:", "peak", "memory,", "GiB", "0.75"] in rows
    assert [word for word in lines[1] if word.startswith("trainer.max")] == ["trainer.max_steps=6"]
    assert "+experiment=paper" in lines[0]
    assert lines[0][-1] == "a=1"


PAPER = ["model.encoder.filters=[2,2,2,2]", "sampler.batch_size=2"]  # trains on pairs


@pytest.mark.parametrize(
    ("experiment", "overrides", "name"),
    [
        ("quick", ["trainer.precision=32-true"], "float32"),
        ("paper", ["trainer.precision=bf16-mixed", *PAPER], "bfloat16"),
    ],
)
def test_the_network_is_measured_in_the_precision_of_a_training(
    capsys: pytest.CaptureFixture[str], experiment: str, overrides: list[str], name: str
) -> None:
    line = ["network", "--repeats", "1", "--batch-size", "2", "--experiment", experiment]
    main([*line, "--overrides", *overrides])
    printed = capsys.readouterr().out
    for part in ("embed, images/s", "embed and gradient", "score, pairs/s", "training step"):
        assert f"network in {name}: {part}" in printed


def test_a_process_is_measured_alone(tmp_path: Path) -> None:
    """Memory and processor time are its own, not those of a larger one before it."""
    code = Checkout("this", ROOT)
    large = code.run("-c", "x = bytearray(2**28); print(sum(range(10**7)))", folder=str(tmp_path))
    small = code.run("-c", "print(1)", folder=str(tmp_path))
    assert (large.output, small.output) == (f"{10**7 * (10**7 - 1) // 2}\n", "1\n")
    assert large.memory > 0.25 > small.memory
    assert large.processor > small.processor
    with pytest.raises(UserError, match=r"(?s)this: -c .*ZeroDivisionError"):
        code.run("-c", "1 / 0", folder=str(tmp_path))


def test_the_time_after_the_last_step_has_validation_and_test_in_it(tmp_path: Path) -> None:
    line = [*TINY, *BATCHES, "trainer.max_steps=2", "sampler.steps_per_epoch=5"]
    line += [f"hydra.run.dir={tmp_path}/run"]
    ran = Checkout("this", ROOT).run("-c", benchmark._END, *line, folder=str(tmp_path))
    *table, seconds = ran.output.splitlines()
    assert any("within-alphabet" in row for row in table)
    assert [*tmp_path.glob("run/plots/step_*2/*.png")], "of the validation after the last step"
    assert 0 < float(seconds) < ran.seconds


@pytest.mark.parametrize("line", [["nothing"], ["train", "--steps", "0"]])
def test_wrong_command_lines_are_refused(line: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(line)
    assert stop.value.code == 2


def test_a_model_is_found_from_the_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands run in folders of their own."""
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    asked: list[str] = []
    monkeypatch.setitem(
        benchmark.MEASURES, "evaluate", lambda _, given, __: asked.append(given.model) or {}
    )
    for model in ("run", "pretrained"):
        main(["evaluate", "--repeats", "1", "--model", model])
    assert asked == [str(tmp_path / "run"), "pretrained"]


def test_an_unknown_revision_is_one_line() -> None:
    with pytest.raises(SystemExit, match=r"^Error: --against no-such-revision: "):
        main(["start", "--against", "no-such-revision"])
