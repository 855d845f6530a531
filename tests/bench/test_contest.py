from __future__ import annotations

from siamese_oneshot.bench.contest import Contest, compete, timed


def test_turns_are_taken_and_the_first_does_not_count() -> None:
    now, turns = [0.0], []

    def work(name: str, seconds: list[float]) -> None:
        turns.append(name)
        now[0] += seconds.pop(0)

    slow, fast = [9.0, 2.0, 4.0, 4.0], [9.0, 1.0, 1.0, 2.0]
    contest = compete(
        "case", "things",
        {"slow": timed(lambda: work("slow", slow), 8, clock=lambda: now[0]),
         "fast": timed(lambda: work("fast", fast), 16, clock=lambda: now[0])},
        "slow", 3,
    )  # fmt: skip
    assert turns == ["slow", "fast"] * 4
    assert contest.rates == {"slow": [4.0, 2.0, 2.0], "fast": [16.0, 16.0, 8.0]}
    assert contest.rate("slow") == 2.0
    assert contest.ratio("fast") == (4.0, 4.0, 8.0)
    assert contest.ratio("slow") == (1.0, 1.0, 1.0)


def test_ratios_are_of_the_same_round() -> None:
    contest = Contest("", "", {"a": [1.0, 10.0], "b": [2.0, 20.0]}, "a")
    assert contest.ratio("b") == (2.0, 2.0, 2.0)
