"""The pictures and lists that all subjects share: loaded once, resized once, drawn once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch

from siamese_oneshot.comparison.subjects import Subject
from siamese_oneshot.data.digits import enlarged
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.exam import Exam, ExamSize, Question
from siamese_oneshot.data.protocols import ProtocolSize, digits_question, exams_of
from siamese_oneshot.data.source import Loaded
from siamese_oneshot.data.splits import Split, split_drawings
from siamese_oneshot.errors import UserError


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
        held_out: the alphabets that validate for subjects that do not know theirs.
    """

    loaded: Loaded
    digits: Drawings | None
    rule: str
    forced: str | None
    size: ExamSize
    more: ProtocolSize
    held_out: tuple[str, ...] | None = None
    _exams: dict[tuple[str, tuple[str, ...] | None], tuple[Split, Exam, Exam]] = field(
        default_factory=dict
    )
    _drawings: dict[int, Drawings] = field(default_factory=dict)
    _digits: dict[int, Drawings] = field(default_factory=dict)

    def sheet(self, subject: Subject) -> Sheet:
        """What a subject is asked, by the split it was trained with unless another one is forced.

        Raises:
            UserError: the forced split tests characters that the subject has learned from, or
                these are not the drawings that it was trained with, so that nobody can tell.
        """
        facts = subject.facts
        own = None
        if facts.get("data_source") == self.loaded.drawings.source:
            self._refuse_changed(subject)
            own = facts.get("split")
        held_out = tuple(facts["held_out"]) if facts.get("held_out") else None
        rule = self.forced or own or self.rule
        split, validation, test = self._drawn(rule, held_out if rule == own else self.held_out)
        if own is not None and rule != own:
            self._refuse_known(subject, self._divided(own, held_out), split)
        if subject.size not in self._drawings:
            self._drawings[subject.size] = self.loaded.drawings.resized(subject.size)
        return Sheet(split, validation, test, self._drawings[subject.size])

    def _drawn(self, rule: str, held_out: tuple[str, ...] | None) -> tuple[Split, Exam, Exam]:
        """A split with its lists, drawn once."""
        key = rule, held_out
        if key not in self._exams:
            split = self._divided(rule, held_out)
            drawings, runs = self.loaded.drawings, self.loaded.runs
            self._exams[key] = (split, *exams_of(drawings, split, runs, self.size, self.more))
        return self._exams[key]

    def _divided(self, rule: str, held_out: tuple[str, ...] | None) -> Split:
        return split_drawings(self.loaded.drawings, rule, held_out)

    def _refuse_changed(self, subject: Subject) -> None:
        """Stop where a split, rebuilt on other drawings of the same kind, would be another one."""
        source, digest = self.loaded.drawings.source, subject.facts.get("data_digest")
        if source != "omniglot" and digest and digest != self.loaded.digest:
            raise UserError(
                f"{subject.name} was trained with data={source}, but with other drawings than "
                f"these (digest {digest}, not {self.loaded.digest}), so characters that it has "
                "learned could be tested: give it those that it was trained with (the data "
                "settings in its folder's .hydra/config.yaml), or data=omniglot"
            )

    def _refuse_known(self, subject: Subject, own: Split, asked: Split) -> None:
        """Stop where a character to be tested was trained on or chosen by."""
        drawings = self.loaded.drawings
        learned = drawings.classes[torch.cat([own.train, own.validation])].unique()
        tested = drawings.classes[asked.yardstick].unique()
        both = tested[torch.isin(tested, learned)]
        if len(both):
            alphabets = drawings.class_alphabets[both].unique().tolist()
            names = ", ".join(drawings.alphabet_names[one] for one in alphabets)
            raise UserError(
                f"{subject.name} was trained or chosen with split={own.name} on {names}, which "
                f"split={asked.name} tests: leave split out, or choose another one"
            )

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
