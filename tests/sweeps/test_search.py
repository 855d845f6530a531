"""Searches: exactly the given number of trials, whatever happens in between."""

from __future__ import annotations

import errno
import math
import socket
from functools import partial
from pathlib import Path

import optuna
import pytest
from hydra.utils import instantiate
from made_jobs import result_of
from omegaconf import OmegaConf
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from siamese_oneshot.cli import conf_dir
from siamese_oneshot.runs.result import write_result
from siamese_oneshot.sweeps.search import INFEASIBLE, SearchSweeper, open_study
from siamese_oneshot.utils.config import group_options

KEY = "optimizer.lr"
RANGES = ["+sweep=search", "optimizer.lr=tag(log,interval(1e-4,1e-1))"]
LINE = [*RANGES, "hydra.sweeper.name=s"]
COMPLETE, PRUNED, FAIL, RUNNING = (
    TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING,
)  # fmt: skip


def trials_in(folder: Path, name: str = "search") -> list[optuna.trial.FrozenTrial]:
    return open_study(f"sqlite:///{folder / 'study.db'}", name).trials


def trials_of(bench, name: str = "s", experiment: str = "default"):
    return trials_in(bench.folder / "outputs" / experiment / name)


def states(bench) -> list[TrialState]:
    return [trial.state for trial in trials_of(bench)]


def of_trials(number: int) -> str:
    return f"hydra.sweeper.n_trials={number}"


def peak(cfg) -> float:
    """Best at 1e-2."""
    return 1.0 - abs(math.log10(cfg.optimizer.lr) + 2) / 3


def kills_the_first(bench) -> None:
    """End the process in the first attempt at trial 1."""

    def act(cfg, folder):
        if folder.name.startswith("1_") and bench.begun[folder.name] == 1:
            raise bench.killed

    bench.act = act


def killed_in(bench, monkeypatch, method: str, *line: str) -> None:
    """Run until a method of Optuna is called."""

    def stopped(*args, **kwargs):
        raise bench.killed

    with monkeypatch.context() as patch:
        patch.setattr(f"optuna.{method}", stopped)
        with pytest.raises(bench.killed):
            bench.run(*line)


def test_the_study_gets_every_score_and_the_total_is_kept(bench, capsys) -> None:
    bench.score = peak
    for total in (2, 2, 4):
        assert bench.run(*LINE, of_trials(total)) == 0
        assert sum(bench.begun.values()) == total
    trials = trials_of(bench)
    for trial in trials:
        assert trial.state == COMPLETE
        assert trial.value == pytest.approx(1.0 - abs(math.log10(trial.params[KEY]) + 2) / 3)
    assert len({trial.params[KEY] for trial in trials}) == 4, "no draw is repeated"
    best = max(trials, key=lambda trial: trial.value)
    printed = capsys.readouterr().out
    settings = f"lr={best.params[KEY]:.4g} (job {best.number}) with {100 * best.value:.2f}%"
    assert f"Best validation score: {settings}" in printed
    again = f"optimizer.lr={best.params[KEY]} test=true hydra.mode=RUN"
    assert again in printed, "one training, though its settings choose a search"
    starts = [line.partition(f"{KEY}=")[2] for line in printed.splitlines() if " starts: " in line]
    assert len(starts) == 4
    assert all(float(text) == float(f"{float(text):.4g}") for text in starts), "four digits"


def test_it_draws_as_a_plain_loop_of_optuna_would(bench) -> None:
    bench.score = peak
    own = ["hydra.sweeper.seed=4", "hydra.sweeper.sampler.n_startup_trials=2"]
    assert bench.run(*LINE, *own, of_trials(5)) == 0
    sampler = optuna.samplers.TPESampler(
        seed=4, multivariate=True, constant_liar=True, n_startup_trials=2
    )
    plain = optuna.create_study(direction="maximize", sampler=sampler)
    space = {KEY: optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)}
    for mine in trials_of(bench):
        trial = plain.ask(space)
        assert trial.params == mine.params
        plain.tell(trial, mine.value)


# --- interrupted


