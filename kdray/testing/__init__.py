"""Checks for methods of your own, without pytest: `check_method(MyKD)` raises with one sentence for each fault.

>>> from kdray.methods import KD
>>> from kdray.testing import check_method
>>> check_method(KD)
"""

from collections.abc import Collection
from typing import Any

from kdray.errors import plural
from kdray.methods import Method
from kdray.testing.checks import (
    CASE_CHECKS,
    METHOD_CHECKS,
    MethodFault,
    changed_once,
    checks_of,
    faults_of,
    no_setting_is_ignored,
)
from kdray.testing.steps import Case, cases_of


def check_method(method: type[Method], *, skip: Collection[str] = ()) -> None:
    """Run every check on a method class, with each setting changed once and any two together.

    A method without faults gives None, and nothing is printed. An exception of the method, a term of another shape than
    one value a row, weights that do not name the terms, and a term that is not finite end the checks.

    Args:
        skip: Names of checks that do not fit the method, such as `least_where_student_equals_teacher` for a
            contrastive loss.

    Raises:
        MethodFault: With one line for each check that failed: its name and a sentence.
    """
    given: Any = method
    if not (isinstance(given, type) and issubclass(given, Method)):
        kind = type(given).__name__
        fix = f"; pass the class: check_method({kind})" if isinstance(given, Method) else ""
        raise TypeError(f"check_method takes a class derived from kdray.methods.Method, found {given!r}{fix}")
    known = {check.__name__ for check in (*METHOD_CHECKS, *CASE_CHECKS, no_setting_is_ignored)}
    if unknown := set(skip) - known:
        raise ValueError(f"skip has {sorted(unknown)}; there are {', '.join(sorted(known))}")
    found = [f"{name}: {sentence}" for name, sentence in faults_of(method, skip)]
    if found:
        raise MethodFault("\n".join([f"{method.__name__} fails {plural(len(found), 'check')}:", *found]))


__all__ = [
    "CASE_CHECKS",
    "METHOD_CHECKS",
    "Case",
    "MethodFault",
    "cases_of",
    "changed_once",
    "check_method",
    "checks_of",
    "no_setting_is_ignored",
]
