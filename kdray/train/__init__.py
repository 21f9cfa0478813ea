"""The one loop: order, optimizer, objective, checkpoint, ranks."""

from kdray.train.checkpoint import Checkpoint, Checkpoints, NoCheckpoints, StoreCheckpoints
from kdray.train.data import CachedTeacher, MixedTeacher, OnlineTeacher, Rows, Teacher, ask
from kdray.train.loop import FitResult, Hooks, Material, fit
from kdray.train.objective import Reduced, Share, objective
from kdray.train.ranks import GroupRanks, SingleRank, WorldRanks
from kdray.train.settings import TrainSettings

__all__ = [
    "CachedTeacher",
    "Checkpoint",
    "Checkpoints",
    "FitResult",
    "GroupRanks",
    "Hooks",
    "Material",
    "MixedTeacher",
    "NoCheckpoints",
    "OnlineTeacher",
    "Reduced",
    "Rows",
    "Share",
    "SingleRank",
    "StoreCheckpoints",
    "Teacher",
    "TrainSettings",
    "WorldRanks",
    "ask",
    "fit",
    "objective",
]
