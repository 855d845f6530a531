"""Searches: exactly the given number of trials, whatever happens in between."""

from __future__ import annotations

import math
import socket
from functools import partial
from pathlib import Path

import optuna
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from siamese_oneshot.cli import conf_dir
from siamese_oneshot.sweeps.job import Job
from siamese_oneshot.sweeps.search import INFEASIBLE, JOB, SearchSweeper, open_study
from siamese_oneshot.utils.config import group_options

KEY = "optimizer.lr"
LINE = ["+sweep=search", "optimizer.lr=tag(log,interval(1e-4,1e-1))", "hydra.sweeper.name=s"]
COMPLETE = optuna.trial.TrialState.COMPLETE
PRUNED = optuna.trial.TrialState.PRUNED
FAIL = optuna.trial.TrialState.FAIL
RUNNING = optuna.trial.TrialState.RUNNING


def study(bench, name: str = "s") -> optuna.Study:
    path = bench.folder / "outputs/default" / name / "study.db"
    return optuna.load_study(study_name=name, storage=f"sqlite:///{path}")


def states(bench) -> list[optuna.trial.TrialState]:
    return [trial.state for trial in study(bench).trials]


def peak(cfg) -> float:
    """Best at 1e-2."""
    return 1.0 - abs(math.log10(cfg.optimizer.lr) + 2) / 3


def test_the_study_gets_every_score_and_the_total_is_kept(bench, capsys) -> None:
    bench.score = peak
    assert bench.run(*LINE, "hydra.sweeper.n_trials=3") == 0
    assert bench.run(*LINE, "hydra.sweeper.n_trials=3") == 0
    assert sum(bench.begun.values()) == 3
    assert bench.run(*LINE, "hydra.sweeper.n_trials=5") == 0
    assert sum(bench.begun.values()) == 5
    trials = study(bench).trials
    assert [trial.state for trial in trials] == [COMPLETE] * 5
    for trial in trials:
        expected = 1.0 - abs(math.log10(trial.params["optimizer.lr"]) + 2) / 3
        assert trial.value == pytest.approx(expected)
    assert len({trial.params["optimizer.lr"] for trial in trials}) == 5, "no draw is repeated"
    best = max(trials, key=lambda trial: trial.value)
    printed = capsys.readouterr().out
    score = f"validation {100 * best.value:.2f}%"
    assert f"best of 5: job {best.number}, {score}, optimizer.lr={best.params[KEY]}\n" in printed
    assert f"optimizer.lr={best.params[KEY]} test=true hydra.mode=RUN" in printed


def test_it_draws_as_a_plain_loop_of_optuna_would(bench) -> None:
    bench.score = peak
    assert bench.run(*LINE, "hydra.sweeper.n_trials=13", "hydra.sweeper.seed=4") == 0
    plain = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=4, multivariate=True, constant_liar=True),
    )
    space = {"optimizer.lr": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)}
    for mine in study(bench).trials:
        trial = plain.ask(space)
        assert trial.params == mine.params
        plain.tell(trial, mine.value)


def test_killed_twice_no_trial_is_lost_or_run_twice(bench) -> None:
    bench.score = peak

    def act(cfg, folder):
        if folder.name.startswith(("2_", "5_")) and bench.begun[folder.name] == 1:
            raise bench.killed

    bench.act = act
    for _ in range(2):
        with pytest.raises(bench.killed):
            bench.run(*LINE, "hydra.sweeper.n_trials=8")
    assert states(bench)[-1] == RUNNING
    assert bench.run(*LINE, "hydra.sweeper.n_trials=8") == 0
    assert states(bench) == [COMPLETE] * 8
    assert sorted(bench.finished.values()) == [1] * 8
    assert sorted(bench.begun.values()) == [1] * 6 + [2] * 2


def test_a_trial_is_not_lost_under_another_hostname(bench, monkeypatch) -> None:
    bench.act = kills_the_first(bench)
    with pytest.raises(bench.killed):
        bench.run(*LINE, "hydra.sweeper.n_trials=3")
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    assert bench.run(*LINE, "hydra.sweeper.n_trials=3") == 0
    assert states(bench) == [COMPLETE] * 3
    assert sorted(bench.begun.values()) == [1, 1, 2]