@pytest.mark.parametrize("since_then", ["nothing", "hostname", "folder", "order"])
def test_killed_no_trial_is_lost_or_run_twice(bench, monkeypatch, since_then: str) -> None:
    """Also if the host or the folder was renamed, or the settings were reordered."""
    line = [*LINE, "optimizer.warmup=interval(0,1)", of_trials(3)]
    kills_the_first(bench)
    with pytest.raises(bench.killed):
        bench.run(*line)
    assert states(bench) == [COMPLETE, RUNNING]
    sweep = bench.folder / "outputs/default/s"
    if since_then == "hostname":
        monkeypatch.setattr(socket, "gethostname", lambda: "another")
    elif since_then == "folder":
        sweep = sweep.parent.rename(bench.folder / "moved") / "s"
        line.append("hydra.sweep.dir=moved")
    elif since_then == "order":
        parsed = SearchSweeper._parsed
        monkeypatch.setattr(SearchSweeper, "_parsed", lambda self, line: parsed(self, line)[::-1])
    assert bench.run(*line) == 0
    assert [trial.state for trial in trials_in(sweep)] == [COMPLETE] * 3
    assert sorted(bench.begun.values()) == [1, 1, 2]
    assert sorted(bench.finished.values()) == [1, 1, 1]


def test_a_renamed_search_goes_on(bench) -> None:
    assert bench.run(*LINE, of_trials(1)) == 0
    (bench.folder / "outputs/default/s").rename(bench.folder / "outputs/default/t")
    assert bench.run(*RANGES, "hydra.sweeper.name=t", of_trials(2)) == 0
    assert sum(bench.begun.values()) == 2
    assert len(trials_in(bench.folder / "outputs/default/t")) == 2


def test_killed_between_the_result_and_telling_it(bench, monkeypatch) -> None:
    """The job's folder is complete, the study does not know."""
    killed_in(bench, monkeypatch, "Study.tell", *LINE, of_trials(2))
    assert bench.run(*LINE, of_trials(2)) == 0
    assert states(bench) == [COMPLETE] * 2
    assert sorted(bench.begun.values()) == [1, 1]


def test_killed_while_drawing(bench, monkeypatch) -> None:
    killed_in(bench, monkeypatch, "Trial.set_user_attr", *LINE, of_trials(2))
    assert bench.run(*LINE, of_trials(2)) == 0
    assert states(bench) == [FAIL, COMPLETE, COMPLETE]
    assert sum(bench.begun.values()) == 2


def test_pruned_and_failed_trials_count(bench) -> None:
    def act(cfg, folder):
        if folder.name.startswith("1_"):
            raise RuntimeError("not a number")
        return "pruned" if folder.name.startswith("2_") else None

    bench.act = act
    assert bench.run(*LINE, of_trials(4)) == 1
    assert states(bench) == [COMPLETE, FAIL, PRUNED, COMPLETE]
    assert sum(bench.begun.values()) == 4


def test_infeasible_shapes_are_pruned_and_do_not_count(real_bench) -> None:
    line = ["+experiment=paper", "+sweep=paper_all", "hydra/sweeper/sampler=random"]
    assert real_bench.run(*line, "hydra.sweeper.name=s", of_trials(1)) == 0
    assert len(real_bench.finished) == 1
    *infeasible, last = trials_of(real_bench, experiment="paper")
    assert infeasible, "of random kernels 3 … 20 many do not fit"
    assert all(trial.state == PRUNED for trial in infeasible)
    assert all("conv" in trial.user_attrs[INFEASIBLE] for trial in infeasible)
    assert (last.state, INFEASIBLE in last.user_attrs) == (COMPLETE, False)


# --- settings to try first, and the paper's search


