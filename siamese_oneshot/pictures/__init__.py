"""The pictures of an evaluation: each function makes a matplotlib figure and saves nothing."""

from siamese_oneshot.pictures.charts import draw_alphabets, draw_pair_scores, draw_ways
from siamese_oneshot.pictures.confusions import draw_confusions
from siamese_oneshot.pictures.embedding import draw_map
from siamese_oneshot.pictures.sheets import draw_distortions, draw_filters
from siamese_oneshot.pictures.style import save
from siamese_oneshot.pictures.trials import draw_mistakes, draw_trial

__all__ = [
    "draw_alphabets",
    "draw_confusions",
    "draw_distortions",
    "draw_filters",
    "draw_map",
    "draw_mistakes",
    "draw_pair_scores",
    "draw_trial",
    "draw_ways",
    "save",
]