def test_in_a_moved_folder_a_trial_goes_on_and_finds_its_study_there(bench) -> None:
    bench.act = kills_the_first(bench)
    with pytest.raises(bench.killed):
        bench.run(*LINE, "hydra.sweeper.n_trials=3")
    (bench.folder / "outputs/default").rename(bench.folder / "moved")
    assert bench.run(*LINE, "hydra.sweeper.n_trials=3", "hydra.sweep.dir=moved") == 0
    moved = bench.folder / "moved/s"
    assert [trial.state for trial in study_of(moved).trials] == [COMPLETE] * 3
    (again,) = [path for path in moved.glob("1_*") if path.is_dir()]
    assert Job.read(again).trial["storage"] == f"sqlite:///{moved / 'study.db'}"


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("hydra.sweeper.name=2024", "hydra.sweeper.name=2024: it must be a text"),
        ("hydra.sweeper.parallel=two", "hydra.sweeper.parallel=two: it must be an integer"),
        ("hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials=0: it must be an integer"),
        ("hydra.sweeper.seed=x", "hydra.sweeper.seed=x: it must be an integer"),
        ("hydra.sweeper.pruner.n_warmup_steps=-1", "MedianPruner refuses its settings"),
    ],
)
def test_bad_settings_of_a_search_are_refused(bench, capsys, bad: str, says: str) -> None:
    assert bench.run(*LINE, bad) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert says in error
    assert not bench.begun


def test_in_a_shared_study_trials_of_other_machines_are_not_touched(bench, monkeypatch) -> None:
    storage = f"hydra.sweeper.storage='sqlite:///{bench.folder / 's.db'}'"
    bench.act = kills_the_first(bench)
    with pytest.raises(bench.killed):
        bench.run(*LINE, "hydra.sweeper.n_trials=3", storage)
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    assert bench.run(*LINE, "hydra.sweeper.n_trials=3", storage) == 0
    both = open_study(f"sqlite:///{bench.folder / 's.db'}", "s")
    assert [trial.state for trial in both.trials] == [COMPLETE, RUNNING, COMPLETE]


def test_a_renamed_search_goes_on(bench) -> None:
    """Its study was named after the folder."""
    assert bench.run(*LINE, "hydra.sweeper.n_trials=2") == 0
    (bench.folder / "outputs/default/s").rename(bench.folder / "outputs/default/t")
    line = [*LINE, "hydra.sweeper.name=t", "hydra.sweeper.n_trials=3"]
    assert bench.run(*line) == 0
    assert sum(bench.begun.values()) == 3
    assert len(study_of(bench.folder / "outputs/default/t", "s").trials) == 3


def test_a_trial_is_found_after_the_settings_were_reordered(bench, monkeypatch) -> None:
    line = ["+sweep=optimizer", "loss.smoothing=interval(0,1)", "hydra.sweeper.name=s"]
    line.append("hydra.sweeper.n_trials=3")
    bench.act = kills_the_first(bench)
    with pytest.raises(bench.killed):
        bench.run(*line)
    parsed = SearchSweeper._parsed
    monkeypatch.setattr(SearchSweeper, "_parsed", lambda self, line: parsed(self, line)[::-1])
    assert bench.run(*line) == 0
    assert sorted(bench.begun.values()) == [1, 1, 2]


def kills_the_first(bench):
    """End the process in the first attempt at trial 1."""

    def act(cfg, folder):
        if folder.name.startswith("1_") and bench.begun[folder.name] == 1:
            raise bench.killed

    return act


def test_killed_between_the_result_and_telling_it(bench, monkeypatch) -> None:
    """The job's folder is complete, the study does not know."""
    tell = optuna.Study.tell

    def stopped(self, *args, **kwargs):
        raise bench.killed

    monkeypatch.setattr(optuna.Study, "tell", stopped)
    with pytest.raises(bench.killed):
        bench.run(*LINE, "hydra.sweeper.n_trials=2")
    monkeypatch.setattr(optuna.Study, "tell", tell)
    assert bench.run(*LINE, "hydra.sweeper.n_trials=2") == 0
    assert states(bench) == [COMPLETE] * 2
    assert sorted(bench.begun.values()) == [1, 1]


