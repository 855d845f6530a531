"""The images of an evaluation: each function makes a matplotlib figure and saves nothing."""

from siamese_oneshot.plots.charts import draw_alphabets, draw_pair_scores, draw_ways
from siamese_oneshot.plots.confusions import draw_confusions
from siamese_oneshot.plots.embedding_map import draw_map
from siamese_oneshot.plots.episodes import draw_episode, draw_mistakes
from siamese_oneshot.plots.montage import draw_augmentations, draw_filters
from siamese_oneshot.plots.style import save

__all__ = [
    "draw_alphabets",
    "draw_augmentations",
    "draw_confusions",
    "draw_episode",
    "draw_filters",
    "draw_map",
    "draw_mistakes",
    "draw_pair_scores",
    "draw_ways",
    "save",
]
