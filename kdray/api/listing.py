"""Lists: the methods, the named corpora, the settings."""

import difflib
import inspect
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kdray.corpora import TASKS, Task, kdray_data
from kdray.errors import ConfigError, did_you_mean
from kdray.methods import METHODS, Method, method_named
from kdray.origin import default_name


def list_methods() -> list[dict[str, Any]]:
    """One row per method: name, title, needed signals, access, teachers, source, status.

    >>> from kdray.api.listing import list_methods
    >>> [row["needs"] for row in list_methods() if row["method"] == "kd"]
    ['logits']
    """
    return [_row(method) for method in METHODS]


def _row(method: type[Method]) -> dict[str, Any]:
    defaults = method()  # pyright: ignore[reportCallIssue]
    needs = frozenset[str]().union(*(phase.method.needs for phase in defaults.phases(1)))
    most = "∞" if method.max_teachers is None else str(method.max_teachers)
    teachers = most if method.min_teachers == method.max_teachers else f"{method.min_teachers}–{most}"
    return {
        "method": defaults.name,
        "title": method.title,
        "needs": ", ".join(sorted(needs)) or "nothing",
        "assistant": "yes" if defaults.uses_assistant else "no",
        "access": method.access,
        "teachers": teachers,
        "source": method.source,
        "status": method.status,
    }


def method_example(method: type[Method]) -> str:
    """A command that trains the sample's student by one of kdray's methods.

    >>> from kdray.api.listing import method_example
    >>> from kdray.methods import KD
    >>> method_example(KD)
    'kdray run recipes/sample.yaml method.name=kd'
    """
    defaults = method()  # pyright: ignore[reportCallIssue]
    words = ["kdray run recipes/sample.yaml", f"method.name={defaults.name}"]
    if method.min_teachers > 1:
        words.append("teachers='[{name: one, encoder: minilm}, {name: two, encoder: minilm, train: {seed: 1}}]'")
    if defaults.compares_tokens:
        words.append("prune.policy=none")
    if defaults.name == "soft_classic":
        words.append("student='{architecture: naive_bayes}'")
    return " ".join(words)


def method_about(name: str) -> dict[str, Any]:
    """The row of a method, the head of its file (source, formula, needs, ...), and its settings.

    Args:
        name: Of kdray's, or `my_file.py:MyKD` for one of your own.

    Raises:
        ConfigError: No method has this name; the message gives the nearest one.

    >>> from kdray.api.listing import method_about
    >>> print(method_about("kd")["head"].splitlines()[0])
    Vanilla knowledge distillation.
    """
    from kdray.config.reference import settings

    known, is_own = [default_name(method) for method in METHODS], ":" in name
    if not is_own and name not in known:
        hint = did_you_mean(name, known, otherwise="kdray methods lists them.")
        raise ConfigError(f"method {name!r} is unknown; {hint}")
    method = method_named(name)
    own = [asdict(each) for each in settings(name if is_own else f"method.{name}") if each.of]
    return {
        **_row(method),
        "method": name,
        "head": inspect.getdoc(inspect.getmodule(method)) or "",
        "settings": own,
        "example": f"kdray run recipes/sample.yaml method.name={name}" if is_own else method_example(method),
    }


def list_corpora() -> list[dict[str, Any]]:
    """One row per named corpus: fields, classes, metrics, training rows, and where it is."""
    folder = kdray_data()
    return [
        {
            "corpus": name,
            "fields": " + ".join(f"{field.name} ({field.role})" for field in task.fields),
            "classes": len(task.labels),
            "metrics": ", ".join(task.metrics),
            "train rows": task.full_rows.get("train"),
            "here": _here(task, folder),
        }
        for name, task in TASKS.items()
    ]


def list_settings(prefix: str = "") -> list[dict[str, str]]:
    """Every setting of a run file whose key begins with `prefix`: key, method or policy, type, default, meaning.

    Raises:
        ConfigError: No setting begins so; the sentence names the nearest one.

    >>> from kdray.api.listing import list_settings
    >>> list_settings("train.epochs")[0]["default"]
    '3'
    """
    from kdray.config.reference import settings

    if found := settings(prefix):
        return [asdict(each) for each in found]
    every = settings()
    keys = [each.key for each in every] + [f"method.{each.of}" for each in every if each.key.startswith("method.")]
    near = difflib.get_close_matches(prefix, [*keys, *_sections(keys)], n=1) or _last_parts(prefix, keys)
    raise ConfigError(
        f"no setting begins with {prefix!r}; "
        + (f"did you mean {near[0]}?" if near else f"sections are {', '.join(_sections(keys))}.")
    )


def _last_parts(prefix: str, keys: list[str]) -> list[str]:
    """The key whose last part is near: `temprature` is `method.temperature`."""
    last = {key.rpartition(".")[2]: key for key in reversed(keys)}
    return [last[each] for each in difflib.get_close_matches(prefix.rpartition(".")[2], last, n=1)]


def _sections(keys: list[str]) -> list[str]:
    return list(dict.fromkeys(key.partition(".")[0] for key in keys))


def _here(task: Task, folder: Path | None) -> str:
    if task.name == "sample":
        return "in the package"
    if folder is not None and (folder / task.name).is_dir():
        return "KDRAY_DATA"
    return "not yet; only from KDRAY_DATA" if task.hub is None else "not yet; from the Hugging Face hub"