def test_killed_while_drawing(bench, monkeypatch) -> None:
    mark = optuna.Trial.set_user_attr

    def stopped(self, key, value):
        if key == JOB:
            raise bench.killed
        mark(self, key, value)

    monkeypatch.setattr(optuna.Trial, "set_user_attr", stopped)
    with pytest.raises(bench.killed):
        bench.run(*LINE, "hydra.sweeper.n_trials=2")
    monkeypatch.setattr(optuna.Trial, "set_user_attr", mark)
    assert bench.run(*LINE, "hydra.sweeper.n_trials=2") == 0
    assert states(bench) == [FAIL, COMPLETE, COMPLETE]
    assert sum(bench.begun.values()) == 2


def test_pruned_and_failed_trials_count(bench) -> None:
    def act(cfg, folder):
        if folder.name.startswith("1_"):
            raise RuntimeError("not a number")
        return "pruned" if folder.name.startswith("2_") else None

    bench.act = act
    assert bench.run(*LINE, "hydra.sweeper.n_trials=4") == 1
    assert states(bench) == [COMPLETE, FAIL, PRUNED, COMPLETE]
    assert sum(bench.begun.values()) == 4


def test_infeasible_shapes_are_pruned_and_do_not_count(real_bench) -> None:
    line = [
        "+experiment=paper",
        "+sweep=paper_all",
        "hydra/sweeper/sampler=random",
        "hydra.sweeper.name=s",
    ]
    assert real_bench.run(*line, "hydra.sweeper.n_trials=2") == 0
    assert len(real_bench.finished) == 2
    trials = study_of(real_bench.folder / "outputs/paper/s").trials
    infeasible = [trial for trial in trials if INFEASIBLE in trial.user_attrs]
    assert infeasible, "of random kernels 3 … 20 many do not fit"
    assert all(trial.state == PRUNED for trial in infeasible)
    assert all("conv" in trial.user_attrs[INFEASIBLE] for trial in infeasible)
    assert len(trials) == 2 + len(infeasible)


def test_given_settings_are_tried_first_once_and_survive_a_kill_while_drawing(
    bench, monkeypatch
) -> None:
    """A setting that one of them leaves out has the experiment's value, if it is in range."""
    line = [
        "+sweep=search", "optimizer.lr=tag(log,interval(1e-4,1e-1))", "hydra.sweeper.name=s",
        "callbacks.ema.decay=0.9,0.99", "optimizer.warmup=interval(0.5,0.6)",
    ]  # fmt: skip
    first = "hydra.sweeper.enqueue=[{},{optimizer.lr:1e-2,callbacks.ema.decay:0.9}]"
    mark = optuna.Trial.set_user_attr

    def stopped(self, key, value):
        raise bench.killed

    monkeypatch.setattr(optuna.Trial, "set_user_attr", stopped)
    with pytest.raises(bench.killed):
        bench.run(*line, first, "hydra.sweeper.n_trials=3")
    monkeypatch.setattr(optuna.Trial, "set_user_attr", mark)
    for _ in range(2):
        assert bench.run(*line, first, "hydra.sweeper.n_trials=3") == 0
    done = [trial.params for trial in study(bench).trials if trial.state == COMPLETE]
    tried = [(trial[KEY], trial["callbacks.ema.decay"]) for trial in done]
    assert len(tried) == 3
    assert {(1e-3, "0.99"), (1e-2, "0.9")} <= {*tried}
    assert all(0.5 <= trial["optimizer.warmup"] <= 0.6 for trial in done), "0.1 is out of range"
    more = "hydra.sweeper.enqueue=[{optimizer.lr:0.05}]"
    assert bench.run(*line, more, "hydra.sweeper.n_trials=4") == 0
    assert study(bench).trials[-1].params[KEY] == 0.05


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("{optimizer.lrr:1e-2}", "optimizer.lrr is not searched. Did you mean optimizer.lr?"),
        ("{optimizer.lr:2.0}", "optimizer.lr=2.0 is outside its range"),
        ("5", "hydra.sweeper.enqueue.0=5: it must be"),
    ],
)
def test_given_settings_outside_the_space_are_refused(bench, capsys, settings, says) -> None:
    assert bench.run(*LINE, f"hydra.sweeper.enqueue=[{settings}]") == 1
    assert says in capsys.readouterr().err
    assert not bench.begun


