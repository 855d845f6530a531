"""Contents of Omniglot: alphabets, numbers of characters, and digests of the pixels.

Lake, Salakhutdinov, Tenenbaum, "Human-level concept learning through probabilistic program
induction", Science 2015; files at https://github.com/brendenlake/omniglot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SIDE = 105
WAY = 20  # of Lake's runs


@dataclass(frozen=True)
class ImageSet:
    """One of the two image sets.

    Attributes:
        characters: Number of characters of each alphabet, in sorted order.
        digest: SHA-256 of the images packed to bits (foreground is 1, each padded to bytes), by
            alphabet, character and drawer.
        drawers: Number of drawers of each character.
    """

    characters: Mapping[str, int]
    digest: str
    drawers: int = 20

    @property
    def count(self) -> int:
        """Number of images."""
        return self.drawers * sum(self.characters.values())


@dataclass(frozen=True)
class Edition:
    """Both image sets, and the SHA-256 of Lake's runs (int64 (3, 20, 20), little-endian)."""

    background: ImageSet
    evaluation: ImageSet
    runs_digest: str
    runs: int = 20


OFFICIAL = Edition(
    ImageSet(
        {
            "Alphabet_of_the_Magi": 20, "Anglo-Saxon_Futhorc": 29, "Arcadian": 26, "Armenian": 41,
            "Asomtavruli_(Georgian)": 40, "Balinese": 24, "Bengali": 46,
            "Blackfoot_(Canadian_Aboriginal_Syllabics)": 14, "Braille": 26,
            "Burmese_(Myanmar)": 34, "Cyrillic": 33, "Early_Aramaic": 22, "Futurama": 26,
            "Grantha": 43, "Greek": 24, "Gujarati": 48, "Hebrew": 22,
            "Inuktitut_(Canadian_Aboriginal_Syllabics)": 16, "Japanese_(hiragana)": 52,
            "Japanese_(katakana)": 47, "Korean": 40, "Latin": 26, "Malay_(Jawi_-_Arabic)": 40,
            "Mkhedruli_(Georgian)": 41, "N_Ko": 33, "Ojibwe_(Canadian_Aboriginal_Syllabics)": 14,
            "Sanskrit": 42, "Syriac_(Estrangelo)": 23, "Tagalog": 17, "Tifinagh": 55,
        },
        "fa99ab70a348e2f9f02e33f6c9beb789eb1241418acf7ebc2f703301815bf452",
    ),
    ImageSet(
        {
            "Angelic": 20, "Atemayar_Qelisayer": 26, "Atlantean": 26, "Aurek-Besh": 26,
            "Avesta": 26, "Ge_ez": 26, "Glagolitic": 45, "Gurmukhi": 45, "Kannada": 41,
            "Keble": 26, "Malayalam": 47, "Manipuri": 40, "Mongolian": 30,
            "Old_Church_Slavonic_(Cyrillic)": 45, "Oriya": 46, "Sylheti": 28,
            "Syriac_(Serto)": 23, "Tengwar": 25, "Tibetan": 42, "ULOG": 26,
        },
        "5bdcd30aa88e9096667576ae13f63e07dfe325d8711bf643359338d5dcd36144",
    ),
    "1da6999e7e9faf34bab1b16b983c1b2310ad67f2b45febc0dfd8dd3143292521",
)  # fmt: skip

BACKGROUND = tuple(OFFICIAL.background.characters)
EVALUATION = tuple(OFFICIAL.evaluation.characters)
# The alphabets of Lake's runs and the four drawers of each, numbered from 0 within the alphabet:
# by Lake's thesis (4.2.1) "relatively typical" ones. Its two runs are by two of them each.
RUN_DRAWERS = {
    "Atlantean": (1, 2, 4, 7),
    "Ge_ez": (1, 2, 3, 6),
    "Glagolitic": (1, 2, 3, 5),
    "Gurmukhi": (1, 2, 4, 7),
    "Kannada": (0, 1, 2, 7),
    "Malayalam": (1, 2, 3, 6),
    "Manipuri": (2, 3, 6, 7),
    "Old_Church_Slavonic_(Cyrillic)": (0, 1, 3, 7),
    "Tengwar": (0, 3, 6, 7),
    "Tibetan": (0, 2, 4, 7),
}
RUN_ALPHABETS = tuple(RUN_DRAWERS)
# Background classes of one alphabet that show one character (docs/omniglot.md has the evidence).
DUPLICATE_CLASSES = (
    tuple(f"Ojibwe_(Canadian_Aboriginal_Syllabics)/character{k}" for k in ("07", "08", "09")),
)
SMALL1 = ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin")
SMALL2 = ("Greek", "Japanese_(katakana)", "Latin", "Sanskrit", "Tagalog")