def test_given_settings_are_tried_first_once_and_survive_a_kill_while_drawing(
    bench, monkeypatch
) -> None:
    """A setting that one of them leaves out has the experiment's value, if it is in range."""
    line = [*LINE, "callbacks.ema.decay=0.9,0.99", "optimizer.warmup=interval(0.5,0.6)"]
    first = "hydra.sweeper.enqueue=[{},{optimizer.lr:1e-2,callbacks.ema.decay:0.9}]"
    killed_in(bench, monkeypatch, "Trial.set_user_attr", *line, first, of_trials(3))
    for _ in range(2):
        assert bench.run(*line, first, of_trials(3)) == 0
    done = [trial.params for trial in trials_of(bench) if trial.state == COMPLETE]
    tried = [(params[KEY], params["callbacks.ema.decay"]) for params in done]
    assert len(tried) == 3
    assert {(1e-3, "0.99"), (1e-2, "0.9")} <= {*tried}
    assert all(0.5 <= params["optimizer.warmup"] <= 0.6 for params in done), "0.1 is out of range"
    assert bench.run(*line, "hydra.sweeper.enqueue=[{optimizer.lr:0.05}]", of_trials(4)) == 0
    assert trials_of(bench)[-1].params[KEY] == 0.05


def first_trial(real_bench, sweep: str):
    """The trials until the first feasible one of a search, its configuration and its pruner."""
    seen = []

    def act(cfg, folder):
        pruner = cfg.callbacks.pruning.pruner
        seen.append((cfg, None if pruner is None else instantiate(pruner)))

    real_bench.act = act
    line = ["+experiment=paper", f"+sweep={sweep}", "hydra.sweeper.name=s"]
    assert real_bench.run(*line, of_trials(1)) == 0
    return trials_of(real_bench, experiment="paper"), *seen[0]


def paper_of(group: str):
    return OmegaConf.load(conf_dir() / "experiment/paper.yaml")[group]


@pytest.mark.parametrize(("sweep", "dimensions"), [("paper", 18), ("paper_shape", 9)])
def test_a_stage_of_the_papers_search_begins_with_the_experiments_own_values(
    real_bench, sweep: str, dimensions: int
) -> None:
    """Short trainings on the smallest set of pairs, chosen by 10,000 episodes and by 320."""
    (trial, *waiting), cfg, pruner = first_trial(real_bench, sweep)
    assert len(trial.params) == dimensions
    assert len(waiting) == (sweep == "paper"), "one more begins with values found by hand"
    for other in waiting:
        by_hand = other.system_attrs["fixed_params"]
        assert by_hand["optimizer.lr.dense"] == 0.1
        assert by_hand["optimizer.momentum.dense"] == paper_of("optimizer").momentum.dense
    for own, expected in (
        (cfg.optimizer, paper_of("optimizer")),
        (cfg.loss, paper_of("loss")),
    ):
        assert OmegaConf.merge(own, expected) == own
    assert cfg.model.encoder.filters == [64, 128, 128, 256]
    assert cfg.model.encoder.kernels == [10, 7, 4, 4]
    sampler = cfg.sampler
    assert (sampler.n_fixed_pairs, sampler.n_augmented_copies) == (30_000, 0)
    assert sampler.augmentation is None
    eval_config = cfg.data.eval
    assert (eval_config.val_runs * eval_config.way, eval_config.koch_val_runs * 20) == (10_000, 320)
    assert isinstance(pruner, optuna.pruners.HyperbandPruner)
    assert pruner._max_resource == cfg.trainer.max_epochs / cfg.trainer.val_check_interval


def test_the_papers_whole_space_is_searched_over_full_trainings(real_bench) -> None:
    trials, cfg, pruner = first_trial(real_bench, "paper_all")
    assert (pruner, cfg.trainer.max_epochs, cfg.sampler.n_fixed_pairs) == (None, 200, 150_000)
    assert len(trials[-1].params) == 27


