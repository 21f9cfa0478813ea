"""A table of a paper beside what is measured here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdray.api.experiments import compare_variants
from kdray.api.stages import run_stage
from kdray.config import RunConfig, apply_overrides, parse
from kdray.engines.choice import EngineChoice
from kdray.errors import ConfigError
from kdray.experiments.compare import candidates_of
from kdray.experiments.documents import Provenance
from kdray.papers.published import Published, published
from kdray.papers.recipes import SIZES, Recipe, Scale, recipe_of, rows_by_teachers, run_settings

Lines = list[dict[str, Any]]


def reproduce(
    name: str, scale: Scale, *, store: str, overrides: Sequence[str] = (), engine: EngineChoice, command: str
) -> dict[str, Any]:
    """Train what a table needs, or find it in the store, and put published and measured values side by side.

    At the scale `smoke` every corpus would be the same one, so only the first is run.

    Args:
        overrides: Settings of the runs, as `key=value`.

    Returns:
        `lines` (row, column, published, measured, difference; of students also std and parameters), `seeds` and
        `differs`.

    Raises:
        ConfigError: There is no such table, or it cannot be run.
    """
    printed, recipe, size = published(name), recipe_of(name), SIZES[scale]
    table = _Table(name, scale, printed, recipe, store, overrides, engine, command)
    corpora = list(recipe.corpora) if size.corpus is None else [next(iter(recipe.corpora))]
    found = [(table.effects if recipe.effects else table.students)(corpus) for corpus in corpora]
    return {
        "name": name,
        "title": printed.title,
        "unit": printed.unit,
        "scale": scale,
        "lines": [line for lines, _ in found for line in lines],
        "seeds": list(table.seeds),
        "differs": [
            *size.differs,
            *recipe.differs,
            *_smaller(recipe, scale),
            *(note for _, note in found if note),
        ],
    }


@dataclass(frozen=True)
class _Table:
    """A table, and how it is run. What measures a corpus returns lines and the note on the corpus."""

    name: str
    scale: Scale
    printed: Published
    recipe: Recipe
    store: str
    overrides: Sequence[str]
    engine: EngineChoice
    command: str

    @property
    def seeds(self) -> range:
        return range(1 if self.recipe.effects else SIZES[self.scale].seeds)

    def students(self, corpus: str) -> tuple[Lines, str]:
        """A comparison for each choice of teachers; the corpus is the column."""
        scores, note, separations = dict[str, dict[str, Any]](), "", Lines()
        for number, (teachers, rows) in enumerate(rows_by_teachers(self.recipe, self.scale).items()):
            run = self._run(corpus, teachers)
            title = f"papers-{self.name}-{run.corpus.label}-{self.scale}" + (f"-{number + 1}" if number else "")
            origin = Provenance(run.corpus.name, self.command, self.command)
            found = compare_variants(title, rows, run, seeds=self.seeds, engine=self.engine, provenance=origin).result
            note = _note(run, found["corpus"]["note"])
            for row in found["confirmation"]:
                scores[row["label"]] = {**row["test"], "parameters": row["parameters"]}
            for teacher, record in zip(teachers, found["teachers"], strict=False):
                score = {"mean": record["test"], "std": None, "parameters": record["parameters"]}
                for row in (row for row, name in self.recipe.alone.items() if name == teacher):
                    scores.setdefault(row, score)
            if "silhouette" in self.printed.columns:
                runs = {each.label: each.run for each in candidates_of(rows, run)}
                separations += [self._line(row, "silhouette", self._silhouette(runs[row])) for row in rows]
        rows = [row for row in self.printed.rows or self.recipe.rows if row in scores]
        return [*(self._student(row, corpus, scores[row]) for row in rows), *separations], note

    def effects(self, corpus: str) -> tuple[Lines, str]:
        """What pruning does to one student; the corpus is the row."""
        run = self._run(corpus, self.recipe.teachers)
        if run.prune.policy.name == "none":
            raise ConfigError(f"{self.name}: prune.policy = none prunes nothing, so it has no effect; choose another.")
        found = run_stage(run, "evaluate", engine=self.engine)
        mine = [row for table in ("pruning", "pruning_times") for row in found[table]]
        effect = {k: v for row in mine if row["policy"] == run.prune.policy.label for k, v in row.items()}
        lines = [self._line(corpus, column, of(effect)) for column, of in self.recipe.effects.items()]
        return lines, _note(run, found["note"])

    def _run(self, corpus: str, teachers: Sequence[str]) -> RunConfig:
        plain = {"store": self.store, **run_settings(self.recipe, corpus, self.scale, teachers)}
        return parse(apply_overrides(plain, self.overrides), source=self.name)

    def _silhouette(self, run: RunConfig) -> float | None:
        return run_stage(run, "prune", engine=self.engine)["summary"]["silhouette"]

    def _student(self, row: str, column: str, scores: Mapping[str, Any]) -> dict[str, Any]:
        found = self._line(row, column, scores["mean"])
        std = None if scores["std"] is None else self._factor * scores["std"]
        rest = {"std": std, "difference": found.pop("difference"), "parameters": scores["parameters"]}
        return found | rest

    def _line(self, row: str, column: str, measured: float | None) -> dict[str, Any]:
        measured = None if measured is None else self._factor * measured
        found = line(self.printed, row, column, measured)
        # the sample's scores and another machine's times are not comparable
        is_comparable = SIZES[self.scale].corpus is None and self.printed.unit != "seconds"
        return found if is_comparable else {**found, "difference": None}

    @property
    def _factor(self) -> int:
        return 100 if "%" in self.printed.unit else 1


def line(printed: Published, row: str, column: str, measured: float | None) -> dict[str, Any]:
    """A printed number and what is measured."""
    published = printed.value(row, column)
    difference = None if measured is None or published is None else measured - published
    return {"row": row, "column": column, "published": published, "measured": measured, "difference": difference}


def _note(run: RunConfig, note: str | None) -> str:
    return f"{run.corpus.name}: {note}" if note else ""


def _smaller(recipe: Recipe, scale: Scale) -> list[str]:
    """How the models of a smaller scale change a table, in words."""
    if scale == "full":
        return []
    groups = rows_by_teachers(recipe, scale)
    models = {each for teachers in groups for each in teachers}
    left = {row for rows in groups.values() for row in rows}
    found = [f"{each} is the first {layers} layers of MiniLM" for each, layers in recipe.shallow.items()]
    if len(models) > 1 and not recipe.shallow:
        found.append("teachers differ by their seeds only")
    if missing := [row for row in recipe.rows if row not in left]:
        found.append(f"rows left out, as MiniLM has too few layers to tell them apart: {'; '.join(missing)}")
    return found
