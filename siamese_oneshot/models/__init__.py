"""The Siamese network, its losses and its optimizers, in plain PyTorch."""
# ruff: noqa: F401

from siamese_oneshot.models.encoders import ConvEncoder, DenseEncoder, Encoder, ResidualEncoder
from siamese_oneshot.models.few_shot import Cosine, Relation, SquaredEuclidean
from siamese_oneshot.models.losses import (
    AllPairsBCELoss,
    EpisodicCrossEntropyLoss,
    EpisodicDistillationLoss,
    EpisodicHingeLoss,
    PairBCELoss,
    SupConLoss,
    build_loss,
)
from siamese_oneshot.models.optimizers import (
    OptimizerSetup,
    PaperSGD,
    adam,
    adamw,
    build_optimizer,
    paper_sgd,
)
from siamese_oneshot.models.siamese import SiameseNetwork, build_model, build_network
from siamese_oneshot.models.similarity import CrossAttention, WeightedL1
