"""What a search found, read from its study."""

from typing import Any

import optuna

from kdray.experiments.study import ENDS, SweepStudy, metric_of


def record(trial: Any, *, higher_is_better: bool) -> dict[str, Any]:
    facts = trial.user_attrs
    state = ENDS[trial.state]
    started, ended = facts.get("started"), facts.get("ended")
    return {
        "number": trial.number,
        "state": state,
        "params": dict(trial.params),
        "value": metric_of(trial, higher_is_better=higher_is_better),
        "test": facts.get("test"),
        "latency_ms": facts.get("latency"),
        "parameters": facts.get("parameters"),
        "epochs": facts.get("epochs", len(trial.intermediate_values)),
        "history": facts.get("history", []),
        "seconds": ended - started if started and ended else None,
        "started": started,
        "ended": ended,
        "error": facts.get("error"),
        "digest": facts.get("digest"),
        "label": facts.get("label"),
        "worker": facts.get("worker"),
    }


def front(sweep_study: SweepStudy) -> list[int] | None:
    """The Pareto front; None with one objective."""
    if len(sweep_study.study.directions) == 1:
        return None
    finished = {trial.number for trial in sweep_study.finished_trials()}
    return sorted(trial.number for trial in sweep_study.study.best_trials if trial.number in finished)


def importances(sweep_study: SweepStudy) -> tuple[dict[str, float] | None, str | None]:
    """fANOVA over the parameters that every finished trial has; a conditional one cannot be compared."""
    study = sweep_study.study
    complete = [trial for trial in sweep_study.finished_trials() if trial.state == optuna.trial.TrialState.COMPLETE]
    if len(complete) < 4:
        return None, f"needs four finished trials, there are {len(complete)}"
    if len({t.values[0] for t in complete}) == 1:
        return None, "all finished trials score the same"
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator, target=lambda t: t.values[0])
    return found, f"fANOVA over {len(complete)} finished trials and the parameters that all of them have"
