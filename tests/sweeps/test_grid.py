"""Grids: every combination runs once, whatever happens in between."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import Counter

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException

from siamese_oneshot.cli import conf_dir
from siamese_oneshot.runs.job import Job, JobProgress, command_of
from siamese_oneshot.sweeps import driver
from siamese_oneshot.sweeps.driver import GridSweeper, assign_numbers, combinations
from siamese_oneshot.utils.errors import Busy, UserError

LINE = ["-m", "optimizer.lr=1e-3,1e-2", "seed=0,1", "hydra.sweeper.name=s"]
NAMES = {f"{2 * a + b}_lr={lr},seed={b}" for a, lr in enumerate(("0.001", "0.01")) for b in (0, 1)}
TWO = ["-m", "seed=0,1", "hydra.sweeper.name=s"]
SWEEP = "outputs/default/s"


def fails(bench, error: BaseException) -> None:
    """Jobs of ``seed=1`` fail."""

    def act(cfg, folder):
        if cfg.seed == 1:
            raise error

    bench.act = act


def jobs_of(*texts: str) -> list[Job]:
    return combinations(OverridesParser.create().parse_overrides([*texts]))


def test_combinations_are_the_product() -> None:
    jobs = jobs_of("a=1,2", "b=x", "c=range(0,3)", "+d=choice(u,v)")
    expected = itertools.product("12", "012", "uv")
    assert [job.overrides for job in jobs] == [
        [f"a={a}", "b=x", f"c={c}", f"+d={d}"] for a, c, d in expected
    ]
    assert jobs[0].swept == ["a", "c", "d"]
    assert [job.number for job in jobs] == list(range(12))


def test_the_last_of_one_key_counts() -> None:
    assert [job.overrides for job in jobs_of("a=1,2", "a=3")] == [["a=3"]]
    assert [job.overrides for job in jobs_of("a=3", "a=1,2")] == [["a=1"], ["a=2"]]


@pytest.mark.parametrize("text", ["a=interval(0,1)", "a=shuffle(1,2,3)"])
def test_intervals_and_shuffled_lists_are_refused(text: str) -> None:
    with pytest.raises(HydraException, match="a="):
        jobs_of(text)


def test_jobs_keep_their_numbers_and_new_jobs_get_new_ones() -> None:
    before = jobs_of("b=0,1", "a=2")
    before[0].attempts, before[1].attempts, before[1].error = 1, 3, "lost"
    jobs = jobs_of("a=1,2", "b=0,1")
    assign_numbers(jobs, before)
    assert [(job.name, job.attempts) for job in jobs] == [
        ("2_a=1,b=0", 0), ("3_a=1,b=1", 0), ("0_b=0", 1), ("1_b=1", 0),
    ]  # fmt: skip
    assert len(jobs_of("a=1,1")) == 1


def test_a_job_keeps_its_folder_when_others_come_before_it(bench) -> None:
    params = "hydra.sweeper.params.seed"
    line = ["+sweep=seeds", "hydra.sweeper.name=s"]
    assert bench.run(*line, f"{params}='choice(1)'") == 0
    path = bench.folder / SWEEP / "sweep.json"
    path.write_text(path.read_text().replace("choice(1)", "0,1"))  # as a glob(*) that has grown
    assert bench.run(*line, f"{params}='0,1'") == 0
    assert bench.finished == {"0_seed=1": 1, "1_seed=0": 1}


def test_an_ablation_changes_the_experiment_of_the_command_line() -> None:
    sweeper = GridSweeper(params={"+ablation": "affine,elastic"})
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        sweeper._loader = GlobalHydra.instance().config_loader()
        jobs = combinations(sweeper._parsed(["+experiment=quick", "+sweep=ablation"]))
        augmentations = [compose("config", job.overrides).sampler.augmentation for job in jobs]
    assert [(one.probability, one.elastic) for one in augmentations] == [(0.0, 1.6), (0.39, 0.0)]


def test_a_grid_warns_of_a_split_that_trains_on_validation(bench, capsys) -> None:
    assert bench.run("data.split=background", "seed=0", "-m") == 0
    said = "data.split=background trains on its validation alphabets: do not choose"
    assert said in capsys.readouterr().out
    assert bench.run("data.split=lake,background", "seed=0", "-m") == 0
    printed = capsys.readouterr().out
    assert said in printed, "also of a job that is not the first"
    assert "Best" not in printed


def test_a_wrong_setting_of_the_last_job_is_refused_before_the_first_runs(bench, capsys) -> None:
    options = ",".join(["small", "papr"])  # the first is of the bench's own conf/
    assert bench.run("-m", "seed=0", f"model={options}") != 0
    assert "papr" in "".join(capsys.readouterr())
    assert not bench.begun


def test_all_run_once_and_a_rerun_skips_them(bench) -> None:
    for _ in range(2):
        assert bench.run(*LINE) == 0
    assert set(bench.finished) == NAMES
    assert set(bench.begun.values()) == {1}
    content = json.loads((bench.folder / SWEEP / "1_lr=0.001,seed=1/job.json").read_text())
    assert content["overrides"] == ["optimizer.lr=0.001", "seed=1"]


def test_a_job_costs_the_driver_the_same_in_a_longer_sweep(bench, monkeypatch) -> None:
    read, of = Counter[str](), JobProgress.of
    monkeypatch.setattr(JobProgress, "of", lambda path: (read.update([path.name]), of(path))[1])
    reads = []
    for jobs in (2, 5):
        read.clear()
        assert bench.run("-m", f"seed=range({jobs})", f"hydra.sweeper.name={jobs} jobs") == 0
        assert len(read) == jobs
        reads.append({*read.values()})
    assert reads[0] == reads[1]


def test_the_folder_knows_the_command_and_is_named_by_it_where_no_name_is_given(bench) -> None:
    assert bench.run("-m", "seed=0,1", "hydra.sweeper.name=a b") == 0
    command = "python -m siamese_oneshot.train seed=0,1 'hydra.sweeper.name=a b' -m"
    assert command_of(bench.folder / "outputs/default/a b") == command
    assert bench.run("-m", "seed=0,1") == 0
    assert (bench.folder / "outputs/default/seed=0,1/0_seed=0/result.json").exists()


def test_a_failing_job_is_recorded_and_tried_again_by_a_rerun(bench, capsys) -> None:
    fails(bench, RuntimeError("out of memory\nand more"))
    assert bench.run(*LINE) == 1
    printed = capsys.readouterr().err
    assert "2 of 4 jobs failed" in printed
    remedy = "use a smaller batch, network or data set (out of memory)"
    assert f"1_lr=0.001,seed=1: there is not enough memory: {remedy}" in printed
    assert len(bench.finished) == 2
    bench.act = lambda cfg, folder: None
    assert bench.run(f"resume={SWEEP}/1_lr=0.001,seed=1") == 0, "it is resumed alone"
    assert bench.run(*LINE) == 0
    assert set(bench.finished) == NAMES
    assert set(bench.finished.values()) == {1}


def test_the_winner_is_named_with_its_settings_and_commands(bench, capsys) -> None:
    # by the mean over seeds, which one lucky seed of the other settings does not change
    bench.score = lambda cfg: {(0.001, 1): 0.9, (0.001, 0): 0.5}.get(
        (cfg.optimizer.lr, cfg.seed), 0.95 if cfg.seed else 0.3
    )
    assert bench.run(*LINE) == 0
    printed = capsys.readouterr().out
    assert "Best validation score: lr=0.001 (jobs 0, 1) with 70% ± 254" in printed
    command = "python -m siamese_oneshot.train"
    # 90 and 50, 95 and 30
    assert "overlaps those of 1 of 1 other settings, so the order is uncertain" in printed
    again = f"{command} optimizer.lr=0.001 seed=1 test=true hydra.mode=RUN\n"
    assert f"To train the best settings again, and test: {again}" in printed
    assert printed.index("4 of 4 jobs are complete") < printed.index("Best"), "named last"
    assert bench.run("-m", "data.split=background", "seed=0,1") == 0
    assert "Best" not in capsys.readouterr().out, "its validation scores cannot choose"


def test_a_nan_is_a_failure(bench, capsys) -> None:
    bench.score = lambda cfg: float("nan") if cfg.seed else 0.5
    assert bench.run("-m", "seed=0,1", "hydra.sweeper.name=s") == 1
    assert "without a validation score" in capsys.readouterr().err


def test_a_user_error_says_its_line_only(bench, capsys) -> None:
    fails(bench, UserError("the kernel does not fit"))
    assert bench.run(*TWO) == 1
    printed = capsys.readouterr()
    assert "1_seed=1: the kernel does not fit" in printed.err
    assert "Traceback" not in printed.out + printed.err


def test_a_killed_sweep_continues_the_job_that_was_started(bench) -> None:
    def act(cfg, folder):
        if cfg.seed == 1 and bench.begun[folder.name] == 1:
            raise bench.killed

    bench.act = act
    for _ in range(2):
        with pytest.raises(bench.killed):
            bench.run(*LINE)
    assert bench.run(*LINE) == 0
    assert set(bench.finished) == NAMES
    assert set(bench.finished.values()) == {1}
    folder = str(bench.folder / "outputs/default/s")
    assert all(str(path).startswith(folder) for path in bench.resumes), "each is messages to resume"


def test_a_job_that_always_kills_its_process_fails(bench, capsys) -> None:
    fails(bench, bench.killed())
    for _ in range(3):
        with pytest.raises(bench.killed):
            bench.run(*TWO)
    assert bench.run(*TWO) == 1
    assert "lost 3 times" in capsys.readouterr().err
    assert set(bench.finished) == {"0_seed=0"}
    for _ in range(2):  # once more the command is repeated, and all attempts are there again
        with pytest.raises(bench.killed):
            bench.run(*TWO)
    bench.act = lambda cfg, folder: None
    assert bench.run(*TWO) == 0
    assert bench.finished["1_seed=1"] == 1


def test_a_checkpoint_of_the_last_attempt_gives_another(bench) -> None:
    def act(cfg, folder):
        if bench.begun[folder.name] == 3:
            last = folder / "checkpoints" / "last.ckpt"
            last.parent.mkdir()
            last.touch()
            os.utime(last, ns=(2**62, 2**62))
        if bench.begun[folder.name] <= 3:
            raise bench.killed

    bench.act = act
    for _ in range(3):
        with pytest.raises(bench.killed):
            bench.run("-m", "seed=0", "hydra.sweeper.name=s")
    assert bench.run("-m", "seed=0", "hydra.sweeper.name=s") == 0
    assert (bench.begun["0"], bench.finished["0"]) == (4, 1)


def test_another_sweep_of_that_name_is_refused(bench, capsys) -> None:
    assert bench.run(*LINE) == 0
    assert bench.run("-m", "seed=5,6", "hydra.sweeper.name=s") == 1
    assert "holds another sweep" in capsys.readouterr().err
    assert set(bench.finished) == NAMES


def test_a_wrong_value_stops_the_sweep_before_it_begins(bench, capsys) -> None:
    assert bench.run("-m", "model=conv4_small,smal", "hydra.sweeper.name=s") == 2
    assert "smal" in capsys.readouterr().err
    assert not bench.begun


@pytest.fixture
def losing(monkeypatch):
    """A launcher that loses jobs together with one of ``seed=1``; how many it gets each time."""
    name = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
    launcher = Plugins.instance().class_name_to_class[name]
    launch = launcher.launch
    sizes = []

    def losing(self, lines, initial_job_idx):
        sizes.append(len(lines))
        if any("seed=1" in line for line in lines):
            raise RuntimeError("a worker was killed")
        return launch(self, lines, initial_job_idx)

    monkeypatch.setattr(launcher, "launch", losing)
    return sizes


@pytest.mark.parametrize(
    ("seeds", "at_once", "retried", "sizes"),
    [
        (3, 3, 8, [3, 1, 1, 1, 1, 1]),  # the first loss says nothing of jobs that were not begun
        (5, 2, 8, [5, 2, 1, 1, 1, 1, 2, 1]),
        (4, 4, 2, [4, 2, 1, 1, 1, 1, 2]),  # a queue takes all, and a few after a loss
    ],
)
def test_jobs_that_a_launcher_lost_are_repeated_in_smaller_groups(
    bench, capsys, losing, monkeypatch, seeds: int, at_once: int, retried: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(driver, "_MAX_RETRY", retried)
    monkeypatch.setattr(GridSweeper, "at_once", lambda self, most: min(at_once, most))
    line = f"seed={','.join(map(str, range(seeds)))}"
    assert bench.run("-m", line, "hydra.sweeper.name=s") == 1
    assert losing == sizes
    assert set(bench.finished) == {f"{n}_seed={n}" for n in range(seeds)} - {"1_seed=1"}
    assert set(bench.finished.values()) == {1}
    assert "1_seed=1: its process was lost 3 times. RuntimeError: a worker was killed" in (
        capsys.readouterr().err
    )
    assert json.loads((bench.folder / SWEEP / "2_seed=2/job.json").read_text())["attempts"] == 1


def test_a_job_that_another_process_trains_has_not_failed(bench, caplog) -> None:
    """That one had waited in a queue when its driver was killed; if it is lost, this goes on."""

    def act(cfg, folder):
        if bench.begun[folder.name] == 1:
            raise Busy(f"another process is training in {folder}")

    bench.act = act
    assert bench.run("-m", "seed=0", "hydra.sweeper.name=s") == 0
    assert (bench.begun, bench.finished) == ({"0": 2}, {"0": 1})
    assert "failed" not in caplog.text


def test_an_attempt_that_left_a_trace_counts(tmp_path) -> None:
    for trace, attempts in ((False, 0), (True, 1)):
        job, folder = Job(0, [], []), tmp_path / str(trace)
        job.begin(folder)
        if trace:
            (folder / "train.log").write_text("began")
            os.utime(folder / "train.log", ns=(2**62, 2**62))
        job.excuse(folder)
        assert Job.read(folder).attempts == job.attempts == attempts


def test_complete_jobs_are_logged_while_others_run(bench, monkeypatch) -> None:
    messages = []
    monkeypatch.setattr(driver, "_POLL", 0.01)
    monkeypatch.setattr(driver.log, "info", lambda text, *of: messages.append(text % of))

    def act(cfg, folder):
        until = time.monotonic() + 20
        while cfg.seed == 1 and "job 0: finished, validation 50.00%" not in messages:
            assert time.monotonic() < until
            time.sleep(0.01)

    bench.act = act
    assert bench.run("-m", "seed=0,1", "hydra.sweeper.name=s", "hydra.sweeper.parallel=2") == 0
    assert [text for text in messages if text.startswith("job ")] == [
        *(f"job {seed} starts: seed={seed}" for seed in (0, 1)),
        *(f"job {seed}: finished, validation 50.00%" for seed in (0, 1)),
    ]
    assert sum(text.startswith("jobs left: 1,") for text in messages) == 1


def test_jobs_that_no_process_took_are_not_lost_with_their_sweep(bench) -> None:
    """A launcher with a queue is handed all jobs; only the first one begins before each Ctrl-C."""

    def stop(cfg, folder):
        raise KeyboardInterrupt

    bench.act = stop
    for _ in range(4):
        assert bench.run(*TWO, "hydra.sweeper.parallel=2") == 130
    assert set(bench.begun) == {"0_seed=0"}
    bench.act = lambda cfg, folder: None
    bench.run(*TWO, "hydra.sweeper.parallel=2")
    assert bench.finished["1_seed=1"] == 1
