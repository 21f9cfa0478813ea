"""The one loop: order, optimizer, objective, checkpoint, ranks."""

from kdray.train.at_once import fit_at_once
from kdray.train.checkpoint import Checkpoint, Checkpoints, StoreCheckpoints
from kdray.train.data import CachedTeacher, MixedTeacher, OnlineTeacher, Rows, Teacher, predict_batched
from kdray.train.loop import FitResult, Hooks, TrainingData, fit
from kdray.train.objective import MicroBatchFraction, StepLoss, check_gradient, check_terms, objective, unnamed_signals
from kdray.train.ranks import GroupRanks, SingleRank, WorldRanks
from kdray.train.settings import TrainSettings
from kdray.train.words import read_words, word_logits

__all__ = [
    "CachedTeacher",
    "Checkpoint",
    "Checkpoints",
    "FitResult",
    "GroupRanks",
    "Hooks",
    "MicroBatchFraction",
    "MixedTeacher",
    "OnlineTeacher",
    "Rows",
    "SingleRank",
    "StepLoss",
    "StoreCheckpoints",
    "Teacher",
    "TrainSettings",
    "TrainingData",
    "WorldRanks",
    "check_gradient",
    "check_terms",
    "fit",
    "fit_at_once",
    "objective",
    "predict_batched",
    "read_words",
    "unnamed_signals",
    "word_logits",
]