# --- settings


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("hydra.sweeper.name=2024", "hydra.sweeper.name=2024: it must be a text"),
        ("hydra.sweeper.parallel=two", "hydra.sweeper.parallel=two: it must be an integer"),
        ("hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials=0: it must be an integer"),
        ("hydra.sweeper.seed=x", "hydra.sweeper.seed=x: it must be an integer"),
        ("hydra.sweeper.pruner.n_warmup_steps=-1", "MedianPruner refuses its settings"),
        ("hydra.sweeper.storage='nonsense://x'", "hydra.sweeper.storage"),
        ("data.split=background", "data.split=background trains on its validation"),
        ("hydra.sweeper.enqueue=[5]", "hydra.sweeper.enqueue.0=5: it must be"),
        ("hydra.sweeper.enqueue=[{optimizer.lr:2.0}]", "optimizer.lr=2.0 is outside its range"),
        ("hydra.sweeper.enqueue=[{optimizer.lrr:1}]", "Did you mean optimizer.lr?"),
    ],
)
def test_bad_settings_of_a_search_are_refused(bench, capsys, bad: str, says: str) -> None:
    assert bench.run(*LINE, bad) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert says in error
    assert not bench.begun


def test_nothing_to_search_is_refused(bench, capsys) -> None:
    assert bench.run("+sweep=search") == 1
    assert "nothing to search" in capsys.readouterr().err


@pytest.mark.parametrize("group", ["sampler", "pruner"])
def test_every_sampler_and_pruner_searches(bench, group: str) -> None:
    options = group_options(f"hydra/sweeper/{group}")
    assert len(options) >= 3
    for option in options:
        line = [*RANGES, f"hydra.sweeper.name={option}", of_trials(1)]
        assert bench.run(*line, f"hydra/sweeper/{group}={option}") == 0
        assert [trial.state for trial in trials_of(bench, option)] == [COMPLETE]


@pytest.mark.parametrize("sweep", ["optimizer", "architecture", "default"])
def test_every_search_of_the_default_experiment_runs(real_bench, sweep: str) -> None:
    assert real_bench.run(f"+sweep={sweep}", of_trials(1)) == 0
    assert len(real_bench.finished) == 1


@pytest.mark.parametrize(("sweep", "jobs"), [("grid", 9), ("seeds", 5)])
def test_every_grid_of_the_default_experiment_begins(real_bench, capsys, sweep, jobs) -> None:
    """All of its jobs have been composed by then."""

    def act(cfg, folder):
        raise real_bench.killed

    real_bench.act = act
    with pytest.raises(real_bench.killed):
        real_bench.run(f"+sweep={sweep}")
    assert f"{jobs} of {jobs} jobs left to run" in capsys.readouterr().out


# --- several machines


def test_machines_share_a_study_and_leave_the_trials_of_others_alone(bench, monkeypatch) -> None:
    storage = f"hydra.sweeper.storage='sqlite:///{bench.folder / 'study.db'}'"
    line = [*RANGES, "hydra.sweeper.study=both", storage]
    kills_the_first(bench)
    with pytest.raises(bench.killed):
        bench.run(*line, "hydra.sweeper.name=one", of_trials(4))
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    for name in ("one", "two"):  # a folder of that name on another machine is another folder
        assert bench.run(*line, f"hydra.sweeper.name={name}", of_trials(3 + (name == "two"))) == 0
    found = [trial.state for trial in trials_in(bench.folder, "both")]
    assert found == [COMPLETE, RUNNING, COMPLETE, COMPLETE]
    folders = (bench.folder / "outputs/default" / name for name in ("one", "two"))
    assert [len([*folder.glob("*_lr=*")]) for folder in folders] == [3, 1]


SAMPLERS = {
    "tpe": optuna.samplers.TPESampler,
    "qmc": partial(optuna.samplers.QMCSampler, scramble=True),
}


def draws(known: optuna.Study, sampler: str, folder: str, storage: str | None = None) -> float:
    """Return the first draw of a sweeper that has just been started."""
    sweeper = SearchSweeper(9, SAMPLERS[sampler], storage=storage)
    sweeper.folder = Path(folder)
    known.sampler = sweeper._made_sampler(len(known.trials))
    trial = known.ask({"lr": optuna.distributions.FloatDistribution(0, 1)})
    known.tell(trial, 0.5)
    return float(trial.params["lr"])


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("storage", "numbers"), [("sqlite:///s.db", 2), (None, 1)])
def test_machines_that_start_together_draw_differently(sampler, storage, numbers) -> None:
    """With a study each they draw what the seed says; with a shared one, different values."""
    names = ("one", "two")
    values = {draws(optuna.create_study(), sampler, name, storage) for name in names}
    assert len(values) == numbers