def first_trial(real_bench, sweep: str):
    """The trials until the first feasible one of a search, its configuration and its pruner."""
    seen = []

    def act(cfg, folder):
        pruner = cfg.callbacks.pruning.pruner
        seen.append((cfg, None if pruner is None else instantiate(pruner)))

    real_bench.act = act
    line = ["+experiment=paper", f"+sweep={sweep}", "hydra.sweeper.name=s"]
    assert real_bench.run(*line, "hydra.sweeper.n_trials=1") == 0
    return study_of(real_bench.folder / "outputs/paper/s").trials, *seen[0]


@pytest.mark.parametrize(("sweep", "dimensions"), [("paper", 18), ("paper_shape", 9)])
def test_a_stage_of_the_papers_search_begins_with_the_experiments_own_values(
    real_bench, sweep: str, dimensions: int
) -> None:
    """Short trainings on the smallest set of pairs, chosen by 10,000 episodes and by 320."""
    (trial,), cfg, pruner = first_trial(real_bench, sweep)
    assert len(trial.params) == dimensions
    paper = OmegaConf.load(conf_dir() / "experiment/paper.yaml")
    for own, expected in ((cfg.optimizer, paper.optimizer), (cfg.loss, paper.loss)):
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


def study_of(folder: Path, name: str | None = None) -> optuna.Study:
    return open_study(f"sqlite:///{folder / 'study.db'}", name or folder.name)


def test_jobs_get_the_sampled_settings(bench) -> None:
    seen = {}
    bench.act = lambda cfg, folder: seen.update({folder.name: cfg.optimizer.lr})
    assert bench.run(*LINE, "hydra.sweeper.n_trials=2") == 0
    assert list(seen.values()) == [trial.params["optimizer.lr"] for trial in study(bench).trials]


@pytest.mark.parametrize("group", ["sampler", "pruner"])
def test_every_sampler_and_pruner_searches(bench, group: str) -> None:
    options = group_options(f"hydra/sweeper/{group}")
    assert len(options) >= 3
    for option in options:
        line = [*LINE[:2], f"hydra.sweeper.name={option}", "hydra.sweeper.n_trials=2"]
        assert bench.run(*line, f"hydra/sweeper/{group}={option}") == 0
        assert [trial.state for trial in study(bench, option).trials] == [COMPLETE] * 2


@pytest.mark.parametrize("sweep", ["optimizer", "architecture", "default"])
def test_every_search_of_the_default_experiment_runs(real_bench, sweep: str) -> None:
    assert real_bench.run(f"+sweep={sweep}", "hydra.sweeper.n_trials=1") == 0
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


def test_nothing_to_search_is_refused(bench, capsys) -> None:
    assert bench.run("+sweep=search") == 1
    assert "nothing to search" in capsys.readouterr().err


def test_a_space_that_changed_is_refused(bench, capsys) -> None:
    assert bench.run(*LINE, "hydra.sweeper.n_trials=2") == 0
    line = ["+sweep=search", "optimizer.lr=interval(5,6)", "hydra.sweeper.name=s"]
    assert bench.run(*line, "hydra.sweeper.n_trials=3") == 1
    assert "another sweep" in capsys.readouterr().err


def test_an_unknown_storage_is_refused(bench, capsys) -> None:
    assert bench.run(*LINE, "hydra.sweeper.storage='nonsense://x'") == 1
    assert "hydra.sweeper.storage" in capsys.readouterr().err


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


def test_a_search_on_a_split_that_trains_on_validation_is_refused(real_bench, capsys) -> None:
    assert real_bench.run("+experiment=modern", *LINE, "hydra.sweeper.n_trials=1") == 1
    assert "data.split=background trains on its validation" in capsys.readouterr().err
    assert not real_bench.begun


def test_two_machines_share_one_study(bench) -> None:
    storage = f"hydra.sweeper.storage='sqlite:///{bench.folder / 'shared.db'}'"
    line = ["+sweep=search", "optimizer.lr=interval(0,1)", "hydra.sweeper.study=both", storage]
    assert bench.run(*line, "hydra.sweeper.name=one", "hydra.sweeper.n_trials=2") == 0
    assert bench.run(*line, "hydra.sweeper.name=two", "hydra.sweeper.n_trials=5") == 0
    both = open_study(f"sqlite:///{bench.folder / 'shared.db'}", "both")
    assert [trial.state for trial in both.trials] == [COMPLETE] * 5
    made = [
        len([*(bench.folder / "outputs/default" / name).glob("*_lr=*")]) for name in ("one", "two")
    ]
    assert made == [2, 3]
