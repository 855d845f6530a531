"""The pictures and lists that all subjects share: loaded once, resized once, drawn once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from siamese_oneshot.comparison.subjects import Subject
from siamese_oneshot.data.digits import enlarged
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.exam import Exam, ExamSize, Question
from siamese_oneshot.data.protocols import ProtocolSize, digits_question, exams_of
from siamese_oneshot.data.source import Loaded
from siamese_oneshot.data.splits import Split, split_drawings


@dataclass(frozen=True)
class Sheet:
    """What one subject is asked.

    Attributes:
        split: who trained it, validates and tests.
        validation, test: the exams on ``drawings``.
        drawings: of the subject's size.
    """

    split: Split
    validation: Exam
    test: Exam
    drawings: Drawings


@dataclass
class Desk:
    """Hands out sheets.

    Attributes:
        loaded: the drawings in full size, and the official runs.
        digits: MNIST in its own size; None to go without.
        rule: the split of subjects that do not know theirs.
        forced: the split of all subjects, whatever they were trained with; None to let them choose.
        size, more: how long the lists are.
    """

    loaded: Loaded
    digits: Drawings | None
    rule: str
    forced: str | None
    size: ExamSize
    more: ProtocolSize
    _exams: dict[tuple[str, tuple[str, ...] | None], tuple[Split, Exam, Exam]] = field(
        default_factory=dict
    )
    _drawings: dict[int, Drawings] = field(default_factory=dict)
    _digits: dict[int, Drawings] = field(default_factory=dict)

    def sheet(self, subject: Subject) -> Sheet:
        """What a subject is asked, by the split it was trained with."""
        facts = {} if subject.trained is None else subject.trained.facts
        own = (
            facts.get("split") if facts.get("data_source") == self.loaded.drawings.source else None
        )
        rule = self.forced or own or self.rule
        held_out = tuple(facts["held_out"]) if rule == own and facts.get("held_out") else None
        key = rule, held_out
        if key not in self._exams:
            drawings = self.loaded.drawings
            split = split_drawings(drawings, rule, held_out)
            exams = exams_of(drawings, split, self.loaded.runs, self.size, self.more)
            self._exams[key] = (split, *exams)
        if subject.size not in self._drawings:
            self._drawings[subject.size] = self.loaded.drawings.resized(subject.size)
        return Sheet(*self._exams[key], self._drawings[subject.size])

    def digits_of(self, size: int) -> Drawings:
        """The digits as pictures of a size."""
        assert self.digits is not None
        if size not in self._digits:
            self._digits[size] = enlarged(self.digits, size)
        return self._digits[size]

    @cached_property
    def digits_question(self) -> Question:
        """The trials among the digits."""
        assert self.digits is not None
        return digits_question(self.digits, self.size, self.more)