def test_a_restarted_sobol_sequence_is_the_same_sequence() -> None:
    """Also that of another machine: none draws what was drawn, and together they fill the space."""
    known = optuna.create_study()
    draws(known, "qmc", "one", "sqlite:///s.db")  # by chance, before the sequence begins
    values = [draws(known, "qmc", name, "sqlite:///s.db") for name in 4 * ("one", "two")]
    assert sorted(int(8 * value) for value in values) == [*range(8)]


def test_a_fault_of_the_machine_is_no_trial(bench, capsys) -> None:
    """The search stops at once, and the same command trains all of its trials."""
    full = OSError(errno.ENOSPC, "No space left on device", "last.ckpt")

    def act(cfg, folder):
        if folder.name.startswith("1_") and bench.begun[folder.name] == 1:
            write_result(folder, result_of(None, status="failed"))
            raise full

    bench.act = act
    assert bench.run(*LINE, of_trials(3)) == 1
    assert "the machine fails and not a job: last.ckpt: No space left" in capsys.readouterr().err
    assert states(bench) == [COMPLETE, RUNNING]
    assert bench.run(*LINE, of_trials(3)) == 0
    assert states(bench) == [COMPLETE] * 3
    assert sorted(bench.finished.values()) == [1, 1, 1]


@pytest.mark.parametrize("fault", [FileNotFoundError(2, "No such file", "x"), MemoryError()])
def test_what_depends_on_the_settings_is_a_failed_trial(bench, fault) -> None:
    def act(cfg, folder):
        if folder.name.startswith("1_"):
            raise fault

    bench.act = act
    assert bench.run(*LINE, of_trials(3)) == 1
    assert states(bench) == [COMPLETE, FAIL, COMPLETE]


@pytest.mark.parametrize("damage", [None, b"no database"])
def test_a_study_that_is_removed_is_rebuilt_from_its_jobs(bench, capsys, damage) -> None:
    def act(cfg, folder):
        number = int(folder.name.partition("_")[0])
        if number == 1:
            raise ValueError("of this setting")
        if number == 3 and bench.begun[folder.name] == 1:
            raise bench.killed
        return "pruned" if number == 2 else None

    bench.act, bench.score = act, peak
    with pytest.raises(bench.killed):
        bench.run(*LINE, of_trials(5))
    before = trials_of(bench)
    study = bench.folder / "outputs/default/s/study.db"
    if damage is not None:
        study.write_bytes(damage)
        assert bench.run(*LINE, of_trials(5)) == 1
        assert "If it is damaged, remove it: nothing is lost" in capsys.readouterr().err
    study.unlink()
    assert bench.run(*LINE, of_trials(5)) == 1, "a trial failed"
    after = trials_of(bench)
    assert [one.state for one in after] == [COMPLETE, FAIL, PRUNED, COMPLETE, COMPLETE]
    for old, new in zip(before, after, strict=False):
        assert (old.number, old.params, old.distributions) == (
            new.number,
            new.params,
            new.distributions,
        )
        assert old.values == new.values or old.state == RUNNING
    assert [bench.finished[one.user_attrs["job"]] for one in after] == [1, 0, 1, 1, 1]


def test_a_study_that_stays_locked_stops_the_search_and_costs_no_trial(
    bench, monkeypatch, capsys
) -> None:
    locked = StorageInternalError("commit")
    locked.__cause__ = OperationalError("", {}, Exception("database is locked"))
    tell = optuna.Study.tell

    def refuse(self, *values, **options):
        raise locked

    monkeypatch.setattr(optuna.Study, "tell", refuse)
    assert bench.run(*LINE, of_trials(2)) == 1
    message = capsys.readouterr().err
    assert "database is locked" in message
    assert "No trial is lost" in message
    monkeypatch.setattr(optuna.Study, "tell", tell)
    assert bench.run(*LINE, of_trials(2)) == 0
    assert states(bench) == [COMPLETE] * 2
    assert sorted(bench.finished.values()) == [1, 1]
